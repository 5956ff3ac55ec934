"""What waits for a later wave and was never tried is given the proofs of a newer version of its edition."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import exists, func, not_, or_, select
from sqlmodel import Session

from digest.deliveries.tables import BATCHES, DELIVERIES, MAILINGS
from digest.values import BatchState, MailingState


def wave_after(session: Session, mailing: int, now: datetime) -> datetime | None:
    """
    When the next readers are due of those who may still get another proof.

    None when there are none, and while no wave has begun: the first one carries what was approved.
    """
    row, connection = BATCHES.c, session.connection()
    begun = select(row.id).where(row.mailing_id == mailing, row.not_before > 0, row.not_before <= now.timestamp())
    if connection.execute(begun.limit(1)).first() is None:
        return None
    at = connection.execute(select(func.min(row.not_before)).where(*_to_come(mailing, now))).scalar()
    return datetime.fromtimestamp(at, UTC) if at is not None else None


def waiting_proofs(session: Session, mailing: int, now: datetime, *, lock: bool = False) -> set[int]:
    """
    The proofs of what `move_on` would move; none where the mailing is not being sent. With `lock` it cannot be paused or
    cancelled until the transaction ends.
    """
    connection = session.connection()
    state = select(MAILINGS.c.state).where(MAILINGS.c.id == mailing)
    if connection.execute(state.with_for_update() if lock else state).scalar() != MailingState.SENDING:
        return set()
    query = select(BATCHES.c.proof_id).distinct().where(*_to_come(mailing, now), not_(_tried()))
    return set(connection.execute(query).scalars())


def move_on(session: Session, mailing: int, proofs: Mapping[int, int], now: datetime) -> int:
    """
    Give the batches that wait for a later wave, with their deliveries, the new proof in the place of each old one. Returns
    how many deliveries.

    A batch that somebody has claimed meanwhile keeps its proof: it is read together with the batch.
    """
    connection, row, moved = session.connection(), DELIVERIES.c, 0
    for old, new in proofs.items():
        batches = BATCHES.update().where(*_to_come(mailing, now), BATCHES.c.proof_id == old, not_(_tried()))
        for batch in connection.execute(batches.values(proof_id=new).returning(*BATCHES.c)).all():
            span = row.number.between(batch.first_number, batch.last_number)
            mine = (row.month == batch.month, row.mailing_id == mailing, span, row.batch_id == batch.id)
            moved += connection.execute(DELIVERIES.update().where(*mine).values(proof_id=new)).rowcount
    return moved


def _to_come(mailing: int, now: datetime) -> tuple[Any, ...]:
    row = BATCHES.c
    return row.mailing_id == mailing, row.state == BatchState.READY, row.attempt == 0, row.not_before > now.timestamp()


def _tried() -> Any:
    """Whether any of a batch's deliveries was in a worker's hand before: on every attempt a message is the same."""
    row, batch = DELIVERIES.c, BATCHES.c
    span = row.number.between(batch.first_number, batch.last_number)
    mine = (row.month == batch.month, row.mailing_id == batch.mailing_id, span, row.batch_id == batch.id)
    return exists().where(*mine, or_(row.attempt != 0, row.handed_at.is_not(None)))
