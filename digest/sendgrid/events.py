"""
What SendGrid's Event Webhook tells, in our words.

Source: Twilio's page "Event Webhook Reference"; the reasons of drops and the type "expired" from its issue tracker.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from digest.sendgrid.envelope import ARGUMENT
from digest.text import without_addresses
from digest.values import Event, EventKind

MOST_REASON = 2000  # characters that are looked at
LATEST = 2**32  # epoch seconds
_FOR_GOOD = frozenset({"bounced address", "spam reporting address", "unsubscribed address", "invalid"})

KINDS: Mapping[str, tuple[EventKind, bool]] = {
    "processed": (EventKind.PROCESSED, False),
    "deferred": (EventKind.DEFERRED, False),
    "delivered": (EventKind.DELIVERED, False),
    "blocked": (EventKind.BLOCKED, False),
    "spamreport": (EventKind.COMPLAINED, False),
    "unsubscribe": (EventKind.LEFT, True),
    "group_unsubscribe": (EventKind.LEFT, False),
}
"""What happened, and whether for good. Opens and clicks are not here: see `seen`. Coming back is by our form."""

BOUNCES: Mapping[str, tuple[EventKind, bool]] = {
    "bounce": (EventKind.BOUNCED, True),  # from here on SendGrid itself drops what goes there
    "expired": (EventKind.BOUNCED, False),
    "blocked": (EventKind.BLOCKED, False),
}
SOFT = (EventKind.BOUNCED, False)
A_FULL_BOX = "mailbox unavailable"  # the one reason of a block that lies with the address


def read(body: bytes) -> list[Event | None]:
    """
    The events of one POST. None for each that tells nothing we keep, or cannot be read.

    Raises:
        ValueError: it is no list of events.
    """
    return [_event(one) if isinstance(one, dict) else None for one in _list(body)]


def _list(body: bytes) -> list[Any]:
    try:
        told = json.loads(body)
    except RecursionError:
        raise ValueError("nested without end") from None
    if not isinstance(told, list):
        raise ValueError("no list")  # noqa: TRY004  what is wrong is what it says
    return told


class SeenEvent(NamedTuple):
    """An open or click, by SendGrid's own number for it; `url` is empty for an open. `machine`: SendGrid says that it was one."""

    key: str
    delivery: str
    at: float
    url: str
    machine: bool


def seen(body: bytes) -> list[SeenEvent]:
    """
    The opens and clicks of one POST: those of a delivery, with a number by which they can be told apart.

    Raises:
        ValueError: it is no list of events.
    """
    found = [_seen(one) for one in _list(body) if isinstance(one, dict)]
    return [one for one in found if one is not None]


def _seen(told: Mapping[str, Any]) -> SeenEvent | None:
    name, key, at = _text(told.get("event")), _text(told.get("sg_event_id")), _moment(told.get("timestamp"))
    delivery, url = _text(told.get(ARGUMENT)), _text(told.get("url")) if name == "click" else ""
    if name not in {"open", "click"} or not key or not delivery or at is None or (name == "click") != bool(url):
        return None
    return SeenEvent(key, delivery, at, url, told.get("sg_machine_open") is True)


def _event(told: Mapping[str, Any]) -> Event | None:
    kind, at = _kind(told), _moment(told.get("timestamp"))
    if kind is None or at is None:
        return None
    words = _text(told.get("reason")) or _text(told.get("response"))
    return Event(
        _text(told.get(ARGUMENT)),
        kind[0],
        at,
        permanent=kind[1],
        url=_text(told.get("url")),
        reason=without_addresses(words),
    )


def _kind(told: Mapping[str, Any]) -> tuple[EventKind, bool] | None:
    name, reason = _text(told.get("event")), _text(told.get("reason")).strip().lower()
    if name == "bounce":
        kind = BOUNCES.get(_text(told.get("type")), SOFT)
        is_full = _text(told.get("bounce_classification")).lower() == A_FULL_BOX
        return SOFT if kind[0] == EventKind.BLOCKED and is_full else kind
    if name == "dropped":
        return EventKind.DROPPED, reason in _FOR_GOOD
    return KINDS.get(name)


def _moment(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < LATEST:
        return None
    return float(value)


def _text(value: object) -> str:
    return value[:MOST_REASON] if isinstance(value, str) else ""
