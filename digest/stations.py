"""
The stations of an edition's day, run when they are due, each at most once to its end (see digest.planning for their rows).

Nothing is remembered outside the rows. A station that a kill cut off is run again, and is made for that: it finds what
it did before. Only the leader runs them (see digest.leading), so that two clocks make one edition.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import and_
from sqlmodel import Session, col, select

from digest import cadences, desk, editions, gathering, records
from digest.database import reading, writing
from digest.editors import tell_outcome, tell_ready, tell_reminder
from digest.errors import DigestError
from digest.leading import LostError, as_leader
from digest.models import CadenceRow, DigestRow, EditionRow, StationRow
from digest.occurrences import Occurrence, occurrence
from digest.press import Press, apply_deadline, assemble, release
from digest.values import EditionKind, EditionState, Late, Station, StationState

log = logging.getLogger(__name__)
GRACE = 60  # seconds; an edition that leaves within these is not late
TRIES = 3  # to read sources that all fail, before the edition is made of what there is
REST = timedelta(seconds=30)
LONGEST_REST = timedelta(minutes=5)
DECIDED = frozenset({
    EditionState.SENDING, EditionState.PAUSED, EditionState.SENT, EditionState.SKIPPED, EditionState.CANCELLED
})  # fmt: skip
OPEN = (StationState.WAITING, StationState.RUNNING)
ORDER = {station: place for place, station in enumerate(Station)}
Told = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Due:
    """A station that has not ended, with the occurrence it belongs to, and its edition where there is one yet."""

    row: StationRow
    digest: DigestRow
    cadence: CadenceRow
    edition: EditionRow | None

    @property
    def key(self) -> tuple[int, str, date]:
        return self.row.digest_id, self.row.kind, self.row.local_date

    @property
    def order(self) -> int:
        return ORDER[Station(self.row.station)]

    @property
    def times(self) -> Occurrence:
        return occurrence(self.cadence, self.row.local_date)

    @property
    def words(self) -> str:
        kind = "" if self.row.kind == EditionKind.DAILY else f" ({self.row.kind})"
        return f"{self.digest.slug} {self.row.local_date}{kind}"

    @property
    def release_at(self) -> datetime:
        """
        When an approved edition is released: after the undo window. With one hour for all shortly before it is due;
        where each reader has an hour of their own, for some it is time by then.
        """
        assert self.edition is not None
        approved = (self.edition.approved_at or self.times.deadline_at) + timedelta(minutes=self.cadence.undo)
        return approved if self.cadence.local else max(approved, self.times.release_at)

    def is_due(self, now: datetime) -> bool:
        """Its time has come, or is long over. An approved edition's sending waits for its release, and after a fault a while."""
        if now > self.times.late_at or self.is_over:
            return True
        if self.row.station != Station.SEND:
            return self.row.due_at <= now
        return self.is_released(now) and (self.row.attempt == 0 or self.row.due_at <= now)

    def is_released(self, now: datetime) -> bool:
        approved = self.edition is not None and self.edition.state == EditionState.APPROVED
        return approved and self.release_at <= now

    @property
    def is_over(self) -> bool:
        """The edition is on its way or will never be: there is nothing left to do for its stations."""
        return self.edition is not None and self.edition.state in DECIDED


def due(session: Session, now: datetime) -> list[Due]:
    """The stations to run now, of each occurrence the first that has not ended. What is nearest to its readers goes first."""
    row = StationRow
    cadence_of_it = (col(CadenceRow.digest_id) == row.digest_id, col(CadenceRow.kind) == row.kind)
    edition_of_it = (
        col(EditionRow.digest_id) == row.digest_id, col(EditionRow.kind) == row.kind,
        col(EditionRow.local_date) == row.local_date, col(EditionRow.name) == "",
    )  # fmt: skip
    query = (
        select(StationRow, DigestRow, CadenceRow, EditionRow)
        .join(DigestRow, col(DigestRow.id) == row.digest_id)
        .join(CadenceRow, and_(*cadence_of_it))
        .outerjoin(EditionRow, and_(*edition_of_it))
        .where(col(row.state).in_(OPEN), col(CadenceRow.paused_at).is_(None))
    )
    next_ones: dict[tuple[int, str, date], Due] = {}
    for one in sorted((Due(*found) for found in session.exec(query)), key=lambda one: one.order):
        if one.key not in next_ones or (one.row.station == Station.SEND and one.is_released(now)):
            next_ones[one.key] = one  # an approved edition leaves, though its deadline is still to come
    return sorted((one for one in next_ones.values() if one.is_due(now)), key=lambda one: (-one.order, one.row.due_at))


def run(press: Press, one: Due, fence: int, *, clock: Callable[[], datetime], told: Told) -> None:
    """
    Run one station to its end, as the leader of that fence. What fails is tried again later, and told.

    Raises:
        LostError: another process leads by now; nothing was written.
    """
    with as_leader(fence):
        now = clock()
        with writing(press.engine) as session:
            row = session.get(StationRow, one.row.id)
            if row is None or row.state not in OPEN:
                return
            row.state, row.attempt = StationState.RUNNING, row.attempt + 1
            session.add(row)
        try:
            state, words = _act(press, one, now)
        except LostError:
            raise
        except DigestError as error:
            state, words = StationState.WAITING, str(error)
        except Exception as error:
            log.exception("station %s of %s", one.row.station, one.words)
            state, words = StationState.WAITING, f"{type(error).__name__}: {error}"
        with writing(press.engine) as session:
            row = session.get(StationRow, one.row.id)
            if row is None:  # the cadence was changed or removed meanwhile, and its day is not wanted any more
                return
            if state == StationState.WAITING:
                _wait(session, row, words, clock())
            else:
                end(session, row, state, words, clock())
            changed = words != one.row.words
    if words and changed:
        told(f"{one.words}: {words}")


def _wait(session: Session, row: StationRow, words: str, now: datetime) -> None:
    row.state, row.words = StationState.WAITING, words
    row.due_at = now + min(LONGEST_REST, REST * 2 ** min(row.attempt - 1, 10))
    session.add(row)


def end(session: Session, row: StationRow, state: StationState, words: str, now: datetime) -> None:
    row.state, row.words, row.ended_at = state, words, now
    session.add(row)


Outcome = tuple[StationState, str]
DONE, PASSED, WAITING = StationState.DONE, StationState.PASSED, StationState.WAITING


def _act(press: Press, one: Due, now: datetime) -> Outcome:
    """What the station comes to: its state, and a sentence. A station whose edition is decided already has nothing to do."""
    if one.edition is not None and one.edition.state in DECIDED:
        return DONE, ""
    if now > one.times.late_at:
        return _too_late(press, one, now)
    return ACTIONS[Station(one.row.station)](press, one, now)


def _gather(press: Press, one: Due, now: datetime) -> Outcome:
    reports = gathering.gather(press.engine, press.settings, now=now)
    failed = [report for report in reports if report.state in {"failed", "resting"}]
    read = [report for report in reports if report.state in {"new", "unchanged"}]
    words = (
        f"{len(read)} of {len(read) + len(failed)} sources read, {sum(report.new for report in reports)} new stories"
    )
    if failed:
        words += "; not read: " + ", ".join(report.name for report in failed[:5])
    if failed and not read and one.row.attempt + 1 < TRIES and now < one.times.deadline_at:
        return WAITING, f"{words}; tried again soon"
    return DONE, words


def _assemble(press: Press, one: Due, now: datetime) -> Outcome:
    edition = assemble(
        press,
        one.digest.slug,
        day=one.row.local_date,
        kind=EditionKind(one.row.kind),
        now=now,
        notes=_unread(press, one),
    )
    _tell(tell_ready, press, edition, now)
    _tell(tell_outcome, press, edition, now)
    return DONE, f"the edition is {edition.state}"


def _unread(press: Press, one: Due) -> list[str]:
    """What the editors must know about the gathering: which sources could not be read, so that older stories stand in."""
    same = (
        StationRow.digest_id == one.row.digest_id,
        StationRow.kind == one.row.kind,
        StationRow.local_date == one.row.local_date,
    )
    with reading(press.engine) as session:
        words = session.exec(select(StationRow.words).where(*same, StationRow.station == Station.GATHER)).first() or ""
    return [f"When it was gathered: {words}."] if "not read:" in words else []


def _remind(press: Press, one: Due, now: datetime) -> Outcome:
    assert one.edition is not None, "it was assembled by an earlier station"
    told = _tell(tell_reminder, press, one.edition, now)
    waits = one.edition.state in {EditionState.DRAFT, EditionState.REVIEW}
    words = f"nobody has acted yet; the deadline is {one.times.deadline_at:%H:%M} UTC" if waits else ""
    return DONE, f"{words}; letters to editors: {told}" if told else words


def _approve(press: Press, one: Due, now: datetime) -> Outcome:
    assert one.edition is not None, "it was assembled by an earlier station"
    after = apply_deadline(press, one.edition, now=now)
    _tell(tell_outcome, press, after, now)
    by = f" by {after.approved_by}" if after.approved_by else ""
    return DONE, f"the edition is {after.state}{by}. {after.reason}".rstrip()


def _tell(
    letter: Callable[[Press, EditionRow, datetime], int], press: Press, edition: EditionRow, now: datetime
) -> int:
    """How many editors were written to. That nobody can be told holds up no edition."""
    try:
        return letter(press, edition, now)
    except LostError:
        raise
    except DigestError as error:
        log.warning("editors were not told: %s", error)
        return 0


def _send(press: Press, one: Due, now: datetime) -> Outcome:
    edition = one.edition
    assert edition is not None, "it was assembled by an earlier station"
    if edition.state != EditionState.APPROVED:
        return WAITING, ""
    late = int((now - max(one.times.due_at, one.times.release_at)).total_seconds())
    if late > GRACE:
        with writing(press.engine) as session:
            desk.locked(session, edition).late_by = late
    release(press, edition, now=now)
    return DONE, f"released {late // 60} min late" if late > GRACE else "released"


def _too_late(press: Press, one: Due, now: datetime) -> Outcome:
    what = "its stories go into the next edition" if one.cadence.late == Late.MERGE else "it is skipped"
    words = f"later than {one.times.late_at:%Y-%m-%d %H:%M} UTC, which is too late: {what}"
    with writing(press.engine) as session:
        edition = skip_late(session, one.digest, one.times, words, now)
    _tell(tell_outcome, press, edition, now)
    return PASSED, words


def skip_late(session: Session, digest: DigestRow, times: Occurrence, words: str, now: datetime) -> EditionRow:
    """
    Skip the occurrence's edition, which is made for that where there is none, so that everybody can see why.

    One that was sent, skipped or cancelled already, or that somebody sees to by hand, stays what it is.
    """
    kind = EditionKind(times.kind)
    edition = records.edition_on(session, digest, times.day, kind)
    edition = desk.locked(session, edition) if edition else cadences.start(session, digest, times.day, kind, now=now)
    if edition.state in DECIDED or edition.due_at is None:
        return edition
    edition.late_by = max(1, int((now - times.due_at).total_seconds()))
    return desk.change(session, edition, "skip", who=editions.PRESS, now=now, reason=words)


ACTIONS: Mapping[Station, Callable[[Press, Due, datetime], Outcome]] = {
    Station.GATHER: _gather, Station.ASSEMBLE: _assemble, Station.REMIND: _remind, Station.APPROVE: _approve,
    Station.SEND: _send,
}  # fmt: skip
