"""
How fast mail may leave: rates and a new domain's ramp-up plan for the whole house.

Rates are kept to the letter: in no stretch of time as long as a rate's own do more leave than it allows.
"""

import math
import re
from array import array
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import NamedTuple

from subscribers.addresses import ascii_domain

UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}
MOST = 1_000_000  # in one rate; each place costs eight bytes
DAY = 86400.0
_SLICES = 12  # a restart learns to a twelfth of a rate's time when the last ones left


class Rate(NamedTuple):
    """At most `most` in `seconds`."""

    most: int
    seconds: float


class Ramp(NamedTuple):
    """How many may leave on each UTC day from `start` on; after the last named day there is no limit."""

    start: date
    allowed: tuple[int, ...]

    def on(self, epoch: float) -> int | None:
        """What the day of an epoch second allows, None for all. Before the start it is what the first day allows."""
        day = max(0, int(epoch // DAY) - (self.start.toordinal() - date(1970, 1, 1).toordinal()))
        return self.allowed[day] if day < len(self.allowed) else None


# reading settings ---------------------------------------------------------------------------------------------------


def read_rates(text: str) -> tuple[Rate, ...]:
    """
    Rates such as "50/s 2000/min 50000/h".

    Raises:
        ValueError: says what is allowed.
    """
    return tuple(_rate(word) for word in text.replace(",", " ").split())


def read_domain_rates(text: str) -> dict[str, tuple[Rate, ...]]:
    """
    Rates by recipient domain, such as "gmail.com=20/s gmail.com=9000/h example.org=100/min".

    Raises:
        ValueError: says what is allowed.
    """
    rates: dict[str, tuple[Rate, ...]] = {}
    for word in text.replace(",", " ").split():
        domain, equals, rate = word.partition("=")
        if not equals:
            raise ValueError(f"{word!r} is not a domain's rate: write domain=number/unit, such as example.org=100/min")
        rates[ascii_domain(domain)] = (*rates.get(ascii_domain(domain), ()), _rate(rate))
    return rates


def read_ramp(text: str) -> Ramp | None:
    """
    A plan such as "2026-11-24: 500 1000 2000", None when it is empty.

    Raises:
        ValueError: says what is allowed.
    """
    if not text.strip():
        return None
    start, colon, numbers = text.partition(":")
    allowed = numbers.replace(",", " ").split()
    try:
        first = date.fromisoformat(start.strip())
    except ValueError:
        first = None
    if first is None or not colon or not allowed or not all(re.fullmatch("[1-9][0-9]{0,8}", one) for one in allowed):
        raise ValueError("a ramp-up plan reads date: numbers, such as 2026-11-24: 500 1000 2000 5000")
    return Ramp(first, tuple(int(one) for one in allowed))


def _rate(word: str) -> Rate:
    found = re.fullmatch(r"([1-9][0-9]{0,8})/(s|min|h)", word)
    if not found or int(found[1]) > MOST:
        raise ValueError(f"{word!r} is not a rate: write number/s, number/min or number/h, the number 1 to {MOST}")
    return Rate(int(found[1]), UNITS[found[2]])


# keeping to it ------------------------------------------------------------------------------------------------------


class Limit:
    """One rate being kept: when each of the last `rate.most` left, in a ring."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._left = array("d", [-math.inf]) * rate.most
        self._at = 0

    def wait(self, now: float) -> float:
        """Seconds until one more may leave; 0 for now."""
        return max(0.0, self._left[self._at] + self.rate.seconds - now)

    def spend(self, now: float) -> None:
        self._left[self._at] = now
        self._at = (self._at + 1) % self.rate.most


class Pace:
    """All that is allowed in all: rates and the ramp. `now` is a steady clock's second, `epoch` the wall clock's."""

    def __init__(self, rates: Iterable[Rate] = (), ramp: Ramp | None = None) -> None:
        self.limits = [Limit(rate) for rate in rates]
        self.ramp = ramp
        self.free = not self.limits and ramp is None
        self._day = -1
        self._today = 0

    def wait(self, now: float, epoch: float) -> float:
        """Seconds until one more may leave; 0 for now."""
        return max((limit.wait(now) for limit in self.limits), default=0.0) or self._wait_for_tomorrow(epoch)

    def spend(self, now: float, epoch: float) -> None:
        for limit in self.limits:
            limit.spend(now)
        self._turn_to(epoch)
        self._today += 1

    def recall_rates(self, handed: Callable[[float], int], now: float, epoch: float) -> None:
        """Go on where an earlier run ended: count what it handed over against the rates, never later than it left."""
        for limit in self.limits:
            slice_ = limit.rate.seconds / _SLICES
            counts = [handed(epoch - slice_ * back) for back in range(_SLICES, 0, -1)]
            for back, older, newer in zip(range(_SLICES - 1, -1, -1), counts, [*counts[1:], 0], strict=True):
                for _ in range(min(older - newer, limit.rate.most)):
                    limit.spend(now - slice_ * back)

    def recall_today(self, handed: Callable[[float], int], epoch: float) -> None:
        """Count what the whole house has handed over today, by whatever process, against the ramp."""
        if self.ramp is not None:
            self._turn_to(epoch)
            self._today = max(self._today, handed(epoch // DAY * DAY))

    def _turn_to(self, epoch: float) -> None:
        if self._day < epoch // DAY:  # a clock set back does not make a day begin anew
            self._day, self._today = int(epoch // DAY), 0

    def _wait_for_tomorrow(self, epoch: float) -> float:
        allowed = None if self.ramp is None else self.ramp.on(epoch)
        if allowed is None:
            return 0.0
        self._turn_to(epoch)
        return 0.0 if self._today < allowed else (epoch // DAY + 1) * DAY - epoch


def limits_for(rates: Mapping[str, tuple[Rate, ...]], domain: str) -> list[Limit]:
    """The limits of one recipient domain."""
    return [Limit(rate) for rate in rates.get(domain, ())]
