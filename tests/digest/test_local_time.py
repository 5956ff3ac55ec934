"""Every zone, every clock change of 2024 to 2027: a local time is one instant, and a reader gets one edition each date."""

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digest.values import Late
from digest.windows import HALF_HOURS, Due, Fate, Rhythm, has_day, instant
from subscribers.zones import zones

QUARTER = timedelta(minutes=15)
FIRST, LAST = datetime(2024, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
LONG_AGO = FIRST - timedelta(days=900)
LOOKS = [FIRST + n * timedelta(hours=6) for n in range((LAST - FIRST) // timedelta(hours=6) + 1)]
ZONES = sorted(zones())


@cache
def changes(zone):
    """The instants at which the zone's clocks were or will be set, found by looking every six hours, then closer."""
    there = ZoneInfo(zone)
    offsets = [at.astimezone(there).utcoffset() for at in LOOKS]
    return [
        quarter
        for at, before, after in zip(LOOKS, offsets, offsets[1:], strict=False)
        if before != after
        for quarter in (at + n * QUARTER for n in range(1, 25))
        if quarter.astimezone(there).utcoffset() != (quarter - QUARTER).astimezone(there).utcoffset()
    ]


def walls(zone, around):
    """What the clocks on the wall showed in five days, a quarter of an hour at a time: each reading's first instant."""
    there, shown = ZoneInfo(zone), {}
    for step in range(-240, 240):
        at = around + step * QUARTER
        shown.setdefault(at.astimezone(there).replace(tzinfo=None), at)
    return shown


def expected(shown, wall):
    """By looking: the first time the clock shows it; where it never does, as if the clocks had not been set yet."""
    if wall in shown:
        return shown[wall]
    before, at = max((reading, at) for reading, at in shown.items() if reading < wall)
    return at + (wall - before)


@cache
def changing():
    """The zones whose clocks are set at all; looked for when a test asks, not when tests are collected."""
    return [zone for zone in ZONES if changes(zone)]


def test_there_are_zones_whose_clocks_change_and_every_change_is_found():
    assert len(changing()) > 150
    assert [at.isoformat() for at in changes("America/Santiago")[:2]] == [
        "2024-04-07T03:00:00+00:00",
        "2024-09-08T04:00:00+00:00",
    ]
    assert len(changes("Africa/Casablanca")) == 8  # it also changes for Ramadan


def test_around_every_change_every_half_hour_is_the_first_instant_that_the_clock_shows_it():
    seen = 0
    for zone in changing():
        for change in changes(zone):
            shown = walls(zone, change)
            day = change.astimezone(ZoneInfo(zone)).date()
            for one in (day - timedelta(days=1), day, day + timedelta(days=1)):
                for clock in HALF_HOURS:
                    wall = datetime.combine(one, time.fromisoformat(clock))
                    assert instant(one, clock, zone) == expected(shown, wall), (zone, one, clock)
                    seen += 1
    assert seen > 100_000


@settings(max_examples=300, deadline=None)
@given(st.deferred(lambda: st.sampled_from(changing())), st.data(), st.sampled_from(HALF_HOURS))
def test_in_400_days_around_a_change_a_reader_gets_one_edition_on_each_date(zone, data, hour):
    middle = data.draw(st.sampled_from(changes(zone))).date()
    days = [middle + timedelta(days=n) for n in range(-200, 200)]
    due = [dated(day).due(zone, hour, now=LONG_AGO) for day in days]
    there = ZoneInfo(zone)
    assert all(one.fate == Fate.KEPT for one in due)
    assert all(earlier.instant < later.instant for earlier, later in pairwise(due))
    for day, one in zip(days, due, strict=True):
        wall = one.instant.astimezone(there)
        if (wall.date(), wall.strftime("%H:%M")) != (day, hour):  # a gap, and the offset before it
            before = (one.instant - timedelta(hours=3)).astimezone(there)
            assert one.instant == datetime.combine(day, time.fromisoformat(hour), tzinfo=UTC) - before.utcoffset()


def dated(day, **fields):
    plan = {"at": "07:00", "zone": "Europe/Madrid", "home": "Europe/Madrid", "local": True, "released": LONG_AGO}
    return Rhythm(day=day, **{**plan, **fields})


def on(moment):
    return datetime.fromisoformat(moment).replace(tzinfo=UTC)


DAY = date(2026, 11, 24)
NOON = on("2026-11-24T12:00")  # 13:00 in Madrid, 21:00 in Tokyo, 07:00 in New York


@pytest.mark.parametrize(
    ("zone", "hour", "late", "instant", "fate"),
    [
        ("Europe/Madrid", "14:00", Late.SKIP, "2026-11-24T13:00", Fate.KEPT),
        ("Europe/Madrid", "13:00", Late.SKIP, "2026-11-24T12:00", Fate.KEPT),  # the very moment
        ("Europe/Madrid", "23:30", Late.SKIP, "2026-11-24T22:30", Fate.KEPT),  # chosen, though nobody is woken for news
        ("Europe/Madrid", "", Late.SKIP, "2026-11-24T12:00", Fate.LATER),
        ("America/New_York", "", Late.SKIP, "2026-11-24T12:00", Fate.KEPT),
        ("Asia/Kathmandu", "06:30", Late.SKIP, "2026-11-24T12:15", Fate.LATER),  # 18:00 there
        ("Asia/Tokyo", "", Late.MERGE, "2026-11-24T12:00", Fate.LATER),
        ("Pacific/Auckland", "", Late.SKIP, None, Fate.MISSED),  # 01:00 of the next day there
        ("Pacific/Auckland", "", Late.MERGE, None, Fate.MISSED),
        ("Pacific/Auckland", "", Late.SEND, "2026-11-24T17:00", Fate.NEXT_DAY),
        ("Nowhere/Land", "14:00", Late.SKIP, "2026-11-24T13:00", Fate.KEPT),
    ],
)  # fmt: skip
def test_an_hour_before_the_release_moves_to_the_next_allowed_one(zone, hour, late, instant, fate):
    plan = dated(DAY, released=NOON, late=late)
    assert plan.due(zone, hour, now=NOON) == Due(on(instant) if instant else None, fate)


@pytest.mark.parametrize(
    ("zone", "hour", "late", "instant", "fate"),
    [
        ("Europe/Madrid", "12:30", Late.SKIP, "2026-11-24T11:30", Fate.KEPT),  # late, within what is allowed
        ("Europe/Madrid", "09:30", Late.SKIP, None, Fate.MISSED),
        ("Europe/Madrid", "09:30", Late.SEND, "2026-11-24T12:00", Fate.LATER),
        ("Europe/Madrid", "13:30", Late.SKIP, "2026-11-24T12:30", Fate.KEPT),
        ("Asia/Karachi", "", Late.SKIP, None, Fate.MISSED),
        ("Asia/Ho_Chi_Minh", "18:30", Late.SEND, "2026-11-24T11:30", Fate.KEPT),
        ("Pacific/Guadalcanal", "22:30", Late.SKIP, None, Fate.MISSED),  # 23:00 there: they sleep until after it is too late
        ("Pacific/Guadalcanal", "22:30", Late.SEND, "2026-11-24T19:00", Fate.NEXT_DAY),
    ],
)  # fmt: skip
def test_when_nobody_was_there_to_send_an_hour_holds_for_as_long_as_the_cadence_allows(zone, hour, late, instant, fate):
    plan = dated(DAY, late=late)
    assert plan.due(zone, hour, now=NOON) == Due(on(instant) if instant else None, fate)


def test_the_last_half_hour_may_run_on():
    late = on("2026-11-24T21:20")  # 22:20 in Madrid
    assert dated(DAY).due("Europe/Madrid", "22:00", now=late) == Due(on("2026-11-24T21:00"), Fate.KEPT)


def test_one_instant_for_all_where_the_cadence_is_not_local():
    plan = dated(DAY, local=False)
    seven = on("2026-11-24T06:00")
    assert plan.due("Asia/Tokyo", "09:00", now=NOON) == Due(seven, Fate.KEPT)
    assert dated(DAY, local=False, released=NOON).due("Asia/Tokyo", "", now=NOON) == Due(NOON, Fate.LATER)


@pytest.mark.parametrize(("late", "at"), [(Late.SKIP, None), (Late.MERGE, None), (Late.SEND, "2011-12-30T16:00")])
def test_a_date_that_a_zone_never_had_is_served_by_the_rule(late, at):
    gone = dated(date(2011, 12, 30), released=on("2011-12-20T00:00"), late=late)
    found = gone.due("Pacific/Apia", "09:00", now=gone.released)
    assert found == Due(on(at) if at else None, Fate.NEXT_DAY if at else Fate.MISSED)


def test_a_midnight_that_santiago_skips_is_the_hour_after_it():
    plan = dated(date(2025, 9, 7))
    assert plan.due("America/Santiago", "00:00", now=FIRST) == Due(on("2025-09-07T04:00"), Fate.KEPT)
    assert plan.due("America/Santiago", "00:30", now=FIRST) == Due(on("2025-09-07T04:30"), Fate.KEPT)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(ZONES), st.sampled_from(["", *HALF_HOURS]), st.sampled_from(list(Late)),
    st.datetimes(datetime(2024, 1, 2), datetime(2027, 12, 30), timezones=st.just(UTC)),
    st.integers(-1500, 1500), st.sampled_from([("06:00", "22:00"), ("08:30", "09:00"), ("00:00", "23:30"), ("06:15", "20:45")]),
)  # fmt: skip
def test_whenever_it_is_released_a_reader_is_served_once_or_by_the_rule(zone, hour, late, released, minutes, window):
    released = released.replace(second=0, microsecond=0)
    plan = dated(
        (released - timedelta(minutes=minutes)).date(), released=released, late=late, opens=window[0], closes=window[1]
    )
    there = ZoneInfo(zone)
    found, wished = plan.due(zone, hour, now=released), instant(plan.day, hour or "07:00", zone)
    moved = [at for at in allowed(there, released, window) if at.astimezone(there).date() == plan.day]
    assert has_day(plan.day, zone)
    if wished >= released:
        assert found == Due(wished, Fate.KEPT)
    elif moved:
        assert found == Due(moved[0], Fate.LATER)
    elif late == Late.SEND:
        assert found.instant == next(allowed(there, released, window))
    else:
        assert found == Due(None, Fate.MISSED)


def allowed(there, start, window):
    """Every time of three days from `start` on at which a wall clock there shows a half-hour within the window, or its opening."""
    at = start + timedelta(minutes=-start.minute % 15)
    while at < start + timedelta(days=3):
        wall = at.astimezone(there)
        clock = wall.strftime("%H:%M")
        if wall.fold == 0 and (clock == window[0] or (clock in HALF_HOURS and window[0] <= clock <= window[1])):
            yield at
        at += QUARTER
