"""Whether readers of this digest meet the event for the first time."""

from datetime import datetime

from digest.values import Candidate, Rules, Score


def score(candidate: Candidate, *, now: datetime, rules: Rules) -> Score:  # noqa: ARG001 - one shape for all signals
    """1 for a new event; for one told before, the share of the story that is new."""
    if candidate.told is None:
        return Score(signal="first_time", value=1.0, reason="first time here")
    told = candidate.told
    reason = f"told on {told.on.day} {told.on:%B}, {100 * told.new_share:.0f} % new"
    return Score(signal="first_time", value=told.new_share, reason=reason)
