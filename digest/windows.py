"""Local time: when a clock on the wall, in a zone, on a date, is which instant. Pure."""

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

CLOCKS = ("00:00", "06:00", "12:00", "18:00", "23:30")
"""Looked at to see whether a date exists somewhere; zones that moved over the date line left out a whole one."""


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
