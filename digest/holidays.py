"""Dates a digest does not appear on, from a file: plain lines or an iCalendar (RFC 5545). Pure."""

import re
from collections.abc import Iterator
from datetime import date, timedelta

YEARS = 10  # how far yearly days are written out
LONGEST = 366  # days of one event
MOST = 5_000  # dates in all
_LINE = re.compile(r"(\d{4}-\d{2}-\d{2})(?:\s+(.{1,120}))?")
_FIELD = re.compile(r"(?P<name>[A-Z-]+)(?:;[^:]*)?:(?P<value>.*)", re.IGNORECASE)
_DATE = re.compile(r"(\d{4})(\d{2})(\d{2})(?:T\d{6}Z?)?")


def read_dates(text: str) -> dict[str, str]:
    """
    The dates of the file (2026-12-25), each with its words.

    Plain lines are "2026-12-25 Christmas", "#" begins a comment. Of a calendar's events whole days are taken, and of
    those that repeat only what repeats yearly, ten years ahead.

    Raises:
        ValueError: names the line or event that cannot be read, and what can.
    """
    text = text.removeprefix("\ufeff")
    found = dict(_events(text) if "BEGIN:VCALENDAR" in text[:200].upper() else _lines(text))
    if len(found) > MOST:
        raise ValueError(f"there are {len(found)} dates; {MOST} are the most.")
    return found


def _lines(text: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not (words := line.partition("#")[0].strip()):
            continue
        shape = _LINE.fullmatch(words)
        if shape is None or not (day := _day(*map(int, shape[1].split("-")))):
            raise ValueError(f"line {number}: {words[:40]!r} is no date; write lines such as 2026-12-25 Christmas.")
        yield day.isoformat(), (shape[2] or "").strip()


def _events(text: str) -> Iterator[tuple[str, str]]:
    lines = re.sub(r"\r?\n[ \t]", "", text).splitlines()  # long lines are folded
    event: dict[str, str] | None = None
    for line in lines:
        if line.upper() == "BEGIN:VEVENT":
            event = {}
        elif line.upper() == "END:VEVENT" and event is not None:
            yield from _days_of(event)
            event = None
        elif event is not None and (field := _FIELD.fullmatch(line)):
            event.setdefault(field["name"].upper(), field["value"].strip())


def _days_of(event: dict[str, str]) -> Iterator[tuple[str, str]]:
    words = re.sub(r"\\([,;\\nN])", lambda hit: " " if hit[1] in "nN" else hit[1], event.get("SUMMARY", ""))[:120]
    first = _stated(event.get("DTSTART", ""))
    if first is None:
        raise ValueError(f"the event {words!r} has no date that can be read (DTSTART).")
    end = _stated(event.get("DTEND", "")) or first
    last = max(first, end - timedelta(days=1)) if "T" not in event.get("DTEND", "") else end
    if (last - first).days > LONGEST:
        raise ValueError(f"the event {words!r} lasts more than a year.")
    rule = event.get("RRULE", "").upper()
    if rule and not re.fullmatch(r"(FREQ=YEARLY|INTERVAL=1|BYMONTH=\d+|BYMONTHDAY=\d+|;)+", rule):
        raise ValueError(f"the event {words!r} repeats by {rule!r}; only FREQ=YEARLY can be read: write its dates out.")
    for years in range(YEARS if rule else 1):
        for days in range((last - first).days + 1):
            day = first + timedelta(days=days)
            if moved := _day(day.year + years, day.month, day.day):  # a 29 February is not there every year
                yield moved.isoformat(), words


def _stated(value: str) -> date | None:
    shape = _DATE.fullmatch(value)
    return _day(int(shape[1]), int(shape[2]), int(shape[3])) if shape else None


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None
