"""Opens and clicks of editions: where a tracked link leads, what is written down of it, for how long, and what is known."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from math import inf
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, and_, case, func, select
from sqlmodel import Session, SQLModel, col
from sqlmodel import select as select_rows

from digest.database import reading, writing
from digest.deliveries import insert_once
from digest.delivery_ids import (
    OWN_TRAIL,
    PREVIEW_TRAIL,
    TRAIL,
    read_delivery_id,
    read_delivery_token,
)
from digest.machines import AN_OPEN, OPENED, Deed, Sight, judged
from digest.models import AuditRow
from subscribers import engagement
from subscribers.tokens import Keys

_TABLE = SQLModel.metadata.tables
LINKS, TALLIES, DEEDS, ONCE = (_TABLE[name] for name in ("link", "tally", "deed", "told_once"))
DELIVERIES, MAILINGS, EDITIONS, PEOPLE = (_TABLE[name] for name in ("delivery", "mailing", "edition", "subscriber"))
PROOFS = _TABLE["proof"]

OFF, PERSONAL = "off", "personal"
DROPPED = "dropped"
SUBJECT = "tracking"  # of the audit's lines about the mode
SOME = 500  # visitors, or rows, of one transaction


class Place(NamedTuple):
    """Where a trail begins: an edition's version, and whose delivery it is; (0, 0) where that is nobody's."""

    edition: int
    version: int
    mailing: int = 0
    number: int = 0
    preview: bool = False


class Lead(NamedTuple):
    """Where a link leads."""

    url: str
    trap: bool


class Visit(NamedTuple):
    """What one visitor did within a minute."""

    place: Place
    sights: Sequence[Sight]
    source: str = ""


def place_of(connection: Connection, keys: Keys, trail: str) -> Place | None:
    """Where a trail that we gave begins; None for every other string, and where the mailing is gone."""
    if (own := read_delivery_token(keys, trail, OWN_TRAIL)) is not None:
        found = _editions(connection, {own}).get(own)
        return Place(*found, *own) if found else None
    if (edition := read_delivery_token(keys, trail, TRAIL)) is not None:
        return Place(*edition)
    looked = read_delivery_token(keys, trail, PREVIEW_TRAIL)
    return Place(*looked, preview=True) if looked is not None else None


def _editions(connection: Connection, named: Collection[tuple[int, int]]) -> dict[tuple[int, int], tuple[int, int]]:
    """Of deliveries, each a mailing and a number, the edition and its version; those of the day's later waves may have another."""
    row, found = MAILINGS.c, dict[tuple[int, int], tuple[int, int]]()
    for mailing in {mailing for mailing, _ in named}:
        numbers = sorted(number for of, number in named if of == mailing)
        which = and_(
            DELIVERIES.c.month == row.month, DELIVERIES.c.mailing_id == row.id, DELIVERIES.c.number.in_(numbers)
        )
        query = (
            select(DELIVERIES.c.number, row.edition_id, PROOFS.c.version)
            .select_from(MAILINGS.join(DELIVERIES, which).join(PROOFS, PROOFS.c.id == DELIVERIES.c.proof_id))
            .where(row.id == mailing, row.edition_id.is_not(None))
        )
        found |= {(mailing, number): (edition, version) for number, edition, version in connection.execute(query)}
    return found


def leads_of(connection: Connection, edition: int, version: int) -> dict[int, Lead]:
    """The links that are stored with that version of an edition, by their numbers."""
    row = LINKS.c
    query = select(row.number, row.url, row.trap).where(row.edition_id == edition, row.version == version)
    return {number: Lead(url, trap) for number, url, trap in connection.execute(query)}


# writing down -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Context:
    """What is known of one visit's mail: when it left, and whose it is where we may write that down."""

    delivered: float | None = None
    person: int | None = None
    tracked: bool = False  # its mails hold our own links and pixel


def write(engine: Engine, visits: Sequence[Visit], *, mode: str) -> int:
    """
    Judge these visits and write down what is counted, a few hundred in a transaction; how many deeds there were.

    In aggregate mode only counts are written, whosever mail it was. In personal mode also who did it, if they agree to that
    still, and then what they did by the day. When tracking is off nothing is written.

    Raises:
        StorageError: the database refused; of the transaction that it refused nothing is kept.
    """
    if mode == OFF:
        return 0
    done = 0
    for first in range(0, len(visits), SOME):
        some = visits[first : first + SOME]
        with reading(engine) as session:
            known = _known(session.connection(), some, personal=mode == PERSONAL)
        noted = _noted(some, known)
        with writing(engine) as session:
            _keep(session.connection(), noted)
        done += len(noted)
    return done


def _noted(visits: Sequence[Visit], known: "Sequence[_Context]") -> "list[Noted]":
    return [
        (visit, context, deed)
        for visit, context in zip(visits, known, strict=True)
        for deed in judged(visit.sights, delivered=context.delivered)
    ]


def drop(engine: Engine, counts: Mapping[int, int]) -> None:
    """Write down how much could not be counted, by edition: it is never only forgotten."""
    with writing(engine) as session:
        connection = session.connection()
        known = set(connection.execute(select(EDITIONS.c.id).where(EDITIONS.c.id.in_(sorted(counts)))).scalars())
        _add(
            connection, {(edition, DROPPED, AN_OPEN, True, ""): n for edition, n in counts.items() if edition in known}
        )


def _known(connection: Connection, visits: Sequence[Visit], *, personal: bool) -> list[_Context]:
    editions = sorted({one.place.edition for one in visits})
    row = MAILINGS.c
    query = select(row.id, row.edition_id, row.month, row.finished_at, row.tracking).where(row.edition_id.in_(editions))
    mailings = {one.edition_id: one for one in connection.execute(query)}
    people = {
        (one.mailing_id, one.number): one
        for mailing in mailings.values()
        for one in _deliveries(connection, mailing, {v.place.number for v in visits if v.place.mailing == mailing.id})
    }
    return [_context(one, mailings.get(one.place.edition), people, personal=personal) for one in visits]


def _deliveries(connection: Connection, mailing: Any, numbers: Collection[int]) -> Sequence[Any]:
    if not numbers:
        return []
    row = DELIVERIES.c
    query = (
        select(row.mailing_id, row.number, row.subscriber_id, row.handed_at, row.updated_at, PEOPLE.c.tracked_since)
        .select_from(DELIVERIES.outerjoin(PEOPLE, PEOPLE.c.id == row.subscriber_id))
        .where(row.month == mailing.month, row.mailing_id == mailing.id, row.number.in_(sorted(numbers)))
    )
    return connection.execute(query).all()


def _context(visit: Visit, mailing: Any, people: Mapping[tuple[int, int], Any], *, personal: bool) -> _Context:
    one = people.get((visit.place.mailing, visit.place.number))
    finished = mailing.finished_at.timestamp() if mailing is not None and mailing.finished_at else None
    tracked = mailing is not None and mailing.tracking != OFF
    if one is None:
        return _Context(delivered=finished, tracked=tracked)
    left = one.handed_at if one.handed_at is not None else one.updated_at
    since = one.tracked_since.timestamp() if personal and one.tracked_since is not None else inf
    person = one.subscriber_id if all(sight.at >= since for sight in visit.sights) else None  # a provider may tell late
    return _Context(delivered=left, person=person, tracked=tracked)


Noted = tuple[Visit, _Context, Deed]
Count = tuple[int, str, int, bool, str]
"""Edition, kind, link, machine, source."""


def _keep(connection: Connection, noted: Sequence[Noted]) -> None:
    people = engagement.tracked(connection, {context.person for _, context, _ in noted if context.person is not None})
    counts: Counter[Count] = Counter()
    rows, days = [], Counter[engagement.Deed]()
    for visit, context, deed in noted:
        machine = bool(deed.why)
        counts[visit.place.edition, deed.kind, deed.link, machine, visit.source] += 1
        if context.person in people:
            rows.append(_row(visit, context.person, deed))
            # what a provider tells of mails with our own links in them, those have told already
            if not machine and not (visit.source and context.tracked):
                days[context.person, deed.kind, datetime.fromtimestamp(deed.at, UTC).date()] += 1
    _add(connection, counts)
    if rows:
        connection.execute(DEEDS.insert(), rows)
    engagement.add_up(connection, days)


def _row(visit: Visit, person: int, deed: Deed) -> dict[str, Any]:
    return {
        "subscriber_id": person, "edition_id": visit.place.edition, "kind": deed.kind, "link": deed.link, "at": deed.at,
        "machine": bool(deed.why), "why": deed.why, "source": visit.source,
    }  # fmt: skip


def _add(connection: Connection, counts: Mapping[Count, int]) -> None:
    insert = insert_once(connection, TALLIES)
    adding = insert.on_conflict_do_update(
        index_elements=TALLIES.primary_key.columns, set_={"number": TALLIES.c.number + insert.excluded.number}
    )
    names = ("edition_id", "kind", "link", "machine", "source")
    rows = [{**dict(zip(names, count, strict=True)), "number": number} for count, number in sorted(counts.items())]
    if rows:
        connection.execute(adding, rows)


# what a provider tells ----------------------------------------------------------------------------------------------


class Told(NamedTuple):
    """An open (no `url`) or a click that a provider told, by its own number for it. `delivery` is ours, opaque."""

    key: str
    delivery: str
    at: float
    url: str = ""
    machine: bool = False


def hear(engine: Engine, keys: Keys, told: Sequence[Told], *, provider: str, mode: str, now: datetime) -> int:
    """
    Write down what a provider told of opens and clicks, each once however often it tells them; how many were new.

    Nothing is heard while tracking is off, and nothing of what names no delivery of ours or a link that is not its edition's.

    Raises:
        StorageError: the database refused: let it be told again.
    """
    heard = 0
    for first in range(0, len(told) if mode != OFF else 0, SOME):
        some = {_once(keys, one.key): one for one in told[first : first + SOME]}
        with writing(engine) as session:
            connection = session.connection()
            rows = [{"key": key, "heard_at": now.timestamp()} for key in sorted(some)]
            insert = insert_once(connection, ONCE).on_conflict_do_nothing().returning(ONCE.c.key)
            fresh = [some[key] for key in sorted(set(connection.execute(insert, rows).scalars()))]
            visits = _visits(connection, keys, fresh, provider)
            known = _known(connection, visits, personal=mode == PERSONAL)
            _keep(connection, _noted(visits, known))
        heard += len(visits)
    return heard


def _once(keys: Keys, key: str) -> bytes:
    return blake2b(key.encode("utf-8", "replace"), key=keys.hash_key, digest_size=16, person=b"told once").digest()


def _visits(connection: Connection, keys: Keys, told: Sequence[Told], provider: str) -> list[Visit]:
    """Each by itself, so that it does not matter together with which others it was told."""
    named = [(one, name) for one in told if (name := read_delivery_id(keys.hash_key, one.delivery)) is not None]
    row = MAILINGS.c
    query = select(row.id, row.filled_at).where(row.edition_id.is_not(None))
    mailings = {one.id: one for one in connection.execute(query.where(row.id.in_({name.mailing for _, name in named})))}
    editions = _editions(connection, {(name.mailing, name.number) for _, name in named if name.mailing in mailings})
    numbers: dict[tuple[int, int], dict[str, int]] = {}
    visits = []
    for one, name in named:
        mailing, edition = mailings.get(name.mailing), editions.get((name.mailing, name.number))
        if mailing is None or edition is None or int(mailing.filled_at.timestamp()) != name.opened:
            continue
        if edition not in numbers:
            leads = leads_of(connection, *edition)
            numbers[edition] = {lead.url: number for number, lead in leads.items() if not lead.trap}
        link = numbers[edition].get(one.url) if one.url else AN_OPEN
        if link is not None:
            place = Place(*edition, name.mailing, name.number)
            visits.append(Visit(place, [Sight(link, one.at, mark="told" if one.machine else "")], provider))
    return visits


# a mode is switched on ----------------------------------------------------------------------------------------------


def begin(engine: Engine, mode: str, *, now: datetime) -> bool:
    """
    Note which mode holds from now on; whether it is another than before. To be called by who counts, before it does.

    Where personal tracking begins, everybody who agreed to it is tracked since now: of the time before nothing is known, and
    a rule such as "never opened" must not take that for silence.
    """
    with writing(engine) as session:
        query = select_rows(AuditRow).where(AuditRow.subject == SUBJECT).order_by(col(AuditRow.id).desc())
        last = session.exec(query).first()
        before = last.detail["mode"] if last is not None else OFF
        if before == mode:
            return False
        detail = {"mode": mode, "before": before}
        session.add(AuditRow(at=now, who="the press", did="track", subject=SUBJECT, subject_id=0, detail=detail))
        if mode == PERSONAL:
            agreed = PEOPLE.update().where(PEOPLE.c.tracked_since.is_not(None))
            session.connection().execute(agreed.values(tracked_since=now))
        return True


# what is known ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """How often: by people, and by machines, each time counted; `source` is empty for what we saw ourselves."""

    kind: str
    link: int
    source: str
    people: int
    machines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What is known of an edition's opens and clicks. `readers`: how many different ones opened, of those who agreed."""

    seen: Sequence[Seen]
    dropped: int
    readers: int
    traps: frozenset[int]


def figures(session: Session, edition: int, version: int) -> Figures:
    """What was counted of an edition, in any mode."""
    connection, row = session.connection(), TALLIES.c
    of = [func.sum(case((row.machine == machine, row.number), else_=0)) for machine in (False, True)]
    query = (
        select(row.kind, row.link, row.source, *of)
        .where(row.edition_id == edition)
        .group_by(row.kind, row.link, row.source)
        .order_by(row.source, row.kind.desc(), row.link)
    )
    seen = [
        Seen(kind=kind, link=link, source=source, people=int(people), machines=int(machines))
        for kind, link, source, people, machines in connection.execute(query)
    ]
    who = DEEDS.c
    readers = select(func.count(who.subscriber_id.distinct())).where(
        who.edition_id == edition, who.kind == OPENED, who.machine.is_(False)
    )
    leads = leads_of(connection, edition, version)
    return Figures(
        seen=[one for one in seen if one.kind != DROPPED], dropped=sum(one.machines for one in seen if one.kind == DROPPED),
        readers=int(connection.execute(readers).scalar_one()),
        traps=frozenset(number for number, lead in leads.items() if lead.trap),
    )  # fmt: skip
