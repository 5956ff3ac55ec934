"""The clock and the zones, the database, the disk and the secrets of a house."""

import os
import re
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import pytest

from digest.checkup import clock, storage
from digest.checkup.storage import Stored
from digest.database import open_engine, writing
from tests.examined import NOW, ROOT, change, of, verdicts
from tests.newsroom import readers

# clock and zones ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("off", "verdict"), [(3, "good"), (30, "warn"), (-30, "warn"), (3600, "bad"), (-3600, "bad")])
def test_a_clock_that_differs_from_the_provider_s_is_told(asked, by_sendgrid, off, verdict):
    there, settings = by_sendgrid
    there.clock = lambda: datetime.now(UTC) - timedelta(seconds=off)
    ((_, was, words),) = of(asked(**settings), "clock")
    assert was == verdict
    assert verdict == "good" or ("before" if off > 0 else "behind") in words


def test_a_clock_that_was_set_back_behind_the_last_marker_is_told(home, asked):
    engine = open_engine(f"sqlite:///{home / 'digest.sqlite'}")
    stamp = int((NOW + timedelta(hours=1)).timestamp() * 1e6)
    with writing(engine) as session:
        session.connection().exec_driver_sql(
            "INSERT INTO sender (id, owner, lease_until, stamp) VALUES (1, '', 0, ?)", (stamp,)
        )
    engine.dispose()
    ((_, verdict, words),) = of(asked(offline=True), "clock")
    assert (verdict, "set back" in words) == ("bad", True)
    assert verdicts(asked(offline=True, now=NOW + timedelta(hours=2)), "clock") != ["bad"]


@pytest.mark.postgres
def test_the_database_server_s_clock_is_compared_with_ours(asked, postgres_server):
    url = postgres_server.create_migrated()
    found = asked(offline=True, database=url)
    assert verdicts(found, "database") == ["good"]
    assert of(found, "database")[0][2].startswith("PostgreSQL ")
    assert "as by the database's clock" in of(found, "clock")[0][2]


def zones_at(now, *zones):
    return [(one.verdict, one.words) for one in clock.look(now, Stored(zones=zones), {}) if one.what == "zones"]


def test_zone_rules_of_more_than_a_year_ago_are_told_and_newer_ones_are_not():
    ((verdict, words),) = zones_at(datetime(2040, 1, 1, tzinfo=UTC))
    assert (verdict, "more than a year old: upgrade tzdata" in words) == ("warn", True)
    version = re.search(r"\d{4}[a-z]+", words)[0]
    ((verdict, words),) = zones_at(datetime(int(version[:4]), 1, 2, tzinfo=UTC))
    assert (verdict, version in words) == ("good", True)


def test_without_the_system_s_zones_the_package_s_are_looked_at(tmp_path):
    program = (
        "from datetime import UTC, datetime\nfrom digest.checkup import clock\nfrom digest.checkup.storage import Stored\n"
        "print([one.words for one in clock.look(datetime(2026, 1, 1, tzinfo=UTC), Stored(), {})][1])"
    )
    environment = {"PATH": "/usr/bin", "PYTHONPATH": str(ROOT), "PYTHONTZPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert re.search(r"the rules 20\d\d[a-z] in .*tzdata/__init__\.py", done.stdout)


def test_a_digest_in_a_zone_that_is_none_is_told(home, asked):
    change(home, zone="Europe/Madrd")
    ((_, verdict, words),) = of(asked(offline=True), "zones")
    assert verdict == "bad"
    assert "did you mean Europe/Madrid?" in words


# database, disk and secrets -----------------------------------------------------------------------------------------


def test_a_damaged_database_is_told(home, asked):
    file = home / "digest.sqlite"
    engine = open_engine(f"sqlite:///{file}")
    readers(engine, 2000)
    with engine.begin() as connection:
        connection.exec_driver_sql("SELECT 1")
    engine.dispose()
    content = bytearray(file.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 3 * 4096] = os.urandom(3 * 4096)
    file.write_bytes(content)
    ((_, verdict, words),) = of(asked(offline=True), "database")
    assert (verdict, "damaged" in words, "backup" in words) == ("bad", True, True), words


def test_a_file_that_is_no_database_is_told(home, asked):
    (home / "digest.sqlite").write_bytes(b"nothing like a database" * 1000)
    ((_, verdict, words),) = of(asked(offline=True), "database")
    assert (verdict, "damaged" in words) == ("bad", True)


def test_a_database_that_was_never_set_up_is_told_and_hides_nothing_else(home, asked, sending):
    (home / "digest.sqlite").unlink()
    found = asked(**sending)
    assert "run digest" in of(found, "database")[0][2]
    assert verdicts(found, "smtp") == ["good"]


def test_a_database_too_large_to_be_read_through_in_time_is_said_to_be_so(home):
    engine = open_engine(f"sqlite:///{home / 'digest.sqlite'}")
    readers(engine, 5000)
    engine.dispose()
    early, late = (storage.look(home, now=NOW, until=monotonic() + more).findings[0] for more in (0.0, 10.0))
    assert (early.verdict, "PRAGMA quick_check" in early.words) == ("good", True)
    assert (late.verdict, late.words.endswith("whole")) == ("good", True)


@contextmanager
def held(file):
    """Another process that lets nobody near the database."""
    program = (
        f"import sqlite3, sys; one = sqlite3.connect({str(file)!r}, isolation_level=None);"
        "one.execute('PRAGMA locking_mode=EXCLUSIVE'); one.execute('BEGIN EXCLUSIVE'); print('held', flush=True);"
        "sys.stdin.read()"
    )
    other = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline().strip() == b"held"
        yield
    finally:
        other.communicate()


def test_a_database_that_another_process_holds_is_told_in_time(home, asked):
    with held(home / "digest.sqlite"):
        began = monotonic()
        ((_, verdict, words),) = of(asked(offline=True), "database")
        assert monotonic() - began < 5
    assert (verdict, "another process" in words) == ("bad", True)


def test_it_says_whether_anybody_would_hear_of_a_fault_at_night(asked):
    hears = {"alarm_webhook": "https://alarms.example.org/x", "alarm_secret": "a secret of the webhook"}
    assert "DIGEST_ALARM_EMAIL" in of(asked(offline=True), "alarms")[0][2]
    assert "needs what it warns of" in of(asked(offline=True, alarm_email="ana@example.org"), "alarms")[0][2]
    _, verdict, words = of(asked(offline=True, **hears), "alarms")[0]
    assert (verdict, words.startswith("told by email, webhook; DIGEST_HEARTBEAT_URL would")) == ("good", True)
    assert (
        "outside watcher is told"
        in of(asked(offline=True, **hears, heartbeat_url="https://w.example/p"), "alarms")[0][2]
    )


def test_a_full_disk_is_told(asked, small_disk):
    disk, _ = small_disk(1000)
    found = of(asked(offline=True, outbox=disk / "outbox"), "disk")
    assert ("warn", "make room") in {(verdict, words.rpartition(": ")[2]) for _, verdict, words in found}
    assert len(found) == 2, "the database is on another"


def test_keys_that_others_can_read_are_told(home, asked):
    (home / ".env").chmod(0o640)
    Path(".env").write_text("DIGEST_LEASE=30\n")
    Path(".env").chmod(0o600)
    assert [verdict for _, verdict, _ in of(asked(offline=True), "secrets")] == ["good", "bad"]
