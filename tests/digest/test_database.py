"""The tables and their history, on both databases."""

import re
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, MetaData, inspect, text
from sqlmodel import SQLModel, select

from digest.database import MIGRATIONS, REVISION, migrate, open_engine, reading, revision_of, writing
from digest.errors import StorageError
from digest.models import AuditRow, SubscriberRow, SubscriberTopicRow

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2025, 3, 6, 6, tzinfo=UTC)


def test_the_migrations_make_the_tables_that_the_models_say(engine):
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), SQLModel.metadata) == []


def test_the_checks_in_the_database_are_those_of_the_models(engine):
    """Autogeneration does not see a new member of an enumeration; this does."""
    for table in SQLModel.metadata.tables.values():
        wanted = {c.name: _words(str(c.sqltext)) for c in table.constraints if isinstance(c, CheckConstraint)}
        there = {c["name"]: _words(c["sqltext"]) for c in inspect(engine).get_check_constraints(table.name)}
        assert there == wanted, table.name


def _words(check):
    return set(re.findall(r"'([a-z_]+)'", check))


def test_the_newest_migration_is_the_one_the_code_expects():
    numbers = sorted(file.name.split("_")[0] for file in (MIGRATIONS / "versions").glob("*.py"))
    assert numbers[-1] == REVISION


def test_migrating_again_changes_nothing(engine):
    with writing(engine) as session:
        session.add(AuditRow(at=NOW, who="ana", did="look", subject="edition", subject_id=1))
    migrate(engine)
    assert revision_of(engine) == REVISION
    with reading(engine) as session:
        assert session.execute(text("SELECT count(*) FROM audit")).scalar() == 1


def test_readers_of_an_older_version_are_all_there_after_the_migration(database_url):
    engine = open_engine(database_url)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["engine"] = engine
    command.upgrade(config, "0002")
    tables = MetaData()
    tables.reflect(engine)
    person = {"public_id": "p", "email": "ana@example.net", "email_key": "ana@example.net", "email_hash": b"h" * 16, "name": "Ana",
              "language": "es", "zone": "UTC", "attributes": {"city": "Lima"}, "joined_at": NOW, "updated_at": NOW}  # fmt: skip
    with engine.begin() as connection:
        connection.execute(tables.tables["subscriber"].insert(), person)
        connection.execute(
            tables.tables["subscriber_topic"].insert(), {"subscriber_id": 1, "topic": "korea", "wish": 1}
        )
    migrate(engine)
    with reading(engine) as session:
        ana = session.exec(select(SubscriberRow)).one()
        assert (ana.email, ana.attributes, ana.tracked_since) == ("ana@example.net", {"city": "Lima"}, None)
        assert session.exec(select(SubscriberTopicRow.topic)).all() == ["korea"]
    engine.dispose()


def test_several_processes_may_migrate_at_once(tmp_path):
    url = f"sqlite:///{tmp_path / 'one.sqlite'}"
    program = f"from digest.database import migrate, open_engine; migrate(open_engine({url!r}))"
    started = [subprocess.Popen([sys.executable, "-c", program], cwd=ROOT) for _ in range(3)]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    assert revision_of(open_engine(url)) == REVISION


def test_times_come_back_aware_and_in_utc(engine):
    with writing(engine) as session:
        row = AuditRow(at=NOW, who="ana", did="look", subject="edition", subject_id=1)
        session.add(row)
    with reading(engine) as session:
        assert session.get(AuditRow, row.id).at == NOW


def test_what_fails_in_the_middle_leaves_nothing(engine):
    with pytest.raises(ZeroDivisionError), writing(engine) as session:  # noqa: PT012 - the fault comes after the row
        session.add(AuditRow(at=NOW, who="ana", did="look", subject="edition", subject_id=1))
        session.flush()
        raise ZeroDivisionError
    with reading(engine) as session:
        assert session.execute(text("SELECT count(*) FROM audit")).scalar() == 0


def test_a_reader_does_not_wait_for_a_writer(sqlite_engine):
    with writing(sqlite_engine) as session:
        session.add(AuditRow(at=NOW, who="ana", did="look", subject="edition", subject_id=1))
        session.flush()
        with reading(sqlite_engine) as other:
            assert other.execute(text("SELECT count(*) FROM audit")).scalar() == 0


def test_a_database_held_by_another_is_one_clear_line(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 'held.sqlite'}")
    migrate(engine)
    with engine.connect() as connection:
        connection.connection.driver_connection.execute("PRAGMA busy_timeout=50")
    other = sqlite3.connect(tmp_path / "held.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="Another process has held the database"), writing(engine) as session:
        session.execute(text("SELECT 1"))
    other.close()


@pytest.mark.parametrize("url", ["oracle://x", "mysql://x/y", "nonsense"])
def test_an_address_we_cannot_open_is_refused_in_words(url):
    with pytest.raises(StorageError, match="DIGEST_DATABASE is wrong"):
        open_engine(url)
