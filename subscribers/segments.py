"""
The segment language: a rule over subscribers in words, compiled to SQL over listed fields with every value bound.

    language = "es" and zone in ("Europe/Madrid", "America/Mexico_City")
    topics has any ("korea", "vatican") and not plan = "trial"
    joined within 2 months or attr.city = "Lima"
"""

import calendar
import difflib
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from lark import Lark, Token, Transformer, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedInput, UnexpectedToken, VisitError
from sqlalchemy import ColumnElement, Text, and_, cast, exists, func, not_, or_, true

from subscribers.models import SubscriberRow
from subscribers.zones import demand_zone

LONGEST = 2000
DEEPEST = 20

PEOPLE = SubscriberRow.metadata.tables["subscriber"]
WISHED = SubscriberRow.metadata.tables["subscriber_topic"]

TEXTS = ("language", "zone", "country", "plan")
FIELDS = (*TEXTS, "topics", "joined", "attr.NAME")

GRAMMAR = r"""
?start: either
?either: both (_OR both)*
?both: one (_AND one)*
?one: _NOT one                            -> negated
    | "(" either ")"
    | EVERYONE                            -> everyone
    | FIELD EQUALS STRING                 -> equals
    | FIELD DIFFERS STRING                -> differs
    | FIELD _IN strings                   -> among
    | FIELD _NOT _IN strings              -> not_among
    | FIELD _IS _EMPTY                    -> empty
    | FIELD _IS _NOT _EMPTY               -> not_empty
    | FIELD _HAS STRING                   -> has
    | FIELD _HAS _ANY strings             -> has
    | FIELD _WITHIN NUMBER UNIT           -> within
strings: "(" STRING ("," STRING)* ")"

_AND.2: /and\b/i
_OR.2: /or\b/i
_NOT.2: /not\b/i
_IN.2: /in\b/i
_IS.2: /is\b/i
_EMPTY.2: /empty\b/i
_HAS.2: /has\b/i
_ANY.2: /any\b/i
_WITHIN.2: /within\b/i
EVERYONE.2: /everyone\b/i
UNIT.2: /(hour|day|week|month|year)s?\b/i
EQUALS: "="
DIFFERS: "!="
FIELD: /[a-z_][a-z0-9_.-]*/i
STRING: /"[^"\n]{0,200}"/ | /'[^'\n]{0,200}'/
NUMBER: /[0-9]{1,4}\b/
%ignore /\s+/
"""

WORDS: Mapping[str, str] = {
    "_AND": "and", "_OR": "or", "_NOT": "not", "_IN": "in", "_IS": "is", "_EMPTY": "empty", "_HAS": "has",
    "_ANY": "any", "_WITHIN": "within", "EVERYONE": "everyone", "FIELD": "a field", "STRING": "a value in quotes",
    "NUMBER": "a number", "UNIT": "hours, days, weeks, months or years", "EQUALS": "=", "DIFFERS": "!=", "LPAR": "(",
    "RPAR": ")", "COMMA": ",", "$END": "the end",
}  # fmt: skip


class SegmentError(ValueError):
    """A rule that cannot be read: the message names the column and says what was expected there."""


def compile_rule(text: str, *, now: datetime) -> ColumnElement[bool]:
    """
    The rule as a condition on the subscriber table that is true or false and never unknown, so `not` means the rest.

    A bare language ("es") also means its regions ("es-MX"). `now` is what "within" counts back from.

    Raises:
        SegmentError: the rule cannot be read, names an unknown field, or is longer or deeper than anyone needs.
    """
    if len(text) > LONGEST:
        raise SegmentError(f"The rule has {len(text)} characters; at most {LONGEST} are read.")
    try:
        tree = _parser().parse(text)
    except UnexpectedInput as error:
        raise SegmentError(_in_words(error, text)) from None
    _demand_shallow(tree)
    try:
        condition: ColumnElement[bool] = _Compiler(now).transform(tree)
    except VisitError as error:
        raise SegmentError(str(error.orig_exc)) from None
    return condition


def language_is(code: str) -> ColumnElement[bool]:
    """Readers of a language: "es" takes in es-MX, "es-MX" only itself."""
    spoken, wanted = func.lower(PEOPLE.c.language), code.lower()
    return (
        spoken == wanted if "-" in wanted else or_(spoken == wanted, spoken.startswith(f"{wanted}-", autoescape=True))
    )


@cache
def _parser() -> Lark:
    return Lark(GRAMMAR, parser="lalr", propagate_positions=True)


def _demand_shallow(tree: Tree[Token]) -> None:
    waiting: list[tuple[Any, int]] = [(tree, 1)]
    while waiting:
        node, depth = waiting.pop()
        if depth > DEEPEST:
            raise SegmentError(f"The rule is nested more than {DEEPEST} deep; write it flatter or save it as two.")
        waiting.extend((child, depth + 1) for child in getattr(node, "children", ()))


class _Compiler(Transformer[Token, Any]):
    """Each method is one form of the grammar, given its parts."""

    def __init__(self, now: datetime) -> None:
        super().__init__()
        self.now = now

    def either(self, parts: list[Any]) -> Any:
        return or_(*parts)

    def both(self, parts: list[Any]) -> Any:
        return and_(*parts)

    def negated(self, parts: list[Any]) -> Any:
        return not_(parts[0])

    def everyone(self, _parts: list[Any]) -> Any:
        return true()

    def strings(self, parts: list[Token]) -> list[Token]:
        return parts

    def equals(self, parts: list[Token]) -> Any:
        return _among(parts[0], parts[2:])

    def differs(self, parts: list[Token]) -> Any:
        return not_(_among(parts[0], parts[2:]))

    def among(self, parts: list[Any]) -> Any:
        return _among(parts[0], parts[1])

    def not_among(self, parts: list[Any]) -> Any:
        return not_(_among(parts[0], parts[1]))

    def empty(self, parts: list[Token]) -> Any:
        return func.coalesce(_text_of(parts[0]), "") == ""

    def not_empty(self, parts: list[Token]) -> Any:
        return func.coalesce(_text_of(parts[0]), "") != ""

    def has(self, parts: list[Any]) -> Any:
        field, wanted = parts[0], parts[1] if isinstance(parts[1], list) else parts[1:]
        if field.lower() != "topics":
            raise _misused(field, '= "value" or in ("a", "b")')
        topics = [_value(token).lower() for token in wanted]
        return exists().where(
            WISHED.c.subscriber_id == PEOPLE.c.id, WISHED.c.wish > 0, WISHED.c.topic.in_(topics)
        ).correlate(PEOPLE)  # fmt: skip

    def within(self, parts: list[Token]) -> Any:
        field, number, unit = parts
        if field.lower() != "joined":
            raise _misused(field, '= "value" or in ("a", "b")')
        return PEOPLE.c.joined_at >= _earlier(self.now, int(number), unit.lower().rstrip("s"), number)


def _among(field: Token, values: Iterable[Token]) -> ColumnElement[bool]:
    if field.lower() == "language":
        return or_(*[language_is(_value(token)) for token in values])
    column = _text_of(field)
    # an unknown (NULL) is not among the values: without the first half, `not` would lose these readers
    return and_(column.is_not(None), column.in_([_checked(field, token) for token in values]))


def _checked(field: Token, token: Token) -> str:
    value = _value(token)
    if field.lower() == "zone":
        try:
            return demand_zone(value)
        except ValueError as error:
            raise SegmentError(f"Column {token.column}: {error}") from None
    if field.lower() == "country":
        if not re.fullmatch("[A-Za-z]{2}", value):
            raise SegmentError(f'Column {token.column}: a country is two letters such as "ES", not {value!r}.')
        return value.upper()
    return value


def _text_of(field: Token) -> ColumnElement[Any]:
    name = field.lower()
    if name in TEXTS:
        return PEOPLE.c[name]
    if name.startswith("attr.") and len(name) > len("attr."):
        return cast(PEOPLE.c.attributes[name.removeprefix("attr.")].as_string(), Text)
    if name == "topics":
        raise _misused(field, 'has "korea" or has any ("korea", "vatican")')
    if name == "joined":
        raise _misused(field, "within 2 months")
    known = [*FIELDS[:-1], "attr."]
    near = [each for each in known if each.startswith(name)] or difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise SegmentError(f"Column {field.column}: there is no field {str(field)!r}.{hint} Fields: {', '.join(FIELDS)}.")


def _misused(field: Token, instead: str) -> SegmentError:
    if field.lower() not in FIELDS and not field.lower().startswith("attr."):
        try:
            _text_of(field)
        except SegmentError as error:
            return error
    return SegmentError(f"Column {field.column}: with {field.lower()}, write {field.lower()} {instead}.")


def _value(token: Token) -> str:
    return str(token)[1:-1]


def _earlier(now: datetime, number: int, unit: str, at: Token) -> datetime:
    """`number` units before `now`; months and years by the calendar, their last day for a day they lack."""
    try:
        if unit in {"hour", "day", "week"}:
            return now - timedelta(**{f"{unit}s": number})
        months = now.year * 12 + now.month - 1 - number * (12 if unit == "year" else 1)
        year, month = months // 12, months % 12 + 1
        return now.replace(year=year, month=month, day=min(now.day, calendar.monthrange(year, month)[1]))
    except (OverflowError, ValueError, calendar.IllegalMonthError):
        raise SegmentError(f"Column {at.column}: that is before any calendar; use a smaller number.") from None


def _in_words(error: UnexpectedInput, text: str) -> str:
    if isinstance(error, UnexpectedEOF) or (isinstance(error, UnexpectedToken) and error.token.type == "$END"):
        where, found = f"Column {len(text.rstrip()) + 1}", "the rule ends"
    elif isinstance(error, UnexpectedCharacters):
        where, found = f"Column {error.column}", f"{text[error.pos_in_stream or 0]!r} does not belong here"
    else:
        where, found = f"Column {error.column}", f"{str(getattr(error, 'token', ''))!r} does not belong here"
    allowed = getattr(error, "accepts", None) or getattr(error, "expected", None) or getattr(error, "allowed", None)
    expected = sorted({WORDS.get(name, name) for name in allowed or ()})
    return f"{where}: {found}; expected {' or '.join(expected)}."
