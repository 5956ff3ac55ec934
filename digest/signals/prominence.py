"""How high the story stood on its own page or feed: the publisher's own editors have ranked it already."""

from datetime import datetime

from digest.values import Candidate, Rules, Score


def score(candidate: Candidate, *, now: datetime, rules: Rules) -> Score:  # noqa: ARG001 - one shape for all signals
    """1 for the lead, falling evenly to 1/n for the last of n; a page of one story says nothing and counts a half."""
    place, size = candidate.story.position, max(candidate.page_size, candidate.story.position + 1)
    if size == 1:
        return Score(signal="prominence", value=0.5, reason="alone on its page")
    reason = "lead of the section" if place == 0 else f"place {place + 1} of {size} on its page"
    return Score(signal="prominence", value=1 - place / size, reason=reason)
