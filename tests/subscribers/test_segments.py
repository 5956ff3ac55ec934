"""The segment language: what it says, how it refuses, and that nothing of a rule's text becomes SQL."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite

from subscribers.grammar import LONGEST, references
from subscribers.plain_words import clauses
from subscribers.segments import Names, SegmentError, TrackingError, compile_rule, counted
from tests.crowd import DIGESTS, NOW, PEOPLE, Reader, any_crowd, fill, members

SAVED = {
    "spain": 'country = "ES"',
    "quiet readers": "tracked and not opened within 30 days",
    "quiet in spain": 'segment("spain") and segment("quiet readers")',
}
NAMES = Names(segments=SAVED, digests=DIGESTS, personal=True)
ANA = Reader(
    language="es",
    zone="Europe/Madrid",
    country="ES",
    plan="paid",
    attributes={"city": "Lima", "score": "0.95", "renews": "2026-04-01"},
    joined=datetime(2026, 2, 1, tzinfo=UTC),
    tracked=True,
    topics={"korea": 1, "vatican": -1},
    wishes={("global", "email"): "active", ("sport", "push"): "left"},
    deeds={("opened", date(2026, 3, 1)): 2, ("clicked", date(2026, 2, 10)): 1, ("clicked", date(2026, 3, 30)): 1},
)
BEN = Reader(
    zone="America/New_York",
    country="US",
    attributes={"score": 0.5, "visits": 3, "vip": True, "renews": "2025-12-31T23:00:00"},
    joined=datetime(2026, 2, 28, 12, tzinfo=UTC),
    tracked=True,
    topics={"vatican": 1, "latin-america": 1},
    wishes={("sport", "push"): "paused"},
)
CLEO = Reader(
    language="es-MX",
    zone="America/Mexico_City",
    plan="trial",
    attributes={"city": "", "score": "very high"},
    joined=datetime(2025, 1, 1, tzinfo=UTC),
)


@pytest.fixture
def three(engine):
    fill(engine, [ANA, BEN, CLEO])
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
        ('country in any ("ES", "US")', {1, 2}),
        ('plan = "paid" or plan = "trial"', {1, 3}),
        ('not (plan = "paid")', {2, 3}),
        ('not plan in ("paid", "trial")', {2}),
        ("plan is empty", {2}),
        ("country is not empty", {1, 2}),
        ('channel = "email"', {1}),
        ('channel = "push"', {2}),
        ('channel != "push"', {1, 3}),
        ('channel in ("email", "push")', {1, 2}),
        ('reads "global"', {1}),
        ('reads "sport"', {2}),
        ('reads any ("global", "sport")', {1, 2}),
        ('not reads any ("global", "sport")', {3}),
        ('topics has "korea"', {1}),
        ('topics has "vatican"', {2}),
        ('topics has "Latin America"', {2}),
        ('topics has any ("korea", "Vatican")', {1, 2}),
        ('not topics has "korea"', {2, 3}),
        ('attr.city = "Lima"', {1}),
        ('not attr.city = "Lima"', {2, 3}),
        ("attr.city is empty", {2, 3}),
        ("attr.visits is not empty", {2}),
        ("attr.score >= 0.9", {1}),
        ("attr.score > 0.95", set()),
        ("attr.score < 0.95", {2}),
        ("attr.score = 0.5", {2}),
        ("attr.score != 0.5", {1, 3}),
        ("attr.score in (0.5, 0.95)", {1, 2}),
        ("not attr.score <= 0.5", {1, 3}),
        ('attr.score = "0.5"', set()),
        ('attr.score = "very high"', {3}),
        ("attr.vip = 1", {2}),
        ("attr.renews > 2026-01-31", {1}),
        ("attr.renews <= 2025-12-31", {2}),
        ("attr.renews = 2026-04-01", {1}),
        ("joined within 1 month", {2}),
        ("joined within 2 months", {1, 2}),
        ("joined within 744 hours", {2}),
        ("joined within 8 weeks", {2}),
        ("joined within 10 years", {1, 2, 3}),
        ("joined = 2026-02-28", {2}),
        ("joined >= 2026-02-28", {2}),
        ("joined > 2026-02-28", set()),
        ("joined <= 2026-02-01", {1, 3}),
        ("joined < 2026-02-01", {3}),
        ("joined != 2026-02-01", {2, 3}),
        ("joined > 2024-12-31", {1, 2, 3}),
        ("joined <= 2024-12-31", set()),
        ("tracked", {1, 2}),
        ("opened", {1}),
        ("not opened", {2, 3}),
        ("never opened", {2}),
        ("not never opened", {1, 3}),
        ("opened within 30 days", {1}),
        ("opened within 29 days", set()),
        ("clicked at least 2 times", {1}),
        ("clicked at least 2 times within 8 weeks", {1}),
        ("clicked at least 2 times within 30 days", set()),
        ("opened at least 2 times within 8 weeks", {1}),
        ("opened at least 3 times within 8 weeks", set()),
        ('segment("spain")', {1}),
        ('not segment("spain")', {2, 3}),
        ('segment("spain", "quiet readers")', {1, 2}),
        ('segment("quiet in spain")', set()),
        ("sample 100 percent", {1, 2, 3}),
        ('LANGUAGE = "es" AND NOT (plan = "trial" OR country = "US")', {1}),
        ('language = "en" or language = "es" and plan = "paid"', {1, 2}),
        ('(language = "en" or language = "es") and plan = "paid"', {1}),
        ('  plan\n=\t"paid"  ', {1}),
    ],
)
def test_a_rule_finds_its_people(three, rule, who):
    assert members(three, rule, names=NAMES) == who


def test_a_month_is_counted_by_the_calendar(three):
    assert members(three, "joined within 1 month", now=datetime(2026, 3, 28, 12, tzinfo=UTC), names=NAMES) == {2}
    assert members(three, "joined within 1 month", now=datetime(2026, 3, 28, 13, tzinfo=UTC), names=NAMES) == set()


def test_the_same_rule_asks_of_an_audience_what_it_asks_of_everyone(three):
    """The audience joins the subscription table, which some rules ask too: the two must not be taken for one."""
    from subscribers.audience import audience

    rule = compile_rule('reads "sport" and channel = "push"', now=NOW, names=NAMES)
    with three.begin() as connection:
        connection.execute(PEOPLE.metadata.tables["subscription"].update().values(state="active"))
        asked = connection.execute(audience(1, "email").where(rule)).all()
    assert [row.subscriber_id for row in asked] == [1]


def test_many_rules_are_counted_in_one_pass(three):
    conditions = [compile_rule(rule, now=NOW, names=NAMES) for rule in ("everyone", "opened", 'country = "ES"')]
    with three.connect() as connection:
        assert tuple(connection.execute(counted(*conditions)).one()) == (3, 1, 1)
        assert tuple(connection.execute(counted(conditions[2])).one()) == (1,)


# refusals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("", "Column 1: the rule ends; expected a condition."),
        ('contry = "ES"', "Column 1: there is no field 'contry'. Did you mean country? Fields: language, zone,"),
        ('plan = "x" and lang = "es"', "Column 16: there is no field 'lang'. Did you mean language?"),
        ('email = "ana@example.net"', "there is no field 'email'"),
        ('digest = "global"', 'Did you mean reads "global"?'),
        ("opend within 3 days", "Column 1: there is no field 'opend'. Did you mean opened?"),
        ("foo bar", "Column 1: there is no field 'foo'."),
        ("attr. = 3", "there is no field 'attr.'"),
        ("plan = ", "Column 7: the rule ends; expected a value in quotes, a number or a date"),
        ("plan = paid", "Column 8: 'paid' does not belong here; expected a value in quotes"),
        ("plan = 3", 'Column 8: write it in quotes: "3".'),
        ('plan = "paid', "Column 8: the quote opened here is not closed"),
        ("plan = “paid”", 'Column 8: \'“\' does not belong here (write straight quotes: ")'),
        (f'plan = "{"a" * 201}"', "Column 8: a value has at most 200 characters"),
        ('plan >= "a"', 'Column 1: with plan, write plan = "paid" or plan in'),
        ("plan", "Column 1: with plan, write plan ="),
        ("1=1", "Column 1: '1' does not belong here; expected a condition"),
        ('plan = "x" -- or more', "Column 12: '-' does not belong here; expected \"and\", \"or\" or the end."),
        ('plan = "x" plan', "Column 12: 'plan' does not belong here; expected \"and\", \"or\" or the end."),
        ('(plan = "x"', 'Column 12: the rule ends; expected ")", "and" or "or".'),
        ('country in ("ES" and plan = "x"', 'Column 18: \'and\' does not belong here; expected ")" or ",".'),
        ("country in (" + "'ES', " * 200 + "'ES')", "Column 1213: there are more than 200 values"),
        ('topics = "korea"', 'Column 1: with topics, write topics has "korea"'),
        ('plan has "x"', 'Column 1: with plan, write plan = "paid"'),
        ('joined = "x"', "with joined, write joined within 2 months or joined >= 2026-01-31"),
        ("joined >= 2026-02-30", "Column 11: 2026-02-30 is no date; write it as 2026-01-31"),
        ("joined >= 2026-2-3", "Column 11: 2026-2-3 is no date"),
        ("joined > 9999-12-31", "Column 10: that is after any calendar"),
        ("joined is empty", "with joined, write joined within"),
        ("zone within 2 days", "with zone, write zone ="),
        ('hobby has "x"', "there is no field 'hobby'"),
        ('attr.city >= "Lima"', 'Column 1: with attr.city, write attr.city = "Lima", attr.score >= 0.9'),
        (f"attr.n = {'1' * 16}", "Column 10: a number has at most 15 digits"),
        ('zone = "Europe/Madird"', "Column 8: there is no time zone 'Europe/Madird': did you mean Europe/Madrid?"),
        ('country = "Spain"', "Column 11: a country is two letters"),
        ('language = "Spanish!"', 'Column 12: a language is a code such as "es"'),
        ('channel = "sms"', "Column 11: 'sms' is no channel: use email or push"),
        ('channel has "push"', 'with channel, write channel = "push"'),
        ('reads "globl"', "Column 7: there is no digest 'globl'. Did you mean \"global\"? There are: \"global\", \"sport\"."),
        ('segment("quiet reader")', "Column 9: there is no saved segment 'quiet reader'. Did you mean \"quiet readers\"?"),
        ('segment "spain"', 'Column 9: \'"spain"\' does not belong here; expected "(".'),
        ("joined within 9999 years", "Column 15: that is before any calendar"),
        ("joined within 99999 days", "Column 15: 99999 is not a whole number of at most 9999"),
        ("joined within 2.5 days", "Column 15: 2.5 is not a whole number"),
        ("opened within 12 hours", "Column 18: opens and clicks are counted by the day"),
        ("opened at least 0 times", "Column 17: use 1 or more times"),
        ("opened at", 'Column 10: the rule ends; expected "least"'),
        ("never opend", "Column 7: 'opend' does not belong here; expected opened or clicked"),
        ("sample 0 percent", "Column 8: a sample is more than 0 and at most 100 percent"),
        ("sample 101 percent", "at most 100 percent"),
        ("sample -5 percent", "more than 0"),
        ('plan = "a\x00b"', "Column 10: U+0000 is no character of a text"),
        ('plan = "\ud800"', "Column 9: U+D800 is no character of a text"),
        ('plan = "x" or ' * 200, f"at most {LONGEST} are read"),
        ("not " * 400 + "everyone", "nested more than 20 deep"),
        ('(everyone and plan="x" or ' * 60 + "everyone" + ")" * 60, "nested more than 20 deep"),
        ("(" * 900 + "everyone" + ")" * 900, "nested more than 20 deep"),
        ("(" * 1000, "the rule ends"),
        ("(" * 10_000 + "everyone" + ")" * 10_000, "at most 2000 are read"),
        ('plan = "x"\n  and foo = 2', "Line 2, column 7: there is no field 'foo'"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_read_says_where_and_what_was_expected(rule, says):
    with pytest.raises(SegmentError) as told:
        compile_rule(rule, now=NOW, names=NAMES)
    assert says in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "rule", ["opened", "clicked within 3 days", "never opened", "opened at least 2 times", "tracked"]
)
def test_words_on_opens_and_clicks_are_refused_unless_tracking_is_personal(rule):
    compile_rule(rule, now=NOW, names=NAMES)
    with pytest.raises(TrackingError, match=r"Column \d+: .*tracking is not personal. Set DIGEST_TRACKING=personal"):
        compile_rule(rule, now=NOW, names=replace(NAMES, personal=False))


def test_an_error_in_a_saved_segment_names_it_and_its_own_place():
    names = Names(segments={"old": 'plan = "x" and hobby = "chess"', "outer": 'segment("old")'})
    with pytest.raises(SegmentError, match=r'^In segment "old": Column 16: there is no field') as told:
        compile_rule('plan = "y" or segment("outer")', now=NOW, names=names)
    assert (told.value.segment, told.value.column) == ("old", 16)
    assert told.value.rule == names.segments["old"]


def ring(*order):
    return Names(
        segments={one: f'segment("{other}")' for one, other in zip(order, (*order[1:], order[0]), strict=True)}
    )


def test_segments_in_a_ring_are_refused_with_the_way_round():
    with pytest.raises(SegmentError, match='a segment cannot ask for itself: "a" → "b" → "c" → "a"'):
        compile_rule('segment("a")', now=NOW, names=ring("a", "b", "c"))
    with pytest.raises(SegmentError, match='"a" → "b" → "c" → "a"'):
        compile_rule('segment("b")', now=NOW, names=ring("a", "b", "c"), name="a")


def test_segments_lie_five_deep_in_each_other_and_no_deeper():
    chain = {f"s{n}": f'segment("s{n + 1}")' for n in range(1, 6)} | {"s6": "everyone"}
    compile_rule('segment("s2")', now=NOW, names=Names(segments=chain))
    with pytest.raises(SegmentError, match=r'at most 5 deep in each other: "s1" → .* → "s6"'):
        compile_rule('segment("s1")', now=NOW, names=Names(segments=chain))


def test_segments_that_multiply_are_stopped():
    """Each asks four times for the next: a thousand conditions from a few words."""
    wide = {f"s{n}": f'segment("s{n + 1}", "s{n + 1}", "s{n + 1}", "s{n + 1}")' for n in range(1, 5)}
    with pytest.raises(SegmentError, match="more than 500 conditions and values"):
        compile_rule('segment("s1")', now=NOW, names=Names(segments={**wide, "s5": 'plan = "x"'}))


def test_a_rule_as_wide_as_allowed_runs_on_both_databases(three):
    wide = " or ".join(["opened"] * 180)
    assert members(three, wide, names=NAMES) == {1}
    halves = Names(segments={"a": wide, "b": wide}, personal=True)
    assert members(three, 'segment("a") or segment("b")', names=halves) == {1}


def test_the_segments_a_rule_asks_for_are_known_by_name():
    assert references('segment("a", "b") and not (plan = "c" or segment(\'d e\'))') == {"a", "b", "d e"}
    assert references("segment(") == set()


# nothing of the text becomes SQL --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["'; DROP TABLE subscriber; --", "%", "_", "E%", "\\", "x' OR '1'='1", "\u0130", "a" * 200, "\u2028", "", "%s", ":x", "{}"]
)  # fmt: skip
def test_every_value_is_bound_and_no_sign_is_special(three, value):
    quoted = f'"{value}"'
    for rule in (f"plan = {quoted}", f"attr.city = {quoted}", f"topics has {quoted}", f"plan in ({quoted}, 'nobody')"):
        assert members(three, rule, names=NAMES) <= ({3} if value == "" else set())


EVERY_FORM = """
everyone
not everyone
everyone and not everyone or language = "es-MX" and language in ("es", "pt") and zone = "UTC" and country != "ES"
plan not in ("a", "b") and plan is empty or channel = "push" or reads any ("global", "sport") and topics has any ("a", "b")
attr.a = "x" or attr.a in ("x", "y") or attr.a >= 0.9 or attr.a < 3 or attr.a = 2026-01-31 or attr.a is empty
attr.a > 2026-01-31 or attr.a >= 2026-01-31 or attr.a < 2026-01-31 or attr.a <= 2026-01-31
joined within 2 months or joined = 2026-01-31 or joined < 2026-01-31 or joined >= 2026-01-31
tracked or opened or clicked within 3 days or never opened or opened at least 2 times within 8 weeks
segment("spain") and sample 10 percent for "x"
""".strip().splitlines()

CONDITIONS = [part for line in EVERY_FORM for part in re.split(" and | or ", line)]


def sql_of(condition, dialect):
    """The statement's text without its parameters' names, and without the numbers that tell its columns apart."""
    written = str(select(func.count()).where(condition).compile(dialect=dialect))
    return re.sub(r"_\d+\b", "_1", re.sub(r"%\(\w+?\)s|__\[POSTCOMPILE_\w+\]", "?", written))


def words_of(sql):
    return set(re.findall(r"'(?:[^']|'')*'|\w+|[^\w\s]", sql))


DIALECTS = (sqlite.dialect(), postgresql.dialect())
VOCABULARY = {
    dialect.name: set().union(
        *[
            words_of(sql_of(compile_rule(rule, now=NOW, names=NAMES), dialect))
            for rule in (*EVERY_FORM, *CONDITIONS, *[f"not ({condition})" for condition in CONDITIONS])
        ]
    )
    for dialect in DIALECTS
}


def refusal(text):
    """Why the text is no rule; None where it is one."""
    try:
        compile_rule(text, now=NOW, names=NAMES)
    except SegmentError as error:
        return error
    return None


def demand_read_or_refused(text):
    """The rule makes SQL of our own words alone, and can be put in plain words; or it is refused in one line."""
    if error := refusal(text):
        assert "\n" not in str(error)
        assert 0 <= (error.at or 0) <= len(text)
        return
    condition = compile_rule(text, now=NOW, names=NAMES)
    for dialect in DIALECTS:
        assert words_of(sql_of(condition, dialect)) <= VOCABULARY[dialect.name]
    assert all(clause.words and clause.rule in text for clause in clauses(text, now=NOW, names=NAMES))


ALPHABET = "()=\"'!,.%<>- \n\x00\\:;{}abcdeLANGplaorti0129é“"


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=ALPHABET, max_size=60) | st.text(max_size=40))
def test_any_text_is_read_or_refused(text):
    demand_read_or_refused(text)


WORDS = """
and or not in is empty has any within at least times never percent for everyone tracked opened clicked reads segment
sample day weeks month = != >= < ( ) , "ES" 'x' "global" "spain" 2026-01-31 2026-99-99 3 -1 0.5 99999999999999999999
language country plan channel topics joined attr.a attr.NAME zone ( ( ) )
"""


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(WORDS.split()), max_size=25).map(" ".join))
def test_any_row_of_words_is_read_or_refused(text):
    demand_read_or_refused(text)


SPLINTERS = ("'", '"', "'; DROP TABLE subscriber; --", "/*", "--", "%s", "%(x)s", ":x", "$1", "?", "{}", "\x00", "\\", "\ud800", "(" * 50, ")" * 50, "not ", "é", "٣", "\u2028", "0" * 30)  # fmt: skip


@st.composite
def mutated(draw):
    """A rule of a few conditions in which a word was put for another, or a splinter driven into the text."""
    text = " and ".join(draw(st.lists(st.sampled_from(CONDITIONS), min_size=1, max_size=3)))
    for _ in range(draw(st.integers(1, 2))):
        if draw(st.booleans()):
            tokens = re.split(r"(\s+|[(),])", text)
            tokens[draw(st.integers(0, len(tokens) - 1))] = draw(st.sampled_from(WORDS.split()))
            text = "".join(tokens)
        else:
            start, length = draw(st.integers(0, len(text))), draw(st.integers(0, 6))
            text = text[:start] + draw(st.sampled_from(SPLINTERS) | st.text(max_size=3)) + text[start + length :]
    return text


@settings(max_examples=500, deadline=None)
@given(mutated())
def test_any_rule_that_was_tampered_with_is_read_or_refused(text):
    demand_read_or_refused(text)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(exclude_characters='"', exclude_categories=["Cc", "Cs"]), max_size=40))
def test_whatever_the_value_the_sql_is_the_same(value):
    for shape in ('plan = "{}"', 'attr.city in ("{}", "y")', 'topics has "{}"', 'sample 5 percent for "{}"'):
        one, other = (compile_rule(shape.replace("{}", text), now=NOW, names=NAMES) for text in (value, "x"))
        assert [sql_of(one, dialect) for dialect in DIALECTS] == [sql_of(other, dialect) for dialect in DIALECTS]


def test_what_is_read_also_runs(sqlite_engine):
    """Deep, wide and odd rules, each run on a database: what SQLite cannot take must have been refused before."""
    fill(sqlite_engine, any_crowd(1, 20))
    for rule in [
        *EVERY_FORM,
        "(" * 9 + "opened" + ")" * 9,
        "not " * 17 + "everyone",
        'plan in ("x"' + ', "x"' * 199 + ")",
    ]:
        inside, outside = (members(sqlite_engine, text, names=NAMES) for text in (rule, f"not ({rule})"))
        assert inside | outside == set(range(1, 21))
        assert inside.isdisjoint(outside)
