"""What readers did: added up by the day, of those who agreed, and gone with the reader."""

from datetime import date

import pytest
from sqlalchemy import select

from subscribers.engagement import add_up
from subscribers.models import ActivityRow
from tests.crowd import NOW, PEOPLE, Reader, fill

DONE = ActivityRow.metadata.tables["activity"]
MONDAY, TUESDAY = date(2026, 3, 30), date(2026, 3, 31)
ANA, BEN, CLEO = 1, 2, 3


@pytest.fixture
def three(engine):
    fill(engine, [Reader(tracked=True), Reader(tracked=True), Reader(tracked=False)])
    return engine


def add(engine, counts):
    with engine.begin() as connection:
        return add_up(connection, counts)


def known(engine):
    with engine.connect() as connection:
        return {(row.subscriber_id, row.kind, row.day): row.number for row in connection.execute(select(DONE))}


def test_counts_of_a_day_add_up_and_days_and_kinds_stay_apart(three):
    assert add(three, {(ANA, "opened", MONDAY): 2, (ANA, "clicked", MONDAY): 1, (BEN, "opened", MONDAY): 1}) == 3
    assert add(three, {(ANA, "opened", MONDAY): 3, (ANA, "opened", TUESDAY): 1}) == 2
    assert known(three) == {
        (ANA, "opened", MONDAY): 5,
        (ANA, "opened", TUESDAY): 1,
        (ANA, "clicked", MONDAY): 1,
        (BEN, "opened", MONDAY): 1,
    }


def test_nothing_is_kept_of_who_did_not_agree_or_is_no_more(three):
    assert add(three, {(CLEO, "opened", MONDAY): 1, (99, "opened", MONDAY): 1, (ANA, "opened", MONDAY): 1}) == 1
    assert known(three) == {(ANA, "opened", MONDAY): 1}


def test_more_than_a_block_goes_in_whole(engine):
    fill(engine, [Reader(tracked=True)] * 1201)
    counts = {(number, kind, MONDAY): 1 for number in range(1, 1202) for kind in ("opened", "clicked")}
    assert add(engine, counts) == 2402
    assert known(engine) == counts


def test_what_a_reader_did_goes_with_the_reader(three):
    add(three, {(ANA, "opened", MONDAY): 1, (BEN, "opened", MONDAY): 1})
    with three.begin() as connection:
        connection.execute(PEOPLE.delete().where(PEOPLE.c.id == ANA))
    assert known(three) == {(BEN, "opened", MONDAY): 1}


def test_a_time_agreed_to_comes_back_as_it_was(three):
    with three.connect() as connection:
        since = connection.execute(select(PEOPLE.c.tracked_since).order_by(PEOPLE.c.id)).scalars().all()
    assert since == [NOW, NOW, None]
