"""Messages from where a mail server puts them: an mbox, a Maildir, one message, or what comes in by a pipe."""

import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from digest.errors import NotFoundError

MOST = 1_000_000  # bytes of one message that are read; what tells of a bounce stands before what it quotes
PIECE = 65_536  # bytes of a line that are read at once
PIPE = "-"
MBOX = b"From "  # how each message of an mbox begins, after an empty line
EMPTY_LINES = frozenset({b"\n", b"\r\n"})


def messages(place: str) -> Iterator[bytes | None]:
    """
    Each message's bytes, of a longer one the first MOST; None for one that cannot be read.

    Raises:
        NotFoundError: there is no such mailbox, or it may not be read.
    """
    if place == PIPE:
        yield from cut(sys.stdin.buffer)
        return
    path = Path(place)
    try:
        if path.is_dir():
            yield from _of_maildir(path)
            return
        with path.open("rb") as file:
            yield from cut(file)
    except OSError as error:
        raise NotFoundError(
            f"{place} cannot be read: {error.strerror}. Name an mbox, a Maildir or a message."
        ) from None


def cut(stream: BinaryIO) -> Iterator[bytes]:
    """The messages of an mbox; or the one message that it is."""
    kept: list[bytes] = []
    before, is_mbox, size = b"\n", False, 0
    for line, starts in _lines(stream):
        if starts and line.startswith(MBOX) and before in EMPTY_LINES and (is_mbox or not kept):
            if kept:
                yield b"".join(kept)[:MOST]
            kept, size, is_mbox = [], 0, True
        if size < MOST:
            kept.append(line)
            size += len(line)
        before = line
    if kept:
        yield b"".join(kept)[:MOST]


def _lines(stream: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    """Lines, the long ones in pieces: each with whether a line starts here."""
    starts = True
    while line := stream.readline(PIECE):
        yield line, starts
        starts = line.endswith(b"\n")


def _of_maildir(folder: Path) -> Iterator[bytes | None]:
    """New messages and read ones; of another folder, every file in it."""
    boxes = [folder / name for name in ("new", "cur") if (folder / name).is_dir()] or [folder]
    for box in boxes:
        for file in sorted(box.iterdir()):
            yield from _of_file(file)


def _of_file(file: Path) -> Iterable[bytes | None]:
    """Nothing for what is no file (a pipe would be waited for), or has been moved on meanwhile."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            return ()
        with file.open("rb") as one:
            return (one.read(MOST),)
    except FileNotFoundError:
        return ()
    except OSError:
        return (None,)
