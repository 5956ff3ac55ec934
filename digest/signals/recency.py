"""How fresh a story is: its worth halves with every half-life."""

from datetime import datetime

from digest.values import Candidate, Rules, Score

HOUR, DAYS_FROM = 3600, 72


def score(candidate: Candidate, *, now: datetime, rules: Rules) -> Score:
    """1 for this minute's story, a half after `rules.half_life_hours`. A story without a date counts from when we met it."""
    dated = candidate.story.published_at
    hours = max(0.0, (now - (dated or candidate.seen_at)).total_seconds() / HOUR)
    return Score(
        signal="recency",
        value=0.5 ** (hours / rules.half_life_hours),
        reason=f"{_old(hours)} old" if dated else f"undated, met {_old(hours)} ago",
    )


def _old(hours: float) -> str:
    if hours < 1:
        return f"{hours * 60:.0f} min"
    return f"{hours:.0f} h" if hours < DAYS_FROM else f"{hours / 24:.0f} days"
