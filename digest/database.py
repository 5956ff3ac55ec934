"""The engine and its sessions: SQLite for one house, PostgreSQL for several workers, the same code on both."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Dialect, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DataError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    ProgrammingError,
)
from sqlmodel import Session

from digest import precedence
from digest.errors import StorageError

T = TypeVar("T")
REVISION = "0013"
"""The newest migration; a test compares it with the folder."""

MIGRATIONS = Path(__file__).resolve().parent / "migrations"


def open_engine(url: str) -> Engine:
    """
    An engine whose every transaction that writes takes the write lock at once.

    A deferred SQLite transaction that wants to write later fails immediately in spite of the busy timeout, so all
    begin IMMEDIATE; readers ask for `reading()`.

    Raises:
        StorageError: the address is not one we can open, or its driver is not installed.
    """
    try:
        parsed = make_url(url)
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.get_backend_name() not in {"sqlite", "postgresql"}:
            raise StorageError("DIGEST_DATABASE is wrong: use sqlite:///path or postgresql://user@host/name.")
        engine = create_engine(parsed, pool_pre_ping=parsed.get_backend_name() == "postgresql")
    except ModuleNotFoundError:
        raise StorageError('PostgreSQL needs its driver: pip install "global-digest[postgres]".') from None
    except (ArgumentError, NoSuchModuleError, ValueError, DBAPIError) as error:
        raise StorageError(f"DIGEST_DATABASE is wrong: {error}") from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_pragmas)
        event.listen(engine, "begin", _begin)
        event.listen(engine, "commit", precedence.over)
        event.listen(engine, "rollback", precedence.over)
        event.listen(engine, "close", precedence.forget)
    else:
        event.listen(engine, "connect", _end_sleepers)
    return engine


def people_first(engine: Engine) -> Engine:
    """The same engine for what a person waits for: on SQLite, what it writes goes before what machines write."""
    return engine.execution_options(first=True)


def _set_pragmas(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _end_sleepers(connection: Any, _record: Any) -> None:
    """A process that is stopped inside a transaction must not keep others out for ever: the server ends that transaction."""
    name = "idle_in_transaction_session_timeout"
    connection.execute(f"SELECT set_config('{name}', '60s', false) WHERE current_setting('{name}') = '0'")
    connection.commit()


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get("reads", False):
        connection.exec_driver_sql("BEGIN")
        return
    (precedence.go_first if options.get("first", False) else precedence.give_way)(connection)
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    except BaseException:
        precedence.over(connection)
        raise


_guard: ContextVar["Callable[[Connection], None] | None"] = ContextVar("guard", default=None)


@contextmanager
def guarded(check: Callable[[Connection], None]) -> Iterator[None]:
    """Within the block, every transaction of `writing` in this thread ends with `check`, which raises to undo it."""
    before = _guard.set(check)
    try:
        yield
    finally:
        _guard.reset(before)


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """A session whose block is one transaction: committed whole at its end, or not at all."""
    with (
        storage_in_words(), driver_in_words(engine.dialect),
        Session(engine, expire_on_commit=False) as session, session.begin(),
    ):  # fmt: skip
        yield session
        if check := _guard.get():
            check(session.connection())


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A session that only reads and never waits for a writer."""
    with storage_in_words(), Session(engine.execution_options(reads=True)) as session:
        yield session


Write = Callable[[Callable[[Connection], T]], T]
"""Runs what it is given in one transaction that writes, and returns what that returns."""


def in_transaction(engine: Engine) -> "Write[Any]":
    """Each in a transaction of its own, in the thread that asks: for processes that send nothing."""

    def write(job: Callable[[Connection], Any]) -> Any:
        with writing(engine) as session:
            return job(session.connection())

    return write


@contextmanager
def swift_transaction(connection: Connection) -> Iterator[None]:
    """
    One transaction that writes, begun and ended by the driver itself: statements of `deliveries.tables.Cursor` go into it.

    For the one path that makes thousands of them a second: SQLAlchemy's own cost twice what they say. Raises as `writing`.
    """
    with storage_in_words():
        raw: Any = connection.connection.driver_connection
    try:
        with driver_in_words(connection.dialect):
            if connection.dialect.name == "sqlite":
                raw.execute("BEGIN IMMEDIATE")
            yield
            raw.commit()
    except BaseException:
        with suppress(connection.dialect.loaded_dbapi.Error):
            raw.rollback()
        if getattr(raw, "closed", False):
            connection.invalidate()  # the next one gets a new way to the server
        raise


@contextmanager
def driver_in_words(dialect: Dialect) -> Iterator[None]:
    """As `storage_in_words`, for statements that the driver's own cursor runs (`deliveries.tables.Cursor`)."""
    driver: Any = dialect.loaded_dbapi
    try:
        yield
    except (driver.IntegrityError, driver.ProgrammingError, driver.DataError):
        raise
    except driver.DatabaseError as error:
        raise StorageError(storage_words(error)) from error


@contextmanager
def storage_in_words() -> Iterator[None]:
    """What the database itself refuses becomes a StorageError; a wrong row or query stays the fault it is."""
    try:
        yield
    except (IntegrityError, ProgrammingError, DataError):
        raise
    except DatabaseError as error:
        raise StorageError(storage_words(error)) from error


def storage_words(error: Exception) -> str:
    """What the database's refusal means, for the person who must mend it."""
    said = str(getattr(error, "orig", error)).splitlines()[0]
    if "full" in said or "No space" in said:
        return f"The disk is full ({said}). Nothing was lost: free some room and run the same command again."
    if "locked" in said:
        return "Another process has held the database for 30 seconds. Let it finish, then run the same command again."
    if "not a database" in said or "malformed" in said:
        return f"The database file is damaged ({said}). Restore it from a backup; DIGEST_DATABASE or --home names where it is."
    if "readonly" in said or "unable to open" in said:
        return f"The database cannot be written to ({said}). See to its owner and its folder's."
    return f"The database refused: {said}."


def gave_way(error: StorageError) -> bool:
    """Whether a transaction only stood aside for another one: the same may succeed when it is begun anew."""
    state = getattr(getattr(error.__cause__, "orig", error.__cause__), "sqlstate", None)
    return state in {"55P03", "40P01", "40001"}  # lock not available, deadlock detected, serialization failure


def revision_of(engine: Engine) -> str:
    """The migration the database stands at; empty when it has no tables yet."""
    with reading(engine) as session:
        if not inspect(session.connection()).has_table("alembic_version"):
            return ""
        return str(session.execute(text("SELECT version_num FROM alembic_version")).scalar() or "")


def migrate(engine: Engine) -> None:
    """Bring the tables to REVISION, keeping every row. Safe to run again and by several processes at once."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["engine"] = engine
    with storage_in_words():
        command.upgrade(config, "head")


def scrub(engine: Engine) -> None:
    """
    Leave nothing of deleted rows in the files of the database: it is written anew, and its log emptied.

    `secure_delete` writes zeros over them, but pages that were split keep copies of about one row in 300. PostgreSQL's
    own vacuum does this by itself.

    Raises:
        StorageError: somebody else reads or writes for longer than 30 seconds, or there is no room for a second copy.
    """
    if engine.dialect.name != "sqlite":
        return
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        try:
            driver.execute("VACUUM")
            busy = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.Error as error:
            raise StorageError(storage_words(error)) from error
    if busy:
        raise StorageError(
            "The database's log still holds old pages, for somebody reads it: run the same command again."
        )
