"""The database fails while messages leave by SMTP: what the server has taken is on record, the rest is queued again."""

import shutil
import sqlite3
import time
from collections import Counter
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, text

from digest.database import open_engine
from digest.deliveries import balance_of, deliver
from digest.errors import StorageError
from digest.settings import read_settings
from digest.transports.smtp import open_transport
from tests.at_work import when
from tests.laid import lay
from tests.newsroom import KEYS, PLACE, deliveries_of, morning, opened, readers
from tests.sinks.running import sink

READERS = 600
SOME = 100 * 60  # bytes of the sink's book: about fifty messages


@pytest.fixture
def server(tmp_path):
    with sink("smtp", tmp_path / "book", wait=(0.01, 0.03)) as there:
        yield there


def a_mailing(engine):
    house = morning(engine)
    readers(engine, READERS)
    now = datetime.now(UTC)
    return opened(engine, house, now=now, expires_at=now + timedelta(hours=6))


def run(engine, mailing, server, home, lease=60.0):
    settings = read_settings(
        home, smtp_servers=(f"127.0.0.1:{server.port}",), smtp_security="none", smtp_bounces="b@news.example.org"
    )
    transport = open_transport(settings, PLACE)
    try:
        return deliver(
            engine, {"outbox": transport}, mailing=mailing, keys=KEYS, lease=lease, clock=lambda: datetime.now(UTC)
        )
    finally:
        transport.close()


def demand_everyone_once(engine, mailing, server, doubts=0):
    balance = balance_of(engine, mailing)
    assert balance.done, balance.words
    assert balance.counts.get("ambiguous", 0) <= doubts
    assert balance.counts["accepted"] + balance.counts.get("ambiguous", 0) == READERS
    assert set(server.copies.values()) == {1}
    taken = {int(one.address[6:].partition("@")[0]) for one in server.taken}
    assert {row.number for row in deliveries_of(engine) if row.state == "accepted"} <= taken


def impatient(engine):
    """The same database by connections that wait 0.3 s for a lock instead of 30 s."""
    hasty = open_engine(engine.url.render_as_string(hide_password=False))
    event.listen(hasty, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=300"))
    return hasty


def test_locked_by_another_for_longer_than_we_wait_the_run_ends_in_one_line_and_what_was_taken_is_on_record(
    sqlite_engine, server, tmp_path
):
    mailing, hasty = a_mailing(sqlite_engine), impatient(sqlite_engine)

    def lock():
        with closing(sqlite3.connect(sqlite_engine.url.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            time.sleep(1.0)

    locker = when(server, SOME, lock)
    with pytest.raises(StorageError, match="Another process has held the database"):
        run(hasty, mailing, server, tmp_path)
    locker.join()
    counts = Counter(row.state for row in deliveries_of(sqlite_engine))
    assert counts["accepted"] == len(server.taken)
    assert counts.keys() == {"accepted", "queued"}
    assert run(hasty, mailing, server, tmp_path).done
    demand_everyone_once(sqlite_engine, mailing, server)
    hasty.dispose()


def test_locked_by_another_for_less_than_we_wait_nobody_notices(sqlite_engine, server, tmp_path):
    mailing = a_mailing(sqlite_engine)

    def lock():
        with closing(sqlite3.connect(sqlite_engine.url.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            time.sleep(1.5)

    locker = when(server, SOME, lock)
    assert run(sqlite_engine, mailing, server, tmp_path).done
    locker.join()
    demand_everyone_once(sqlite_engine, mailing, server)


def test_on_a_full_disk_the_run_ends_in_one_line_and_goes_on_when_there_is_room(small_disk, server, tmp_path):
    disk, _ = small_disk(40_000)
    engine = open_engine(lay(disk / "digest.sqlite"))
    mailing = a_mailing(engine)
    filler = disk / "filler"

    def fill():
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(b"x" * 4096)

    thread = when(server, SOME, fill)
    with pytest.raises(StorageError, match="The disk is full"):
        run(engine, mailing, server, tmp_path, lease=2.0)
    thread.join()
    assert len(server.taken) < READERS
    filler.unlink()
    assert run(engine, mailing, server, tmp_path).done
    demand_everyone_once(engine, mailing, server, doubts=10)
    engine.dispose()


@pytest.mark.postgres
def test_a_database_server_that_ends_our_connections_is_one_line_and_the_next_run_goes_on(
    postgres_engine, server, tmp_path
):
    mailing = a_mailing(postgres_engine)
    url = postgres_engine.url.update_query_dict({"application_name": "the press"})
    press = open_engine(url.render_as_string(hide_password=False))

    def end():
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'the press'"
        with postgres_engine.begin() as connection:
            connection.execute(text(query))

    thread = when(server, SOME, end)
    with pytest.raises(StorageError, match="The database refused"):
        run(press, mailing, server, tmp_path)
    thread.join()
    assert len(server.taken) < READERS
    assert run(press, mailing, server, tmp_path).done
    demand_everyone_once(postgres_engine, mailing, server, doubts=10)
    press.dispose()


def test_a_database_that_is_gone_is_said_at_once_and_nobody_waits_for_it(sqlite_engine, tmp_path):
    mailing = a_mailing(sqlite_engine)
    place = tmp_path / "moved"
    place.mkdir()
    shutil.copy(sqlite_engine.url.database, place / "digest.sqlite")
    engine = open_engine(f"sqlite:///{place / 'digest.sqlite'}")
    shutil.rmtree(place)
    with pytest.raises(StorageError, match="cannot be written to"):
        deliver(engine, {}, mailing=mailing, keys=KEYS, lease=60, clock=lambda: datetime.now(UTC))
