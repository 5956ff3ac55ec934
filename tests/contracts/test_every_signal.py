"""What every file in digest/signals must keep to; a new one is found by itself."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digest.parts import load_part, part_names
from digest.picking import pick
from digest.values import DEFAULT_WEIGHTS, Candidate, Rules, Story, Told

NOW = datetime(2025, 3, 6, 6, tzinfo=UTC)
SIGNALS = part_names("signals")
moments = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
counts = st.integers(0, 50)
shares = st.floats(0, 1)
stories = st.builds(
    Story, guid=st.just(""), source=st.sampled_from(["a", "b"]), headline=st.text(max_size=60), url=st.just(""),
    published_at=st.none() | moments, position=counts, stub=st.booleans(),
)  # fmt: skip
told = st.builds(
    Told, on=st.dates(date(2020, 1, 1)), headline=st.text(max_size=20), new_share=shares, followed_up=st.booleans()
)
candidates = st.builds(
    Candidate, id=counts, story=stories, cluster=counts, seen_at=moments, trust=shares, follow_ups=counts, copies=counts,
    told_by=st.lists(st.sampled_from("abcdefghij"), unique=True).map(tuple), sources=st.integers(1, 20),
    page_size=st.integers(1, 60), told=st.none() | told,
)  # fmt: skip
rules = st.builds(Rules, section=st.just(""), half_life_hours=st.floats(0.5, 200))


@pytest.mark.parametrize("name", SIGNALS)
@given(candidates, rules)
@settings(max_examples=50)
def test_a_signal_is_a_share_with_its_own_name_and_one_line_of_reason_and_says_the_same_twice(name, candidate, rules):
    score = load_part("signals", name).score
    said = score(candidate, now=NOW, rules=rules)
    assert 0 <= said.value <= 1
    assert said.signal == name
    assert "\n" not in said.reason
    assert said == score(candidate, now=NOW, rules=rules)


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_says_what_it_is_about(name):
    assert load_part("signals", name).__doc__


@pytest.mark.parametrize("name", SIGNALS)
def test_a_weight_of_nothing_turns_a_signal_off_and_alone_it_decides(name):
    story = Story(guid="", source="a", headline="Ferries return", url="", published_at=NOW - timedelta(hours=3))
    candidate = Candidate(id=1, story=story, cluster=1, seen_at=NOW, told_by=("a", "b"), sources=3, page_size=4)
    off = Rules(section="", weights={other: float(other != name) for other in SIGNALS})
    alone = Rules(section="", weights={other: float(other == name) for other in SIGNALS})
    assert name not in {score.signal for score in pick([candidate], off, now=NOW).picked[0].signals}
    (choice,) = pick([candidate], alone, now=NOW).picked
    assert [score.signal for score in choice.signals] == [name]
    assert choice.score == round(choice.signals[0].value, 4)


def test_every_signal_has_a_weight_to_start_with():
    assert set(DEFAULT_WEIGHTS) == set(SIGNALS)
