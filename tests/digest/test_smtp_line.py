"""SMTP over the whole line: the ledger, the transport and a real server in a process of its own that fails by its script."""

import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from digest.deliveries import balance_of, deliver, resume
from digest.errors import AccountError, ContentError, SettingsError, TransportError
from digest.settings import read_settings
from digest.transports.smtp import open_transport
from tests.kills import address_of
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


def demand_one_copy_for_each(server):
    assert server.copies == {address_of(number): 1 for number in range(1, READERS + 1)}


@pytest.mark.parametrize("pipelining", [True, False])
def test_every_reader_gets_one_message_with_its_own_name(engine, mailing, tmp_path, pipelining):
    with sink("smtp", tmp_path / "book", pipelining=pipelining) as server:
        assert run(engine, mailing, server.port, tmp_path).done
        demand_one_copy_for_each(server)
        assert len({one.name for one in server.taken}) == READERS
    assert run(engine, mailing, 1, tmp_path).done, "nothing is open, so no server is asked"


def test_three_in_ten_are_greylisted_and_all_get_it_once_when_they_are_tried_again(engine, mailing, tmp_path):
    with sink("smtp", tmp_path / "book", greylisted=0.3) as server:
        began = datetime.now(UTC)
        first = run(engine, mailing, server.port, tmp_path, now=began)
        put_off = {address for address, _ in server.refused}
        assert 60 < len(put_off) < 120
        assert first.counts == {"accepted": READERS - len(put_off), "deferred": len(put_off)}
        later = [row for row in deliveries_of(engine) if row.state == "deferred"]
        assert {address_of(row.number) for row in later} == put_off
        assert {(row.attempt, row.next_at - began.timestamp()) for row in later} == {(1, 300.0)}
        early = run(engine, mailing, server.port, tmp_path, now=began + timedelta(minutes=4))
        assert early.counts == first.counts, "no earlier than a greylisting server wants it"
        last = run(engine, mailing, server.port, tmp_path, now=began + timedelta(minutes=5))
        assert (last.done, last.counts) == (True, {"accepted": READERS})
        demand_one_copy_for_each(server)


def test_a_storm_of_454_brakes_that_domain_alone_and_all_get_it_once_when_it_is_over(engine, tmp_path):
    house = morning(engine)
    domains = ["storm.example", "one.example", "two.example", "three.example"]
    readers(engine, READERS, email=lambda n: f"reader{n}@{domains[n % 4]}")
    now = datetime.now(UTC)
    mailing = opened(engine, house, now=now, expires_at=now + timedelta(hours=6))
    with sink("smtp", tmp_path / "book", storms={"storm.example": 40}) as server:
        first = run(engine, mailing, server.port, tmp_path, now=now)
        assert first.counts == {"accepted": READERS * 3 // 4, "deferred": READERS // 4}
        asked = server.refused
        assert {address.partition("@")[2] for address, _ in asked} == {"storm.example"}
        assert len(asked) < 40, "the others were put off without asking"
        untried = [row for row in deliveries_of(engine) if "rests" in row.reason]
        assert len(untried) == READERS // 4 - len(asked)
        assert all(row.next_at - now.timestamp() <= 60 for row in untried)
        balance = first
        for _ in range(6):
            now += timedelta(minutes=20)
            balance = run(engine, mailing, server.port, tmp_path, now=now)
        assert (balance.done, balance.counts) == (True, {"accepted": READERS})
        assert set(server.copies.values()) == {1}
        assert len(server.copies) == READERS


def test_slow_readers_do_not_hold_up_the_quick_ones_and_get_their_mail(engine, tmp_path):
    """Every tenth is at a domain that takes a hundred times as long: they are let go by, not waited for."""
    house = morning(engine)
    readers(engine, 120, email=lambda n: f"reader{n}@{'slow' if n % 10 == 1 else 'quick'}.example")
    now = datetime.now(UTC)
    mailing = opened(engine, house, now=now, expires_at=now + timedelta(hours=6))
    with sink("smtp", tmp_path / "book", wait=(0.005, 0.005), slow={"slow.example": 0.5}) as server:
        assert run(engine, mailing, server.port, tmp_path, smtp_patience=1, smtp_connections=4).done
        taken = server.taken
    last_quick = max(one.at for one in taken if "@quick" in one.address)
    overtaken = [one for one in taken if "@slow" in one.address and one.at > last_quick]
    assert len(overtaken) >= 6, "of twelve, most of which stand in front of most of the quick"
    assert set(Counter(one.address for one in taken).values()) == {1}
    assert len(taken) == 120


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


def test_a_message_that_is_refused_pauses_the_mailing_and_fails_nobody(engine, mailing, tmp_path):
    with sink("smtp", tmp_path / "book", content_refused=True) as server, pytest.raises(ContentError, match="spam"):
        run(engine, mailing, server.port, tmp_path)
    balance = balance_of(engine, mailing)
    assert (balance.state, balance.counts) == ("paused", {"queued": READERS})
    resume(engine, mailing, now=datetime.now(UTC))
    with sink("smtp", tmp_path / "book") as server:
        assert run(engine, mailing, server.port, tmp_path).done
        demand_one_copy_for_each(server)


def test_a_server_that_is_not_there_takes_nothing_and_all_stays_queued(engine, mailing, tmp_path):
    with pytest.raises(TransportError):
        run(engine, mailing, 1, tmp_path)
    assert balance_of(engine, mailing).counts == {"queued": READERS}


def test_a_server_that_restarts_costs_at_most_a_doubt_for_each_connection(engine, mailing, tmp_path):
    with sink("smtp", tmp_path / "book", wait=(0.005, 0.03)) as server:
        restarted = []

        def restart():
            until = time.monotonic() + 20
            while server.size < 5000 and time.monotonic() < until:  # bytes: about thirty messages
                time.sleep(0.002)
            server.stop()
            restarted.append(len(server.taken))
            server.start()

        thread = threading.Thread(target=restart)
        thread.start()
        outcome = run(engine, mailing, server.port, tmp_path, smtp_patience=0.2)
        thread.join()
        copies, took = server.copies, {one.address for one in server.taken}
    assert 10 < restarted[0] < READERS - 10, "in the middle"
    assert outcome.done
    assert set(copies.values()) == {1}
    assert outcome.unconfirmed <= 10
    assert outcome.counts["accepted"] + outcome.unconfirmed == READERS
    assert {address_of(row.number) for row in deliveries_of(engine) if row.state == "accepted"} <= took


def test_without_a_server_in_the_settings_the_line_says_what_to_set(tmp_path):
    with pytest.raises(SettingsError, match="DIGEST_SMTP_SERVERS"):
        open_transport(read_settings(tmp_path), PLACE)
