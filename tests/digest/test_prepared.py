"""Statements run by the driver's own cursor say what SQLAlchemy would, on both databases, and fail in the same words."""

import pytest
from sqlalchemy import bindparam, func, literal_column, select, text

from digest.database import REVISION, revision_of, writing
from digest.deliveries.claims import _quick_rows, facts_of, open_rows
from digest.deliveries.prepared import Prepared
from digest.deliveries.tables import BATCHES, MAILINGS
from digest.errors import StorageError
from subscribers.audience import PEOPLE, WANTED
from tests.newsroom import NOW, morning, opened, readers, set_wish, suppress

BY_TIME = (
    select(MAILINGS.c.id, MAILINGS.c.date, MAILINGS.c.filled_at, MAILINGS.c.expires_at)
    .where(MAILINGS.c.filled_at <= bindparam("now"), MAILINGS.c.id == bindparam("mailing"))
)  # fmt: skip


def test_a_prepared_statement_gives_what_sqlalchemy_gives(engine):
    mailing = opened(engine, morning(engine))
    prepared, given = Prepared(BY_TIME), {"now": NOW, "mailing": mailing}
    with writing(engine) as session:
        connection = session.connection()
        plain = connection.execute(BY_TIME, given).one()
        assert prepared.first(connection, given)._asdict() == plain._mapping
        assert [row[0] for row in prepared.rows(connection, given)] == [mailing]
        assert prepared.first(connection, {**given, "mailing": mailing + 1}) is None


def test_the_quick_look_at_a_batch_lets_those_go_whom_the_whole_one_lets_go(engine):
    place = morning(engine)
    left, paused, over, barred, moved, gone, _ = ids = readers(engine, 7)
    opened(engine, place)
    set_wish(engine, left, state="left")
    set_wish(engine, paused, state="paused")
    set_wish(engine, over, state="paused", paused_until=NOW)
    suppress(engine, barred)
    with writing(engine) as session:
        connection = session.connection()
        connection.execute(
            PEOPLE.update().where(PEOPLE.c.id == moved).values(email="new@example.net", email_hash=b"n" * 16)
        )
        connection.execute(PEOPLE.delete().where(PEOPLE.c.id == gone))
        batch = connection.execute(BATCHES.select()).one()
        facts = facts_of(connection, batch.mailing_id, batch.proof_id)
        whole, quick = (look(connection, batch, facts, NOW) for look in (open_rows, _quick_rows))
        may_go = [bool(row.standing == WANTED and not row.moved) for row in whole]
        assert may_go == [False, False, True, False, False, False, True]
        assert [bool(row[3]) for row in quick] == may_go
        assert [row[:3] for row in quick if row[3]] == [
            tuple(row[:3]) for row in whole if row.standing == WANTED and not row.moved
        ]
    assert len(ids) == len(whole)


REFUSED = {
    "sqlite": ("PRAGMA user_version", select(literal_column("wish")).select_from(text("nowhere"))),
    "postgresql": ("SET LOCAL statement_timeout = 50", select(func.pg_sleep(5).label("slept"))),
}


def test_what_the_driver_refuses_is_told_as_storage(engine):
    before, refused = REFUSED[engine.dialect.name]

    def ask() -> None:
        with writing(engine) as session:
            session.connection().exec_driver_sql(before)
            Prepared(refused).rows(session.connection(), {})

    with pytest.raises(StorageError, match=r"The database refused: (no such table|canceling statement)"):
        ask()
    assert revision_of(engine) == REVISION  # the next one is let in
