"""Any rule over any readers: SQLite, PostgreSQL and a small oracle in Python, which knows nothing of ours, find the same ones."""

import operator
import re
from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from subscribers.segments import Names
from tests.crowd import DIGESTS, NOW, Reader, any_crowd, fill, members

SIGNS = {"=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
SAVED = {"payers": 'plan in ("paid", "trial")', "awake": "opened within 20 days"}
NAMES = Names(segments=SAVED, digests=DIGESTS, personal=True)
CROWD = any_crowd(6, 150)


class Rule(NamedTuple):
    """A rule's text, and whether a reader meets it; `binds` tells what must stand in brackets beside what."""

    text: str
    meets: Callable[[Reader], bool]
    binds: int = 3  # 1: or, 2: and, 3: all else


# conditions, each with what it means --------------------------------------------------------------------------------


def speaks(reader: Reader, code: str) -> bool:
    spoken = reader.language.lower()
    return spoken == code.lower() or ("-" not in code and spoken.startswith(code.lower() + "-"))


def listed(values: list[str]) -> str:
    return "(" + ", ".join(f'"{value}"' for value in values) + ")"


def asks_for_one(field: str, value: str, has: Callable[[Reader, str], bool]) -> st.SearchStrategy[Rule]:
    return st.sampled_from(
        [
            Rule(f'{field} = "{value}"', lambda r: has(r, value)),
            Rule(f"{field} != '{value}'", lambda r: not has(r, value)),
        ]
    )


def asks_for_some(field: str, values: list[str], has: Callable[[Reader, str], bool]) -> st.SearchStrategy[Rule]:
    among = lambda r: any(has(r, value) for value in values)  # noqa: E731
    return st.sampled_from(
        [
            Rule(f"{field} in {listed(values)}", among),
            Rule(f"{field} in any {listed(values)}", among),
            Rule(f"{field} not in {listed(values)}", lambda r: not among(r)),
        ]
    )


def texts(field: str, values: list[str], has: Callable[[Reader, str], bool]) -> st.SearchStrategy[Rule]:
    one = st.sampled_from(values)
    return one.flatmap(lambda value: asks_for_one(field, value, has)) | st.lists(one, min_size=1, max_size=3).flatmap(
        lambda several: asks_for_some(field, several, has)
    )


def emptiness(field: str, value: Callable[[Reader], object]) -> st.SearchStrategy[Rule]:
    return st.sampled_from(
        [
            Rule(f"{field} is empty", lambda r: value(r) in (None, "")),
            Rule(f"{field} is not empty", lambda r: value(r) not in (None, "")),
        ]
    )


def asked(reader: Reader, digest: str | None = None, channel: str | None = None) -> bool:
    return any(
        state in ("active", "paused") and digest in (None, of) and channel in (None, by)
        for (of, by), state in reader.wishes.items()
    )


def earlier(number: int, unit: str) -> datetime:
    if unit in ("hours", "days", "weeks"):
        return NOW - timedelta(**{unit: number})
    months = NOW.year * 12 + NOW.month - 1 - number * (12 if unit == "years" else 1)
    year, month = divmod(months, 12)
    return NOW.replace(year=year, month=month + 1, day=min(NOW.day, monthrange(year, month + 1)[1]))


def done(reader: Reader, kind: str, since: date = date.min) -> int:
    return sum(number for (what, day), number in reader.deeds.items() if what == kind and day >= since)


days = st.integers(0, 1300).map(lambda back: (NOW - timedelta(days=back)).date())
spans = st.tuples(st.integers(0, 40), st.sampled_from(["hours", "days", "weeks", "months", "years"]))
long_spans = st.tuples(st.integers(0, 20), st.sampled_from(["days", "weeks", "months", "years"]))
kinds = st.sampled_from(["opened", "clicked"])


def joined(sign: str, day: date) -> Rule:
    """By whole days: every moment of the day counts as the day."""
    return Rule(f"joined {sign} {day}", lambda r: SIGNS[sign](r.joined.astimezone(UTC).date(), day))


def joined_within(span: tuple[int, str]) -> Rule:
    return Rule(f"joined within {span[0]} {span[1]}", lambda r: r.joined >= earlier(*span))


def did_within(kind: str, span: tuple[int, str]) -> Rule:
    return Rule(f"{kind} within {span[0]} {span[1]}", lambda r: done(r, kind, earlier(*span).date()) > 0)


def did_often(kind: str, times: int) -> Rule:
    return Rule(f"{kind} at least {times} times", lambda r: done(r, kind) >= times)


def did_often_within(kind: str, times: int, span: tuple[int, str]) -> Rule:
    text = f"{kind} at least {times} times within {span[0]} {span[1]}"
    return Rule(text, lambda r: done(r, kind, earlier(*span).date()) >= times)


def has_topics(topics: list[str]) -> Rule:
    text = f'topics has "{topics[0]}"' if topics[1:] == [] else f"topics has any {listed(topics)}"
    return Rule(text, lambda r: any(r.topics.get(topic.lower().replace(" ", "-"), 0) > 0 for topic in topics))


topics = st.lists(st.sampled_from(["korea", "Vatican", "Latin America", "chess"]), min_size=1, max_size=3)
engagement = st.one_of(
    kinds.map(lambda kind: Rule(kind, lambda r: done(r, kind) > 0)),
    kinds.map(lambda kind: Rule(f"never {kind}", lambda r: r.tracked and done(r, kind) == 0)),
    st.just(Rule("tracked", lambda r: r.tracked)),
    st.builds(did_within, kinds, long_spans),
    st.builds(did_often, kinds, st.integers(1, 9)),
    st.builds(did_often_within, kinds, st.integers(1, 6), long_spans),
)

# readers' own attributes ----------------------------------------------------------------------------------------------

NUMBER = re.compile(r"[ \t\n\v\f\r]*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,3})?[ \t\n\v\f\r]*")


def number_of(value: object) -> float | None:
    """What counts as a number; None for all else. Beyond 1e300 is none."""
    if isinstance(value, str):
        value = float(value) if NUMBER.fullmatch(value) else None
    if isinstance(value, (bool, int, float)) and abs(value) <= 1e300:
        return float(value)
    return None


def day_of(value: object) -> str | None:
    start = value[:10] if isinstance(value, str) else ""
    return start if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", start) else None


def compares(name: str, sign: str, given: str) -> Callable[[Reader], bool]:
    """Numbers with numbers, days with days; what is neither is not, whatever is asked, but for `!=`."""

    def meets(reader: Reader) -> bool:
        value = reader.attributes.get(name)
        of = day_of(value) if given.count("-") == 2 else number_of(value)
        with_what = given if given.count("-") == 2 else float(given)
        return sign == "!=" if of is None else SIGNS[sign](of, with_what)

    return meets


def compared(name: str, values: list[str]) -> st.SearchStrategy[Rule]:
    return st.builds(
        lambda sign, value: Rule(f"attr.{name} {sign} {value}", compares(name, sign, value)),
        st.sampled_from(list(SIGNS)), st.sampled_from(values),
    )  # fmt: skip


def mixed(name: str, values: list[str]) -> st.SearchStrategy[Rule]:
    """A list of texts, numbers and days together."""

    def one_of(several: list[str]) -> Rule:
        def meets(reader: Reader) -> bool:
            value = reader.attributes.get(name)
            return any(value == each[1:-1] if each[0] == '"' else compares(name, "=", each)(reader) for each in several)

        return Rule(f"attr.{name} in ({', '.join(several)})", meets)

    return st.lists(st.sampled_from(values), min_size=1, max_size=3).map(one_of)


def attribute(name: str) -> Callable[[Reader, str], bool]:
    return lambda reader, value: reader.attributes.get(name) == value


simple = st.one_of(
    texts("language", ["es", "es-MX", "en", "ES-mx", "pt"], speaks),
    texts("zone", ["Europe/Madrid", "UTC", "America/Lima"], lambda r, value: r.zone == value),
    texts("country", ["ES", "us", "PT"], lambda r, value: r.country == value.upper()),
    texts("plan", ["paid", "trial", "", "ñ", "%"], lambda r, value: r.plan == value),
    texts("channel", ["email", "push"], lambda r, value: asked(r, channel=value)),
    texts("attr.city", ["Lima", "", "ñ", "3"], attribute("city")),
    emptiness("plan", lambda r: r.plan),
    emptiness("country", lambda r: r.country),
    emptiness("attr.city", lambda r: r.attributes.get("city")),
    compared("score", ["0.9", "0.95", "-2", "1", "10", "0"]),
    compared("renews", ["2026-03-31", "2026-04-01", "2025-12-31", "2026"]),
    mixed("score", ['"many"', "0.9", "10", '"0.9"', "2026-03-31"]),
    st.just(Rule("everyone", lambda _: True)),
    st.builds(joined, st.sampled_from(list(SIGNS)), days),
    st.builds(joined_within, spans),
    topics.map(has_topics),
    st.sampled_from(list(DIGESTS)).map(lambda slug: Rule(f'reads "{slug}"', lambda r: asked(r, slug))),
    st.just(Rule('reads any ("global", "sport")', asked)),
    st.just(Rule('segment("payers")', lambda r: r.plan in ("paid", "trial"))),
    st.just(Rule('segment("payers", "awake")', lambda r: r.plan in ("paid", "trial") or done(r, "opened", (NOW - timedelta(days=20)).date()) > 0)),
    engagement,
)  # fmt: skip


# conditions of conditions -----------------------------------------------------------------------------------------------


def within(rule: Rule, binds: int) -> str:
    return f"({rule.text})" if rule.binds < binds else rule.text


def either(*rules: Rule) -> Rule:
    return Rule(" or ".join(within(one, 1) for one in rules), lambda r: any(one.meets(r) for one in rules), 1)


def both(*rules: Rule) -> Rule:
    return Rule(" AND ".join(within(one, 2) for one in rules), lambda r: all(one.meets(r) for one in rules), 2)


def contrary(rule: Rule) -> Rule:
    return Rule(f"not {within(rule, 3)}", lambda r: not rule.meets(r))


def bracketed(rule: Rule) -> Rule:
    return Rule(f"( {rule.text} )", rule.meets)


rules = st.recursive(
    simple,
    lambda inner: st.one_of(
        inner.map(contrary),
        inner.map(bracketed),
        st.lists(inner, min_size=2, max_size=3).map(lambda several: both(*several)),
        st.lists(inner, min_size=2, max_size=3).map(lambda several: either(*several)),
    ),
    max_leaves=6,
)


def whom(rule: Rule, readers: list[Reader]) -> set[int]:
    return {number for number, reader in enumerate(readers, start=1) if rule.meets(reader)}


REUSED = [HealthCheck.function_scoped_fixture]  # the readers stay the same from one rule to the next


@pytest.fixture
def crowded(request, engine):
    fill(engine, CROWD)
    return engine


@settings(max_examples=400, deadline=None, suppress_health_check=REUSED)
@given(rule=rules)
def test_a_database_finds_whom_the_oracle_finds(crowded, rule):
    assert members(crowded, rule.text, names=NAMES) == whom(rule, CROWD)


@pytest.mark.postgres
@settings(max_examples=150, deadline=None, suppress_health_check=REUSED)
@given(rule=rules)
def test_both_databases_find_the_same_people(sqlite_engine, postgres_engine, both_filled, rule):
    assert members(sqlite_engine, rule.text, names=NAMES) == members(postgres_engine, rule.text, names=NAMES)


@pytest.fixture
def both_filled(sqlite_engine, postgres_engine):
    for engine in (sqlite_engine, postgres_engine):
        fill(engine, CROWD)


# any readers ------------------------------------------------------------------------------------------------------------

odd_values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=12),
    st.sampled_from(["0.9", " 5 ", "5.", ".5", ".", "1e3", "1e", "+4", "-0", "007", "1e999", "0x10", "12abc", "٣", "1 2", "--1", "",
                     "2026-01-31", "2026-01-31T10:00", "2026-13-99", "20260131", "2026-01-3", "Infinity", "NaN", "null", "true"]),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.sampled_from("ab"), st.integers(), max_size=2),
).filter(lambda value: not isinstance(value, str) or not re.search("[\x00\ud800-\udfff]", value))  # fmt: skip
odd_rules = st.one_of(
    compared("x", ["0.9", "5", "0", "-0", "1000", "3", "1", "2026-01-31", "123456789.12345"]),
    texts("attr.x", ["0.9", "5", "", "true", "[1]", "2026-01-31", "null"], attribute("x")),
    emptiness("attr.x", lambda r: r.attributes.get("x")),
)


@settings(max_examples=150, deadline=None, suppress_health_check=REUSED)
@given(
    values=st.lists(odd_values | st.just("left out"), min_size=1, max_size=8),
    asked_for=st.lists(odd_rules, min_size=1, max_size=6),
)
def test_whatever_an_attribute_holds_a_database_finds_whom_the_oracle_finds(engine, values, asked_for):
    readers = [Reader(attributes={} if value == "left out" else {"x": value}) for value in values]
    fill(engine, readers)
    for rule in asked_for:
        assert members(engine, rule.text, names=NAMES) == whom(rule, readers), rule.text


moments = st.datetimes(datetime(2023, 1, 1), datetime(2026, 3, 31, 12), timezones=st.just(UTC))
midnights = days.map(lambda day: datetime.combine(day, time(), UTC))
any_readers = st.lists(
    st.builds(
        Reader, language=st.sampled_from(["es", "es-MX", "EN", "en-GB"]), country=st.sampled_from([None, "ES", "US"]),
        plan=st.sampled_from([None, "", "paid", "%"]), joined=moments | midnights, tracked=st.just(True),
        topics=st.dictionaries(st.sampled_from(["korea", "latin-america"]), st.sampled_from([1, -1])),
        wishes=st.dictionaries(st.tuples(st.sampled_from(list(DIGESTS)), st.sampled_from(["email", "push"])),
                               st.sampled_from(["active", "paused", "left", "pending"])),
        deeds=st.dictionaries(st.tuples(kinds, days), st.integers(1, 5), max_size=4),
    ),
    min_size=1, max_size=6,
)  # fmt: skip


@settings(max_examples=100, deadline=None, suppress_health_check=REUSED)
@given(readers=any_readers, asked_for=st.lists(rules, min_size=1, max_size=4))
def test_whoever_the_readers_are_a_database_finds_whom_the_oracle_finds(engine, readers, asked_for):
    fill(engine, readers)
    for rule in asked_for:
        assert members(engine, rule.text, names=NAMES) == whom(rule, readers), rule.text
