"""What came back about deliveries, as their rows take it: proof moves a delivery on, and never back."""

import json
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select

from digest.deliveries.tables import EDITIONS, MAILINGS, SERVICES, spelled
from digest.values import DeliveryState, EventKind

SAYS: Mapping[str, DeliveryState] = {
    EventKind.PROCESSED: DeliveryState.ACCEPTED,
    EventKind.DEFERRED: DeliveryState.ACCEPTED,
    EventKind.LEFT: DeliveryState.ACCEPTED,  # who leaves by it has it
    EventKind.DROPPED: DeliveryState.DROPPED,
    EventKind.DELIVERED: DeliveryState.DELIVERED,
    EventKind.BOUNCED: DeliveryState.BOUNCED,
    EventKind.BLOCKED: DeliveryState.BOUNCED,
    EventKind.COMPLAINED: DeliveryState.COMPLAINED,
}
"""What each kind of event proves of its delivery."""

RANK = {state: rank for rank, state in enumerate(dict.fromkeys(SAYS.values()), start=1)}
"""Of two proofs the higher one counts, whichever came first. Every other state is no proof, and gives way to any."""


class Mailed(NamedTuple):
    """A mailing that something came back about. `opened` is its opening in whole epoch seconds; `digest` may be None."""

    id: int
    month: int
    opened: int
    digest: int | None


class Word(NamedTuple):
    """The strongest word on a delivery: the later of two that are equally strong, and of two at one moment either always."""

    rank: int
    at: float
    key: bytes
    state: DeliveryState
    reason: str


def word(kind: str, at: float, key: bytes, reason: str) -> Word:
    state = SAYS[kind]
    return Word(RANK[state], at, key, state, reason)


def mailings_of(connection: Connection, ids: Collection[int]) -> dict[int, Mailed]:
    """Those of the mailings that there are."""
    digest = func.coalesce(EDITIONS.c.digest_id, SERVICES.c.digest_id).label("digest_id")
    query = (
        select(MAILINGS.c.id, MAILINGS.c.month, MAILINGS.c.filled_at, digest)
        .select_from(MAILINGS)
        .outerjoin(EDITIONS, EDITIONS.c.id == MAILINGS.c.edition_id)
        .outerjoin(SERVICES, SERVICES.c.mailing_id == MAILINGS.c.id)
    )
    rows = connection.execute(query.where(MAILINGS.c.id.in_(sorted(ids)))).all()
    return {row.id: Mailed(row.id, row.month, int(row.filled_at.timestamp()), row.digest_id) for row in rows}


def rows_of(connection: Connection, mailing: Mailed, numbers: Collection[int]) -> dict[int, Any]:
    """The mailing's deliveries of these numbers, held against every other writer until the transaction ends."""
    given = {"month": mailing.month, "mailing": mailing.id, "numbers": json.dumps(sorted(numbers))}
    rows = connection.exec_driver_sql(ROWS[connection.dialect.name], given).all()
    return {row.number: row for row in rows}


ROWS = spelled(
    "SELECT number, state, reason, updated_at, batch_id, subscriber_id, channel, target FROM delivery"
    " WHERE month = :month AND mailing_id = :mailing AND number IN {numbers}"
)
ROWS["postgresql"] += " ORDER BY number FOR UPDATE"  # all in one order, so that two who hear do not wait for each other


def move(connection: Connection, mailing: Mailed, rows: Mapping[int, Any], words: Mapping[int, Word]) -> int:
    """Take each delivery to where the strongest word on it says, unless it is further already; how many changed."""
    changed = {number: said for number, said in words.items() if _says_more(said, rows[number])}
    if not changed:
        return 0
    given = [
        {
            "month": mailing.month, "mailing": mailing.id, "number": number,
            "state": said.state.value, "why": said.reason, "at": said.at,
        }
        for number, said in changed.items()
    ]  # fmt: skip
    connection.exec_driver_sql(MOVE[connection.dialect.name], given)
    _loosen(connection, {rows[number].batch_id for number in changed if rows[number].state == DeliveryState.QUEUED})
    return len(changed)


def _says_more(said: Word, row: Any) -> bool:
    as_it_is = (row.state, row.reason, row.updated_at) == (said.state, said.reason, said.at)
    return not as_it_is and RANK.get(row.state, 0) <= said.rank


MOVE = spelled(
    "UPDATE delivery SET state = :state, reason = :why, next_at = NULL, updated_at = :at"
    " WHERE month = :month AND mailing_id = :mailing AND number = :number"
)


def _loosen(connection: Connection, batches: Collection[int]) -> None:
    """
    Take these batches out of a worker's hand that has marked nothing of them yet, so that it claims them anew.

    It read whom they hold before we heard that one of those has the message. Where it marks one by one it would notice
    that; where it marks a whole batch by one write, it would not.
    """
    if batches:
        connection.exec_driver_sql(LOOSEN[connection.dialect.name], {"numbers": json.dumps(sorted(batches))})


LOOSEN = spelled(
    "UPDATE batch SET state = 'ready', owner = '', lease_until = 0, fence = fence + 1"
    " WHERE id IN {numbers} AND state = 'claimed' AND NOT EXISTS (SELECT 1 FROM delivery"
    " WHERE delivery.month = batch.month AND delivery.mailing_id = batch.mailing_id"
    " AND delivery.number BETWEEN batch.first_number AND batch.last_number"
    " AND delivery.batch_id = batch.id AND delivery.state = 'handing')"
)
