"""The loop that delivers: claim a batch, let its transport send it, record what became of it, until nothing is due."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from functools import partial

from sqlalchemy import Engine

from digest.crashes import crash_point
from digest.deliveries.books import Balance, balance_of, settle
from digest.deliveries.claims import claim, mark, record
from digest.deliveries.owners import owner_name
from digest.deliveries.proofs import proof_of
from digest.deliveries.recovery import close_late, next_due, recover, requeue
from digest.deliveries.returns import give_back
from digest.errors import StorageError
from digest.transports import Transport
from digest.values import Batch, MailingState, Proof, Receipt
from subscribers.tokens import Keys

GROUP = 500  # receipts recorded together
IDLE = 3  # batches without any outcome before we stop and say so
NAP = 0.2  # seconds; how soon a wait notices that it should stop


def deliver(
    engine: Engine,
    transports: Mapping[str, Transport],
    *,
    mailing: int,
    keys: Keys,
    lease: float,
    clock: Callable[[], datetime],
    told: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
    patience: float = 0.0,
    owner: str = "",
) -> Balance:
    """
    Hand over all of a mailing that is due, going on where any earlier run ended, and balance the books.

    `told` gets (deliveries closed so far, candidates) after each batch. `stop` is asked between batches. `patience` is
    how many seconds to wait for what is not due yet: a deferred delivery, or another worker's lease.

    Raises:
        StorageError: disk or database refused. What was handed over is on record, the rest is queued again.
    """
    owner, proofs = owner or owner_name(), _Proofs(engine)
    upkeep = partial(_upkeep, engine, transports, mailing=mailing, keys=keys)
    upkeep(now=clock())
    balance = balance_of(engine, mailing)
    closed, idle = balance.total - balance.open, 0
    while not stop():
        batch = claim(
            engine, owner=owner, now=clock(), lease=lease, transports=list(transports), keys=keys, mailing=mailing
        )
        if batch is not None:
            settled = run_batch(
                engine, batch, transports[batch.transport], proofs(batch.proof_id), keys=keys, clock=clock
            )
            closed += settled
            idle = 0 if settled or not batch.recipients else idle + 1
            _demand_progress(idle, lease)
            if told:
                told(min(closed, balance.candidates), balance.candidates)
        elif not upkeep(now=clock()) and not _wait(engine, mailing, clock, stop, patience):
            break
    return settle(engine, mailing, now=clock())


def run_batch(
    engine: Engine, batch: Batch, transport: Transport, proof: Proof, *, keys: Keys, clock: Callable[[], datetime]
) -> int:
    """
    One claimed batch through its transport; how many of its deliveries have their outcome on record.

    However it ends, what has no receipt is given back or settled by proof.
    """
    recorded = 0

    def still_ours(numbers: Collection[int]) -> set[int]:
        return mark(engine, batch, numbers, now=clock())

    try:
        for receipts in _groups(transport.send(proof, batch.recipients, still_ours)):
            crash_point("before_record")
            if record(engine, batch, receipts, now=clock()):
                recorded += len(receipts)
    finally:
        give_back(engine, batch.id, batch.fence, now=clock(), prover=transport, proof=proof, keys=keys, crashed=False)
    return recorded


def _demand_progress(idle: int, lease: float) -> None:
    if idle == IDLE:
        raise StorageError(
            f"{IDLE} batches in a row were not ready before their lease of {lease:g} seconds was over; nothing was lost. "
            "Set DIGEST_LEASE higher or DIGEST_BATCH_SIZE lower, then run it again."
        )


def _groups(receipts: Iterator[Receipt]) -> Iterator[list[Receipt]]:
    """Receipts by the hundred, and those before a failure still handed on before it is raised."""
    group: list[Receipt] = []
    try:
        for receipt in receipts:
            group.append(receipt)
            if len(group) == GROUP:
                yield group
                group = []
    except Exception:
        if group:
            yield group
        raise
    if group:
        yield group


class _Proofs:
    """Proofs already read, by id: a mailing has few, and thousands of batches."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.read: dict[int, Proof] = {}

    def __call__(self, proof_id: int) -> Proof:
        if proof_id not in self.read:
            self.read[proof_id] = proof_of(self.engine, proof_id)
        return self.read[proof_id]


def _upkeep(engine: Engine, transports: Mapping[str, Transport], *, mailing: int, keys: Keys, now: datetime) -> int:
    """How many deliveries are queued again, so that another claim is worth trying."""
    settled = recover(
        engine, now=now, provers=transports, keys=keys, mailing=mailing
    )  # an outbox proves its own edition
    close_late(engine, now=now)
    return settled["queued"] + requeue(engine, now=now, mailing=mailing)


def _wait(
    engine: Engine, mailing: int, clock: Callable[[], datetime], stop: Callable[[], bool], patience: float
) -> bool:
    """Sleep until something of the mailing may be due; False when nothing will be within `patience` seconds."""
    due = next_due(engine, mailing=mailing)
    if due is None or due > clock().timestamp() + patience:
        return False
    if balance_of(engine, mailing).state != MailingState.SENDING:
        return False
    while clock().timestamp() < due and not stop():
        time.sleep(min(NAP, max(0.0, due - clock().timestamp())))
    return True
