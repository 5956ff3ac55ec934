"""Editions beside their stations: reopened, made or sent by hand, or left by a cadence that was changed. None is forgotten."""

from contextlib import contextmanager
from datetime import date, timedelta
from functools import partial
from threading import Thread

import pytest
from sqlalchemy import event

from digest import cadences, digests, press
from digest.database import reading
from digest.errors import NotReadyError
from digest.gathering import gather
from tests.mornings import MONDAYS, SUNDAY, moment, newsroom


@pytest.fixture
def anywhere(database_url, tmp_path):
    """The same on each kind of database; what the digest itself says, were there no cadence, is sent too."""
    room = newsroom(tmp_path / "home", database_url, SUNDAY, fallback="send")
    room.schedule(at="07:00", zone="Europe/Madrid", fallback="send")
    return room


@contextmanager
def once_in(engine, words, act):
    """`act` is done once, right before a statement that holds those words, while an edition is being made."""
    waiting = [act]

    def hear(_connection, _cursor, statement, *_):
        if words in statement and waiting:
            waiting.pop()()

    event.listen(engine, "before_cursor_execute", hear)
    try:
        yield waiting
    finally:
        event.remove(engine, "before_cursor_execute", hear)


# by hand ------------------------------------------------------------------------------------------------------------


def test_one_made_by_hand_after_its_hour_waits_for_an_editor_and_is_sent(room):
    room.at("12:00")
    room.schedule(at="07:00", zone="Europe/Madrid", fallback="send")
    with room.watch() as duty:
        room.look(duty)
        assemble(room)
        room.until(duty, "12:10")
        assert room.states == ["10 daily draft"]
        approve(room)
        room.until(duty, "12:15")
    assert room.mails() == MONDAYS


def test_one_made_by_hand_while_no_clock_was_running_is_not_skipped_as_missed(daily):
    daily.at("13:00")
    assemble(daily)
    with daily.watch() as duty:
        daily.look(duty)
        daily.until(duty, "13:05")
        assert daily.states == ["10 daily draft"]
        approve(daily)
        daily.until(duty, "13:10")
    assert daily.mails() == MONDAYS


def test_one_sent_by_hand_while_no_clock_was_running_does_not_stop_the_schedule(daily):
    daily.at("06:00", day=1)
    assemble(daily, day=1)
    approve(daily)
    daily.at("07:00", day=1)
    press.deliver(daily.press, daily.editions[0], now=lambda: daily.now)
    daily.at("06:30", day=3)
    with daily.watch() as duty:
        daily.until(duty, "08:00", day=3)
    assert daily.states == ["10 daily skipped", "11 daily sent", "12 daily skipped", "13 daily sent"]


# reopened -----------------------------------------------------------------------------------------------------------


def test_one_that_came_too_late_leaves_when_somebody_reopens_and_approves_it(daily):
    daily.at("06:00")
    with daily.watch() as duty:
        daily.until(duty, "06:05")
    daily.at("13:00")
    with daily.watch() as duty:
        daily.look(duty)
        assert daily.states == ["10 daily skipped"]
        move(daily, "reopen")
        daily.until(duty, "13:05")
        assert not daily.mails()
        approve(daily)
        daily.until(duty, "13:10")
    assert daily.mails() == MONDAYS


def test_what_is_reopened_can_be_called_back_as_well(room):
    room.schedule(at="07:00", zone="Europe/Madrid", fallback="hold", undo="10m")
    room.at("06:00")
    with room.watch() as duty:
        room.until(duty, "06:05")
    room.at("13:00")
    with room.watch() as duty:
        room.look(duty)
        move(room, "reopen")
        approve(room)
        room.until(duty, "13:09", step=timedelta(minutes=3))
        assert not room.mails()
        room.until(duty, "13:12", step=timedelta(minutes=3))
    assert room.mails() == MONDAYS


def test_one_that_was_skipped_and_reopened_before_its_hour_leaves_at_its_hour(daily):
    daily.at("06:05")
    with daily.watch() as duty:
        daily.look(duty)
        move(daily, "skip")
        daily.until(duty, "06:10")
        move(daily, "reopen")
        approve(daily)
        daily.until(duty, "06:55")
        assert not daily.mails()
        daily.until(duty, "07:00")
    assert daily.mails() == MONDAYS


# left by its cadence ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("approved", [True, False])
def test_when_its_cadence_is_removed_it_is_held_and_leaves_when_approved(daily, approved):
    daily.at("06:05")
    with daily.watch() as duty:
        daily.look(duty)
        if approved:
            approve(daily)
        daily.change("remove")
        daily.until(duty, "08:00")
        assert daily.states == ["10 daily held"]
        approve(daily)
        daily.until(duty, "08:05")
    assert daily.mails() == MONDAYS
    assert all(row.ended_at for row in daily.stations)


def test_when_its_day_is_not_the_cadences_any_more_it_is_held(daily):
    daily.at("12:00", day=-1)
    with daily.watch() as duty:
        daily.look(duty)
        assemble(daily)
        approve(daily)
        daily.schedule(days="tue,wed")
        daily.until(duty, "12:00", step=timedelta(minutes=30))
    assert daily.states == ["10 daily held"]
    assert "not one of its days" in daily.editions[0].reason


def test_when_its_hour_went_by_in_a_pause_it_is_held(daily):
    daily.at("12:00", day=-1)
    with daily.watch() as duty:
        daily.look(duty)
        assemble(daily)
        approve(daily)
        daily.change("pause")
        daily.until(duty, "12:00", day=2, step=timedelta(hours=2))
        daily.change("resume")
        daily.until(duty, "12:10", day=2)
    assert daily.states == ["10 daily held"]


def test_a_date_left_out_while_its_sources_are_tried_again_has_no_edition(daily):
    daily.at("06:00")
    gather(daily.press.engine, daily.press.settings, now=daily.now)
    daily.source.unlink()
    with daily.watch() as duty:
        daily.look(duty)
        daily.change("leave_out", dates={"2025-03-10": "strike"})
        daily.until(duty, "07:30")
    assert not daily.states


CANDIDATES, SAVING = "FROM slot JOIN story ON", "INSERT INTO edition "


@pytest.mark.parametrize("what", ["leave_out", "remove", "changed"])
def test_a_day_that_is_left_out_while_its_edition_is_being_picked_has_none(anywhere, what):
    def act():
        if what == "changed":
            anywhere.schedule(days="tue,wed")
        else:
            anywhere.change(what, **({"dates": {"2025-03-10": "strike"}} if what == "leave_out" else {}))

    anywhere.at("06:00")
    with anywhere.watch() as duty, once_in(anywhere.press.engine, CANDIDATES, act) as waiting:
        anywhere.look(duty)
        assert not waiting
        anywhere.until(duty, "08:00", step=timedelta(minutes=20))
    assert not anywhere.states
    assert not anywhere.mails()
    assert what == "remove" or any("left out while it was being picked" in words for words in anywhere.said)
    with anywhere.watch() as duty:
        anywhere.look(duty)
    assert not [row for row in anywhere.stations if row.local_date == date(2025, 3, 10) and row.ended_at is None]


@pytest.mark.parametrize(("what", "after"), [("leave_out", "skipped"), ("remove", "held")])
def test_a_day_that_is_left_out_while_its_edition_is_being_saved_waits_for_it_and_sees_it(anywhere, what, after):
    leaving = Thread(
        target=lambda: anywhere.change(what, **({"dates": {"2025-03-10": "strike"}} if what == "leave_out" else {}))
    )

    def act():
        leaving.start()
        leaving.join(0.5)  # it is let in only when the edition is there

    anywhere.at("06:00")
    with anywhere.watch() as duty, once_in(anywhere.press.engine, SAVING, act) as waiting:
        anywhere.look(duty)
        assert not waiting
        leaving.join(20)
        anywhere.until(duty, "08:00", step=timedelta(minutes=20))
    assert anywhere.states == [f"10 daily {after}"]
    assert not anywhere.mails()


def test_who_picks_by_hand_a_day_that_is_left_out_meanwhile_is_told_and_may_ask_again(daily):
    daily.at("06:00")
    gather(daily.press.engine, daily.press.settings, now=daily.now)
    act = partial(daily.change, "leave_out", dates={"2025-03-10": "strike"})
    with once_in(daily.press.engine, CANDIDATES, act), pytest.raises(NotReadyError, match="is not made"):
        assemble(daily)
    assert not daily.states
    assemble(daily)
    assert daily.states == ["10 daily draft"]


def test_a_date_that_is_put_back_says_which_edition_stays_skipped(daily):
    daily.at("06:05")
    with daily.watch() as duty:
        daily.look(duty)
    daily.change("leave_out", dates={"2025-03-10": "strike"})
    daily.change("put_back", day="2025-03-10")
    with reading(daily.press.engine) as session:
        row = cadences.named(session, digests.digest_named(session, "global"))
        days = [date(2025, 3, 10), date(2025, 3, 11)]
        assert [edition.local_date for edition in cadences.skipped(session, row, days)] == days[:1]


# stations -----------------------------------------------------------------------------------------------------------


def test_a_reminder_that_is_not_wanted_any_more_keeps_nobody_waiting(daily):
    daily.at("05:00")
    with daily.watch() as duty:
        daily.look(duty)
        daily.schedule(at="05:30", remind_before="0", gather_before="30m")
        daily.until(duty, "05:40")
    assert daily.mails() == MONDAYS


def test_a_deadline_a_day_before_its_hour_does_not_make_it_old(room):
    early = {"starts_on": "2025-03-10", "gather_before": "30h", "deadline_before": "25h"}
    room.schedule(at="07:00", zone="Europe/Madrid", fallback="send", **early)
    with room.watch() as duty:
        room.at("00:30", day=-1)
        room.until(duty, "07:30", step=timedelta(minutes=15))
    assert room.mails() == MONDAYS


def test_a_clock_that_was_far_ahead_again_and_again_leaves_today_as_it_was(daily):
    with daily.watch() as duty:
        daily.at("05:00")
        daily.look(duty)
        for number in range(1, 8):
            daily.now = moment("05:00", 60 * number)
            daily.look(duty)
        daily.at("05:45")
        daily.until(duty, "07:10")
    assert daily.mails() == MONDAYS


def assemble(room, day=0):
    gather(room.press.engine, room.press.settings, now=room.now)
    return press.assemble(room.press, "global", day=date(2025, 3, 10) + timedelta(days=day), now=room.now)


def approve(room):
    press.approve(room.press, room.editions[-1], who="ana", now=room.now)


def move(room, verb):
    press.move_edition(room.press, room.editions[-1], verb, who="ana", now=room.now)
