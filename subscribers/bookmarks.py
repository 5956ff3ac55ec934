"""How far an import has come, and what it met so far: kept with the rows it wrote, so that no kill comes between."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from struct import iter_unpack, pack

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from subscribers.files import ImportRefusedError
from subscribers.models import SubscriberRow

RUNS, BLOCKS = (SubscriberRow.metadata.tables[name] for name in ("import_run", "import_block"))
ELSEWHERE = "the same import is under way in another process: let that one finish."

Met = Sequence[tuple[int, int]]
"""People and the line of each. A person is half of the keyed hash: that tells them apart, and says nothing to anyone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What was met in the lines up to and with `lines`; of what was `refused` the first and the last line."""

    lines: int
    met: Met
    refused: Sequence[tuple[int, int]]


@dataclass(slots=True, kw_only=True)
class Bookmark:
    """
    The line an import is at, and the counts that only the database knows; with it the blocks that led there.

    A dry run keeps nothing, neither the bookmark nor what was written.
    """

    connection: Connection
    key: bytes
    began_at: datetime
    lines: int
    counts: Mapping[str, int]
    dry_run: bool

    @classmethod
    def of(cls, connection: Connection, key: bytes, now: datetime, *, dry_run: bool) -> "Bookmark":
        """The bookmark of the import of that key, which begins `now` if no earlier run began it."""
        began_at, lines, counts = now, 0, dict[str, int]()
        if not dry_run:
            insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
            begun = {"key": key, "began_at": now, "lines": 0, "counts": {}}
            connection.execute(insert(RUNS).values(begun).on_conflict_do_nothing())
            query = select(RUNS.c.began_at, RUNS.c.lines, RUNS.c.counts).where(RUNS.c.key == key)
            began_at, lines, counts = connection.execute(query).one()
            connection.commit()
        return cls(
            connection=connection, key=key, began_at=began_at, lines=lines, counts=counts, dry_run=dry_run
        )  # fmt: skip

    def blocks(self) -> Iterator[Block]:
        """
        What earlier runs met, block after block, up to the bookmark; nobody waits for us meanwhile.

        Raises:
            ImportRefusedError: they are gone, for somebody else finished the import just now.
        """
        at, query = 0, select(BLOCKS.c.lines, BLOCKS.c.met, BLOCKS.c.refused).where(BLOCKS.c.key == self.key)
        query = query.order_by(BLOCKS.c.lines).limit(1)
        with self.connection.engine.execution_options(reads=True).connect() as reading:
            while at < self.lines:
                row = reading.execute(query.where(BLOCKS.c.lines > at)).first()
                if row is None:
                    raise ImportRefusedError(ELSEWHERE)
                at = row.lines
                yield Block(lines=at, met=_pairs(row.met), refused=_pairs(row.refused))

    def move(self, block: Block, counts: Mapping[str, int]) -> None:
        """
        Keep what was written since, and that the file is done up to the end of this block; a dry run lets all of it go.

        Raises:
            ImportRefusedError: the bookmark was moved by somebody else.
        """
        if self.dry_run:
            self.connection.rollback()
        else:
            mine = (RUNS.c.key == self.key, RUNS.c.lines == self.lines)
            moved = self.connection.execute(RUNS.update().where(*mine).values(lines=block.lines, counts=dict(counts)))
            if moved.rowcount != 1:
                raise ImportRefusedError(ELSEWHERE)
            row = {"met": _packed(block.met), "refused": _packed(block.refused)}
            self.connection.execute(BLOCKS.insert().values(key=self.key, lines=block.lines, **row))
            self.connection.commit()
        self.lines = block.lines

    def remove(self) -> None:
        """The import is whole: nothing of how it came about is kept."""
        if not self.dry_run:
            self.connection.execute(RUNS.delete().where(RUNS.c.key == self.key))  # its blocks go with it
            self.connection.commit()


def _packed(pairs: Sequence[tuple[int, int]]) -> bytes:
    return pack(f"<{2 * len(pairs)}q", *chain.from_iterable(pairs))


def _pairs(packed: bytes) -> list[tuple[int, int]]:
    return [(one, other) for one, other in iter_unpack("<qq", packed)]
