"""SendGrid over the whole line: the ledger, the transport and a real server in a process of its own that fails by its script."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from digest.deliveries import balance_of, deliver, resume
from digest.errors import AccountError, TransportError
from digest.settings import read_settings
from digest.transports.sendgrid import open_transport
from tests.kills import address_of, with_proof
from tests.newsroom import KEYS, PLACE, deliveries_of, morning, opened, readers
from tests.sinks.running import sink

READERS = 300  # in batches and requests of 50
SIZE = 50


@pytest.fixture
def mailing(engine):
    house = with_proof(engine, morning(engine))
    readers(engine, READERS)
    now = datetime.now(UTC)
    share = replace(house.share(), transport="sendgrid")
    return opened(engine, house, [share], batch_size=SIZE, now=now, expires_at=now + timedelta(hours=6))


def run(engine, mailing, server, *, now=None, lease=60.0, **settings):
    given = {"sendgrid_key": "SG.press", "sendgrid_host": f"http://127.0.0.1:{server.port}", "lease": lease, **settings}
    transport = open_transport(read_settings(sendgrid_requests=SIZE, **given), PLACE)
    try:
        return deliver(
            engine, {"sendgrid": transport}, mailing=mailing, keys=KEYS, lease=lease,
            clock=lambda: now or datetime.now(UTC),
        )  # fmt: skip
    finally:
        transport.close()


def demand_one_copy_for_each(server):
    assert server.copies == {address_of(number): 1 for number in range(1, READERS + 1)}


def test_every_reader_is_asked_for_once_under_their_own_name(engine, mailing, tmp_path):
    with sink("sendgrid", tmp_path / "book") as server:
        assert run(engine, mailing, server).done
        demand_one_copy_for_each(server)
        assert len({one.name for one in server.taken}) == READERS


def test_told_429_one_request_is_put_off_for_as_long_as_it_says_and_the_others_wait_their_turn(
    engine, mailing, tmp_path
):
    with sink("sendgrid", tmp_path / "book", first=["taken", "429"]) as server:
        began = datetime.now(UTC)
        first = run(engine, mailing, server, now=began, sendgrid_open=1)
        assert first.counts == {"accepted": READERS - SIZE, "deferred": SIZE}
        later = [row for row in deliveries_of(engine) if row.state == "deferred"]
        assert {row.attempt for row in later} == {1}
        assert all(1 <= row.next_at - began.timestamp() <= 2 for row in later)
        moments = sorted({one.at for one in server.taken})
        assert moments[1] - moments[0] > 0.5, "nobody is asked for while it rests"
        assert run(engine, mailing, server, now=began + timedelta(seconds=2)).done
        demand_one_copy_for_each(server)


@pytest.mark.parametrize("fate", ["503", "reset", "silent"])
def test_without_a_clear_answer_that_request_is_in_doubt_and_no_other_and_nobody_is_asked_for_again(
    engine, mailing, tmp_path, fate
):
    with sink("sendgrid", tmp_path / "book", first=["taken", fate]) as server:
        balance = run(engine, mailing, server, lease=2.0)
        assert (balance.done, balance.counts) == (True, {"accepted": READERS - SIZE, "ambiguous": SIZE})
        run(engine, mailing, server)
        demand_one_copy_for_each(server)
        doubted = {address_of(row.number) for row in deliveries_of(engine) if row.state == "ambiguous"}
        assert doubted == {one.address for one in server.taken if one.answered is None}


def test_a_provider_that_is_down_stops_the_run_after_two_requests_and_the_rest_is_asked_for_later(
    engine, mailing, tmp_path
):
    with sink("sendgrid", tmp_path / "book", first=["503"] * 50) as server:
        with pytest.raises(TransportError, match="2 times in a row"):
            run(engine, mailing, server, sendgrid_open=1)
        assert balance_of(engine, mailing).counts == {"queued": READERS - 2 * SIZE, "ambiguous": 2 * SIZE}
    with sink("sendgrid", tmp_path / "book") as server:
        assert run(engine, mailing, server).counts == {"accepted": READERS - 2 * SIZE, "ambiguous": 2 * SIZE}
        demand_one_copy_for_each(server)


@pytest.mark.parametrize("named", [True, False])
def test_one_bad_address_fails_alone_and_the_others_of_its_request_are_asked_for_once(engine, mailing, tmp_path, named):
    with sink("sendgrid", tmp_path / "book", bad=[address_of(117)], named=named) as server:
        balance = run(engine, mailing, server)
        assert (balance.done, balance.counts) == (True, {"accepted": READERS - 1, "failed": 1})
        assert [row.number for row in deliveries_of(engine) if row.state == "failed"] == [117]
        assert server.copies == {address_of(n): 1 for n in range(1, READERS + 1) if n != 117}


@pytest.mark.parametrize("status", ["401", "403"])
def test_a_refused_key_pauses_the_mailing_and_burns_no_attempt(engine, mailing, tmp_path, status):
    with sink("sendgrid", tmp_path / "book", first=["taken", status], wait=(0.02, 0.02)) as server:
        with pytest.raises(AccountError, match="DIGEST_SENDGRID_KEY"):
            run(engine, mailing, server)
        balance = balance_of(engine, mailing)
        assert (balance.state, balance.counts.keys()) == ("paused", {"accepted", "queued"})
        assert {row.attempt for row in deliveries_of(engine)} == {0}
        resume(engine, mailing, now=datetime.now(UTC))
        assert run(engine, mailing, server).done
        demand_one_copy_for_each(server)
