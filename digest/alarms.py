"""
Alarms: what is wrong is told once by each way, and once more when it is over, whatever is restarted and however it flaps.

A look reads every cause (digest.causes), ages the rows of the table `alarm` by what it saw, and tells what is due
(digest.ways). Several processes may look at once: what is told is taken in a transaction first. A kill between telling and
writing it down makes a webhook or a command hear it twice, under one id; a mail is opened in that same transaction.
"""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, or_, select

from digest import causes, egress, ways
from digest.causes import Cause, Trouble, View
from digest.database import reading, writing
from digest.errors import DigestError
from digest.models import AlarmRow, QuietRow
from digest.press import Press
from digest.redaction import redacted
from digest.ways import BEGAN, ENDED, TEST, Notice

log = logging.getLogger(__name__)
A_DAY, KEPT = timedelta(days=1), timedelta(days=30)
LEASE = 120.0  # seconds that a telling has; then it is tried again, for whoever had it is gone
SOONEST, LONGEST = 60.0, 3600.0  # seconds between two tries by a way that fails
MOST = 5  # times that the quiet time is doubled
LOG = "log"
LOOK = Cause(
    name="look",
    title="A look at the house fails",
    check=lambda _: iter(()),
    mend="See the log; it may be a fault of ours.",
)
ALL: Mapping[str, Cause] = {cause.name: cause for cause in (*causes.CAUSES, LOOK)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A row of the table as a value; see models.AlarmRow."""

    cause: str
    subject: str
    words: str
    digest_id: int | None
    since: datetime
    gone_at: datetime | None = None
    told_at: datetime | None = None
    ended_at: datetime | None = None
    times: int = 1
    ways: Mapping[str, Sequence[Any]]

    @property
    def is_on(self) -> bool:
        return self.ended_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """That something was told by a way, or could not be."""

    cause: str
    subject: str
    state: str
    way: str
    well: bool
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What came of one look: what was told, and the causes that could not be looked at."""

    told: tuple[Told, ...] = ()
    failed: tuple[str, ...] = ()


# how an alarm ages: pure ------------------------------------------------------------------------------------------------


def aged(alarm: Alarm | None, trouble: Trouble | None, cause: Cause, *, now: datetime, calm: timedelta) -> Alarm | None:
    """
    The alarm after one look that saw that trouble, or none; None where there is nothing to keep.

    `calm`: how long it must be gone before it is over. That is doubled each time it came back within a day, so that what
    flaps all day long is told a few times, not hundreds.
    """
    if trouble is not None:
        words = redacted(trouble.words)
        if alarm is None or not alarm.is_on:
            return _begun(alarm, trouble, cause, words, now)
        return replace(alarm, gone_at=None, words=words, digest_id=trouble.digest_id)
    if alarm is None or not alarm.is_on:
        return alarm
    gone_at = alarm.gone_at or now
    needed = calm * 2 ** min(alarm.times - 1, MOST)
    if alarm.told_at is None or now - gone_at >= needed:
        return replace(alarm, gone_at=gone_at, ended_at=gone_at)
    return replace(alarm, gone_at=gone_at)


def _begun(before: Alarm | None, trouble: Trouble, cause: Cause, words: str, now: datetime) -> Alarm:
    again = before is not None and before.told_at is not None and before.ended_at and now - before.ended_at < A_DAY
    return Alarm(
        cause=cause.name, subject=trouble.subject, words=words, digest_id=trouble.digest_id, since=now,
        times=before.times + 1 if before is not None and again else 1, ways={},
    )  # fmt: skip


def taken(alarm: Alarm, cause: Cause, *, now: datetime, quiet: bool, by: Iterable[str]) -> tuple[Alarm, list[str]]:
    """The alarm with all that is to be told now in hand, and the ways to tell it by."""
    phase = "" if quiet else _phase(alarm, cause, now)
    if not phase:
        return alarm, []
    due = [way for way in by if _is_due(alarm.ways.get(way, ()), phase, now)]
    if not due:
        return alarm, []
    in_hand = {way: [phase, False, _tries(alarm.ways.get(way, ()), phase) + 1, now.timestamp() + LEASE] for way in due}
    return replace(alarm, told_at=alarm.told_at or now, ways={**alarm.ways, **in_hand}), due


def _phase(alarm: Alarm, cause: Cause, now: datetime) -> str:
    if not alarm.is_on:
        return ENDED if alarm.told_at and cause.ends and alarm.ended_at and now - alarm.ended_at < A_DAY else ""
    lasting = alarm.gone_at is None and now - alarm.since >= cause.after
    return BEGAN if lasting else ""


def _tries(told: Sequence[Any], phase: str) -> int:
    return int(told[2]) if told and told[0] == phase else 0


def _is_due(told: Sequence[Any], phase: str, now: datetime) -> bool:
    return not told or told[0] != phase or (not told[1] and told[3] <= now.timestamp())


def tried(alarm: Alarm, way: str, phase: str, *, well: bool, now: datetime) -> Alarm:
    """The alarm after a way told it, or failed to and will try again: sooner first, at most an hour later."""
    tries = _tries(alarm.ways.get(way, ()), phase)
    if not tries:  # it began anew meanwhile
        return alarm
    wait = min(SOONEST * 2 ** (tries - 1), LONGEST)
    return replace(alarm, ways={**alarm.ways, way: [phase, well, tries, 0.0 if well else now.timestamp() + wait]})


# one look ---------------------------------------------------------------------------------------------------------------


def look(press: Press, now: datetime) -> list[Told]:
    """Look at everything, and tell what is due; what was told. To be called every minute or more often."""
    return list(watch_over(press, now).told)


def watch_over(press: Press, now: datetime, *, doubt: str = "") -> Look:
    """
    As `look`, and says which causes could not be looked at. A fault of one keeps nobody from the others.

    `doubt`: why the clock is not believed at the moment; that alone is told then, and all else stays as it was.
    """
    asked = [causes.TIME] if doubt else causes.CAUSES
    seen, failed = _seen(press, asked, now, doubt)
    unasked = {cause.name for cause in causes.CAUSES} - {cause.name for cause in asked}
    try:
        due = _take(press, seen, {*failed, *unasked}, now)
    except Exception as error:  # noqa: BLE001  the next look comes; until then an outside watcher misses the heartbeat
        log.warning("The alarms cannot be written down: %s", _said(error))
        return Look(failed=("alarms", *failed))
    return Look(told=tuple(_tell(press, notice, way, now) for notice, way in due), failed=failed)


def _seen(
    press: Press, asked: Iterable[Cause], now: datetime, doubt: str
) -> tuple[dict[tuple[str, str], Trouble], tuple[str, ...]]:
    seen: dict[tuple[str, str], Trouble] = {}
    failed = []
    for cause in asked:
        try:
            with reading(press.engine) as session:  # one each: PostgreSQL ends a transaction at its first fault
                for trouble in cause.check(View(session=session, settings=press.settings, now=now, doubt=doubt)):
                    seen[cause.name, trouble.subject] = trouble
        except Exception as error:  # noqa: BLE001
            log.warning("%s could not be looked at: %s", cause.name, _said(error))
            failed.append(cause.name)
            seen[LOOK.name, cause.name] = Trouble(subject=cause.name, words=f"it cannot be looked at ({_said(error)})")
    return seen, tuple(failed)


def _said(error: Exception) -> str:
    return redacted(str(error)) if isinstance(error, DigestError) else type(error).__name__


def _take(
    press: Press, seen: Mapping[tuple[str, str], Trouble], failed: Collection[str], now: datetime
) -> list[tuple[Notice, str]]:
    """What this process is to tell. A look that changes nothing writes nothing."""
    with reading(press.engine) as session:
        if not _plan(press, session, seen, failed, now, lock=False)[0]:
            return []
    for again in (True, False):
        try:
            with writing(press.engine) as session:
                changed, due = _plan(press, session, seen, failed, now, lock=True)
                _keep(session, changed, now)
        except IntegrityError:  # another process has just written the same new alarm
            if not again:
                raise
        else:
            return due
    return []


Changed = list[tuple[AlarmRow | None, Alarm]]


def _plan(
    press: Press,
    session: Session,
    seen: Mapping[tuple[str, str], Trouble],
    failed: Collection[str],
    now: datetime,
    *,
    lock: bool,
) -> tuple[Changed, list[tuple[Notice, str]]]:
    rows = {(row.cause, row.subject): row for row in session.exec(_rows(seen, now, lock=lock))}
    hushed = {row.cause for row in session.exec(select(QuietRow)) if row.until > now}
    calm, by = timedelta(minutes=press.settings.alarm_quiet), (LOG, *press.settings.alarm_ways)
    changed: Changed = []
    due: list[tuple[Notice, str]] = []
    for name, subject in dict.fromkeys((*rows, *seen)):
        if name in failed or (cause := ALL.get(name)) is None:
            continue
        row = rows.get((name, subject))
        before = _value(row) if row is not None else None
        after = aged(before, seen.get((name, subject)), cause, now=now, calm=calm)
        if after is None:
            continue
        after, told_by = taken(after, cause, now=now, quiet=name in hushed, by=by)
        due += [(_notice(after, cause), way) for way in told_by]
        if after != before:
            changed.append((row, after))
    return changed, due


def _rows(seen: Iterable[tuple[str, str]], now: datetime, *, lock: bool) -> Any:
    """The alarms that are on or ended within a day, and those that came back now; `lock`: held against other looks."""
    names, subjects = {name for name, _ in seen}, {subject for _, subject in seen}
    row = AlarmRow
    back = col(row.cause).in_(names) & col(row.subject).in_(subjects)
    query = select(row).where(or_(col(row.ended_at).is_(None), col(row.ended_at) > now - A_DAY, back))
    query = query.order_by(col(row.id))
    return query.with_for_update() if lock else query


def _value(row: AlarmRow) -> Alarm:
    return Alarm(**{name: getattr(row, name) for name in Alarm.__dataclass_fields__})


def _keep(session: Session, changed: Changed, now: datetime) -> None:
    for row, alarm in changed:
        kept = row or AlarmRow(cause=alarm.cause, subject=alarm.subject, since=alarm.since)
        for name in Alarm.__dataclass_fields__:
            setattr(kept, name, getattr(alarm, name))
        session.add(kept)
    for old in session.exec(select(AlarmRow).where(col(AlarmRow.ended_at) < now - KEPT)):
        session.delete(old)
    session.flush()


def _notice(alarm: Alarm, cause: Cause) -> Notice:
    state = BEGAN if alarm.is_on else ENDED
    return Notice(
        id=f"{alarm.cause}/{alarm.subject}/{alarm.since:%Y%m%dT%H%M%S}/{state}".replace(" ", "-"), state=state, cause=alarm.cause,
        title=cause.title, subject=alarm.subject, words=alarm.words, mend=cause.mend, since=alarm.since,
        until=alarm.ended_at, digest_id=alarm.digest_id,
    )  # fmt: skip


def _tell(press: Press, notice: Notice, way: str, now: datetime) -> Told:
    record = partial(_record, notice=notice, way=way, now=now)
    if way == LOG:
        log.warning("%s", notice.line, extra={"cause": notice.cause, "subject": notice.subject, "state": notice.state})
        well, words = True, "written down"
        _write(press, record, well=True)
    else:
        well, words = ways.tell(press, way, notice, now=now, record=partial(record, well=True))
        if not well:
            log.warning("An alarm could not be told by %s, and is tried again: %s", way, redacted(words))
            _write(press, record, well=False)
    return Told(
        cause=notice.cause, subject=notice.subject, state=notice.state, way=way, well=well, words=redacted(words)
    )


def _write(press: Press, record: Any, *, well: bool) -> None:
    try:
        with writing(press.engine) as session:
            record(session, well=well)
    except DigestError as error:  # it is tried again when its lease is over
        log.warning("What was told cannot be written down: %s", error)


def _record(session: Session, *, notice: Notice, way: str, well: bool, now: datetime) -> None:
    query = select(AlarmRow).where(AlarmRow.cause == notice.cause, AlarmRow.subject == notice.subject)
    row = session.exec(query.with_for_update()).first()
    if row is not None and row.since == notice.since:
        row.ways = {
            name: list(told) for name, told in tried(_value(row), way, notice.state, well=well, now=now).ways.items()
        }
        session.add(row)


# by a person's word ------------------------------------------------------------------------------------------------------


def current(session: Session) -> list[AlarmRow]:
    """The alarms that are on, the oldest first."""
    return list(session.exec(select(AlarmRow).where(col(AlarmRow.ended_at).is_(None)).order_by(col(AlarmRow.since))))


def hush(press: Press, cause: str, until: datetime, *, by: str) -> None:
    """Tell nobody of a cause until then; what is still wrong by then is told."""
    with writing(press.engine) as session:
        row = session.get(QuietRow, cause, with_for_update=True) or QuietRow(cause=cause, until=until)
        row.until, row.by = until, by
        session.add(row)


def try_out(press: Press, now: datetime) -> list[Told]:
    """A test alarm by each way that is set, whether or not others succeed."""
    notice = Notice(
        id=f"test/{now:%Y%m%dT%H%M%S}", state=TEST, cause="test", title="This is a test", subject="nothing is wrong",
        words="somebody said digest alarms test", mend="Nothing is to be done.", since=now,
    )  # fmt: skip
    told = []
    for way in press.settings.alarm_ways:
        well, words = ways.tell(press, way, notice, now=now)
        told.append(Told(cause="test", subject=notice.subject, state=TEST, way=way, well=well, words=redacted(words)))
    return told


VITAL = frozenset({"clock", "late", "stalled"})
"""While one of these is on, who runs the day or who sends may be dead."""


def is_well(press: Press, seen: Look, now: datetime) -> bool:
    """Whether the look was whole, and showed clock and sender at work: then, and only then, the heart beats."""
    if seen.failed:
        return False
    with reading(press.engine) as session:
        vital = [row for row in current(session) if row.cause in VITAL and row.gone_at is None]
    return all(now - row.since < ALL[row.cause].after for row in vital)


def beat(press: Press) -> bool:
    """Tell the outside watcher that we live; False when that failed, or none is set."""
    url = press.settings.heartbeat_url
    if not url:
        return False
    try:
        answer = egress.fetch(url, limits=ways.LIMITS, allow=press.settings.fetch_allow)
    except DigestError as error:
        log.warning("The heartbeat was not heard: %s", redacted(str(error)))
        return False
    return answer.status // 100 == 2  # noqa: PLR2004
