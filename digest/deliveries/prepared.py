"""Statements of SQLAlchemy that are put together once, and then run by the driver's own cursor, as those of the hot path are."""

from collections import namedtuple
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection

from digest.deliveries.tables import Cursor

Change = Callable[[Any], Any]


class Prepared:
    """
    A statement with its shape from SQLAlchemy, and nothing else: to run it there costs several times what it says.

    It holds no list (`in_`), which would be put together anew each time. What is given by name, and the times that `first`
    gives back, is changed as SQLAlchemy would; `rows` are as the driver has them.
    """

    def __init__(self, statement: Any) -> None:
        self._statement = statement
        self._ready: dict[str, _Ready] = {}

    def rows(self, connection: Connection, given: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        ready = self._for(connection)
        found: list[tuple[Any, ...]] = Cursor(connection).run(ready.spelled, ready.filled(given)).fetchall()
        return found

    def first(self, connection: Connection, given: Mapping[str, Any]) -> Any:
        """The first row, its values by their columns' names; None where there is none."""
        ready = self._for(connection)
        row = Cursor(connection).run(ready.spelled, ready.filled(given)).fetchone()
        return ready.named(row) if row is not None else None

    def _for(self, connection: Connection) -> "_Ready":
        name = connection.dialect.name
        if name not in self._ready:
            self._ready[name] = _Ready(self._statement, connection.dialect)
        return self._ready[name]


class _Ready:
    """A prepared statement for one of the two drivers."""

    def __init__(self, statement: Any, dialect: Any) -> None:
        compiled = statement.compile(dialect=dialect)
        self.spelled = {dialect.name: str(compiled)}
        self._places = compiled.positiontup if compiled.positional else None
        into = {bind.key: bind.type.dialect_impl(dialect).bind_processor(dialect) for bind in compiled.binds.values()}
        self._into: dict[str, Change] = {name: change for name, change in into.items() if change}
        asked = {bind.key: None for bind in compiled.binds.values() if bind.required}
        self._fixed = self._changed(compiled.construct_params(asked))
        columns = list(statement.exported_columns)
        names = [column.name for column in columns]
        self._row: Change = namedtuple("Row", names)._make  # type: ignore[attr-defined]  # noqa: PYI024
        simple = columns if dialect.name == "sqlite" else []  # PostgreSQL's driver has a time for each time by itself
        out = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in simple]
        self._out: list[tuple[int, Change]] = [(at, change) for at, change in enumerate(out) if change]

    def filled(self, given: Mapping[str, Any]) -> Any:
        values = {**self._fixed, **self._changed(given)}
        return [values[name] for name in self._places] if self._places is not None else values

    def named(self, row: tuple[Any, ...]) -> Any:
        values = list(row)
        for at, change in self._out:
            values[at] = change(values[at])
        return self._row(values)

    def _changed(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """None is for those that are given with each run, and not yet here."""
        return {
            name: self._into[name](value) if name in self._into and value is not None else value
            for name, value in given.items()
        }
