"""How many sources tell the event; more of the same voice, or copies of the same text, count a fifth each."""

from datetime import datetime
from math import log

from digest.values import Candidate, Rules, Score

ECHO = 0.2
FULL = 8  # sources that make an event as covered as it needs to be


def score(candidate: Candidate, *, now: datetime, rules: Rules) -> Score:  # noqa: ARG001 - one shape for all signals
    """By the logarithm of the sources, 1 at eight. Where one source is all the house reads, a half and its own follow-ups."""
    told_by, echoes = max(1, len(candidate.told_by)), ECHO * (candidate.follow_ups + candidate.copies)
    reach = log(1 + told_by + echoes) / log(1 + FULL)
    value = 0.5 + echoes / 2 if candidate.sources == 1 else reach
    return Score(signal="coverage", value=min(1.0, value), reason=_reason(candidate, told_by))


def _reason(candidate: Candidate, told_by: int) -> str:
    parts = [] if candidate.sources == 1 else [_count(told_by, "source")]
    parts += [_count(candidate.follow_ups, "follow-up")] if candidate.follow_ups else []
    parts += [_count(candidate.copies, "copy", "copies")] if candidate.copies else []
    return ", ".join(parts)


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one}" if number == 1 else f"{number} {many or one + 's'}"
