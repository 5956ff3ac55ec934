"""The run that sends: several batches in hand, one writer, one sending process, and what happens after a restore."""

import shutil
import threading
import time
import weakref
from collections import Counter
from contextlib import suppress
from datetime import timedelta

import pytest
from sqlalchemy import select

from digest.database import in_transaction, open_engine, writing
from digest.deliveries import (
    after_restore,
    balance_of,
    claim,
    decide,
    deliver,
    doubts,
    pause,
    recover,
    restored_at,
    resume,
)
from digest.deliveries.owners import owner_name
from digest.deliveries.returns import SUSPECT, give_back
from digest.deliveries.rights import is_free, release_right, take_right
from digest.deliveries.stamps import Stamps, newest_kept
from digest.deliveries.tables import BATCHES
from digest.errors import AccountError, StorageError, TransitionError
from digest.values import DeliveryState, Receipt
from tests.laid import lay
from tests.newsroom import KEYS, NOW, deliveries_of, morning, opened, readers

LEASE = 60.0


class Lines:
    """
    A transport of several lines: on each, a delivery's outcome travels with the marker of the next one.

    `slow` seconds pass between marker and outcome; `fails` is raised instead of handing a number over.
    """

    def __init__(self, appetite=200, lines=4, slow=0.0, fails=None):
        self.appetite, self.lines, self.slow, self.fails = appetite, lines, slow, fails or {}
        self.handed, self.open, self.most_open, self.sending, self.most_sending = Counter(), 0, 0, 0, 0
        self.lock = threading.Lock()

    def send(self, proof, recipients, mark):
        with self.lock:
            self.sending += 1
            self.most_sending = max(self.most_sending, self.sending)
        left, last, faults = list(recipients)[::-1], [], []
        lines = [threading.Thread(target=self._line, args=(left, last, faults, mark)) for _ in range(self.lines)]
        for line in lines:
            line.start()
        for line in lines:
            line.join()
        with self.lock:
            self.sending -= 1
        yield from last
        if faults:
            raise faults[0]

    def _line(self, left, last, faults, mark):
        before = []
        while not mark.stopped:
            try:
                one = left.pop()
            except IndexError:
                break
            answered, ours = threading.Event(), set()
            mark.soon(
                [one.number], before, lambda still, ours=ours, answered=answered: (ours.update(still), answered.set())
            )
            answered.wait(10)
            before = []
            if not ours:
                continue
            if one.number in self.fails:
                faults.append(self.fails[one.number])
                return
            with self.lock:
                self.handed[one.number] += 1
            time.sleep(self.slow)
            before = [Receipt(number=one.number, state=DeliveryState.ACCEPTED)]
        last += before

    def prove(self, proof, recipient):
        return False if not self.handed[recipient.number] else None

    def close(self):
        pass


def run(engine, transport, mailing=1, now=NOW, **options):
    return deliver(engine, {"outbox": transport}, mailing=mailing, keys=KEYS, lease=LEASE, clock=lambda: now, **options)


def states(engine):
    return dict(Counter(row.state for row in deliveries_of(engine)))


@pytest.fixture
def mailing(engine):
    house = morning(engine)
    readers(engine, 600)
    return opened(engine, house)


# several batches at once ------------------------------------------------------------------------------------------------


def test_batches_are_claimed_while_the_transport_is_hungry_and_each_is_handed_over_once(engine, mailing):
    lines = Lines(appetite=200, slow=0.001)
    balance = run(engine, lines)
    assert (balance.done, dict(balance.counts)) == (True, {"accepted": 600})
    assert set(lines.handed.values()) == {1}
    assert lines.most_sending >= 2


def test_at_no_moment_is_more_than_one_delivery_of_each_line_marked_and_unsettled(engine, mailing):
    lines, most = Lines(appetite=1, lines=3, slow=0.002), [0]

    def look(*_):
        most[0] = max(most[0], states(engine).get("handing", 0))

    watcher_ends = threading.Event()

    def watch():
        while not watcher_ends.is_set():
            look()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run(engine, lines)
    finally:
        watcher_ends.set()
        watcher.join()
    assert 1 <= most[0] <= 3


def test_a_pause_is_heard_in_the_middle_of_a_batch(engine, mailing):
    lines = Lines(appetite=1, lines=1, slow=0.05)
    threading.Timer(0.4, pause, (engine, mailing), {"now": NOW}).start()
    balance = run(engine, lines)
    assert balance.state == "paused"
    assert 0 < balance.counts["accepted"] < 50
    assert balance.counts.keys() == {"accepted", "queued"}, "nothing is in doubt"
    resume(engine, mailing, now=NOW)
    lines.slow = 0
    assert run(engine, lines).done
    assert set(lines.handed.values()) == {1}


def test_a_stop_finishes_what_is_in_hand_and_leaves_the_rest_queued(engine, mailing):
    lines, began = Lines(appetite=100, slow=0.02), time.monotonic()
    balance = run(engine, lines, stop=lambda: time.monotonic() - began > 0.3)
    assert balance.counts.keys() == {"accepted", "queued"}
    assert balance.counts["accepted"] == sum(lines.handed.values()) < 600


def test_a_refused_account_pauses_the_mailing_says_why_and_burns_no_attempt(engine, mailing):
    with pytest.raises(AccountError, match="wrong password"):
        run(engine, Lines(fails={7: AccountError("The server refuses: wrong password.")}))
    balance = balance_of(engine, mailing)
    assert balance.state == "paused"
    assert balance.counts.keys() <= {"accepted", "queued"}
    assert {row.attempt for row in deliveries_of(engine)} == {0}
    resume(engine, mailing, now=NOW)
    assert run(engine, lines := Lines()).done
    assert lines.handed.keys() >= {7}


# one sending process ----------------------------------------------------------------------------------------------------


def test_on_sqlite_one_process_sends_and_a_dead_one_holds_nothing_up(sqlite_engine):
    mine, other = owner_name(), "another-machine/1/x"
    with writing(sqlite_engine) as session:
        take = session.connection()
        assert take_right(take, other, now=NOW, lease=60)
        assert not take_right(take, mine, now=NOW + timedelta(seconds=59), lease=60)
    assert not is_free(sqlite_engine, now=NOW)
    with writing(sqlite_engine) as session:
        assert take_right(session.connection(), mine, now=NOW + timedelta(seconds=60), lease=60)
        assert not take_right(session.connection(), other, now=NOW + timedelta(seconds=61), lease=60)
        release_right(session.connection(), mine)
    assert is_free(sqlite_engine, now=NOW)


def test_a_second_run_leaves_its_mailing_to_the_process_that_sends_and_is_told_how_it_goes(sqlite_engine):
    house = morning(sqlite_engine)
    readers(sqlite_engine, 300)
    mailing = opened(sqlite_engine, house)
    first, second, told = Lines(appetite=50, slow=0.01), Lines(), []
    sender = threading.Thread(target=run, args=(sqlite_engine, first), kwargs={"owner": owner_name()})
    sender.start()
    while is_free(sqlite_engine, now=NOW):
        time.sleep(0.005)
    balance = run(sqlite_engine, second, told=lambda *count: told.append(count), owner=owner_name())
    sender.join()
    assert balance.done
    assert (sum(first.handed.values()), sum(second.handed.values())) == (300, 0)
    assert told
    assert balance_of(sqlite_engine, mailing).done


# stamps and restores ----------------------------------------------------------------------------------------------------


def test_stamps_grow_even_when_the_clock_goes_back_and_the_file_knows_the_newest(tmp_path):
    file = tmp_path / "newest"
    stamps = Stamps(file, newest=2**60)
    seen = [stamps.next() for _ in range(3)]
    assert seen == sorted(set(seen))
    assert seen[0] > 2**60
    stamps.keep(seen[-1])
    stamps.close()
    assert newest_kept(file) == seen[-1]
    assert Stamps(file).next() > seen[-1]


def test_a_stamp_that_the_disk_has_no_room_for_is_one_line(small_disk):
    disk, _ = small_disk(64)
    stamps = Stamps(disk / "newest")
    with (disk / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    with pytest.raises(StorageError, match=r"newest-marker .*No space left"):
        stamps.keep(stamps.next())
    stamps.close()


@pytest.mark.parametrize("content", [b"", b"abc"])
def test_a_damaged_stamp_file_counts_as_none(tmp_path, content):
    (tmp_path / "newest").write_bytes(content)
    assert newest_kept(tmp_path / "newest") == 0


def test_after_a_restore_nobody_gets_it_again_until_a_person_decides(tmp_path):
    engine, stamps = open_engine(lay(tmp_path / "digest.sqlite")), tmp_path / "newest"
    house = morning(engine)
    readers(engine, 120)
    mailing = opened(engine, house)
    began = time.monotonic()
    run(engine, Lines(appetite=1, slow=0.01), stamps=stamps, stop=lambda: time.monotonic() - began > 0.2)
    assert restored_at(engine, stamps, now=NOW) is None, "an ordinary restart is no restore"
    engine.dispose()
    shutil.copy(tmp_path / "digest.sqlite", tmp_path / "backup")
    run(engine, lines := Lines(), stamps=stamps)
    assert lines.handed
    engine.dispose()
    for file in tmp_path.glob("digest.sqlite*"):
        file.unlink()
    shutil.copy(tmp_path / "backup", tmp_path / "digest.sqlite")
    again = open_engine(f"sqlite:///{tmp_path / 'digest.sqlite'}")
    assert restored_at(again, stamps, now=NOW) == NOW
    assert restored_at(again, stamps, now=NOW + timedelta(hours=1)) == NOW, "it stays so"
    assert "queued" not in states(again)
    assert states(again)["ambiguous"] == sum(lines.handed.values())
    run(again, third := Lines(), stamps=stamps)
    assert not third.handed
    after_restore(again)
    assert restored_at(again, stamps, now=NOW) is None
    assert decide(again, mailing, "accept", now=NOW) == sum(lines.handed.values())
    assert balance_of(again, mailing).balanced
    again.dispose()


# what nobody can know ---------------------------------------------------------------------------------------------------


def in_doubt(engine, mailing, *numbers):
    ambiguous = {n: Receipt(number=n, state=DeliveryState.AMBIGUOUS, detail="no reply") for n in numbers}

    class Doubtful(Lines):
        def send(self, proof, recipients, mark):
            mark([one.number for one in recipients])
            yield from (ambiguous.get(one.number, Receipt(one.number, DeliveryState.ACCEPTED)) for one in recipients)

    assert run(engine, Doubtful(), mailing).done


def test_unconfirmed_deliveries_are_shown_with_masked_addresses_and_settled_by_a_persons_word(engine, mailing):
    in_doubt(engine, mailing, 3, 60, 61, 400)
    assert [(one.number, one.address, one.reason) for one in doubts(engine, mailing)] == [
        (n, "r…@example.net", "no reply") for n in (3, 60, 61, 400)
    ]
    assert decide(engine, mailing, "accept", numbers=[3], now=NOW) == 1
    assert decide(engine, mailing, "close", numbers=[400], now=NOW) == 1
    assert decide(engine, mailing, "resend", now=NOW) == 2
    balance = balance_of(engine, mailing)
    assert (balance.state, balance.counts["queued"]) == ("sending", 2)
    assert run(engine, lines := Lines()).done
    assert lines.handed == {60: 1, 61: 1}
    assert states(engine) == {"accepted": 599, "closed_unconfirmed": 1}


def test_what_is_unconfirmed_at_the_deadline_is_closed_as_that_and_not_sent_again(engine, mailing):
    in_doubt(engine, mailing, 5)
    late = NOW + timedelta(hours=7)
    with pytest.raises(TransitionError, match="deadline is over"):
        decide(engine, mailing, "resend", now=late)
    run(engine, Lines(), now=late)
    assert states(engine) == {"accepted": 599, "closed_unconfirmed": 1}


# suspects ---------------------------------------------------------------------------------------------------------------


def test_what_others_have_given_back_already_does_not_make_a_crash_look_like_one_alone(engine):
    house = morning(engine)
    readers(engine, 2)
    opened(engine, house)
    claim(engine, owner="me", now=NOW, lease=60, transports=["outbox"], keys=KEYS)
    recover(engine, now=NOW + timedelta(minutes=2), provers={}, keys=KEYS)  # each is a batch by itself from here on
    first, _ = (claim(engine, owner="me", now=NOW, lease=60, transports=["outbox"], keys=KEYS) for _ in range(2))
    late = {"now": NOW + timedelta(minutes=2), "keys": KEYS}
    write = in_transaction(engine)
    give_back(write, first.id, first.fence, prover=None, proof=None, crashed=True, alone=False, **late)
    recover(engine, provers={}, **late)
    with engine.begin() as connection:
        assert connection.execute(select(BATCHES.c.crashes)).scalars().all() == [SUSPECT, SUSPECT]


def test_an_innocent_delivery_is_not_poisoned_by_the_company_it_keeps(engine):
    """Two batches of one delivery each in a worker's hand at crash after crash: only who was alone is counted."""
    house = morning(engine)
    readers(engine, 2)
    opened(engine, house)
    at = NOW
    first = claim(engine, owner="me", now=at, lease=60, transports=["outbox"], keys=KEYS)
    assert len(first.recipients) == 2
    for _ in range(6):
        at += timedelta(minutes=2)
        recover(engine, now=at, provers={}, keys=KEYS)
        for _ in range(2):
            claim(engine, owner="me", now=at, lease=60, transports=["outbox"], keys=KEYS)
    assert states(engine) == {"queued": 2}


def test_a_long_run_lets_go_of_each_batch_as_it_ends(sqlite_engine):
    """What a batch holds of its readers must not pile up while there is always another one to claim."""
    alive, most = weakref.WeakSet(), []

    class Quick:
        appetite = 500

        def send(self, _proof, recipients, mark):
            alive.add(mark)
            most.append(len(alive))
            mark([one.number for one in recipients])
            yield from (Receipt(one.number, DeliveryState.ACCEPTED) for one in recipients)

        def prove(self, *_):
            return None

    house = morning(sqlite_engine)
    readers(sqlite_engine, 6000)
    mailing = opened(sqlite_engine, house)
    assert deliver(sqlite_engine, {"outbox": Quick()}, mailing=mailing, keys=KEYS, lease=LEASE, clock=lambda: NOW).done
    assert len(most) == 120
    assert max(most) <= 20


def test_a_full_disk_beside_the_database_ends_the_run_in_one_line_and_puts_nobody_in_doubt(sqlite_engine, small_disk):
    """The marker is on record, its stamp is not: what it stood for has surely not left."""
    folder, grow = small_disk(64)
    stamps = folder / "newest-marker"
    stamps.touch()
    with (folder / "rest").open("wb", buffering=0) as rest, suppress(OSError):
        while True:
            rest.write(b"x" * 4096)
    house = morning(sqlite_engine)
    readers(sqlite_engine, 200)
    mailing, lines = opened(sqlite_engine, house), Lines()
    given = {"mailing": mailing, "keys": KEYS, "lease": LEASE, "clock": lambda: NOW, "stamps": stamps}
    with pytest.raises(StorageError, match="newest-marker"):
        deliver(sqlite_engine, {"outbox": lines}, **given)
    assert not lines.handed
    assert balance_of(sqlite_engine, mailing).counts == {"queued": 200}
    grow(1024)
    assert deliver(sqlite_engine, {"outbox": lines}, **given).done
    assert set(lines.handed.values()) == {1}
