"""Service messages in the ledger: a mailing of one delivery, claimed before every edition, resent once when in doubt."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from email.utils import format_datetime

from sqlalchemy import Connection, Engine, exists, not_, or_, select

from digest.database import reading, writing
from digest.deliveries.claims import IN_HAND, SERVICE
from digest.deliveries.returns import new_batch
from digest.deliveries.tables import AMBIGUOUS, BATCHES, DEFERRED, DELIVERIES, MAILINGS, SERVICES
from digest.deliveries.unconfirmed import decide
from digest.values import BatchState, DeliveryState, MailingState, ServiceKind
from subscribers.signup import MessageWanted

PRIORITY = -100  # before any edition's: lower goes first
UNDER_WAY = (DeliveryState.QUEUED, DeliveryState.HANDING)
NOBODY = 0  # the subscriber of a delivery to somebody who is none yet

LEAVES_WITHIN = {
    ServiceKind.CONFIRM: timedelta(hours=24), ServiceKind.WELCOME: timedelta(hours=24),
    ServiceKind.ACCESS: timedelta(minutes=15), ServiceKind.ADDRESS: timedelta(hours=24),
    ServiceKind.READY: timedelta(hours=12), ServiceKind.REMINDER: timedelta(hours=1),
    ServiceKind.OUTCOME: timedelta(hours=24), ServiceKind.ALARM: timedelta(hours=24),
}  # fmt: skip
"""After that a message is of no use any more, and what has not left expires."""


def open_service(connection: Connection, wanted: MessageWanted, *, proof_id: int, transport: str, now: datetime) -> int:
    """The id of a new mailing to one address, written whole within the transaction that found out it is wanted."""
    month, kind = now.year * 100 + now.month, ServiceKind(wanted.kind)
    row = {
        "month": month, "kind": SERVICE, "edition_id": None, "version": 1, "state": MailingState.SENDING,
        "candidates": 1, "generation": 1, "date": format_datetime(now), "expires_at": now + LEAVES_WITHIN[kind],
        "filled_at": now, "reason": "",
    }  # fmt: skip
    mailing = int(connection.execute(MAILINGS.insert().returning(MAILINGS.c.id), row).scalar_one())
    service = {
        "mailing_id": mailing, "kind": kind, "digest_id": wanted.digest_id, "subscriber_id": wanted.subscriber_id,
        "email": wanted.email, "email_hash": wanted.email_hash, "opened_at": now,
    }  # fmt: skip
    connection.execute(SERVICES.insert(), service)
    place = {"mailing_id": mailing, "month": month, "proof_id": proof_id, "channel": "email", "transport": transport}
    span = {"first_number": 1, "last_number": 1, "priority": PRIORITY, "not_before": 0.0}
    batch = new_batch(connection, {**place, **span})
    delivery = {
        "month": month, "mailing_id": mailing, "number": 1, "subscriber_id": wanted.subscriber_id or NOBODY,
        "channel": "email", "target": wanted.email_hash.hex(), "proof_id": proof_id, "batch_id": batch,
        "state": DeliveryState.QUEUED, "reason": "", "attempt": 0, "updated_at": now.timestamp(),
    }  # fmt: skip
    connection.execute(DELIVERIES.insert(), delivery)
    return mailing


def due_services(engine: Engine, *, now: datetime) -> Sequence[int]:
    """The service mailings for which a run can do something now, the oldest first."""
    batch, row, at = BATCHES.c, DELIVERIES.c, now.timestamp()
    its_own = (row.month == MAILINGS.c.month, row.mailing_id == MAILINGS.c.id)  # by its key, which the month leads
    ready = exists().where(batch.mailing_id == MAILINGS.c.id, batch.state == BatchState.READY, batch.not_before <= at)
    dropped = exists().where(batch.mailing_id == MAILINGS.c.id, batch.state.in_(IN_HAND), batch.lease_until <= at)
    later = exists().where(row.mailing_id == MAILINGS.c.id, DEFERRED, row.next_at <= at)
    over = not_(exists().where(*its_own, or_(row.state.in_(UNDER_WAY), DEFERRED)))
    open_ones = select(MAILINGS.c.id).where(MAILINGS.c.kind == SERVICE, MAILINGS.c.state == MailingState.SENDING)
    query = open_ones.where(or_(ready, dropped, later, over, MAILINGS.c.expires_at <= now)).order_by(MAILINGS.c.id)
    with reading(engine) as session:
        return list(session.connection().execute(query).scalars())


def resend_services(engine: Engine, *, now: datetime) -> int:
    """Queue again, once and under the same identity, every service message of which nobody knows whether it arrived."""
    doubtful = MAILINGS.c.id.in_(
        select(DELIVERIES.c.mailing_id).where(AMBIGUOUS)
    )  # of all there are these are the fewest
    query = (
        select(MAILINGS.c.id)
        .join_from(MAILINGS, SERVICES, SERVICES.c.mailing_id == MAILINGS.c.id)
        .where(SERVICES.c.resent_at.is_(None), MAILINGS.c.expires_at > now, doubtful)
    )
    with reading(engine) as session:
        mailings = list(session.connection().execute(query).scalars())
    for mailing in mailings:
        with writing(engine) as session:
            once = SERVICES.update().where(SERVICES.c.mailing_id == mailing, SERVICES.c.resent_at.is_(None))
            first = session.connection().execute(once.values(resent_at=now)).rowcount == 1
        if first:  # a kill between the two leaves it unconfirmed, which is the safe side
            decide(engine, mailing, "resend", now=now)
    return len(mailings)
