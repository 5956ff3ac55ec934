"""What an edition that nobody has read must pass before it may be sent at its deadline."""

from datetime import datetime, timedelta

from sqlalchemy import Engine
from sqlmodel import Session, col, select

from digest import contents
from digest.database import reading
from digest.models import DigestRow, EditionRow, SourceRow

FRESH = timedelta(hours=24)


def faults(engine: Engine, edition: EditionRow, now: datetime) -> list[str]:
    """Sentences on what speaks against sending it unread; none when it passes."""
    with reading(engine) as session:
        digest = session.get_one(DigestRow, edition.digest_id)
        content = contents.content_of(session, edition)
        slots = content["slots"]
        found = []
        if len(slots) < digest.minimum:
            found.append(f"{len(slots)} of at least {digest.minimum} stories.")
        if bare := [slot["headline"] for slot in slots if not slot["teaser"]]:
            found.append(f"Without a teaser: {'; '.join(bare)}.")
        if twice := sorted(
            {one["headline"] for one in slots if [s["headline"] for s in slots].count(one["headline"]) > 1}
        ):
            found.append(f"Twice: {'; '.join(twice)}.")
        found += [f"{note}" for note in content["notes"]]
        found += _stale(session, now)
    return found


def _stale(session: Session, now: datetime) -> list[str]:
    """More than half of the sources were not read within a day."""
    sources = session.exec(select(SourceRow).where(col(SourceRow.enabled).is_(True))).all()
    silent = [row.name for row in sources if row.last_good_at is None or now - row.last_good_at > FRESH]
    if 2 * len(silent) <= len(sources):
        return []
    return [f"{len(silent)} of {len(sources)} sources could not be read within a day: {', '.join(silent[:5])}."]
