"""Rates, ramp-up, and what is known of each recipient domain."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.smtp.lanes import FIRST_REST, FIRST_WINDOW, LONGEST_REST, Lane, Lanes
from digest.smtp.pace import DAY, Limit, Pace, Ramp, Rate, read_domain_rates, read_ramp, read_rates

STEPS = st.lists(st.floats(0, 30, allow_nan=False), min_size=1, max_size=120)


def epoch(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


# rates --------------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.builds(Rate, st.integers(1, 9), st.sampled_from([1.0, 60.0, 3600.0])), min_size=1, max_size=3), STEPS
)
def test_in_no_stretch_of_time_does_more_leave_than_a_rate_allows(rates, steps):
    pace, now, left = Pace(rates), 0.0, []
    for step in steps:
        now += step
        if not pace.wait(now, now):
            pace.spend(now, now)
            left.append(now)
    for rate in rates:
        for at, first in enumerate(left):
            assert sum(first <= one < first + rate.seconds for one in left[at:]) <= rate.most


@given(st.integers(1, 9), st.sampled_from([1.0, 60.0]), st.integers(1, 60))
def test_whoever_waits_as_long_as_asked_may_leave_then_and_not_before(most, seconds, count):
    limit, now = Limit(Rate(most, seconds)), 5.0
    for _ in range(count):
        wait = limit.wait(now)
        if wait > 1e-6:
            assert limit.wait(now + wait * 0.9) > 0
        now += wait + 1e-9
        assert not limit.wait(now)
        limit.spend(now)


@pytest.mark.parametrize("text", ["50", "50/d", "0/s", "-1/s", "1000001/s", "5 /s", "x/s", "5/s/s", "٣/s"])
def test_a_rate_that_cannot_be_read_says_how_to_write_it(text):
    with pytest.raises(ValueError, match="number/s"):
        read_rates(text)


def test_rates_are_read_by_unit_and_by_domain():
    assert read_rates(" 50/s, 2000/min 50000/h") == (Rate(50, 1.0), Rate(2000, 60.0), Rate(50000, 3600.0))
    assert read_rates("") == ()
    assert read_domain_rates("Example.org=100/min bücher.example=1/s example.org=9/s") == {
        "example.org": (Rate(100, 60.0), Rate(9, 1.0)),
        "xn--bcher-kva.example": (Rate(1, 1.0),),
    }
    for wrong in ("example.org", "=5/s", "exa mple=5/s", "example.org=5"):
        with pytest.raises(ValueError):
            read_domain_rates(wrong)


@given(st.lists(st.floats(0, 3600, allow_nan=False), max_size=40), st.integers(1, 30))
def test_a_restart_does_not_make_a_rate_allow_more(ages, most):
    """Deliveries of the last hour, by age: whatever leaves after the restart, no hour holds more than is allowed."""
    now = 1_000_000.0
    ages = sorted(ages)[:most]  # the earlier run kept to the rate itself
    pace = Pace([Rate(most, 3600.0)])
    pace.recall_rates(lambda since: sum(now - age >= since for age in ages), 50.0, now)
    left = [50.0 - age for age in ages]
    for step in range(0, 7200, 60):
        if not pace.wait(50.0 + step, now):
            pace.spend(50.0 + step, now)
            left.append(50.0 + step)
    for first in left:
        assert sum(first <= one < first + 3600.0 for one in left) <= most
    assert len(left) > len(ages), "in two hours more may leave"


# ramp-up ------------------------------------------------------------------------------------------------------------


def test_a_ramp_allows_each_day_its_number_and_then_all():
    ramp = read_ramp("2026-11-24: 500 1000, 2000")
    assert ramp == Ramp(datetime(2026, 11, 24, tzinfo=UTC).date(), (500, 1000, 2000))
    days = ["2026-11-20", "2026-11-24", "2026-11-25", "2026-11-26", "2026-11-27"]
    assert [ramp.on(epoch(f"{day}T12:00")) for day in days] == [500, 500, 1000, 2000, None]
    assert ramp.on(epoch("2026-11-24T23:59:59")) == 500


@pytest.mark.parametrize(
    "text", ["2026-11-24", "2026-11-24:", "soon: 5", "2026-13-01: 5", "2026-11-24: 5 x", "2026-11-24: 0"]
)
def test_a_ramp_that_cannot_be_read_says_how_to_write_it(text):
    with pytest.raises(ValueError, match="2026-11-24: 500"):
        read_ramp(text)


def test_no_text_is_no_ramp():
    assert read_ramp(" ") is None


def test_a_day_s_number_counts_what_the_house_handed_over_before_a_restart():
    noon = epoch("2026-11-24T12:00")
    pace = Pace((), read_ramp("2026-11-24: 5 10"))
    pace.recall_today(lambda since: 3 if since == epoch("2026-11-24") else 0, noon)
    for _ in range(2):
        assert not pace.wait(0.0, noon)
        pace.spend(0.0, noon)
    assert pace.wait(0.0, noon) == DAY / 2
    pace.recall_today(lambda _: 4, noon)  # a look at the books that lags behind forgets nothing
    assert pace.wait(0.0, noon) == DAY / 2
    assert not pace.wait(0.0, noon + DAY / 2), "tomorrow is another day"


# domains ------------------------------------------------------------------------------------------------------------


def test_a_window_starts_small_grows_on_quick_answers_and_halves_on_slow_ones():
    lane = Lane("example.net")
    assert lane.window == FIRST_WINDOW
    for _ in range(30):
        lane.took(0.01, 0.01, most=20)
    assert (lane.window, lane.slow) == (20, False)
    lane.took(2.0, 0.01, most=20)
    assert (lane.window, lane.slow) == (10, True)
    for _ in range(9):
        lane.took(2.0, 0.01, most=20)
    assert lane.window == 1
    lane.took(2.0, 2.0, most=20)
    assert not lane.slow, "where every answer takes that long, nobody is slow"


def test_a_full_window_waits_for_one_to_come_back_and_a_rate_for_its_time():
    lane = Lane("example.net")
    lane.start(0.0)
    assert lane.wait(0.0) == 0.0
    lane.start(0.0)
    assert lane.wait(0.0) == math.inf
    limited = Lane("example.org", [Limit(Rate(1, 60.0))])
    limited.start(10.0)
    assert limited.wait(30.0) == 40.0


def test_greylisting_of_three_in_ten_does_not_stop_the_others():
    lane = Lane("example.net")
    for now in range(300):
        if now % 10 in {0, 3, 7}:
            assert not lane.told_not_now(float(now))
        else:
            lane.told_now()


def test_a_storm_brakes_the_domain_for_longer_each_time_and_good_answers_end_it():
    lane, now, rests = Lane("example.net"), 0.0, []
    while len(rests) < 9:
        if lane.told_not_now(now):
            rests.append(lane.resting(now))
            now = lane.rest_until
    assert rests == [min(LONGEST_REST, FIRST_REST * 2**n) for n in range(9)]
    for _ in range(30):
        lane.told_now()
    assert not lane.resting(now)
    while not lane.told_not_now(now):
        pass
    assert lane.resting(now) == FIRST_REST


def test_a_few_refusals_to_a_new_domain_are_no_storm():
    lane = Lane("example.net")
    assert not any(lane.told_not_now(0.0) for _ in range(5))


def test_lanes_are_made_with_their_own_rates_and_the_idle_ones_forgotten_when_there_are_too_many():
    lanes = Lanes({"example.org": (Rate(1, 1.0),)})
    assert lanes["example.org"].limits
    busy = lanes["busy.example"]
    busy.start(0.0)
    for number in range(10_100):
        _ = lanes[f"d{number}.example"]
    assert len(lanes) <= 10_000
    assert lanes["busy.example"] is busy
    assert lanes["example.org"].limits
