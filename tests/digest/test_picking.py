"""Which stories an edition carries, and why."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digest.picking import pick
from digest.values import Candidate, Rules, Story, Told

NOW = datetime(2025, 3, 6, 6, tzinfo=UTC)
RULES = Rules(section="Global", size=3, minimum=1, topic_cap=2, source_cap=2, diversity=0.0)
SUBJECTS = (
    "ferries",
    "glaciers",
    "bakers",
    "telescopes",
    "herders",
    "miners",
    "pilots",
    "weavers",
    "divers",
    "gardeners",
)


def story(number, *, hours=1.0, topic="", source="", stub=False, headline="", **fields):
    """Stories of a lower number are better; each has an event, a topic and a source of its own unless told otherwise."""
    told = Story(
        guid="", url="", source=source or f"source-{number}", position=number, stub=stub,
        headline=headline or f"{SUBJECTS[number % 10]} {number}", published_at=NOW - timedelta(hours=hours),
        topics=(topic,) if topic else (f"topic-{number}",),
    )  # fmt: skip
    return Candidate(
        **{"id": number, "story": told, "cluster": number, "seen_at": NOW, "page_size": 20, "sources": 5, **fields}
    )


def ids(choices):
    return [choice.id for choice in choices]


def picked(*stories, **rules):
    return pick(stories, replace(RULES, **rules), now=NOW)


def why_not(result):
    return {choice.id: choice.why_not for choice in result.left_out}


def told(share, *, followed_up=True):
    return Told(on=date(2025, 3, 5), headline="Ferries", new_share=share, followed_up=followed_up)


def test_the_best_stories_are_in_and_the_others_hear_what_was_missing():
    result = picked(*(story(number) for number in range(5)))
    assert ids(result.picked) == [0, 1, 2]
    assert ids(result.left_out) == [3, 4]
    last = min(choice.score for choice in result.picked)
    assert why_not(result)[3] == f"score {result.left_out[0].score:.2f}, the lowest one in has {last:.2f}"
    assert result.skip == ""
    assert result.notes == ()


def test_every_picked_story_says_why_in_words_and_numbers():
    lead = story(0, hours=3, topic="middle-east", told_by=tuple("abcdef"))
    (choice, *_) = picked(lead, *(story(number) for number in range(1, 5))).picked
    assert set(choice.reasons) == {
        "6 sources", "3 h old", "lead of the section", "first time here", "source trusted 50 %", "Middle East 1 of 2",
    }  # fmt: skip
    assert choice.topic == "middle-east"
    assert choice.why_not == ""


def test_one_story_tells_each_event_and_a_whole_one_before_a_stub():
    stub, whole, copy = story(0, stub=True), story(1, cluster=0), story(2, cluster=0, copy_of=1)
    result = picked(stub, whole, copy, *(story(number) for number in range(3, 6)))
    assert ids(result.picked) == [1, 3, 4]
    assert why_not(result)[0] == "same event as “glaciers 1”"
    assert why_not(result)[2] == "copy of “glaciers 1”"


def test_a_lesser_telling_of_an_event_that_is_out_says_so():
    stories = [story(number) for number in range(3)]
    result = picked(*stories, story(5), story(6, cluster=5))
    assert why_not(result)[6] == "same event as “miners 5”, which tells it better"


def test_a_topic_and_a_source_have_their_caps():
    europe = [story(number, topic="europe") for number in range(3)]
    wire = [story(number, source="wire") for number in range(3, 7)]
    result = picked(*europe, *wire, story(8), size=6)
    assert ids(result.picked) == [0, 1, 3, 4, 8]
    assert why_not(result) == {
        2: "Europe already has 2 of 2", 5: "wire already has 2 of 2", 6: "wire already has 2 of 2",
    }  # fmt: skip
    assert "Europe 2 of 2" in result.picked[1].reasons


def test_with_no_more_stories_than_places_no_cap_makes_room_for_nobody():
    europe = [story(number, topic="europe", source="wire") for number in range(3)]
    result = picked(*europe, story(3, topic="europe", source="wire", cluster=0), size=4)
    assert ids(result.picked) == [0, 1, 2, 3]
    assert "Europe 3 of 2, there was room" in result.picked[2].reasons
    assert "further story on “ferries 0”" in result.picked[3].reasons


def test_room_is_no_reason_for_a_copy_or_for_another_sources_telling():
    result = picked(story(0), story(1, cluster=0), story(2, source="source-0", cluster=0, copy_of=0), size=4)
    assert ids(result.picked) == [0]
    assert why_not(result) == {1: "same event as “ferries 0”", 2: "copy of “ferries 0”"}


def test_a_lone_source_has_no_cap():
    result = picked(*(story(number, source="own") for number in range(9)), size=8)
    assert len(result.picked) == 8


def test_a_story_older_than_the_window_is_out_and_hears_its_age():
    result = picked(*(story(number) for number in range(3)), story(4, hours=26))
    assert why_not(result) == {4: "26 h old, the window is 24 h"}


def test_too_few_widen_the_window_step_by_step_and_fresh_stories_stay_first():
    result = picked(story(9), story(0, hours=30), story(1, hours=47), story(2, hours=50), minimum=2)
    assert ids(result.picked) == [9, 0]
    assert result.notes == ("1 story of at least 2: the window was widened to 36 h.",)
    assert why_not(result) == {1: "47 h old, the window is 36 h", 2: "50 h old, the window is 36 h"}


def test_still_too_few_lift_the_cap_per_topic_then_per_source_and_only_up_to_the_minimum():
    europe = [story(number, topic="europe", source="wire") for number in range(6)]
    result = picked(*europe, story(7, topic="europe"), size=5, minimum=4, topic_cap=1, source_cap=2)
    assert ids(result.picked) == [0, 1, 7, 2]
    assert [note.partition(": ")[2] for note in result.notes] == [
        "the window was widened to 36 h.", "the window was widened to 48 h.", "the cap per topic was lifted.",
        "the cap per source was lifted.",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("short", "notes", "skip"),
    [("send", "Short: 2 stories of at least 3.", ""), ("skip", None, "Only 2 stories of at least 3 in 48 h.")],
)
def test_too_few_at_the_end_go_out_short_or_skip_the_day(short, notes, skip):
    result = picked(story(0), story(1), minimum=3, short=short)
    assert len(result.picked) == 2
    assert result.skip == skip
    assert notes is None or result.notes[-1] == notes


def test_with_nothing_to_send_the_day_is_skipped_whatever_the_setting():
    assert picked(minimum=3).skip == "No story to send in the last 48 h."


def test_an_event_told_before_is_never_repeated_even_when_the_edition_stays_short():
    result = picked(story(0, told=told(0.12)), story(1, told=told(0.9, followed_up=False)), story(2), minimum=3)
    assert ids(result.picked) == [2]
    assert why_not(result) == {
        0: "told on 5 March, only 12 % new, 40 % wanted", 1: "told on 5 March, no new story since",
    }  # fmt: skip


def test_a_material_update_returns_and_is_called_one():
    result = picked(story(0, told=told(0.62)), story(1), story(2), story(3), size=4)
    (update,) = [choice for choice in result.picked if choice.id == 0]
    assert update.update
    assert update.reasons[0] == "Update: told on 5 March, 62 % new"
    assert sum("5 March" in reason for reason in update.reasons) == 1
    assert not any(choice.update for choice in result.picked if choice.id)


def test_a_story_much_like_one_that_is_in_gives_way_to_another_subject():
    twin = "Ferries return to the northern strait"
    stories = (
        story(0, headline=twin, topic="sea"),
        story(1, headline=twin + " again", topic="sea"),
        story(6),
        story(9),
    )
    result = picked(*stories, size=2, diversity=0.5)
    assert ids(result.picked) == [0, 6]
    assert why_not(result)[1] == f"score {result.left_out[0].score:.2f}, but much like “{twin}”"


def test_equal_scores_go_by_date_then_by_number():
    rules = {"weights": dict.fromkeys(("recency", "coverage", "prominence", "first_time"), 0.0)}
    result = picked(story(4), story(3), story(2, hours=0.5), story(5), **rules)
    assert ids(result.picked) == [2, 3, 4]


def test_with_every_signal_off_nothing_breaks():
    weights = dict.fromkeys(("recency", "coverage", "prominence", "first_time", "trust"), 0.0)
    assert [choice.score for choice in picked(story(0), weights=weights).picked] == [0.0]


tellings = st.builds(told, st.floats(0, 1), followed_up=st.booleans())
anything = st.lists(
    st.builds(
        story, st.integers(0, 40), hours=st.floats(0, 60), topic=st.sampled_from(["", "europe", "asia"]),
        source=st.sampled_from(["a", "b", "c"]), stub=st.booleans(), cluster=st.integers(0, 12), told=st.none() | tellings,
    ),
    max_size=25, unique_by=lambda candidate: candidate.id,
)  # fmt: skip
all_rules = st.builds(
    Rules, section=st.just(""), size=st.integers(1, 8), minimum=st.integers(0, 8), topic_cap=st.integers(1, 3),
    source_cap=st.integers(1, 4), diversity=st.sampled_from([0.0, 0.3, 1.0]), short=st.sampled_from(["send", "skip"]),
)  # fmt: skip


@given(anything, all_rules, st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_the_order_of_the_candidates_changes_nothing(candidates, rules, random):
    shuffled = random.sample(candidates, len(candidates))
    assert pick(shuffled, rules, now=NOW) == pick(candidates, rules, now=NOW)


@given(anything, all_rules)
@settings(max_examples=150, deadline=None)
def test_the_rules_hold_for_any_day(candidates, rules):
    result = pick(candidates, rules, now=NOW)
    by_id = {candidate.id: candidate for candidate in candidates}
    assert sorted(ids(result.picked) + ids(result.left_out)) == sorted(by_id)
    assert len(result.picked) <= rules.size
    assert all(choice.reasons and not choice.why_not for choice in result.picked)
    assert all(choice.why_not for choice in result.left_out)
    assert bool(result.skip) == (
        not result.picked or (rules.short == "skip" and len(result.picked) < min(rules.minimum, rules.size))
    )
    for choice in result.picked:
        before = by_id[choice.id].told
        assert before is None or (choice.update and before.followed_up and before.new_share >= rules.update_share)
        assert all(
            by_id[other.id].story.source == by_id[choice.id].story.source
            for other in result.picked
            if other.cluster == choice.cluster
        )
    assert [choice.score for choice in result.left_out] == sorted((c.score for c in result.left_out), reverse=True)
