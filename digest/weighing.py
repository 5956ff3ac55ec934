"""What each story is worth to a digest: every signal's word on it, summed by the digest's weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from digest.parts import load_part, part_names
from digest.text import words
from digest.values import Candidate, Rules, Score

NEW_SIGNAL = 1.0  # the weight of a signal that no setting names yet
SHORT_WORD = 3  # words up to this long say little about what a headline is about


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Weighed:
    """A candidate, all that its signals said (the weightiest first), and their sum, 0 to 1."""

    candidate: Candidate
    score: float
    signals: tuple[Score, ...]
    hours: float  # since it was published, or met where it is undated
    about: frozenset[str]  # its headline's long words

    @property
    def id(self) -> int:
        return self.candidate.id

    @property
    def cluster(self) -> int:
        return self.candidate.cluster

    @property
    def source(self) -> str:
        return self.candidate.story.source

    @property
    def topic(self) -> str:
        """The topic it counts for: its first."""
        return next(iter(self.candidate.story.topics), "")


def weigh_all(candidates: Sequence[Candidate], rules: Rules, *, now: datetime) -> list[Weighed]:
    """All of them, best first; equal scores by date, the newer first, then by id."""
    weights = {name: rules.weights.get(name, NEW_SIGNAL) for name in part_names("signals")}
    used = {name: (weight, load_part("signals", name).score) for name, weight in weights.items() if weight > 0}
    total = sum(weight for weight, _ in used.values())

    def weigh(candidate: Candidate) -> Weighed:
        said = [(weight / total, score(candidate, now=now, rules=rules)) for weight, score in used.values()]
        said.sort(key=lambda share_and_score: -share_and_score[0] * share_and_score[1].value)
        return Weighed(
            candidate=candidate,
            score=round(sum(share * score.value for share, score in said), 4),
            signals=tuple(score for _, score in said),
            hours=max(0.0, (now - dated(candidate)).total_seconds() / 3600),
            about=frozenset(word for word in words(candidate.story.headline) if len(word) > SHORT_WORD),
        )

    weighed = [weigh(candidate) for candidate in candidates]
    return sorted(weighed, key=lambda one: (-one.score, -dated(one.candidate).timestamp(), one.id))


def dated(candidate: Candidate) -> datetime:
    return candidate.story.published_at or candidate.seen_at


def alike(one: Weighed, other: Weighed) -> float:
    """How much two stories resemble each other, 0 to 1: half by shared topics, half by their headlines' words."""
    return (_shared(one.candidate.story.topics, other.candidate.story.topics) + _shared(one.about, other.about)) / 2


def _shared(some: Sequence[str] | frozenset[str], others: Sequence[str] | frozenset[str]) -> float:
    union = set(some) | set(others)
    return len(set(some) & set(others)) / len(union) if union else 0.0


def is_update(weighed: Weighed, rules: Rules) -> bool:
    """Whether a told event has moved on: a newer story, and enough that is new in this one."""
    told = weighed.candidate.told
    return told is not None and told.followed_up and told.new_share >= rules.update_share


def is_told(weighed: Weighed, rules: Rules) -> bool:
    """Whether readers have had this event and there is nothing material to add."""
    return weighed.candidate.told is not None and not is_update(weighed, rules)
