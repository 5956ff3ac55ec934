"""The stations of an edition's day, over mornings that go as planned and mornings that do not; the clock is the test's."""

from datetime import timedelta

import pytest

from digest import contents, digests, press
from digest.database import writing
from digest.gathering import gather
from digest.leading import LostError, as_leader, lead
from digest.models import EditionRow
from digest.posting import deliver_services
from digest.values import EditionState, StationState
from tests.mornings import MINUTE, MONDAYS, SUNDAY, newsroom


@pytest.fixture
def anywhere(migrated_url, tmp_path):
    """The same on each kind of database."""
    room = newsroom(tmp_path / "home", migrated_url, SUNDAY)
    room.schedule(at="07:00", zone="Europe/Madrid", fallback="send")
    return room


def test_a_morning_as_planned_leaves_on_time(anywhere):
    anywhere.at("05:55")
    with anywhere.watch() as duty:
        anywhere.until(duty, "06:00")
        assert anywhere.states == ["10 daily draft"]
        anywhere.until(duty, "06:44", step=MINUTE)
        assert anywhere.states == ["10 daily draft"]
        anywhere.until(duty, "06:45")
        assert anywhere.states == ["10 daily approved"]
        anywhere.until(duty, "06:59", step=MINUTE)
        assert not anywhere.mails()
        anywhere.until(duty, "07:00", step=MINUTE)
        assert anywhere.mails() == MONDAYS
        anywhere.until(duty, "12:00", step=20 * MINUTE)
    assert anywhere.states == ["10 daily sent"]
    (edition,) = anywhere.editions
    assert (edition.late_by, edition.approved_by) == (0, "the deadline's fallback")
    monday = [row for row in anywhere.stations if row.local_date == edition.local_date]
    assert [(row.station, row.state, row.attempt) for row in monday] == [
        (name, StationState.DONE, 1) for name in ("gather", "assemble", "remind", "approve", "send")
    ]


def test_what_an_editor_approves_early_waits_for_its_hour_and_can_be_called_back(daily):
    daily.at("06:05")
    with daily.watch() as duty:
        daily.look(duty)
        approve(daily)
        daily.until(duty, "06:30")
        assert daily.states == ["10 daily approved"]
        move(daily, "reopen")
        daily.until(duty, "06:45")
        assert daily.states == ["10 daily approved"]  # the deadline's fallback, for nobody acted any more
        daily.until(duty, "07:00")
    assert daily.mails() == MONDAYS


def test_with_an_undo_window_a_late_approval_waits_that_long(room):
    room.schedule(at="07:00", zone="Europe/Madrid", fallback="hold", undo="10m")
    room.at("06:30")
    with room.watch() as duty:
        room.until(duty, "07:20")
        assert room.states == ["10 daily held"]
        approve(room)
        room.until(duty, "07:29", step=MINUTE)
        assert not room.mails()
        room.until(duty, "07:31", step=MINUTE)
        assert room.mails() == MONDAYS
    assert room.editions[0].late_by == pytest.approx(30 * 60, abs=60)


# late ---------------------------------------------------------------------------------------------------------------


def test_a_clock_that_was_down_over_the_hour_sends_one_edition_and_marks_it_late(anywhere):
    anywhere.at("06:00")
    with anywhere.watch() as duty:
        anywhere.until(duty, "06:50")
    anywhere.at("07:20")
    with anywhere.watch() as duty:
        anywhere.look(duty)
    assert anywhere.mails() == MONDAYS
    (edition,) = anywhere.editions
    assert edition.late_by == 20 * 60


@pytest.mark.parametrize("since", ["05:00", "06:50"])
def test_a_clock_that_was_down_too_long_sends_nothing_and_says_so(daily, since):
    daily.at("04:50")
    with daily.watch() as duty:
        daily.until(duty, since)
    daily.at("13:00")
    with daily.watch() as duty:
        daily.look(duty)
        daily.until(duty, "23:00", step=60 * MINUTE)
    assert not daily.mails()
    assert daily.states[0] == "10 daily skipped"
    assert "too late" in daily.editions[0].reason
    assert any("too late" in words for words in daily.said)


def test_after_five_days_at_most_todays_edition_is_made_and_the_others_are_written_down(anywhere):
    anywhere.at("06:00")
    with anywhere.watch() as duty:
        anywhere.until(duty, "08:00")
    anywhere.at("07:30", day=5)
    with anywhere.watch() as duty:
        anywhere.look(duty)
    assert anywhere.states == ["10 daily sent", *[f"{day} daily skipped" for day in range(11, 15)], "15 daily sent"]
    reasons = [one.reason for one in anywhere.editions if one.state == EditionState.SKIPPED]
    assert all("too late" in reason or "no clock was running" in reason for reason in reasons)
    assert len(anywhere.mails()) == 4


def test_one_that_comes_too_late_may_be_sent_all_the_same_within_a_day(room):
    room.schedule(at="07:00", zone="Europe/Madrid", fallback="send", late="send")
    room.at("13:00")
    with room.watch() as duty:
        room.look(duty)
    assert room.mails() == MONDAYS
    assert room.editions[0].late_by == 6 * 3600


def test_stories_of_one_that_came_too_late_go_into_the_next(room):
    room.schedule(at="07:00", zone="Europe/Madrid", fallback="send", late="merge")
    room.at("06:00")
    with room.watch() as duty:
        room.until(duty, "06:40")  # Monday's stories are on record
    room.at("13:00")
    with room.watch() as duty:
        room.look(duty)
        room.at("06:00", day=1)
        room.until(duty, "07:00", day=1)
    assert room.states == ["10 daily skipped", "11 daily sent"]
    assert headlines(room, 1, "10 March") == 3
    assert headlines(room, 1, "11 March") == 3


def test_a_clock_set_back_and_forth_makes_no_second_edition_and_no_busy_loop(daily):
    daily.at("06:00")
    with daily.watch() as duty:
        daily.until(duty, "07:05")
        for hours in (-1, 1, -24, 24, 1, -1):
            daily.now += timedelta(hours=hours)
            daily.look(duty)
            daily.until(duty, f"{daily.now.hour + 1:02d}:30", day=daily.now.day - 10)
    assert [state for state in daily.states if state.startswith("10")] == ["10 daily sent"]
    assert [mail for mail in daily.mails() if mail.startswith("2025-03-10")] == MONDAYS
    assert max(row.attempt for row in daily.stations) == 1


def test_a_clock_that_is_a_day_ahead_for_a_moment_skips_nothing_and_sends_nothing_early(daily):
    daily.at("06:00")
    daily.steady = 1000.0

    def later(minutes, ahead=timedelta(0)):
        daily.now += timedelta(minutes=minutes) + ahead
        daily.steady += 60 * minutes
        daily.look(duty)

    with daily.watch() as duty:
        daily.look(duty)
        later(5, ahead=timedelta(days=1))
        later(2)
        assert daily.states == ["10 daily draft"]
        assert any("the clock was set forward by 24.0 hours" in words for words in daily.said)
        later(1, ahead=timedelta(days=-1))
        for _ in range(12):
            later(5)
    assert daily.states == ["10 daily sent"]
    assert daily.mails() == MONDAYS


def test_a_clock_that_stays_where_it_was_set_is_believed_after_five_minutes(daily):
    daily.at("03:00")
    daily.steady = 1000.0
    with daily.watch() as duty:
        daily.look(duty)
        daily.now += timedelta(hours=3, minutes=1)  # the machine slept
        daily.look(duty)
        assert daily.states == []
        daily.now, daily.steady = daily.now + 6 * MINUTE, daily.steady + 360
        daily.look(duty)
    assert daily.states == ["10 daily draft"]


# changes while it runs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed_at", "to", "sent_at"),
    [
        ("06:50", "07:30", "07:30"),
        ("06:59", "06:50", "07:00"),  # released by then
        ("07:00", "09:00", "07:00"),
        ("08:00", "09:00", "07:00"),
        ("06:30", "18:00", "18:00"),
    ],
)
def test_a_cadence_changed_on_the_morning_makes_at_most_one_edition(daily, changed_at, to, sent_at):
    daily.at("05:30")
    with daily.watch() as duty:
        daily.until(duty, changed_at, step=6 * MINUTE)
        daily.schedule(at=to)
        daily.look(duty)
        daily.until(duty, sent_at, step=10 * MINUTE)
        daily.look(duty)
        assert daily.mails() == MONDAYS
        daily.until(duty, "23:50", step=50 * MINUTE)
    (edition, *others) = daily.editions
    assert edition.state == EditionState.SENT
    assert not others
    assert daily.mails() == MONDAYS


def test_nothing_goes_on_while_it_is_paused_and_what_began_goes_on_when_resumed(daily):
    daily.at("06:00")
    with daily.watch() as duty:
        daily.until(duty, "06:50")
        daily.change("pause")
        daily.until(duty, "07:30")
        assert not daily.mails()
        daily.change("resume")
        daily.look(duty)
        assert daily.mails() == MONDAYS
        daily.change("pause")
        daily.until(duty, "12:00", day=2, step=60 * MINUTE)
        daily.change("resume")
        daily.until(duty, "13:00", day=2)
    assert daily.states == ["10 daily sent"]  # what fell into the pause is not made up for, and is not missed either


def test_a_date_that_is_left_out_has_no_edition_and_one_that_waits_is_skipped(daily):
    daily.at("06:00")
    with daily.watch() as duty:
        daily.look(duty)
        daily.change("leave_out", dates={"2025-03-10": "a strike", "2025-03-11": "a strike"})
        daily.until(duty, "08:00", day=2, step=20 * MINUTE)
    assert daily.states[0] == "10 daily skipped"
    assert [state for state in daily.states if state.startswith("11")] == []
    assert daily.editions[0].reason == "a strike"


def test_a_cadence_made_after_its_hour_begins_with_the_next_day(room):
    room.at("09:00")
    room.schedule(at="07:00", zone="Europe/Madrid", fallback="send")
    with room.watch() as duty:
        room.until(duty, "20:00", step=30 * MINUTE)
    assert room.states == []
    assert not room.said


def test_a_second_edition_of_a_date_is_one_that_somebody_asked_for_by_name(daily):
    daily.at("06:00")
    with daily.watch() as duty:
        daily.until(duty, "07:05")
        daily.at("11:00", day=1)
        gather(daily.press.engine, daily.press.settings, now=daily.now)
        daily.at("11:00")
        for _ in range(2):
            press.assemble(daily.press, "global", day=daily.editions[0].local_date, name="flood", now=daily.now)
        daily.until(duty, "12:00", step=20 * MINUTE)
        assert daily.states == ["10 daily sent", "10 breaking draft"]  # nobody but a person sends it
        approve(daily)
        daily.look(duty)
    assert daily.states == ["10 daily sent", "10 breaking sent"]
    assert len(daily.mails()) == 4


# sources and editors ------------------------------------------------------------------------------------------------


def test_sources_that_cannot_be_read_are_tried_again_and_the_editors_told(daily):
    daily.at("06:00")
    with daily.watch() as duty:
        daily.look(duty)  # Monday's stories are there
        daily.until(duty, "12:00", step=60 * MINUTE)
        daily.at("05:59", day=1)
        daily.source.unlink()
        daily.until(duty, "06:20", day=1, step=MINUTE)
    gathered = next(row for row in daily.stations if row.local_date.day == 11 and row.station == "gather")
    assert gathered.attempt == 3
    assert "not read: " in gathered.words
    with daily.session() as session:
        content = contents.content_of(session, session.get(EditionRow, daily.editions[1].id))
    assert any("not read" in note for note in content["notes"])


def test_an_edition_that_fails_its_checks_is_held_with_the_reasons(room):
    room.schedule(at="07:00", zone="Europe/Madrid", fallback="checks")
    room.at("05:30")
    room.source.write_text(
        room.source.read_text().replace('"summary"', '"_summary"').replace('"content_text"', '"_text"')
    )
    with room.watch() as duty:
        room.until(duty, "07:30")
    assert room.states == ["10 daily held"]
    assert "checks do not: " in room.editions[0].reason


def test_weekly_readers_get_the_best_of_the_week(room):
    room.schedule(at="07:00", zone="Europe/Madrid", fallback="send")
    room.schedule(kind="weekly", at="08:00", days="sun", fallback="send")
    with room.watch() as duty:
        for day in range(7):
            room.at("06:00", day=day)
            room.until(duty, "08:10", day=day, step=15 * MINUTE)
    assert room.states[-2:] == ["16 daily sent", "16 weekly sent"]
    weekly = room.editions[-1]
    with room.session() as session:
        slots = contents.content_of(session, weekly)["slots"]
    assert len({slot["headline"].rpartition(" on ")[2] for slot in slots}) > 3  # of more than three days


def test_editors_are_told_when_the_draft_is_ready_before_the_deadline_and_when_it_is_held(room):
    with writing(room.press.engine) as session:
        digests.digest_named(session, "global").editors = ["desk@example.org"]
    room.schedule(at="07:00", zone="Europe/Madrid", fallback="hold")
    room.at("05:55")
    with room.watch() as duty:
        for until in ("06:00", "06:30", "07:30"):
            room.until(duty, until)
            deliver_services(room.press, now=lambda: room.now)
    letters = sorted(
        next(line for line in file.read_text().splitlines() if line.startswith("Subject:"))
        for file in room.press.settings.outbox_folder.rglob("*.eml")
    )
    assert len(letters) == 3
    assert [any(words in letter for letter in letters) for words in ("is ready", "Nobody has approved", "is held")] == [
        True
    ] * 3


# one leader ---------------------------------------------------------------------------------------------------------


def test_of_two_clocks_one_leads_and_the_other_takes_over_when_it_is_silent(anywhere):
    anywhere.at("05:59")
    with anywhere.watch() as first, anywhere.watch() as second:
        first.lead()
        second.lead()
        assert (first.fence, second.fence) == (1, None)
        anywhere.now += timedelta(seconds=5)
        second.lead()
        assert second.fence is None
        anywhere.now += timedelta(seconds=2)  # the first has not been heard of for longer than its lease
        second.lead()
        assert second.fence == 2
        first.lead()
        assert first.fence is None


def test_a_leader_that_slept_past_its_lease_writes_nothing(anywhere):
    engine = anywhere.press.engine
    anywhere.at("06:00")
    old = lead(engine, "one", now=anywhere.now)
    with as_leader(old):
        anywhere.change("pause")
    assert lead(engine, "two", now=anywhere.now + timedelta(seconds=7)) == old + 1
    with pytest.raises(LostError), as_leader(old):
        anywhere.change("resume")
    assert anywhere.paused


def test_a_lease_from_before_the_clock_was_set_back_keeps_nobody_out(daily):
    engine = daily.press.engine
    daily.at("12:00")
    lead(engine, "one", now=daily.now)
    assert lead(engine, "two", now=daily.now - timedelta(hours=3)) is not None


def test_two_machines_whose_clocks_differ_do_not_take_the_lead_from_each_other(anywhere):
    engine, now, ahead = anywhere.press.engine, anywhere.at("12:00"), timedelta(seconds=20)
    fences = []
    for second in range(10):
        at = now + timedelta(seconds=second)
        fences += [lead(engine, "behind", now=at), lead(engine, "ahead", now=at + ahead)]
    assert len({fence for fence in fences if fence}) == 2
    assert lead(engine, "behind", now=now + timedelta(seconds=10 + 20 + 7)), "and who is silent is replaced"


def approve(room):
    press.approve(room.press, room.editions[-1], who="ana", now=room.now)


def move(room, verb):
    press.move_edition(room.press, room.editions[-1], verb, who="ana", now=room.now)


def headlines(room, place, words):
    with room.session() as session:
        slots = contents.content_of(session, room.editions[place])["slots"]
    return sum(words in slot["headline"] for slot in slots)
