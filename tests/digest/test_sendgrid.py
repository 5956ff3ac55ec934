"""SendGrid by real HTTP on loopback: what every kind of answer becomes, and that nobody gets two copies."""

import logging
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from multiprocessing import get_context

import pytest
from sqlmodel import SQLModel

from digest.deliveries import balance_of, deliver, resume
from digest.errors import AccountError, ContentError, SettingsError, TransportError, UnreachableError
from digest.settings import read_settings
from digest.splice import pack
from digest.transports.sendgrid import MANY, open_transport
from digest.values import DeliveryState
from tests.newsroom import KEYS, deliveries_of, morning, opened, readers
from tests.sendgrid_mail import people, printed, reader, states
from tests.sendgrid_stand_in import KEY, RESETS, SILENT, Ours, Says, addresses, refuses, stand_in, work

PROOF = printed()
CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.sendgrid_stand_in"])


@pytest.fixture
def there():
    with stand_in() as server:
        yield server


def hand(transport, guests, mark=None):
    return list(transport.send(PROOF, guests, mark or Ours()))


# what is asked ------------------------------------------------------------------------------------------------------


def test_a_batch_leaves_in_requests_of_at_most_so_many_and_all_is_accepted_by_its_message_id(there):
    receipts = hand(there.transport(sendgrid_requests=50), people(120))
    assert states(receipts) == dict.fromkeys(range(1, 121), DeliveryState.ACCEPTED)
    assert [len(body["personalizations"]) for body in there.asked] == [50, 50, 20]
    assert [receipts[at].detail for at in (0, 50, 100)] == ["m1", "m2", "m3"]
    assert there.headers[0]["content-type"] == "application/json; charset=utf-8"


def test_each_request_is_marked_once_just_before_it_leaves(there):
    seen = []
    mark = Ours(lambda numbers: seen.append(len(there.asked)) or numbers)
    hand(there.transport(sendgrid_requests=50), people(120), mark)
    assert [len(numbers) for numbers in mark.asked] == [50, 50, 20]
    assert seen == [0, 1, 2]


def test_what_is_no_longer_ours_is_left_out_of_the_request(there):
    mark = Ours(lambda numbers: numbers & {1, 4})
    receipts = hand(there.transport(), people(4), mark)
    assert mark.asked == [[1, 2, 3, 4]]
    assert sorted(states(receipts)) == [1, 4]
    assert addresses(there.asked[0]) == ["reader1@example.net", "reader4@example.net"]


def test_once_stopped_nothing_more_is_marked_or_asked_and_what_is_in_hand_is_finished(there):
    mark = Ours()
    there.judge = lambda _: setattr(mark, "stopped", True)
    receipts = hand(there.transport(sendgrid_requests=10), people(50), mark)
    assert states(receipts) == dict.fromkeys(range(1, 11), DeliveryState.ACCEPTED)
    assert (len(there.asked), len(mark.asked)) == (1, 1)


def test_an_address_asked_for_twice_is_split_over_two_requests(there):
    twice = [reader(1), reader(2, address="READER1@example.net"), reader(3)]
    assert set(states(hand(there.transport(), twice)).values()) == {DeliveryState.ACCEPTED}
    assert [len(body["personalizations"]) for body in there.asked] == [2, 1]


def test_who_cannot_be_addressed_is_failed_here_and_stops_nobody(there):
    odd = [reader(1, address="no at sign"), reader(2), reader(3, address="a@exa mple.net"), reader(4, token="\udc80")]
    receipts = hand(there.transport(), odd)
    failed, taken = DeliveryState.FAILED, DeliveryState.ACCEPTED
    assert states(receipts) == {1: failed, 2: taken, 3: failed, 4: failed}
    assert all(receipt.permanent for receipt in receipts if receipt.state == failed)
    assert len(there.asked) == 1


# several threads ----------------------------------------------------------------------------------------------------


def test_threads_share_the_open_requests_of_which_there_are_never_more_than_the_setting_says(there):
    transport = there.transport(sendgrid_requests=10, sendgrid_open=3)
    there.judge = lambda _: time.sleep(0.02)
    with ThreadPoolExecutor(8) as threads:
        groups = [[reader(10 * n + m) for m in range(1, 41)] for n in range(0, 40, 4)]
        receipts = [one for group in threads.map(lambda guests: hand(transport, guests), groups) for one in group]
    assert states(receipts) == dict.fromkeys(range(1, 401), DeliveryState.ACCEPTED)
    assert set(there.copies.values()) == {1}
    assert (there.at_once, transport.appetite) == (3, 1500)
    assert there.connections <= 3


def test_when_one_thread_is_told_to_rest_all_of_them_do(there):
    there.lined_up.append(Says(429, headers={"Retry-After": "30"}))
    transport = there.transport()
    with ThreadPoolExecutor(4) as threads:
        assert {one.state for one in hand(transport, [reader(99)])} == {DeliveryState.DEFERRED}
        groups = threads.map(lambda number: hand(transport, [reader(number)]), range(1, 5))
        receipts = [one for group in groups for one in group]
    assert {one.state for one in receipts} == {DeliveryState.DEFERRED}
    assert all(29 < one.retry_after <= 30 for one in receipts)
    assert len(there.asked) == 1


def test_what_one_thread_knows_was_not_taken_another_one_does_not_forget(there):
    transport = there.transport()
    there.judge = lambda body: Says(401) if "reader1@example.net" in addresses(body) else None
    with pytest.raises(AccountError):
        hand(transport, [reader(1)])
    hand(transport, [reader(2)])
    assert [transport.prove(PROOF, reader(number)) for number in (1, 2)] == [False, None]
    there.judge = lambda _: None
    hand(transport, [reader(1)])
    assert transport.prove(PROOF, reader(1)) is None


# what each answer becomes -------------------------------------------------------------------------------------------


def test_in_the_sandbox_200_is_the_answer_and_nothing_leaves(there):
    receipts = hand(there.transport(sendgrid_sandbox=True), people(2))
    assert states(receipts) == dict.fromkeys((1, 2), DeliveryState.ACCEPTED)
    assert there.copies == {}


@pytest.mark.parametrize("said", [Says(500), Says(502), Says(503), Says(200), RESETS, SILENT])
def test_without_a_clear_answer_it_is_ambiguous_and_is_not_asked_again(there, said):
    there.lined_up.append(said)
    transport = there.transport(lease=2)
    receipts = hand(transport, people(3))
    assert states(receipts) == dict.fromkeys((1, 2, 3), DeliveryState.AMBIGUOUS)
    assert len(there.asked) == 1
    assert transport.prove(PROOF, reader(1)) is None


def test_two_unclear_answers_in_a_row_stop_the_run_before_more_is_in_doubt(there):
    there.lined_up.extend([Says(503)] * 5)
    transport, receipts = there.transport(sendgrid_requests=10), []
    with pytest.raises(TransportError, match="2 times in a row"):
        receipts.extend(iter(hand(transport, people(50))))
    assert len(there.asked) == 2


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "17"}, 17.0),
        ({"Retry-After": "soon"}, None),
        ({}, None),
        ({"Retry-After": "999999"}, 3600.0),
        ({"Date": format_datetime(datetime(2026, 11, 23, 6, 0, tzinfo=UTC)), "X-RateLimit-Reset": "1795413630"}, 30.0),
    ],
)
def test_too_many_requests_defers_as_long_as_sendgrid_says_and_asks_no_more_meanwhile(there, headers, seconds):
    there.lined_up.append(Says(429, headers=headers))
    transport = there.transport(sendgrid_requests=2)
    receipts = hand(transport, people(6))
    assert set(states(receipts).values()) == {DeliveryState.DEFERRED}
    assert receipts[0].retry_after == seconds
    assert len(there.asked) == 1
    assert list(states(hand(transport, [reader(9)])).values()) == [DeliveryState.DEFERRED]
    assert len(there.asked) == 1


def test_a_short_rest_is_waited_for_and_the_others_then_leave(there):
    there.lined_up.append(Says(429, headers={"Retry-After": "1"}))
    began = time.monotonic()
    receipts = hand(there.transport(sendgrid_requests=2), people(4))
    deferred, taken = DeliveryState.DEFERRED, DeliveryState.ACCEPTED
    assert states(receipts) == {1: deferred, 2: deferred, 3: taken, 4: taken}
    assert time.monotonic() - began >= 1


def test_readers_whom_the_refusal_names_are_failed_and_the_others_asked_once_more(there):
    bad = {"reader3@example.net", "reader8@example.net"}

    def judge(body):
        named = [at for at, address in enumerate(addresses(body)) if address in bad]
        return (
            refuses(*(("Does not contain a valid address.", f"personalizations.{at}.to") for at in named))
            if named
            else None
        )

    there.judge = judge
    receipts = hand(there.transport(), people(40))
    assert {number for number, state in states(receipts).items() if state == DeliveryState.FAILED} == {3, 8}
    assert Counter(states(receipts).values()) == {DeliveryState.FAILED: 2, DeliveryState.ACCEPTED: 38}
    assert len(there.asked) == 2
    assert set(there.copies.values()) == {1}


@pytest.mark.parametrize("status", [400, 413])
def test_a_refusal_that_names_nobody_is_halved_until_the_bad_one_is_alone(there, status):
    there.judge = lambda body: Says(status) if "reader23@example.net" in addresses(body) else None
    receipts = hand(there.transport(), people(40))
    assert {number for number, state in states(receipts).items() if state == DeliveryState.FAILED} == {23}
    assert len(there.copies) == 39
    assert set(there.copies.values()) == {1}
    assert len(there.asked) <= 13


def test_a_refusal_of_the_message_itself_fails_nobody(there):
    there.judge = lambda _: refuses(("The subject is required.", "subject"))
    transport = there.transport()
    with pytest.raises(ContentError, match="The subject is required") as caught:
        hand(transport, people(30))
    assert "\n" not in str(caught.value)
    assert len(there.asked) == 1
    assert {transport.prove(PROOF, one) for one in people(30)} == {False}


@pytest.mark.parametrize("named", [True, False])
def test_when_nearly_all_are_refused_the_fault_is_not_theirs(there, named):
    def judge(body):
        places = range(len(body["personalizations"]))
        return refuses(*((("no", f"personalizations.{at}.to") for at in places) if named else [("no", None)]))

    there.judge = judge
    transport = there.transport()
    with pytest.raises(ContentError, match="the message itself"):
        hand(transport, people(200))
    assert len(there.asked) < 4 * MANY
    assert {transport.prove(PROOF, one) for one in people(200)} == {False}


def test_once_stopped_a_refused_request_is_not_divided_any_more(there):
    mark = Ours()
    there.judge = lambda _: setattr(mark, "stopped", True) or Says(400)
    transport = there.transport()
    assert hand(transport, people(8), mark) == []
    assert len(there.asked) == 1
    assert {transport.prove(PROOF, one) for one in people(8)} == {False}


def test_a_reader_refused_alone_is_not_failed_while_another_thread_finds_the_message_at_fault(there):
    mark = Ours()

    def judge(body):
        mark.stopped = len(there.asked) == 3
        return Says(400) if "reader1@example.net" in addresses(body) else None

    there.judge = judge
    transport = there.transport()
    assert states(hand(transport, people(3), mark)) == dict.fromkeys((2, 3), DeliveryState.ACCEPTED)
    assert transport.prove(PROOF, reader(1)) is False


@pytest.mark.parametrize(
    ("status", "fault", "setting"),
    [
        (401, AccountError, "KEY"),
        (403, AccountError, "KEY"),
        (404, TransportError, "HOST"),
        (302, TransportError, "HOST"),
    ],
)
def test_a_fault_of_the_account_or_the_address_is_said_and_nothing_is_lost(there, status, fault, setting):
    there.lined_up.append(Says(status, headers={"Location": there.host + "/elsewhere"}))
    transport = there.transport(sendgrid_requests=10)
    with pytest.raises(TransportError, match=f"DIGEST_SENDGRID_{setting}") as caught:
        hand(transport, people(30))
    assert type(caught.value) is fault
    assert KEY not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(there.asked) == 1
    assert transport.prove(PROOF, reader(1)) is False


def test_a_wrong_key_is_an_account_fault(there):
    with pytest.raises(AccountError, match="invalid, expired, or revoked"):
        hand(there.transport(sendgrid_key="SG.other"), people(1))


def test_a_server_that_was_never_reached_took_nothing(there):
    with stand_in() as closed:
        nobody = closed.transport()
    for transport in (nobody, there.transport(sendgrid_host="https://no-such-host.invalid")):
        with pytest.raises(UnreachableError, match="cannot be reached"):
            hand(transport, people(2))
        assert transport.prove(PROOF, reader(1)) is False


def test_the_providers_words_are_kept_without_the_address_they_may_hold(there):
    there.judge = lambda body: refuses(("We found <reader1@example.net> twice", "personalizations.0.to"))
    (receipt,) = hand(there.transport(), people(1))
    assert receipt.detail == "400 We found (address) twice"


# settings and secrets -----------------------------------------------------------------------------------------------


def test_without_a_key_it_says_which_setting_is_missing():
    with pytest.raises(SettingsError, match="DIGEST_SENDGRID_KEY"):
        open_transport(read_settings(), "global/2026-11-23")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KEY", "SG.two words"),
        ("KEY", "SG.line\nend"),
        ("HOST", "http://api.sendgrid.com"),
        ("HOST", "ftp://x"),
        ("REQUESTS", "1001"),
    ],
)
def test_a_setting_that_would_fail_late_is_refused_at_once_and_the_key_is_never_repeated(monkeypatch, name, value):
    monkeypatch.setenv(f"DIGEST_SENDGRID_{name}", value)
    with pytest.raises(SettingsError, match=f"DIGEST_SENDGRID_{name}") as caught:
        read_settings()
    assert "SG." not in str(caught.value)


def test_neither_key_nor_addresses_are_logged_even_when_everything_is(there, caplog):
    logging.getLogger("python_http_client").setLevel(logging.DEBUG)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("tests").debug("the log is on")
        there.lined_up.extend([Says(202), refuses(("no", "personalizations.0.to")), Says(503)])
        transport = there.transport()
        for _ in range(3):
            hand(transport, people(1))
    assert "the log is on" in caplog.text
    assert KEY not in caplog.text
    assert "reader1" not in caplog.text


# with the ledger ----------------------------------------------------------------------------------------------------


@pytest.fixture
def mailing(engine):
    house = morning(engine)
    readers(engine, 120)
    table = SQLModel.metadata.tables["proof"]
    with engine.begin() as connection:
        connection.execute(table.update().values(compiled=pack(PROOF.compiled), html=PROOF.html, text=PROOF.text))
    share = replace(house.share(), transport="sendgrid")
    return opened(
        engine, house, shares=[share], now=datetime.now(UTC), expires_at=datetime.now(UTC) + timedelta(hours=9)
    )


def run(engine, there, mailing, **changes):
    return deliver(
        engine, {"sendgrid": there.transport(**changes)}, mailing=mailing, keys=KEYS, lease=30.0,
        clock=lambda: datetime.now(UTC),
    )  # fmt: skip


def test_a_mailing_goes_out_once_and_a_second_run_sends_nothing(engine, there, mailing):
    assert run(engine, there, mailing).counts == {"accepted": 120}
    assert run(engine, there, mailing).done
    assert len(there.copies) == 120
    assert set(there.copies.values()) == {1}
    sent = {one["custom_args"]["delivery"] for body in there.taken for one in body["personalizations"]}
    assert len(sent) == 120


def test_a_batch_of_several_requests_does_not_keep_the_others_from_being_open(engine, there, mailing):
    there.judge = lambda _: time.sleep(0.05)
    assert run(engine, there, mailing, sendgrid_requests=10, sendgrid_open=3).counts == {"accepted": 120}
    assert there.at_once == 3


@pytest.mark.parametrize("fault", [Says(401), Says(404), refuses(("The subject is required.", "subject"))])
def test_a_fault_of_ours_puts_everything_back_and_burns_no_attempt(engine, there, mailing, fault):
    there.judge = lambda _: fault
    with pytest.raises(TransportError):
        run(engine, there, mailing)
    assert Counter((row.state, row.attempt) for row in deliveries_of(engine)) == {("queued", 0): 120}
    paused = fault.status != 404
    assert balance_of(engine, mailing).state == ("paused" if paused else "sending")
    there.judge = lambda _: None
    if paused:
        resume(engine, mailing, now=datetime.now(UTC))
    assert run(engine, there, mailing).counts == {"accepted": 120}
    assert set(there.copies.values()) == {1}


def test_a_server_out_of_reach_leaves_everything_queued(engine, there, mailing):
    with stand_in() as closed:
        nobody = closed
    with pytest.raises(UnreachableError):
        run(engine, nobody, mailing)
    assert {row.state for row in deliveries_of(engine)} == {"queued"}
    assert run(engine, there, mailing).counts == {"accepted": 120}


def test_what_was_answered_unclearly_stays_unconfirmed_and_is_never_sent_again(engine, there, mailing):
    there.lined_up.extend([Says(503, taken=True), Says(202, taken=True)])
    balance = run(engine, there, mailing)
    doubtful = len(there.asked[0]["personalizations"])
    assert (balance.counts, balance.unconfirmed) == ({"ambiguous": doubtful, "accepted": 120 - doubtful}, doubtful)
    run(engine, there, mailing)
    assert set(there.copies.values()) == {1}


@pytest.mark.parametrize(("most", "at_once", "answered"), [(20, 1, 2), (500, 4, 0)])
def test_a_kill_leaves_the_open_requests_unconfirmed_and_nobody_gets_a_second_copy(
    engine, there, mailing, most, at_once, answered
):
    hanging = min(at_once, 3)  # the mailing has three batches
    there.lined_up.extend([Says(202, taken=True)] * answered + [SILENT] * hanging)
    url = engine.url.render_as_string(hide_password=False)
    worker = CONTEXT.Process(target=work, args=(url, there.host, mailing, 30.0, most, at_once))
    worker.start()
    for _ in range(600):
        if len(there.asked) == answered + hanging:
            break
        time.sleep(0.05)
    time.sleep(0.2)  # what was answered is on record
    worker.kill()
    worker.join(20)
    assert worker.exitcode == -signal.SIGKILL
    doubtful = sum(len(body["personalizations"]) for body in there.asked[answered:])

    balance = run(engine, there, mailing, sendgrid_requests=most)
    assert balance.counts == Counter({"ambiguous": doubtful, "accepted": 120 - doubtful}) - Counter()
    assert (len(there.copies), set(there.copies.values())) == (120, {1})
    assert run(engine, there, mailing).counts == balance.counts
