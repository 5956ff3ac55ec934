"""How the house stands now: one answer for `digest status`, `/readyz` and `/metrics`, read in a few milliseconds."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import cast

from sqlmodel import Session, col, select

from digest import __version__, alarms, deliveries
from digest.causes import AWAY, View, recent
from digest.database import REVISION, reading, revision_of
from digest.disks import disks
from digest.leading import seconds_away
from digest.models import AlarmRow, CadenceRow, DigestRow, EditionRow, SourceRow, StationRow
from digest.press import Press
from digest.values import EditionState, StationState

A_DAY = timedelta(days=1)
UNDER_WAY = (EditionState.SENDING, EditionState.PAUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """The next station of a digest's day."""

    digest: str
    kind: str
    local_date: date
    station: str
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EditionStanding:
    """One edition of these days; its numbers are of deliveries, as near as batches tell them (see deliveries.glance)."""

    digest: str
    kind: str
    local_date: date
    name: str
    state: str
    reason: str
    deadline_at: datetime
    due_at: datetime | None
    late_by: int  # seconds
    candidates: int = 0
    handed: int = 0
    left: int = 0
    rate: float = 0.0  # a second, within the last minute
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmStanding:
    cause: str
    subject: str
    words: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskStanding:
    held: Sequence[str]
    free: int  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """All of it. `leader_age`: seconds since there was a sign of who runs the day; None: never. It names no reader."""

    at: datetime
    leader_needed: bool
    leader_age: float | None
    due: Sequence[Due]
    editions: Sequence[EditionStanding]
    alarms: Sequence[AlarmStanding]
    ways: Sequence[str]
    disks: Sequence[DiskStanding]
    sources: int
    sources_failing: int
    gathered_at: datetime | None
    services_waiting: int
    unconfirmed: int


def standing(press: Press, now: datetime) -> Standing:
    """How all stands at `now`."""
    with reading(press.engine) as session:
        needed, age = _leader(session, now)
        tried = select(SourceRow.failures, SourceRow.last_tried_at).where(SourceRow.enabled)
        sources = session.exec(tried).all()
        return Standing(
            at=now, leader_needed=needed, leader_age=age, due=_due(session), editions=_editions(session, press, now),
            alarms=[_alarm(row) for row in alarms.current(session)], ways=press.settings.alarm_ways,
            disks=[DiskStanding(held=one.held, free=one.free) for one in disks(press.settings)], sources=len(sources),
            sources_failing=sum(bool(failures) for failures, _ in sources),
            gathered_at=max((at for _, at in sources if at is not None), default=None),
            services_waiting=deliveries.services_waiting(session.connection(), now=now)[0],
            unconfirmed=sum(deliveries.in_doubt(session.connection()).values()),
        )  # fmt: skip


def unready(press: Press, now: datetime) -> str:
    """Why this process had better not be asked now; empty when it may be. Of the database's own words nothing."""
    try:
        if revision_of(press.engine) != REVISION:
            return "the database is not at this version's tables"
        with reading(press.engine) as session:
            needed, age = _leader(session, now)
    except Exception:  # noqa: BLE001  whatever it is, the answer is no
        return "the database does not answer"
    return "nobody runs the day" if needed and (age is None or age > AWAY) else ""


def _leader(session: Session, now: datetime) -> tuple[bool, float | None]:
    needed = session.exec(select(CadenceRow.id).where(col(CadenceRow.paused_at).is_(None))).first() is not None
    return needed, seconds_away(session, now)


def _due(session: Session) -> list[Due]:
    """The first station that waits, of each digest and kind."""
    row = StationRow
    query = select(row, DigestRow.slug).where(row.digest_id == DigestRow.id, row.state == StationState.WAITING)
    first: dict[tuple[str, str], Due] = {}
    for one, slug in session.exec(query.order_by(col(row.due_at)).limit(1000)):
        due = Due(digest=slug, kind=one.kind, local_date=one.local_date, station=one.station, due_at=one.due_at)
        first.setdefault((slug, one.kind), due)
    return list(first.values())


def _editions(session: Session, press: Press, now: datetime) -> list[EditionStanding]:
    """Those of today and yesterday, and whatever is still under way."""
    rows = [
        (row, slug)
        for row, slug in recent(View(session=session, settings=press.settings, now=now), *EditionState)
        if row.local_date >= (now - A_DAY).date() or row.state in UNDER_WAY
    ]
    ids = [cast("int", row.id) for row, _ in rows]
    found = {one.edition: one for one in deliveries.glances(session.connection(), ids, now=now)} if ids else {}
    return [_edition(row, slug, found.get(cast("int", row.id))) for row, slug in rows]


def _edition(row: EditionRow, slug: str, glance: deliveries.Glance | None) -> EditionStanding:
    numbers: Mapping[str, int | float | None] = (
        {name: getattr(glance, name) for name in ("candidates", "handed", "left", "rate", "seconds_left")}
        if glance
        else {}
    )
    return EditionStanding(
        digest=slug, kind=row.kind, local_date=row.local_date, name=row.name, state=row.state, reason=row.reason,
        deadline_at=row.deadline_at, due_at=row.due_at, late_by=row.late_by, **numbers,  # type: ignore[arg-type]
    )  # fmt: skip


def _alarm(row: AlarmRow) -> AlarmStanding:
    return AlarmStanding(cause=row.cause, subject=row.subject, words=row.words, since=row.since)


# for Prometheus ---------------------------------------------------------------------------------------------------------

Sample = tuple[Mapping[str, str], float]


def metrics(here: Standing) -> str:
    """
    The same as Prometheus reads it: all are gauges. Labels are digests, states, causes and disks, so there are few of each.

    Source: Prometheus, "Exposition formats", text-based format 0.0.4.
    """
    families = (_family(name, words, samples) for name, words, samples in _measured(here))
    return "".join(families)


def _measured(here: Standing) -> Iterator[tuple[str, str, Iterable[Sample]]]:
    states = Counter((one.digest, one.state) for one in here.editions)
    deliveries_: Counter[tuple[str, str]] = Counter()
    rates: Counter[str] = Counter()
    for one in here.editions:
        for what in ("candidates", "handed", "left"):
            deliveries_[one.digest, what] += getattr(one, what)
        rates[one.digest] += one.rate  # type: ignore[assignment]
    causes = Counter(one.cause for one in here.alarms)
    yield "build_info", "Always 1; the version is its label.", [({"version": __version__}, 1)]
    yield "leader_needed", "1 while there are cadences to be run.", [({}, here.leader_needed)]
    yield "leader_age_seconds", "Since there was a sign of who runs the day.", _known({}, here.leader_age)
    yield "next_station_seconds", "Until the next station of a digest; below 0 it is late.", [
        ({"digest": one.digest, "kind": one.kind, "station": one.station}, (one.due_at - here.at).total_seconds()) for one in here.due
    ]  # fmt: skip
    yield "editions", "Editions of today and yesterday, and those under way.", [
        ({"digest": digest, "state": state}, number) for (digest, state), number in states.items()
    ]  # fmt: skip
    yield "deliveries", "Deliveries of these editions: of how many, done with, and left.", [
        ({"digest": digest, "what": what}, number) for (digest, what), number in deliveries_.items()
    ]  # fmt: skip
    yield (
        "deliveries_per_second",
        "Of these editions, within the last minute.",
        [({"digest": one}, rate) for one, rate in rates.items()],
    )
    yield "unconfirmed", "Deliveries of which nobody can know whether they arrived.", [({}, here.unconfirmed)]
    yield "service_messages_waiting", "Service messages that could leave now.", [({}, here.services_waiting)]
    yield "alarms", "Alarms that are on.", [({"cause": name}, causes[name]) for name in alarms.ALL]
    yield "sources", "Sources that are read.", [({}, here.sources)]
    yield "sources_failing", "Sources that failed when last read.", [({}, here.sources_failing)]
    gathered = (here.at - here.gathered_at).total_seconds() if here.gathered_at else None
    yield "gather_age_seconds", "Since a source was last read.", _known({}, gathered)
    yield (
        "disk_free_bytes",
        "Free on each disk we write to.",
        [({"held": " and ".join(one.held)}, one.free) for one in here.disks],
    )


def _known(labels: Mapping[str, str], value: float | None) -> list[Sample]:
    return [] if value is None else [(labels, value)]


def _family(name: str, words: str, samples: Iterable[Sample]) -> str:
    lines = [f"digest_{name}{_labels(labels)} {float(value):.15g}\n" for labels, value in samples]
    return f"# HELP digest_{name} {words}\n# TYPE digest_{name} gauge\n{''.join(lines)}" if lines else ""


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    escaped = (
        (name, value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")) for name, value in labels.items()
    )
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped) + "}"
