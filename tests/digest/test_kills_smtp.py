"""kill -9 while an edition leaves by SMTP: nobody is lost, nobody gets it twice, and what nobody can know is shown."""

from dataclasses import replace

import pytest
from sqlalchemy import update

from digest.database import open_engine
from digest.deliveries.tables import DELIVERIES
from tests.kill_scenes import asleep_past_its_lease, killed_in, over_one_row
from tests.kills import Plan, Trial, prepared, trial
from tests.sinks.running import sink

FEW = Plan(by="smtp", readers=400, kills=20, hands=3)
FAR = Plan(by="smtp", readers=150, kills=2, hands=3, far=True)
NONE = Plan(by="smtp", readers=60, kills=0, hands=2)


@pytest.mark.slow
def test_twenty_kills_at_random_moments_on_sqlite(sqlite_engine, tmp_path):
    assert trial(sqlite_engine, FEW, tmp_path).faults == []


@pytest.mark.slow
@pytest.mark.postgres
def test_twenty_kills_at_random_moments_among_one_to_three_workers_on_postgresql(postgres_engine, tmp_path):
    assert trial(postgres_engine, FEW.among(3), tmp_path).faults == []


@pytest.mark.parametrize(
    ("windows", "doubts"),
    [
        (["after_claim"], 0), (["before_mark"], 0), (["before_mark:9"], 2), (["after_mark"], 2), (["after_mark:9"], 2),
        (["after_hand"], 2), (["after_hand:20"], 2), (["before_record:3"], 2), (["after_record:5"], 2),
        (["after_mark:4", "mid_return"], 2), (["after_hand:20", "mid_return", "after_mark:2"], 4),
    ],
)  # fmt: skip
def test_a_kill_in_a_named_window_leaves_at_most_one_reader_for_each_connection_in_doubt(
    sqlite_engine, tmp_path, windows, doubts
):
    result = killed_in(windows, sqlite_engine, NONE, tmp_path)
    assert result.faults == []
    assert result.doubts <= doubts


@pytest.mark.slow
def test_the_dead_on_another_machine_are_waited_out_until_their_lease_is_over_and_no_longer(engine, tmp_path):
    result = trial(engine, FAR, tmp_path)
    assert result.faults == []
    assert FAR.lease / 2 < result.resumed, "a lease was renewed a moment before the kill at most"


def test_a_worker_that_wakes_up_past_its_lease_writes_nothing_and_sends_nothing_that_is_not_shown_in_doubt(
    engine, tmp_path
):
    awoken = asleep_past_its_lease(engine, replace(NONE, readers=150, hands=4), tmp_path)
    assert awoken.writes == 0
    assert awoken.unshown == set()
    assert len(awoken.late) <= 4
    assert (awoken.result.twice, awoken.result.lost, awoken.result.false, awoken.result.done) == (0, 0, 0, True)


@pytest.mark.postgres
def test_a_worker_that_is_stopped_inside_a_transaction_keeps_nobody_out_for_long(postgres_engine, tmp_path):
    impatient = {"options": "-c idle_in_transaction_session_timeout=1000"}  # ours is a minute
    engine = open_engine(postgres_engine.url.update_query_dict(impatient).render_as_string(hide_password=False))
    awoken = asleep_past_its_lease(engine, replace(NONE, readers=150, hands=4), tmp_path, inside=True)
    assert (awoken.writes, awoken.unshown) == (0, set())
    assert (awoken.result.twice, awoken.result.lost, awoken.result.false, awoken.result.done) == (0, 0, 0, True)
    engine.dispose()


def test_a_row_that_ends_every_worker_is_found_out_and_everyone_else_is_served(sqlite_engine, tmp_path):
    crashes, fate, result = over_one_row(sqlite_engine, NONE, tmp_path, number=17)
    assert fate == "failed: poison"
    assert 4 <= crashes <= 12  # halved until it is by itself, then alone three times
    assert (result.states["failed"], result.lost, result.twice, result.false) == (1, 1, 0, 0)
    assert result.states["accepted"] + result.states["ambiguous"] == NONE.readers - 1
    assert result.states["ambiguous"] <= crashes * NONE.hands
    assert result.done, result.books


def test_the_count_itself_notices_whatever_breaks_a_promise(sqlite_engine, tmp_path):
    book = tmp_path / "book"
    with sink("smtp", book) as there:
        count = Trial(sqlite_engine, there, NONE, prepared(sqlite_engine, NONE))
        assert count.run().faults == []
    lines = book.read_text().splitlines(keepends=True)
    names = {one.address: one.name for one in there.taken}
    mine, others = names["reader7@example.net"], names["reader8@example.net"]

    def found(text):
        book.write_text(text)
        return count.count().faults

    assert found("".join([lines[0], *lines])) == ["1 twice"]
    assert found("".join(lines).replace(mine, others)) == ["1 strange"]
    assert found("".join(lines) + f"took 1.0 nobody@example.net {'0' * len(mine)}\n") == [
        "1 handed over and not shown", "1 strange",
    ]  # fmt: skip
    assert found("".join(line for line in lines if "reader7@" not in line)) == ["1 accepted falsely"]
    give(sqlite_engine, 7, "failed")
    assert count.count().faults == ["1 lost", "1 innocent rows poisoned"]
    assert found("".join(lines)) == ["1 handed over and not shown", "1 innocent rows poisoned"]
    give(sqlite_engine, 7, "ambiguous")
    assert count.count().faults == ["1 in doubt by no kill"]


def give(engine, number, state):
    with engine.begin() as connection:
        connection.execute(update(DELIVERIES).where(DELIVERIES.c.number == number).values(state=state))
