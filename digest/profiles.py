"""Topic profiles: the order in which readers of like wishes see an edition's stories. Pure."""

from collections.abc import Sequence

from digest.values import Slot
from subscribers.audience import MOST_TOPICS
from subscribers.models import topic_key

SAME_FOR_ALL = 3
"""So many slots at the top are the editor's alone."""

MOST = 64
"""Variants of one edition: more are more than an editor can look at. Those with the fewest readers see the editor's order."""

LONGEST_NAME = 64


def topics_of(slots: Sequence[str]) -> tuple[str, ...]:
    """The topics that wishes can move, of an edition whose slots have these (or none), in the order of the slots."""
    return tuple(dict.fromkeys(topic_key(topic) for topic in slots[SAME_FOR_ALL:] if topic))[:MOST_TOPICS]


def profile_of(leaning: int, slots: Sequence[str]) -> str:
    """
    The order for readers of that `leaning` (see subscribers.audience) towards the topics of these slots.

    More first, less last, otherwise as the editor has it; nothing is left out. It is named by the slots that come first of
    those that may move, such as 6-8: the sixth comes fourth, the eighth fifth, and the rest follow as they were. Empty is
    the editor's own order, and also what cannot be named within 64 characters.
    """
    places = range(SAME_FOR_ALL, len(slots))
    wishes = {topic: (0, 1, -1)[leaning // 3**place % 3] for place, topic in enumerate(topics_of(slots))}
    order = sorted(places, key=lambda place: -wishes.get(topic_key(slots[place]), 0))
    named = len(order)
    while named and order[named - 1 :] == sorted(order[named - 1 :]):  # what follows in its own order needs no name
        named -= 1
    name = "-".join(str(place + 1) for place in order[:named])
    return name if len(name) <= LONGEST_NAME else ""


def arranged(slots: tuple[Slot, ...], profile: str) -> tuple[Slot, ...]:
    """The same slots in a profile's order; each keeps its position, by which it is found on the edition's page."""
    named = [int(number) - 1 for number in profile.split("-") if number]
    rest = [place for place in range(SAME_FOR_ALL, len(slots)) if place not in named]
    return slots[:SAME_FOR_ALL] + tuple(slots[place] for place in [*named, *rest])
