"""What a worker writes about a batch in its hand: markers before messages leave, and what became of them."""

import json
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, exists, func, select

from digest.database import writing
from digest.deliveries.claims import is_open, set_batch, within
from digest.deliveries.outcomes import outcome, outcome_of_some, write_outcomes
from digest.deliveries.tables import DELIVERIES, Cursor, spelled
from digest.values import Batch, BatchState, DeliveryState, Receipt

FIRST_RETRY = 300.0  # seconds; greylisting servers refuse anything sooner
LONGEST_RETRY = 7200.0


def mark(engine: Engine, batch: Batch, numbers: Collection[int], *, now: datetime) -> set[int]:
    """
    Write down, durably, that these are about to leave. What is not in the answer is no longer ours, and stays.

    All of a batch at once is one write on the batch; part of it is one on each delivery.
    """
    if batch.lease_until <= now.timestamp():
        return set()
    with writing(engine) as session:
        connection = session.connection()
        whole = len(numbers) == len(batch.recipients) == _count_queued(connection, batch)
        to = BatchState.HANDING if whole else ""
        return exchange(Cursor(connection), batch, numbers, (), now=now, to=to) or set()


def record(engine: Engine, batch: Batch, receipts: Sequence[Receipt], *, now: datetime) -> bool:
    """Write what the transport said of each delivery, all or nothing. False when the batch is no longer ours."""
    if not receipts:
        return True
    with writing(engine) as session:
        connection = session.connection()
        if exchange(Cursor(connection), batch, (), receipts, now=now) is None:
            return False
        if not connection.execute(select(exists().where(*within(batch), is_open()))).scalar():
            set_batch(connection, batch.id, state=BatchState.DONE, owner="")
    return True


def _count_queued(connection: Connection, batch: Batch) -> int:
    query = select(func.count()).where(*within(batch), DELIVERIES.c.state == DeliveryState.QUEUED)
    return int(connection.execute(query).scalar_one())


def exchange(
    cursor: Cursor,
    batch: Batch,
    numbers: Collection[int],
    receipts: Sequence[Receipt],
    *,
    now: datetime,
    stamp: int = 0,
    to: str = "",
) -> set[int] | None:
    """
    Record what became of some of a batch's deliveries, and mark others as about to leave.

    Deferred ones get the moment of their next try (`backoff`), or are expired if that is past the mailing's deadline.
    `to`: the batch as a whole moves to handing, which marks all of it, or is done. `stamp` goes onto the batch.

    Returns:
        Those of `numbers` that are marked now; None, with nothing written, when the batch is no longer ours.
    """
    moves = {"id": batch.id, "owner": batch.owner, "fence": batch.fence, "stamp": stamp}
    # the batch's row first: it is locked from here on, so that nobody can take the batch from under us
    if cursor.run(MOVE["mark" if numbers and not to else to], moves).rowcount != 1:
        return None
    if receipts:
        write_outcomes(cursor, list(_outcomes(cursor, batch, receipts, now)))
    if to == BatchState.HANDING:
        return set(numbers)
    return _mark_some(cursor, batch, numbers, now) if numbers else set()


_MOVE = "UPDATE batch SET stamp = :stamp{} WHERE id = :id AND owner = :owner AND fence = :fence AND "
_IN_HAND = "state IN ('claimed', 'handing')"
MOVE = {
    "": spelled(_MOVE.format("") + _IN_HAND),
    "mark": spelled(_MOVE.format("") + "state = 'claimed'"),
    BatchState.HANDING: spelled(_MOVE.format(", state = 'handing'") + "state = 'claimed'"),
    BatchState.DONE: spelled(_MOVE.format(", state = 'done', owner = ''") + _IN_HAND),
}


def _mark_some(cursor: Cursor, batch: Batch, numbers: Collection[int], now: datetime) -> set[int]:
    given = {"month": batch.month, "mailing": batch.mailing_id, "batch": batch.id, "at": now.timestamp()}
    if cursor.dialect == "sqlite":  # to it, RETURNING is as much work as the change itself; and it is never far away
        return {one for one in numbers if cursor.run(MARK_ONE, {**given, "number": one}).rowcount}
    return {number for (number,) in cursor.run(MARK_SOME, {**given, "numbers": json.dumps([*numbers])})}


_MARK = (
    "UPDATE delivery SET state = 'handing', handed_at = :at, updated_at = :at WHERE month = :month AND"
    " mailing_id = :mailing AND number {} AND batch_id = :batch AND state = 'queued'"
)
MARK_ONE = spelled(_MARK.format("= :number"))
MARK_SOME = spelled(_MARK.format("IN {numbers}") + " RETURNING number")


def _some(batch: Batch, numbers: Collection[int]) -> dict[str, Any]:
    return {"month": batch.month, "mailing": batch.mailing_id, "numbers": json.dumps([*numbers])}


def _outcomes(cursor: Cursor, batch: Batch, receipts: Sequence[Receipt], now: datetime) -> Iterator[dict[str, Any]]:
    """As few writes as the receipts allow: one for all that fared alike."""
    if len(receipts) == len(batch.recipients) and _are_alike(receipts):  # all of it, as mostly
        yield outcome(batch, batch.first_number, receipts[0].state, receipts[0].detail, now, last=batch.last_number)
        return
    alike: dict[tuple[str, str], list[int]] = {}
    for receipt in receipts:
        if receipt.state != DeliveryState.DEFERRED:
            alike.setdefault((receipt.state, receipt.detail), []).append(receipt.number)
    for (state, detail), numbers in alike.items():
        yield outcome_of_some(batch, numbers, state, detail, now)
    later = [receipt for receipt in receipts if receipt.state == DeliveryState.DEFERRED]
    if later:
        yield from _deferrals(cursor, batch, later, now)


def _are_alike(receipts: Sequence[Receipt]) -> bool:
    """Whether all fared the same, and none is to be tried again."""
    _, state, detail, *_ = receipts[0]
    others = [one for one in receipts if one.state is not state or one.detail != detail]
    return not others and state is not DeliveryState.DEFERRED


def _deferrals(cursor: Cursor, batch: Batch, receipts: Sequence[Receipt], now: datetime) -> Iterator[dict[str, Any]]:
    tried = dict(cursor.run(TRIED, _some(batch, [receipt.number for receipt in receipts])).fetchall())
    for receipt in receipts:
        closed = outcome(batch, receipt.number, DeliveryState.DEFERRED, receipt.detail, now)
        at = now.timestamp() + backoff(tried[receipt.number], receipt.retry_after)
        if at >= batch.expires_at:
            yield closed | {"state": DeliveryState.EXPIRED.value, "tried": 1}
        else:
            yield closed | {"next": at, "tried": 1}


TRIED = spelled(
    "SELECT number, attempt FROM delivery WHERE month = :month AND mailing_id = :mailing AND number IN {numbers}"
)


def backoff(attempt: int, retry_after: float | None) -> float:
    """Seconds to the next try: what the other side asked for, else 5 minutes doubling up to 2 hours."""
    if retry_after is not None:
        return max(1.0, retry_after)
    return float(min(LONGEST_RETRY, FIRST_RETRY * 2 ** min(attempt, 10)))
