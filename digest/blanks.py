"""
Blanks: the holes a printed message has for what differs by reader, how they look, and what goes into them.

In printed text a blank stands as a mark (`Marks`), which survives templates, premailer and URLs. In a compiled message
it is a `Blank` that knows how its place wants the value escaped; `FILLS` has every one there is.
"""

import hashlib
import re
from binascii import b2a_base64, b2a_qp
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from operator import attrgetter

from digest.errors import StorageError
from digest.values import Blank, Recipient
from subscribers.addresses import HeaderValue, ascii_domain, header_value

SHORT = 74  # characters of a header that stay on one line
WORD_BYTES = 42  # 56 in base64, so an encoded word fits beside the longest header name
LONGEST_NAME = 60  # characters of a name that a message shows

Fill = Callable[[Recipient], bytes]


class BlankError(StorageError):
    """A compiled message is not what its proof promised; printing the edition again mends it."""


@dataclass(frozen=True, slots=True)
class Marks:
    """
    How blanks look until they are compiled.

    The seed is made from all that the message says, so no story can hold a mark: it would have to hold its own hash.
    """

    seed: str

    @classmethod
    def for_content(cls, content: str) -> "Marks":
        return cls(hashlib.blake2b(content.encode("utf-8", "replace"), digest_size=8, person=b"marks").hexdigest())

    def mark(self, field: str) -> str:
        return f"blank-{self.seed}-{field}-"

    def split(self, text: str) -> list[str]:
        """Text, field, text, field, ..., text."""
        return re.split(f"blank-{self.seed}-([a-z_]+)-", text)

    def count(self, text: str) -> int:
        return text.count(f"blank-{self.seed}-")


def unstructured(text: str) -> HeaderValue:
    """Free text as a header: itself in ASCII, encoded words otherwise."""
    safe = header_value(text)
    return safe if safe.isascii() else _encoded_words(safe)


def mailbox(name: str, address: str) -> HeaderValue:
    """Name <address>, the name quoted or encoded where it must be, the domain in ASCII."""
    local, _, domain = header_value(address).rpartition("@")
    reachable = f"{local}@{ascii_domain(domain)}"
    phrase = header_value(name)
    if not phrase:
        return header_value(reachable)
    if not phrase.isascii():
        phrase = _encoded_words(phrase)
    elif not _PHRASE.fullmatch(phrase):
        phrase = HeaderValue('"' + phrase.replace("\\", "\\\\").replace('"', '\\"') + '"')
    return HeaderValue(
        f"{phrase}\r\n <{reachable}>" if len(phrase) + len(reachable) > SHORT else f"{phrase} <{reachable}>"
    )


def _encoded_words(text: HeaderValue) -> HeaderValue:
    """RFC 2047: base64 words of at most 75 bytes, folded one to a line."""
    words = (b2a_base64(chunk, newline=False).decode() for chunk in _chunks(text))
    return HeaderValue("\r\n ".join(f"=?utf-8?b?{word}?=" for word in words))


def _chunks(text: str) -> list[bytes]:
    """At most WORD_BYTES each, no character split."""
    whole = text.encode()
    if len(whole) <= WORD_BYTES:
        return [whole]
    chunks = [b""]
    for character in text:
        one = character.encode()
        if len(chunks[-1]) + len(one) > WORD_BYTES:
            chunks.append(b"")
        chunks[-1] += one
    return chunks


_UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]+")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9 .@_-]{,69}")  # the same bytes in every context, and no dot in front
_MAILBOX = re.compile(r"[A-Za-z0-9.+_-]+@[A-Za-z0-9.-]+")
_PHRASE = re.compile(r"(?=.{1,60}\Z)[A-Za-z0-9]+(?: [A-Za-z0-9]+)*")


def _raw(field: str) -> Fill:
    value = attrgetter(field)
    return lambda recipient: value(recipient).encode()


def _shown(text: str) -> str:
    return " ".join(_UNSHOWN.sub(" ", text).split())[:LONGEST_NAME].rstrip()


def _comma_name(recipient: Recipient) -> str:
    name = recipient.name
    if name and not _PHRASE.fullmatch(name):
        name = _shown(name)
    return f", {name}" if name else ""


def _address(recipient: Recipient) -> str:
    return _UNSHOWN.sub("", recipient.address)


def _html(text: str) -> bytes:
    return escape(text).encode("ascii", "xmlcharrefreplace")


def _html8(text: str) -> bytes:
    return escape(text).encode()


def _text8(text: str) -> bytes:
    return text.encode()


def quoted_printable(text: str) -> bytes:
    """Quoted-printable that a soft break may follow: its last line keeps room for one more sign. No dot in front."""
    encoded = b2a_qp(f"{text}x".encode())[:-1].replace(b"=\n", b"=\r\n")
    return b"=2E" + encoded[1:] if encoded.startswith(b".") else encoded


def _escaped(value: Callable[[Recipient], str], encode: Callable[[str], bytes]) -> Fill:
    def fill_one(recipient: Recipient) -> bytes:
        text = value(recipient)
        return text.encode() if _PLAIN.fullmatch(text, 2 if text[:2] == ", " else 0) else encode(text)

    return fill_one


def _to(recipient: Recipient) -> bytes:
    name, address = recipient.name, recipient.address
    if _MAILBOX.fullmatch(address):
        if not name:
            return address.encode()
        if _PHRASE.fullmatch(name):
            return f"{name} <{address}>".encode()
    return mailbox(_shown(name), address).encode()


def is_plain(recipient: Recipient) -> bool:
    """True when the reader's name and address read the same in a header, in text, in HTML and in quoted-printable."""
    _, _, address, name, _, _, _ = recipient
    short = len(name) <= LONGEST_NAME and len(address) <= LONGEST_PLAIN
    return short and _PLAIN_READER.fullmatch(f"{name}\n{address}") is not None


LONGEST_PLAIN = 70  # characters: what quoted-printable leaves on one line
PLAIN_NAME = "(?:[A-Za-z0-9]+(?: [A-Za-z0-9]+)*)?"
PLAIN_ADDRESS = "[A-Za-z0-9][A-Za-z0-9.+_-]{,63}@([a-z0-9][a-z0-9.-]*)"
"""What reads the same everywhere, up to its greatest length; of an address the group is its domain."""
_PLAIN_READER = re.compile(rf"{PLAIN_NAME}\n{PLAIN_ADDRESS}")

PLAIN_FIELDS = ("token", "delivery_id", "date", "mailbox", "comma_name", "address", "trail")


def plain_values(recipient: Recipient) -> tuple[bytes, ...] | None:
    """
    What fills a blank of each of PLAIN_FIELDS but the trail, whatever its context; None for a reader whose values need escaping.

    Most readers are plain, and for them this is several times quicker than a fill for each context.
    """
    if not is_plain(recipient):
        return None
    _, delivery_id, address, name, token, date, _ = recipient
    reach, comma = (f"{name} <{address}>", f", {name}") if name else (address, "")
    return token.encode(), delivery_id.encode(), date.encode(), reach.encode(), comma.encode(), address.encode()


def tracked_values(recipient: Recipient) -> tuple[bytes, ...] | None:
    """The same with the trail, for a message that has tracked links: others do not pay for it."""
    plain = plain_values(recipient)
    return (*plain, recipient.trail.encode()) if plain else None


FILLS: Mapping[Blank, Fill] = {
    **{Blank(field, "raw"): _raw(field) for field in ("token", "delivery_id", "date", "trail")},
    Blank("mailbox", "header"): _to,
    **{
        Blank(field, context): _escaped(value, encode)
        for field, value in (("comma_name", _comma_name), ("address", _address))
        for context, encode in (("html", _html), ("html8", _html8), ("qp", quoted_printable), ("text8", _text8))
    },
}
"""Every blank there is. `comma_name` is ", Ana" or nothing, so that a greeting reads well with and without a name."""

ROOM = {"token": 40, "trail": 40, "comma_name": 9 * LONGEST_NAME + 2, "address": 320}
"""Bytes at most that a blank puts into a line of the body, for folding around it."""
