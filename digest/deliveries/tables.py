"""The ledger's tables for SQLAlchemy Core, and the few places where SQLite and PostgreSQL differ."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import BigInteger, Boolean, Connection, String, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from digest.models import DeliveryRow

MAILINGS = DeliveryRow.metadata.tables["mailing"]
BATCHES = DeliveryRow.metadata.tables["batch"]
DELIVERIES = DeliveryRow.metadata.tables["delivery"]
PROOFS = DeliveryRow.metadata.tables["proof"]
DIGESTS = DeliveryRow.metadata.tables["digest"]
EDITIONS = DeliveryRow.metadata.tables["edition"]
SENDERS = DeliveryRow.metadata.tables["sender"]
EVENTS = DeliveryRow.metadata.tables["event"]
SERVICES = DeliveryRow.metadata.tables["service"]

DEFERRED = text("delivery.state = 'deferred'")
AMBIGUOUS = text("delivery.state = 'ambiguous'")
"""Spelled out, not bound: SQLite uses a partial index only where the query repeats its condition word for word."""


class hexed(FunctionElement[str]):  # noqa: N801  it reads as the SQL function it is
    """Bytes as lower-case hexadecimal text."""

    type = String()
    inherit_cache = True


@compiles(hexed, "sqlite")  # type: ignore[no-untyped-call,untyped-decorator,unused-ignore]
def _hexed_in_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return f"lower(hex({compiler.process(element.clauses, **options)}))"


@compiles(hexed, "postgresql")  # type: ignore[no-untyped-call,untyped-decorator,unused-ignore]
def _hexed_in_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    return f"encode({compiler.process(element.clauses, **options)}, 'hex')"


class other_hex(FunctionElement[bool]):  # noqa: N801
    """Whether lower-case hexadecimal text is another than that of these bytes: other_hex(text, bytes)."""

    type = Boolean()
    inherit_cache = True


@compiles(other_hex, "sqlite")  # type: ignore[no-untyped-call,untyped-decorator,unused-ignore]
def _other_hex_in_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    text, given = [compiler.process(one, **options) for one in element.clauses]
    return f"({text} != hex({given}) COLLATE NOCASE)"  # half the price of lower(hex()), at every claim of every reader


@compiles(other_hex, "postgresql")  # type: ignore[no-untyped-call,untyped-decorator,unused-ignore]
def _other_hex_in_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    text, given = [compiler.process(one, **options) for one in element.clauses]
    return f"({text} != encode({given}, 'hex'))"


class listed(FunctionElement[int]):  # noqa: N801  it reads as the SQL it is: `column.op("IN")(listed(...))`
    """The numbers of a JSON array, as rows: one statement then serves however many."""

    type = BigInteger()
    inherit_cache = True


@compiles(listed, "sqlite")  # type: ignore[no-untyped-call,untyped-decorator,unused-ignore]
def _listed_in_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return f"(SELECT value FROM json_each({compiler.process(element.clauses, **options)}))"  # noqa: S608  a bound value's place


@compiles(listed, "postgresql")  # type: ignore[no-untyped-call,untyped-decorator,unused-ignore]
def _listed_in_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    array = compiler.process(element.clauses, **options)
    return f"(SELECT CAST(value AS bigint) FROM json_array_elements_text(CAST({array} AS json)))"  # noqa: S608  the same


def insert_once(connection: Connection, table: Any) -> Any:
    """An INSERT that leaves out rows a unique constraint already knows: add `.values` or `.from_select` first."""
    return (postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert)(table)


def one_snapshot(connection: Connection) -> None:
    """Every statement of this transaction sees one moment; to be called before the first of them. SQLite always does."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")


@contextmanager
def roomy(connection: Connection) -> Iterator[None]:
    """
    For writing in many places of an index at once: SQLite keeps 64 MB of pages at hand, so that no page is written again
    and again as others take its room.
    """
    if connection.dialect.name != "sqlite":
        yield
        return
    before = connection.exec_driver_sql("PRAGMA cache_size").scalar_one()
    connection.exec_driver_sql("PRAGMA cache_size = -65536")
    try:
        yield
    finally:
        connection.exec_driver_sql(f"PRAGMA cache_size = {int(before)}")


class Cursor:
    """
    The driver's own cursor in a connection's transaction, for `spelled` statements.

    `run` gives the driver's cursor back: its `rowcount`, or its rows.
    """

    def __init__(self, connection: Connection) -> None:
        self.dialect = connection.dialect.name
        self._raw = connection.connection.cursor()

    def run(self, statement: Mapping[str, str], given: Mapping[str, Any]) -> Any:
        self._raw.execute(statement[self.dialect], given)
        return self._raw


def stand_aside(connection: Connection) -> None:
    """
    This transaction rather fails than makes another one wait long; to be called before the first of its statements.

    PostgreSQL looks for a deadlock after a second, and ends either side: this one is to be ours. SQLite has one lock.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL lock_timeout = '500ms'")


def spelled(sql: str) -> dict[str, str]:
    """
    A statement of the hot path for each driver: SQLAlchemy takes ten times as long to put one together.

    `{numbers}` stands for the numbers of a JSON array given by that name, so that one statement serves however many.
    """
    on_postgresql = "(SELECT CAST(value AS bigint) FROM json_array_elements_text(CAST(:numbers AS json)))"
    return {
        "sqlite": sql.replace("{numbers}", "(SELECT value FROM json_each(:numbers))"),
        "postgresql": re.sub(r"(?<!:):([a-z]+)", r"%(\1)s", sql.replace("{numbers}", on_postgresql)),
    }
