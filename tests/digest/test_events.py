"""What comes back, heard once: what it proves of a delivery, whose it is, and how often it counts."""

from datetime import timedelta

import pytest

from digest.deliveries import balance_of, claim, decide, deliver, mark, record, recover, settle
from digest.delivery_ids import LENGTH, delivery_id
from digest.events import Outcome, adopt
from digest.retention import swept
from digest.settings import Settings
from digest.values import DeliveryState, Event, EventKind, Receipt
from tests.heard import (
    AT,
    HARD,
    KEPT,
    POLICY,
    SOFT,
    event,
    everything,
    hash_of,
    sent,
    set_state,
    states,
    suppressed,
    table,
    told,
)
from tests.newsroom import KEYS, NOW, deliveries_of, morning, opened, readers
from tests.sendgrid_events import name

# states ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kinds", "state"),
    [
        (["processed"], "accepted"),
        (["deferred"], "accepted"),
        (["processed", "delivered"], "delivered"),
        (["delivered", SOFT], "bounced"),
        ([HARD, "delivered"], "bounced"),
        (["blocked"], "bounced"),
        (["delivered", "complained"], "complained"),
        (["complained", HARD], "complained"),
        (["dropped", "delivered"], "delivered"),
        (["dropped", "processed"], "dropped"),
    ],
)
def test_the_stronger_word_counts_whichever_came_first(engine, kinds, state):
    mailing = sent(engine, 2)
    told(engine, *[event(1, kind, at) for at, kind in enumerate(kinds)])
    for at, kind in reversed(list(enumerate(kinds))):
        told(engine, event(2, kind, at))
    assert states(engine) == [state, state]
    assert balance_of(engine, mailing).balanced


def test_what_was_handed_over_stays_handed_over_in_the_books_whatever_came_back(engine):
    mailing = sent(engine, 6)
    told(engine, *[event(n, kind) for n, kind in enumerate(["delivered", HARD, "blocked", "dropped", "complained"], 1)])
    balance = balance_of(engine, mailing)
    assert balance.words == "6 of 6 handed over; nothing is open and the books balance."
    assert balance.counts == {"accepted": 1, "delivered": 1, "bounced": 2, "dropped": 1, "complained": 1}


def test_of_two_equal_words_the_later_one_is_told(engine):
    sent(engine, 1)
    told(engine, event(1, SOFT, 20, reason="452 full"))
    told(engine, event(1, SOFT, 10, reason="451 busy"))
    (row,) = deliveries_of(engine)
    assert (row.state, row.reason, row.updated_at) == ("bounced", "452 full", AT + 20)


@pytest.mark.parametrize(
    "state", sorted(set(DeliveryState) - {"accepted", "delivered", "bounced", "dropped", "complained"})
)
@pytest.mark.parametrize("kind", ["processed", "delivered"])
def test_proof_ends_every_doubt_and_every_wrong_belief(sqlite_engine, state, kind):
    sent(sqlite_engine, 1)
    set_state(sqlite_engine, 1, state, next_at=AT + 300)
    told(sqlite_engine, event(1, kind))
    (row,) = deliveries_of(sqlite_engine)
    assert (row.state, row.next_at) == ({"processed": "accepted", "delivered": "delivered"}[kind], None)


def test_an_unconfirmed_delivery_is_accepted_by_an_event_and_no_longer_a_persons_to_decide(engine):
    mailing = unconfirmed(engine)
    assert states(engine) == ["ambiguous"] * 3
    assert told(engine, event(1, "processed"), event(2, "deferred", reason="450 later")).moved == 2
    assert states(engine) == ["accepted", "accepted", "ambiguous"]
    assert decide(engine, mailing, "resend", now=NOW) == 1
    balance = balance_of(engine, mailing)
    assert (balance.handed, balance.unconfirmed, balance.open) == (2, 0, 1)


@pytest.mark.parametrize("first", ["event", "answer"])
def test_an_event_that_comes_before_the_providers_own_answer_changes_nothing_in_the_end(engine, first):
    house = morning(engine)
    readers(engine, 3)
    mailing = opened(engine, house)
    batch = claim(engine, owner="me", now=NOW, lease=60, transports=["outbox"], keys=KEYS)
    numbers = [one.number for one in batch.recipients]
    assert mark(engine, batch, numbers, now=NOW) == {1, 2, 3}  # one write on the batch: the rows say queued
    steps = {
        "event": lambda: told(engine, event(1, "delivered", reason="250 ok")),
        "answer": lambda: record(engine, batch, [Receipt(n, DeliveryState.ACCEPTED, "id") for n in numbers], now=NOW),
    }
    for step in sorted(steps, key=lambda one: one != first):
        steps[step]()
    assert [(row.state, row.reason) for row in deliveries_of(engine)] == [
        ("delivered", "250 ok"),
        ("accepted", "id"),
        ("accepted", "id"),
    ]
    assert settle(engine, mailing, now=NOW).done


def test_a_delivery_that_was_queued_again_is_not_handed_over_twice_once_it_is_proved(engine):
    mailing = resent(engine)
    told(engine, event(2, "delivered"))
    handed = handed_by_whole_batches(engine, mailing)
    assert handed == [1, 3]
    assert states(engine) == ["accepted", "delivered", "accepted"]


def test_not_even_when_a_worker_has_claimed_its_batch_already(engine):
    """It marks all of it by one write, without looking at the rows once more."""
    resent(engine)
    batch = claim(engine, owner="me", now=NOW, lease=60, transports=["outbox"], keys=KEYS)
    told(engine, event(2, "delivered"))
    assert mark(engine, batch, [one.number for one in batch.recipients], now=NOW) == set()
    again = claim(engine, owner="me", now=NOW, lease=60, transports=["outbox"], keys=KEYS)
    assert [one.number for one in again.recipients] == [1, 3]
    assert again.fence > batch.fence


def test_a_worker_that_marks_one_by_one_keeps_its_batch(engine):
    resent(engine)
    batch = claim(engine, owner="me", now=NOW, lease=60, transports=["outbox"], keys=KEYS)
    assert mark(engine, batch, [1], now=NOW) == {1}
    told(engine, event(2, "delivered"))
    assert mark(engine, batch, [2], now=NOW) == set()
    assert mark(engine, batch, [3], now=NOW) == {3}
    assert record(engine, batch, [Receipt(n, DeliveryState.ACCEPTED) for n in (1, 3)], now=NOW)
    assert states(engine) == ["accepted", "delivered", "accepted"]


def unconfirmed(engine):
    """Three deliveries that a crash left unconfirmed."""
    house = morning(engine)
    readers(engine, 3)
    mailing = opened(engine, house)
    batch = claim(engine, owner="gone", now=NOW, lease=60, transports=["outbox"], keys=KEYS)
    mark(engine, batch, [one.number for one in batch.recipients], now=NOW)
    recover(engine, now=NOW + timedelta(minutes=5), provers={}, keys=KEYS)
    return mailing


def resent(engine):
    """They, and a person had them queued again."""
    mailing = unconfirmed(engine)
    assert decide(engine, mailing, "resend", now=NOW) == 3
    return mailing


def handed_by_whole_batches(engine, mailing):
    handed = []

    class Wire:
        appetite = 1

        def send(self, proof, recipients, mark):
            ours = mark([one.number for one in recipients])
            for one in recipients:
                if one.number in ours:
                    handed.append(one.number)
                    yield Receipt(one.number, DeliveryState.ACCEPTED)

        def prove(self, proof, recipient):
            return None

    deliver(engine, {"outbox": Wire()}, mailing=mailing, keys=KEYS, lease=60, clock=lambda: NOW)
    return sorted(handed)


# whose it is, and how often -------------------------------------------------------------------------------------------


def test_an_event_counts_once_however_often_it_is_told(engine):
    sent(engine, 2)
    one, other = event(1, "delivered"), event(2, "delivered")
    heard = told(engine, one, other, one)
    assert heard.outcomes == [Outcome.HEARD, Outcome.HEARD, Outcome.AGAIN]
    before = everything(engine)
    again = told(engine, other, one, now=NOW + timedelta(hours=29))
    assert (again.outcomes, again.moved, again.suppressed) == ([Outcome.AGAIN] * 2, 0, 0)
    assert everything(engine) == before


def test_the_same_at_another_moment_or_by_another_link_is_another_event(engine):
    sent(engine, 1)
    heard = told(
        engine, event(1, "deferred"), event(1, "deferred", 60), event(1, "left", url="a"), event(1, "left", url="b")
    )
    assert heard.outcomes == [Outcome.HEARD] * 4


@pytest.mark.parametrize(
    "forged",
    ["", "f" * LENGTH, "1", name(1)[:-1] + ("0" if name(1)[-1] != "0" else "1"), name(1).upper() + "0", "é", "\ud800", "x" * 100_000,
     delivery_id(b"another house's key", mailing=1, number=1, opened=int(AT))],
)  # fmt: skip
def test_a_name_that_is_not_ours_leaves_no_trace(engine, forged):
    sent(engine, 1)
    before = everything(engine)
    heard = told(engine, Event(forged, EventKind.BOUNCED, AT, permanent=True))
    assert heard.outcomes == [Outcome.FOREIGN]
    assert everything(engine) == before


def test_nothing_told_is_nothing_heard(engine):
    assert told(engine).outcomes == []


def test_no_address_is_kept_with_an_event(engine):
    sent(engine, 1)
    told(engine, event(1, HARD, reason="550 no such user"))
    ((target, delivery, number),) = table(engine, "event", "target", "delivery", "number")
    assert (target, delivery, number) == (hash_of(1).hex(), "", 1)


def test_a_delivery_that_is_not_known_here_is_kept_aside_and_heard_once_it_is(engine):
    heard = told(engine, event(1, HARD), event(2, "delivered"), event(1, "delivered", delivery=name(1, opened=5)))
    assert heard.outcomes == [Outcome.ASIDE] * 3
    assert {row.number for row in table(engine, "event", "number")} == {None}
    assert adopt(engine, keys=KEYS, policy=POLICY, now=NOW) == 0
    sent(engine, 3)
    assert told(engine, event(1, HARD)).outcomes == [Outcome.AGAIN]
    assert adopt(engine, keys=KEYS, policy=POLICY, now=NOW) == 2
    assert states(engine) == ["bounced", "delivered", "accepted"]
    assert suppressed(engine).keys() == {hash_of(1)}
    assert sorted(table(engine, "event", "number", "delivery"), key=str) == [
        (1, ""),
        (2, ""),
        (None, name(1, opened=5)),
    ]
    assert adopt(engine, keys=KEYS, policy=POLICY, now=NOW) == 0


def test_events_about_an_earlier_database_of_this_house_do_not_touch_the_mailing_that_has_its_number_now(engine):
    sent(engine, 1)
    told(engine, event(1, HARD, delivery=name(1, opened=int(AT) - 86_400)))
    assert states(engine) == ["accepted"]
    assert suppressed(engine) == {}


def test_many_kept_aside_are_gone_through_in_turns(sqlite_engine, monkeypatch):
    monkeypatch.setattr("digest.events.SOME", 7)
    told(sqlite_engine, *[event(n, "delivered") for n in range(1, 31)])
    sent(sqlite_engine, 20)
    assert adopt(sqlite_engine, keys=KEYS, policy=POLICY, now=NOW) == 20
    assert states(sqlite_engine) == ["delivered"] * 20


def test_events_are_forgotten_after_thirty_days_and_what_they_did_stays(engine):
    sent(engine, 2)
    told(engine, event(1, HARD))
    told(engine, event(2, "delivered"), now=NOW + timedelta(days=2))
    swept(engine, Settings(), now=NOW + KEPT + timedelta(days=1))
    assert [row.number for row in table(engine, "event", "number")] == [2]
    assert states(engine) == ["bounced", "delivered"]
    assert suppressed(engine).keys() == {hash_of(1)}
    late = told(engine, event(1, "delivered", 2 * 86_400), now=NOW + KEPT + timedelta(days=1))
    assert late.outcomes == [Outcome.HEARD]
    assert states(engine)[0] == "bounced"  # though nothing remembers why


def test_what_happened_so_long_ago_that_nobody_would_know_it_again_is_left(engine):
    """A mailbox that is never emptied is read every day; somebody may have lifted a suppression since."""
    sent(engine, 1)
    told(engine, event(1, HARD))
    much_later = NOW + KEPT + timedelta(days=1)
    swept(engine, Settings(), now=much_later)
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM suppression")
    assert told(engine, event(1, HARD), now=much_later).outcomes == [Outcome.OLD]
    assert suppressed(engine) == {}
    assert table(engine, "event", "key") == []


def test_a_dry_run_says_what_would_be_and_keeps_nothing(engine):
    sent(engine, 1)
    before = everything(engine)
    heard = told(engine, event(1, HARD), dry_run=True)
    assert (heard.outcomes, heard.moved, heard.suppressed) == ([Outcome.HEARD], 1, 1)
    assert everything(engine) == before
