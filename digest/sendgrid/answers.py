"""What SendGrid answers, in our words: whom it blames, how long it wants to be left alone, and whose fault it is."""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime

from digest.errors import AccountError, TransportError
from digest.text import without_addresses

TAKEN, TAKEN_IN_SANDBOX, TOO_MANY = 202, 200, 429
DIVIDED = frozenset({400, 413})
NOT_TAKEN = range(300, 500)  # a redirect is not followed: it would carry the key to another address
REFUSED_ACCOUNT = frozenset({401, 403})
LONGEST_REST = 3600.0  # seconds


@dataclass(frozen=True)
class Answer:
    """What came back; status 0 when nothing did."""

    status: int
    words: str  # for the books: without addresses
    message_id: str = ""
    wait: float | None = None  # seconds
    named: Collection[int] = ()  # places in the request whose readers are at fault
    blames_all: bool = False

    @property
    def fault(self) -> TransportError:
        """Why SendGrid takes nothing from us at all."""
        said = f"({self.words}). It took nothing and all is queued again: check"
        then = "then run the same command again."
        if self.status in REFUSED_ACCOUNT:
            check = "DIGEST_SENDGRID_KEY, its permission Mail Send, and the sender's authentication there"
            return AccountError(f"SendGrid refuses this account {said} {check}, {then}")
        return TransportError(f"SendGrid refuses this request {said} DIGEST_SENDGRID_HOST, {then}")


def read(status: int, headers: Message, body: bytes) -> Answer:
    """An HTTP answer of the API, or of whatever stands in front of it."""
    faults = _faults(body)
    said = "; ".join(dict.fromkeys(message for _, message in faults))
    places = [re.match(r"personalizations[.\[](\d+)", where) for where, _ in faults]
    return Answer(
        status, without_addresses(f"{status} {said}".strip()), without_addresses(headers.get("X-Message-Id", "")), _wait(headers),
        named={int(place[1]) for place in places if place},
        blames_all=bool(faults) and all(where and not where.startswith("personalizations") for where, _ in faults),
    )  # fmt: skip


@dataclass(frozen=True)
class Scopes:
    """What a key may do, by SendGrid's names such as mail.send; and what time it was there."""

    names: Collection[str] = ()
    at: datetime | None = None


def read_scopes(headers: Message, body: bytes) -> Scopes:
    """The answer to the question what a key may do; no names where it is none."""
    try:
        names = frozenset(map(str, json.loads(body)["scopes"]))
    except (ValueError, TypeError, KeyError):
        names = frozenset()
    try:
        at = parsedate_to_datetime(headers["Date"]).astimezone(UTC)
    except (ValueError, TypeError):
        at = None
    return Scopes(names, at)


def _faults(body: bytes) -> list[tuple[str, str]]:
    """(field, message) of each fault in the answer; none where it is not the API that answers."""
    try:
        faults = json.loads(body)["errors"]
        return [(str(fault.get("field") or ""), str(fault.get("message") or "")) for fault in faults]
    except (ValueError, TypeError, KeyError, AttributeError):
        return []


def _wait(headers: Message) -> float | None:
    """Seconds until SendGrid wants to be asked again, by its own clock; None when it does not say."""
    try:
        seconds = (
            int(headers["Retry-After"])
            if "Retry-After" in headers
            else int(headers["X-RateLimit-Reset"]) - parsedate_to_datetime(headers["Date"]).timestamp()
        )
    except (ValueError, TypeError):
        return None
    return min(max(float(seconds), 1.0), LONGEST_REST)
