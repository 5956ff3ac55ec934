"""Why a story is in an edition, or is not: the sentences an editor reads."""

from collections.abc import Mapping, Sequence

from digest.values import Rules, Told
from digest.weighing import Weighed, alike, is_told, is_update


def reasons(weighed: Weighed, *, nth_of_topic: int, teller: Weighed, rules: Rules) -> tuple[str, ...]:
    """What speaks for it, the weightiest first; `nth_of_topic` counts its topic's stories in the edition, it included."""
    told = weighed.candidate.told
    said = [f"Update: {_told(told)}, {_percent(told.new_share)} new"] if told and is_update(weighed, rules) else []
    said += [score.reason for score in weighed.signals if score.reason and not (said and score.signal == "first_time")]
    if weighed is not teller:
        said.append(f"further story on {_headline(teller)}")
    if weighed.topic:
        over = "" if nth_of_topic <= rules.topic_cap else ", there was room"
        said.append(f"{label(weighed.topic)} {nth_of_topic} of {rules.topic_cap}{over}")
    return tuple(said)


def why_not(
    weighed: Weighed, *, picked: Sequence[Weighed], tellers: Mapping[int, Weighed], hours: int, rules: Rules
) -> str:
    """The first rule that kept it out; `tellers` are the stories that stand for their events, `hours` the window."""
    if weighed.hours > hours:
        return f"{weighed.hours:.0f} h old, the window is {hours} h"
    if is_told(weighed, rules):
        return _nothing_new(weighed, rules)
    teller = tellers[weighed.cluster]
    if teller is not weighed:
        what = "copy of" if weighed.candidate.copy_of == teller.id else "same event as"
        return f"{what} {_headline(teller)}" + ("" if teller in picked else ", which tells it better")
    return _over_cap(weighed, picked, rules) or _outweighed(weighed, picked)


def label(topic: str) -> str:
    """A topic's slug as words: "middle-east" is Middle East."""
    return topic.replace("-", " ").title()


def _nothing_new(weighed: Weighed, rules: Rules) -> str:
    told = weighed.candidate.told
    assert told is not None
    if not told.followed_up:
        return f"{_told(told)}, no new story since"
    return f"{_told(told)}, only {_percent(told.new_share)} new, {_percent(rules.update_share)} wanted"


def _over_cap(weighed: Weighed, picked: Sequence[Weighed], rules: Rules) -> str:
    of_topic = sum(other.topic == weighed.topic for other in picked)
    of_source = sum(other.source == weighed.source for other in picked)
    if weighed.topic and of_topic >= rules.topic_cap:
        return f"{label(weighed.topic)} already has {of_topic} of {rules.topic_cap}"
    if of_source >= rules.source_cap:
        return f"{weighed.source} already has {of_source} of {rules.source_cap}"
    return ""


def _outweighed(weighed: Weighed, picked: Sequence[Weighed]) -> str:
    if not picked:
        return f"score {weighed.score:.2f}, no place to fill"
    lowest = min(picked, key=lambda other: other.score)
    nearest = max(picked, key=lambda other: alike(weighed, other))
    if weighed.score > lowest.score and alike(weighed, nearest):
        return f"score {weighed.score:.2f}, but much like {_headline(nearest)}"
    if weighed.score > lowest.score:
        return f"score {weighed.score:.2f}; {_headline(lowest)} has {lowest.score:.2f} but adds more that is different"
    return f"score {weighed.score:.2f}, the lowest one in has {lowest.score:.2f}"


def _told(told: Told) -> str:
    return f"told on {told.on.day} {told.on:%B}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _headline(weighed: Weighed) -> str:
    return f"“{weighed.candidate.story.headline}”"
