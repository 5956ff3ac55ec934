"""One conversation, failing at every point there is: what has surely not left goes again, and only doubt is doubt."""

import time

import pytest

from digest.errors import AccountError, ContentError, TransportError, UnreachableError
from digest.settings import read_settings
from digest.transports.smtp import open_transport
from digest.values import Blank, Compiled, DeliveryState
from tests.smtp_stand_in import (
    HANG_UP,
    MAIL,
    OFFERS,
    RESET,
    SEVEN_BIT,
    SILENT,
    Act,
    Notes,
    hand_over,
    proof,
    reader,
    stand_in,
    waits,
)

ACCEPTED, DEFERRED, FAILED, AMBIGUOUS = (
    DeliveryState.ACCEPTED, DeliveryState.DEFERRED, DeliveryState.FAILED, DeliveryState.AMBIGUOUS,
)  # fmt: skip
STEP_BY_STEP = tuple(offer for offer in OFFERS if offer != "PIPELINING")


@pytest.fixture
def opened(tmp_path):
    """Transports to stand-ins, closed at the end."""
    transports = []

    def open_one(house, patience=0.05, **values):
        values = {"smtp_security": "none", "smtp_hello": "press.example.org", "smtp_connections": 1, **values}
        values = {"smtp_servers": f"127.0.0.1:{house.port}", **values}
        transports.append(open_transport(read_settings(tmp_path, **values), ""))
        transports[-1].doors.patience = patience
        return transports[-1]

    yield open_one
    for transport in transports:
        transport.close()


def once(phase, act, *, message=None):
    """A script that does something at one phase, the first time only; or the first time for one address."""
    left = [act]

    def script(at, session):
        if at == phase and left and (message is None or session.recipient.startswith(message)):
            return left.pop()
        return None

    return script


@pytest.fixture(params=[OFFERS, STEP_BY_STEP], ids=["pipelining", "step by step"])
def offers(request):
    return request.param


# the message --------------------------------------------------------------------------------------------------------


def test_the_server_gets_the_very_bytes_that_were_filled_in(opened, offers):
    with stand_in(offers=offers) as house:
        notes = hand_over(opened(house), [reader(n, name="Ana" if n % 2 else "") for n in range(1, 8)])
        assert notes.numbers(ACCEPTED) == set(range(1, 8))
        for taken in house.taken:
            number = int(taken.address.removeprefix("reader").partition("@")[0])
            who = f"Ana <{taken.address}>" if number % 2 else taken.address
            greeting = f"Good morning{', Ana' if number % 2 else ''}"
            assert taken.content.decode() == (
                f"From: Global <global@news.example.org>\r\nTo: {who}\r\n"
                f"Message-ID: <{number:040x}@news.example.org>\r\nSubject: Morning\r\n\r\n{greeting}\r\n"
                f".one dot\r\n..two\r\n.\r\nhttps://news.example.org/m/t{number}\r\n"
            )
            assert taken.sender == "global@news.example.org"


def test_a_message_that_ends_in_a_blank_or_without_a_line_end_is_ended_with_one(opened):
    bare = Compiled((*SEVEN_BIT.pieces[:-1], b"\r\n", Blank("token", "raw")), 5)
    with stand_in() as house:
        hand_over(opened(house), [reader(1), reader(2)], printed=proof(bare))
        assert [one.content[-4:] for one in house.taken] == [b"t1\r\n", b"t2\r\n"]


def test_a_connection_is_used_for_as_many_messages_as_allowed_and_then_anew(opened, offers):
    with stand_in(offers=offers) as house:
        hand_over(opened(house, smtp_per_connection=3), [reader(n) for n in range(1, 8)])
        assert [session.messages for session in house.sessions] == [3, 3, 1]


def test_each_delivery_can_have_a_bounce_address_of_its_own(opened):
    with stand_in() as house:
        hand_over(opened(house, smtp_bounces="bounces@Example.ORG", smtp_verp=True), [reader(5)])
        assert house.taken[0].sender == f"bounces+{5:040x}@example.org"


def test_eight_bits_are_announced_where_they_are_used_and_an_address_beyond_ascii_too(opened):
    with stand_in() as house:
        transport = opened(house)
        hand_over(transport, [reader(1)])
        hand_over(transport, [reader(2, name="Zoë")], printed=proof(MAIL))
        hand_over(transport, [reader(3, address="zoë@bücher.example")])
        assert [one.options for one in house.taken] == ["", "BODY=8BITMIME", "BODY=8BITMIME SMTPUTF8"]
        assert house.taken[1].content.count(", Zoë".encode()) == 1
        assert house.taken[2].address == "zoë@xn--bcher-kva.example"


def test_an_address_beyond_ascii_fails_alone_where_the_server_cannot_take_it(opened):
    with stand_in(offers=("PIPELINING", "8BITMIME")) as house:
        notes = hand_over(opened(house), [reader(1, address="zoë@example.net"), reader(2)])
        assert notes.receipts[1].state == FAILED
        assert "SMTPUTF8" in notes.receipts[1].detail
        assert notes.receipts[2].state == ACCEPTED


def test_a_message_that_the_server_cannot_take_stops_the_run_before_anything_is_marked(opened):
    with stand_in(offers=("PIPELINING",)) as house:
        notes = Notes()
        with pytest.raises(ContentError, match="8BITMIME"):
            hand_over(opened(house), [reader(1), reader(2)], notes, proof(MAIL))
        assert (notes.marks, notes.receipts, house.taken) == ([], {}, [])
    with stand_in(offers=("PIPELINING", "SIZE 100")) as house:
        with pytest.raises(ContentError, match="at most 100"):
            hand_over(opened(house), [reader(1)], notes)
        assert house.taken == []


def test_a_reader_who_cannot_be_addressed_or_filled_in_stops_nobody(opened):
    with stand_in() as house:
        people = [
            reader(1, address="nobody"),
            reader(2),
            reader(3, token="\udc80"),
            reader(4, address="a b@example.net"),
        ]
        notes = hand_over(opened(house), people)
        assert notes.numbers(FAILED) == {1, 3, 4}
        assert notes.numbers(ACCEPTED) == {2}
        assert all(
            notes.receipts[n].permanent and "@" not in notes.receipts[n].detail.replace("name@domain", "")
            for n in (1, 3, 4)
        )


class Seal:
    """Signs with the length of what it was shown."""

    def sign(self, message):
        return b"DKIM-Signature: v=1; l=%d\r\n" % len(message)


def test_a_signature_is_made_over_the_message_before_its_dots_are_doubled(opened):
    with stand_in() as house:
        transport = opened(house)
        hand_over(transport, [reader(1)])
        make = transport.letter_for
        transport.letter_for = lambda compiled: make(
            compiled, signer_for=lambda domain: Seal() if domain == "news.example.org" else None
        )
        hand_over(transport, [reader(1)], printed=proof(Compiled(SEVEN_BIT.pieces, 4)))
        plain, signed = (one.content for one in house.taken)
        assert signed == b"DKIM-Signature: v=1; l=%d\r\n" % len(plain) + plain


# before the last dot: nothing has left ------------------------------------------------------------------------------


@pytest.mark.parametrize("act", [RESET, HANG_UP], ids=["reset", "hangs up"])
@pytest.mark.parametrize("phase", ["mail", "rcpt", "data", "body"])
def test_a_failure_before_the_dot_loses_nothing_and_the_same_message_goes_by_the_next_connection(
    opened, offers, phase, act
):
    with stand_in(once(phase, act, message="reader2@" if phase in {"data", "body"} else None), offers=offers) as house:
        slow_ledger = Notes(takes=0.1 if phase == "body" else 0.0)  # so that the body's end comes before the marker
        notes = hand_over(opened(house), [reader(n) for n in (1, 2, 3)], slow_ledger)
        assert notes.numbers(ACCEPTED) == {1, 2, 3}
        assert house.copies == {f"reader{n}@example.net": 1 for n in (1, 2, 3)}
        assert sorted(notes.marks) == [1, 2, 3], "what was marked and has not left is not marked again"
        assert len(house.sessions) == 2


@pytest.mark.parametrize("phase", ["mail", "rcpt", "data"])
def test_a_server_that_says_nothing_is_left_before_the_dot_and_the_same_message_goes_again(opened, phase):
    with stand_in(once(phase, SILENT)) as house:
        notes = hand_over(opened(house, 0.002), [reader(n) for n in (1, 2, 3)])
        assert notes.numbers(ACCEPTED) == {1, 2, 3}
        assert set(house.copies.values()) == {1}


def test_a_server_that_stops_reading_in_the_middle_of_a_body_leaves_no_doubt(opened):
    """The marker is written by then; but the dot is not, before all of the body has left our hands."""
    long = proof(Compiled((*SEVEN_BIT.pieces, b"All the news of the morning\r\n" * 450_000), 4))
    with stand_in(once("body", SILENT, message="reader2@"), offers=("PIPELINING",)) as house:
        notes = hand_over(opened(house, 0.002), [reader(n) for n in (1, 2, 3)], printed=long)
        assert notes.numbers(ACCEPTED) == {1, 2, 3}
        assert set(house.copies.values()) == {1}
        assert notes.most_handing == 1, "and it goes before any other is marked"


@pytest.mark.parametrize("phase", ["greeting", "ehlo"])
@pytest.mark.parametrize("act", [RESET, HANG_UP, "421 busy", "451 later", "not smtp"])
def test_a_server_that_does_not_let_us_in_at_once_is_asked_again(opened, phase, act):
    with stand_in(once(phase, act)) as house:
        notes = hand_over(opened(house), [reader(1)])
        assert notes.numbers(ACCEPTED) == {1}
        assert len(house.sessions) == 2


def test_a_421_after_some_messages_is_a_new_connection_and_nothing_failed(opened, offers):
    def tired(phase, session):
        return "421 4.7.0 enough for one connection" if phase == "mail" and session.messages == 2 else None

    with stand_in(tired, offers=offers) as house:
        notes = hand_over(opened(house), [reader(n) for n in range(1, 8)])
        assert notes.numbers(ACCEPTED) == set(range(1, 8))
        assert set(house.copies.values()) == {1}
        assert [session.messages for session in house.sessions] == [2, 2, 2, 1]


def test_a_server_that_hangs_up_after_its_reply_leaves_no_doubt(opened, offers):
    with stand_in(lambda phase, _: "421 4.3.2 closing" if phase == "after" else None, offers=offers) as house:
        notes = hand_over(opened(house), [reader(n) for n in (1, 2, 3)])
        assert notes.numbers(ACCEPTED) == {1, 2, 3}
        assert set(house.copies.values()) == {1}


def test_a_delivery_that_breaks_every_connection_is_put_off_and_the_others_go(opened):
    def allergic(phase, session):
        return RESET if phase == "data" and session.recipient.startswith("reader2@") else None

    with stand_in(allergic) as house:
        notes = hand_over(opened(house), [reader(n) for n in (1, 2, 3)])
        assert notes.numbers(ACCEPTED) == {1, 3}
        assert notes.numbers(DEFERRED) == {2}
        assert "3 connections broke" in notes.receipts[2].detail


# refusals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "words", "state", "permanent"),
    [
        ("rcpt", "450 4.2.0 <reader2@example.net> greylisted", DEFERRED, False),
        ("rcpt", "550 5.1.1 <reader2@example.net> unknown", FAILED, True),
        ("data", "451 4.3.0 later", DEFERRED, False),
        ("data", "554 5.7.1 no", FAILED, False),
        ("dot", "452 4.2.2 mailbox full", DEFERRED, False),
        ("dot", "554 5.7.1 looks like spam", FAILED, False),
    ],
)  # fmt: skip
def test_a_refusal_is_that_reader_s_alone_and_the_connection_goes_on(opened, offers, phase, words, state, permanent):
    def script(at, session):
        return words if at == phase and session.recipient.startswith("reader2@") else None

    with stand_in(script, offers=offers) as house:
        notes = hand_over(opened(house), [reader(n) for n in (1, 2, 3)])
        assert notes.numbers(ACCEPTED) == {1, 3}
        receipt = notes.receipts[2]
        assert (receipt.state, receipt.permanent, receipt.retry_after) == (state, permanent, None)
        assert receipt.detail.startswith(words[:9])
        assert "@" not in receipt.detail
        assert len(house.sessions) == 1
        assert (2 in notes.marks) == (phase == "dot"), "what is refused before its body was never marked"


def test_a_server_that_wants_a_message_for_nobody_gets_an_empty_one(opened):
    def script(phase, session):
        if phase == "rcpt" and session.recipient.startswith("reader2@"):
            return "550 5.1.1 unknown"
        return "354 go on" if phase in {"data", "data without recipient"} else None

    with stand_in(script) as house:
        notes = hand_over(opened(house), [reader(n) for n in (1, 2, 3)])
        assert notes.numbers(ACCEPTED) == {1, 3}
        assert notes.numbers(FAILED) == {2}
        assert len(house.sessions) == 1


def test_one_unknown_reader_alone_is_failed_and_not_the_account(opened):
    with stand_in(lambda phase, _: "550 5.1.1 unknown" if phase == "rcpt" else None) as house:
        notes = hand_over(opened(house), [reader(1), reader(2)])
        assert notes.numbers(FAILED) == {1, 2}


def test_a_server_that_takes_no_recipient_at_all_is_the_account_s_fault_and_fails_nobody(opened):
    with stand_in(lambda phase, _: "554 5.7.1 relay access denied" if phase == "rcpt" else None) as house:
        notes = Notes()
        with pytest.raises(AccountError, match="relay access denied"):
            hand_over(opened(house), [reader(n) for n in range(1, 40)], notes)
        assert (notes.receipts, notes.marks) == ({}, [])


@pytest.mark.parametrize(
    ("phase", "words", "check"),
    [
        ("greeting", "554 5.7.1 listed", "send through it"),
        ("ehlo", "550 5.7.0 no such name", "DIGEST_SMTP_HELLO"),
        ("mail", "550 5.7.1 not your address", "DIGEST_SMTP_BOUNCES"),
        ("mail", "451 4.7.1 quota", "DIGEST_SMTP_BOUNCES"),
    ],
)
def test_an_account_at_fault_stops_the_run_with_one_line_that_says_what_to_check(opened, offers, phase, words, check):
    with stand_in(lambda at, _: words if at == phase else None, offers=offers) as house:
        notes = Notes()
        with pytest.raises(AccountError, match=check) as fault:
            hand_over(opened(house), [reader(n) for n in (1, 2, 3)], notes)
        assert words in str(fault.value)
        assert "\n" not in str(fault.value)
        assert (notes.receipts, notes.marks, house.taken) == ({}, [], [])


def test_a_message_refused_by_too_many_stops_the_run(opened):
    with stand_in(lambda phase, _: "554 5.7.1 spam" if phase == "dot" else None) as house:
        notes, transport = Notes(), opened(house, smtp_connections=2)
        with pytest.raises(ContentError, match="11 of the first 11"):
            hand_over(transport, [reader(n) for n in range(1, 100)], notes)
        assert notes.receipts == {}, "nobody is failed for it"
        assert 11 <= len(notes.handing) <= 13
        assert all(transport.prove(proof(), reader(n)) is False for n in notes.handing)


def test_a_message_refused_by_one_in_five_goes_on(opened):
    def script(phase, session):
        return "554 5.7.1 spam" if phase == "dot" and int(session.recipient[6:].partition("@")[0]) % 5 == 0 else None

    with stand_in(script) as house:
        notes = hand_over(opened(house), [reader(n) for n in range(1, 101)])
        assert len(notes.numbers(FAILED)) == 20
        assert len(notes.numbers(ACCEPTED)) == 80


# after the last dot: nobody can know --------------------------------------------------------------------------------


@pytest.mark.parametrize(("does", "taken"), [("reset", True), ("reset", False), ("hang up", True), ("silent", True)])
def test_no_reply_to_the_dot_is_doubt_about_that_message_alone(opened, offers, does, taken):
    act = Act(does, taken=taken)
    with stand_in(once("dot", act, message="reader2@"), offers=offers) as house:
        transport = opened(house, 0.001 if does == "silent" else 0.05)
        notes = hand_over(transport, [reader(n) for n in (1, 2, 3)])
        assert notes.numbers(AMBIGUOUS) == {2}
        assert notes.numbers(ACCEPTED) == {1, 3}
        assert house.copies["reader2@example.net"] == taken, "it is never sent again by itself"
        assert transport.prove(proof(), reader(2)) is None


def test_a_server_that_never_replies_to_the_dot_is_left_after_a_few(opened):
    with stand_in(lambda phase, _: Act("reset", taken=True) if phase == "dot" else None) as house:
        notes = Notes()
        with pytest.raises(TransportError, match="no reply to 5 messages in a row"):
            hand_over(opened(house, smtp_connections=2), [reader(n) for n in range(1, 50)], notes)
        assert len(notes.numbers(AMBIGUOUS)) in {5, 6}
        assert set(house.copies.values()) == {1}


# the ledger's word --------------------------------------------------------------------------------------------------


def test_what_is_no_longer_ours_gets_no_dot_and_no_receipt(opened, offers):
    with stand_in(offers=offers) as house:
        notes = hand_over(opened(house), [reader(n) for n in (1, 2, 3)], Notes(gone=frozenset({2})))
        assert set(notes.receipts) == {1, 3}
        assert house.copies == {"reader1@example.net": 1, "reader3@example.net": 1}


def test_nothing_is_sent_when_nothing_is_ours(opened):
    with stand_in() as house:
        notes = Notes()
        notes.stopped = True
        hand_over(opened(house), [reader(n) for n in (1, 2, 3)], notes)
        assert (notes.receipts, house.taken) == ({}, [])


def test_a_stop_finishes_what_has_its_dot_and_begins_nothing_more(opened):
    notes = Notes()

    def slowly(phase, session):
        if phase == "dot" and session.recipient.startswith("reader3@"):
            notes.stopped = True
            return waits(0.4)
        return None

    with stand_in(slowly) as house:
        transport = opened(house)
        hand_over(transport, [reader(n) for n in range(1, 30)], notes)
        assert notes.numbers(ACCEPTED) == {1, 2, 3}
        assert sum(house.copies.values()) == 3
        assert notes.handing == set()


def test_what_was_marked_and_never_left_is_proved_once(opened):
    class Halts(Notes):
        """A ledger that is stopped once the second message's marker is written, and before we hear of it."""

        def soon(self, numbers, done, then):
            def stop_then(ours):
                self.stopped = self.stopped or 2 in ours
                time.sleep(0.25 if 2 in ours else 0)
                then(ours)

            super().soon(numbers, done, stop_then)

    with stand_in() as house:
        transport, notes = opened(house), Halts()
        hand_over(transport, [reader(n) for n in (1, 2, 3)], notes)
        assert house.copies == {"reader1@example.net": 1}
        assert notes.handing == {2}
        assert transport.prove(proof(), reader(2)) is False
        assert transport.prove(proof(), reader(2)) is None, "by now it may be in other hands"
        assert transport.prove(proof(), reader(1)) is None
        assert transport.prove(proof(), reader(3)) is None


def test_a_ledger_that_refuses_sends_nothing_more(opened):
    class Broken(Notes):
        def soon(self, numbers, done, then):
            super().soon((), done, lambda _: then(set()))

    with stand_in() as house:
        notes = hand_over(opened(house), [reader(n) for n in (1, 2, 3)], Broken())
        assert (notes.receipts, house.taken) == ({}, [])


def test_a_server_that_is_not_there_is_one_clear_line(opened):
    with stand_in() as house:
        pass  # its port is free again
    with pytest.raises(UnreachableError, match=f"127.0.0.1:{house.port} failed while connecting") as fault:
        hand_over(opened(house), [reader(1)])
    assert "\n" not in str(fault.value)
