"""The end of a claim that is not done: what never left goes back, what may have left is settled by proof."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, select

from digest.database import writing
from digest.deliveries.claims import (
    IN_HAND,
    WRITE_OUTCOME,
    facts_of,
    is_open,
    open_rows,
    outcome,
    recipients_of,
    set_batch,
    within,
)
from digest.deliveries.tables import BATCHES, DELIVERIES
from digest.values import BatchState, DeliveryState, Proof, Recipient
from subscribers.tokens import Keys

POISONOUS = 3  # crashes with a delivery alone in hand


class Prover(Protocol):
    """The half of a transport that can look afterwards: True it was handed over, False it was not, None who knows."""

    def prove(self, proof: Proof, recipient: Recipient) -> bool | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hand:
    """What is left of a batch: numbers never marked, and recipients that may have left."""

    unmarked: list[int]
    marked: list[Recipient]


def give_back(
    engine: Engine, batch_id: int, fence: int, *, now: datetime, prover: Prover | None, proof: Proof | None, keys: Keys,
    crashed: bool,
) -> Counter[str]:  # fmt: skip
    """
    End a claim whose batch is not done: what never left is queued again, what may have left is settled by proof.

    Without proof it becomes ambiguous. After a crash the batch comes back in two halves, so that a delivery that
    kills its worker ends up alone; alone at three crashes it is failed as poison.

    Returns:
        How many deliveries went which way, by state. Empty when the claim with that fence is over already.
    """
    with writing(engine) as session:
        connection = session.connection()
        mine = (BATCHES.c.id == batch_id, BATCHES.c.fence == fence, BATCHES.c.state.in_(IN_HAND))
        batch = connection.execute(select(*BATCHES.c).where(*mine).with_for_update()).first()
        if batch is None:
            return Counter()
        hand = _in_hand(connection, batch, now, keys)
        outcomes, again = _judge(batch, hand, prover, proof, now)
        if crashed and len(again) == 1 and batch.first_number == batch.last_number and batch.attempt >= POISONOUS:
            outcomes.append(outcome(batch, again.pop(), DeliveryState.FAILED, "poison", now))
        if outcomes:
            connection.execute(WRITE_OUTCOME, outcomes)
        _ready_again(connection, batch, again, crashed=crashed)
        went = Counter(one["new_state"] for one in outcomes)
        went[DeliveryState.QUEUED.value] = len(again)
        return +went


def _in_hand(connection: Connection, batch: Any, now: datetime, keys: Keys) -> _Hand:
    facts = facts_of(connection, batch.mailing_id)
    rows = open_rows(connection, batch, facts, now, DeliveryState.QUEUED, DeliveryState.HANDING)
    whole = batch.state == BatchState.HANDING
    marked = [row for row in rows if whole or row.state == DeliveryState.HANDING]
    held = {row.number for row in marked}
    return _Hand(
        unmarked=[row.number for row in rows if row.number not in held],
        marked=recipients_of(marked, facts, keys),
    )


def _judge(
    batch: Any, hand: _Hand, prover: Prover | None, proof: Proof | None, now: datetime
) -> tuple[list[dict[str, Any]], list[int]]:
    """Outcomes to write, and the numbers that go back to the queue."""
    outcomes, again = [], list(hand.unmarked)
    for recipient in hand.marked:
        handed = prover.prove(proof, recipient) if prover and proof else None
        if handed is False:
            again.append(recipient.number)
            outcomes.append(outcome(batch, recipient.number, DeliveryState.QUEUED, "", now))
        elif handed:
            outcomes.append(outcome(batch, recipient.number, DeliveryState.ACCEPTED, "proved afterwards", now))
        else:
            outcomes.append(outcome(batch, recipient.number, DeliveryState.AMBIGUOUS, "no word after the marker", now))
    return outcomes, sorted(again)


def _ready_again(connection: Connection, batch: Any, again: Sequence[int], *, crashed: bool) -> None:
    if not again:
        set_batch(connection, batch.id, state=BatchState.DONE, owner="")
        return
    half = (len(again) + 1) // 2 if crashed else len(again)
    _split_off(connection, batch, again[half:])
    alone_before = batch.first_number == batch.last_number
    set_batch(
        connection, batch.id, state=BatchState.READY, owner="", lease_until=0.0, fence=batch.fence + 1,
        first_number=again[0], last_number=again[half - 1],
        attempt=(batch.attempt if alone_before else 0) if crashed else batch.attempt - 1,
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
    """A ready batch with the mailing, proof, transport, span and priority of `like`; nobody has tried it yet."""
    kept = ("mailing_id", "month", "proof_id", "channel", "transport", "first_number", "last_number", "priority")
    row = {name: like[name] for name in kept} | {
        "state": BatchState.READY, "not_before": 0.0, "owner": "", "lease_until": 0.0, "fence": 0, "attempt": 0,
    }  # fmt: skip
    return int(connection.execute(BATCHES.insert().returning(BATCHES.c.id), row).scalar_one())
