"""
What goes wrong while an edition leaves, as the person sees it who typed `digest deliver`.

Each fault is one clear line and an exit code; the edition says where it stands; and once that is mended and the edition
resumed, everyone has it once.
"""

import sqlite3
import threading
import time
from contextlib import closing, suppress
from datetime import timedelta

import pytest

from tests.at_work import KEY, READERS, address_of, copied, when
from tests.authority import NOW, Authority
from tests.sinks.running import sink


def faulty(said, code, *words):
    assert said.code == code, said.aside
    for word in words:
        assert word in said.line


def mended(press, server):
    press.resume()
    assert press.digest("deliver", "global").code == 0
    press.demand_one_copy_for_each(server)


# the account and the message ------------------------------------------------------------------------------------------


def test_a_wrong_password(press, tmp_path):
    with sink("smtp", tmp_path / "book", password="right") as server:
        wrong = press.by_smtp(server, SMTP_USER="press", SMTP_PASSWORD="wrong-secret")
        said = wrong.digest("deliver", "global")
        faulty(said, 1, "535 5.7.8", "DIGEST_SMTP_PASSWORD")
        assert "wrong-secret" not in said.aside + said.out
        assert press.state == ("paused", {"queued": READERS})
        mended(press.by_smtp(server, SMTP_USER="press", SMTP_PASSWORD="right"), server)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "until", "why"),
    [
        (["127.0.0.1"], NOW - timedelta(days=2), "expired"),
        (["mail.example.org"], NOW + timedelta(days=2), "not valid for '127.0.0.1'"),
    ],
    ids=["expired", "for another host"],
)
def test_a_certificate_that_does_not_hold(press, tmp_path, names, until, why):
    authority = Authority(tmp_path)
    by_starttls = {"SMTP_SECURITY": "starttls", "SMTP_CA": str(authority.file)}
    with sink("smtp", tmp_path / "book", certificate=str(authority.certificate(*names, until=until))) as server:
        faulty(press.by_smtp(server, **by_starttls).digest("deliver", "global"), 1, "certificate", why)
        assert (press.state, server.taken) == (("paused", {"queued": READERS}), [])
    with sink("smtp", tmp_path / "book", certificate=str(authority.certificate("127.0.0.1"))) as server:
        mended(press.by_smtp(server, **by_starttls), server)


@pytest.mark.slow
def test_a_refused_sender(press, tmp_path):
    with sink("smtp", tmp_path / "book", sender_refused=True) as server:
        faulty(press.by_smtp(server).digest("deliver", "global"), 1, "550 5.7.1 this sender", "DIGEST_SMTP_BOUNCES")
        assert (press.state, server.taken) == (("paused", {"queued": READERS}), [])
    with sink("smtp", tmp_path / "book") as server:
        mended(press.by_smtp(server), server)


@pytest.mark.slow
def test_a_refused_message(press, tmp_path):
    with sink("smtp", tmp_path / "book", content_refused=True) as server:
        faulty(
            press.by_smtp(server).digest("deliver", "global"), 1, "554 5.7.1 this looks like spam", "Mend the edition"
        )
        assert press.state == ("paused", {"queued": READERS})
    with sink("smtp", tmp_path / "book") as server:
        mended(press.by_smtp(server), server)


@pytest.mark.parametrize("status", ["401", pytest.param("403", marks=pytest.mark.slow)])
def test_a_refused_key_of_the_provider(press, tmp_path, status):
    with sink("sendgrid", tmp_path / "book", first=[status]) as server:
        said = press.by_sendgrid(server).digest("deliver", "global")
        faulty(said, 1, status, "DIGEST_SENDGRID_KEY")
        assert KEY not in said.aside + said.out
        assert press.state == ("paused", {"queued": READERS})
        mended(press.by_sendgrid(server), server)


@pytest.mark.slow
def test_a_server_that_is_not_there(press, tmp_path):
    with sink("smtp", tmp_path / "book") as server:
        server.stop()
        by_smtp = press.by_smtp(server)
        faulty(by_smtp.digest("deliver", "global"), 1, "failed while connecting", "run the same command again")
        assert press.state == ("sending", {"queued": READERS})
        server.start()
        assert by_smtp.digest("deliver", "global").code == 0
        press.demand_one_copy_for_each(server)


# one reader -----------------------------------------------------------------------------------------------------------

BAD = {17: "no at sign", 40: "eve@example.net\r\nBcc: all@example.net", 77: "reader@-never-.example"}


@pytest.mark.parametrize(
    ("by", "bad"),
    [
        ("smtp", {17, 40, 77}),
        pytest.param("sendgrid", {17, 40, 77}, marks=pytest.mark.slow),
        pytest.param("outbox", {17}, marks=pytest.mark.slow),
    ],
)
def test_readers_whose_rows_break_the_splice(press, tmp_path, by, bad):
    """Such as come by other hands than ours. Each is failed with its reason; all others are served."""
    with closing(sqlite3.connect(press.home / "digest.sqlite")) as file, file:
        file.executemany("UPDATE subscriber SET email = ? WHERE id = ?", [(BAD[number], number) for number in bad])
    with sink(by, tmp_path / "book") as server:
        at_work = {"smtp": press.by_smtp, "sendgrid": press.by_sendgrid, "outbox": press.by_outbox}[by](server)
        assert at_work.digest("deliver", "global").code == 0
        assert server.copies == {address_of(number): 1 for number in range(1, READERS + 1) if number not in bad}
    assert press.state == ("sent", {"accepted": READERS - len(bad), "failed": len(bad)})
    failed = {row.number: row.reason for row in press.rows if row.state == "failed"}
    assert failed.keys() == bad
    assert all("cannot be" in reason and "@example.net" not in reason for reason in failed.values())


# disk and database ----------------------------------------------------------------------------------------------------


def test_the_file_beside_the_database_that_knows_the_newest_marker_cannot_be_written(press, tmp_path):
    (press.home / "newest-marker").mkdir()
    with sink("smtp", tmp_path / "book") as server:
        faulty(press.by_smtp(server).digest("deliver", "global"), 4, "newest-marker", "run the same command again")
        assert server.taken == []
        (press.home / "newest-marker").rmdir()
        assert press.by_smtp(server).digest("deliver", "global").code == 0
        press.demand_one_copy_for_each(server)


@pytest.mark.slow
def test_the_disk_of_the_database_is_full(approved_home, small_disk, tmp_path):
    disk, _ = small_disk(20_000)
    press = copied(approved_home, disk / "press")
    filler = disk / "filler"

    def fill():
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(b"x" * 4096)

    with sink("smtp", tmp_path / "book", wait=(0.1, 0.1)) as server:
        by_smtp = press.by_smtp(server)
        thread = when(server, 3000, fill)
        faulty(by_smtp.digest("deliver", "global"), 4, "The disk is full", "free some room")
        thread.join()
        assert 0 < len(server.taken) < READERS
        filler.unlink()
        assert by_smtp.digest("deliver", "global").code == 0
        state, counts = press.state
        assert (state, sum(counts.values())) == ("sent", READERS)
        assert counts.keys() <= {"accepted", "ambiguous"}
        assert counts.get("ambiguous", 0) <= 10, "at most one for each connection"
        assert set(server.copies.values()) == {1}
        accepted = {address_of(row.number) for row in press.rows if row.state == "accepted"}
        assert accepted <= server.copies.keys()


@pytest.mark.slow
def test_the_database_is_locked_by_another_process_for_longer_than_we_wait(press, tmp_path):
    over = threading.Event()

    def lock():
        with closing(sqlite3.connect(press.home / "digest.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            over.wait(60)

    with sink("smtp", tmp_path / "book", wait=(0.1, 0.1)) as server:
        by_smtp = press.by_smtp(server)
        thread = when(server, 3000, lock)
        faulty(by_smtp.digest("deliver", "global"), 4, "Another process has held the database", "run the same command")
        over.set()
        thread.join()
        state, counts = press.state
        assert (state, counts) == ("sending", {"accepted": len(server.taken), "queued": READERS - len(server.taken)})
        assert by_smtp.digest("deliver", "global").code == 0
        press.demand_one_copy_for_each(server)


@pytest.mark.slow
def test_the_database_is_locked_by_another_process_for_nearly_as_long_as_we_wait(press, tmp_path):
    def lock():
        with closing(sqlite3.connect(press.home / "digest.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            time.sleep(25)

    with sink("smtp", tmp_path / "book", wait=(0.1, 0.1)) as server:
        thread = when(server, 3000, lock)
        assert press.by_smtp(server).digest("deliver", "global").code == 0
        thread.join()
        press.demand_one_copy_for_each(server)
