"""kill -9 while an edition leaves by SendGrid: in doubt is what was asked for and not answered, and nobody else."""

from dataclasses import replace

import pytest

from tests.kill_scenes import asleep_past_its_lease, killed_in, over_one_row
from tests.kills import Plan, trial

FEW = Plan(by="sendgrid", readers=400, kills=20, hands=2, size=2, batch=2)  # a request is a batch: one marker on it
PARTS = replace(FEW, batch=50)  # a batch is many requests: markers on the deliveries
NONE = Plan(by="sendgrid", readers=400, kills=0, hands=2, size=10, batch=10)  # three kills may leave 60 in doubt


@pytest.mark.slow
def test_twenty_kills_at_random_moments_on_sqlite(sqlite_engine, tmp_path):
    assert trial(sqlite_engine, FEW, tmp_path).faults == []


@pytest.mark.slow
@pytest.mark.postgres
def test_twenty_kills_at_random_moments_among_one_to_three_workers_on_postgresql(postgres_engine, tmp_path):
    assert trial(postgres_engine, PARTS.among(3), tmp_path).faults == []


@pytest.mark.parametrize(
    ("windows", "doubts"),
    [
        (["after_claim"], 0), (["before_mark"], 0), (["after_mark"], 10), (["after_mark:3"], 20), (["after_hand:2"], 20),
        (["before_record"], 20), (["after_record:2"], 20), (["after_hand", "mid_return", "after_mark"], 60),
    ],
)  # fmt: skip
def test_a_kill_in_a_named_window_leaves_at_most_the_open_requests_in_doubt(sqlite_engine, tmp_path, windows, doubts):
    result = killed_in(windows, sqlite_engine, NONE, tmp_path)
    assert result.faults == []
    assert result.doubts <= doubts


def test_a_worker_that_wakes_up_past_its_lease_writes_nothing_and_sends_nothing_that_is_not_shown_in_doubt(
    engine, tmp_path
):
    awoken = asleep_past_its_lease(engine, NONE, tmp_path)
    assert awoken.writes == 0
    assert awoken.unshown == set()
    assert len(awoken.late) <= NONE.doubt
    assert (awoken.result.twice, awoken.result.lost, awoken.result.false, awoken.result.done) == (0, 0, 0, True)


def test_a_row_that_ends_every_worker_is_found_out_and_everyone_else_is_served(sqlite_engine, tmp_path):
    crashes, fate, result = over_one_row(sqlite_engine, NONE, tmp_path, number=17)
    assert fate == "failed: poison"
    assert 4 <= crashes <= 12
    assert (result.states["failed"], result.lost, result.twice, result.false) == (1, 1, 0, 0)
    assert result.states["accepted"] + result.states["ambiguous"] == NONE.readers - 1
    assert result.done, result.books
