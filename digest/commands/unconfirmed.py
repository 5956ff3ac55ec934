"""Commands for what nobody can know: deliveries that may have arrived, and a database that came back from a backup."""

from datetime import UTC, datetime
from pathlib import Path

from sqlmodel import select

from digest import deliveries, desk, press, records
from digest.app import open_press
from digest.commands.screen import number, say, show_json, show_table
from digest.database import reading, writing
from digest.errors import NotFoundError
from digest.models import AuditRow, DigestRow, EditionRow, MailingRow
from digest.press import Press
from digest.values import EditionState


def show(home: Path | None, digest: str, which: str, *, as_json: bool) -> None:
    """All editions with unconfirmed deliveries; or those of one edition, one by one."""
    house = open_press(home)
    if digest:
        _show_one(house, digest, which, as_json=as_json)
        return
    rows = []
    with reading(house.engine) as session:
        query = select(MailingRow, EditionRow, DigestRow).where(
            MailingRow.edition_id == EditionRow.id, EditionRow.digest_id == DigestRow.id
        )
        mailings = session.exec(query).all()
    for mailing, edition, row in mailings:
        count = deliveries.balance_of(house.engine, mailing.id or 0).counts.get("ambiguous", 0)
        if count:
            rows.append((row.slug, str(edition.local_date), edition.state, count))
    if as_json:
        show_json([dict(zip(("digest", "date", "state", "unconfirmed"), one, strict=True)) for one in rows])
    elif rows:
        show_table("", ("digest", "date", "state", "unconfirmed"), rows, right=("unconfirmed",))
        say(
            "See one by one: digest unconfirmed list DIGEST DATE. Decide: digest unconfirmed accept|resend|close DIGEST DATE"
        )
    else:
        say("Nothing is unconfirmed.")


def _show_one(house: Press, digest: str, which: str, *, as_json: bool) -> None:
    _edition, mailing = _find(house, digest, which)
    found = deliveries.doubts(house.engine, mailing)
    if as_json:
        show_json(found)
        return
    at = [f"{datetime.fromtimestamp(one.since, UTC):%Y-%m-%d %H:%M:%S} UTC" for one in found]
    rows = [(one.number, one.channel, one.address, since, one.reason) for one, since in zip(found, at, strict=True)]
    show_table(
        f"Unconfirmed: {number(len(rows))}", ("number", "channel", "to", "since", "why"), rows, right=("number",)
    )


def decide(
    home: Path | None, digest: str, which: str, decision: str, *, numbers: list[int], by: str, as_json: bool
) -> None:
    """One word on all, or on those named, with its line in the audit."""
    house, now = open_press(home), datetime.now(UTC)
    edition, mailing = _find(house, digest, which)
    settled = deliveries.decide(house.engine, mailing, decision, numbers=numbers, now=now)
    with writing(house.engine) as session:
        row = desk.locked(session, edition)
        desk.note(session, who=by, did=f"unconfirmed {decision}", edition=row, now=now, deliveries=settled)
        if decision == "resend" and settled and row.state == EditionState.SENT:
            desk.change(session, row, "send again", who=by, now=now)
    words = {
        "accept": f"{number(settled)} count as arrived.",
        "close": f"{number(settled)} stay unconfirmed, and nothing more is done.",
        "resend": f"{number(settled)} are queued again: digest deliver {digest} {edition.local_date}",
    }[decision]
    show_json({"edition": edition.id, "decision": decision, "deliveries": settled}) if as_json else say(words)


def restored(home: Path | None, *, by: str) -> None:
    """A person has looked after a restore: sending may go on."""
    house, now = open_press(home), datetime.now(UTC)
    if deliveries.restored_at(house.engine, house.stamps, now=now) is None:
        say("This database is not an older copy of itself; nothing was held.")
        return
    deliveries.after_restore(house.engine)
    with writing(house.engine) as session:
        session.add(AuditRow(at=now, who=by, did="unconfirmed restored", subject="database", subject_id=0))
    say("Sending may go on. What was unconfirmed stays so until you say accept, resend or close.")


def _find(house: Press, digest: str, which: str) -> tuple[EditionRow, int]:
    with reading(house.engine) as session:
        edition = records.find_edition(session, which, digest=digest)
    mailing = press.mailing_of(house, edition)
    if mailing is None:
        raise NotFoundError(f"Nothing of the edition of {edition.local_date} was ever handed over.")
    return edition, mailing
