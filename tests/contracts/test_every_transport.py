"""What the ledger may ask of any transport; each module in digest/transports takes part by being there."""

from typing import get_args

import pytest

from digest.blanks import Marks, mailbox, unstructured
from digest.parts import load_part, part_names
from digest.settings import Settings, read_settings
from digest.splice import compile_message
from digest.values import DeliveryState, Proof, Recipient, Variant
from subscribers.addresses import header_value
from tests.newsroom import PLACE, PUSH
from tests.sendgrid_stand_in import KEY, stand_in
from tests.sinks.running import sink

ALLOWED = [
    (channel, name)
    for channel in ("email", "push")
    for name in get_args(Settings.model_fields[f"{channel}_transport"].annotation)
]
"""Each channel with each transport that the settings let it leave by."""


def mail():
    marks = Marks("0123456789abcdef")
    token, address = marks.mark("token"), marks.mark("address")
    headers = [
        ("From", mailbox("Global Morning", "global@news.example.org")),
        ("Reply-To", mailbox("", "editors@news.example.org")),
        ("To", header_value(marks.mark("mailbox"))),
        ("Subject", unstructured("The news of the morning")),
        ("List-Unsubscribe", header_value(f"<https://news.example.org/m/{token}/leave>")),
    ]
    text = f"Good morning{marks.mark('comma_name')}\nhttps://news.example.org/m/{token}\n"
    return compile_message(headers, text, f"<!DOCTYPE html><p>For {address}: <a href='/m/{token}'>leave</a>", marks)


COMPILED = {"email": mail(), "push": PUSH}


@pytest.fixture(params=ALLOWED, ids="-by-".join)
def pair(request):
    return request.param


@pytest.fixture
def transport(pair, tmp_path):
    with stand_in() as provider, sink("smtp", tmp_path / "book") as server:
        settings = read_settings(
            tmp_path, sendgrid_key=KEY, sendgrid_host=provider.host, smtp_servers=(f"127.0.0.1:{server.port}",),
            smtp_security="none", smtp_bounces="bounces@news.example.org",
        )  # fmt: skip
        opened = load_part("transports", pair[1]).open_transport(settings, PLACE)
        yield opened
        opened.close()


class Agreeing:
    """A ledger that agrees, but for the numbers in `theirs`; it keeps what was marked and what it was told."""

    stopped = False

    def __init__(self, theirs=()):
        self.theirs, self.marked, self.done = set(theirs), set(), []

    def __call__(self, numbers, done=()):
        self.done += done
        ours = set(numbers) - self.theirs
        self.marked |= ours
        return ours

    def soon(self, numbers, done, then):
        then(self(numbers, done))


def receipts_of(transport, proof, recipients, marks):
    """Every receipt, whichever way it was given."""
    yielded = list(transport.send(proof, recipients, marks))
    return yielded + marks.done


@pytest.fixture
def proof(pair):
    return Proof(
        channel=pair[0], variant=Variant(segment="", language="en"), subject="", preheader="", html="", text="",
        push="", compiled=COMPILED[pair[0]], content_hash="c",
    )  # fmt: skip


def test_every_transport_in_the_folder_may_be_chosen_for_a_channel():
    assert {name for _, name in ALLOWED} == set(part_names("transports"))


def recipients(*numbers):
    return [
        Recipient(
            number=n, delivery_id=f"{n:040x}", address=f"reader{n}@example.net", name="Ana", token="t",
            date="Mon, 23 Nov 2026 06:00:00 +0000",
        )
        for n in numbers
    ]  # fmt: skip


def test_the_marker_comes_before_anything_is_handed_over_and_covers_it(transport, proof):
    marks = Agreeing()
    for receipt in transport.send(proof, recipients(1, 2, 3), marks):
        assert receipt.number in marks.marked
    assert marks.marked == {1, 2, 3}


def test_each_recipient_that_is_ours_gets_one_receipt_in_a_known_state(transport, proof):
    receipts = receipts_of(transport, proof, recipients(*range(1, 40)), Agreeing())
    assert sorted(one.number for one in receipts) == list(range(1, 40))
    known = {DeliveryState.ACCEPTED, DeliveryState.DEFERRED, DeliveryState.FAILED, DeliveryState.AMBIGUOUS}
    assert {one.state for one in receipts} <= known


def test_what_is_no_longer_ours_is_not_handed_over_and_gets_no_receipt(transport, proof):
    receipts = receipts_of(transport, proof, recipients(1, 2, 3), Agreeing(theirs=[2]))
    assert sorted(one.number for one in receipts) == [1, 3]
    assert transport.prove(proof, recipients(2)[0]) is not True


def test_nothing_is_handed_over_when_nothing_is_ours(transport, proof):
    assert receipts_of(transport, proof, recipients(1, 2), Agreeing(theirs=[1, 2])) == []


def test_no_recipients_is_no_work(transport, proof):
    assert receipts_of(transport, proof, [], Agreeing()) == []


def test_proof_never_denies_what_was_accepted(transport, proof):
    for receipt in receipts_of(transport, proof, recipients(1, 2), Agreeing()):
        if receipt.state == DeliveryState.ACCEPTED:
            assert transport.prove(proof, recipients(receipt.number)[0]) is not False


def test_one_bad_recipient_stops_nobody(transport, proof):
    good, bad = recipients(1, 2)
    worse = bad._replace(address="\udc80", name="\udc80", token="\udc80", delivery_id=bad.delivery_id)
    receipts = {one.number: one.state for one in receipts_of(transport, proof, [worse, good], Agreeing())}
    assert receipts[1] == DeliveryState.ACCEPTED
    assert 2 in receipts
