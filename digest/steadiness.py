"""Whether the clock on the wall can be believed: it is held against one that nobody can set."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta

A_DAY = 86_400.0  # seconds
JUMP = 90.0  # seconds by which a clock that runs is never off between two looks
CALM = 300.0  # seconds that a clock which was set has to be set back, or to be believed
LONGEST_AWAY = timedelta(hours=36)
"""
How long a house may have stood still before the clock that says so is doubted at a start.

Machines that are switched off by night, or for a day, begin at once. A clock that is wrong by less puts one daily edition at
stake, which an editor can reopen; one that is wrong by more would have days on end written down as missed.
"""

Steady = Callable[[], float]
"""Seconds that pass evenly, whatever is done to the clock on the wall."""


class Steadiness:
    """
    Notices that the clock was set, by hand or because the machine slept, while this process runs.

    An edition that is skipped as too late, or leaves a day early, because somebody mistyped a date, cannot be called back;
    five minutes can be made up for. The same holds at a start: `seen` is the last that is known of the house, and a clock
    that says it was longer ago than LONGEST_AWAY, or is still to come, may have been wrong since the machine began; one that is set
    to soon after it is believed at once. None: nothing is known.
    """

    def __init__(
        self, clock: Callable[[], datetime], steady: Steady = time.monotonic, *, seen: datetime | None = None
    ) -> None:
        self._clock, self._steady, self._seen = clock, steady, seen
        self._ahead = self._believed = self._difference()
        self._until = float("-inf")
        self._start = ""  # why the clock is doubted since the start
        now = clock()
        if seen is not None and not self._is_plausible():
            self._until = steady() + CALM
            self._start = (
                f"it is {now:%Y-%m-%d %H:%M} UTC by this machine's clock, and the last that is known here is of {seen:%Y-%m-%d %H:%M} "
                f"UTC, {abs(now - seen).total_seconds() / A_DAY:.1f} days {'before' if seen < now else 'later'}. See whether the clock is right. By itself nothing is "
                f"skipped or sent until {now + timedelta(seconds=CALM):%H:%M} UTC; then the clock is believed, and all goes on."
            )

    def doubt(self) -> str:
        """Why nothing is to be begun now, in words; empty when the clock is believed. To be asked every few seconds."""
        ahead = self._difference()
        moved, self._ahead = ahead - self._ahead, ahead
        if abs(moved) > JUMP:
            right = self._is_plausible() if self._start else abs(ahead - self._believed) <= JUMP
            self._until, self._start = float("-inf") if right else self._steady() + CALM, ""
        if self._steady() < self._until:
            return self._start or (
                f"the clock was set {_words(ahead - self._believed)}: nothing is begun for {CALM / 60:.0f} minutes, unless it is "
                "set back before; then it is believed."
            )
        self._believed, self._start = ahead, ""
        return ""

    def _is_plausible(self) -> bool:
        """Whether the clock shows a moment soon after the last that is known."""
        return self._seen is not None and -timedelta(seconds=JUMP) <= self._clock() - self._seen <= LONGEST_AWAY

    def _difference(self) -> float:
        return self._clock().timestamp() - self._steady()


def _words(seconds: float) -> str:
    minutes = round(abs(seconds) / 60)
    length = f"{minutes / 60:.1f} hours" if minutes >= 120 else f"{minutes} minutes"  # noqa: PLR2004  two hours
    return f"{'forward' if seconds > 0 else 'back'} by {length}"
