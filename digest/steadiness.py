"""Whether the clock on the wall can be believed: it is held against one that nobody can set."""

import time
from collections.abc import Callable
from datetime import datetime

JUMP = 90.0  # seconds by which a clock that runs is never off between two looks
CALM = 300.0  # seconds that a clock which was set has to be set back, or to be believed

Steady = Callable[[], float]
"""Seconds that pass evenly, whatever is done to the clock on the wall."""


class Steadiness:
    """
    Notices that the clock was set, by hand or because the machine slept, while this process runs.

    An edition that is skipped as too late, or leaves a day early, because somebody mistyped a date, cannot be called back;
    five minutes can be made up for.
    """

    def __init__(self, clock: Callable[[], datetime], steady: Steady = time.monotonic) -> None:
        self._clock, self._steady = clock, steady
        self._ahead = self._believed = self._difference()
        self._until = float("-inf")

    def doubt(self) -> str:
        """Why nothing is to be begun now, in words; empty when the clock is believed. To be asked every few seconds."""
        ahead = self._difference()
        moved, self._ahead = ahead - self._ahead, ahead
        if abs(moved) > JUMP:
            back = abs(ahead - self._believed) <= JUMP
            self._until = float("-inf") if back else self._steady() + CALM
        if self._steady() < self._until:
            return (
                f"the clock was set {_words(ahead - self._believed)}: nothing is begun for {CALM / 60:.0f} minutes, unless it is "
                "set back before; then it is believed."
            )
        self._believed = ahead
        return ""

    def _difference(self) -> float:
        return self._clock().timestamp() - self._steady()


def _words(seconds: float) -> str:
    minutes = round(abs(seconds) / 60)
    length = f"{minutes / 60:.1f} hours" if minutes >= 120 else f"{minutes} minutes"  # noqa: PLR2004  two hours
    return f"{'forward' if seconds > 0 else 'back'} by {length}"
