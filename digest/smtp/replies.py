"""What a server answers: bytes in any chunks into replies, and a reply into words for the books."""

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from digest.text import without_addresses

LONGEST = 4096  # bytes of a line; the protocol allows 512
MOST_LINES = 200  # of one reply
BUSY = frozenset({421, 450, 451, 454})
"""Answers by which a domain or a server says that it is being asked too much, or not now."""

_CODES = {b"%d" % code: code for code in range(200, 600)}
_AFTER_CODE = frozenset({b" ", b"-", b"\r", b""})


class Reply(NamedTuple):
    """One answer; the lines of `text` are parted by b"\\n" and have no codes."""

    code: int
    text: bytes

    @property
    def good(self) -> bool:
        return self.code < 300  # noqa: PLR2004  the protocol's own classes: 2 yes, 3 go on, 4 not now, 5 no

    @property
    def for_good(self) -> bool:
        """Asking again would be answered the same."""
        return self.code >= 500  # noqa: PLR2004


class ReplyError(ValueError):
    """What came is no SMTP."""


class Replies:
    """Cuts one connection's bytes into replies."""

    __slots__ = ("_lines", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[bytes] = []

    def feed(self, data: bytes) -> list[Reply]:
        """
        The replies that are whole now.

        Raises:
            ReplyError: it is no SMTP, or longer than any server has a reason to be.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST:
            raise ReplyError("the server sends a line without end")
        found = []
        for line in lines:
            reply, more = _read(line)
            if self._lines or more:
                self._lines.append(reply.text)
                if more and len(self._lines) > MOST_LINES:
                    raise ReplyError("the server sends a reply without end")
                if more:
                    continue
                reply, self._lines = Reply(reply.code, b"\n".join(self._lines)), []
            found.append(reply)
        return found

    def forget(self) -> None:
        """Drop what has come and is not whole: nothing said before encryption counts after it."""
        self._rest, self._lines = b"", []


@lru_cache(maxsize=256)  # servers say the same few lines for every message
def _read(line: bytes) -> tuple[Reply, bool]:
    """One line, and whether its reply goes on with the next."""
    code, after = _CODES.get(line[:3]), line[3:4]
    if code is None or after not in _AFTER_CODE or len(line) > LONGEST:
        raise ReplyError("what the server sends is not SMTP")
    return Reply(code, line[4:].rstrip(b"\r")), after == b"-"


def said(reply: Reply, secrets: Iterable[str] = ()) -> str:
    """The reply in words, on one line, without addresses and without the secrets that a server may repeat."""
    text = reply.text.decode("utf-8", "replace")
    for secret in secrets:
        text = text.replace(secret, "(hidden)") if secret else text
    return without_addresses(f"{reply.code} {text}")
