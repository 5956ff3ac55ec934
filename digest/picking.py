"""Which stories an edition carries and in what order: best first by weight, under rules an editor can read."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from digest.reasons import reasons, why_not
from digest.values import Candidate, Choice, Pick, Rules
from digest.weighing import Weighed, alike, is_told, is_update, weigh_all

NO_CAP = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One stage of filling: how old a story may be, the caps that hold, how many places to fill, and its note."""

    hours: int
    topic_cap: int
    source_cap: int
    places: int
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The stories that one step may choose from, best first, and for each event the one that stands for it."""

    stories: Sequence[Weighed]
    tellers: dict[int, Weighed]
    roomy: bool  # no more stories than places


def pick(candidates: Sequence[Candidate], rules: Rules, *, now: datetime) -> Pick:
    """
    Choose and order an edition's stories; the order of `candidates` does not matter.

    One story tells each event, and an event told before returns only as a material update. With fewer than
    `rules.minimum`, in this order: the window is widened, the topic cap is lifted, then the source cap (these two
    only until the minimum is reached); then the edition goes out short or is skipped, by `rules.short`.

    Where a window holds no more stories than places there is nothing to make room for: then no cap holds, and a
    publisher's own further stories on an event stand too, but never a copy or another source's telling. A lone
    source has no cap for the same reason.
    """
    rules = fitted(rules, candidates)
    ranked = weigh_all(candidates, rules, now=now)
    wanted = min(rules.minimum, rules.size)
    picked: list[Weighed] = []
    notes: list[str] = []
    for step in _steps(rules):
        if step.note:
            notes.append(f"{_count(len(picked))} of at least {wanted}: {step.note}.")
        pool = _pool(ranked, picked, step, rules)
        picked = _fill(picked, pool, step, rules)
        if len(picked) >= wanted:
            break
    left = [weighed for weighed in ranked if weighed not in picked]
    return Pick(
        picked=tuple(_choices_in(picked, pool, rules)),
        left_out=tuple(_choice_out(weighed, picked, pool, step.hours, rules) for weighed in left),
        notes=(*notes, *_last_words(len(picked), wanted, rules)),
        skip=_skip(len(picked), wanted, step.hours, rules),
    )


def fitted(rules: Rules, candidates: Sequence[Candidate]) -> Rules:
    """The rules for these candidates: a lone source has no cap."""
    lone = len({candidate.story.source for candidate in candidates}) == 1
    return replace(rules, source_cap=NO_CAP) if lone else rules


def _steps(rules: Rules) -> Iterator[Step]:
    step = Step(hours=rules.window_hours, topic_cap=rules.topic_cap, source_cap=rules.source_cap, places=rules.size)
    yield step
    for hours in sorted(hours for hours in rules.widen_hours if hours > rules.window_hours):
        step = replace(step, hours=hours, note=f"the window was widened to {hours} h")
        yield step
    step = replace(step, topic_cap=NO_CAP, places=min(rules.minimum, rules.size), note="the cap per topic was lifted")
    yield step
    if rules.source_cap < NO_CAP:
        yield replace(step, source_cap=NO_CAP, note="the cap per source was lifted")


def _pool(ranked: Sequence[Weighed], picked: Sequence[Weighed], step: Step, rules: Rules) -> Pool:
    stories = [weighed for weighed in ranked if weighed.hours <= step.hours and not is_told(weighed, rules)]
    tellers = {weighed.cluster: weighed for weighed in reversed(picked)}
    for weighed in sorted(stories, key=lambda weighed: weighed.candidate.story.stub):  # stable: best of the whole ones
        tellers.setdefault(weighed.cluster, weighed)
    return Pool(stories=stories, tellers=tellers, roomy=len(stories) <= rules.size)


def _fill(picked: Sequence[Weighed], pool: Pool, step: Step, rules: Rules) -> list[Weighed]:
    """
    Take, one at a time, the story whose worth is highest after what it shares with those already in is taken off.

    Source: maximal marginal relevance, Carbonell and Goldstein 1998; `rules.diversity` is 1 - lambda.
    """
    layout = list(picked)
    waiting = [weighed for weighed in pool.stories if weighed not in layout and _may_stand(weighed, pool)]
    likeness = {weighed.id: max((alike(weighed, other) for other in layout), default=0.0) for weighed in waiting}
    while len(layout) < step.places:
        waiting = [weighed for weighed in waiting if pool.roomy or within_caps(weighed, layout, step)]
        if not waiting:
            break
        best = max(waiting, key=lambda one: (1 - rules.diversity) * one.score - rules.diversity * likeness[one.id])
        layout.append(best)
        waiting.remove(best)
        for weighed in waiting:
            likeness[weighed.id] = max(likeness[weighed.id], alike(weighed, best))
    return layout


def _may_stand(weighed: Weighed, pool: Pool) -> bool:
    teller = pool.tellers[weighed.cluster]
    further = pool.roomy and weighed.source == teller.source and weighed.candidate.copy_of is None
    return weighed is teller or further


def within_caps(weighed: Weighed, layout: Sequence[Weighed], caps: Step | Rules) -> bool:
    """Whether there is room for it beside those of its topic and its source."""
    of_topic = sum(other.topic == weighed.topic for other in layout) if weighed.topic else 0
    return of_topic < caps.topic_cap and sum(other.source == weighed.source for other in layout) < caps.source_cap


def _choices_in(picked: Sequence[Weighed], pool: Pool, rules: Rules) -> Iterator[Choice]:
    topics: Counter[str] = Counter()
    for weighed in picked:
        topics[weighed.topic] += 1
        teller = pool.tellers[weighed.cluster]
        why = reasons(weighed, nth_of_topic=topics[weighed.topic], teller=teller, rules=rules)
        yield replace(choice_of(weighed), reasons=why, update=is_update(weighed, rules))


def _choice_out(weighed: Weighed, picked: Sequence[Weighed], pool: Pool, hours: int, rules: Rules) -> Choice:
    why = why_not(weighed, picked=picked, tellers=pool.tellers, hours=hours, rules=rules)
    return replace(choice_of(weighed), why_not=why)


def choice_of(weighed: Weighed) -> Choice:
    """It as a choice, with what its signals say."""
    said = tuple(score.reason for score in weighed.signals if score.reason)
    return Choice(
        id=weighed.id, cluster=weighed.cluster, score=weighed.score, signals=weighed.signals, reasons=said,
        topic=weighed.topic,
    )  # fmt: skip


def _last_words(count: int, wanted: int, rules: Rules) -> list[str]:
    return [f"Short: {_count(count)} of at least {wanted}."] if 0 < count < wanted and rules.short == "send" else []


def _skip(count: int, wanted: int, hours: int, rules: Rules) -> str:
    if not count:
        return f"No story to send in the last {hours} h."
    return (
        f"Only {_count(count)} of at least {wanted} in {hours} h." if count < wanted and rules.short == "skip" else ""
    )


def _count(number: int) -> str:
    return "1 story" if number == 1 else f"{number} stories"
