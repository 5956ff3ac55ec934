"""The stations of the days to come: planned from the cadences as rows, moved as those change, and written down where missed."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import islice

from sqlmodel import Session, col, delete, select

from digest import cadences, records
from digest.cadences import every
from digest.models import CadenceRow, DigestRow, StationRow
from digest.occurrences import ONE, Occurrence, coming, local_date, past, why_not
from digest.stations import DECIDED, OPEN, end, skip_late
from digest.values import Station, StationState

AHEAD = timedelta(hours=48)
"""How long before it is due a day's stations are on record; the next occurrence is there whenever it is."""
MOST_MISSED = 31
MISSED = "missed: no clock was running"


def plan(session: Session, now: datetime) -> None:
    """
    Bring the rows to what the cadences say: what is due soon, the last occurrence that is past, and what was missed.

    A row that has ended stays as it is: a changed cadence moves only what is still to come, so that no date is begun
    twice. Days between the last one known and the last one past were missed while no clock ran; they are written down.
    """
    for digest, cadence in every(session):
        if cadence.paused_at is None:
            _plan_one(session, digest, cadence, now)


def _plan_one(session: Session, digest: DigestRow, cadence: CadenceRow, now: datetime) -> None:
    known = _known(session, cadence, now)
    wanted = _wanted(cadence, now, known)
    kept = _forget(session, digest, cadence, known, wanted)
    _let_go(session, digest, cadence, now, kept)
    for one in wanted:
        _move(session, digest, cadence, one)
        for station, at in one.stations.items():
            row = known.get((one.day, station))
            if row is None:
                session.add(_row(cadence, one.day, station, at))
            elif row.state == StationState.WAITING and row.attempt == 0 and row.due_at != at:
                row.due_at = at
                session.add(row)
    for one in _missed(cadence, now, known, wanted):
        row = _row(cadence, one.day, Station.SEND, one.release_at)
        end(session, row, StationState.PASSED, MISSED, now)
        skip_late(session, digest, one, MISSED, now)


def _known(session: Session, cadence: CadenceRow, now: datetime) -> dict[tuple[date, str], StationRow]:
    """The latest rows up to what is planned now; beyond it are those that a clock set far ahead made."""
    planned = [one.day for one in _soon(cadence, now)]
    last = max(planned, default=local_date(cadence, now) + 2 * ONE)
    query = select(StationRow).where(StationRow.digest_id == cadence.digest_id, StationRow.kind == cadence.kind)
    latest = query.where(StationRow.local_date <= last)
    latest = latest.order_by(col(StationRow.local_date).desc()).limit(len(Station) * (MOST_MISSED + 4))
    return {(row.local_date, row.station): row for row in session.exec(latest)}


def _wanted(cadence: CadenceRow, now: datetime, known: Mapping[tuple[date, str], StationRow]) -> list[Occurrence]:
    """
    What is past and on record with its sending still open, or is the last one and not too late; what is due soon; the next
    one whenever that is.
    """
    ended = {day for (day, station), row in known.items() if station == Station.SEND and row.state not in OPEN}
    begun = {day for day, _ in known}
    over = enumerate(islice(past(cadence, now), MOST_MISSED))
    wanted = [
        one for number, one in over
        if one.day not in ended and (one.day in begun or (not number and now <= one.late_at))
    ]  # fmt: skip
    return [*wanted, *_soon(cadence, now)]


def _soon(cadence: CadenceRow, now: datetime) -> Iterator[Occurrence]:
    for number, one in enumerate(coming(cadence, now)):
        if number and one.gather_at > now + AHEAD:
            return
        yield one


def _move(session: Session, digest: DigestRow, cadence: CadenceRow, one: Occurrence) -> None:
    """An edition that still waits follows its cadence: when it is due, until when editors may act, and what happens then."""
    edition = records.edition_on(session, digest, one.day, one.kind)
    if edition is None or edition.state in DECIDED:
        return
    edition.due_at, edition.deadline_at, edition.fallback = one.due_at, one.deadline_at, cadence.fallback
    session.add(edition)


def _missed(
    cadence: CadenceRow, now: datetime, known: Mapping[tuple[date, str], StationRow], wanted: Sequence[Occurrence]
) -> Iterator[Occurrence]:
    for one in islice(past(cadence, now), MOST_MISSED):
        if any((one.day, station) in known for station in Station):
            return
        if one not in wanted:
            yield one


def _forget(
    session: Session,
    digest: DigestRow,
    cadence: CadenceRow,
    known: Mapping[tuple[date, str], StationRow],
    wanted: Sequence[Occurrence],
) -> set[date]:
    """
    Take away what will not be: days that were changed or left out before anything of them began, or before they had an
    edition; and of the others stations they have no more, behind which the next ones would wait. Returns the days kept.
    """
    stations_of = {one.day: one.stations for one in wanted}
    kept = set(stations_of)
    going: list[StationRow] = []
    for day in {day for day, _ in known}:
        rows = [row for (of, _), row in known.items() if of == day]
        fresh = [row for row in rows if row.state == StationState.WAITING and row.attempt == 0]
        if day in stations_of:
            going += [row for row in fresh if row.station not in stations_of[day]]
        elif len(fresh) == len(rows) or (
            why_not(cadence, day) and records.edition_on(session, digest, day, cadence.kind) is None
        ):
            going += rows
        else:
            kept.add(day)
    session.exec(delete(StationRow).where(col(StationRow.id).in_([row.id for row in going])))
    return kept


def _let_go(session: Session, digest: DigestRow, cadence: CadenceRow, now: datetime, kept: set[date]) -> None:
    """Editions that wait on a day without stations, and will get none, are given to a person: nobody else sees to them."""
    for edition in cadences.waiting(session, digest, cadence.kind):
        assert edition.due_at is not None, "the cadence set it"
        if edition.local_date in kept:
            continue
        if why := why_not(cadence, edition.local_date):
            cadences.let_go(session, edition, f"It is not of the cadence any more: {why}.", now=now)
        elif edition.due_at <= now:
            cadences.let_go(session, edition, "Its hour went by while the cadence stood still.", now=now)


def _row(cadence: CadenceRow, day: date, station: Station, at: datetime) -> StationRow:
    return StationRow(digest_id=cadence.digest_id, kind=cadence.kind, local_date=day, station=station, due_at=at)
