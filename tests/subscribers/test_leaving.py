"""Leaving is one statement and means all channels; it can be undone for a day; a pause ends where its reader is."""

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlmodel import SQLModel

from digest.database import writing
from subscribers import leaving
from tests.newsroom import NOW, morning, readers, set_wish

TABLE = SQLModel.metadata.tables
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def house(engine):
    morning(engine)
    return engine


def wishes(engine):
    row = TABLE["subscription"]
    with engine.begin() as connection:
        return connection.execute(row.select().order_by(row.c.id)).all()


def do(engine, what, *given, **named):
    with writing(engine) as session:
        return what(session.connection(), *given, **named)


def standing(engine, who, now=NOW):
    return do(engine, leaving.standing_with, who, 1, now=now)


def test_leaving_ends_every_channel_and_asked_again_changes_nothing(house):
    (ana,) = readers(house, 1, channels=("email", "push"))
    assert do(house, leaving.leave, ana, 1, now=NOW) == 2
    before = wishes(house)
    assert {row.state for row in before} == {"left"}
    assert do(house, leaving.leave, ana, 1, now=LATER) == 0
    assert wishes(house) == before
    assert standing(house, ana).state == "left"


def test_leaving_ends_nothing_of_anybody_else_and_of_no_other_digest(house):
    ana, _ben = readers(house, 2)
    do(house, leaving.leave, ana, 1, now=NOW)
    do(house, leaving.leave, ana, 2, now=NOW)
    assert [row.state for row in wishes(house)] == ["left", "active"]


def test_leaving_is_undone_as_it_was_within_a_day(house):
    (ana,) = readers(house, 1, channels=("email", "push"))
    set_wish(house, ana, paused_until=NOW + timedelta(days=5), state="paused")
    before = wishes(house)
    do(house, leaving.leave, ana, 1, now=NOW)
    do(house, leaving.say_why, ana, 1, "much", now=NOW)
    assert do(house, leaving.undo, ana, 1, now=NOW + leaving.UNDO) == 2
    assert wishes(house) == before


def test_what_was_left_before_stays_left_when_the_last_leaving_is_undone(house):
    (ana,) = readers(house, 1, channels=("email", "push"))
    row = TABLE["subscription"]
    with house.begin() as connection:
        connection.execute(row.update().where(row.c.channel == "push").values(state="left", left_at=NOW))
    do(house, leaving.leave, ana, 1, now=LATER)
    assert do(house, leaving.undo, ana, 1, now=LATER) == 1
    assert {one.channel: one.state for one in wishes(house)} == {"email": "active", "push": "left"}


def test_after_a_day_leaving_is_final(house):
    (ana,) = readers(house, 1)
    do(house, leaving.leave, ana, 1, now=NOW)
    assert standing(house, ana).can_undo(NOW + leaving.UNDO)
    assert not standing(house, ana).can_undo(NOW + leaving.UNDO + timedelta(seconds=1))
    assert do(house, leaving.undo, ana, 1, now=NOW + leaving.UNDO + timedelta(seconds=1)) == 0


def test_why_is_one_of_a_few_words_and_only_of_who_has_left(house):
    ana, ben = readers(house, 2)
    do(house, leaving.leave, ana, 1, now=NOW)
    for who, why in ((ana, "<script>"), (ben, "much"), (ana, "often")):
        do(house, leaving.say_why, who, 1, why, now=NOW)
    assert [row.left_why for row in wishes(house)] == ["often", ""]


def test_whys_count_readers_and_not_their_channels(house):
    ana, ben, _cleo = readers(house, 3, channels=("email", "push"))
    for who in (ana, ben):
        do(house, leaving.leave, who, 1, now=NOW)
    do(house, leaving.say_why, ana, 1, "dull", now=NOW)
    assert do(house, leaving.whys, 1) == {"often": 0, "much": 0, "dull": 1, "other": 0, "": 1}


def test_a_pause_rests_every_channel_and_ends_by_itself(house):
    (ana,) = readers(house, 1, channels=("email", "push"))
    until = NOW + timedelta(days=2)
    assert do(house, leaving.pause, ana, 1, until) == 2
    assert standing(house, ana).paused_until == until
    assert standing(house, ana, now=until).state == "active"
    assert do(house, leaving.resume, ana, 1) == 2
    assert {(row.state, row.paused_until) for row in wishes(house)} == {("active", None)}


def test_who_has_left_cannot_be_paused_back_in(house):
    (ana,) = readers(house, 1)
    do(house, leaving.leave, ana, 1, now=NOW)
    assert do(house, leaving.pause, ana, 1, LATER) == 0
    assert do(house, leaving.resume, ana, 1) == 0
    assert standing(house, ana).state == "left"


def test_who_never_asked_stands_nowhere(house):
    assert standing(house, 99).state == ""


@pytest.mark.parametrize(
    ("zone", "ends"),
    [
        ("Europe/Madrid", datetime(2026, 11, 29, 23, tzinfo=UTC)),
        ("Pacific/Auckland", datetime(2026, 11, 29, 11, tzinfo=UTC)),
        ("America/Los_Angeles", datetime(2026, 11, 30, 8, tzinfo=UTC)),
    ],
)
def test_a_pause_ends_with_the_day_where_the_reader_is(zone, ends):
    assert leaving.pause_ends(date(2026, 11, 30), zone, now=NOW) == ends


@pytest.mark.parametrize("day", [date(2026, 11, 23), date(2020, 1, 1), date(2027, 11, 25), date.max, date.min])
def test_a_pause_ends_after_today_and_within_a_year(day):
    with pytest.raises(ValueError, match="after today"):
        leaving.pause_ends(day, "Europe/Madrid", now=NOW)
