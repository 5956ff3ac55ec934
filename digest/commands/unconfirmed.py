"""Commands for what nobody can know: deliveries that may have arrived, and a database that came back from a backup."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from digest import deliveries, desk, digests, press, records
from digest.app import open_press
from digest.commands.screen import number, say, show_json, show_table
from digest.database import reading, writing
from digest.deliveries import Doubtful
from digest.errors import NotFoundError
from digest.models import AuditRow, EditionRow
from digest.press import Press
from digest.values import EditionState

SERVICES = "services"
"""What stands in an edition's place for a digest's service messages."""


def show(home: Path | None, digest: str, which: str, *, as_json: bool) -> None:
    """All mailings with unconfirmed deliveries; or those of one edition, or of the service messages, one by one."""
    house = open_press(home)
    if digest:
        _show_one(house, digest, which, as_json=as_json)
        return
    counts: Counter[tuple[str, str, str, str]] = Counter()
    for one in deliveries.doubtful(house.engine):
        counts[one.digest, str(one.day), one.what, one.state] += one.count
    rows, columns = [(*key, count) for key, count in counts.items()], ("digest", "date", "what", "state", "unconfirmed")
    if as_json:
        show_json([dict(zip(columns, one, strict=True)) for one in rows])
    elif rows:
        show_table("", columns, rows, right=("unconfirmed",))
        say(
            "See one by one: digest unconfirmed list DIGEST DATE, or DIGEST services for service messages. Decide: digest "
            "unconfirmed accept|resend|close, with the same words."
        )
    else:
        say("Nothing is unconfirmed.")


def _show_one(house: Press, digest: str, which: str, *, as_json: bool) -> None:
    if which == SERVICES:  # each is a mailing of its own, and its number is that
        found = [
            replace(doubt, number=one.mailing)
            for one in _services(house, digest)
            for doubt in deliveries.doubts(house.engine, one.mailing)
        ]
    else:
        found = deliveries.doubts(house.engine, _find(house, digest, which)[1])
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
    if which == SERVICES:
        _decide_services(house, digest, decision, numbers=numbers, by=by, now=now, as_json=as_json)
        return
    edition, mailing = _find(house, digest, which)
    settled = deliveries.decide(house.engine, mailing, decision, numbers=numbers, now=now)
    with writing(house.engine) as session:
        row = desk.locked(session, edition)
        desk.note(session, who=by, did=f"unconfirmed {decision}", edition=row, now=now, deliveries=settled)
        if decision == "resend" and settled and row.state == EditionState.SENT:
            desk.change(session, row, "send again", who=by, now=now)
    told = {"edition": edition.id, "decision": decision, "deliveries": settled}
    words = _words(decision, settled, f"digest deliver {digest} {edition.local_date}")
    show_json(told) if as_json else say(words)


def _decide_services(
    house: Press, digest: str, decision: str, *, numbers: list[int], by: str, now: datetime, as_json: bool
) -> None:
    chosen = [one.mailing for one in _services(house, digest) if not numbers or one.mailing in numbers]
    settled = sum(deliveries.decide(house.engine, mailing, decision, now=now) for mailing in chosen)
    with writing(house.engine) as session:
        row = digests.digest_named(session, digest)
        detail = {"services": chosen, "deliveries": settled}
        desk.write_down(
            session, who=by, did=f"unconfirmed {decision}", subject="digest", subject_id=row.id or 0, now=now, detail=detail
        )  # fmt: skip
    told = {"services": chosen, "decision": decision, "deliveries": settled}
    show_json(told) if as_json else say(_words(decision, settled, "digest serve or digest watch sends them"))


def _services(house: Press, digest: str) -> list[Doubtful]:
    with reading(house.engine) as session:
        digests.digest_named(session, digest)  # or says that there is none
    return [one for one in deliveries.doubtful(house.engine) if one.digest == digest and one.what != "edition"]


def _words(decision: str, settled: int, then: str) -> str:
    return {
        "accept": f"{number(settled)} count as arrived.",
        "close": f"{number(settled)} stay unconfirmed, and nothing more is done.",
        "resend": f"{number(settled)} are queued again: {then}",
    }[decision]


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
