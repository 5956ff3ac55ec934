"""The fields of one reader as a file gives them: each checked, and made what will be stored."""

import csv
import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from subscribers.addresses import normalise
from subscribers.models import CHANNELS, SUBSCRIPTION_STATES, topic_key
from subscribers.zones import demand_zone

_NOT_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")
_DATE = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d{1,9}))?)? ?(Z|UTC|[+-]\d\d:?\d\d)?(?: [A-Z0-9+-]{1,5})?"
)
ATTRIBUTE = re.compile(r"[a-z0-9_.-]{1,64}")
LONGEST_VALUE = 500

STANDINGS: Mapping[str, str] = {
    "active": "active", "enabled": "active", "subscribed": "active", "confirmed": "active",
    "pending": "pending", "unconfirmed": "pending",
    "left": "left", "unsubscribed": "left", "disabled": "left", "inactive": "left", "opted out": "left",
    "suppressed": "suppressed", "blocklisted": "blocklisted", "blacklisted": "blocklisted", "blocked": "blocklisted",
    "cleaned": "bounce", "bounced": "bounce", "bounce": "bounce", "complained": "complaint", "spam": "complaint",
}  # fmt: skip
"""What a file may say of how somebody stands: a state of the subscription, or why the address is suppressed."""


class BadFieldError(ValueError):
    """One field of a line cannot be believed; `column` is its heading, or empty when it is the whole line."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column, self.reason = column, reason


def checked(given: Mapping[str, str]) -> dict[str, Any]:
    """
    One reader's fields as they will be stored, from what stood under our headings (none of it empty).

    They are columns of the subscriber table (with `email_key`, and `attributes` as a dict) and `topics`, `less`,
    `channels`, `device`, `status`, `suppressed`, `joined_at`, `consent_at`, `confirmed_at`, `left_at`, `subscriptions`.

    Raises:
        BadFieldError: there is no address, or a field is wrong.
    """
    if "email" not in given:
        raise BadFieldError("email", "there is no address")
    reader: dict[str, Any] = {}
    attributes: dict[str, str] = {}
    for name, value in given.items():
        if name.startswith("attr."):
            if words := _cut(value, LONGEST_VALUE):
                attributes[name.removeprefix("attr.")] = words
            continue
        try:
            reader.update(CHECKS[name](value))
        except ValueError as error:
            raise BadFieldError(name, str(error)) from None
    if attributes:
        reader["attributes"] = {**reader.get("attributes", {}), **attributes}
    if parts := [reader.pop(name) for name in ("first_name", "last_name") if name in reader]:
        reader.setdefault("name", " ".join(parts)[:200])
    return reader


def plain_text(value: str) -> str:
    """Text is text: no control or bidi characters, no halves of characters, single blanks."""
    return " ".join(_NOT_TEXT.sub(" ", value).split())


def _cut(value: str, longest: int) -> str:
    return plain_text(value)[:longest].rstrip()


def _email(value: str) -> dict[str, str]:
    address = normalise(value)
    return {"email": address.mailbox, "email_key": address.key}


def _words(field: str, longest: int) -> Callable[[str], dict[str, str]]:
    return lambda value: {field: _cut(value, longest)}


@lru_cache(maxsize=4096)
def _language(value: str) -> dict[str, str]:
    if not re.fullmatch(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,2}", value):
        raise ValueError(f"{value!r} is no language: use a code such as en or es-MX")
    base, _, region = value.replace("_", "-").partition("-")
    return {"language": f"{base.lower()}-{region.upper()}" if region else base.lower()}


@lru_cache(maxsize=4096)
def _zone(value: str) -> dict[str, str]:
    return {"zone": demand_zone(value)}


def _country(value: str) -> dict[str, str]:
    if not re.fullmatch("[A-Za-z]{2}", value):
        raise ValueError(f"{value!r} is no country: use two letters such as ES")
    return {"country": value.upper()}


def _plan(value: str) -> dict[str, str]:
    if len(value) > 64:  # noqa: PLR2004  the column's width
        raise ValueError("a plan has at most 64 characters")
    return {"plan": words} if (words := plain_text(value)) else {}


def _topics(field: str) -> Callable[[str], dict[str, tuple[str, ...]]]:
    @lru_cache(maxsize=4096)
    def read(value: str) -> dict[str, tuple[str, ...]]:
        parts = [topic_key(part) for part in re.split("[;|]", plain_text(value)) if part.strip()]
        if any(len(topic) > 64 for topic in parts):  # noqa: PLR2004  the column's width
            raise ValueError("a topic has at most 64 characters")
        return {field: tuple(dict.fromkeys(parts))}

    return read


@lru_cache(maxsize=4096)
def _channels(value: str) -> dict[str, tuple[str, ...]]:
    channels = tuple(dict.fromkeys(part for part in re.split(r"[;|\s]+", value.lower()) if part))
    return {"channels": tuple(_channel(name) for name in channels)}


def _channel(name: object) -> str:
    if name not in CHANNELS:
        raise ValueError(f"{name!r} is no channel: use {' or '.join(CHANNELS)}")
    return str(name)


def _device(value: str) -> dict[str, str]:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{8,64}", value):
        raise ValueError("a device id is 8 to 64 letters, digits, dots, dashes or underscores")
    return {"device": value}


@lru_cache(maxsize=4096)
def _status(value: str) -> dict[str, str]:
    standing = STANDINGS.get(value.lower().replace("_", " "))
    if standing is None:
        raise ValueError(
            f"{value!r} is no status: use {', '.join(STANDINGS)}, or leave the column out with --map HEADING="
        )
    return {"status": standing} if standing in SUBSCRIPTION_STATES else {"suppressed": standing}


def _suppressed(value: str) -> dict[str, str]:
    return {"suppressed": _cut(value, 32)}


def _moment(field: str) -> Callable[[str], dict[str, datetime]]:
    return lambda value: {field: moment(value)}


def moment(value: str) -> datetime:
    """
    A date, or a date and time; without a zone it is UTC.

    Raises:
        ValueError: it is written in another order, or is no day of the calendar.
    """
    found = _DATE.fullmatch(value)
    if found is None:
        raise ValueError(f"{value[:40]!r} is no date: write it as 2025-03-31 or 2025-03-31T09:00:00Z")
    day, time, fraction, zone = found.groups()
    offset = "+00:00" if zone in {None, "Z", "UTC"} else zone
    try:
        at = datetime.fromisoformat(f"{day}T{time or '00:00'}{'.' + fraction[:6] if fraction else ''}{offset}")
        return at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{value[:40]!r} is no day of the calendar") from None


# cells that hold more than one thing --------------------------------------------------------------------------------


def _attributes(value: str) -> dict[str, dict[str, Any]]:
    """A JSON object: what is nested in it gets a name with dots, lists become a;b."""
    kept: dict[str, Any] = {}
    waiting = [("", _object(value))]
    while waiting:
        above, found = waiting.pop()
        for key, inner in found.items():
            name = f"{above}{re.sub(r'[^a-z0-9_.-]+', '_', key.strip().lower())}"
            if isinstance(inner, dict):
                waiting.append((f"{name}.", inner))
            elif ATTRIBUTE.fullmatch(name) and (plain := _plain(inner)) != "":
                kept[name] = plain
    return {"attributes": kept}


def _plain(value: Any) -> Any:
    """A number or a truth as it is, anything else as text; empty for nothing."""
    if isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, list):
        return ";".join(str(part) for each in value if (part := _plain(each)) != "")[:LONGEST_VALUE]
    return "" if value is None or isinstance(value, dict) else _cut(str(value), LONGEST_VALUE)


def _object(value: str) -> dict[str, Any]:
    found = _json(value)
    if not isinstance(found, dict):
        raise ValueError('it is no JSON object such as {"city": "Lima"}')  # noqa: TRY004  a wrong value, as the others
    return found


def _json(value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise ValueError("it is no JSON that can be read") from None


def _tags(value: str) -> dict[str, dict[str, str]]:
    """Mailchimp's tags: "one","two, and three"."""
    try:
        found = next(csv.reader([value], skipinitialspace=True))
    except csv.Error:
        found = value.replace('"', " ").split(",")
    tags = [words for tag in found if (words := plain_text(tag))]
    return {"attributes": {"tags": ";".join(tags)[:LONGEST_VALUE]}} if tags else {}


def _state(value: str) -> str:
    if value not in SUBSCRIPTION_STATES:
        raise ValueError(f"{value!r} is no state of a subscription: use {', '.join(SUBSCRIPTION_STATES)}")
    return value


WISH: Mapping[str, Callable[[str], Any]] = {
    "digest": lambda value: _cut(value, 64), "channel": _channel, "device": lambda value: _device(value)["device"],
    "state": _state, "paused_until": moment, "consent_at": moment,
    "consent_source": lambda value: _cut(value, 200), "consent_wording": lambda value: _cut(value, 64),
    "confirmed_at": moment, "left_at": moment,
}  # fmt: skip


def _subscriptions(value: str) -> dict[str, list[dict[str, Any]]]:
    """Our own export's: a JSON list with an object for each subscription, its fields as in the subscription table."""
    found = _json(value)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ValueError("it is no JSON list of subscriptions")
    return {"subscriptions": [_wish(one) for one in found]}


def _wish(given: dict[str, Any]) -> dict[str, Any]:
    if unknown := set(given) - set(WISH):
        raise ValueError(f"a subscription has no {min(unknown)!r}: its fields are {', '.join(WISH)}")
    if missing := {"digest", "channel", "state"} - {name for name, value in given.items() if value}:
        raise ValueError(f"a subscription needs its {min(missing)}")
    return {name: WISH[name](str(value)) for name, value in given.items() if value}


CHECKS: Mapping[str, Callable[[str], Mapping[str, Any]]] = {
    "email": _email, "name": _words("name", 200), "first_name": _words("first_name", 200),
    "last_name": _words("last_name", 200), "language": _language, "zone": _zone, "country": _country, "plan": _plan,
    "topics": _topics("topics"), "less": _topics("less"), "channels": _channels, "device": _device,
    "attributes": _attributes, "tags": _tags, "status": _status, "suppressed": _suppressed,
    "joined": _moment("joined_at"), "consent_at": _moment("consent_at"), "confirmed_at": _moment("confirmed_at"),
    "left_at": _moment("left_at"), "cleaned_at": _moment("cleaned_at"), "chosen_at": _moment("chosen_at"),
    "tracked_since": _moment("tracked_since"),
    "subscriptions": _subscriptions,
}  # fmt: skip
"""Every field a column can be, and how it is read."""

EXPORTED = frozenset({"tags", "cleaned_at", "suppressed", "chosen_at", "tracked_since"})
FIELDS = (*(name for name in CHECKS if name not in EXPORTED), "attr.NAME")
"""Those that a person may name; the others are read where another program's export has them."""
