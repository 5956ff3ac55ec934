"""A rule in plain words: what each clause says, how deep it lies, and that its count is its own."""

import pytest
from sqlalchemy import select

from subscribers.plain_words import clauses, shared_draws
from subscribers.segments import Names, SegmentError, compile_rule
from tests.crowd import DIGESTS, NOW, PEOPLE, any_crowd, fill

NAMES = Names(segments={"quiet readers": "tracked and not opened within 90 days"}, digests=DIGESTS, personal=True)


def told(rule):
    return [(clause.depth, clause.words) for clause in clauses(rule, now=NOW, names=NAMES)]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("everyone", "everyone"),
        ("not everyone", "nobody"),
        ('language = "es"', "language is es (regions too)"),
        ('country in ("ES", "PT")', "country is ES or PT"),
        ('country not in ("ES", "PT", "US")', "country is not ES, PT or US"),
        ('not country = "ES"', "country is not ES"),
        ('not (country != "ES")', "country is ES"),
        ('plan = "very special"', 'plan is "very special"'),
        ("plan is empty", "plan is not given"),
        ("plan is not empty", "plan is given"),
        ("not plan is empty", "plan is given"),
        ('channel = "push"', "reads something by push"),
        ('channel != "push"', "reads nothing by push"),
        ('reads any ("global", "sport")', "reads global or sport"),
        ('not reads "global"', "does not read global"),
        ('topics has any ("korea", "eu")', "wants more of korea or eu"),
        ('not topics has "korea"', "does not want more of korea"),
        ("attr.score >= 0.9", "attr.score is 0.9 or more"),
        ("attr.score > 1", "attr.score is more than 1"),
        ("not attr.score < 1", "attr.score is not less than 1"),
        ("attr.score != 1", "attr.score is not 1"),
        ("attr.renews <= 2026-01-31", "attr.renews is on 2026-01-31 or earlier"),
        ("attr.renews = 2026-01-31", "attr.renews is on 2026-01-31"),
        ('attr.x in ("a", 3)', "attr.x is a or 3"),
        ("joined within 2 months", "joined since 2026-01-31 12:00 UTC (2 months)"),
        ("joined < 2026-01-31", "joined before 2026-01-31"),
        ("joined != 2026-01-31", "did not join on 2026-01-31"),
        ("tracked", "agreed to tracking"),
        ("opened", "opened an edition"),
        ("not opened", "is not known to have opened an edition"),
        ("opened within 30 days", "opened an edition since 2026-03-01 (30 days)"),
        ("clicked at least 1 times", "clicked a link at least 1 time"),
        ("clicked at least 2 times within 8 weeks", "clicked a link at least 2 times since 2026-02-03 (8 weeks)"),
        ("never opened", "agreed to tracking and never opened an edition"),
        ("not never opened", "did not agree to tracking or opened an edition"),
        ('segment("quiet readers")', 'is in the segment "quiet readers"'),
        ("sample 10 percent", "is among the 10 percent drawn"),
        ('not sample 10 percent for "a b"', 'is not among the 10 percent drawn for "a b"'),
    ],
)
def test_each_condition_has_its_words(rule, words):
    assert told(rule) == [(0, words)]


def test_groups_have_a_head_and_their_parts_lie_deeper():
    rule = 'plan = "a" and (not (opened or (clicked and tracked)) or not (plan = "b" and not plan = "c"))'
    assert told(rule) == [
        (0, "all of these:"),
        (1, "plan is a"),
        (1, "any of these:"),
        (2, "none of these:"),
        (3, "opened an edition"),
        (3, "all of these:"),
        (4, "clicked a link"),
        (4, "agreed to tracking"),
        (2, "not all of these:"),
        (3, "plan is b"),
        (3, "plan is not c"),
    ]


def test_each_clause_has_its_own_text_and_its_own_readers(sqlite_engine):
    fill(sqlite_engine, any_crowd(3, 60))
    rule = 'country = "ES" and not (opened or topics has "korea") or plan is empty'
    found = clauses(rule, now=NOW, names=NAMES)
    assert found[0].rule == rule
    assert [clause.rule for clause in found[3:5]] == ['not (opened or topics has "korea")', "opened"]
    with sqlite_engine.connect() as connection:
        for clause in found:
            own, alone = clause.condition, compile_rule(clause.rule, now=NOW, names=NAMES)
            ours, theirs = (set(connection.execute(select(PEOPLE.c.id).where(one)).scalars()) for one in (own, alone))
            assert ours == theirs
            assert 0 < len(ours) < 60


def test_a_rule_that_cannot_be_read_cannot_be_explained():
    with pytest.raises(SegmentError, match="Column 16: there is no field 'foo'"):
        clauses('plan = "a" and foo = "b"', now=NOW, names=NAMES)


def test_samples_of_one_draw_in_several_rules_are_noticed():
    saved = {
        "tenth": "sample 10 percent",
        "other": 'sample 10 percent for "other"',
        "mixed": 'segment("tenth", "other")',
    }
    names = Names(segments=saved)
    assert shared_draws('segment("tenth") and sample 50 percent', names) == {""}
    assert shared_draws('segment("mixed") and sample 5 percent for "other"', names) == {"other"}
    assert shared_draws('segment("tenth") and sample 50 percent for "half"', names) == set()
    assert shared_draws("sample 50 percent and not sample 10 percent", names) == set()
