"""A batch in one worker's hand: claim it, mark what is about to leave, record what became of it, give the rest back."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Engine, and_, bindparam, case, exists, func, or_, select

from digest.crashes import crash_point
from digest.database import writing
from digest.deliveries.tables import BATCHES, DELIVERIES, EDITIONS, MAILINGS, hexed
from digest.delivery_ids import delivery_id
from digest.links import delivery_token
from digest.values import Batch, BatchState, DeliveryState, MailingState, Receipt, Recipient
from subscribers.audience import PEOPLE, WANTED, WISHES, standing
from subscribers.tokens import Keys

FIRST_RETRY = 300.0  # seconds; greylisting servers refuse anything sooner
LONGEST_RETRY = 7200.0
REFUSALS = {"suppressed": DeliveryState.SUPPRESSED, "paused": DeliveryState.SKIPPED}
IN_HAND = (BatchState.CLAIMED, BatchState.HANDING)


def claim(
    engine: Engine,
    *,
    owner: str,
    now: datetime,
    lease: float,
    transports: Collection[str],
    keys: Keys,
    mailing: int | None = None,
) -> Batch | None:
    """
    Take one batch for this worker alone, and of it the recipients who still want it.

    Consent and suppression are read again together with the rows. Who left, paused or was suppressed since the fill is
    closed at once, so the recipients may be fewer than the batch was filled with, or none.

    Returns:
        The batch, ours for `lease` seconds; None when nothing is due in any mailing that is being sent.

    Source: PostgreSQL manual, SELECT, "The Locking Clause" (SKIP LOCKED for queue-like tables).
    """
    with writing(engine) as session:
        connection = session.connection()
        taken = _take(connection, owner, now, lease, transports, mailing)
        if taken is None:
            return None
        facts = facts_of(connection, taken.mailing_id)
        rows = open_rows(connection, taken, facts, now)
        _close_unwanted(connection, taken, rows, now)
        recipients = recipients_of((row for row in rows if row.standing == WANTED), facts, keys)
        if not recipients:
            set_batch(connection, taken.id, state=BatchState.DONE, owner="")
    crash_point("after_claim")
    return Batch(
        id=taken.id, mailing=taken.mailing_id, month=taken.month, proof_id=taken.proof_id, transport=taken.transport,
        owner=owner, fence=taken.fence, attempt=taken.attempt, lease_until=taken.lease_until, recipients=recipients,
    )  # fmt: skip


def _take(
    connection: Connection, owner: str, now: datetime, lease: float, transports: Collection[str], mailing: int | None
) -> Any:
    due = (
        select(BATCHES.c.id)
        .join(MAILINGS, MAILINGS.c.id == BATCHES.c.mailing_id)
        .where(BATCHES.c.state == BatchState.READY, BATCHES.c.not_before <= now.timestamp())
        .where(BATCHES.c.transport.in_(sorted(transports)))
        .where(MAILINGS.c.kind == "edition", MAILINGS.c.state == MailingState.SENDING, MAILINGS.c.expires_at > now)
        .order_by(BATCHES.c.priority.desc(), BATCHES.c.not_before, BATCHES.c.id)
        .limit(1)
        .with_for_update(of=BATCHES, skip_locked=True)
    )
    if mailing is not None:
        due = due.where(BATCHES.c.mailing_id == mailing)
    return connection.execute(
        BATCHES.update()
        .where(BATCHES.c.id == due.scalar_subquery(), BATCHES.c.state == BatchState.READY)
        .values(
            state=BatchState.CLAIMED, owner=owner, lease_until=now.timestamp() + lease, fence=BATCHES.c.fence + 1,
            attempt=BATCHES.c.attempt + 1,
        )
        .returning(*BATCHES.c)
    ).first()  # fmt: skip


def facts_of(connection: Connection, mailing: int) -> Any:
    """What all of a mailing's deliveries share: id, date, opening, deadline, digest."""
    row = MAILINGS.c
    found = select(row.id, row.date, row.filled_at, row.expires_at, EDITIONS.c.digest_id)
    return connection.execute(found.join_from(MAILINGS, EDITIONS).where(row.id == mailing)).one()


def open_rows(connection: Connection, batch: Any, facts: Any, now: datetime, *states: str) -> Sequence[Any]:
    """The batch's open deliveries with their readers, as they stand at this moment."""
    row = DELIVERIES.c
    device = case((row.channel == "push", row.target), else_="")
    wish = and_(
        WISHES.c.subscriber_id == row.subscriber_id, WISHES.c.digest_id == facts.digest_id,
        WISHES.c.channel == row.channel, WISHES.c.device == device,
    )  # fmt: skip
    moved = and_(row.channel == "email", row.target != hexed(PEOPLE.c.email_hash))
    return connection.execute(
        select(
            row.number, row.channel, row.target, row.state, PEOPLE.c.email, PEOPLE.c.name,
            standing(now).label("standing"), moved.label("moved"), hexed(PEOPLE.c.email_hash).label("hash"),
        )
        .select_from(DELIVERIES.outerjoin(PEOPLE, PEOPLE.c.id == row.subscriber_id).outerjoin(WISHES, wish))
        .where(*within(batch), row.state.in_(states or (DeliveryState.QUEUED,)))
        .order_by(row.number)
    ).all()  # fmt: skip


def within(batch: Any) -> tuple[Any, ...]:
    """The deliveries of a batch, found by their place in the key."""
    row = DELIVERIES.c
    span = row.number.between(batch.first_number, batch.last_number)
    return row.month == batch.month, row.mailing_id == batch.mailing_id, span, row.batch_id == batch.id


def _close_unwanted(connection: Connection, batch: Any, rows: Sequence[Any], now: datetime) -> None:
    closed = [
        outcome(batch, row.number, REFUSALS.get(row.standing, DeliveryState.CANCELLED), row.standing, now)
        for row in rows
        if row.standing != WANTED
    ]
    if closed:
        connection.execute(WRITE_OUTCOME, closed)
    for row in rows:
        if row.moved and row.standing == WANTED:  # a new address since the fill: the edition follows its reader
            mine = (DELIVERIES.c.month == batch.month, DELIVERIES.c.mailing_id == batch.mailing_id)
            here = DELIVERIES.update().where(*mine, DELIVERIES.c.number == row.number)
            connection.execute(here.values(target=row.hash))


def recipients_of(rows: Iterable[Any], facts: Any, keys: Keys) -> list[Recipient]:
    key, mailing, date, opened = keys.hash_key, facts.id, facts.date, int(facts.filled_at.timestamp())
    return [
        Recipient(
            number=row.number,
            delivery_id=delivery_id(key, mailing=mailing, number=row.number, opened=opened),
            address=row.target if row.channel == "push" else row.email or "",
            name=row.name or "",
            token=delivery_token(keys, mailing, row.number),
            date=date,
        )
        for row in rows
    ]


# the marker ---------------------------------------------------------------------------------------------------------


def mark(engine: Engine, batch: Batch, numbers: Collection[int], *, now: datetime) -> set[int]:
    """
    Write down, durably, that these are about to leave: called by a transport just before its point of no return.

    All of a batch at once is one write on the batch; part of it is one on each delivery. What is not in the answer is
    no longer ours (another worker's, or the lease is over) and must not be handed over.
    """
    with writing(engine) as session:
        connection = session.connection()
        row = _still_ours(connection, batch)
        if row is None or row.state == BatchState.HANDING or batch.lease_until <= now.timestamp():
            return set()
        if len(numbers) == len(batch.recipients) == _count_queued(connection, row):
            set_batch(connection, batch.id, state=BatchState.HANDING)
            ours = set(numbers)
        else:
            ours = _mark_each(connection, batch, numbers, now)
    crash_point("after_mark")
    return ours


def _count_queued(connection: Connection, batch: Any) -> int:
    query = select(func.count()).where(*within(batch), DELIVERIES.c.state == DeliveryState.QUEUED)
    return int(connection.execute(query).scalar_one())


def _mark_each(connection: Connection, batch: Batch, numbers: Collection[int], now: datetime) -> set[int]:
    row = DELIVERIES.c
    update = (
        DELIVERIES.update()
        .where(row.month == batch.month, row.mailing_id == batch.mailing, row.number.in_(sorted(numbers)))
        .where(row.batch_id == batch.id, row.state == DeliveryState.QUEUED)
        .values(state=DeliveryState.HANDING, handed_at=now.timestamp(), updated_at=now.timestamp())
        .returning(row.number)
    )
    return set(connection.execute(update).scalars())


def _still_ours(connection: Connection, batch: Batch) -> Any:
    """The batch's row, locked, while owner and fence are still ours; else None: a late worker writes nothing."""
    row = BATCHES.c
    mine = (row.id == batch.id, row.owner == batch.owner, row.fence == batch.fence, row.state.in_(IN_HAND))
    return connection.execute(select(*row).where(*mine).with_for_update()).first()


def set_batch(connection: Connection, batch_id: int, **values: Any) -> None:
    connection.execute(BATCHES.update().where(BATCHES.c.id == batch_id).values(**values))


# what became of it --------------------------------------------------------------------------------------------------

WRITE_OUTCOME = (
    DELIVERIES.update()
    .where(DELIVERIES.c.month == bindparam("in_month"), DELIVERIES.c.mailing_id == bindparam("in_mailing"))
    .where(DELIVERIES.c.number.between(bindparam("first"), bindparam("last")))
    .where(DELIVERIES.c.batch_id == bindparam("in_batch"))
    .where(or_(DELIVERIES.c.state == DeliveryState.QUEUED, DELIVERIES.c.state == DeliveryState.HANDING))
    .values(
        state=bindparam("new_state"), reason=bindparam("why"), next_at=bindparam("next"), updated_at=bindparam("at"),
        attempt=DELIVERIES.c.attempt + bindparam("tried"),
    )
)  # fmt: skip
"""One outcome for a stretch of a batch's open deliveries."""


def outcome(batch: Any, first: int, state: str, why: str, now: datetime, *, last: int = 0) -> dict[str, Any]:
    return {
        "in_month": batch.month, "in_mailing": getattr(batch, "mailing_id", None) or batch.mailing,
        "in_batch": batch.id, "first": first, "last": last or first, "new_state": str(state), "why": why, "next": None,
        "at": now.timestamp(), "tried": 0,
    }  # fmt: skip


def record(engine: Engine, batch: Batch, receipts: Sequence[Receipt], *, now: datetime) -> bool:
    """
    Write what the transport said of each delivery, all of it or nothing.

    Deferred ones get the moment of their next try (`backoff`), or are expired if that is past the mailing's deadline.
    A batch with nothing open left is done.

    Returns:
        False, with nothing written, when the batch is no longer ours.
    """
    if not receipts:
        return True
    with writing(engine) as session:
        connection = session.connection()
        if not (row := _still_ours(connection, batch)):
            return False
        connection.execute(WRITE_OUTCOME, list(_outcomes(connection, batch, receipts, now)))
        if not connection.execute(select(exists().where(*within(row), is_open()))).scalar():
            set_batch(connection, batch.id, state=BatchState.DONE, owner="")
    crash_point("after_record")
    return True


def is_open() -> Any:
    return or_(DELIVERIES.c.state == DeliveryState.QUEUED, DELIVERIES.c.state == DeliveryState.HANDING)


def _outcomes(
    connection: Connection, batch: Batch, receipts: Sequence[Receipt], now: datetime
) -> Iterator[dict[str, Any]]:
    """As few writes as the receipts allow: neighbours with the same outcome are one stretch."""
    place = {recipient.number: index for index, recipient in enumerate(batch.recipients)}
    others = [receipt for receipt in receipts if receipt.state != DeliveryState.DEFERRED]
    for (state, detail, _), group in _stretches(others, place):
        yield outcome(batch, group[0], state, detail, now, last=group[-1])
    later = [receipt for receipt in receipts if receipt.state == DeliveryState.DEFERRED]
    if later:
        yield from _deferrals(connection, batch, later, now)


def _stretches(receipts: Sequence[Receipt], place: dict[int, int]) -> Iterator[tuple[tuple[str, str, int], list[int]]]:
    ordered = sorted(receipts, key=lambda receipt: receipt.number)
    keyed = [((one.state, one.detail, place[one.number] - index), one.number) for index, one in enumerate(ordered)]
    for key, group in groupby(keyed, key=lambda pair: pair[0]):
        yield key, [number for _, number in group]


def _deferrals(
    connection: Connection, batch: Batch, receipts: Sequence[Receipt], now: datetime
) -> Iterator[dict[str, Any]]:
    row = DELIVERIES.c
    numbers = [receipt.number for receipt in receipts]
    mine = (row.month == batch.month, row.mailing_id == batch.mailing, row.number.in_(numbers))
    tried = dict(connection.execute(select(row.number, row.attempt).where(*mine)).all())
    deadline = facts_of(connection, batch.mailing).expires_at.timestamp()
    for receipt in receipts:
        closed = outcome(batch, receipt.number, DeliveryState.DEFERRED, receipt.detail, now)
        at = now.timestamp() + backoff(tried[receipt.number], receipt.retry_after)
        if at >= deadline:
            yield closed | {"new_state": DeliveryState.EXPIRED.value, "tried": 1}
        else:
            yield closed | {"next": at, "tried": 1}


def backoff(attempt: int, retry_after: float | None) -> float:
    """Seconds to the next try: what the other side asked for, else 5 minutes doubling up to 2 hours."""
    if retry_after is not None:
        return max(1.0, retry_after)
    return float(min(LONGEST_RETRY, FIRST_RETRY * 2 ** min(attempt, 10)))
