"""Local time: when a clock on the wall, in a zone, on a date, is which instant, and when a reader is due. Pure."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

from digest.values import Late
from subscribers.zones import zones

CLOCKS = ("00:00", "06:00", "12:00", "18:00", "23:30")
"""Looked at to see whether a date exists somewhere; zones that moved over the date line left out a whole one."""

HALF_HOURS = tuple(f"{hour:02d}:{minute:02d}" for hour in range(24) for minute in (0, 30))
A_DAY = timedelta(days=1)


def instant(day: date, clock: str, zone: str) -> datetime:
    """
    The UTC instant of local time `clock` ("06:45") on `day` in an IANA `zone`.

    A time in the spring gap takes the offset before the gap; a time in the autumn fold is its first occurrence.
    """
    hour, minute = (int(part) for part in clock.split(":"))
    return datetime.combine(day, time(hour, minute, fold=0), tzinfo=ZoneInfo(zone)).astimezone(UTC)


def has_day(day: date, zone: str) -> bool:
    """Whether that date was, or will be, in the zone: Apia had no 30 December 2011."""
    there = ZoneInfo(zone)
    return any(instant(day, clock, zone).astimezone(there).date() == day for clock in CLOCKS)


# when a reader is due -------------------------------------------------------------------------------------------------


class Fate(StrEnum):
    """What becomes of a reader's hour: kept; or passed before the edition could leave, and served at another, or not."""

    KEPT = "kept"
    LATER = "later"  # at the next allowed time of the same local date
    NEXT_DAY = "next day"
    MISSED = "missed"


@dataclass(frozen=True, slots=True)
class Due:
    """When a reader's delivery may leave; None: not at all."""

    instant: datetime | None
    fate: Fate


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """
    When one edition is due to whom: its cadence's times, its local date, and when it may leave at the earliest.

    Clock times are local. `released` is the approval and the time in which it may be undone. `home` stands for a reader's
    zone that nobody knows. `opens` and `closes` bound only what had to be moved: an hour that a reader chose is theirs.
    """

    day: date
    at: str
    zone: str
    home: str
    local: bool
    released: datetime
    opens: str = "06:00"
    closes: str = "22:00"
    late_after: timedelta = timedelta(hours=3)
    late: Late = Late.SKIP

    def due(self, zone: str, hour: str, *, now: datetime) -> Due:
        """
        When a reader is due who lives in `zone` and chose `hour` (or none), as things stand at `now`.

        An hour before the release moves to the next allowed half-hour of the same local date. One that has passed since,
        because nobody was there to send, holds for as long as the cadence allows. Where the day has no time left, or
        the zone has no such day, the cadence's rule for what is late decides.
        """
        if not self.local:
            at = instant(self.day, self.at, self.zone)
            return Due(max(at, self.released), Fate.KEPT if at >= self.released else Fate.LATER)
        zone = zone if zone in zones() else self.home
        if not has_day(self.day, zone):
            return self._by_rule(zone, max(instant(self.day, "00:00", zone), self.released, now))
        at, fate = instant(self.day, hour or self.at, zone), Fate.KEPT
        if at < self.released:
            (at, there), fate = self._allowed(zone, self.released), Fate.LATER
            if there != self.day:
                return self._by_rule(zone, max(self.released, now))
        latest = at + self.late_after
        if now > at and self._asleep(zone, now):
            (at, there), fate = self._allowed(zone, now), Fate.LATER
        return Due(at, fate) if max(at, now) <= latest else self._by_rule(zone, now)

    def _by_rule(self, zone: str, ready: datetime) -> Due:
        """What the cadence's rule makes of a reader whose time is over: the next allowed one from `ready` on, or none."""
        if self.late != Late.SEND:
            return Due(None, Fate.MISSED)
        at, there = self._allowed(zone, ready)
        return Due(at, Fate.LATER if there == self.day else Fate.NEXT_DAY)

    def _allowed(self, zone: str, ready: datetime) -> tuple[datetime, date]:
        return next_allowed(ready, zone, self.opens, self.closes)

    def _asleep(self, zone: str, now: datetime) -> bool:
        """Whether it is a time at which nobody there is to be reached; the half-hour that begins at `closes` is not yet."""
        clock = now.astimezone(ZoneInfo(zone)).strftime("%H:%M")
        return not self.opens <= clock < _half_an_hour_after(self.closes)


@lru_cache(maxsize=8192)
def next_allowed(ready: datetime, zone: str, opens: str, closes: str) -> tuple[datetime, date]:
    """
    The first time from `ready` on at which readers of a zone may be reached, and its local date.

    Allowed are `opens`, and every half-hour up to `closes`.
    """
    there = ZoneInfo(zone)
    clocks = {opens, *(clock for clock in HALF_HOURS if opens <= clock <= closes)}
    day = ready.astimezone(there).date()
    while True:
        times = (instant(day, clock, zone) for clock in clocks)
        if left := [at for at in times if at >= ready and at.astimezone(there).date() == day]:
            return min(left), day
        day += A_DAY


def _half_an_hour_after(clock: str) -> str:
    minutes = int(clock[:2]) * 60 + int(clock[3:]) + 30
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
