"""What a worker writes about a batch in its hand: markers before messages leave, and what became of them."""

import json
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Engine, exists, func, select

from digest.database import writing
from digest.deliveries.claims import is_open, set_batch, within
from digest.deliveries.outcomes import outcome, write_outcomes
from digest.deliveries.tables import DELIVERIES, spelled
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
        return exchange(connection, batch, numbers, (), now=now, to=BatchState.HANDING if whole else "") or set()


def record(engine: Engine, batch: Batch, receipts: Sequence[Receipt], *, now: datetime) -> bool:
    """Write what the transport said of each delivery, all or nothing. False when the batch is no longer ours."""
    if not receipts:
        return True
    with writing(engine) as session:
        connection = session.connection()
        if exchange(connection, batch, (), receipts, now=now) is None:
            return False
        if not connection.execute(select(exists().where(*within(batch), is_open()))).scalar():
            set_batch(connection, batch.id, state=BatchState.DONE, owner="")
    return True


def _count_queued(connection: Connection, batch: Batch) -> int:
    query = select(func.count()).where(*within(batch), DELIVERIES.c.state == DeliveryState.QUEUED)
    return int(connection.execute(query).scalar_one())


def exchange(
    connection: Connection,
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
    dialect = connection.dialect.name
    # the batch's row first: it is locked from here on, so that nobody can take the batch from under us
    if connection.exec_driver_sql(MOVE["mark" if numbers and not to else to][dialect], moves).rowcount != 1:
        return None
    if receipts:
        write_outcomes(connection, list(_outcomes(connection, batch, receipts, now)))
    if to == BatchState.HANDING:
        return set(numbers)
    return _mark_some(connection, batch, numbers, now) if numbers else set()


_MOVE = "UPDATE batch SET stamp = :stamp{} WHERE id = :id AND owner = :owner AND fence = :fence AND "
_IN_HAND = "state IN ('claimed', 'handing')"
MOVE = {
    "": spelled(_MOVE.format("") + _IN_HAND),
    "mark": spelled(_MOVE.format("") + "state = 'claimed'"),
    BatchState.HANDING: spelled(_MOVE.format(", state = 'handing'") + "state = 'claimed'"),
    BatchState.DONE: spelled(_MOVE.format(", state = 'done', owner = ''") + _IN_HAND),
}


def _mark_some(connection: Connection, batch: Batch, numbers: Collection[int], now: datetime) -> set[int]:
    given = {
        "month": batch.month, "mailing": batch.mailing_id, "batch": batch.id, "numbers": json.dumps([*numbers]),
        "at": now.timestamp(),
    }  # fmt: skip
    return set(connection.exec_driver_sql(MARK_SOME[connection.dialect.name], given).scalars())


MARK_SOME = spelled(
    "UPDATE delivery SET state = 'handing', handed_at = :at, updated_at = :at WHERE month = :month AND"
    " mailing_id = :mailing AND number IN {numbers} AND batch_id = :batch AND state = 'queued' RETURNING number"
)


def _outcomes(
    connection: Connection, batch: Batch, receipts: Sequence[Receipt], now: datetime
) -> Iterator[dict[str, Any]]:
    """As few writes as the receipts allow: neighbours with the same outcome are one stretch."""
    words = {(receipt.state, receipt.detail) for receipt in receipts}
    said, why = next(iter(words))
    if len(words) == 1 and len(receipts) == len(batch.recipients) and said != DeliveryState.DEFERRED:
        yield outcome(batch, batch.first_number, said, why, now, last=batch.last_number)  # all of it, as mostly
        return
    others = [receipt for receipt in receipts if receipt.state != DeliveryState.DEFERRED]
    for (state, detail, _), group in _stretches(others):
        yield outcome(batch, group[0], state, detail, now, last=group[-1])
    later = [receipt for receipt in receipts if receipt.state == DeliveryState.DEFERRED]
    if later:
        yield from _deferrals(connection, batch, later, now)


def _stretches(receipts: Sequence[Receipt]) -> Iterator[tuple[tuple[str, str, int], list[int]]]:
    ordered = sorted(receipts)  # by number, of which there is one each
    keyed = [((one.state, one.detail, one.number - index), one.number) for index, one in enumerate(ordered)]
    for key, group in groupby(keyed, key=lambda pair: pair[0]):
        yield key, [number for _, number in group]


def _deferrals(
    connection: Connection, batch: Batch, receipts: Sequence[Receipt], now: datetime
) -> Iterator[dict[str, Any]]:
    row = DELIVERIES.c
    numbers = [receipt.number for receipt in receipts]
    mine = (row.month == batch.month, row.mailing_id == batch.mailing_id, row.number.in_(numbers))
    tried = dict(connection.execute(select(row.number, row.attempt).where(*mine)).all())
    for receipt in receipts:
        closed = outcome(batch, receipt.number, DeliveryState.DEFERRED, receipt.detail, now)
        at = now.timestamp() + backoff(tried[receipt.number], receipt.retry_after)
        if at >= batch.expires_at:
            yield closed | {"state": DeliveryState.EXPIRED.value, "tried": 1}
        else:
            yield closed | {"next": at, "tried": 1}


def backoff(attempt: int, retry_after: float | None) -> float:
    """Seconds to the next try: what the other side asked for, else 5 minutes doubling up to 2 hours."""
    if retry_after is not None:
        return max(1.0, retry_after)
    return float(min(LONGEST_RETRY, FIRST_RETRY * 2 ** min(attempt, 10)))
