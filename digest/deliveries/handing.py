"""The run that delivers: batches claimed as fast as their transports want them, until nothing is due."""

import gc
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread

from sqlalchemy import Connection, Engine, bindparam, select

from digest.crashes import crash_point
from digest.database import reading
from digest.deliveries.books import Balance, balance_of, pause, settle
from digest.deliveries.claims import IN_HAND, KINDS, Claimed, claim_within
from digest.deliveries.hands import Hand
from digest.deliveries.owners import owner_name
from digest.deliveries.prepared import Prepared
from digest.deliveries.proofs import proof_of
from digest.deliveries.recovery import close_late, next_due, recover, requeue
from digest.deliveries.returns import give_back
from digest.deliveries.rights import is_free, keep_newest, newest_stamp, release_right, take_right
from digest.deliveries.stamps import Stamps
from digest.deliveries.tables import BATCHES, MAILINGS
from digest.deliveries.writer import Writer
from digest.errors import AccountError, ContentError, StorageError
from digest.transports import Transport
from digest.values import Batch, MailingState, Proof, Recipient
from subscribers.tokens import Keys

log = logging.getLogger(__name__)
IDLE = 3  # batches without any outcome before we stop and say so
NAP = 0.2  # seconds; how soon a wait notices that it should stop
BEAT = 0.5  # seconds between looks at pauses, leases and progress
COLLECTED = 200_000  # values made between two looks for circles
TRIES = 3  # to write outcomes that the database refused
LONG = 20.0  # seconds; a database that takes that long to refuse is not asked again

STATE = Prepared(select(MAILINGS.c.state).where(MAILINGS.c.id == bindparam("mailing")))

Told = Callable[[int, int], None]
TransportsOf = Callable[[int], Mapping[str, Transport]]


def deliver(
    engine: Engine,
    transports: Mapping[str, Transport],
    *,
    mailing: int,
    keys: Keys,
    lease: float,
    clock: Callable[[], datetime],
    told: Told | None = None,
    stop: Callable[[], bool] = lambda: False,
    patience: float = 0.0,
    owner: str = "",
    others: TransportsOf | None = None,
    stamps: Path | None = None,
    kinds: Collection[str] = KINDS,
) -> Balance:
    """
    Hand over all of a mailing that is due, going on where any earlier run ended, and balance the books.

    On SQLite one process sends at a time: while another does, the mailing is left to it and only watched, and it is
    taken over when that one ends. `others` gives the transports of mailings that were handed to us so; of which kinds we
    take any, `kinds` says.

    `told` gets (deliveries closed so far, candidates) after each batch and twice a second. `stop` is asked all the
    while: then nothing more is begun, what is in hand is finished, and the rest stays queued. `patience` is how many
    seconds to wait for what is not due yet: a deferred delivery, or another worker's lease. `stamps` is the file that
    keeps the newest marker outside the database.

    Raises:
        StorageError, TransportError: nothing can go on now. What was handed over is on record, the rest is queued again.
        AccountError, ContentError: the same, and the mailing is paused.
    """
    run = _Run(
        engine, transports, mailing=mailing, keys=keys, lease=lease, clock=clock, told=told, stop=stop,
        patience=patience, owner=owner or owner_name(), others=others, stamps=stamps, kinds=kinds,
    )  # fmt: skip
    try:
        with _calm_collector():
            run.to_the_end()
    finally:
        run.close()
    return settle(engine, mailing, now=clock())


@contextmanager
def _calm_collector() -> Iterator[None]:
    """A run makes many short-lived values and few circles; to look through all that is imported for them is a tenth of it."""
    with _calming:
        if not _calm:
            _before[:] = gc.get_threshold()
            gc.freeze()
            gc.set_threshold(COLLECTED, *_before[1:])
        _calm.append(True)
    try:
        yield
    finally:
        with _calming:
            _calm.pop()
            if not _calm:  # the last of several runs in this process
                gc.set_threshold(*_before)
                gc.unfreeze()


_calming, _calm, _before = Lock(), list[bool](), list[int]()


def run_batch(
    engine: Engine, batch: Batch, transport: Transport, proof: Proof, *, keys: Keys, clock: Callable[[], datetime]
) -> int:
    """
    One claimed batch through its transport; how many of its deliveries have their outcome on record.

    However it ends, what has no receipt is given back or settled by proof. Another worker's lease is not renewed here.
    """
    writer = Writer(engine, Stamps(None), clock)
    hand = Hand(batch, writer, transport, proof)
    try:
        _hand_over(hand, keys, clock)
    finally:
        writer.close()
    if hand.error is not None:
        raise hand.error
    return len(batch.recipients) - hand.open


def _hand_over(hand: Hand, keys: Keys, clock: Callable[[], datetime]) -> None:
    try:
        for receipt in hand.transport.send(hand.proof, hand.batch.recipients, hand):
            hand.keep(receipt)
    except BaseException as error:  # noqa: BLE001  the run raises it
        hand.error = hand.error or error
    hand.writer.wait()
    if not hand.open:
        return
    known, until = _asked_once(hand), time.monotonic() + LONG
    for attempt in range(TRIES):
        try:
            give_back(
                hand.writer.do, hand.batch.id, hand.batch.fence, now=clock(), prover=known, proof=hand.proof,
                keys=keys, crashed=False, receipts=hand.unwritten,
            )  # fmt: skip
        except StorageError as error:
            hand.error = hand.error or error
            if time.monotonic() > until:
                return
            time.sleep(attempt)
        else:
            return


@dataclass(frozen=True)
class _Known:
    """A transport's word on each delivery of a batch; where the database refuses, it is needed more than once."""

    words: Mapping[str, bool | None]

    def prove(self, _proof: Proof, recipient: Recipient) -> bool | None:
        return self.words[recipient.delivery_id]


def _asked_once(hand: Hand) -> _Known:
    """A transport forgets what it knew as soon as it has told: from here on the deliveries may be in other hands."""
    return _Known({
        one.delivery_id: hand.transport.prove(hand.proof, one) if one.number not in hand.unsent else False
        for one in hand.batch.recipients
    })  # fmt: skip


class _Run:
    """One call of `deliver`. Only its own thread claims; each batch in hand has a thread; one thread writes."""

    def __init__(
        self, engine: Engine, transports: Mapping[str, Transport], *, mailing: int, keys: Keys, lease: float,
        clock: Callable[[], datetime], told: Told | None, stop: Callable[[], bool], patience: float, owner: str,
        others: TransportsOf | None, stamps: Path | None, kinds: Collection[str],
    ) -> None:  # fmt: skip
        self.engine, self.mailing, self.keys, self.lease, self.clock = engine, mailing, keys, lease, clock
        self.told, self.stop, self.patience, self.owner = told, stop, patience, owner
        self.transports: dict[int, Mapping[str, Transport]] = {mailing: transports}
        self.others, self.kinds = others, kinds
        self.hands: list[Hand] = []  # a batch given back may be claimed again before its first hand has ended
        self.ended: SimpleQueue[Hand] = SimpleQueue()
        self.proofs: dict[int, Proof] = {}
        self.halted = False
        self.error: BaseException | None = None
        self.idle = 0
        self.beat_at = 0.0
        self.looked_at = 0.0  # when a claim last looked for what is due, in epoch seconds
        self.stamps = Stamps(stamps, newest_stamp(engine) if stamps else 0)
        self.writer = Writer(engine, self.stamps, clock)

    def close(self) -> None:
        try:
            self.writer.do(self._leave)
        finally:
            self.writer.close()
            self.stamps.close()

    def _leave(self, connection: Connection) -> None:
        release_right(connection, self.owner)
        keep_newest(connection, self.stamps.newest)

    def to_the_end(self) -> None:
        """Until nothing is due any more, or something stops it."""
        if not self._have_right():
            return
        self._upkeep()
        balance = balance_of(self.engine, self.mailing)
        self.closed, self.candidates = balance.total - balance.open, balance.candidates
        while self._go_on():
            pass
        if self.error is not None:
            raise self.error

    def _go_on(self) -> bool:
        """One step; False when there is no other. Whatever fails, the batches in hand are brought to their end first."""
        try:
            self._beat()
            while self._wait_for_one(0):  # first: a batch that has ended holds its readers' values until we know
                pass
            if not self.halted and self._claim_one():
                return True
            if self.hands:
                self._wait_for_one()
                return True
            return not self.halted and bool(self._upkeep() or self._wait())
        except Exception as error:  # noqa: BLE001  it is raised at the end
            self.error = self.error or error
            self._halt()
            return bool(self.hands)

    # the right to send ----------------------------------------------------------------------------------------------

    def _have_right(self) -> bool:
        """Ours now, or once the process that is sending has ended; False when the mailing was delivered meanwhile."""
        take = partial(take_right, owner=self.owner, lease=self._right_lasts)
        while not self.writer.do(lambda connection: take(connection, now=self.clock())):
            while not is_free(self.engine, now=self.clock()):
                balance = balance_of(self.engine, self.mailing)
                self._tell(balance.total - balance.open, balance.candidates)
                if self.stop():
                    return False
                time.sleep(NAP)
        return True

    @property
    def _right_lasts(self) -> float:
        return max(self.lease, 4 * BEAT)

    # claiming -------------------------------------------------------------------------------------------------------

    def _claim_one(self) -> bool:
        hungry = self._hungry()
        if not hungry or any(hand.batch.crashes for hand in self.hands):
            return False
        claimed = self.writer.do(partial(self._claim, transports=hungry, alone=not self.hands))
        if claimed is None:
            return False
        crash_point("after_claim")
        batch = claimed.batch(self.keys)
        if not batch.recipients:
            self._tell_more(0)
            return True
        hand = Hand(batch, self.writer, self._transports_of(batch.mailing_id)[batch.transport], self._proof(batch))
        self.hands.append(hand)
        Thread(target=self._work, args=(hand,), name=f"batch {batch.id}", daemon=True).start()
        return True

    def _claim(self, connection: Connection, *, transports: list[str], alone: bool) -> Claimed | None:
        if any(hand.error is not None for hand in self.hands):
            return None  # what a fault has just given back is not taken again before the fault is known
        only, now = None if self._serves_others else self.mailing, self.clock()
        self.looked_at = now.timestamp()
        return claim_within(
            connection, owner=self.owner, now=now, lease=self.lease, transports=transports, mailing=only,
            alone=alone, kinds=self.kinds,
        )  # fmt: skip

    @property
    def _serves_others(self) -> bool:
        return self.others is not None and self.engine.dialect.name == "sqlite"

    def _hungry(self) -> list[str]:
        """Names of transports that want another batch."""
        names = set().union(*(kinds for kinds in self.transports.values()))
        appetite = {
            name: max(kinds[name].appetite for kinds in self.transports.values() if name in kinds) for name in names
        }
        in_hand = dict.fromkeys(names, 0)
        for hand in self.hands:
            in_hand[hand.batch.transport] += hand.open
        return sorted(name for name in names if in_hand[name] < appetite[name])

    def _transports_of(self, mailing: int) -> Mapping[str, Transport]:
        if mailing not in self.transports:
            assert self.others is not None, "another's mailing is claimed only where its transports are known"
            self.transports[mailing] = self.others(mailing)
        return self.transports[mailing]

    def _proof(self, batch: Batch) -> Proof:
        if batch.proof_id not in self.proofs:
            self.proofs[batch.proof_id] = proof_of(self.engine, batch.proof_id)
        return self.proofs[batch.proof_id]

    def _work(self, hand: Hand) -> None:
        try:
            _hand_over(hand, self.keys, self.clock)
        finally:
            self.ended.put(hand)

    # what is in hand ------------------------------------------------------------------------------------------------

    def _wait_for_one(self, seconds: float = NAP) -> bool:
        """Take note of a batch that has ended; False when none has."""
        try:
            hand = self.ended.get(timeout=seconds) if seconds else self.ended.get_nowait()
        except Empty:
            return False
        self.hands.remove(hand)
        settled = len(hand.batch.recipients) - hand.open
        told = {
            "mailing": hand.batch.mailing_id,
            "batch": hand.batch.id,
            "number": settled,
            "total": len(hand.batch.recipients),
        }
        log.info("a batch is out of hand", extra=told)
        if hand.error is not None:
            self._fail(hand, hand.error)
        elif not hand.halted:
            self.idle = 0 if settled else self.idle + 1
            if self.idle == IDLE:
                self._fail(hand, _too_slow(self.lease))
        self._tell_more(settled if hand.batch.mailing_id == self.mailing else 0)
        return True

    def _fail(self, hand: Hand, error: BaseException) -> None:
        """The first fault is the one that is told; the account's and the message's pause the mailing."""
        if isinstance(error, (AccountError, ContentError)) and self._is_sending(hand.batch.mailing_id):
            pause(self.engine, hand.batch.mailing_id, now=self.clock(), reason=str(error))
        self.error = self.error or error
        self._halt()

    def _halt(self) -> None:
        self.halted = True
        for hand in self.hands:
            hand.halted = True

    def _is_sending(self, mailing: int) -> bool:
        with reading(self.engine) as session:
            return STATE.rows(session.connection(), {"mailing": mailing}) == [(MailingState.SENDING,)]

    # now and then ---------------------------------------------------------------------------------------------------

    def _beat(self) -> None:
        """Listen for a stop; twice a second renew what we hold, and see which mailings were paused or cancelled."""
        if not self.halted and self.stop():
            self._halt()
        if time.monotonic() < self.beat_at:
            return
        self.beat_at = time.monotonic() + min(BEAT, self.lease / 4)
        if not self.hands:
            return
        if not self.writer.do(self._renew):
            self._fail(self.hands[0], StorageError(
                "Another process took over the sending: this one slept past its lease. It goes on there."
            ))  # fmt: skip
        going = self._going()
        for hand in self.hands:
            hand.halted = hand.halted or hand.batch.mailing_id not in going
        self._tell_more(0)

    def _renew(self, connection: Connection) -> bool:
        now = self.clock()
        if not take_right(connection, self.owner, now=now, lease=self._right_lasts):
            return False
        until = now.timestamp() + self.lease
        mine = BATCHES.update().where(BATCHES.c.owner == self.owner, BATCHES.c.state.in_(IN_HAND))
        connection.execute(mine.where(BATCHES.c.lease_until > now.timestamp()).values(lease_until=until))
        held = select(BATCHES.c.id).where(BATCHES.c.owner == self.owner, BATCHES.c.lease_until == until)
        renewed = set(connection.execute(held).scalars())
        for hand in self.hands:
            if hand.batch.id in renewed:
                hand.lease_until = until
        return True

    def _going(self) -> set[int]:
        with reading(self.engine) as session:
            sending = select(MAILINGS.c.id).where(MAILINGS.c.state == MailingState.SENDING)
            return set(session.connection().execute(sending).scalars())

    def _tell_more(self, settled: int) -> None:
        self.closed += settled
        under_way = sum(
            len(hand.batch.recipients) - hand.open for hand in self.hands if hand.batch.mailing_id == self.mailing
        )
        self._tell(self.closed + under_way, self.candidates)

    def _tell(self, closed: int, candidates: int) -> None:
        if self.told:
            self.told(min(closed, candidates), candidates)

    def _upkeep(self) -> int:
        """How many deliveries are queued again, so that another claim is worth trying."""
        now, write = self.clock(), self.writer.do
        queued = 0
        for mailing, provers in self.transports.items():  # an outbox proves its own edition
            settled = recover(self.engine, now=now, provers=provers, keys=self.keys, mailing=mailing, write=write)
            queued += settled["queued"] + requeue(self.engine, now=now, mailing=mailing, write=write)
        close_late(self.engine, now=now, write=write)
        return queued

    def _wait(self) -> bool:
        """Sleep until something of the mailing may be due; False when nothing will be within `patience` seconds."""
        due = next_due(self.engine, mailing=self.mailing, after=self.looked_at)
        if due is None or due > self.clock().timestamp() + self.patience or not self._is_sending(self.mailing):
            return False
        while self.clock().timestamp() < due and not self.stop():
            time.sleep(min(NAP, max(0.0, due - self.clock().timestamp())))
        return True


def _too_slow(lease: float) -> StorageError:
    return StorageError(
        f"{IDLE} batches in a row were not ready before their lease of {lease:g} seconds was over; nothing was lost. "
        "Set DIGEST_LEASE higher or DIGEST_BATCH_SIZE lower, then run it again."
    )
