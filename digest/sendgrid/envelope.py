"""
What is said to SendGrid: a proof compiled once into JSON, and each reader's part of a request filled in like a message.

All of it is ASCII, so that a request of many readers is joined and encoded at the speed of memory.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any

from digest.blanks import FILLS, LONGEST_NAME, LONGEST_PLAIN, PLAIN_ADDRESS, PLAIN_NAME
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
NAMES = [Blank("comma_name", "text8"), Blank("comma_name", "html8")]
BLANKS = [
    TO,
    ID,
    Blank("token", "raw"),
    Blank("trail", "raw"),
    Blank("address", "text8"),
    Blank("address", "html8"),
    *NAMES,
]
"""Every blank there is for SendGrid. A slip has a value for each, whether the message holds it or not."""

_PLAIN = re.compile(rf"(?:({PLAIN_NAME})|.*)\n{PLAIN_ADDRESS}\n[A-Za-z0-9_-]{{,200}}").fullmatch
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
        finished, blanks = _apart(_personal(message))
        self._tags = [(tag, BLANKS.index(blank)) for tag, blank in message.tags.items()]
        self._finished = ["," + finished[0], *finished[1:]]
        self._columns = [(2 * at + 1, BLANKS.index(blank)) for at, blank in enumerate(blanks)]

    def slip(self, recipient: Recipient) -> Slip:
        """
        One reader's part of a request.

        Raises:
            ValueError: no mail can go to this reader, or their values cannot be written.
        """
        if plain := _plain(recipient):
            return _made((recipient[0], recipient[1], recipient[2].lower(), plain))
        address, values = self._carefully(recipient)
        return Slip(recipient.number, recipient.delivery_id, address.lower(), values)

    def _carefully(self, recipient: Recipient) -> tuple[str, tuple[str, ...]]:
        """Where mail for this reader goes, and what fills BLANKS. What is plain needs no check of size."""
        address = normalise(recipient.address).mailbox
        texts = [_to(address, recipient), *(FILLS[blank](recipient).decode() for blank in BLANKS[1:])]
        demand_reader({tag: texts[at] for tag, at in self._tags}, {ARGUMENT: recipient.delivery_id})
        return address, (texts[0], *(_quoted(text)[1:-1] for text in texts[1:]))

    def request(self, slips: Sequence[Slip]) -> str:
        """
        The request that hands the proof to all of them.

        It is put together blank by blank, each for all readers at once: half the work of one reader after the other.
        """
        columns = list(zip(*[slip.values for slip in slips], strict=True))
        pieces, each = self._finished * len(slips), len(self._finished)
        for at, column in self._columns:
            pieces[at::each] = columns[column]
        pieces[0] = pieces[0][1:]  # the comma before the first
        return "".join(['{"personalizations":[', *pieces, self._common])


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
    """What fills BLANKS; None for a reader whose address or ids need more care. Their name may be any."""
    _, delivery_id, address, name, token, _, trail = recipient
    found = _PLAIN(f"{name}\n{address}\n{token}{delivery_id}{trail}")
    if found is None or len(address) > LONGEST_PLAIN or not _is_ascii(found[2]):
        return None
    if not name:
        return f'{{"email":"{address}"}}', delivery_id, token, trail, address, address, "", ""
    if found[1] is None or len(name) > LONGEST_NAME:
        shown, *commas = _named(name)
        return f'{{"email":"{address}"{shown}}}', delivery_id, token, trail, address, address, *commas
    comma = f", {name}"
    return f'{{"email":"{address}","name":"{name}"}}', delivery_id, token, trail, address, address, comma, comma


@lru_cache(maxsize=10_000)  # readers have few domains
def _is_ascii(domain: str) -> bool:
    return ascii_domain(domain) == domain


@lru_cache(
    maxsize=1000
)  # enough for the names that many have; more, kept here and there, would hold on to the memory around them
def _named(name: str) -> tuple[str, str, str]:
    """A member of an object that names them, if anything is left to name them by; then what fills each of NAMES."""
    one = Recipient(0, "", "", name, "", "")
    text, html = [FILLS[blank](one).decode() for blank in NAMES]
    shown = " ".join(_SPLITS.sub(" ", text).split())
    return f',"name":{_quoted(shown)}' if shown else "", _quoted(text)[1:-1], _quoted(html)[1:-1]


def _to(address: str, recipient: Recipient) -> str:
    return f'{{"email":{_quoted(address)}{_named(recipient.name)[0]}}}'
