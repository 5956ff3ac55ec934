"""
What is said to SendGrid: a proof compiled once into JSON, and each reader's part of a request filled in like a message.

All of it is ASCII, so that a request of many readers is joined and encoded at the speed of memory.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from json.encoder import encode_basestring_ascii as _quoted
from operator import itemgetter
from typing import Any

from digest.blanks import FILLS, LONGEST_NAME, LONGEST_PLAIN, PLAIN_READER
from digest.sendgrid.checks import RESERVED, Slip, demand_letter, demand_reader
from digest.tagged import Tagged, tagged
from digest.values import Blank, Compiled, Recipient
from subscribers.addresses import ascii_domain, normalise

NOT_OURS = RESERVED | {"date", "message-id", "mime-version"}
"""Headers that SendGrid writes. It gives Date and Message-ID anew: our id travels in the arguments, and in every event."""

OFF = {"enable": False}
TRACKING = {
    "click_tracking": {"enable": False, "enable_text": False}, "open_tracking": OFF, "subscription_tracking": OFF,
    "ganalytics": OFF,
}  # fmt: skip

ARGUMENT = "delivery"  # SendGrid keeps it for long: nothing about the reader
TO, ID = Blank("to", "json"), Blank("delivery_id", "raw")
PLAIN_FIELDS = ("to", "token", "delivery_id", "comma_name", "address", "trail")

_PLAIN = re.compile(rf"{PLAIN_READER}\n[A-Za-z0-9_-]{{,200}}")  # and their token and id
_made = partial(tuple.__new__, Slip)  # by its own name a tuple takes twice as long
_SPLITS = re.compile('[,;:"<>@]')  # by these SendGrid takes part of a name for an address, and drops the mail


class Letter:
    """
    A proof as SendGrid is told it.

    Raises:
        ContentError: it would be refused.
        BlankError: the proof does not hold what it promised.
    """

    def __init__(self, compiled: Compiled, *, sandbox: bool = False) -> None:
        message = tagged(compiled, without=NOT_OURS)
        common = _common(message, sandbox=sandbox)
        demand_letter(common, message.personal)
        self.compiled = compiled
        self._common = "]," + json.dumps(common, separators=(",", ":"))[1:]
        self._finished, blanks = _apart(_personal(message))
        distinct = [TO, *(dict.fromkeys(blanks).keys() - {TO})]
        self._fills = [FILLS[blank] for blank in distinct[1:]]
        self._tags = [(tag, distinct.index(blank) - 1) for tag, blank in message.tags.items()]
        self._id = distinct.index(ID) - 1
        self._plainly = itemgetter(*(PLAIN_FIELDS.index(blank.field) for blank in blanks))
        self._each = itemgetter(*map(distinct.index, blanks))

    def slip(self, recipient: Recipient) -> Slip:
        """
        One reader's part of a request.

        Raises:
            ValueError: no mail can go to this reader, or their values cannot be written.
        """
        number, delivery_id, address, *_ = recipient
        plain = _plain(recipient)
        key, values = (address, self._plainly(plain)) if plain else self._carefully(recipient)
        return _made((number, delivery_id, key.lower(), self._filled(values)))

    def _filled(self, values: Sequence[str]) -> str:
        pieces = self._finished.copy()
        pieces[1::2] = values
        return "".join(pieces)

    def _carefully(self, recipient: Recipient) -> tuple[str, tuple[str, ...]]:
        """Where mail for this reader goes, and what fills each blank. A plain reader's values need no check of size."""
        address = normalise(recipient.address).mailbox
        texts = [fill_one(recipient).decode() for fill_one in self._fills]
        demand_reader({tag: texts[at] for tag, at in self._tags}, {ARGUMENT: texts[self._id]})
        return address, self._each([_to(address, recipient), *(_quoted(text)[1:-1] for text in texts)])

    def request(self, slips: Sequence[Slip]) -> str:
        """The request that hands the proof to all of them."""
        return '{"personalizations":[' + ",".join([slip.text for slip in slips]) + self._common


def _common(message: Tagged, *, sandbox: bool) -> dict[str, Any]:
    name, address = message.sender
    return {
        "from": {"email": address, "name": name},
        "reply_to": {"email": message.reply_to},
        "subject": message.subject,
        "content": [{"type": "text/plain", "value": message.text}, {"type": "text/html", "value": message.html}],
        "headers": dict(message.headers),
        "mail_settings": {"sandbox_mode": {"enable": sandbox}},
        "tracking_settings": TRACKING,
    }


def _personal(message: Tagged) -> Iterator[str | Blank]:
    """What the API calls a personalization, in pieces. Its headers are merged with those that are said to all."""
    yield from ('{"to":[', TO, '],"headers":')
    yield from _object(message.personal)
    yield ',"substitutions":'
    yield from _object({tag: [blank] for tag, blank in message.tags.items()})
    yield ',"custom_args":'
    yield from _object({ARGUMENT: [ID]})
    yield "}"


def _object(members: Mapping[str, Sequence[str | Blank]]) -> Iterator[str | Blank]:
    opening = "{"
    for name, pieces in members.items():
        yield f'{opening}{_quoted(name)}:"'
        yield from (piece if isinstance(piece, Blank) else _quoted(piece)[1:-1] for piece in pieces)
        opening = '",'
    yield '"}' if members else "{}"


def _apart(pieces: Iterator[str | Blank]) -> tuple[list[str], list[Blank]]:
    """The finished text at the even places, with room for a blank's value at each odd one; and the blanks in their order."""
    finished, blanks = [""], []
    for piece in pieces:
        if isinstance(piece, Blank):
            blanks.append(piece)
            finished += ["", ""]
        else:
            finished[-1] += piece
    return finished, blanks


def _plain(recipient: Recipient) -> tuple[str, ...] | None:
    """What fills a blank of each of PLAIN_FIELDS; None for a reader whose values need escaping."""
    _, delivery_id, address, name, token, _, trail = recipient
    found = _PLAIN.fullmatch(f"{name}\n{address}\n{token}{delivery_id}{trail}")
    if found is None or len(name) > LONGEST_NAME or len(address) > LONGEST_PLAIN:
        return None
    if ascii_domain(found[1]) != found[1]:
        return None
    if name:
        return f'{{"email":"{address}","name":"{name}"}}', token, delivery_id, f", {name}", address, trail
    return f'{{"email":"{address}"}}', token, delivery_id, "", address, trail


def _to(address: str, recipient: Recipient) -> str:
    name = " ".join(_SPLITS.sub(" ", _SHOWN_NAME(recipient).decode()).split())
    named = f',"name":{_quoted(name)}' if name else ""
    return f'{{"email":{_quoted(address)}{named}}}'


_SHOWN_NAME = FILLS[Blank("comma_name", "text8")]
