"""A clock that is wrong: set while a process runs, or since before it started; and one that is right after a long outage."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest import alarms
from digest.database import reading
from digest.leading import last_known, seconds_away
from digest.models import LeaderRow
from digest.schedule import on_watch
from digest.steadiness import CALM, JUMP, LONGEST_AWAY, Steadiness
from tests.mornings import MINUTE, READERS, moment, newsroom, write_feed

NOW = datetime(2025, 3, 10, 6, tzinfo=UTC)
SUNDAY = datetime(2025, 3, 9, 12, tzinfo=UTC)
FIVE_DAYS = timedelta(days=5)
HOUR = timedelta(hours=1)


@dataclass
class Wall:
    """A clock on the wall beside one that runs evenly."""

    now: datetime = NOW
    steady: float = 1000.0

    def later(self, seconds):
        self.now += timedelta(seconds=seconds)
        self.steady += seconds

    def at_start(self, seen):
        return Steadiness(lambda: self.now, lambda: self.steady, seen=seen)


@given(away=st.timedeltas(min_value=-timedelta(days=4000), max_value=timedelta(days=4000)))
def test_a_start_is_doubted_when_the_house_was_last_at_work_implausibly_long_ago_or_is_yet_to_be(away):
    wall = Wall()
    steadiness = wall.at_start(NOW - away)
    doubted = away > LONGEST_AWAY or away < -timedelta(seconds=JUMP)
    assert bool(steadiness.doubt()) is doubted
    wall.later(CALM - 1)
    assert bool(steadiness.doubt()) is doubted
    wall.later(1)
    assert steadiness.doubt() == ""


def test_a_house_of_which_nothing_is_known_is_not_held_up():
    assert Wall().at_start(None).doubt() == ""


def test_the_doubt_is_one_line_that_says_what_to_look_at_and_when_it_goes_on():
    said = Wall().at_start(NOW - FIVE_DAYS).doubt()
    assert "2025-03-10 06:00 UTC by this machine's clock" in said
    assert "2025-03-05 06:00 UTC, 5.0 days before" in said
    assert "until 06:05 UTC" in said
    assert "2025-03-15 06:00 UTC, 5.0 days later" in Wall().at_start(NOW + FIVE_DAYS).doubt()
    assert "\n" not in said


@given(
    ahead=st.timedeltas(min_value=LONGEST_AWAY + MINUTE, max_value=timedelta(days=4000))
    | st.timedeltas(min_value=-timedelta(days=4000), max_value=-HOUR),
    waited=st.integers(0, int(CALM) - 2),
    truly=st.timedeltas(min_value=timedelta(0), max_value=LONGEST_AWAY - HOUR),
)
def test_a_doubted_clock_that_is_set_right_is_believed_at_once(ahead, waited, truly):
    wall = Wall()
    steadiness = wall.at_start(NOW - ahead)
    wall.later(waited)
    assert steadiness.doubt()
    wall.now = NOW - ahead + truly
    assert steadiness.doubt() == ""
    wall.later(1)
    assert steadiness.doubt() == ""


@given(to=st.timedeltas(min_value=LONGEST_AWAY + HOUR, max_value=timedelta(days=4000)))
def test_a_doubted_clock_that_is_set_to_another_far_day_is_doubted_anew(to):
    wall = Wall()
    steadiness = wall.at_start(NOW - FIVE_DAYS)
    wall.later(200)
    wall.now = NOW - FIVE_DAYS + to
    moved = abs((wall.now - NOW).total_seconds() - 200) > JUMP
    steadiness.doubt()
    wall.later(CALM - 200)
    assert bool(steadiness.doubt()) is moved
    wall.later(200)
    assert steadiness.doubt() == ""


# in a house ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def room(database_url, tmp_path):
    """Every day at seven in Madrid; Monday's edition is sent, and the process has ended at half past seven."""
    room = newsroom(tmp_path / "home", database_url, SUNDAY)
    room.schedule(at="07:00", zone="Europe/Madrid", fallback="send")
    room.at("06:00")
    with room.watch(doubts=True) as duty:
        room.until(duty, "07:30", step=15 * MINUTE)
    assert room.states == ["10 daily sent"]
    return room


def later(room, duty, minutes):
    """So many minutes on both clocks, looking at each."""
    for _ in range(minutes):
        room.now, room.steady = room.now + MINUTE, room.steady + 60
        room.look(duty)


def test_a_clock_that_is_days_ahead_at_the_start_writes_and_sends_nothing_and_all_goes_on_when_it_is_set(room):
    room.steady = 1000.0
    room.at("06:10", day=5)
    before = [str(row) for row in room.stations]
    with room.watch(doubts=True) as duty:
        later(room, duty, 4)
    with room.watch(doubts=True) as duty:  # started anew meanwhile: what was known before is known still
        later(room, duty, 4)
        assert ([str(row) for row in room.stations], room.states) == (before, ["10 daily sent"])
        assert sum("by this machine's clock" in words for words in room.said) == 2, "once for each start"
        room.at("20:00")
        later(room, duty, 1)
        room.at("05:59", day=1)
        room.steady += 10 * 3600 - 60
        for _ in range(13):
            later(room, duty, 5)
    assert room.states == ["10 daily sent", "11 daily sent"]


def test_an_outage_of_five_days_is_written_down_after_five_minutes_and_the_last_edition_is_sent(room):
    room.steady = 1000.0
    room.at("07:10", day=5)
    with room.watch(doubts=True) as duty:
        later(room, duty, 4)
        assert room.states == ["10 daily sent"]
        later(room, duty, 8)
    assert room.states == ["10 daily sent", *(f"{day} daily skipped" for day in (11, 12, 13, 14)), "15 daily sent"]
    assert room.mails() == [f"2025-03-{day} {reader}" for day in (10, 15) for reader in READERS]
    assert room.editions[-1].late_by == 15 * 60


def test_a_night_off_and_a_fresh_house_hold_nothing_up(room, tmp_path):
    room.at("06:10", day=1)
    with room.watch(doubts=True) as duty:
        room.look(duty)
    assert room.states == ["10 daily sent", "11 daily draft"]
    fresh = newsroom(tmp_path / "fresh", f"sqlite:///{tmp_path / 'fresh.sqlite'}", SUNDAY)
    fresh.schedule(at="07:00", zone="Europe/Madrid", fallback="send")
    fresh.at("06:10", day=9)
    with fresh.watch(doubts=True) as duty:
        fresh.look(duty)
    assert fresh.states[-1] == "19 daily draft"


def test_who_waits_in_doubt_leads_and_leaves_what_is_known_as_it_was(room):
    known = last_known(room.press.engine, room.now)
    room.steady = 1000.0
    room.at("06:10", day=5)
    with room.watch(doubts=True) as duty:
        later(room, duty, 2)
        with reading(room.press.engine) as session:
            assert seconds_away(session, room.now) == pytest.approx(0, abs=1)
            assert session.get(LeaderRow, 1).seen_at == known.timestamp()
        assert last_known(room.press.engine, room.now) == known
        later(room, duty, 5)
        assert last_known(room.press.engine, room.now) == room.now


def test_a_lease_that_a_wrong_clock_left_far_ahead_is_no_sign_of_anybody(room):
    with room.session() as session:
        row = session.get(LeaderRow, 1)
        row.owner, row.lease_until = "gone", (room.now + FIVE_DAYS).timestamp()
        session.commit()
    with reading(room.press.engine) as session:
        assert seconds_away(session, room.now + HOUR) == 3600


def test_what_was_sent_by_hand_since_is_known_too(room):
    with reading(room.press.engine) as session:
        sent_at = room.editions[0].sent_at
        assert sent_at < last_known(room.press.engine, room.now), "the clock went on after it"
        assert last_known(room.press.engine, sent_at - MINUTE) >= sent_at
        session.rollback()
    with room.session() as session:
        session.get(LeaderRow, 1).seen_at = 0.0
        session.commit()
    assert last_known(room.press.engine, room.now) == sent_at
    assert last_known(room.press.engine, sent_at - MINUTE) is None


def test_a_doubted_clock_is_told_by_the_alarms_in_one_line_and_nothing_else_is(room):
    now = room.at("06:10", day=5)
    doubt = Steadiness(lambda: now, seen=last_known(room.press.engine, now)).doubt()
    (told,) = alarms.watch_over(room.press, now, doubt=doubt).told
    assert (told.cause, told.subject, told.state) == ("time", "the clock", "began")
    with reading(room.press.engine) as session:
        (row,) = alarms.current(session)
    assert row.words == doubt
    over = now + 20 * MINUTE
    alarms.watch_over(room.press, over)
    ended = alarms.watch_over(room.press, over + 11 * MINUTE).told
    assert [one.state for one in ended if one.cause == "time"] == ["ended"]


def test_a_process_on_watch_asks_the_database_when_it_starts(room):
    write_feed(room.source, moment("06:10", 5))
    with on_watch(room.press, room.said.append, clock=lambda: moment("06:10", 5), tick=0.05) as duty:
        assert "days before" in duty.doubt()
    assert room.states == ["10 daily sent"]
