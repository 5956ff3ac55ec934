"""The pool as a whole: many connections, several batches, slow and greylisting domains, rates, and real servers."""

import asyncio
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from functools import partial

import pytest
from aiosmtpd.controller import Controller

from digest.deliveries import deliver
from digest.errors import ContentError, SettingsError
from digest.settings import read_settings
from digest.smtp.letters import Letter
from digest.smtp.opening import Server, read_server
from digest.transports.smtp import LONGEST_BOUNCES, open_transport
from digest.values import Compiled, DeliveryState
from tests.newsroom import DEADLINE, KEYS, NOW, PLACE, morning, readers
from tests.newsroom import opened as opened_mailing
from tests.smtp_stand_in import HANG_UP, Notes, hand_over, proof, reader, stand_in, waits

ACCEPTED, DEFERRED, FAILED, AMBIGUOUS = (
    DeliveryState.ACCEPTED, DeliveryState.DEFERRED, DeliveryState.FAILED, DeliveryState.AMBIGUOUS,
)  # fmt: skip


@pytest.fixture
def opened(tmp_path):
    """Transports to stand-ins, closed at the end."""
    transports = []

    def open_one(*houses, patience=0.05, handed=lambda _since: 0, **values):
        values = {"smtp_security": "none", "smtp_hello": "press.example.org", **values}
        values = {"smtp_servers": tuple(f"127.0.0.1:{house.port}" for house in houses), **values}
        transports.append(open_transport(read_settings(tmp_path, **values), PLACE, handed))
        transports[-1].doors.patience = patience
        return transports[-1]

    yield open_one
    for transport in transports:
        transport.close()


def people(count, first=1, domain="example.net"):
    return [reader(n, domain) for n in range(first, first + count)]


# many at once -------------------------------------------------------------------------------------------------------


def test_a_thousand_go_over_ten_connections_each_once_and_never_more_than_one_of_each_is_in_doubt(opened):
    with stand_in() as house:
        notes = hand_over(opened(house), people(1000), Notes(takes=0.0005))
        assert notes.numbers(ACCEPTED) == set(range(1, 1001))
        assert set(house.copies.values()) == {1}
        assert sorted(notes.marks) == list(range(1, 1001))
        assert notes.most_handing <= 10
        assert house.most_open == 10
        assert len({one.message_id for one in house.taken}) == 1000


def test_batches_in_several_threads_share_the_connections(opened):
    with stand_in() as house:
        transport, notes = opened(house), [Notes() for _ in range(4)]
        threads = [
            threading.Thread(target=hand_over, args=(transport, people(200, 200 * at + 1), one))
            for at, one in enumerate(notes)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert [len(one.numbers(ACCEPTED)) for one in notes] == [200] * 4
        assert set(house.copies.values()) == {1}
        assert house.most_open <= 10


def test_no_connection_is_opened_for_no_recipients(opened):
    with stand_in() as house:
        assert list(opened(house).send(proof(), [], Notes())) == []
        assert house.sessions == []


def test_without_uvloop_the_standard_loop_does_it(opened, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvloop", None)
    with stand_in() as house:
        transport = opened(house)
        assert hand_over(transport, people(100)).numbers(ACCEPTED) == set(range(1, 101))
        assert type(transport._room.loop).__module__.startswith("asyncio")


def test_goodbye_is_said_and_the_thread_ends(opened):
    heard = []
    with stand_in(lambda phase, session: heard.append((phase, session.number))) as house:
        transport = opened(house, smtp_connections=3)
        hand_over(transport, people(30))
        transport.close()
        assert Counter(heard)["quit", 1] == 1
        assert len([phase for phase, _ in heard if phase == "quit"]) == len(house.sessions)
        assert not any(thread.name == "smtp" for thread in threading.enumerate())
        transport.close()


def test_a_connection_that_idles_too_long_says_goodbye_and_is_opened_anew(opened):
    with stand_in() as house:
        transport = opened(house, patience=0.005, smtp_connections=1)
        hand_over(transport, people(3))
        time.sleep(0.5)
        assert hand_over(transport, people(3, 4)).numbers(ACCEPTED) == {4, 5, 6}
        assert len(house.sessions) == 2


def test_a_listener_that_goes_away_leaves_nothing_that_is_still_to_come(opened):
    """Whoever stops listening to `send` may be sure that no further dot is written."""
    with stand_in(lambda phase, _: waits(0.02) if phase == "rcpt" else None) as house:
        transport, notes = opened(house, smtp_connections=2), Notes()
        bad = reader(0, address="nobody")
        receipts = transport.send(proof(), [bad, *people(50)], notes)
        assert next(receipts).state == FAILED
        receipts.close()
        taken = len(house.taken)
        time.sleep(0.1)
        assert len(house.taken) == taken


def test_a_fault_of_ours_ends_the_batches_and_is_raised(opened):
    class Bad(Notes):
        def soon(self, *_):
            raise RuntimeError("a broken ledger")

    with stand_in() as house, pytest.raises(RuntimeError, match="a broken ledger"):
        hand_over(opened(house), people(3), Bad())


# servers ------------------------------------------------------------------------------------------------------------


def test_a_server_that_lets_few_in_is_used_by_few(opened):
    def crowded(phase, session):
        return "421 4.7.0 too many connections" if phase == "greeting" and session.number > 3 else None

    with stand_in(crowded) as house:
        notes = hand_over(opened(house), people(300))
        assert notes.numbers(ACCEPTED) == set(range(1, 301))
        assert len(house.sessions) <= 12, "and it is not asked again and again"


def test_a_server_restarted_in_the_middle_costs_a_doubt_for_each_connection_at_most(opened):
    with stand_in(lambda phase, _: waits(0.005) if phase == "dot" else None) as house:
        notes, transport = Notes(), opened(house)
        timer = threading.Timer(0.15, house.restart, (0.2,))
        timer.start()
        hand_over(transport, people(800), notes)
        timer.join(10)
        assert len(house.sessions) >= 20
        assert notes.numbers(ACCEPTED) | notes.numbers(AMBIGUOUS) == set(range(1, 801))
        assert len(notes.numbers(AMBIGUOUS)) <= 10
        assert max(house.copies.values()) == 1
        assert notes.numbers(ACCEPTED) <= {int(one.address[6:].partition("@")[0]) for one in house.taken}
        assert notes.most_handing <= 10


def test_the_second_server_stands_in_for_the_first_and_the_first_is_taken_again(opened):
    with stand_in() as first, stand_in() as second:
        transport = opened(first, second, patience=0.005, smtp_connections=1, smtp_per_connection=5)
        assert hand_over(transport, people(5)).numbers(ACCEPTED) == set(range(1, 6))
        asyncio.run_coroutine_threadsafe(first.stop(), first.loop).result(5)
        assert hand_over(transport, people(20, 11)).numbers(ACCEPTED) == set(range(11, 31))
        assert len(second.taken) == 20
        asyncio.run_coroutine_threadsafe(first.start(), first.loop).result(5)
        time.sleep(0.35)
        hand_over(transport, people(20, 41))
        assert len(first.taken) >= 20


def test_servers_are_read_with_and_without_ports():
    assert read_server("smtp.example.org", 587) == Server("smtp.example.org", 587)
    assert read_server("smtp.example.org:25", 587) == Server("smtp.example.org", 25)
    assert str(read_server("[::1]:2525", 25)) == "[::1]:2525"
    for wrong in (
        "smtp example",
        "a:b",
        "mail..example.org:25",
        f"{'x' * 64}.example.org",
        "host:0",
        "host:70000",
        "::1",
        "",
        "host:25\r\nQUIT",
    ):
        with pytest.raises(ValueError, match="host:port"):
            read_server(wrong, 25)


# domains ------------------------------------------------------------------------------------------------------------


def beside_slow_ones(opened, script, slow, known=()):
    """Who is accepted at the moment when all of 200 quick ones are, and how many connections were ever open."""
    with stand_in(script) as house:
        transport = opened(house, smtp_connections=4)
        hand_over(transport, [*known])
        notes, began = Notes(), time.monotonic()
        thread = threading.Thread(target=hand_over, args=(transport, [*slow, *people(200, 11)], notes))
        thread.start()
        while len(notes.numbers(ACCEPTED) - {one.number for one in slow}) < 200 and time.monotonic() < began + 10:
            time.sleep(0.005)
        before = notes.numbers(ACCEPTED)
        thread.join(15)
        assert notes.numbers(ACCEPTED) == {one.number for one in slow} | set(range(11, 211))
        assert set(house.copies.values()) == {1}
        return before, house.most_open


def test_slow_domains_one_reader_each_do_not_take_all_connections(opened):
    """No window helps against many domains with one reader each: to those that nobody knows, half are lent."""

    def script(phase, session):
        return waits(2.0) if phase == "dot" and "@slow" in session.recipient else None

    before, most_open = beside_slow_ones(opened, script, [reader(n, f"slow{n}.example") for n in range(1, 5)])
    assert before == set(range(11, 211)), "all quick ones, before any of the slow ones was answered"
    assert most_open <= 6


def test_where_known_domains_become_slow_spare_connections_take_the_place_of_the_stuck(opened):
    def script(phase, session):
        return waits(2.0) if phase == "dot" and session.recipient.startswith("slow") else None

    slow = [reader(n, address=f"slow@d{n}.example") for n in range(1, 5)]
    known = [reader(300 + n, f"d{n}.example") for n in range(1, 5)]
    before, most_open = beside_slow_ones(opened, script, slow, known)
    assert before == set(range(11, 211)), "all quick ones, before any of the slow ones was answered"
    assert 4 < most_open <= 6


def test_greylisting_of_three_in_ten_defers_those_and_delivers_the_others(opened):
    dice = random.Random(3)
    grey = {n for n in range(1, 501) if dice.random() < 0.3}

    def script(phase, session):
        if phase == "rcpt" and int(session.recipient[6:].partition("@")[0]) in grey:
            return "450 4.2.0 greylisted, come back later"
        return None

    with stand_in(script) as house:
        notes = hand_over(opened(house), people(500))
        assert notes.numbers(DEFERRED) == grey
        assert notes.numbers(ACCEPTED) == set(range(1, 501)) - grey
        assert all(notes.receipts[n].retry_after is None for n in grey), "the ledger's own rule: five minutes at least"


@pytest.mark.parametrize("phase", ["rcpt", "dot"])
def test_a_storm_of_454_brakes_that_domain_and_no_other(opened, phase):
    tried = []

    def script(at, session):
        if at == phase and "@storm" in session.recipient:
            tried.append(session.recipient)
            return "454 4.7.0 not now"
        return None

    with stand_in(script) as house:
        everybody = [*people(200, 1, "storm.example"), *people(300, 201)]
        random.Random(5).shuffle(everybody)
        notes = hand_over(opened(house), everybody)
        assert notes.numbers(ACCEPTED) == set(range(201, 501))
        assert notes.numbers(DEFERRED) == set(range(1, 201))
        assert len(tried) < 50, "the others were put off without a try"
        untried = [one for one in notes.receipts.values() if "rests" in one.detail]
        assert len(untried) == 200 - len(tried)
        assert all(50 < one.retry_after <= 60 for one in untried)
        assert notes.handing == set()


# rates --------------------------------------------------------------------------------------------------------------


def test_a_rate_per_second_is_kept_to_by_waiting(opened):
    times = []
    with stand_in(lambda phase, _: times.append(time.monotonic()) if phase == "dot" else None) as house:
        notes = hand_over(opened(house, smtp_rates="20/s 1000/h"), people(30))
        assert notes.numbers(ACCEPTED) == set(range(1, 31))
        assert times[-1] - times[0] > 0.8
        assert times[19] - times[0] < 0.8, "and not by waiting between any two"


def test_what_an_hour_no_longer_allows_is_deferred_to_when_it_does(opened):
    with stand_in() as house:
        notes = hand_over(opened(house, smtp_rates="25/h"), people(60))
        assert len(notes.numbers(ACCEPTED)) == 25
        later = [notes.receipts[n] for n in notes.numbers(DEFERRED)]
        assert len(later) == 35
        assert all(3590 < one.retry_after <= 3600 for one in later)
        again = hand_over(opened(house, smtp_rates="25/h", handed=lambda _since: 25), people(5, 61))
        assert len(again.numbers(DEFERRED)) == 5, "and a new run knows what left before it"


def test_a_domain_s_own_rate_holds_up_nobody_else(opened):
    with stand_in() as house:
        transport = opened(house, smtp_domain_rates="limited.example=5/h other.example=9/s")
        notes = hand_over(transport, [*people(20, 1, "limited.example"), *people(200, 21)])
        assert set(range(21, 221)) <= notes.numbers(ACCEPTED)
        assert len(notes.numbers(ACCEPTED)) == 205
        assert len(notes.numbers(DEFERRED)) == 15
        assert all(3590 < notes.receipts[n].retry_after <= 3600 for n in notes.numbers(DEFERRED))
        began = time.monotonic()
        waiting = hand_over(transport, people(18, 301, "other.example"))
        assert waiting.numbers(ACCEPTED) == set(range(301, 319))
        assert time.monotonic() - began > 0.9


def test_a_new_domain_s_ramp_ends_the_day_when_its_number_is_reached(opened):
    today = datetime.now(UTC).date()
    with stand_in() as house:
        transport = opened(house, smtp_ramp=f"{today}: 12 12 12", handed=lambda _since: 2)
        notes = hand_over(transport, people(20))
        assert len(notes.numbers(ACCEPTED)) == 10
        assert all(0 < notes.receipts[n].retry_after <= 86400 for n in notes.numbers(DEFERRED))


def test_a_stop_ends_a_wait_for_a_rate_at_once(opened):
    with stand_in() as house:
        transport, notes = opened(house, smtp_rates="1/min"), Notes()
        thread = threading.Thread(target=hand_over, args=(transport, people(5), notes))
        thread.start()
        while not notes.receipts and thread.is_alive():
            time.sleep(0.01)
        notes.stopped, began = True, time.monotonic()
        thread.join(10)
        assert time.monotonic() - began < 1.0
        assert len(notes.receipts) == 1


# settings -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"smtp_servers": ()}, "DIGEST_SMTP_SERVERS"),
        ({"smtp_servers": ("a b",)}, "DIGEST_SMTP_SERVERS"),
        ({"smtp_rates": "fast"}, "DIGEST_SMTP_RATES"),
        ({"smtp_domain_rates": "fast"}, "DIGEST_SMTP_DOMAIN_RATES"),
        ({"smtp_ramp": "slowly"}, "DIGEST_SMTP_RAMP"),
        ({"smtp_bounces": "nobody"}, "DIGEST_SMTP_BOUNCES"),
        ({"smtp_bounces": "zoë@example.org"}, "DIGEST_SMTP_BOUNCES"),
        ({"smtp_bounces": f"{'b' * (LONGEST_BOUNCES + 1)}@example.org", "smtp_verp": True}, "DIGEST_SMTP_BOUNCES"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path, values, names):
    with pytest.raises(SettingsError, match=names):
        open_transport(read_settings(tmp_path, **{"smtp_servers": ("127.0.0.1:25",), **values}), PLACE)


def test_a_message_without_a_sender_is_said_to_be_so(opened):
    nobody = Compiled((b"Subject: Morning\r\n\r\nnews\r\n",), 0)
    with stand_in() as house:
        with pytest.raises(ContentError, match="DIGEST_SMTP_BOUNCES"):
            hand_over(opened(house), people(1), printed=proof(nobody))
        notes = hand_over(opened(house, smtp_bounces="b@example.org"), people(1), printed=proof(nobody))
        assert notes.numbers(ACCEPTED) == {1}


# the ledger and real servers ----------------------------------------------------------------------------------------


def test_a_mailing_is_delivered_from_the_ledger_and_the_books_balance(opened, sqlite_engine):
    press = morning(sqlite_engine)
    readers(sqlite_engine, 300, email=lambda n: f"reader{n}@d{n % 7}.example")
    mailing = opened_mailing(sqlite_engine, press)

    def some_refused(phase, session):
        return "550 5.1.1 unknown" if phase == "rcpt" and session.recipient.startswith("reader7@") else None

    with stand_in(some_refused) as house:
        transport = opened(house, smtp_bounces="bounces@example.org")
        books = deliver(sqlite_engine, {"outbox": transport}, mailing=mailing, keys=KEYS, lease=60, clock=lambda: NOW)
        assert dict(books.counts) == {"accepted": 299, "failed": 1}
        assert NOW < DEADLINE
        assert len(house.copies) == 299
        assert set(house.copies.values()) == {1}


def there(program):
    """The program's path; a reason to skip where it is absent, except in CI."""
    if os.path.exists(program):  # noqa: PTH110
        return program
    if os.environ.get("CI"):
        pytest.fail(f"{program} is missing: install the Debian package postfix")
    pytest.skip(f"{program} is not installed (Debian package postfix)")


def test_postfix_s_smtp_sink_takes_all(opened):
    program, port = there("/usr/sbin/smtp-sink"), free_port()
    user = ["-u", "nobody"] if os.getuid() == 0 else []
    sink = subprocess.Popen([program, *user, "-c", f"127.0.0.1:{port}", "100"], stdout=subprocess.PIPE)
    try:
        wait_for(port)
        transport = opened(smtp_servers=(f"127.0.0.1:{port}",))
        assert hand_over(transport, people(500)).numbers(ACCEPTED) == set(range(1, 501))
        transport.close()
    finally:
        sink.terminate()
        said, _ = sink.communicate(timeout=10)
    assert b"mesg=500" in said


def test_aiosmtpd_takes_the_very_bytes(opened):
    class Keeper:
        def __init__(self):
            self.taken = {}

        async def handle_DATA(self, _server, _session, envelope):  # noqa: N802  the name that aiosmtpd calls
            self.taken[envelope.rcpt_tos[0]] = envelope.original_content
            return "250 taken"

    keeper = Keeper()
    server = Controller(keeper, hostname="127.0.0.1", port=free_port(), enable_SMTPUTF8=True)
    server.start()
    try:
        transport = opened(smtp_servers=(f"127.0.0.1:{server.port}",))
        notes = hand_over(transport, [*people(50), reader(51, address="zoë@bücher.example")])
        assert notes.numbers(ACCEPTED) == set(range(1, 52))
        transport.close()
    finally:
        server.stop()
    assert keeper.taken["reader7@example.net"].endswith(
        b"\r\n.one dot\r\n..two\r\n.\r\nhttps://news.example.org/m/t7\r\n"
    )
    assert b"To: Ana <zo\xc3\xab@xn--bcher-kva.example>" in keeper.taken["zoë@xn--bcher-kva.example"]


def free_port():
    import socket

    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return place.getsockname()[1]


def wait_for(port):
    import socket

    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return


# faults of ours -----------------------------------------------------------------------------------------------------


def test_a_signer_that_breaks_ends_the_batch_with_its_fault_and_nobody_waits(opened):
    class Breaks:
        signed = 0

        def sign(self, _message):
            Breaks.signed += 1
            if Breaks.signed == 5:
                raise RuntimeError("the signer broke")
            return b""

    with stand_in() as house:
        transport = opened(house)
        transport.letter_for = partial(Letter, signer_for=lambda _domain: Breaks())
        with pytest.raises(RuntimeError, match="the signer broke"):
            hand_over(transport, people(100))
        assert set(house.copies.values()) <= {1}


def test_connections_that_all_break_under_their_markers_leave_no_more_in_doubt_than_there_are_connections(opened):
    """What comes back marked is never said beside a message that a connection has in the server's ear already."""
    lines = 10

    def script(phase, session):
        if phase == "body" and session.number <= lines:
            return HANG_UP
        if phase == "greeting" and session.number > lines + lines // 2:
            return waits(0.05)
        return waits(0.15) if phase == "dot" and session.number > lines else None

    with stand_in(script) as house:
        notes = Notes(takes=0.02)
        everybody = [reader(n, f"d{n % 20}.example.net") for n in range(1, 101)]
        hand_over(opened(house, patience=1.0, smtp_connections=lines), everybody, notes)
        assert notes.most_handing <= lines
        assert set(house.copies.values()) == {1}
