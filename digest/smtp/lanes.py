"""One recipient domain as the client sees it: how many may be under way to it, its own rates, and its brake."""

import math
from collections import deque
from collections.abc import Mapping, Sequence

from digest.smtp.letters import Parcel
from digest.smtp.pace import Limit, Rate, limits_for

FIRST_WINDOW = 2  # under way at once to a domain that we know nothing of yet
QUICK = 0.25  # seconds; what is answered sooner is never called slow
SLOWER = 4.0  # times the usual answer, and a domain is slow
LEARNING = 1 / 8
BRAKE = 0.8  # of the latest answers were "not now": the domain rests. A third of them is plain greylisting
AFTER_REST = 0.7
FIRST_REST = 60.0
LONGEST_REST = 3600.0
MOST_LANES = 10_000  # kept in mind; beyond it those with nothing to remember are forgotten


class Lane:
    """
    What is under way and waiting for one domain.

    `room` is asked before a parcel is taken; `took`, `leave` and `told_not_now` say what came of it. Seconds are a
    steady clock's.
    """

    __slots__ = (
        "_refusing", "_rest", "domain", "flying", "known", "limits", "rest_until", "slow", "usual", "waiting", "window",
    )  # fmt: skip

    def __init__(self, domain: str, limits: Sequence[Limit] = ()) -> None:
        self.domain = domain
        self.limits = limits
        self.flying = 0
        self.window = FIRST_WINDOW
        self.waiting: deque[Parcel] = deque()
        self.known = False  # it has answered before
        self.usual = 0.0
        self.slow = False
        self.rest_until = 0.0
        self._refusing = 0.0  # share of the latest answers that were "not now"
        self._rest = FIRST_REST

    def wait(self, now: float) -> float:
        """Seconds until one more may set out: 0 for now, inf for as soon as another one is back."""
        if self.limits and (wait := max(limit.wait(now) for limit in self.limits)):
            return wait
        return math.inf if self.flying >= self.window else 0.0

    def resting(self, now: float) -> float:
        """Seconds that the domain still rests; 0 when it does not."""
        return max(0.0, self.rest_until - now)

    def start(self, now: float) -> None:
        self.flying += 1
        for limit in self.limits:
            limit.spend(now)

    def took(self, seconds: float, usual: float, most: int) -> None:
        """One was answered after so long. Quick answers widen the window, slow ones halve it."""
        self.known = True
        self.usual += (seconds - self.usual) * (LEARNING if self.usual else 1)
        self.slow = seconds > max(QUICK, SLOWER * usual)
        if self.slow:
            self.window = max(1, self.window // 2)
        elif self.window < most:
            self.window += 1

    def told_now(self) -> None:
        """The domain gave a clear answer, good or bad."""
        self._refusing -= self._refusing * LEARNING
        if self._refusing < BRAKE / 2:
            self._rest = FIRST_REST

    def told_not_now(self, now: float) -> bool:
        """It said "not now". True when it did so too often, and rests from here on: longer each time."""
        self._refusing += (1 - self._refusing) * LEARNING
        self.window = max(1, self.window // 2)
        if self._refusing < BRAKE or self.rest_until > now:
            return False
        self.rest_until = now + self._rest
        self._rest = min(LONGEST_REST, self._rest * 2)
        self._refusing = AFTER_REST
        return True

    @property
    def forgettable(self) -> bool:
        return not (self.flying or self.waiting or self.limits or self.rest_until)


class Lanes(dict[str, Lane]):
    """Every domain's lane, made when it is first asked for."""

    def __init__(self, rates: Mapping[str, Sequence[Rate]]) -> None:
        super().__init__()
        self.rates = {domain: tuple(limits) for domain, limits in rates.items()}

    def __missing__(self, domain: str) -> Lane:
        if len(self) >= MOST_LANES:
            for name in [name for name, lane in self.items() if lane.forgettable]:
                del self[name]
        lane = self[domain] = Lane(domain, limits_for(self.rates, domain))
        return lane
