"""The values in a rule, each read as what its place wants, or refused with that place."""

import calendar
import difflib
import math
import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from lark import Token

from subscribers.grammar import SegmentError, unquoted
from subscribers.models import CHANNELS
from subscribers.zones import demand_zone

MOST_TIMES = 9999
LONGEST_NUMBER = 15  # as many digits as every database can tell apart
SHOWN = 10  # names that an error lists
LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,2}")


def checked(field: str, token: Token) -> str:
    """
    A value of one of our fields as it is stored.

    Raises:
        SegmentError: no reader can have it; as everything here.
    """
    text = unquoted(token)
    try:
        return CHECKS[field](text)
    except ValueError as error:
        raise SegmentError(str(error), at=token.start_pos) from None


def _language(value: str) -> str:
    if not LANGUAGE.fullmatch(value):
        raise ValueError(f'a language is a code such as "es" or "es-MX", not {value!r}.')
    return value


def _country(value: str) -> str:
    if not re.fullmatch("[A-Za-z]{2}", value):
        raise ValueError(f'a country is two letters such as "ES", not {value!r}.')
    return value.upper()


def _channel(value: str) -> str:
    if value not in CHANNELS:
        raise ValueError(f"{value!r} is no channel: use {' or '.join(CHANNELS)}.")
    return value


CHECKS: Mapping[str, Callable[[str], str]] = {
    "language": _language, "zone": demand_zone, "country": _country, "plan": str, "channel": _channel,
}  # fmt: skip


def unknown(what: str, token: Token, known: Collection[str]) -> SegmentError:
    """The error that names what there is instead."""
    name = unquoted(token)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f' Did you mean "{near[0]}"?' if near else ""
    names = ", ".join(f'"{each}"' for each in sorted(known)[:SHOWN]) + (" ..." if len(known) > SHOWN else "")
    return SegmentError(f"there is no {what} {name!r}.{hint} There are: {names or 'none yet'}.", at=token.start_pos)


def interval(sign: str, token: Token) -> tuple[float, float]:
    """The numbers that compare so with the one given, both ends among them."""
    if len(token) > LONGEST_NUMBER:
        raise SegmentError(f"a number has at most {LONGEST_NUMBER} digits.", at=token.start_pos)
    value = float(token)
    return {
        "=": (value, value), ">=": (value, math.inf), ">": (math.nextafter(value, math.inf), math.inf),
        "<=": (-math.inf, value), "<": (-math.inf, math.nextafter(value, -math.inf)),
    }[sign]  # fmt: skip


def percentage(token: Token) -> Decimal:
    share = Decimal(token)
    if not 0 < share <= 100:  # noqa: PLR2004
        raise SegmentError("a sample is more than 0 and at most 100 percent.", at=token.start_pos)
    return share


def times(token: Token) -> int:
    number = _whole(token)
    if number == 0:
        raise SegmentError("use 1 or more times.", at=token.start_pos)
    return number


def day(token: Token) -> date:
    try:
        return date.fromisoformat(token)
    except ValueError:
        raise SegmentError(f"{token} is no date; write it as 2026-01-31.", at=token.start_pos) from None


def earlier(now: datetime, number: Token, unit: Token) -> datetime:
    """The moment that "within" reaches back to; months and years by the calendar, their last day for a day they lack."""
    count, name = _whole(number), unit.lower().rstrip("s")
    try:
        if name in {"hour", "day", "week"}:
            return now - timedelta(**{f"{name}s": count})
        months = now.year * 12 + now.month - 1 - count * (12 if name == "year" else 1)
        year, month = months // 12, months % 12 + 1
        return now.replace(year=year, month=month, day=min(now.day, calendar.monthrange(year, month)[1]))
    except (OverflowError, ValueError, calendar.IllegalMonthError):
        raise SegmentError("that is before any calendar; use a smaller number.", at=number.start_pos) from None


def earlier_day(now: datetime, number: Token, unit: Token) -> date:
    """The same for what is counted by the day (of UTC)."""
    if unit.lower().startswith("hour"):
        raise SegmentError("opens and clicks are counted by the day; use days or more.", at=unit.start_pos)
    return earlier(now, number, unit).astimezone(UTC).date()


def _whole(token: Token) -> int:
    if not token.isdecimal() or int(token) > MOST_TIMES:
        raise SegmentError(f"{token} is not a whole number of at most {MOST_TIMES}.", at=token.start_pos)
    return int(token)
