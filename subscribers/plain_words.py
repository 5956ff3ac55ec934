"""A rule in plain words, clause by clause, each with its condition so that its readers can be counted."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lark import Token, Tree
from sqlalchemy import ColumnElement

from subscribers import rule_values
from subscribers.grammar import field_of, read, references, unquoted, values_of, walked
from subscribers.segments import NOTHING, Compiler, Names

HEADS = {
    ("either", False): "any of these:", ("either", True): "none of these:",
    ("both", False): "all of these:", ("both", True): "not all of these:",
}  # fmt: skip
DEEDS = {"opened": "opened an edition", "clicked": "clicked a link"}
NUMBERS = {">=": "{} or more", ">": "more than {}", "<=": "{} or less", "<": "less than {}", "=": "{}"}
DAYS = {">=": "on {} or later", ">": "after {}", "<=": "on {} or earlier", "<": "before {}", "=": "on {}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """A part of a rule: how deep it lies, its own text, what that says, and the condition it makes."""

    depth: int
    rule: str
    words: str
    condition: ColumnElement[bool]


def clauses(text: str, *, now: datetime, names: Names = NOTHING) -> list[Clause]:
    """
    Every clause of a rule, the head of a group before its parts; the first is the rule as a whole.

    Raises:
        SegmentError: as subscribers.segments.compile_rule.
    """
    Compiler(now=now, names=names).rule(text)  # an error of it knows its place; none can come after
    return [
        Clause(
            depth=depth, rule=text[form.meta.start_pos : form.meta.end_pos], words=words,
            condition=Compiler(now=now, names=names).condition(form),
        )
        for depth, form, words in _Speaker(now).lines(read(text))
    ]  # fmt: skip


def shared_draws(text: str, names: Names) -> set[str]:
    """
    The draws that more than one of a rule and the segments it leads to take a sample of.

    They take the same readers: half of a saved tenth is that tenth again, which is seldom what was meant.
    """
    rules, waiting = {text}, [text]
    while waiting:
        more = {names.segments[name] for name in references(waiting.pop()) if name in names.segments} - rules
        rules |= more
        waiting += more
    taken = [draw for rule in rules for draw in _draws(rule)]
    return {draw for draw in taken if taken.count(draw) > 1}


def _draws(rule: str) -> set[str]:
    samples: list[Any] = [form.children for _, form in walked(read(rule)) if form.data == "sample"]
    return {unquoted(parts[2]) if parts[2:] else "" for parts in samples}


class _Speaker:
    """The methods after `lines` say one form of the grammar each, given its parts, or its contrary if `no`."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def lines(
        self, form: Tree[Token], depth: int = 0, *, no: bool = False, whole: Tree[Token] | None = None
    ) -> Iterator[tuple[int, Tree[Token], str]]:
        """Depth, form and words of each clause; a "not" and brackets make one with what they stand before."""
        whole = whole or form
        parts: list[Any] = list(form.children)
        if form.data in {"negated", "grouped"}:
            yield from self.lines(parts[0], depth, no=no != (form.data == "negated"), whole=whole)
        elif (form.data, no) in HEADS:
            yield depth, whole, HEADS[form.data, no]
            for part in parts:
                yield from self.lines(part, depth + 1)
        else:
            yield depth, whole, getattr(self, form.data)(*parts, no=no)

    def everyone(self, _word: Token, *, no: bool) -> str:
        return "nobody" if no else "everyone"

    def compared(self, name: Token, sign: Token, value: Token, *, no: bool) -> str:
        of, no = field_of(name), no != (sign == "!=")
        order = "=" if sign == "!=" else str(sign)
        if of == "joined":
            return f"{_verb('joined', 'did not join', no=no)} {DAYS[order].format(value)}"
        if value.type == "STRING":
            return self._among(name, [value], no=no)
        shape = DAYS if value.type == "DATE" else NUMBERS
        return f"{of} {_is(no=no)} {shape[order].format(value)}"

    def among(self, name: Token, values: Tree[Token], *, no: bool) -> str:
        return self._among(name, values_of(values), no=no)

    def not_among(self, name: Token, values: Tree[Token], *, no: bool) -> str:
        return self.among(name, values, no=not no)

    def _among(self, name: Token, values: Iterable[Token], *, no: bool) -> str:
        if field_of(name) == "channel":
            return f"{_verb('reads something', 'reads nothing', no=no)} by {_listed(values)}"
        regions = " (regions too)" if field_of(name) == "language" else ""
        return f"{field_of(name)} {_is(no=no)} {_listed(values)}{regions}"

    def empty(self, name: Token, *, no: bool) -> str:
        return f"{field_of(name)} {_is(no=not no)} given"

    def not_empty(self, name: Token, *, no: bool) -> str:
        return self.empty(name, no=not no)

    def has(self, _name: Token, topic: Token, *, no: bool) -> str:
        return f"{_verb('wants', 'does not want', no=no)} more of {_listed([topic])}"

    def has_any(self, _name: Token, topics: Tree[Token], *, no: bool) -> str:
        return f"{_verb('wants', 'does not want', no=no)} more of {_listed(values_of(topics))}"

    def within(self, _name: Token, number: Token, unit: Token, *, no: bool) -> str:
        since = rule_values.earlier(self._now, number, unit)
        return f"{_verb('joined', 'did not join', no=no)} since {since:%Y-%m-%d %H:%M} UTC ({number} {unit})"

    def reads(self, _word: Token, digest: Token, *, no: bool) -> str:
        return f"{_verb('reads', 'does not read', no=no)} {_listed([digest])}"

    def reads_any(self, _word: Token, digests: Tree[Token], *, no: bool) -> str:
        return f"{_verb('reads', 'does not read', no=no)} {_listed(values_of(digests))}"

    def segment(self, _word: Token, names: Tree[Token], *, no: bool) -> str:
        return f"{_is(no=no)} in the segment {_listed(values_of(names))}"

    def sample(self, _word: Token, percent: Token, draw: Token | None = None, *, no: bool) -> str:
        return f"{_is(no=no)} among the {percent} percent drawn{f' for {_listed([draw])}' if draw else ''}"

    def tracked(self, _word: Token, *, no: bool) -> str:
        return f"{_verb('agreed', 'did not agree', no=no)} to tracking"

    def did(self, deed: Token, *, no: bool) -> str:
        return f"{_known(no=no)}{DEEDS[deed.lower()]}"

    def did_within(self, deed: Token, *span: Token, no: bool) -> str:
        return f"{self.did(deed, no=no)} {self._since(*span)}"

    def did_often(self, deed: Token, times: Token, *span: Token, no: bool) -> str:
        often = f"{self.did(deed, no=no)} at least {times} {'time' if times == '1' else 'times'}"
        return f"{often} {self._since(*span)}" if span else often

    def did_often_within(self, deed: Token, times: Token, *span: Token, no: bool) -> str:
        return self.did_often(deed, times, *span, no=no)

    def never(self, deed: Token, *, no: bool) -> str:
        agreed, deeds = self.tracked(deed, no=no), DEEDS[deed.lower()]
        return f"{agreed} or {deeds}" if no else f"{agreed} and never {deeds}"

    def _since(self, number: Token, unit: Token) -> str:
        return f"since {rule_values.earlier_day(self._now, number, unit)} ({number} {unit})"


def _verb(yes: str, contrary: str, *, no: bool) -> str:
    return contrary if no else yes


def _is(*, no: bool) -> str:
    return _verb("is", "is not", no=no)


def _known(*, no: bool) -> str:
    """Who did not agree to tracking may have done it, and nobody knows."""
    return "is not known to have " if no else ""


def _listed(values: Iterable[Token]) -> str:
    shown = [str(value) if value.type != "STRING" else _shown(unquoted(value)) for value in values]
    return " or ".join([", ".join(shown[:-1]), shown[-1]] if shown[1:] else shown)


def _shown(text: str) -> str:
    return text if text and " " not in text else f'"{text}"'
