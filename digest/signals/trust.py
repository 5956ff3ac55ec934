"""How far the editors trust the source."""

from datetime import datetime

from digest.values import Candidate, Rules, Score


def score(candidate: Candidate, *, now: datetime, rules: Rules) -> Score:  # noqa: ARG001 - one shape for all signals
    """The trust that was set for the source, 0 to 1."""
    trust = min(1.0, max(0.0, candidate.trust))
    return Score(signal="trust", value=trust, reason=f"source trusted {100 * trust:.0f} %")
