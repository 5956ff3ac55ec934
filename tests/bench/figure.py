"""One measured figure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured, in which unit, what was hoped for in words, and whether it was reached."""

    name: str
    value: float
    unit: str
    goal: str
    ok: bool
