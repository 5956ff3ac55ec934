"""Readers from a file: each line is one reader, a bad line is refused with its reason, the rest come in; once, whatever happens."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from subscribers.bookmarks import Block, Bookmark, Met
from subscribers.files import ImportRefusedError, TextFile
from subscribers.keeping import Keeper, Terms, hashed, merged
from subscribers.outfiles import row_writer, written_aside
from subscribers.sheets import Entry, Hints, Refused, Sheet
from subscribers.tokens import Keys

BLOCK = 5000  # readers in one transaction
NAMED = 200  # refused lines, and people met twice, that a report names one by one
ROOM = 65_536  # KB of the database that stay in memory meanwhile: its indexes are written to all over


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """A line about somebody whom an earlier `first` line was about, if in other letters. Its fields win."""

    line: int
    first: int


@dataclass(slots=True, kw_only=True)
class ImportReport:
    """
    What an import did. Each reader's line is one of accepted (new here), updated, unchanged, suppressed, refused, or twice.

    `left` counts those among them who have left the digest, by this file's word or before, and stay so. `refused` and
    `repeats` name the first 200. `file` and `layout` say in words what was found out about the file, `columns` which
    field each of its headings was taken for, `ignored` those left out.
    """

    accepted: int = 0
    updated: int = 0
    unchanged: int = 0
    suppressed: int = 0
    left: int = 0
    twice: int = 0
    refused_count: int = 0
    refused: list[Refused] = field(default_factory=list)
    repeats: list[Repeat] = field(default_factory=list)
    file: str = ""
    layout: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    resumed_at: int = 0  # the line an earlier run was broken off at


Told = Callable[[int, int], None]
"""Called with the lines done, and how many there are."""


def import_csv(
    engine: Engine,
    path: Path,
    *,
    digest_id: int,
    keys: Keys,
    consent: str,
    now: datetime,
    channels: Sequence[str] = ("email",),
    wording: str = "",
    language: str = "en",
    digests: Mapping[str, int] | None = None,
    hints: Hints | None = None,
    dry_run: bool = False,
    told: Told | None = None,
    report_file: Path | None = None,
    block: int = BLOCK,
) -> ImportReport:
    """
    Bring in the readers of a file: CSV or TSV in any encoding of `files.ENCODINGS`, packed with gzip or not.

    `consent` is where their consent was given and `wording` the version they agreed to: both are kept with every
    subscription made. Who comes in and what is changed is said by `keeping.Keeper`. Each block of readers is kept with a
    note of how far the file is done, so the same call after a kill goes on there and counts on. `digests` are needed
    for our own exports, which name them. `report_file` gets every refused line, such that it can be mended and imported.

    Raises:
        ImportRefusedError: the file as a whole cannot be read, or is being imported by somebody else at this moment.
        OSError: the file cannot be opened.
    """
    hints = hints or Hints()
    terms = Terms(
        digest_id=digest_id, consent=consent, wording=wording, channels=tuple(channels), language=language,
        digests=digests or {},
    )  # fmt: skip
    file = TextFile.of(path, encoding=hints.encoding)
    sheet = Sheet.of(file, hints, digests=terms.digests)
    report = ImportReport(
        file=file.words, layout=sheet.words, columns=dict(zip(sheet.given, sheet.ours, strict=True)),
        ignored=sheet.ignored,
    )  # fmt: skip
    with ExitStack() as open_now:
        connection = open_now.enter_context(engine.connect())
        open_now.enter_context(_roomy(connection))
        text = open_now.enter_context(file.opened())
        sorter = _Sorter(keys, open_now.enter_context(closing(_Book())), report)
        if report_file:
            sorter.write_refused = open_now.enter_context(_refused_lines(report_file, sheet))
        bookmark = Bookmark.of(connection, _key(file, terms, hints), now, dry_run=dry_run)
        report.resumed_at = bookmark.lines
        keeper = Keeper(connection, terms, bookmark.began_at)
        keeper.counts |= bookmark.counts
        before = 0
        for done in bookmark.blocks():
            sorter.recall(done, sheet.refused_again(text, done.refused, after=before, until=done.lines))
            before = done.lines
        entries = sheet.entries(text, after=before)
        while lines := list(islice(entries, block)):
            readers, done = sorter.readers_of(lines)
            keeper.write(merged(readers))
            bookmark.move(done, keeper.counts)
            if told:
                told(done.lines, max(file.lines, done.lines))
        bookmark.remove()
    for name, number in keeper.counts.items():
        setattr(report, name, number)
    return report


# a block of lines ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Sorter:
    """Puts down what is refused and who was met before, and hands on the readers."""

    keys: Keys
    book: "_Book"
    report: ImportReport
    write_refused: Callable[[Refused], None] = lambda _: None

    def readers_of(self, lines: Sequence[Entry]) -> tuple[list[dict[str, Any]], Block]:
        """Each with its `email_hash`, its `line`, and whether it was met `again`, and so counted before; and all that was met."""
        readers, refused, begins = [], [], lines[0][0]
        for first, last, found in lines:
            if isinstance(found, Refused):
                refused.append((first, last))
                self._refuse(found)
            else:
                readers.append(hashed(self.keys, found, first))
        met = [(int.from_bytes(one["email_hash"][:8], "big", signed=True), one["line"]) for one in readers]
        for reader, first in zip(readers, self._first_lines(met), strict=True):
            reader["again"] = first < begins
        return readers, Block(lines=lines[-1][1], met=met, refused=refused)

    def recall(self, done: Block, refused: Iterable[Refused]) -> None:
        """Put down once more what an earlier run met in a block."""
        self._first_lines(done.met)
        for one in refused:
            self._refuse(one)

    def _first_lines(self, met: Met) -> list[int]:
        firsts = self.book.first_lines(met)
        for (_, line), first in zip(met, firsts, strict=True):
            if first != line:
                self.report.twice += 1
                if len(self.report.repeats) < NAMED:
                    self.report.repeats.append(Repeat(line=line, first=first))
        return firsts

    def _refuse(self, refused: Refused) -> None:
        self.write_refused(refused)
        self.report.refused_count += 1
        if len(self.report.refused) < NAMED:
            self.report.refused.append(replace(refused, cells=()))


class _Book:
    """Who was met in this file, and in which line; in a file of its own beyond some megabytes, gone when we are."""

    def __init__(self) -> None:
        self._book = sqlite3.connect("", isolation_level=None)
        for line in ("PRAGMA journal_mode=OFF", "PRAGMA synchronous=OFF", "PRAGMA cache_size=-16384"):
            self._book.execute(line)
        self._book.execute("CREATE TABLE met (person INTEGER PRIMARY KEY, line INTEGER NOT NULL)")

    def first_lines(self, met: Met) -> list[int]:
        """The line each person was first met in, which may be this one."""
        asked = json.dumps([person for person, _ in met])
        try:
            self._book.execute("BEGIN")
            query = "SELECT person, line FROM met WHERE person IN (SELECT value FROM json_each(?))"
            known = dict(self._book.execute(query, (asked,)))
            lines = [known.setdefault(person, line) for person, line in met]
            self._book.executemany("INSERT OR IGNORE INTO met VALUES (?, ?)", met)
            self._book.execute("COMMIT")
        except sqlite3.Error as error:
            raise ImportRefusedError(
                f"the folder for temporary files took no more ({error}): make room there."
            ) from None
        return lines

    def close(self) -> None:
        self._book.close()


@contextmanager
def _refused_lines(path: Path, sheet: Sheet) -> Iterator[Callable[[Refused], None]]:
    """A file of the refused lines with the reasons before them: mended, it can be imported as it is."""
    with written_aside(path) as out:
        write = row_writer(out)
        write(["line", "column", "reason", *sheet.given])
        yield lambda one: write([str(one.line), one.column, one.reason, *one.cells])


def _key(file: TextFile, terms: Terms, hints: Hints) -> bytes:
    asked = json.dumps([asdict(terms), asdict(hints)], sort_keys=True).encode()
    return blake2b(file.content_hash + asked, digest_size=16).digest()


@contextmanager
def _roomy(connection: Connection) -> Iterator[None]:
    """More of an SQLite file in memory, and its log carried over less often, for as long as rows are written all over it."""
    driver: Any = connection.connection.driver_connection
    usual = {}
    if connection.dialect.name == "sqlite":
        usual = {name: driver.execute(f"PRAGMA {name}").fetchone()[0] for name in ("cache_size", "wal_autocheckpoint")}
        driver.execute(f"PRAGMA cache_size=-{ROOM}")
        driver.execute("PRAGMA wal_autocheckpoint=8000")
    try:
        yield
    finally:
        with suppress(sqlite3.Error):  # a connection that broke is not used again
            for name, value in usual.items():
                driver.execute(f"PRAGMA {name}={value}")
