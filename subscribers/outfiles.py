"""Files that hold people's data: for their owner alone, whole or not there at all, and harmless in a spreadsheet."""

import csv
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkstemp
from typing import IO, Any

_FORMULA = re.compile("'*[=+\\-@\t\r\n]")
_DEFUSED = re.compile("'+[=+\\-@\t\r\n]")


def defused(cell: str) -> str:
    """
    A cell that no spreadsheet takes for a formula: an apostrophe goes before what could begin one.

    One that only looks defused gets an apostrophe too, so that `as_it_was` gives back every cell exactly.
    Source: OWASP, "CSV Injection".
    """
    return f"'{cell}" if _FORMULA.match(cell) else cell


def as_it_was(cell: str) -> str:
    """The cell before it was defused, by us or by anyone who does it the same way."""
    return cell[1:] if _DEFUSED.match(cell) else cell


def row_writer(out: IO[str], *, divider: str = ",") -> Any:
    """Writes rows of text; quotes stand where a cell holds a divider, a quote or a line break."""
    writer = csv.writer(out, delimiter=divider, lineterminator="\r\n")
    return lambda cells: writer.writerow([defused(cell) for cell in cells])


@contextmanager
def written_aside(path: Path, *, encoding: str = "utf-8") -> Iterator[IO[str]]:
    """
    A file that takes its place, and that of an older one, when the block ends well. Nobody but its owner may read it.

    Raises:
        OSError: the folder is not there or cannot be written to, or the disk is full; an older file is as it was.
    """
    handle, aside = mkstemp(dir=path.parent, prefix=f".{path.name[:100]}-")  # made for its owner alone
    try:
        with os.fdopen(handle, "w", encoding=encoding, newline="") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        Path(aside).replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(aside).unlink()
        raise
