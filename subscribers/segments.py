"""
Segments: a rule over subscribers in words, compiled to SQL over listed fields with every value bound.

    language = "es" and zone in ("Europe/Madrid", "America/Mexico_City")
    topics has any ("korea", "vatican") and not plan = "trial"
    joined within 2 months or attr.city = "Lima"

docs/segments.md has the whole language.
"""

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any

from lark import Token, Tree
from sqlalchemy import ColumnElement, and_, exists, func, not_, or_, select, true

from subscribers import attributes, rule_values
from subscribers.draws import drawn
from subscribers.grammar import SegmentError, field_of, misused, read, unquoted, values_of
from subscribers.models import SubscriberRow, topic_key

__all__ = ["NOTHING", "Compiler", "Names", "SegmentError", "TrackingError", "compile_rule", "counted", "language_is"]

PEOPLE = SubscriberRow.metadata.tables["subscriber"]
LIKED = SubscriberRow.metadata.tables["subscriber_topic"]
WISHES = SubscriberRow.metadata.tables["subscription"].alias("wish")  # the audience asks the table itself
DONE = SubscriberRow.metadata.tables["activity"]

DEEPEST_SEGMENT = 5  # saved segments within saved segments
MOST_FORMS = 500  # conditions and values of a rule, those of the segments it asks for among them
COMPARES: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


class TrackingError(SegmentError):
    """A rule asks who opened or clicked, and nobody writes that down: tracking is not personal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What a rule may name beside fields: saved segments by their rules, digests by their ids; and whether tracking is personal."""

    segments: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, int] = field(default_factory=dict)
    personal: bool = False


NOTHING = Names()


def compile_rule(text: str, *, now: datetime, names: Names = NOTHING, name: str = "") -> ColumnElement[bool]:
    """
    The rule as a condition on the subscriber table that is true or false and never unknown, so `not` means the rest.

    A bare language ("es") also means its regions ("es-MX"). `now` is what "within" counts back from. Other tables are
    asked reader by reader, so that the condition costs the same on any 500 readers, wherever they stand. `name` is what
    the rule is or will be saved under: it may not lead back to itself.

    Raises:
        SegmentError: the rule cannot be read, names what does not exist, or is longer or deeper than anyone needs.
        TrackingError: it asks for opens or clicks, and tracking is not personal.
    """
    return Compiler(now=now, names=names, within=(name,) if name else ()).rule(text)


def counted(*conditions: ColumnElement[bool]) -> Any:
    """One row: how many subscribers meet each of the conditions, in one pass over all of them."""
    # counting a column that is in no index keeps SQLite to the order of the ids, in which the readers' rows of other
    # tables lie too: by an index of random order, a million readers take five times as long
    readers = func.count(PEOPLE.c.updated_at)
    if len(conditions) == 1:
        return select(readers).where(*conditions)
    return select(*[readers.filter(condition) for condition in conditions])


def language_is(code: str) -> ColumnElement[bool]:
    """Readers of a language: "es" takes in es-MX, "es-MX" only itself."""
    spoken, wanted = func.lower(PEOPLE.c.language), code.lower()
    return (
        spoken == wanted if "-" in wanted else or_(spoken == wanted, spoken.startswith(f"{wanted}-", autoescape=True))
    )


class Compiler:
    """From a tree to SQL. The public methods after `condition` are the forms of the grammar, each given its parts."""

    def __init__(
        self, *, now: datetime, names: Names, within: tuple[str, ...] = (), forms: list[int] | None = None
    ) -> None:
        self._now, self._names = now, names
        self._within = within  # the saved segments that led here, the outermost first
        self._forms = [0] if forms is None else forms  # how many so far, counted together with theirs

    def rule(self, text: str, saved_as: str = "") -> ColumnElement[bool]:
        try:
            return self.condition(read(text))
        except SegmentError as error:
            raise error.of(text, saved_as) from None

    def condition(self, form: Tree[Token]) -> ColumnElement[bool]:
        self._count(1)
        made: ColumnElement[bool] = getattr(self, form.data)(*form.children)
        return made

    def _count(self, more: int) -> None:
        self._forms[0] += more
        if self._forms[0] > MOST_FORMS:
            raise SegmentError(
                f"With the segments it asks for, the rule has more than {MOST_FORMS} conditions and values."
            )

    # conditions of conditions

    def either(self, *forms: Tree[Token]) -> ColumnElement[bool]:
        return or_(*[self.condition(form) for form in forms])

    def both(self, *forms: Tree[Token]) -> ColumnElement[bool]:
        return and_(*[self.condition(form) for form in forms])

    def negated(self, form: Tree[Token]) -> ColumnElement[bool]:
        return not_(self.condition(form))

    def grouped(self, form: Tree[Token]) -> ColumnElement[bool]:
        return self.condition(form)

    def everyone(self, _word: Token) -> ColumnElement[bool]:
        return true()

    def segment(self, _word: Token, names: Tree[Token]) -> ColumnElement[bool]:
        return or_(*[self._saved(name) for name in self._values(names)])

    def _saved(self, token: Token) -> ColumnElement[bool]:
        name = unquoted(token)
        path = " → ".join(f'"{each}"' for each in (*self._within, name))
        if name in self._within:
            raise SegmentError(f"a segment cannot ask for itself: {path}.", at=token.start_pos)
        rule = self._names.segments.get(name)
        if rule is None:
            raise rule_values.unknown("saved segment", token, self._names.segments)
        if len(self._within) == DEEPEST_SEGMENT:
            raise SegmentError(
                f"segments lie at most {DEEPEST_SEGMENT} deep in each other: {path}.", at=token.start_pos
            )
        inner = Compiler(now=self._now, names=self._names, within=(*self._within, name), forms=self._forms)
        return inner.rule(rule, name)

    def sample(self, _word: Token, percent: Token, draw: Token | None = None) -> ColumnElement[bool]:
        return drawn(rule_values.percentage(percent), unquoted(draw) if draw else "")

    # fields

    def compared(self, name: Token, sign: Token, value: Token) -> ColumnElement[bool]:
        self._count(1)
        return not_(self._is(name, "=", value)) if sign == "!=" else self._is(name, str(sign), value)

    def among(self, name: Token, values: Tree[Token]) -> ColumnElement[bool]:
        given = self._values(values)
        if all(value.type == "STRING" for value in given):
            return _is_one_of(name, given)
        return or_(*[self._is(name, "=", value) for value in given])

    def not_among(self, name: Token, values: Tree[Token]) -> ColumnElement[bool]:
        return not_(self.among(name, values))

    def _values(self, values: Tree[Token]) -> list[Token]:
        self._count(len(values.children))
        return values_of(values)

    def _is(self, name: Token, sign: str, value: Token) -> ColumnElement[bool]:
        of, own = field_of(name), _attribute(name)
        if of == "joined" and value.type == "DATE":
            return _joined(sign, value)
        if own and value.type == "NUMBER":
            return attributes.is_between(own, *rule_values.interval(sign, value))
        if own and value.type == "DATE":
            return attributes.is_day(own, COMPARES[sign], rule_values.day(value))
        if sign != "=":
            raise misused(name)
        return _is_one_of(name, [value])

    def empty(self, name: Token) -> ColumnElement[bool]:
        of, own = field_of(name), _attribute(name)
        if own:
            return attributes.is_empty(own)
        if of not in {"language", "zone", "country", "plan"}:
            raise misused(name)
        return func.coalesce(PEOPLE.c[of], "") == ""

    def not_empty(self, name: Token) -> ColumnElement[bool]:
        return not_(self.empty(name))

    def has(self, name: Token, value: Token) -> ColumnElement[bool]:
        return self._likes(name, [value])

    def has_any(self, name: Token, values: Tree[Token]) -> ColumnElement[bool]:
        return self._likes(name, self._values(values))

    def _likes(self, name: Token, values: Sequence[Token]) -> ColumnElement[bool]:
        if field_of(name) != "topics":
            raise misused(name)
        topics = [topic_key(unquoted(value)) for value in values]
        mine = LIKED.c.subscriber_id == PEOPLE.c.id
        return exists().where(mine, LIKED.c.topic.in_(topics), LIKED.c.wish > 0).correlate(PEOPLE)

    def within(self, name: Token, number: Token, unit: Token) -> ColumnElement[bool]:
        if field_of(name) != "joined":
            raise misused(name)
        return PEOPLE.c.joined_at >= rule_values.earlier(self._now, number, unit)

    # what readers asked for, and did

    def reads(self, _word: Token, digest: Token) -> ColumnElement[bool]:
        return self._reads([digest])

    def reads_any(self, _word: Token, digests: Tree[Token]) -> ColumnElement[bool]:
        return self._reads(self._values(digests))

    def _reads(self, digests: Iterable[Token]) -> ColumnElement[bool]:
        ids = [self._digest(digest) for digest in digests]
        return _wishes(WISHES.c.digest_id.in_(ids))

    def _digest(self, token: Token) -> int:
        slug = unquoted(token)
        if slug not in self._names.digests:
            raise rule_values.unknown("digest", token, self._names.digests)
        return self._names.digests[slug]

    def tracked(self, word: Token) -> ColumnElement[bool]:
        self._demand_personal(word)
        return PEOPLE.c.tracked_since.is_not(None)

    def did(self, deed: Token) -> ColumnElement[bool]:
        return exists().where(*self._deeds(deed)).correlate(PEOPLE)

    def did_within(self, deed: Token, number: Token, unit: Token) -> ColumnElement[bool]:
        return exists().where(*self._deeds(deed, number, unit)).correlate(PEOPLE)

    def did_often(self, deed: Token, times: Token, *span: Token) -> ColumnElement[bool]:
        counted = select(func.coalesce(func.sum(DONE.c.number), 0)).where(*self._deeds(deed, *span))
        return counted.correlate(PEOPLE).scalar_subquery() >= rule_values.times(times)

    def did_often_within(self, deed: Token, times: Token, number: Token, unit: Token) -> ColumnElement[bool]:
        return self.did_often(deed, times, number, unit)

    def never(self, deed: Token) -> ColumnElement[bool]:
        # who did not agree to be counted may well have opened: only silence that we would have heard is "never"
        return and_(self.tracked(deed), not_(self.did(deed)))

    def _deeds(self, deed: Token, *span: Token) -> list[ColumnElement[bool]]:
        self._demand_personal(deed)
        mine = [DONE.c.subscriber_id == PEOPLE.c.id, DONE.c.kind == deed.lower()]
        return [*mine, DONE.c.day >= rule_values.earlier_day(self._now, *span)] if span else mine

    def _demand_personal(self, word: Token) -> None:
        if not self._names.personal:
            raise TrackingError(
                f'"{word}" asks what single readers did, which nobody writes down here: tracking is not personal. Set '
                "DIGEST_TRACKING=personal, or leave it out.",
                at=word.start_pos,
            )


def _attribute(name: Token) -> str:
    """The name of a reader's own attribute; empty for a field of ours."""
    return field_of(name).partition("attr.")[2]


def _is_one_of(name: Token, values: Sequence[Token]) -> ColumnElement[bool]:
    of, own = field_of(name), _attribute(name)
    if own:
        return attributes.is_one_of(own, [unquoted(value) for value in values])
    if of not in rule_values.CHECKS:
        raise misused(name)
    texts = [rule_values.checked(of, value) for value in values]
    if of == "language":
        return or_(*[language_is(text) for text in texts])
    if of == "channel":
        return _wishes(WISHES.c.channel.in_(texts))
    # an unknown (NULL) is not among the values: without the first half, `not` would lose these readers
    return and_(PEOPLE.c[of].is_not(None), PEOPLE.c[of].in_(texts))


def _wishes(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Wishes that the reader has not taken back; one that rests is still a wish."""
    mine = (WISHES.c.subscriber_id == PEOPLE.c.id, WISHES.c.state.in_(("active", "paused")))
    return exists().where(*mine, condition).correlate(PEOPLE)


def _joined(sign: str, token: Token) -> ColumnElement[bool]:
    """Days are days of UTC."""
    day = datetime.combine(rule_values.day(token), time(), UTC)
    try:
        next_day = day + timedelta(days=1)
    except OverflowError:
        raise SegmentError("that is after any calendar; use an earlier date.", at=token.start_pos) from None
    at = PEOPLE.c.joined_at
    return {
        "=": and_(at >= day, at < next_day), ">=": at >= day, ">": at >= next_day, "<=": at < next_day, "<": at < day,
    }[sign]  # fmt: skip
