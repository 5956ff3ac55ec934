"""What the ledger needs between claims: ended claims settled, what is due again queued, what is too late closed."""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, and_, exists, func, or_, select

from digest.database import Write, in_transaction, reading
from digest.deliveries.claims import IN_HAND
from digest.deliveries.owners import is_gone
from digest.deliveries.proofs import proof_of
from digest.deliveries.returns import Prover, give_back, new_batch
from digest.deliveries.tables import AMBIGUOUS, BATCHES, DEFERRED, DELIVERIES, MAILINGS
from digest.values import BatchState, DeliveryState, MailingState
from subscribers.tokens import Keys

RETRY_BATCH = 500


def recover(
    engine: Engine,
    *,
    now: datetime,
    provers: Mapping[str, Prover],
    keys: Keys,
    gone: Callable[[str], bool] = is_gone,
    mailing: int | None = None,
    write: Write[Any] | None = None,
) -> Counter[str]:
    """
    Settle every claim whose lease is over or whose owner is gone; of one mailing, where the provers know only that.

    `write`: how transactions are made, here and below; a sending process has its own writer.

    Returns:
        How many deliveries went which way, by state: queued again, accepted by proof, ambiguous, failed as poison.
    """
    settled: Counter[str] = Counter()
    abandoned = _abandoned(engine, now, gone)
    held = Counter(batch.owner for batch in abandoned)
    for batch in abandoned:
        if mailing not in {None, batch.mailing_id}:
            continue
        prover = provers.get(batch.transport)
        proof = proof_of(engine, batch.proof_id) if prover else None
        settled += give_back(
            write or in_transaction(engine), batch.id, batch.fence, now=now, prover=prover, proof=proof, keys=keys,
            crashed=True, alone=held[batch.owner] == 1,
        )  # fmt: skip
    return settled


def _abandoned(engine: Engine, now: datetime, gone: Callable[[str], bool]) -> list[Any]:
    row = BATCHES.c
    query = select(row.id, row.mailing_id, row.fence, row.transport, row.proof_id, row.owner, row.lease_until)
    with reading(engine) as session:
        held = session.connection().execute(query.where(row.state.in_(IN_HAND)).order_by(row.id)).all()
    return [batch for batch in held if batch.lease_until <= now.timestamp() or gone(batch.owner)]


def requeue(engine: Engine, *, now: datetime, mailing: int | None = None, write: Write[Any] | None = None) -> int:
    """Queue the deferred deliveries whose time has come, in new batches of up to 500; how many there were."""
    total, write = 0, write or in_transaction(engine)
    while moved := write(lambda connection: _requeue_one(connection, now, mailing)):
        total += moved
    return total


def _requeue_one(connection: Connection, now: datetime, mailing: int | None) -> int:
    row = DELIVERIES.c
    columns = (
        row.number,
        row.month,
        row.mailing_id,
        row.channel,
        row.proof_id,
        BATCHES.c.transport,
        BATCHES.c.priority,
        BATCHES.c.not_before,
    )
    due = (
        select(*columns)
        .join_from(DELIVERIES, BATCHES, BATCHES.c.id == row.batch_id)
        .where(DEFERRED, row.next_at <= now.timestamp(), row.mailing_id.in_(_open_mailings(now, mailing)))
        .order_by(row.mailing_id, row.proof_id, BATCHES.c.not_before, row.number)
        .limit(RETRY_BATCH)
        .with_for_update(of=DELIVERIES, skip_locked=True)
    )
    rows = connection.execute(due).all()
    if not rows:
        return 0
    first = rows[0]
    alike = [one.number for one in rows if one[2:] == first[2:]]
    batch = new_batch(connection, {**first._mapping, "first_number": alike[0], "last_number": alike[-1]})  # noqa: SLF001
    mine = (row.month == first.month, row.mailing_id == first.mailing_id, row.number.in_(alike))
    again = DELIVERIES.update().where(*mine, DEFERRED)
    connection.execute(again.values(state=DeliveryState.QUEUED, batch_id=batch, next_at=None))
    return len(alike)


def _open_mailings(now: datetime, mailing: int | None) -> Any:
    row = MAILINGS.c
    query = select(row.id).where(row.state == MailingState.SENDING, row.expires_at > now)
    return query.where(row.id == mailing) if mailing is not None else query


def next_due(engine: Engine, *, mailing: int, after: float = -1.0) -> float | None:
    """
    Epoch seconds at which there is something to do: a wave is due, a deferred delivery is, or a lease is over; None: never.

    Without `after` a batch that may leave already counts, with the time it has been waiting since; with it only waves
    that come after that moment.
    """
    row, batch = DELIVERIES.c, BATCHES.c
    with reading(engine) as session:
        connection = session.connection()
        retry = connection.execute(select(func.min(row.next_at)).where(DEFERRED, row.mailing_id == mailing)).scalar()
        held = and_(batch.mailing_id == mailing, batch.state.in_(IN_HAND))
        lease = connection.execute(select(func.min(batch.lease_until)).where(held)).scalar()
        ready = and_(batch.mailing_id == mailing, batch.state == BatchState.READY, batch.not_before > after)
        wave = connection.execute(select(func.min(batch.not_before)).where(ready)).scalar()
    return min((at for at in (retry, lease, wave) if at is not None), default=None)


def anything_due(engine: Engine, *, mailing: int, now: datetime) -> bool:
    """Whether a run of that mailing would find something to do: to hand over, to settle, or to end."""
    row, batch = MAILINGS.c, BATCHES.c
    mine = batch.mailing_id == mailing
    ready = and_(mine, batch.state == BatchState.READY)
    with reading(engine) as session:
        connection = session.connection()
        if connection.execute(select(batch.id).where(ready, batch.not_before <= now.timestamp()).limit(1)).first():
            return True
        waits = connection.execute(select(exists().where(mine, batch.state != BatchState.DONE))).scalar()
        over = connection.execute(select(row.expires_at <= now).where(row.id == mailing)).scalar()
    due = next_due(engine, mailing=mailing)
    return bool(over) or (due is not None and due <= now.timestamp()) or (due is None and not waits)


def close_late(engine: Engine, *, now: datetime, write: Write[Any] | None = None) -> int:
    """
    Close what may not be handed over any more: the rest of mailings past their deadline, and of cancelled ones.
    What is still unconfirmed at the deadline is closed as that.

    Batches in a worker's hand are left to it; they are closed here once they come back. How many deliveries closed.
    """
    row = MAILINGS.c
    late = and_(row.state.in_((MailingState.SENDING, MailingState.PAUSED)), row.expires_at <= now)
    waiting = or_(
        exists().where(BATCHES.c.mailing_id == row.id, BATCHES.c.state == BatchState.READY),
        exists().where(DELIVERIES.c.mailing_id == row.id, DEFERRED),
    )
    query = select(row.id, row.month, row.state).where(or_(late, row.state == MailingState.CANCELLED), waiting)
    with reading(engine) as session:
        mailings = session.connection().execute(query).all()
    closed, write = 0, write or in_transaction(engine)
    for mailing in mailings:
        cancelled = mailing.state == MailingState.CANCELLED
        state = DeliveryState.CANCELLED if cancelled else DeliveryState.EXPIRED
        reason = "the mailing was cancelled" if cancelled else "too late"
        closed += write(partial(close_rest, mailing=mailing, state=state, reason=reason, now=now))
    return closed + int(write(partial(_close_doubts, now=now)))


def _close_doubts(connection: Connection, *, now: datetime) -> int:
    over = select(MAILINGS.c.id).where(MAILINGS.c.expires_at <= now)
    doubts = DELIVERIES.update().where(AMBIGUOUS, DELIVERIES.c.mailing_id.in_(over))
    closed = {"state": DeliveryState.CLOSED_UNCONFIRMED.value, "updated_at": now.timestamp()}
    return int(connection.execute(doubts.values(**closed)).rowcount)


def close_rest(connection: Connection, mailing: Any, state: str, reason: str, now: datetime) -> int:
    """Close a mailing's ready batches and deferred deliveries; `mailing` has id and month."""
    row, closed = DELIVERIES.c, 0
    fields = {"state": state, "reason": reason, "next_at": None, "updated_at": now.timestamp()}
    ready = select(*BATCHES.c).where(BATCHES.c.mailing_id == mailing.id, BATCHES.c.state == BatchState.READY)
    for batch in connection.execute(ready.with_for_update(skip_locked=True)).all():
        span = row.number.between(batch.first_number, batch.last_number)
        mine = (row.month == mailing.month, row.mailing_id == mailing.id, span, row.batch_id == batch.id)
        rest = DELIVERIES.update().where(*mine, row.state == DeliveryState.QUEUED).values(**fields)
        closed += connection.execute(rest).rowcount
        connection.execute(BATCHES.update().where(BATCHES.c.id == batch.id).values(state=BatchState.DONE))
    later = DELIVERIES.update().where(row.month == mailing.month, row.mailing_id == mailing.id, DEFERRED)
    return closed + connection.execute(later.values(**fields)).rowcount
