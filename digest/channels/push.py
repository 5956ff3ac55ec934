"""
An edition as a notification: Declarative Web Push JSON, which a browser can show without running our code.

One encrypted record carries at most 3,993 bytes, and Mozilla's way to Android fewer still: 2,800 fit everywhere.
"""

import hashlib
import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

from digest.blanks import Marks
from digest.context import context
from digest.errors import NotReadyError
from digest.languages import Words, direction, message, words
from digest.links import Links, anchor, tagged, utm_of
from digest.render import Printer
from digest.splice import checked
from digest.splice import fill as splice
from digest.values import Blank, Edition, EditionKind, Proof, Recipient, Variant

MOST_BYTES = 2_800
ID_BYTES = 64  # room for the opaque delivery id
TITLE, LONGEST_TITLE = 50, 65  # characters: seen whole everywhere, and the most a title has
BODY, LONGEST_BODY = 120, 150
SHORTEST_BODY = 40
TOPIC_BYTES = 18  # 24 signs of base64url: within 32 and a length that Apple takes
JOIN = " · "
DECLARATIVE = 8030  # the number by which a browser knows a declarative message


def proof(edition: Edition, variant: Variant, printer: Printer, _links: Links) -> Proof:
    """
    Write the notification of an edition for one variant.

    Raises:
        NotReadyError: its addresses alone are too long to be sent.
    """
    language = words(variant.language, printer.folders)
    marks = Marks.for_content(repr((edition, variant)))
    push = _within(_payload(edition, variant, language, marks.mark("delivery_id")), marks)
    parts = marks.split(push)
    pieces = [Blank(part, "raw") if index % 2 else part.encode() for index, part in enumerate(parts)]
    return Proof(
        channel="push", variant=variant, subject=edition.subject, preheader=edition.preheader, html="", text="",
        push=push, compiled=checked(pieces, 1), content_hash=hashlib.sha256(push.encode()).hexdigest(),
    )  # fmt: skip


def fill(proof: Proof, recipient: Recipient) -> bytes:
    """One device's payload: UTF-8 JSON, not yet encrypted. It says nothing about its reader but the opaque id."""
    return splice(proof.compiled, recipient)


def _payload(edition: Edition, variant: Variant, language: Words, opaque_id: str) -> dict[str, Any]:
    known = context(edition, variant, language)
    lead = edition.slots[0]
    alone = edition.kind == EditionKind.BREAKING
    utm = {**utm_of(edition), "medium": "push"} if edition.digest.utm else {}
    notification: dict[str, Any] = {
        "title": shorten(lead.headline if alone else edition.subject, TITLE, LONGEST_TITLE),
        "body": _body(edition),
        "lang": variant.language,  # of the headlines, whatever language the buttons speak
        "dir": direction(variant.language),
        "tag": topic(edition),
        "navigate": tagged(lead.url, utm) if alone else edition.web_url,
        "silent": False,
        "actions": [
            _action("share", language.gettext(message("Share")), anchor(edition.web_url, lead.position)),
            _action("lead", language.gettext(message("Top story")), tagged(lead.url, utm)),
        ],
        "data": {"v": 1, "d": edition.digest.slug, "m": opaque_id},
    }
    if image := known["stories"][0].image:  # type: ignore[index]
        notification["image"] = image
    return {"web_push": DECLARATIVE, "notification": notification, "app_badge": len(edition.slots), "mutable": False}


def _action(name: str, title: str, navigate: str) -> dict[str, str]:
    return {"action": name, "title": title, "navigate": navigate}


def topic(edition: Edition) -> str:
    """The tag by which a newer notification replaces one still on screen: yesterday's edition, or the same event's alert."""
    what = (
        f"story:{edition.slots[0].story}" if edition.kind == EditionKind.BREAKING else f"digest:{edition.digest.slug}"
    )
    return urlsafe_b64encode(hashlib.sha256(what.encode()).digest()[:TOPIC_BYTES]).decode()


def _body(edition: Edition) -> str:
    """Breaking: the teaser. Else the headlines under the first, whole ones as long as they fit."""
    lead, *others = edition.slots
    if edition.kind == EditionKind.BREAKING or not others:
        return shorten(lead.teaser or edition.preheader, BODY, LONGEST_BODY)
    first, *more = (slot.headline.rstrip(".") for slot in others)
    body = shorten(first, BODY, LONGEST_BODY)
    for headline in more:
        if len(body) + len(JOIN) + len(headline) > LONGEST_BODY:
            break
        body += JOIN + headline
    return body


def _within(payload: dict[str, Any], marks: Marks) -> str:
    """The payload as JSON of at most 2,800 bytes: the body shortened first, then no image, then no list of actions."""
    notification = payload["notification"]
    cuts: list[Callable[[], object]] = [
        lambda: None,
        lambda: notification.update(body=shorten(notification["body"], SHORTEST_BODY, SHORTEST_BODY)),
        lambda: notification.pop("image", None),
        lambda: notification.update(actions=notification["actions"][:1]),
        lambda: notification.pop("actions", None),
    ]
    for cut in cuts:
        cut()
        text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
        if sum(len(part.encode()) for part in marks.split(text)[::2]) + ID_BYTES <= MOST_BYTES:
            return text
    raise NotReadyError(
        f"The notification is over {MOST_BYTES} bytes even at its shortest: its address is too long. Shorten it."
    )


# A cut may not leave a clause that says the opposite or half a figure: after these words more must follow.
_UNFINISHED = re.compile(
    r"(?i:\b(?:not|no|never|without|against|nor|neither|hardly|denies|refuses|fails?|rejects?|n[’']t|ni|sin|nunca|contra|niega|"
    r"rechaza|a|an|and|as|at|but|by|for|from|if|in|of|on|or|says?|than|that|the|to|who|will|with|about|after|amid|before|between|during|into|over|since|until|under|y|e|o|u|el|la|los|las|un|una|"
    r"de|del|al|en|que|por|para|con|como|dice|se|su|ante|desde|durante|entre|hasta|pero|sobre|tras))$|\w+[’']t$|[\d.,]+%?$|[$€£]$"
)
_CLAUSE_END = re.compile(r"(?:[,;:–—]|(?<=[^\W\d_]{4})[.!?])(?=\s)|\s(?=[–—·]\s)")


def shorten(text: str, good: int, longest: int) -> str:
    """
    The text if it has at most `longest` characters, else its beginning with "…": up to the last clause that ends
    between half of `good` and `longest`, or to a word, never inside or right after a figure, a name or a "not".
    """
    text = " ".join(text.split())
    if len(text) <= longest:
        return text
    room = text[:longest]
    ends = [found.start() for found in _CLAUSE_END.finditer(text) if good // 2 <= found.start() < longest]
    for end in reversed(ends):
        if not _UNFINISHED.search(room[:end]):
            return room[:end].rstrip() + "…"
    words_ = text[: longest - 1].rsplit(" ", 1)[0].split(" ") if " " in room else [room[: longest - 1]]
    return _at_a_word(words_, text) + "…"


def _at_a_word(words_: list[str], text: str) -> str:
    """Words dropped from the end until what is left can stand: at least half is kept, whatever the sentence."""
    keep = len(words_)
    while keep > max(1, len(words_) // 2):
        said = " ".join(words_[:keep]).rstrip(",;:–—·")
        following = text[len(" ".join(words_[:keep])) :].split()
        inside_a_name = words_[keep - 1][:1].isupper() and bool(following) and following[0][:1].isupper() and keep > 1
        if not _UNFINISHED.search(said) and not inside_a_name:
            return said
        keep -= 1
    return " ".join(words_).rstrip(",;:–—·")
