"""To agree to be counted by name, once more, and to take it back: on both databases."""

from datetime import date, timedelta

import pytest
from sqlmodel import SQLModel

from digest.database import writing
from subscribers import consents
from subscribers.engagement import add_up, tracked
from tests.newsroom import NOW, morning, readers

LATER = NOW + timedelta(days=30)
TABLES = SQLModel.metadata.tables


@pytest.fixture
def people(engine):
    morning(engine)
    readers(engine, 2)
    return engine


def rows(engine, table):
    with engine.connect() as connection:
        return connection.execute(TABLES[table].select().order_by(*TABLES[table].primary_key.columns)).all()


def agree(engine, who, *, wording="en-1", now=NOW):
    with writing(engine) as session:
        consents.agree(
            session.connection(), who, {"source": "own page", "wording": wording, "proof": "p" * 32}, now=now
        )


def test_a_consent_keeps_when_where_and_to_what(people):
    agree(people, 1)
    assert [tuple(row) for row in rows(people, "tracking_consent")] == [(1, NOW, "own page", "en-1", "p" * 32)]
    assert [row.tracked_since for row in rows(people, "subscriber")] == [NOW, None]


def test_who_agrees_to_newer_words_is_counted_since_they_first_did(people):
    agree(people, 1)
    agree(people, 1, wording="en-2", now=LATER)
    assert [(row.at, row.wording) for row in rows(people, "tracking_consent")] == [(LATER, "en-2")]
    assert rows(people, "subscriber")[0].tracked_since == NOW


def test_taking_it_back_forgets_what_was_kept_of_them_and_of_nobody_else(people):
    for who in (1, 2):
        agree(people, who)
        with writing(people) as session:
            connection = session.connection()
            add_up(connection, {(who, "opened", date(2026, 11, 23)): 2})
            deed = {"edition_id": 1, "kind": "opened", "link": -1, "at": 0.0, "machine": False, "why": "", "source": ""}
            connection.execute(TABLES["deed"].insert(), {"subscriber_id": who, **deed})
    with writing(people) as session:
        consents.withdraw(session.connection(), 1, now=LATER)
        consents.withdraw(session.connection(), 1, now=LATER)
        assert tracked(session.connection(), {1, 2}) == {2}
    for table in ("tracking_consent", "deed", "activity"):
        assert [row.subscriber_id for row in rows(people, table)] == [2], table
