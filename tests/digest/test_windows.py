from datetime import UTC, date, datetime

import pytest

from digest import windows


@pytest.mark.parametrize(
    ("day", "clock", "zone", "instant"),
    [
        (date(2025, 3, 8), "07:00", "America/New_York", "2025-03-08T12:00"),
        (date(2025, 3, 9), "07:00", "America/New_York", "2025-03-09T11:00"),
        (date(2025, 3, 9), "02:30", "America/New_York", "2025-03-09T07:30"),   # in the gap: the offset before it
        (date(2025, 11, 2), "01:30", "America/New_York", "2025-11-02T05:30"),  # in the fold: the first
        (date(2025, 10, 26), "02:30", "Europe/Madrid", "2025-10-26T00:30"),
        (date(2025, 9, 7), "00:00", "America/Santiago", "2025-09-07T04:00"),
    ],
)  # fmt: skip
def test_a_time_on_the_wall_is_one_instant_also_when_clocks_change(day, clock, zone, instant):
    assert windows.instant(day, clock, zone) == datetime.fromisoformat(instant).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("day", "zone", "there"),
    [
        (date(2011, 12, 29), "Pacific/Apia", True),
        (date(2011, 12, 30), "Pacific/Apia", False),  # it moved over the date line
        (date(2011, 12, 31), "Pacific/Apia", True),
        (date(2024, 3, 30), "America/Nuuk", True),    # the hour before midnight was left out
        (date(2025, 9, 7), "America/Santiago", True),  # the hour after midnight was
    ],
)  # fmt: skip
def test_a_date_may_be_missing_somewhere(day, zone, there):
    assert windows.has_day(day, zone) is there
