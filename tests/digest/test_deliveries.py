"""The ledger: a batch in one hand at a time, every outcome on record, nothing handed over twice, nothing forgotten."""

import shutil
from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import event
from sqlmodel import SQLModel

from digest.database import open_engine
from digest.deliveries import (
    balance_of,
    cancel,
    claim,
    deliver,
    mark,
    open_mailing,
    pause,
    progress,
    proof_of,
    record,
    recover,
    requeue,
    resume,
    run_batch,
    settle,
)
from digest.deliveries.marking import backoff
from digest.deliveries.owners import is_gone, owner_name
from digest.errors import NotFoundError, StorageError, TransitionError
from digest.values import DeliveryState, Receipt
from tests.laid import in_memory, lay
from tests.newsroom import DEADLINE, KEYS, NOW, deliveries_of, morning, opened, readers, set_wish, suppress

LEASE = 60.0


class Wire:
    """A transport for these tests: keeps what was handed over, and answers as it is told to."""

    appetite = 1

    def __init__(self, answers=None, prove=None, fails_after=None):
        self.handed, self.answers, self.proves, self.fails_after = [], answers or {}, prove, fails_after

    def send(self, proof, recipients, mark):
        for recipient in recipients:
            if not mark([recipient.number]):
                continue
            if self.fails_after is not None and len(self.handed) >= self.fails_after:
                raise StorageError("The wire is cut.")
            self.handed.append(recipient)
            yield self.answers.get(recipient.number) or Receipt(number=recipient.number, state=DeliveryState.ACCEPTED)

    def prove(self, proof, recipient):
        return self.proves and self.proves(recipient)


def take(engine, now=NOW, owner="me", lease=LEASE):
    return claim(engine, owner=owner, now=now, lease=lease, transports=["outbox"], keys=KEYS)


def accepted(batch):
    return [Receipt(number=one.number, state=DeliveryState.ACCEPTED) for one in batch.recipients]


def run(engine, wire, mailing=1, now=NOW, **options):
    return deliver(engine, {"outbox": wire}, mailing=mailing, keys=KEYS, lease=LEASE, clock=lambda: now, **options)


def states(engine):
    return dict(Counter(row.state for row in deliveries_of(engine)))


def later(**time):
    return NOW + timedelta(**time)


# claims -------------------------------------------------------------------------------------------------------------


def test_a_batch_is_one_workers_alone(engine):
    house = morning(engine)
    readers(engine, 100)
    opened(engine, house)
    mine, theirs, nothing = take(engine, owner="a"), take(engine, owner="b"), take(engine, owner="c")
    assert {one.number for one in mine.recipients}.isdisjoint({one.number for one in theirs.recipients})
    assert (len(mine.recipients), len(theirs.recipients), nothing) == (50, 50, None)
    assert (mine.fence, mine.attempt, mine.owner, mine.lease_until) == (1, 1, "a", NOW.timestamp() + LEASE)


def test_a_recipient_carries_what_fills_the_blanks_the_same_on_every_attempt(engine):
    house = morning(engine)
    readers(engine, 1, name="Ana")
    opened(engine, house)
    first = take(engine)
    recover(engine, now=later(minutes=5), provers={}, keys=KEYS)
    again = take(engine, now=later(minutes=6))
    assert again.recipients == first.recipients
    (one,) = first.recipients
    assert (one.address, one.name, one.date) == ("reader1@example.net", "Ana", "Mon, 23 Nov 2026 06:00:00 +0000")


def test_leaving_pausing_and_suppression_take_effect_at_the_next_claim(engine):
    house = morning(engine)
    stays, leaves, rests, bounces, erased = readers(engine, 5)
    opened(engine, house)
    set_wish(engine, leaves, state="left")
    set_wish(engine, rests, state="paused")
    suppress(engine, bounces)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DELETE FROM subscriber WHERE id = {erased}")
    assert [one.address for one in take(engine).recipients] == [f"reader{stays}@example.net"]
    rows = {row.subscriber_id: (row.state, row.reason) for row in deliveries_of(engine)}
    assert rows == {
        stays: ("queued", ""),
        leaves: ("cancelled", "left"),
        rests: ("skipped", "paused"),
        bounces: ("suppressed", "suppressed"),
        erased: ("cancelled", "gone"),
    }


def test_an_edition_follows_a_reader_to_a_new_address(engine):
    house = morning(engine)
    (one,) = readers(engine, 1)
    opened(engine, house)
    before = deliveries_of(engine)[0].target
    with engine.begin() as connection:
        people = house_table("subscriber")
        new = {"email": "new@example.net", "email_key": "new@example.net", "email_hash": b"\x07" * 16}
        connection.execute(people.update().where(people.c.id == one).values(new))
    assert take(engine).recipients[0].address == "new@example.net"
    assert deliveries_of(engine)[0].target == "07" * 16 != before


def house_table(name):
    return SQLModel.metadata.tables[name]


def test_a_batch_whose_readers_all_left_is_done_without_anyone_being_called(engine):
    house = morning(engine)
    (one,) = readers(engine, 1)
    opened(engine, house)
    set_wish(engine, one, state="left")
    wire = Wire()
    assert run(engine, wire).done
    assert wire.handed == []


def test_the_urgent_mailing_goes_first(engine):
    slow, urgent = morning(engine), None
    readers(engine, 60)
    opened(engine, slow)
    with engine.begin() as connection:
        edition = house_table("edition")
        row = dict(connection.execute(edition.select()).one()._mapping) | {"id": 2, "kind": "breaking", "name": "x"}
        connection.execute(edition.insert().values(row))
    urgent = open_mailing(
        engine, edition_id=2, version=1, digest_id=1, shares=[slow.share()], now=NOW, expires_at=DEADLINE, priority=-9
    )
    assert take(engine).mailing_id == urgent


# the marker and the records -----------------------------------------------------------------------------------------


def test_marking_a_whole_batch_is_one_write_and_part_of_it_one_each(engine):
    house = morning(engine)
    readers(engine, 100)
    opened(engine, house)
    whole, part = take(engine), take(engine)
    everyone = {one.number for one in whole.recipients}
    assert mark(engine, whole, everyone, now=NOW) == everyone
    assert mark(engine, part, [51, 52], now=NOW) == {51, 52}
    assert states(engine) == {"queued": 98, "handing": 2}
    assert mark(engine, part, [52, 53], now=NOW) == {53}, "what is marked already is not handed out again"


def test_a_worker_that_overslept_may_neither_mark_nor_record(engine):
    house = morning(engine)
    readers(engine, 50)
    opened(engine, house)
    sleeper = take(engine, owner="sleeper", lease=5)
    recover(engine, now=later(seconds=6), provers={}, keys=KEYS)
    halves = [take(engine, now=later(seconds=7), owner="other") for _ in range(2)]
    assert mark(engine, sleeper, [1], now=later(seconds=8)) == set()
    assert record(engine, sleeper, accepted(sleeper), now=later(seconds=8)) is False
    for half in halves:
        assert record(engine, half, accepted(half), now=later(seconds=9)) is True
    assert settle(engine, 1, now=later(seconds=9)).done


def test_nothing_is_marked_once_the_lease_is_over_even_if_nobody_took_it(engine):
    house = morning(engine)
    readers(engine, 1)
    opened(engine, house)
    batch = take(engine, lease=5)
    assert mark(engine, batch, [1], now=later(seconds=5)) == set()


def test_each_receipt_is_one_row_and_neighbours_do_not_leak_into_each_other(engine):
    house = morning(engine)
    readers(engine, 50)
    opened(engine, house)
    batch = take(engine)
    words = {3: ("failed", "550 no such user"), 4: ("failed", "550 no such user"), 9: ("ambiguous", "no reply")}
    receipts = [
        Receipt(number=n, state=DeliveryState(words.get(n, ("accepted", ""))[0]), detail=words.get(n, ("", ""))[1])
        for n in range(1, 51)
    ]
    record(engine, batch, receipts[::-1], now=NOW)
    rows = {row.number: (row.state, row.reason) for row in deliveries_of(engine)}
    assert rows == {n: words.get(n, ("accepted", "")) for n in range(1, 51)}


def test_books_say_what_is_open_what_is_unconfirmed_and_when_they_do_not_balance(engine):
    house = morning(engine)
    readers(engine, 3)
    opened(engine, house)
    assert settle(engine, 1, now=NOW).words == "3 of 3 still open: 3 queued."
    balance = run(engine, Wire({2: Receipt(number=2, state=DeliveryState.AMBIGUOUS, detail="reset")}))
    assert balance.words == "2 of 3 handed over, 1 unconfirmed; nothing is open and the books balance."
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM delivery WHERE number = 2")
    assert "3 candidates, but 2 deliveries" in settle(engine, 1, now=NOW).words


def test_a_mailing_whose_books_do_not_balance_is_never_done(engine):
    house = morning(engine)
    readers(engine, 3)
    opened(engine, house)
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM delivery WHERE number = 2")
    assert not run(engine, Wire()).done


def test_progress_counts_by_channel_segment_language_and_state(engine):
    house = morning(engine, [("email", "", "en"), ("push", "", "en")])
    readers(engine, 4, channels=("email", "push"))
    opened(engine, house, [house.share(), house.share("push")])
    record(engine, batch := take(engine), accepted(batch), now=NOW)
    found = [(one.channel, one.segment, one.language, one.state, one.number) for one in progress(engine, 1)]
    assert found == [("email", "", "en", "accepted", 4), ("push", "", "en", "queued", 4)]


def test_books_of_no_mailing_are_refused_in_words(engine):
    with pytest.raises(NotFoundError, match="no mailing 77"):
        balance_of(engine, 77)


# deferral -----------------------------------------------------------------------------------------------------------


def test_a_deferred_delivery_is_tried_again_when_its_time_has_come_and_not_before(engine):
    house = morning(engine)
    readers(engine, 3)
    opened(engine, house)
    greylisted = Receipt(number=2, state=DeliveryState.DEFERRED, detail="451 come back")
    assert not run(engine, Wire({2: greylisted})).done
    row = deliveries_of(engine)[1]
    assert (row.state, row.attempt, row.next_at) == ("deferred", 1, NOW.timestamp() + 300)
    assert run(engine, wire := Wire(), now=later(seconds=299)).open == 1
    assert wire.handed == []
    assert run(engine, wire, now=later(seconds=300)).done
    assert [one.number for one in wire.handed] == [2]


def test_what_would_be_tried_after_the_deadline_expires(engine):
    house = morning(engine)
    readers(engine, 2)
    opened(engine, house)
    busy = Receipt(number=1, state=DeliveryState.DEFERRED, detail="421 busy", retry_after=7 * 3600)
    assert run(engine, Wire({1: busy})).done
    assert [(row.state, row.reason) for row in deliveries_of(engine)] == [("expired", "421 busy"), ("accepted", "")]


def test_what_was_not_handed_over_by_the_deadline_expires_and_is_said(engine):
    house = morning(engine)
    readers(engine, 2)
    opened(engine, house)
    balance = run(engine, wire := Wire(), now=later(hours=6))
    assert (balance.done, dict(balance.counts), wire.handed) == (True, {"expired": 2}, [])


@pytest.mark.parametrize(
    ("attempt", "asked", "seconds"),
    [(0, None, 300), (1, None, 600), (4, None, 4800), (5, None, 7200), (60, None, 7200), (3, 17, 17), (0, 0, 1)],
)
def test_the_next_try_waits_as_asked_or_five_minutes_doubling_to_two_hours(attempt, asked, seconds):
    assert backoff(attempt, asked) == seconds


# crashes ------------------------------------------------------------------------------------------------------------


def test_an_expired_claim_gives_back_what_never_left_and_holds_what_may_have(engine):
    house = morning(engine)
    readers(engine, 50)
    opened(engine, house)
    batch = take(engine)
    mark(engine, batch, [7, 8], now=NOW)
    assert recover(engine, now=later(seconds=59), provers={}, keys=KEYS) == {}
    assert recover(engine, now=later(seconds=60), provers={}, keys=KEYS) == {"queued": 48, "ambiguous": 2}
    assert states(engine) == {"queued": 48, "ambiguous": 2}


def test_proof_settles_what_may_have_left(engine):
    house = morning(engine)
    readers(engine, 50)
    opened(engine, house)
    batch = take(engine)
    mark(engine, batch, [one.number for one in batch.recipients], now=NOW)
    wire = Wire(prove=lambda recipient: {1: True, 2: False}.get(recipient.number))
    settled = recover(engine, now=later(minutes=2), provers={"outbox": wire}, keys=KEYS)
    assert settled == states(engine) == {"accepted": 1, "queued": 1, "ambiguous": 48}


def test_a_claim_whose_worker_is_gone_is_not_waited_for(engine):
    house = morning(engine)
    readers(engine, 50)
    opened(engine, house)
    take(engine, owner="dead")
    assert recover(engine, now=NOW, provers={}, keys=KEYS, gone=lambda owner: owner == "dead") == {"queued": 50}


def test_only_a_process_that_surely_ended_counts_as_gone():
    mine = owner_name()
    here, pid, rest = mine.split("/")
    assert not is_gone(mine)
    assert is_gone(f"{here}/{2**22 + 1}/{rest}"), "no system gives numbers that high"
    for elsewhere in (f"another-boot/{pid}/{rest}", f"another-boot/{2**22 + 1}/{rest}", "", "somebody", f"{here}/x/y"):
        assert not is_gone(elsewhere)


def test_a_crash_halves_the_next_claim_until_the_poison_is_alone(engine):
    house = morning(engine)
    readers(engine, 50)
    opened(engine, house)
    at, poison, sizes = NOW, 13, []
    for _ in range(40):
        at += timedelta(minutes=2)
        recover(engine, now=at, provers={}, keys=KEYS)
        if not (batch := take(engine, now=at)):
            break
        if poison in {one.number for one in batch.recipients}:
            sizes.append(len(batch.recipients))  # the worker dies
        else:
            record(engine, batch, accepted(batch), now=at)
    assert sizes[:5] == [50, 25, 13, 6, 3]
    assert sizes[-4:] == [1, 1, 1, 1], "the first of them makes it suspect"
    row = deliveries_of(engine)[poison - 1]
    assert (row.state, row.reason) == ("failed", "poison")
    assert settle(engine, 1, now=at).counts == {"accepted": 49, "failed": 1}


def test_a_transport_that_fails_half_way_loses_nothing_and_is_told_on(engine):
    house = morning(engine)
    readers(engine, 120)
    opened(engine, house)
    wire = Wire(fails_after=70, prove=lambda recipient: recipient in wire.handed)
    with pytest.raises(StorageError, match="cut"):
        run(engine, wire)
    assert states(engine) == {"accepted": 70, "queued": 50}
    wire.fails_after = None
    assert run(engine, wire).done
    assert len(wire.handed) == len({one.number for one in wire.handed}) == 120


def test_a_transport_that_says_nothing_of_a_delivery_does_not_make_it_vanish(engine):
    class Silent(Wire):
        def send(self, proof, recipients, mark):
            yield from list(super().send(proof, recipients, mark))[1:]

    house = morning(engine)
    readers(engine, 3)
    opened(engine, house)
    batch = take(engine)
    run_batch(engine, batch, Silent(), proof_of(engine, batch.proof_id), keys=KEYS, clock=lambda: NOW)
    assert states(engine) == {"accepted": 2, "ambiguous": 1}


# the switches -------------------------------------------------------------------------------------------------------


def test_a_paused_mailing_stops_after_the_batch_in_hand_and_goes_on_when_resumed(engine):
    house = morning(engine)
    readers(engine, 150)
    opened(engine, house)
    wire = Wire()
    pauses = run(engine, wire, told=lambda done, of: pause(engine, 1, now=NOW))
    assert (len(wire.handed), pauses.state, pauses.open) == (50, "paused", 100)
    assert run(engine, wire).state == "paused"
    resume(engine, 1, now=NOW)
    assert run(engine, wire).done
    assert len({one.number for one in wire.handed}) == len(wire.handed) == 150


def test_a_cancelled_mailing_closes_what_waits_and_what_comes_back(engine):
    house = morning(engine)
    readers(engine, 150)
    opened(engine, house)
    take(engine)
    cancel(engine, 1, now=NOW)
    assert states(engine) == {"queued": 50, "cancelled": 100}
    balance = run(engine, wire := Wire(), now=later(minutes=2))
    assert (balance.state, states(engine), wire.handed) == ("cancelled", {"cancelled": 150}, [])


def test_what_is_done_is_neither_paused_nor_cancelled(engine):
    house = morning(engine)
    readers(engine, 1)
    opened(engine, house)
    run(engine, Wire())
    with pytest.raises(TransitionError, match="is done"):
        pause(engine, 1, now=NOW)
    with pytest.raises(TransitionError, match="is done"):
        cancel(engine, 1, now=NOW)


def test_a_stop_is_heard_between_batches_and_nothing_is_lost(engine):
    house = morning(engine)
    readers(engine, 150)
    opened(engine, house)
    wire, told = Wire(), []
    run(engine, wire, told=lambda *count: told.append(count), stop=lambda: bool(told) and told[-1][0] >= 100)
    assert told == sorted(told)
    assert told[-1] == (100, 150)
    assert run(engine, wire).done


def test_batches_that_always_outlive_their_lease_are_said_and_not_tried_for_ever(engine):
    house = morning(engine)
    readers(engine, 5)
    opened(engine, house)
    ticks = iter(range(0, 100_000, 7))
    with pytest.raises(StorageError, match="Set DIGEST_LEASE higher"):
        deliver(engine, {"outbox": Wire()}, mailing=1, keys=KEYS, lease=5.0, clock=lambda: later(seconds=next(ticks)))
    assert states(engine) == {"queued": 5}


def test_a_second_run_hands_nothing_over(engine):
    house = morning(engine)
    readers(engine, 5)
    opened(engine, house)
    run(engine, Wire())
    assert run(engine, wire := Wire()).done
    assert wire.handed == []


def test_a_database_that_another_process_holds_is_said_in_one_line(sqlite_engine, tmp_path):
    house = morning(sqlite_engine)
    readers(sqlite_engine, 5)
    opened(sqlite_engine, house)
    hurried = open_engine(str(sqlite_engine.url))
    event.listen(hurried, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=10"))
    with sqlite_engine.begin(), pytest.raises(StorageError, match="Another process has held the database"):
        take(hurried)
    hurried.dispose()
    assert run(sqlite_engine, Wire()).done


def test_a_full_disk_is_one_sentence_and_nothing_is_recorded_that_was_not_done(small_disk):
    disk, grow = small_disk(2000)
    engine = open_engine(lay(disk / "digest.sqlite"))
    house = morning(engine)
    readers(engine, 1000)
    (disk / "ballast").write_bytes(b"x" * (room(disk) - 50_000))
    with pytest.raises(StorageError, match=r"disk is full .* run the same command again"):
        opened(engine, house)
    grow(8000)
    mailing = opened(engine, house)
    (disk / "more").write_bytes(b"x" * (room(disk) - 20_000))
    wire = Wire(prove=lambda recipient: recipient in wire.handed)
    with pytest.raises(StorageError, match="disk is full"):
        run(engine, wire, mailing)
    assert balance_of(engine, mailing).counts.get("accepted", 0) <= len(wire.handed)
    grow(20_000)
    assert run(engine, wire, mailing, now=later(minutes=2)).done
    assert len(wire.handed) == len({one.number for one in wire.handed}) == 1000
    engine.dispose()


def room(disk):
    return shutil.disk_usage(disk).free


# any order of events ------------------------------------------------------------------------------------------------


class Ledger(RuleBasedStateMachine):
    """Workers claim, mark, hand over, record, die and wake again in any order: nobody is handed anything twice."""

    @initialize(count=st.sampled_from([1, 3, 60]))
    def open(self, count):
        self.engine = in_memory()
        house = morning(self.engine)
        readers(self.engine, count)
        opened(self.engine, house)
        self.now, self.hands, self.handed = NOW, [], Counter()

    @rule()
    def claim(self):
        if batch := take(self.engine, now=self.now, owner=f"w{len(self.hands)}", lease=30):
            self.hands.append(batch)

    @precondition(lambda self: self.hands)
    @rule(
        data=st.data(),
        says=st.sampled_from(["accepted", "deferred", "failed", "ambiguous"]),
        how=st.sampled_from(["whole", "part"]),
    )
    def hand_over(self, data, says, how):
        batch = data.draw(st.sampled_from(self.hands))
        numbers = [one.number for one in batch.recipients]
        wanted = numbers if how == "whole" else numbers[: len(numbers) // 2 + 1]
        ours = mark(self.engine, batch, wanted, now=self.now)
        self.handed.update(ours if says == "accepted" else ())
        if data.draw(st.booleans()):  # or else the worker dies before it can record
            record(self.engine, batch, [Receipt(number=n, state=DeliveryState(says)) for n in ours], now=self.now)

    @rule(seconds=st.integers(1, 4000), whole=st.booleans())
    def time_passes(self, seconds, whole):
        self.now += timedelta(seconds=seconds)
        recover(self.engine, now=self.now, provers={}, keys=KEYS)
        requeue(self.engine, now=self.now)

    @invariant()
    def nobody_is_handed_anything_twice(self):
        assert not self.handed or max(self.handed.values()) == 1

    @invariant()
    def nothing_is_forgotten(self):
        assert balance_of(self.engine, 1).balanced

    def teardown(self):
        if hasattr(self, "engine"):
            self.engine.dispose()


TestAnyOrderOfEvents = Ledger.TestCase
TestAnyOrderOfEvents.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
