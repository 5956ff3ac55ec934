"""SQLite with all tables and no rows: migrated once in each process, so that a test begins with a copy."""

import tempfile
from functools import cache
from pathlib import Path

from sqlalchemy import Engine

from digest.database import migrate, open_engine

JOURNAL = slice(18, 20)  # bytes of a database file that say how it is written: 2 is WAL, which memory does not have


@cache
def tables() -> bytes:
    """The whole file."""
    with tempfile.TemporaryDirectory(prefix="digest-tables-") as folder:
        file = Path(folder) / "digest.sqlite"
        engine = open_engine(f"sqlite:///{file}")
        migrate(engine)
        engine.dispose()
        return file.read_bytes()


def lay(file: Path) -> str:
    """Put them there; the address for `open_engine`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(tables())
    return f"sqlite:///{file}"


def in_memory() -> Engine:
    """Those of one thread alone."""
    engine, image = open_engine("sqlite://"), bytearray(tables())
    image[JOURNAL] = b"\1\1"
    with engine.connect() as connection:
        connection.connection.driver_connection.deserialize(image)
    return engine
