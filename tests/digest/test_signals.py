"""What each signal says of a story, and in which words."""

import itertools
from datetime import UTC, date, datetime, timedelta

import pytest

from digest.signals import coverage, first_time, prominence, recency, trust
from digest.values import Candidate, Rules, Story, Told

NOW = datetime(2025, 3, 6, 6, tzinfo=UTC)
RULES = Rules(section="Global", half_life_hours=10)


def candidate(*, published_at=NOW, position=0, **fields):
    story = Story(
        guid="", source="wire", headline="Ferries return", url="", published_at=published_at, position=position
    )
    return Candidate(**{"id": 1, "story": story, "cluster": 1, "seen_at": NOW, **fields})


def said(signal, **fields):
    score = signal.score(candidate(**fields), now=NOW, rules=RULES)
    return round(score.value, 3), score.reason


@pytest.mark.parametrize(
    ("hours", "value", "reason"),
    [
        (0, 1.0, "0 min old"), (0.5, 0.966, "30 min old"), (10, 0.5, "10 h old"), (20, 0.25, "20 h old"),
        (96, 0.001, "4 days old"), (-1, 1.0, "0 min old"),
    ],
)  # fmt: skip
def test_a_story_loses_half_its_freshness_with_every_half_life(hours, value, reason):
    assert said(recency, published_at=NOW - timedelta(hours=hours)) == (value, reason)


def test_an_undated_story_counts_from_when_it_was_met_and_says_so():
    assert said(recency, published_at=None, seen_at=NOW - timedelta(hours=10)) == (0.5, "undated, met 10 h ago")


@pytest.mark.parametrize(
    ("position", "size", "value", "reason"),
    [
        (0, 8, 1.0, "lead of the section"), (4, 8, 0.5, "place 5 of 8 on its page"),
        (7, 8, 0.125, "place 8 of 8 on its page"), (0, 1, 0.5, "alone on its page"), (9, 1, 0.1, "place 10 of 10 on its page"),
    ],
)  # fmt: skip
def test_prominence_falls_evenly_down_the_page(position, size, value, reason):
    assert said(prominence, position=position, page_size=size) == (value, reason)


def test_coverage_grows_with_every_source_but_ever_less():
    values = [said(coverage, told_by=tuple(map(str, range(count))), sources=9)[0] for count in range(1, 9)]
    steps = [later - earlier for earlier, later in itertools.pairwise(values)]
    assert values[-1] == 1.0
    assert all(later < earlier for earlier, later in itertools.pairwise(steps))


def test_a_follow_up_and_a_copy_count_a_fifth_of_a_source():
    six = tuple("abcdef")
    assert said(coverage, told_by=six, sources=9)[1] == "6 sources"
    assert said(coverage, told_by=six, sources=9, follow_ups=1)[1] == "6 sources, 1 follow-up"
    five_echoes = said(coverage, told_by=("a",), sources=9, follow_ups=2, copies=3)
    assert five_echoes == (said(coverage, told_by=("a", "b"), sources=9)[0], "1 source, 2 follow-ups, 3 copies")


def test_where_the_house_reads_one_source_coverage_is_neutral_and_follow_ups_still_speak():
    assert said(coverage, told_by=("a",)) == (0.5, "")
    assert said(coverage, told_by=("a",), follow_ups=2) == (0.7, "2 follow-ups")
    assert said(coverage, told_by=("a",), follow_ups=40)[0] == 1.0


@pytest.mark.parametrize(("given", "value"), [(0.8, 0.8), (-1, 0.0), (7, 1.0)])
def test_trust_is_the_sources_own_and_stays_a_share(given, value):
    assert said(trust, trust=given) == (value, f"source trusted {value * 100:.0f} %")


def test_what_was_told_before_counts_by_what_is_new_in_it():
    told = Told(on=date(2025, 3, 5), headline="Ferries to return", new_share=0.62, followed_up=True)
    assert said(first_time) == (1.0, "first time here")
    assert said(first_time, told=told) == (0.62, "told on 5 March, 62 % new")
