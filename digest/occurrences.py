"""The days a cadence has, and when on such a day each station is due. Pure: a cadence and dates in, instants out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from digest.models import CadenceRow
from digest.values import EditionKind, Late, Station
from digest.windows import has_day, instant
from subscribers.models import DAYS

ONE = timedelta(days=1)
A_DAY = timedelta(hours=24)
LEAD = timedelta(minutes=2)
"""So long before it is due everybody's row is written, a million's in seconds, for the first message to leave on time."""

FAR = 800
"""Days looked ahead for the next occurrence; a cadence with one a year is found, one that has ended is not sought for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """
    One day of a cadence. All times are UTC.

    `release_at` is when everybody's delivery is written, if it is approved by then: after the deadline and the undo window,
    and where all readers are due at one instant, shortly before that. Later than `late_at` is too late: after a day nothing is news any more, whatever the cadence says.
    """

    kind: EditionKind
    day: date
    gather_at: datetime
    remind_at: datetime | None
    deadline_at: datetime
    release_at: datetime
    due_at: datetime
    late_at: datetime

    @property
    def stations(self) -> Mapping[Station, datetime]:
        """When each station is due, in their order."""
        times = {
            Station.GATHER: self.gather_at, Station.ASSEMBLE: self.gather_at, Station.REMIND: self.remind_at,
            Station.APPROVE: self.deadline_at, Station.SEND: self.release_at,
        }  # fmt: skip
        return {station: at for station, at in times.items() if at is not None}


def occurrence(cadence: CadenceRow, day: date) -> Occurrence:
    """The cadence's times on `day`, whether it appears then or not. Durations are real minutes, also when clocks change."""
    due = instant(day, cadence.at, cadence.zone)
    deadline = due - timedelta(minutes=cadence.deadline_before)
    gather = due - timedelta(minutes=cadence.gather_before)
    release = deadline + timedelta(minutes=cadence.undo)
    remind = deadline - timedelta(minutes=cadence.remind_before) if cadence.remind_before else None
    return Occurrence(
        kind=EditionKind(cadence.kind), day=day, gather_at=gather, remind_at=max(remind, gather) if remind else None,
        deadline_at=deadline, release_at=release if cadence.local else max(release, due - LEAD), due_at=due,
        late_at=due + (A_DAY if cadence.late == Late.SEND else timedelta(minutes=cadence.late_after)),
    )  # fmt: skip


def why_not(cadence: CadenceRow, day: date) -> str:
    """Why the cadence does not appear on that day, in words; empty when it does."""
    if DAYS[day.weekday()] not in cadence.days.split(","):
        return "not one of its days"
    if cadence.starts_on and day < cadence.starts_on:
        return f"it starts on {cadence.starts_on}"
    if cadence.ends_on and day > cadence.ends_on:
        return f"it ended on {cadence.ends_on}"
    if day.isoformat() in cadence.blackout:
        return cadence.blackout[day.isoformat()] or "left out"
    if not has_day(day, cadence.zone):
        return f"there is no such date in {cadence.zone}"
    return ""


def coming(cadence: CadenceRow, now: datetime) -> Iterator[Occurrence]:
    """What is due after `now`, the next one first."""
    today = local_date(cadence, now)
    for ahead in range(-1, FAR):
        day = today + ahead * ONE
        if not why_not(cadence, day) and (one := occurrence(cadence, day)).due_at > now:
            yield one


def past(cadence: CadenceRow, now: datetime) -> Iterator[Occurrence]:
    """What was due at `now` or before, the last one first, back to when the cadence began to count."""
    today = local_date(cadence, now)
    for back in range(-1, FAR):
        one = occurrence(cadence, today - back * ONE)
        if one.due_at <= cadence.since - ONE:
            return
        if cadence.since < one.due_at <= now and not why_not(cadence, one.day):
            yield one


def local_date(cadence: CadenceRow, now: datetime) -> date:
    return now.astimezone(ZoneInfo(cadence.zone)).date()
