"""One person through the whole house: everything held of them for them to have, and everything erased."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select
from sqlmodel import Session

from digest import copies, desk, handover
from digest.database import reading, writing
from digest.deliveries import traces
from digest.deliveries.traces import Trace
from digest.delivery_ids import delivery_id
from digest.errors import NotFoundError, NotReadyError, StorageError
from digest.models import AuditRow, DigestRow, ServiceRow
from digest.press import Press
from digest.transports import outbox
from digest.upkeep import ERASED
from digest.values import DeliveryState
from subscribers import erasure
from subscribers.erasure import Person

AUDITED, READER = "suppression", "subscriber"
AUDIT = AuditRow.metadata.tables["audit"]
UNSETTLED = frozenset({
    DeliveryState.QUEUED, DeliveryState.CLAIMED, DeliveryState.HANDING, DeliveryState.DEFERRED, DeliveryState.AMBIGUOUS,
})  # fmt: skip
"""Of these a worker may still write a message, or look for it."""


def everything_of(house: Press, address: str, *, now: datetime) -> dict[str, Any]:
    """
    All that is held of whoever has that address, ready for JSON but for its dates: who they are, what they asked for and
    where they said so, every delivery, what providers told of it, and why they are suppressed if they are.

    Raises:
        NotFoundError: nothing is held of that address, or it is none.
    """
    with reading(house.engine) as session:
        connection = session.connection()
        person = found(connection, house, address)
        found_in = erasure.held(connection, person, digest_names(connection))
        number = _number(person)
        deliveries = traces.traces_of(connection, number, person.email_hash, now=now)
        events = traces.events_of(connection, number, person.email_hash.hex())
        return found_in | {
            "deliveries": [_told(one) for one in deliveries],
            "events": [
                {"at": _moment(one.at), "kind": one.kind, "provider": one.provider, "mailing": one.mailing_id,
                 "number": one.number, "link": one.link, "reason": one.reason, "machine": one.machine}
                for one in events
            ],
            "audit": [{"at": row.at, "did": row.did, "detail": row.detail} for row in _history(session, person)],
        }  # fmt: skip


def written(found: Mapping[str, Any]) -> str:
    """What `everything_of` found as JSON, its moments in ISO 8601."""
    return json.dumps(found, default=_moment_written, ensure_ascii=False, indent=2) + "\n"


def _moment_written(value: Any) -> str:
    if not isinstance(value, date):
        raise TypeError(f"{type(value).__name__} has no JSON form")
    return value.isoformat()


def found(connection: Connection, house: Press, address: str) -> Person:
    """
    Raises:
        NotFoundError: nobody has that address and it is not suppressed, or it is none.
    """
    person = _person_at(connection, house, address)
    if person.row is None and person.suppression is None and not person.waiting:
        raise NotFoundError("Nothing is held of that address. Ask with the one they signed up with.")
    return person


def _person_at(connection: Connection, house: Press, address: str) -> Person:
    try:
        return erasure.person_at(connection, house.keys, address)
    except ValueError as error:
        raise NotFoundError(f"{address!r} is no address: {error}.") from None


def digest_names(connection: Connection) -> dict[int, str]:
    table = DigestRow.metadata.tables["digest"]
    return {number: slug for number, slug in connection.execute(select(table.c.id, table.c.slug))}  # noqa: C416


def _told(one: Trace) -> dict[str, Any]:
    return {
        "digest": one.digest, "mailing": one.mailing, "number": one.number, "channel": one.channel, "state": one.state,
        "reason": one.reason, "handed_at": _moment(one.handed_at), "updated_at": _moment(one.updated_at),
    }  # fmt: skip


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


# what was done about an address -------------------------------------------------------------------------------------


def audit(session: Session, email_hash: bytes, *, who: str, did: str, now: datetime, **detail: Any) -> None:
    """Write down what was done about an address, which is known by its keyed hash alone."""
    detail = {"email_hash": email_hash.hex(), **detail}
    desk.write_down(
        session, who=who, did=did, subject=AUDITED, subject_id=_number_of(email_hash), now=now, detail=detail
    )  # fmt: skip


def history_of(session: Session, house: Press, address: str) -> list[AuditRow]:
    """
    What was done about an address, by people and for what providers told, the oldest first.

    Raises:
        NotFoundError: it is no address.
    """
    return _history(session, _person_at(session.connection(), house, address))


def _history(session: Session, person: Person) -> list[AuditRow]:
    rows = desk.written_of(session, AUDITED, _number_of(person.email_hash))
    rows = [row for row in rows if row.detail.get("email_hash") == person.email_hash.hex()]
    if person.row is not None:
        rows += desk.written_of(session, READER, person.row.id)
    return sorted(rows, key=lambda row: (row.at, row.id))


def _number_of(email_hash: bytes) -> int:
    """The audit finds its lines by a number: the first 31 bits will do, and the line itself holds the rest."""
    return int.from_bytes(email_hash[:4], "big") >> 1


# erasing ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """
    What was erased: whether they were known, how many deliveries are nobody's now, how many files went: of the outbox, and of
    the folders of replays and rehearsals, where a rehearsal counts as one.
    """

    known: bool
    deliveries: int = 0
    files: int = 0


def erase(house: Press, address: str, *, who: str, now: datetime) -> Erasure:
    """
    Forget somebody: their row with all that hangs on it, whose their deliveries were, their messages in the outbox and in
    replays; rehearsals go whole.

    They stay suppressed by the keyed hash of their address. The files go first, so that a kill in between leaves
    somebody who can still be found and erased; those of settled deliveries, nearly all, before the transaction, so that
    nobody waits to write while folders are looked through. What SQLite itself keeps of deleted rows is cleared by
    `upkeep.scrubbed`: at once from the command line, within a day for a page that must answer quickly.

    Raises:
        NotFoundError: nothing is held of that address.
        NotReadyError: a message to them is being handed over at this moment.
        StorageError: database or outbox refused; run it again.
    """
    everywhere = [*house.settings.outbox_folder.glob("*/*")]
    with reading(house.engine) as session:
        _, deliveries = _found_with_deliveries(session, house, address, now=now)
        settled = frozenset(one for one in deliveries if one.state not in UNSETTLED)
        paths = list(_files_of(session, house, settled, house.settings.outbox_folder, everywhere))
        files = _remove_files(house, paths) + _remove_copies(session, house, deliveries)
    with writing(house.engine) as session:
        connection = session.connection()
        person, deliveries = _found_with_deliveries(session, house, address, now=now)
        if not _is_there(person):
            return _erased_before(session, person)
        if others := [one for one in deliveries if one not in settled]:  # or what left meanwhile
            files += _remove_files(house, _files_of(session, house, others, house.settings.outbox_folder, everywhere))
        traces.forget(connection, _number(person), person.email_hash, deliveries)
        # the audit is only ever added to, but for this: whom its lines are about, and what a provider said of them
        theirs = AUDIT.update().where(AUDIT.c.subject == READER, AUDIT.c.subject_id == _number(person))
        connection.execute(theirs.values(subject_id=0, detail={}))
        erasure.erase(connection, person, now=now)
        audit(session, person.email_hash, who=who, did=ERASED, now=now, deliveries=len(deliveries), files=files)
    with reading(
        house.engine
    ) as session:  # what was copied, or begun to be, before that was committed knows them still
        _remove_copies(session, house, deliveries)
    return Erasure(known=True, deliveries=len(deliveries), files=files)


def _found_with_deliveries(
    session: Session, house: Press, address: str, *, now: datetime
) -> tuple[Person, list[Trace]]:
    connection = session.connection()
    person = found(connection, house, address)
    if not _is_there(person):
        return person, []
    deliveries = traces.traces_of(connection, _number(person), person.email_hash, now=now)
    if any(one.in_hand for one in deliveries):
        raise NotReadyError("A message to them is being handed over at this moment: try again in a minute.")
    return person, deliveries


def _is_there(person: Person) -> bool:
    return person.row is not None or bool(person.waiting)


def _number(person: Person) -> int | None:
    return None if person.row is None else int(person.row.id)


def _erased_before(session: Session, person: Person) -> Erasure:
    if not any(row.did == ERASED for row in _history(session, person)):
        raise NotFoundError("Nobody has that address; it is suppressed, and nothing else is held of it.")
    return Erasure(known=False)


def _remove_copies(session: Session, house: Press, deliveries: Collection[Trace]) -> int:
    return copies.reach(house.settings.home, lambda folder: _files_of(session, house, deliveries, folder, ()))


def _files_of(
    session: Session, house: Press, deliveries: Iterable[Trace], folder: Path, everywhere: Sequence[Path]
) -> Iterator[Path]:
    """
    Where their messages are in that outbox, if they are there.

    The row of a service message, by which its place is known, may have had its time: then it may be `everywhere`.
    """
    places = dict[int, Sequence[Path]]()
    for one in deliveries:
        name = delivery_id(house.keys.hash_key, mailing=one.mailing, number=one.number, opened=one.opened)
        if one.mailing not in places:
            known = one.edition is not None or session.get(ServiceRow, one.mailing) is not None
            places[one.mailing] = [folder / handover.folder_of_mailing(session, one.mailing)] if known else everywhere
        shelf = outbox.shelf_of(one.channel, one.number, name)
        yield from (place / shelf for place in places[one.mailing])


def _remove_files(house: Press, files: Iterable[Path]) -> int:
    removed = 0
    if house.settings.outbox_folder.exists():
        outbox.Outbox(house.settings.outbox_folder, "erasing")  # opening it clears what dead workers left half written
    try:
        for file in files:
            if file.exists():
                file.unlink()
                removed += 1
    except OSError as error:
        raise StorageError(
            f"A message in the outbox could not be removed: {error.filename} {error.strerror}."
        ) from None
    return removed
