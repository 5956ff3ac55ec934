"""Readers' own attributes as texts, numbers and days: the one place of the segment language where the databases differ."""

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Float, String, Text, case, cast, false, func, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from subscribers.models import SubscriberRow

ATTRIBUTES = SubscriberRow.metadata.tables["subscriber"].c.attributes
MOST = 1e300  # numbers beyond are nobody's, and PostgreSQL would refuse to read them


def is_one_of(name: str, texts: Sequence[str]) -> ColumnElement[bool]:
    """Whether the attribute is one of these texts. True or false for every reader, as are the others here."""
    # what sorts out most comes first: every look into the JSON counts when there are a million
    return case((_text(name).in_(texts), is_text(*_named(name))), else_=false())


def is_between(name: str, least: float, most: float) -> ColumnElement[bool]:
    """Whether the attribute is a number, or a text that reads as one, from `least` to `most`. True counts 1, false 0."""
    # the casts make SQLite compare as numbers; a text that is none is more than every number there
    bounds = cast(literal(max(least, -MOST)), Float), cast(literal(min(most, MOST)), Float)
    return func.coalesce(as_number(*_named(name)).between(*bounds), false())


def is_empty(name: str) -> ColumnElement[bool]:
    """Whether the attribute is missing, null or the empty text."""
    return func.coalesce(_text(name), "") == ""


def is_day(name: str, compares: Callable[[Any, Any], Any], day: date) -> ColumnElement[bool]:
    """Whether the attribute begins like a date, 2026-01-31, and that day `compares` with `day`."""
    start = func.substr(_text(name), 1, len("2026-01-31"))
    return case((compares(start, day.isoformat()), is_dated(*_named(name))), else_=false())


def _text(name: str) -> ColumnElement[str]:
    return cast(ATTRIBUTES[name].as_string(), Text)


def _named(name: str) -> tuple[Any, ...]:
    """What the functions below take: the attributes, the name for PostgreSQL, and as a path for SQLite."""
    return ATTRIBUTES, literal(name, String), literal(f'$."{name}"', String)


# in each database's own words ---------------------------------------------------------------------------------------


class is_text(FunctionElement[bool]):  # noqa: N801  these read as the SQL functions they are
    type = Boolean()
    inherit_cache = True


class is_dated(FunctionElement[bool]):  # noqa: N801
    type = Boolean()
    inherit_cache = True


class as_number(FunctionElement[float]):  # noqa: N801
    type = Float()
    inherit_cache = True


def _written(compiler: Any, element: Any, options: Any) -> tuple[str, str]:
    """A JSON value and its text, as the database at hand writes them."""
    attributes, name, path = element.clauses
    column = compiler.process(attributes, **options)
    if compiler.dialect.name == "sqlite":
        place = compiler.process(path, **options)
        return f"json_type({column}, {place})", f"json_extract({column}, {place})"
    place = compiler.process(name, **options)
    return f"json_typeof({column} -> {place})", f"({column} ->> {place})"


@compiles(is_text, "sqlite")  # type: ignore[no-untyped-call,untyped-decorator,unused-ignore]
def _is_text_in_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return f"{_written(compiler, element, options)[0]} = 'text'"


@compiles(is_text, "postgresql")  # type: ignore[no-untyped-call,untyped-decorator,unused-ignore]
def _is_text_in_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    return f"{_written(compiler, element, options)[0]} = 'string'"


@compiles(as_number, "sqlite")  # type: ignore[no-untyped-call,untyped-decorator,unused-ignore]
def _as_number_in_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return _written(compiler, element, options)[1]  # its comparison with a number does the rest


@compiles(as_number, "postgresql")  # type: ignore[no-untyped-call,untyped-decorator,unused-ignore]
def _as_number_in_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    kind, text = _written(compiler, element, options)
    # what SQLite takes for a number where it compares a text with one; rounded and cut so that no cast overflows
    shape = r"^[ \t\n\v\f\r]*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,3})?[ \t\n\v\f\r]*$"
    number = f"CAST(least(greatest(round(CAST({text} AS numeric), 323), -1e301), 1e301) AS double precision)"
    truth = f"CASE {text} WHEN 'true' THEN 1 WHEN 'false' THEN 0 END"
    return (
        f"CASE WHEN {kind} IN ('number', 'string') AND {text} ~ '{shape}' THEN {number} "
        f"WHEN {kind} = 'boolean' THEN {truth} END"
    )


@compiles(is_dated, "sqlite")  # type: ignore[no-untyped-call,untyped-decorator,unused-ignore]
def _is_dated_in_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    shape = "-".join("[0-9]" * digits for digits in (4, 2, 2))
    return f"substr({_written(compiler, element, options)[1]}, 1, 10) GLOB '{shape}'"


@compiles(is_dated, "postgresql")  # type: ignore[no-untyped-call,untyped-decorator,unused-ignore]
def _is_dated_in_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    return f"left({_written(compiler, element, options)[1]}, 10) ~ '^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}$'"
