from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.dates import read_date


@pytest.mark.parametrize(
    ("raw", "iso"),
    [
        ("Wed, 19 Feb 2025 10:00:00 CEST", "2025-02-19T08:00"),
        ("Wed, 19 Feb 2025 10:00:00 EST", "2025-02-19T15:00"),
        ("Wed, 19 Feb 25 10:00 GMT", "2025-02-19T10:00"),
        ("2025-02-19T10:00:00.123+01:00", "2025-02-19T09:00"),
        ("2025-02-19 10:00:00Z", "2025-02-19T10:00"),
        ("20250219T101100Z", "2025-02-19T10:11"),
        ("2025-02-19", "2025-02-19T00:00"),
        ("19 de febrero de 2025", "2025-02-19T00:00"),
        ("mié., 19 feb. 2025 10:00:00 +0100", "2025-02-19T09:00"),
        ("February 19, 2025 at 5:03 p.m.", "2025-02-19T17:03"),
        ("Wed Feb 19 10:00:00 UTC 2025", "2025-02-19T10:00"),
        ("2025-02-19T10:00:00", "2025-02-19T10:00"),  # no zone: UTC, as leaving it out would pass old off as new
    ],
)
def test_the_dates_that_newsrooms_write_are_read(raw: str, iso: str) -> None:
    assert read_date(raw) == datetime.fromisoformat(f"{iso}:00+00:00")


@pytest.mark.parametrize(
    "raw",
    [
        "03/04/2025",
        "2025-02-30",
        "19 Feb 2025 10:00:00 IST",
        "yesterday",
        "",
        "0001-01-01T00:00:00Z",
        "19 Foo 2025",
        "2025-02-19T25:00Z",
        "1" * 500,
    ],
)
def test_a_date_that_would_have_to_be_guessed_is_no_date(raw: str) -> None:
    assert read_date(raw) is None


MOMENTS = st.datetimes(min_value=datetime(1991, 1, 1), max_value=datetime(2090, 1, 1), timezones=st.just(UTC))
ZONES = st.integers(min_value=-12 * 4, max_value=14 * 4).map(
    lambda quarters: timezone(timedelta(minutes=15 * quarters))
)


@given(MOMENTS, ZONES)
def test_any_moment_written_as_mail_or_iso_date_is_read_back(moment: datetime, zone: timezone) -> None:
    there = moment.replace(microsecond=0).astimezone(zone)
    assert read_date(format_datetime(there)) == there
    assert read_date(there.isoformat()) == there


@given(st.text(max_size=90))
def test_no_text_breaks_the_reading_of_dates(raw: str) -> None:
    assert read_date(raw) is None or read_date(raw).tzinfo is UTC
