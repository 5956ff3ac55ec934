"""A cadence: what its form refuses, and the days and instants that follow from it."""

from datetime import UTC, date, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digest import cadence_form
from digest.cadence_form import CadenceError, read_form
from digest.holidays import read_dates
from digest.models import CadenceRow
from digest.occurrences import coming, occurrence, past, why_not
from digest.windows import instant
from subscribers.preferences import DAYS
from subscribers.zones import zones

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def cadence(**fields):
    return CadenceRow(digest_id=1, since=LONG_AGO, updated_at=LONG_AGO, **{"zone": "Europe/Madrid", **fields})


# the form -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "days"),
    [
        ("daily", "mon,tue,wed,thu,fri,sat,sun"), ("weekdays", "mon,tue,wed,thu,fri"), ("weekends", "sat,sun"),
        ("wed, mon", "mon,wed"), ("mon-fri", "mon,tue,wed,thu,fri"), ("Saturday", "sat"), ("fri-mon", "mon,fri,sat,sun"),
        ("tues thurs", "tue,thu"),
    ],
)  # fmt: skip
def test_days_are_names_in_the_weeks_order(words, days):
    assert cadence_form.days(words) == days


@pytest.mark.parametrize("words", ["1-5", "0", "mo", "monkeys", "mon-", "fri-x", "mon,,", "", "7"])
def test_what_is_no_day_is_refused_and_a_number_above_all(words):
    with pytest.raises(ValueError, match="use mon, tue"):
        cadence_form.days(words)


@pytest.mark.parametrize(
    ("words", "minutes"), [("45m", 45), ("1h30m", 90), ("90", 90), ("2h", 120), ("1 h 5 min", 65), ("0", 0)]
)
def test_lengths_of_time(words, minutes):
    assert cadence_form.minutes(words) == minutes


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({"at": "7am"}, "at", "24-hour time such as 07:00"),
        ({"at": "24:00"}, "at", "24-hour time"),
        ({"zone": "Europe/Madird"}, "zone", "did you mean Europe/Madrid"),
        ({"starts_on": "01/02/2026"}, "starts_on", "write it as 2026"),
        ({"ends_on": "2026-02-30"}, "ends_on", "is no date"),
        ({"fallback": "maybe"}, "fallback", "use send, checks or hold"),
        ({"late": "never"}, "late", "use skip, merge or send"),
        ({"local": "perhaps"}, "local", "neither yes nor no"),
        ({"undo": "soon"}, "undo", "write 45m, 2h or 1h30m"),
        ({"gather_before": "10m"}, "gather_before", "more than 15m"),
        ({"gather_before": "3000m"}, "gather_before", "at most 48h"),
        ({"undo": "20m"}, "undo", "at most 15m"),
        ({"opens": "22:00", "closes": "06:00"}, "closes", "after 22:00"),
        ({"starts_on": "2026-05-02", "ends_on": "2026-05-01"}, "ends_on", "before it starts"),
        ({"late_after": "25h"}, "late_after", "at most 24h"),
        ({"hour": "07:00"}, "hour", "no such field"),
    ],
)  # fmt: skip
def test_a_form_says_which_field_is_wrong_and_what_is_allowed(given, field, words):
    with pytest.raises(CadenceError) as error:
        read_form(given, kind="daily")
    assert words in error.value.faults[field]
    assert f"--{field.replace('_', '-')}: " in str(error.value)


def test_a_weeks_best_appears_on_one_day():
    with pytest.raises(CadenceError, match="one day"):
        read_form({"days": "sat,sun"}, kind="weekly")


def test_all_faults_are_told_at_once():
    with pytest.raises(CadenceError) as error:
        read_form({"at": "7", "zone": "Mars", "days": "1"}, kind="daily")
    assert set(error.value.faults) == {"at", "zone", "days"}


@given(st.dictionaries(st.sampled_from(sorted(cadence_form.FIELDS)), st.text(max_size=20)))
@settings(max_examples=150, deadline=None)
def test_whatever_is_typed_is_read_or_refused_in_words(given):
    try:
        values = read_form(given, kind="daily")
    except CadenceError:
        return
    assert occurrence(cadence(**values), date(2026, 3, 1)).gather_at


# the days -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "day", "why"),
    [
        ({"days": "mon"}, date(2025, 3, 11), "not one of its days"),
        ({"starts_on": date(2025, 3, 12)}, date(2025, 3, 11), "it starts on 2025-03-12"),
        ({"ends_on": date(2025, 3, 10)}, date(2025, 3, 11), "it ended on 2025-03-10"),
        ({"blackout": {"2025-03-11": "a strike"}}, date(2025, 3, 11), "a strike"),
        ({"zone": "Pacific/Apia"}, date(2011, 12, 30), "no such date"),
        ({}, date(2025, 3, 11), ""),
    ],
)  # fmt: skip
def test_why_it_does_not_appear_on_a_day(fields, day, why):
    assert why in why_not(cadence(**fields), day)
    assert bool(why) == bool(why_not(cadence(**fields), day))


def test_all_stations_keep_their_distance_when_clocks_change():
    for day in (date(2025, 3, 29), date(2025, 3, 30), date(2025, 10, 26)):
        one = occurrence(cadence(at="03:10", gather_before=60, deadline_before=15, undo=5), day)
        assert (one.due_at - one.gather_at, one.due_at - one.deadline_at) == (timedelta(hours=1), timedelta(minutes=15))
        assert one.due_at - one.release_at == timedelta(minutes=2)  # all are due at one instant
        local = occurrence(cadence(at="03:10", undo=5, local=True), day)
        assert local.release_at - local.deadline_at == timedelta(minutes=5)


def test_what_was_due_before_it_counted_is_none_of_its_business():
    now = datetime(2025, 3, 10, 12, tzinfo=UTC)
    since = cadence()
    since.since = datetime(2025, 3, 9, 12, tzinfo=UTC)
    assert [one.day for one in past(since, now)] == [date(2025, 3, 10)]


clocks = st.builds(lambda hour, minute: f"{hour:02d}:{minute:02d}", st.integers(0, 23), st.integers(0, 59))
instants = st.datetimes(datetime(2024, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))


@given(zone=st.sampled_from(sorted(zones())), at=clocks, days=st.sets(st.sampled_from(DAYS), min_size=1), now=instants)
@settings(max_examples=300, deadline=None)
def test_in_every_zone_and_year_days_follow_each_other_once_each(zone, at, days, now):
    """What is past and what is coming are one line of days without a gap or a second time, each at its instant."""
    row = cadence(zone=zone, at=at, days=",".join(day for day in DAYS if day in days))
    before, after = list(islice(past(row, now), 9)), list(islice(coming(row, now), 9))
    line = [*reversed(before), *after]
    assert all(one.due_at <= now for one in before)
    assert all(one.due_at > now for one in after)
    assert [one.day for one in line] == sorted({one.day for one in line})
    assert [one.due_at for one in line] == sorted({one.due_at for one in line})
    between = [line[0].day + timedelta(days=n) for n in range((line[-1].day - line[0].day).days + 1)]
    assert [one.day for one in line] == [day for day in between if not why_not(row, day)]
    for one in line:
        wall = one.due_at.astimezone(ZoneInfo(zone))
        gap = instant(one.day, at, zone) == one.due_at and f"{wall:%H:%M}" != at
        assert (f"{wall:%H:%M}" == at and wall.date() == one.day) or gap
        assert one.gather_at < one.deadline_at <= one.release_at <= one.due_at <= one.late_at


# dates left out -----------------------------------------------------------------------------------------------------

CALENDAR = """BEGIN:VCALENDAR\r
VERSION:2.0\r
BEGIN:VEVENT\r
DTSTART;VALUE=DATE:20251224\r
DTEND;VALUE=DATE:20251227\r
SUMMARY:Winter\\, the long\r
  break\r
END:VEVENT\r
BEGIN:VEVENT\r
DTSTART;VALUE=DATE:20240229\r
RRULE:FREQ=YEARLY\r
SUMMARY:Leap\r
END:VEVENT\r
END:VCALENDAR\r
"""


def test_dates_left_out_are_read_from_lines_and_from_calendars():
    assert read_dates("2026-01-01 New Year\n# none\n\n2026-05-01\n") == {"2026-01-01": "New Year", "2026-05-01": ""}
    dates = read_dates(CALENDAR)
    assert {day: words for day, words in dates.items() if day < "2026" and "25" in day[:4]} == {
        "2025-12-24": "Winter, the long break", "2025-12-25": "Winter, the long break", "2025-12-26": "Winter, the long break",
    }  # fmt: skip
    assert [day for day, words in dates.items() if words == "Leap"] == ["2024-02-29", "2028-02-29", "2032-02-29"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("25/12/2026", "line 1: '25/12/2026' is no date"),
        ("2026-02-30", "line 1"),
        ("BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:X\nEND:VEVENT", "has no date"),
        ("BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20250101\nRRULE:FREQ=WEEKLY\nEND:VEVENT", "repeats by 'FREQ=WEEKLY'"),
        ("BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20250101\nDTEND:20290101\nEND:VEVENT", "more than a year"),
    ],
)  # fmt: skip
def test_a_file_of_dates_that_cannot_be_read_says_where(text, words):
    with pytest.raises(ValueError, match=words):
        read_dates(text)


@given(
    st.text(max_size=200)
    | st.text(alphabet="BEGIN:VCALENDRTSUMY;=0123456789\n", max_size=300).map("BEGIN:VCALENDAR\n".__add__)
)
@settings(max_examples=150, deadline=None)
def test_any_text_is_dates_or_a_refusal(text):
    try:
        dates = read_dates(text)
    except ValueError:
        return
    assert all(date.fromisoformat(day) for day in dates)
