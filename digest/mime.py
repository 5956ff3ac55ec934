"""
A message taken apart, whatever it is: headers as they stand, parts as their boundaries say. Linear, bounded, never raising.

The standard library's parser takes time that grows with the square of what a sender made up, and nests without end.
"""

import re
from binascii import Error, a2b_base64, a2b_qp
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from itertools import islice

MOST_LINES = 2000  # of headers
LONGEST = 2000  # characters of a header that are kept
MOST_PARTS = 40
DEEPEST = 6

_FIELD = re.compile(rb"([!-9;-~]{1,80})[ \t]*:(.*)", re.DOTALL)
_BOUNDARY = re.compile(r"""boundary[ \t]*=[ \t]*(?:"([^"]{1,200})"|([^\s;"]{1,200}))""", re.IGNORECASE)


class Part:
    """A message, or a part of one: `fields` are its headers by lower-case name, the first of each."""

    def __init__(self, raw: bytes, depth: int = 0) -> None:
        text = raw.replace(b"\r\n", b"\n")
        head, _, self._body = (b"", b"", text[1:]) if text.startswith(b"\n") else text.partition(b"\n\n")
        self.fields = fields(head)
        self.depth = depth

    def field(self, name: str) -> str:
        return self.fields.get(name, "")

    @cached_property
    def kind(self) -> str:
        """Such as "multipart/report"."""
        return self.field("content-type").partition(";")[0].strip().lower()

    @cached_property
    def body(self) -> bytes:
        """What is in it, its transfer encoding undone; empty where that cannot be."""
        encoding = self.field("content-transfer-encoding").strip().lower()
        try:
            return _DECODE[encoding](self._body) if encoding in _DECODE else self._body
        except Error:
            return b""

    def parts(self) -> Iterator["Part"]:
        """The parts one level below."""
        found = _BOUNDARY.search(self.field("content-type"))
        if not self.kind.startswith("multipart/") or found is None or self.depth == DEEPEST:
            return
        mark = re.escape((found[1] or found[2]).encode())
        begins: int | None = None
        for line in re.finditer(rb"^--" + mark + rb"(--)?[ \t]*$", self._body, re.MULTILINE):
            if begins is not None:
                yield Part(self._body[begins : line.start()], self.depth + 1)
            if line[1]:
                return
            begins = line.end() + 1
        if begins is not None:
            yield Part(self._body[begins:], self.depth + 1)

    def walk(self) -> Iterator["Part"]:
        """This part and those below it, but not those of a message that it quotes."""
        waiting = [self]
        for _ in range(MOST_PARTS):
            if not waiting:
                return
            part = waiting.pop(0)
            yield part
            waiting += islice(part.parts(), MOST_PARTS)


_DECODE: Mapping[str, Callable[[bytes], bytes]] = {"base64": a2b_base64, "quoted-printable": a2b_qp}


def fields(head: bytes) -> Mapping[str, str]:
    """Header lines by lower-case name, unfolded; of a name that comes twice, the first. What is no header is left out."""
    folded: list[bytes] = []
    for line in head.split(b"\n", MOST_LINES)[:MOST_LINES]:
        if line[:1] in {b" ", b"\t"} and folded:
            folded[-1] += b" " + line.strip() if len(folded[-1]) < LONGEST else b""
        else:
            folded.append(line)
    found: dict[str, str] = {}
    for line in folded:
        if (field := _FIELD.match(line)) is not None:
            found.setdefault(field[1].decode().lower(), field[2].decode("utf-8", "replace").strip()[:LONGEST])
    return found
