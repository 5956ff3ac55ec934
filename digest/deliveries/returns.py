"""The end of a claim that is not done: what never left goes back, what may have left is settled by proof."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, select

from digest.crashes import crash_point
from digest.database import Write
from digest.deliveries.claims import (
    IN_HAND,
    facts_of,
    is_open,
    open_rows,
    recipients_of,
    set_batch,
    within,
)
from digest.deliveries.outcomes import outcome, write_outcomes
from digest.deliveries.tables import BATCHES, DELIVERIES, Cursor
from digest.values import BatchState, DeliveryState, Proof, Receipt, Recipient
from subscribers.tokens import Keys

POISONOUS = 3  # crashes with a delivery alone in hand, after the one that made it suspect


FINAL = frozenset({DeliveryState.ACCEPTED, DeliveryState.FAILED, DeliveryState.AMBIGUOUS})
SUSPECT = -1  # crashes of a delivery that never was alone in hand, but was by itself in its batch


class Prover(Protocol):
    """The half of a transport that can look afterwards: True it was handed over, False it was not, None who knows."""

    def prove(self, proof: Proof, recipient: Recipient) -> bool | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hand:
    """What is left of a batch: numbers never marked, and recipients that may have left."""

    unmarked: list[int]
    marked: list[Recipient]


def give_back(
    write: Write[Counter[str]], batch_id: int, fence: int, *, now: datetime, prover: Prover | None, proof: Proof | None,
    keys: Keys, crashed: bool, alone: bool = True, receipts: Sequence[Receipt] = (),
) -> Counter[str]:  # fmt: skip
    """
    End a claim whose batch is not done: what never left is queued again, what may have left is settled by proof.

    Without proof it becomes ambiguous. `receipts` are outcomes that could not be written before. After a crash the batch
    comes back in two halves, so that a delivery that kills its worker ends up by itself, and is then claimed with nothing
    else in hand. `alone`: the dead worker held nothing but this batch. A delivery that was alone in hand at three crashes
    is failed as poison.

    Returns:
        How many deliveries went which way, by state. Empty when the claim with that fence is over already.
    """

    def give(connection: Connection) -> Counter[str]:
        mine = (BATCHES.c.id == batch_id, BATCHES.c.fence == fence, BATCHES.c.state.in_(IN_HAND))
        batch = connection.execute(select(*BATCHES.c).where(*mine).with_for_update()).first()
        if batch is None:
            return Counter()
        said = [outcome(batch, one.number, one.state, one.detail, now) for one in receipts if one.state in FINAL]
        write_outcomes(Cursor(connection), said)
        unsent = {one.number for one in receipts} - {one["first"] for one in said}
        outcomes, again = _judge(batch, _in_hand(connection, batch, now, keys), prover, proof, now, unsent)
        crashes = _crashes(batch, again, crashed=crashed, alone=alone)
        if crashes >= POISONOUS:
            outcomes.append(outcome(batch, again.pop(), DeliveryState.FAILED, "poison", now))
        write_outcomes(Cursor(connection), outcomes)
        crash_point("mid_return")
        _ready_again(connection, batch, again, crashed=crashed, crashes=crashes)
        went = Counter(one["state"] for one in (*said, *outcomes))
        went[DeliveryState.QUEUED.value] = len(again)
        return +went

    return write(give)


def _in_hand(connection: Connection, batch: Any, now: datetime, keys: Keys) -> _Hand:
    facts = facts_of(connection, batch.mailing_id, batch.proof_id)
    rows = open_rows(connection, batch, facts, now, DeliveryState.QUEUED, DeliveryState.HANDING)
    whole = batch.state == BatchState.HANDING
    marked = [row for row in rows if whole or row.state == DeliveryState.HANDING]
    held = {row.number for row in marked}
    return _Hand(
        unmarked=[row.number for row in rows if row.number not in held],
        marked=recipients_of(marked, facts, keys),
    )


def _judge(
    batch: Any, hand: _Hand, prover: Prover | None, proof: Proof | None, now: datetime, unsent: set[int]
) -> tuple[list[dict[str, Any]], list[int]]:
    """Outcomes to write, and the numbers that go back to the queue."""
    outcomes, again = [], list(hand.unmarked)
    for recipient in hand.marked:
        handed = prover.prove(proof, recipient) if prover and proof else None
        if recipient.number in unsent:
            handed = False
        if handed is False:
            again.append(recipient.number)
            outcomes.append(outcome(batch, recipient.number, DeliveryState.QUEUED, "", now))
        elif handed:
            outcomes.append(outcome(batch, recipient.number, DeliveryState.ACCEPTED, "proved afterwards", now))
        else:
            outcomes.append(outcome(batch, recipient.number, DeliveryState.AMBIGUOUS, "no word after the marker", now))
    return outcomes, sorted(again)


def _crashes(batch: Any, again: Sequence[int], *, crashed: bool, alone: bool) -> int:
    """
    Crashes that this one delivery alone can have caused.

    The first one only makes it suspect (-1 counts as that: see SUSPECT), so that the next claim takes it alone: what else
    the dead worker held may have been given back already, by somebody else.
    """
    if not crashed or len(again) != 1 or batch.first_number != batch.last_number:
        return int(batch.crashes) if not crashed else 0
    return max(int(batch.crashes), 0) + 1 if alone and batch.crashes else int(batch.crashes) or SUSPECT


def _ready_again(connection: Connection, batch: Any, again: Sequence[int], *, crashed: bool, crashes: int) -> None:
    if not again:
        set_batch(connection, batch.id, state=BatchState.DONE, owner="")
        return
    half = (len(again) + 1) // 2 if crashed else len(again)
    _split_off(connection, batch, again[half:])
    set_batch(
        connection, batch.id, state=BatchState.READY, owner="", lease_until=0.0, fence=batch.fence + 1,
        first_number=again[0], last_number=again[half - 1], crashes=crashes,
    )  # fmt: skip


def _split_off(connection: Connection, batch: Any, numbers: Sequence[int]) -> None:
    if not numbers:
        return
    span = {"first_number": numbers[0], "last_number": numbers[-1]}
    fresh = new_batch(connection, {**batch._mapping, **span})  # noqa: SLF001  a row's public mapping is named so
    row = DELIVERIES.c
    moved = DELIVERIES.update().where(*within(batch), row.number.between(numbers[0], numbers[-1]), is_open())
    connection.execute(moved.values(batch_id=fresh))


def new_batch(connection: Connection, like: Any) -> int:
    """A ready batch with the mailing, proof, transport, span, priority and wave of `like`; nobody has tried it yet."""
    kept = (
        "mailing_id", "month", "proof_id", "channel", "transport", "first_number", "last_number", "priority", "not_before",
    )  # fmt: skip
    row = {name: like[name] for name in kept} | {
        "state": BatchState.READY, "owner": "", "lease_until": 0.0, "fence": 0, "attempt": 0,
        "crashes": 0, "stamp": 0,
    }  # fmt: skip
    return int(connection.execute(BATCHES.insert().returning(BATCHES.c.id), row).scalar_one())
