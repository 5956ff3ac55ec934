"""Which stories tell the same event."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digest.clusters import LEAD_LENGTH, Telling, carry, crowded, group, lead_of, near_duplicates, new_share

NOW = datetime(2025, 3, 6, 6, tzinfo=UTC)
EVENTS = Path(__file__).resolve().parents[2] / "../shared/data/events"
DAM = (
    ("Dam on the Orla river gives way after a night of rain", "Two villages below the dam were evacuated before dawn."),
    ("Villages evacuated as Orla dam breaks", "The dam on the Orla gave way after heavy rain; nobody was hurt."),
    ("Rain breaks the Orla dam, villages empty", "Some 900 people left two villages below the dam during the night."),
)
OTHERS = (
    ("Chess federation moves its final to Tbilisi", "The hall seats four hundred and is already sold out."),
    ("Bakers ask for cheaper night electricity", "Ovens run from two in the morning, when prices are set to double."),
    ("Observatory loses contact with its oldest satellite", "Launched in 1991, it had outlived its task by a decade."),
    ("Tram line seven returns to the old harbour", "Rails under the asphalt were found to be in perfect order."),
)
WORDS = ("the", "dam", "on", "river", "broke", "at", "night", "and", "two", "villages", "left")
words_of_a_text = st.lists(st.sampled_from(WORDS), max_size=12)


def told(pairs, at=None):
    return [Telling(headline=headline, lead=lead, at=at) for headline, lead in pairs]


def partition(labels, order):
    groups = {}
    for place, label in zip(order, labels, strict=True):
        groups.setdefault(label, set()).add(place)
    return {frozenset(members) for members in groups.values()}


def test_tellings_of_one_event_share_a_group_and_others_stand_alone():
    assert group(told(DAM + OTHERS)) == [0, 0, 0, 3, 4, 5, 6]


@given(st.permutations(range(len(DAM + OTHERS))))
@settings(max_examples=25, deadline=None)
def test_the_order_of_the_stories_does_not_change_the_events(order):
    stories = told(DAM + OTHERS)
    labels = group([stories[place] for place in order])
    assert partition(labels, order) == {frozenset({0, 1, 2}), *(frozenset({place}) for place in (3, 4, 5, 6))}


@pytest.mark.parametrize("texts", [[], [""], ["", ""], ["...", "?!", "—"]])
def test_stories_without_words_stand_alone(texts):
    assert group([Telling(headline=text) for text in texts]) == list(range(len(texts)))
    assert near_duplicates(texts) == list(range(len(texts)))


def test_a_single_story_costs_no_import_of_scikit_learn():
    code = (
        "import sys; from digest.clusters import Telling, group; group([Telling(headline='One alone')]);"
        "sys.exit('sklearn' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_two_days_of_a_series_are_two_events_unless_their_leads_are_alike():
    first = ("Day 312 of the strike: what we know", "Dockers blocked the southern gate and let food lorries pass.")
    second = ("Day 313 of the strike: what we know", "A mediator from the capital met both sides over breakfast.")
    same = ("Day 313 of the strike: what we know", "Dockers blocked the southern gate and let only food lorries pass.")
    assert group(told((first, second))) == [0, 1]
    assert group(told((first, same))) == [0, 0]


def test_a_toll_that_rises_is_still_the_same_event():
    before = ("Landslide near Tovar kills 12", "Rescue teams dig for survivors under a collapsed school near Tovar.")
    after = ("Landslide near Tovar kills 15", "Rescue teams found three more bodies under the school near Tovar.")
    assert group(told((before, after))) == [0, 0]


def test_the_same_words_a_week_apart_are_two_events_and_a_day_apart_are_one():
    early = told(DAM[:1], at=NOW)
    assert group([*early, *told(DAM[1:2], at=NOW + timedelta(hours=24))]) == [0, 0]
    assert group([*early, *told(DAM[:1], at=NOW + timedelta(days=8))]) == [0, 1]


def test_no_story_in_between_joins_two_that_are_more_than_a_week_apart():
    tellings = [told(DAM[:1], at=NOW + timedelta(days=day))[0] for day in (0, 4, 8)]
    labels = group(tellings)
    assert labels[0] != labels[2]


def test_a_story_without_a_time_is_kept_from_nothing():
    assert group([*told(DAM[:1], at=NOW), *told(DAM[1:2])]) == [0, 0]


def test_a_cut_or_datelined_copy_is_a_near_duplicate_and_another_telling_is_not():
    whole = "The council voted eleven to four to reopen the canal for freight, ending a ban that began in 1974. " * 2
    text = whole + "Barges of up to six hundred tonnes may pass from April, and night passage stays forbidden."
    copies = [text, "LUMEN, 6 March (Wire) - " + text, text[: len(text) * 3 // 5]]
    other = "Freight returns to the canal after half a century: councillors ended the ban on a clear vote last night."
    assert near_duplicates([*copies, other]) == [0, 0, 0, 3]


@given(words_of_a_text, words_of_a_text)
def test_the_new_share_is_a_share_and_nothing_is_new_against_itself(old, new):
    old, new = " ".join(old), " ".join(new)
    assert 0 <= new_share(old, new) <= 1
    assert new_share(new, new) == 0
    assert new_share(old + " " + new, new) == 0 or len(new.split()) < 3


def test_the_new_share_counts_runs_of_three_words():
    assert new_share("one two three four", "one two three four five six") == 0.5
    assert new_share("one two three", "four five six seven") == 1


def test_an_event_that_swallows_the_window_is_reported_in_words():
    assert crowded([0] * 50) == ""
    assert crowded([0] * 6 + list(range(6, 61))) == ""
    assert "7 of 62 stories" in crowded([0] * 7 + list(range(7, 62)))


def test_an_event_keeps_its_id_when_it_grows_and_a_new_one_gets_none():
    assert carry({0: [7, 7, None], 3: [None], 4: [9]}) == {0: 7, 4: 9}


def test_when_an_event_splits_the_larger_part_keeps_the_id_and_in_doubt_the_earlier_one():
    assert carry({0: [7], 1: [7, 7]}) == {1: 7}
    assert carry({0: [None, 7], 2: [7, None]}) == {2: 7}


def test_when_events_merge_the_one_with_more_stories_gives_its_id():
    assert carry({0: [3, 8, 8]}) == {0: 8}


ids = st.lists(st.one_of(st.none(), st.integers(1, 5)), min_size=1, max_size=6)


@given(st.dictionaries(st.integers(0, 9), ids, max_size=6))
def test_no_id_is_handed_to_two_events_and_each_had_it_among_its_stories(groups):
    carried = carry(groups)
    assert len(set(carried.values())) == len(carried)
    assert all(lasting in groups[label] for label, lasting in carried.items())
    orphaned = {lasting for members in groups.values() for lasting in members} - {None} - set(carried.values())
    for label in set(groups) - set(carried):
        assert not orphaned & set(groups[label])


@given(st.text(max_size=900), st.text(max_size=900))
def test_a_lead_is_the_beginning_of_teaser_and_body(teaser, body):
    lead = lead_of(teaser, body)
    assert len(lead) <= LEAD_LENGTH
    assert f"{teaser} {body}".strip().startswith(lead)


@pytest.mark.skipif(not EVENTS.exists(), reason="the labelled news is not beside this checkout")
def test_labelled_news_among_2500_unrelated_stories_is_grouped_as_people_did():
    from tests.bench.clusters import bcubed, labelled, unrelated

    articles = [json.loads(line) for line in (EVENTS / "g5-dev.jsonl").read_text(encoding="utf-8").splitlines()]
    labels = group([*labelled(EVENTS), *unrelated(EVENTS, 2500)])
    assert bcubed(labels, [article["event_id"] for article in articles]) >= 0.95
