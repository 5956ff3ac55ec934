"""The segment language: what it says, how it refuses, and that two databases find the same people."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlmodel import SQLModel

from subscribers.segments import SegmentError, compile_rule

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
PEOPLE = SQLModel.metadata.tables["subscriber"]
TOPICS = SQLModel.metadata.tables["subscriber_topic"]

ANA = {"language": "es", "zone": "Europe/Madrid", "country": "ES", "plan": "paid", "attributes": {"city": "Lima"}}
BEN = {"language": "en", "zone": "America/New_York", "country": "US", "plan": None, "attributes": {}}
CLEO = {
    "language": "es-MX",
    "zone": "America/Mexico_City",
    "country": None,
    "plan": "trial",
    "attributes": {"city": ""},
}
WISHES = {1: [("korea", 1), ("vatican", -1)], 2: [("vatican", 1)], 3: []}
JOINED = {
    1: datetime(2026, 2, 1, tzinfo=UTC),
    2: datetime(2026, 2, 28, 12, tzinfo=UTC),
    3: datetime(2025, 1, 1, tzinfo=UTC),
}


def fill(engine, people, wishes, joined):
    rows = [
        {"id": n, "public_id": f"p{n}", "email": f"r{n}@example.net", "email_key": f"r{n}@example.net", "name": "",
         "email_hash": n.to_bytes(16, "big"), "joined_at": joined.get(n, NOW), "updated_at": NOW, **person}
        for n, person in enumerate(people, start=1)
    ]  # fmt: skip
    topics = [{"subscriber_id": n, "topic": topic, "wish": wish} for n, mine in wishes.items() for topic, wish in mine]
    with engine.begin() as connection:
        connection.execute(TOPICS.delete())
        connection.execute(PEOPLE.delete())
        for table, values in ((PEOPLE, rows), (TOPICS, topics)):
            if values:
                connection.execute(table.insert(), values)


def members(engine, rule, now=NOW):
    with engine.connect() as connection:
        return set(connection.execute(select(PEOPLE.c.id).where(compile_rule(rule, now=now))).scalars())


@pytest.fixture
def three(engine):
    fill(engine, [ANA, BEN, CLEO], WISHES, JOINED)
    return engine


@pytest.mark.parametrize(
    ("rule", "who"),
    [
        ("everyone", {1, 2, 3}),
        ("not everyone", set()),
        ('language = "es"', {1, 3}),
        ('language = "ES-mx"', {3}),
        ('language != "es"', {2}),
        ('language in ("en", "es-MX")', {2, 3}),
        ('zone in ("Europe/Madrid", "America/New_York")', {1, 2}),
        ("zone = 'Europe/Madrid'", {1}),
        ('country = "es"', {1}),
        ('country != "ES"', {2, 3}),
        ('not country = "ES"', {2, 3}),
        ('country not in ("ES", "US")', {3}),
        ('plan = "paid" or plan = "trial"', {1, 3}),
        ('not plan in ("paid", "trial")', {2}),
        ("plan is empty", {2}),
        ("country is not empty", {1, 2}),
        ('topics has "korea"', {1}),
        ('topics has "vatican"', {2}),
        ('topics has any ("korea", "Vatican")', {1, 2}),
        ('not topics has "korea"', {2, 3}),
        ('attr.city = "Lima"', {1}),
        ('not attr.city = "Lima"', {2, 3}),
        ("attr.city is empty", {2, 3}),
        ("joined within 1 month", {2}),
        ("joined within 2 months", {1, 2}),
        ("joined within 744 hours", {2}),
        ("joined within 8 weeks", {2}),
        ("joined within 10 years", {1, 2, 3}),
        ('LANGUAGE = "es" AND NOT (plan = "trial" OR country = "US")', {1}),
        ('language = "en" or language = "es" and plan = "paid"', {1, 2}),
        ('(language = "en" or language = "es") and plan = "paid"', {1}),
        ('  plan\n=\t"paid"  ', {1}),
    ],
)
def test_a_rule_finds_its_people(three, rule, who):
    assert members(three, rule) == who


def test_a_month_is_counted_by_the_calendar(three):
    assert members(three, "joined within 1 month", now=datetime(2026, 3, 28, 12, tzinfo=UTC)) == {2}
    assert members(three, "joined within 1 month", now=datetime(2026, 3, 28, 13, tzinfo=UTC)) == set()


@pytest.mark.parametrize(
    "value", ["'; DROP TABLE subscriber; --", "%", "_", "E%", "\\", "x' OR '1'='1", "\u0130", "a" * 200, "\u2028", ""]
)
def test_every_value_is_bound_and_no_sign_is_special(three, value):
    quoted = f'"{value}"'
    for rule in (f"plan = {quoted}", f"attr.city = {quoted}", f"topics has {quoted}", f"channel = {quoted}"):
        assert members(three, rule) <= ({3} if value == "" else set())


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("", "Column 1: the rule ends; expected"),
        ('contry = "ES"', "Column 1: there is no field 'contry'. Did you mean country? Fields: language, zone,"),
        ('plan = "x" and lang = "es"', "Column 16: there is no field 'lang'. Did you mean language?"),
        ('email = "ana@example.net"', "there is no field 'email'"),
        ("plan = ", "Column 7: the rule ends; expected a value in quotes"),
        ("plan = paid", "Column 8: 'paid' does not belong here; expected a value in quotes"),
        ('plan = "paid', "Column 8: '\"' does not belong here"),
        ("1=1", "Column 1: '1' does not belong here"),
        ('plan = "x" -- or more', "Column 12: '-' does not belong here"),
        ('plan = "x" plan', "Column 12: 'plan' does not belong here; expected and or or or the end"),
        ('(plan = "x"', "the rule ends; expected )"),
        ('topics = "korea"', 'Column 1: with topics, write topics has "korea"'),
        ('plan has "x"', 'Column 1: with plan, write plan = "value"'),
        ('joined = "x"', "with joined, write joined within 2 months"),
        ("zone within 2 days", "with zone, write zone ="),
        ('hobby has "x"', "there is no field 'hobby'"),
        ('zone = "Europe/Madird"', "Column 8: there is no time zone 'Europe/Madird': did you mean Europe/Madrid?"),
        ('country = "Spain"', "Column 11: a country is two letters"),
        ("joined within 9999 years", "Column 15: that is before any calendar"),
        ('plan = "x" or ' * 200, "at most 2000 are read"),
        ("not " * 400 + "everyone", "nested more than 20 deep"),
        ('(everyone and plan="x" or ' * 60 + "everyone" + ")" * 60, "nested more than 20 deep"),
        ("(" * 1000, "the rule ends"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_read_says_where_and_what_was_expected(rule, says):
    with pytest.raises(SegmentError) as told:
        compile_rule(rule, now=NOW)
    assert says in str(told.value)
    assert "\n" not in str(told.value)


@given(st.text(alphabet="()=\"'!,. abcdeLANGplaorti%\\\n\x00", max_size=60) | st.text(max_size=40))
def test_any_text_is_compiled_or_refused_in_one_line(text):
    try:
        compile_rule(text, now=NOW)
    except SegmentError as error:
        assert "\n" not in str(error)  # noqa: PT017 - both outcomes are right


# the same people on both databases ----------------------------------------------------------------------------------

texts = st.sampled_from(["es", "en", "ES", "paid", "trial", "Lima", "", "ñ", "%"])
codes = st.sampled_from(["es", "es-MX", "en", "ES-mx", "pt"])
zones = st.sampled_from(["Europe/Madrid", "UTC", "America/Lima"])


def quoted(values):
    return values.map(lambda value: f'"{value}"')


def one_of_field(field, values):
    several = st.lists(quoted(values), min_size=1, max_size=3).map(", ".join)
    return st.one_of(
        quoted(values).map(lambda value: f"{field} = {value}"),
        quoted(values).map(lambda value: f"{field} != {value}"),
        several.map(lambda these: f"{field} in ({these})"),
        several.map(lambda these: f"{field} not in ({these})"),
        st.sampled_from([f"{field} is empty", f"{field} is not empty"]),
    )


predicates = st.one_of(
    one_of_field("language", codes), one_of_field("zone", zones), one_of_field("plan", texts),
    one_of_field("country", st.sampled_from(["ES", "us", "MX"])), one_of_field("attr.city", texts),
    st.sampled_from(["everyone", 'topics has "korea"', 'topics has any ("korea", "vatican")']),
    st.tuples(st.integers(0, 40), st.sampled_from(["hours", "days", "weeks", "months", "years"])).map(
        lambda span: f"joined within {span[0]} {span[1]}"
    ),
)  # fmt: skip
rules = st.recursive(
    predicates,
    lambda inner: st.one_of(
        inner.map(lambda rule: f"not ({rule})"),
        st.lists(inner, min_size=2, max_size=3).map(lambda several: "(" + ") and (".join(several) + ")"),
        st.lists(inner, min_size=2, max_size=3).map(lambda several: "(" + ") or (".join(several) + ")"),
    ),
    max_leaves=6,
)
person = st.fixed_dictionaries(
    {
        "language": codes, "zone": zones, "country": st.sampled_from([None, "ES", "US", "MX"]),
        "plan": st.none() | texts, "attributes": st.just({}) | st.fixed_dictionaries({"city": texts | st.integers(0, 3)}),
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def crowd():
    """Sixty people of every mixture, the same on each database."""
    from random import Random

    dice = Random(6)
    pick = dice.choice
    people = [
        {"language": pick(["es", "es-MX", "en", "ES-mx", "pt"]), "zone": pick(["Europe/Madrid", "UTC", "America/Lima"]),
         "country": pick([None, "ES", "US", "MX"]), "plan": pick([None, "", "es", "paid", "trial", "ñ", "%"]),
         "attributes": pick([{}, {"city": "Lima"}, {"city": ""}, {"city": "ñ"}, {"city": 3}, {"city": None}])}
        for _ in range(60)
    ]  # fmt: skip
    wishes = {
        n: [(topic, pick([1, -1])) for topic in ("korea", "vatican") if pick([True, False])] for n in range(1, 61)
    }
    return people, wishes, {n: NOW - timedelta(hours=dice.randrange(30_000)) for n in range(1, 61)}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rules)
def test_a_rule_and_its_negation_divide_everyone(sqlite_engine, crowd, rule):
    with sqlite_engine.connect() as connection:
        filled = connection.execute(select(func.count()).select_from(PEOPLE)).scalar()
    if not filled:
        fill(sqlite_engine, *crowd)
    inside, outside = members(sqlite_engine, rule), members(sqlite_engine, f"not ({rule})")
    assert inside.isdisjoint(outside)
    assert len(inside | outside) == 60


@pytest.mark.postgres
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rules)
def test_both_databases_find_the_same_people(sqlite_engine, postgres_engine, crowd, rule):
    for engine in (sqlite_engine, postgres_engine):
        with engine.connect() as connection:
            filled = connection.execute(select(func.count()).select_from(PEOPLE)).scalar()
        if not filled:
            fill(engine, *crowd)
    assert members(sqlite_engine, rule) == members(postgres_engine, rule)
