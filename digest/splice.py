"""
Proof + recipient -> bytes: the hot path.

A message is compiled once: encoded, folded and cut at its blanks. Filling it for one reader is then a handful of short
values and one join, whatever the message's size.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any

from digest.blanks import (
    FILLS,
    PLAIN_FIELDS,
    ROOM,
    BlankError,
    Marks,
    plain_values,
    quoted_printable,
    tracked_values,
)
from digest.values import Blank, Compiled, Recipient
from subscribers.addresses import HeaderValue

LINE = 900  # bytes a line is folded to; a word longer than the rest of a line may stretch it to LONGEST_LINE
LONGEST_LINE = 990
WIDER = 1.05  # times as long by character references: from there on a page leaves as 8-bit
FORMAT = 1  # of packed messages


# filling ------------------------------------------------------------------------------------------------------------


class Filler:
    """
    A compiled message made ready for many readers: each value is worked out once, wherever it stands.

    Finished bytes stand at the even places, blanks at the odd ones. Most blanks are of one value, so that list starts
    out full of it, and only the others are set one by one.
    """

    def __init__(self, compiled: Compiled) -> None:
        self.compiled = compiled
        self._finished, blanks = _apart(compiled.pieces)
        often = [blank for blank, _ in Counter(blanks).most_common()] or [Blank("token", "raw")]
        self._fills = [FILLS[blank] for blank in often]
        self._plain = tracked_values if Blank("trail", "raw") in often else plain_values
        self._plainly = _picker([PLAIN_FIELDS.index(blank.field) for blank in often])
        self._others = [(2 * at + 1, often.index(blank)) for at, blank in enumerate(blanks) if blank != often[0]]

    def __call__(self, recipient: Recipient) -> bytes:
        plain = self._plain(recipient)
        values = self._plainly(plain) if plain else [fill_one(recipient) for fill_one in self._fills]
        pieces = [values[0]] * (2 * len(self._finished) - 1)
        pieces[::2] = self._finished
        for place, which in self._others:
            pieces[place] = values[which]
        return b"".join(pieces)


def _apart(pieces: Sequence[bytes | Blank]) -> tuple[list[bytes], list[Blank]]:
    """The finished bytes between the blanks, one more of them than there are blanks; and the blanks."""
    finished, blanks = [b""], []
    for piece in pieces:
        if isinstance(piece, Blank):
            blanks.append(piece)
            finished.append(b"")
        else:
            finished[-1] += piece
    return finished, blanks


def _picker(places: Sequence[int]) -> Callable[[Sequence[bytes]], Sequence[bytes]]:
    """Takes from a reader's values those at `places`, in their order."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda values: [values[place] for place in places]


_fillers: dict[int, Filler] = {}
_FILLERS_KEPT = 64


def fill(compiled: Compiled, recipient: Recipient) -> bytes:
    """The message for one reader. What can be prepared per message is prepared once and kept for the next reader."""
    filler = _fillers.get(id(compiled))
    if filler is None or filler.compiled is not compiled:  # an id is used again once its owner is gone
        if len(_fillers) >= _FILLERS_KEPT:
            _fillers.clear()
        filler = _fillers[id(compiled)] = Filler(compiled)
    return filler(recipient)


# compiling ----------------------------------------------------------------------------------------------------------


def compile_message(headers: Sequence[tuple[str, HeaderValue]], text: str, html: str, marks: Marks) -> Compiled:
    """
    A whole message, multipart/alternative with the written text first.

    Latin scripts leave as 7-bit (html by character references, text quoted-printable), which no relay rewrites; the
    others as 8-bit, which is shorter for them. Dots are not stuffed: a file must not hold that, and SMTP asks
    `stuffed` for it. Header values may hold marks of `token`, `delivery_id`, `date` and `mailbox`.

    Raises:
        BlankError: a mark was lost, or stands where none can.
    """
    wide = _is_wide(html)
    boundary = "=_" + hashlib.blake2b((text + html).encode(), digest_size=12).hexdigest()
    kind = f'Content-Type: multipart/alternative; boundary="{boundary}"'
    pieces: list[bytes | Blank] = []
    for name, value in headers:
        pieces += _header(name, value, marks)
    pieces += [f"MIME-Version: 1.0\r\n{kind}\r\n\r\n".encode()]
    pieces += [_part(boundary, "plain", "8bit" if wide else "quoted-printable")]
    pieces += _cut(fold(text, marks), marks, "text8") if wide else _quoted_printable(text, marks)
    pieces += [b"\r\n", _part(boundary, "html", "8bit" if wide else "7bit")]
    pieces += _cut(fold(html if wide else _ascii(html), marks), marks, "html8" if wide else "html")
    pieces += [f"\r\n--{boundary}--\r\n".encode()]
    expected = marks.count(text) + marks.count(html) + sum(marks.count(value) for _, value in headers)
    return checked(pieces, expected)


def checked(pieces: Iterable[bytes | Blank], expected: int) -> Compiled:
    """
    Neighbouring bytes joined, every blank known, and their number what was expected.

    Raises:
        BlankError: it is not.
    """
    joined: list[bytes | Blank] = []
    for piece in pieces:
        if isinstance(piece, bytes) and joined and isinstance(joined[-1], bytes):
            joined[-1] += piece
        elif piece:
            joined.append(piece)
    blanks = [piece for piece in joined if isinstance(piece, Blank)]
    unknown = {f"{blank.field} ({blank.context})" for blank in blanks if blank not in FILLS}
    if unknown or len(blanks) != expected:
        fault = f"has no filling for {', '.join(sorted(unknown))}" if unknown else f"holds {len(blanks)} blanks"
        raise BlankError(f"The compiled message {fault}, of {expected} expected: print the edition again.")
    return Compiled(tuple(joined), len(blanks))


def stuffed(compiled: Compiled) -> Compiled:
    """
    The same message with SMTP's dots doubled.

    Only finished bytes need it: a blank never stands at the start of a line but after a soft break of
    quoted-printable, and no value begins with a dot there.
    """
    return Compiled(
        tuple(p if isinstance(p, Blank) else p.replace(b"\r\n.", b"\r\n..") for p in compiled.pieces), compiled.blanks
    )


def _is_wide(html: str) -> bool:
    return len(_ascii(html)) > WIDER * len(html.encode())


def _part(boundary: str, subtype: str, encoding: str) -> bytes:
    lines = f"--{boundary}", f"Content-Type: text/{subtype}; charset=utf-8", f"Content-Transfer-Encoding: {encoding}"
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


def _header(name: str, value: HeaderValue, marks: Marks) -> list[bytes | Blank]:
    pieces = [
        Blank(part, "header" if part == "mailbox" else "raw") if index % 2 else part.encode("ascii")
        for index, part in enumerate(marks.split(value))
    ]
    return [f"{name}: ".encode(), *pieces, b"\r\n"]


def _ascii(html: str) -> str:
    return html.encode("ascii", "xmlcharrefreplace").decode()


def _cut(text: str, marks: Marks, context: str) -> list[bytes | Blank]:
    parts = marks.split(text)
    return [_blank(part, context) if index % 2 else part.encode() for index, part in enumerate(parts)]


def _blank(field: str, context: str) -> Blank:
    return Blank(field, "raw" if Blank(field, "raw") in FILLS else context)


def _quoted_printable(text: str, marks: Marks) -> list[bytes | Blank]:
    """A soft break on both sides of a blank keeps every line within 76 whatever fills it."""
    *before, last = marks.split(text)
    pieces: list[bytes | Blank] = []
    for index, part in enumerate(before):
        pieces += [_blank(part, "qp"), b"=\r\n"] if index % 2 else [_qp_lines(part), b"=\r\n"]
    return [*pieces, _qp_lines(last)]


def _qp_lines(text: str) -> bytes:
    return b"\r\n".join(quoted_printable(line) if line else b"" for line in text.split("\n"))


def fold(text: str, marks: Marks) -> str:
    """Lines ended by CRLF, none long enough to break at a relay: folded at spaces, but never right before a mark."""
    return "\r\n".join(short for line in text.split("\n") for short in _folded(line, marks))


def _folded(line: str, marks: Marks) -> list[str]:
    if _width(line, marks) <= LINE:
        return [line]
    lines = [""]
    for word in line.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if _width(longer, marks) <= LINE or marks.split(word)[0] == "":
            lines[-1] = longer
        else:
            lines.append(word)
    if any(_width(one, marks) > LONGEST_LINE for one in lines):
        raise BlankError(
            f"A line cannot be folded under {LONGEST_LINE} bytes: {line[:60]!r}. Shorten that address or word."
        )
    return lines


def _width(line: str, marks: Marks) -> int:
    """Bytes the line may have once its blanks are filled."""
    parts = marks.split(line)
    return sum(ROOM.get(part, 80) if index % 2 else len(part.encode()) for index, part in enumerate(parts))


# keeping ------------------------------------------------------------------------------------------------------------


def pack(compiled: Compiled) -> bytes:
    """The message as bytes that a database keeps: one line of JSON that says what follows, then the finished pieces."""
    plan = [len(p) if isinstance(p, bytes) else [p.field, p.context] for p in compiled.pieces]
    finished = b"".join(p for p in compiled.pieces if isinstance(p, bytes))
    return json.dumps([FORMAT, compiled.blanks, plan], separators=(",", ":")).encode() + b"\n" + finished


def unpack(packed: bytes) -> Compiled:
    """
    What `pack` was given.

    Raises:
        BlankError: the bytes are damaged, or a version of ours wrote them that this one cannot read.
    """
    plan, _, finished = packed.partition(b"\n")
    try:
        version, blanks, layout = json.loads(plan)
        pieces = list(_laid_out(layout, finished))
        whole = sum(item for item in layout if isinstance(item, int)) == len(finished)
    except (ValueError, TypeError):
        raise BlankError("The stored proof cannot be read: print the edition again.") from None
    if version != FORMAT or not whole:
        raise BlankError("The stored proof is damaged or of another version: print the edition again.")
    return checked(pieces, blanks)


def _laid_out(layout: Sequence[Any], finished: bytes) -> Iterator[bytes | Blank]:
    at = 0
    for item in layout:
        if isinstance(item, int):
            yield finished[at : at + item]
            at += item
        else:
            field, context = item
            yield Blank(field, context)
