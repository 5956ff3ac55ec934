"""The grammar of segments: a rule's text into a tree of its forms, or an error that shows the place and what was expected."""

import difflib
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedInput, UnexpectedToken

LONGEST = 2000  # characters of a rule
LONGEST_VALUE = 200
DEEPEST = 20
MOST_VALUES = 200

GRAMMAR = r"""
?start: either
?either: both (_OR both)*
?both: one (_AND one)*
?one: _NOT one                            -> negated
    | "(" either ")"                      -> grouped
    | EVERYONE                            -> everyone
    | FIELD SIGN value                    -> compared
    | FIELD _IN _ANY? values              -> among
    | FIELD _NOT _IN _ANY? values         -> not_among
    | FIELD _IS _EMPTY                    -> empty
    | FIELD _IS _NOT _EMPTY               -> not_empty
    | FIELD _HAS value                    -> has
    | FIELD _HAS _ANY values              -> has_any
    | FIELD _WITHIN NUMBER UNIT           -> within
    | TRACKED                             -> tracked
    | DID                                 -> did
    | DID _WITHIN NUMBER UNIT             -> did_within
    | DID _AT _LEAST NUMBER _TIMES        -> did_often
    | DID _AT _LEAST NUMBER _TIMES _WITHIN NUMBER UNIT -> did_often_within
    | _NEVER DID                          -> never
    | READS STRING                        -> reads
    | READS _ANY values                   -> reads_any
    | SEGMENT values                      -> segment
    | SAMPLE NUMBER _PERCENT              -> sample
    | SAMPLE NUMBER _PERCENT _FOR STRING  -> sample
?value: STRING | NUMBER | DATE
values: "(" value ("," value)* ")"

_AND.2: /and\b/i
_OR.2: /or\b/i
_NOT.2: /not\b/i
_IN.2: /in\b/i
_IS.2: /is\b/i
_EMPTY.2: /empty\b/i
_HAS.2: /has\b/i
_ANY.2: /any\b/i
_WITHIN.2: /within\b/i
_AT.2: /at\b/i
_LEAST.2: /least\b/i
_TIMES.2: /times?\b/i
_NEVER.2: /never\b/i
_PERCENT.2: /percent\b|%/i
_FOR.2: /for\b/i
EVERYONE.2: /everyone\b/i
TRACKED.2: /tracked\b/i
DID.2: /(opened|clicked)\b/i
READS.2: /reads\b/i
SEGMENT.2: /segment\b/i
SAMPLE.2: /sample\b/i
UNIT.2: /(hour|day|week|month|year)s?\b/i
SIGN: /!=|>=|<=|=|>|</
FIELD: /[a-z_][a-z0-9_.-]*/i
STRING: /"[^"\n]*"/ | /'[^'\n]*'/
DATE.3: /[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}\b/
NUMBER.2: /-?[0-9]+(\.[0-9]+)?/
%ignore /\s+/
"""

FIELDS: Mapping[str, str] = {
    "language": 'language = "es" or language in ("es", "pt")',
    "zone": 'zone = "Europe/Madrid" or zone in ("Europe/Madrid", "Europe/Lisbon")',
    "country": 'country = "ES" or country in ("ES", "PT")',
    "plan": 'plan = "paid" or plan in ("paid", "trial")',
    "channel": 'channel = "push"',
    "topics": 'topics has "korea" or topics has any ("korea", "vatican")',
    "joined": "joined within 2 months or joined >= 2026-01-31",
    "attr.NAME": 'attr.city = "Lima", attr.score >= 0.9 or attr.renews < 2026-01-31',
}
"""Every field, and how one asks for it. Readers' own attributes are fields by their names: attr.city."""

STARTS = ("everyone", "opened", "clicked", "never", "tracked", "reads", "segment", "sample")
"""What a condition begins with, other than a field."""

WORDS: Mapping[str, str] = {
    "_AND": '"and"', "_OR": '"or"', "_NOT": '"not"', "_IN": '"in"', "_EMPTY": '"empty"', "_ANY": '"any"',
    "_WITHIN": '"within"', "_AT": '"at least"', "_LEAST": '"least"', "_TIMES": '"times"', "_FOR": '"for"',
    "_PERCENT": '"percent"', "LPAR": '"("', "RPAR": '")"', "COMMA": '","', "DID": "opened or clicked",
    "STRING": "a value in quotes", "NUMBER": "a number", "UNIT": "hours, days, weeks, months or years", "$END": "the end",
}  # fmt: skip
CURLY = "“”„«»‘’"
_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class SegmentError(ValueError):
    """
    A rule that cannot be read: the message names the place and says what was expected there.

    `rule` is the text that holds the fault: the rule itself, or that of a saved segment it asks for, then named by
    `segment`. `at` is the place in it, from 0; None where it is at fault as a whole.
    """

    def __init__(self, problem: str, *, at: int | None = None) -> None:
        super().__init__(problem)
        self.problem, self.at = problem, at
        self.rule: str | None = None
        self.segment = ""

    def of(self, rule: str, segment: str = "") -> "SegmentError":
        """Itself, knowing which text it is about; told once, by who read that text."""
        if self.rule is None:
            self.rule, self.segment = rule, segment
        return self

    @property
    def line(self) -> int:
        return (self.rule or "").count("\n", 0, self.at or 0) + 1

    @property
    def column(self) -> int:
        """Counted from 1 within its line."""
        return (self.at or 0) - (self.rule or "").rfind("\n", 0, self.at or 0)

    def __str__(self) -> str:
        inside = f'In segment "{self.segment}": ' if self.segment else ""
        line = f"Line {self.line}, column" if "\n" in (self.rule or "") else "Column"
        return f"{inside}{f'{line} {self.column}: ' if self.at is not None else ''}{self.problem}"


def read(text: str) -> Tree[Token]:
    """
    The tree of a rule, its forms named as in the grammar.

    Raises:
        SegmentError: the text is no rule, or longer or deeper than anyone needs.
    """
    if len(text) > LONGEST:
        raise SegmentError(f"The rule has {len(text)} characters; at most {LONGEST} are read.")
    if odd := _NOT_TEXT.search(text):
        raise SegmentError(f"U+{ord(odd[0]):04X} is no character of a text.", at=odd.start())
    try:
        tree = _parser().parse(text)
    except UnexpectedInput as error:
        raise _in_words(error, text) from None
    _demand_shallow(tree)
    return tree


def references(text: str) -> set[str]:
    """The saved segments that a rule asks for by name; none where it cannot be read."""
    try:
        tree = read(text)
    except SegmentError:
        return set()
    return {
        unquoted(token) for _, form in walked(tree) if form.data == "segment" for token in values_of(form.children[1])
    }


def field_of(token: Token) -> str:
    """
    The field's name in its one spelling.

    Raises:
        SegmentError: there is none of that name; lists them all and suggests the nearest.
    """
    name = token.lower()
    if name in FIELDS or (name.startswith("attr.") and len(name) > len("attr.")):
        return str(name)
    known = [*FIELDS, *STARTS]
    near = [each for each in known if each.startswith(name)] or difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    near = ['reads "global"'] if name.startswith("digest") else near
    hint = f" Did you mean {near[0]}?" if near else ""
    fields = f"Fields: {', '.join(FIELDS)}. Other words: {', '.join(STARTS)}."
    raise SegmentError(f"there is no field {str(token)!r}.{hint} {fields}", at=token.start_pos)


def misused(token: Token) -> SegmentError:
    """The error that says how its field is asked for."""
    name = field_of(token)
    own = FIELDS["attr.NAME"].replace("attr.city", name) if name.startswith("attr.") else FIELDS[name]
    return SegmentError(f"with {name}, write {own}.", at=token.start_pos)


def values_of(form: Any) -> list[Token]:
    """What stands in the brackets of a list."""
    return list(form.children)


def unquoted(token: Token) -> str:
    """
    Raises:
        SegmentError: the value is not in quotes, or longer than anyone needs.
    """
    if token.type != "STRING":
        raise SegmentError(f'write it in quotes: "{token}".', at=token.start_pos)
    if len(token) > LONGEST_VALUE + 2:
        raise SegmentError(f"a value has at most {LONGEST_VALUE} characters.", at=token.start_pos)
    return str(token)[1:-1]


@cache
def _parser() -> Lark:
    return Lark(GRAMMAR, parser="lalr", propagate_positions=True)


def _demand_shallow(tree: Tree[Token]) -> None:
    for depth, form in walked(tree):
        if depth > DEEPEST:
            raise SegmentError(f"The rule is nested more than {DEEPEST} deep; write it flatter or save it as two.")
        if form.data == "values" and len(form.children) > MOST_VALUES:
            at = values_of(form)[MOST_VALUES].start_pos
            raise SegmentError(f"there are more than {MOST_VALUES} values; save the rule as two.", at=at)


def walked(tree: Tree[Token]) -> Iterator[tuple[int, Tree[Token]]]:
    """Every form of a tree with its depth from 1, those that hold others first, in the order of the text."""
    waiting = [(1, tree)]
    while waiting:
        depth, form = waiting.pop()
        yield depth, form
        inner = [child for child in form.children if isinstance(child, Tree)]
        waiting.extend((depth + 1, child) for child in reversed(inner))


# what is wrong, in words --------------------------------------------------------------------------------------------


def _in_words(error: UnexpectedInput, text: str) -> SegmentError:
    ended = isinstance(error, UnexpectedToken) and error.token.type == "$END"
    at = len(text.rstrip()) if ended else int(error.pos_in_stream or 0)
    allowed = _allowed_after(text[:at])
    if "SIGN" in allowed:  # a field stands alone, or before what it cannot be asked with: it may be no field at all
        return _of_field(text[:at])
    found = "the rule ends" if ended else _found(error, text[at:])
    return SegmentError(f"{found}; expected {_expected(allowed)}.", at=at)


def _allowed_after(beginning: str) -> set[str]:
    parser = _parser().parse_interactive(beginning)
    parser.exhaust_lexer()
    return set(parser.accepts())  # type: ignore[no-untyped-call,unused-ignore]


def _of_field(before: str) -> SegmentError:
    word = re.search(r"\S+\s*$", before)
    assert word is not None
    try:
        return misused(Token("FIELD", word[0].strip(), start_pos=word.start()))
    except SegmentError as unknown:
        return unknown


def _found(error: UnexpectedInput, rest: str) -> str:
    character = rest[0]
    if character in "\"'" and character not in rest[1:]:
        return "the quote opened here is not closed"
    hint = ' (write straight quotes: ")' if character in CURLY else ""
    return f"{str(getattr(error, 'token', '') or character)!r} does not belong here{hint}"


def _expected(allowed: set[str]) -> str:
    if "FIELD" in allowed:
        return "a condition"
    if "DATE" in allowed:
        return "a value in quotes, a number or a date such as 2026-01-31"
    words = sorted(WORDS[name] for name in allowed)
    return " or ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)
