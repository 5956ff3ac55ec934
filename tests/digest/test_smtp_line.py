"""SMTP over the whole line: the ledger, the transport and a real server in a process of its own that fails by its script."""

import random
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from digest.deliveries import balance_of, deliver, resume
from digest.errors import AccountError, ContentError, SettingsError, TransportError
from digest.settings import read_settings
from digest.transports.smtp import open_transport
from tests.newsroom import KEYS, PLACE, deliveries_of, morning, opened, readers
from tests.sinks.running import sink

READERS = 300


@pytest.fixture
def mailing(engine):
    house = morning(engine)
    readers(engine, READERS)
    now = datetime.now(UTC)
    return opened(engine, house, now=now, expires_at=now + timedelta(hours=6))


def transport_to(port, home, **settings):
    given = {
        "smtp_servers": (f"127.0.0.1:{port}",), "smtp_security": "none", "smtp_bounces": "bounces@news.example.org",
        "smtp_patience": 0.05, **settings,
    }  # fmt: skip
    return open_transport(read_settings(home, **given), PLACE)


def run(engine, mailing, port, home, *, now=None, **settings):
    transport = transport_to(port, home, **settings)
    try:
        return deliver(
            engine, {"outbox": transport}, mailing=mailing, keys=KEYS, lease=60,
            clock=lambda: now or datetime.now(UTC),
        )  # fmt: skip
    finally:
        transport.close()


@pytest.mark.parametrize("pipelining", [True, False])
def test_every_reader_gets_one_message_with_its_own_name(engine, mailing, tmp_path, pipelining):
    with sink("smtp", tmp_path / "book", pipelining=pipelining) as server:
        assert run(engine, mailing, server.port, tmp_path).done
        taken = server.taken
    assert Counter(one.address for one in taken) == {f"reader{n}@example.net": 1 for n in range(1, READERS + 1)}
    assert len({one.name for one in taken}) == READERS
    assert run(engine, mailing, 1, tmp_path).done, "nothing is open, so no server is asked"


def test_greylisted_readers_are_deferred_and_get_it_at_the_next_try(engine, mailing, tmp_path):
    with sink("smtp", tmp_path / "book", greylisted=0.3) as server:
        first = run(engine, mailing, server.port, tmp_path)
        assert first.counts.keys() == {"accepted", "deferred"}
        put_off = {row.number for row in deliveries_of(engine) if row.state == "deferred"}
        assert put_off.isdisjoint({int(one.address[6:].partition("@")[0]) for one in server.taken})
        later = datetime.now(UTC)
        for _ in range(8):  # a domain that put some off rests, so its others may be deferred once more
            later += timedelta(minutes=40)
            last = run(engine, mailing, server.port, tmp_path, now=later)
            if last.done:
                break
        assert (last.done, last.counts) == (True, {"accepted": READERS})
        assert set(server.copies.values()) == {1}


def test_a_refused_sender_pauses_the_mailing_and_burns_no_attempt(engine, mailing, tmp_path):
    with sink("smtp", tmp_path / "book", sender_refused=True) as server:
        with pytest.raises(AccountError):
            run(engine, mailing, server.port, tmp_path)
        assert not server.taken
    balance = balance_of(engine, mailing)
    assert (balance.state, balance.counts) == ("paused", {"queued": READERS})
    assert {row.attempt for row in deliveries_of(engine)} == {0}
    resume(engine, mailing, now=datetime.now(UTC))
    with sink("smtp", tmp_path / "book") as server:
        assert run(engine, mailing, server.port, tmp_path).done


def test_a_wrong_password_is_one_line_without_the_password(engine, mailing, tmp_path):
    with sink("smtp", tmp_path / "book", password="right") as server:
        with pytest.raises(AccountError) as refusal:
            run(engine, mailing, server.port, tmp_path, smtp_user="press", smtp_password="wrong-secret")
        assert "wrong-secret" not in str(refusal.value)
        assert "\n" not in str(refusal.value)
        resume(engine, mailing, now=datetime.now(UTC))
        assert run(engine, mailing, server.port, tmp_path, smtp_user="press", smtp_password="right").done


def test_a_message_that_is_refused_stops_before_many_readers_are_lost(engine, mailing, tmp_path):
    with sink("smtp", tmp_path / "book", content_refused=True) as server, pytest.raises(ContentError):
        run(engine, mailing, server.port, tmp_path)
    balance = balance_of(engine, mailing)
    assert balance.state == "paused"
    assert balance.counts.get("failed", 0) <= 60
    assert balance.balanced


def test_a_server_that_is_not_there_takes_nothing_and_all_stays_queued(engine, mailing, tmp_path):
    with pytest.raises(TransportError):
        run(engine, mailing, 1, tmp_path)
    assert balance_of(engine, mailing).counts == {"queued": READERS}


def test_a_server_that_restarts_costs_at_most_a_doubt_for_each_connection(engine, mailing, tmp_path):
    with sink("smtp", tmp_path / "book", wait=(0.005, 0.03)) as server:

        def restart():
            server.stop()
            server.start()

        timer = threading.Timer(random.Random(1).uniform(0.2, 0.4), restart)
        timer.start()
        outcome = None
        for _ in range(5):
            try:
                outcome = run(engine, mailing, server.port, tmp_path)
            except TransportError:
                continue
            if outcome.done:
                break
        timer.join()
        copies, took = server.copies, {one.address for one in server.taken}
    assert outcome is not None
    assert outcome.done
    assert max(copies.values()) == 1
    assert outcome.unconfirmed <= 10
    rows = deliveries_of(engine)
    assert all(f"reader{row.number}@example.net" in took for row in rows if row.state == "accepted")
    assert len([row for row in rows if row.state in {"accepted", "ambiguous"}]) == READERS


def test_without_a_server_in_the_settings_the_line_says_what_to_set(tmp_path):
    with pytest.raises(SettingsError, match="DIGEST_SMTP_SERVERS"):
        open_transport(read_settings(tmp_path), PLACE)
