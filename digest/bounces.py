"""
What comes back by mail, in our words: delivery reports (RFC 3464), complaints (RFC 5965), and readers who leave by mail.

Anyone can write such a mail. So nothing counts that does not carry the keyed id of a delivery, or its token: who can show
that has had the message in hand.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from digest.delivery_ids import LENGTH
from digest.mime import Part, fields
from digest.text import without_addresses
from digest.values import Event, EventKind

MOST_BLOCKS = 20  # recipients of one report
LATEST = 2**32  # epoch seconds

IsOurs = Callable[[str], bool]
"""Whether a text is the id, or the token, of a delivery of this house."""

Told = tuple[EventKind, bool]
"""What happened, and whether for good."""


class Returned(NamedTuple):
    """What a message is (bounce, complaint, leave or other), and what it tells or else why it was left."""

    what: str
    event: Event | None = None
    why: str = ""


def read(raw: bytes, *, is_id: IsOurs, is_token: IsOurs) -> Returned:
    """One message, whatever it is."""
    message = Part(raw)
    parts = {part.kind: part for part in reversed(list(message.walk()))}
    if (report := parts.get("message/feedback-report")) is not None:
        return _complaint(message, fields(report.body.strip()), _original(parts), is_id)
    if (report := parts.get("message/delivery-status", parts.get("message/global-delivery-status"))) is not None:
        return _bounce(message, list(_blocks(report.body)), _original(parts), is_id)
    return _leaving(message, is_token)


# whose it is ----------------------------------------------------------------------------------------------------------

ORIGINALS = (
    "message/rfc822",
    "message/global",
    "text/rfc822-headers",
    "message/rfc822-headers",
    "message/global-headers",
)
_OURS = {"to", "cc", "delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "in-reply-to", "references"}
_QUOTED = {"message-id", "return-path"}
_REPORTED = {"original-mail-from", "original-envelope-id", "x-original-message-id"}
_ID = re.compile(rf"(?<![0-9a-f])[0-9a-f]{{{LENGTH}}}(?![0-9a-f])")


def _original(parts: Mapping[str, Part]) -> Mapping[str, str]:
    """The headers of the message that is reported."""
    quoted = next((parts[kind] for kind in ORIGINALS if kind in parts), None)
    return fields(quoted.body.lstrip().partition(b"\n\n")[0]) if quoted is not None else {}


def _delivery(
    message: Part, reported: Iterable[Mapping[str, str]], original: Mapping[str, str], is_id: IsOurs
) -> tuple[str, str]:
    """The one delivery's id that it carries, in the address it came back to or in what it quotes; or why there is none."""
    places = [(message.fields, _OURS), (original, _QUOTED), *((block, _REPORTED) for block in reported)]
    texts = " ".join(place[name] for place, names in places for name in names & place.keys())
    found = {text for text in set(_ID.findall(texts.lower())) if is_id(text)}
    if len(found) == 1:
        return found.pop(), ""
    return "", "it names several deliveries" if found else "it carries no delivery id of this house"


# delivery reports -----------------------------------------------------------------------------------------------------

HARD: Told = (EventKind.BOUNCED, True)
SOFT: Told = (EventKind.BOUNCED, False)
BLOCK: Told = (EventKind.BLOCKED, False)

ACTIONS: Mapping[str, Told] = {
    "delayed": (EventKind.DEFERRED, False),
    "delivered": (EventKind.DELIVERED, False),
    "relayed": (EventKind.PROCESSED, False),
    "expanded": (EventKind.PROCESSED, False),
}
FAILED = "failed"
SUBJECTS: Mapping[int, Told] = {0: SOFT, 1: HARD, 2: SOFT, 3: SOFT, 4: SOFT, 5: BLOCK, 6: BLOCK, 7: BLOCK}
DETAILS: Mapping[tuple[int, int], Told] = {
    (1, 7): BLOCK, (1, 8): BLOCK,  # the sender's address
    (2, 1): HARD,  # the mailbox is closed
    (2, 3): BLOCK,  # the message is too long for it
}  # fmt: skip
"""What a permanent failure says by its status (RFC 3463, 5.SUBJECT.DETAIL). One that says nothing more is not for good."""

MILDEST = [*ACTIONS.values(), BLOCK, SOFT, HARD]
_STATUS = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")


def _bounce(message: Part, blocks: list[Mapping[str, str]], original: Mapping[str, str], is_id: IsOurs) -> Returned:
    delivery, why = _delivery(message, blocks, original, is_id)
    told = [(what, block) for block in blocks if (what := _told(block)) is not None]
    if not told:
        return Returned("bounce", why="it does not say what happened")
    if not delivery:
        return Returned("bounce", why=why)
    # our message has one recipient: of several, most are where that one's mail goes on to
    (kind, permanent), block = min(told, key=lambda one: MILDEST.index(one[0]))
    at = _moment(block.get("last-attempt-date", "")) or _moment(message.field("date"))
    words = without_addresses(f"{block.get('status', '')} {block.get('diagnostic-code', '')}")
    return Returned("bounce", Event(delivery, kind, at, permanent=permanent, reason=words))


def _blocks(body: bytes) -> Iterator[Mapping[str, str]]:
    """What the report says of the message, then of each recipient."""
    for block in body.strip().split(b"\n\n", MOST_BLOCKS)[:MOST_BLOCKS]:
        yield fields(block.strip())


def _told(block: Mapping[str, str]) -> Told | None:
    if "action" not in block:
        return None
    action = block["action"].partition("(")[0].strip().lower()
    return _failure(block) if action == FAILED else ACTIONS.get(action)


def _failure(block: Mapping[str, str]) -> Told:
    """Some servers write 5.0.0 whatever it was, and the true status into what they quote of the other side."""
    for words in (block.get("status", ""), block.get("diagnostic-code", "")):
        status = _STATUS.search(words)
        if status is not None and (status[2], status[3]) != ("0", "0"):
            subject, detail = int(status[2]), int(status[3])
            return DETAILS.get((subject, detail), SUBJECTS.get(subject, SOFT)) if status[1] == "5" else SOFT
    return SOFT


def _moment(date: str) -> float:
    """Epoch seconds; 0 for what is no date."""
    try:
        at = parsedate_to_datetime(date)
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return 0.0
    return seconds if 0 < seconds < LATEST else 0.0


# complaints, and leaving ----------------------------------------------------------------------------------------------

FEEDBACK: Mapping[str, Told] = {
    "abuse": (EventKind.COMPLAINED, False),
    "fraud": (EventKind.COMPLAINED, False),
    "opt-out": (EventKind.LEFT, False),
    "opt-out-list": (EventKind.LEFT, False),
}
_LEAVE = re.compile(r"\bleave\s+([A-Za-z0-9_-]{20,80})", re.IGNORECASE)


def _complaint(message: Part, report: Mapping[str, str], original: Mapping[str, str], is_id: IsOurs) -> Returned:
    kind = FEEDBACK.get(report.get("feedback-type", "").strip().lower())
    delivery, why = _delivery(message, [report], original, is_id)
    if kind is None or not delivery:
        return Returned("complaint", why=why if kind else "it is no complaint of abuse")
    at = _moment(report.get("received-date", "") or report.get("arrival-date", "")) or _moment(message.field("date"))
    return Returned("complaint", Event(delivery, kind[0], at, permanent=kind[1]))


def _leaving(message: Part, is_token: IsOurs) -> Returned:
    """The mail that List-Unsubscribe asks for (digest.links.leave_by_mail)."""
    wish = _LEAVE.search(message.field("subject"))
    if wish is None:
        return Returned("other", why="no report, complaint or wish to leave")
    if not is_token(wish[1]):
        return Returned("leave", why="its token is none of this house")
    return Returned("leave", Event(wish[1], EventKind.LEFT, _moment(message.field("date"))))
