"""The tables and their history, on both databases."""

import random
import re
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from string import ascii_lowercase

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, MetaData, inspect, text
from sqlmodel import SQLModel, select

from digest.database import MIGRATIONS, REVISION, migrate, open_engine, reading, revision_of, scrub, writing
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


@pytest.mark.parametrize("seed", [24, 35, 49, 53])  # of those with which something stays behind unless it is scrubbed
def test_scrubbed_files_hold_no_byte_of_what_was_deleted(tmp_path, seed):
    """Zeros over what is deleted are not enough: pages that were split keep copies (of about one row in 300)."""
    chance, engine = random.Random(seed), open_engine(f"sqlite:///{tmp_path / 'one.sqlite'}")
    secrets = [f"secret{n}-{chance.random()}" for n in range(30)]

    def filler():
        return {"key": f"{chance.choice(ascii_lowercase)}{chance.random()}", "words": "y" * chance.randint(0, 2000)}

    insert = text("INSERT INTO page (key, words) VALUES (:key, :words)")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE page (id INTEGER PRIMARY KEY, key TEXT UNIQUE, words TEXT)"))
        connection.execute(insert, [filler() for _ in range(300)])
        for secret in secrets:
            connection.execute(
                insert, {"key": chance.choice(ascii_lowercase) + secret, "words": secret * chance.randint(1, 60)}
            )
            connection.execute(insert, [filler() for _ in range(40)])
    with engine.begin() as connection:
        for secret in secrets:
            changed = {"words": secret * chance.randint(1, 60), "key": f"_{secret}"}
            connection.execute(text("UPDATE page SET words = :words WHERE key LIKE :key"), changed)
        connection.execute(insert, [filler() for _ in range(300)])
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM page WHERE key LIKE '_secret%'"))
    scrub(engine)
    found = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert [secret for secret in secrets if secret.encode() in found] == []
    engine.dispose()
