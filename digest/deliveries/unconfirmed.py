"""What nobody can know: deliveries that may have arrived, and what a person decides of them."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from digest.database import reading, writing
from digest.deliveries.returns import new_batch
from digest.deliveries.tables import AMBIGUOUS, BATCHES, DELIVERIES, DIGESTS, EDITIONS, MAILINGS, SERVICES
from digest.errors import NotFoundError, TransitionError
from digest.values import DeliveryState, MailingState
from subscribers.addresses import masked
from subscribers.audience import PEOPLE

DECISIONS = ("accept", "resend", "close")


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """One unconfirmed delivery. `address` is masked."""

    number: int
    channel: str
    address: str
    reason: str
    since: float  # epoch seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubtful:
    """
    A mailing with unconfirmed deliveries: of an edition, or a service message of some kind (`what`).

    `digest` is empty where the service message is forgotten already; `state` is the edition's, or the mailing's own.
    """

    mailing: int
    digest: str
    what: str
    day: date
    state: str
    count: int


def doubtful(engine: Engine) -> list[Doubtful]:
    """Every mailing with unconfirmed deliveries, the oldest first."""
    unsure = select(DELIVERIES.c.mailing_id, func.count().label("count")).where(AMBIGUOUS)
    unsure_of = unsure.group_by(DELIVERIES.c.mailing_id).subquery()
    digest = func.coalesce(EDITIONS.c.digest_id, SERVICES.c.digest_id)
    query = (
        select(
            MAILINGS.c.id, MAILINGS.c.filled_at, MAILINGS.c.state.label("own"), EDITIONS.c.state, EDITIONS.c.local_date,
            SERVICES.c.kind, DIGESTS.c.slug, unsure_of.c.count,
        )
        .select_from(
            MAILINGS.join(unsure_of, unsure_of.c.mailing_id == MAILINGS.c.id)
            .outerjoin(EDITIONS, EDITIONS.c.id == MAILINGS.c.edition_id)
            .outerjoin(SERVICES, SERVICES.c.mailing_id == MAILINGS.c.id)
            .outerjoin(DIGESTS, DIGESTS.c.id == digest)
        )
        .order_by(MAILINGS.c.id)
    )  # fmt: skip
    with reading(engine) as session:
        rows = session.connection().execute(query).all()
    return [
        Doubtful(
            mailing=number, digest=slug or "", what="edition" if state else kind or "service",
            day=day or filled_at.date(), state=str(state or own), count=count,
        )
        for number, filled_at, own, state, day, kind, slug, count in rows
    ]  # fmt: skip


def doubts(engine: Engine, mailing: int) -> list[Doubt]:
    """The mailing's unconfirmed deliveries, by number."""
    row, address = DELIVERIES.c, func.coalesce(SERVICES.c.email, PEOPLE.c.email).label("email")
    query = (
        select(row.number, row.channel, row.reason, row.updated_at, address)
        .select_from(
            DELIVERIES.outerjoin(PEOPLE, PEOPLE.c.id == row.subscriber_id).outerjoin(
                SERVICES, SERVICES.c.mailing_id == row.mailing_id
            )
        )
        .where(row.mailing_id == mailing, AMBIGUOUS)
        .order_by(row.number)
    )
    with reading(engine) as session:
        rows = session.connection().execute(query).all()
    return [
        Doubt(number=one.number, channel=one.channel, address=masked(one.email or ""), reason=one.reason, since=one.updated_at)
        for one in rows
    ]  # fmt: skip


def decide(engine: Engine, mailing: int, decision: str, *, numbers: Collection[int] = (), now: datetime) -> int:
    """
    A person's word on a mailing's unconfirmed deliveries, or on those of `numbers`; how many it settled.

    accept: they arrived. close: it stays unknown, and nothing more is done. resend: queued again under the same
    identity, so that a mail server can still tell that it is the same message; the mailing is sending again.

    Raises:
        NotFoundError: there is no such mailing.
        TransitionError: resend after the mailing's deadline, when it would only expire.
    """
    with writing(engine) as session:
        connection = session.connection()
        query = select(MAILINGS.c.id, MAILINGS.c.state, MAILINGS.c.expires_at).where(MAILINGS.c.id == mailing)
        found = connection.execute(query.with_for_update()).first()
        if found is None:
            raise NotFoundError(f"There is no mailing {mailing}.")
        if decision == "resend":
            if found.expires_at <= now:
                raise TransitionError("Its deadline is over, so it would only expire: accept or close them instead.")
            return _resend(connection, found, numbers, now)
        state = DeliveryState.ACCEPTED if decision == "accept" else DeliveryState.CLOSED_UNCONFIRMED
        values = {"state": state.value, "reason": "by a person", "updated_at": now.timestamp()}
        return int(connection.execute(_those(mailing, numbers).values(**values)).rowcount)


def _those(mailing: int, numbers: Collection[int]) -> Any:
    update = DELIVERIES.update().where(DELIVERIES.c.mailing_id == mailing, AMBIGUOUS)
    return update.where(DELIVERIES.c.number.in_(sorted(numbers))) if numbers else update


def _resend(connection: Connection, mailing: Any, numbers: Collection[int], now: datetime) -> int:
    """Into batches like those they came from, each with its proof and transport."""
    row = DELIVERIES.c
    columns = (
        row.number,
        row.month,
        row.mailing_id,
        row.channel,
        row.proof_id,
        BATCHES.c.transport,
        BATCHES.c.priority,
    )
    query = select(*columns, row.batch_id).join_from(DELIVERIES, BATCHES, BATCHES.c.id == row.batch_id)
    query = query.where(row.mailing_id == mailing.id, AMBIGUOUS).order_by(row.number)
    groups: dict[int, list[Any]] = {}
    for one in connection.execute(query.where(row.number.in_(sorted(numbers))) if numbers else query).all():
        groups.setdefault(one.batch_id, []).append(one)
    for rows in groups.values():
        span = {"first_number": rows[0].number, "last_number": rows[-1].number}
        batch = new_batch(connection, {**rows[0]._mapping, **span})  # noqa: SLF001
        here = _those(mailing.id, [one.number for one in rows])
        values = {"state": DeliveryState.QUEUED.value, "batch_id": batch, "reason": "", "updated_at": now.timestamp()}
        connection.execute(here.values(**values))
    if groups and mailing.state == MailingState.DONE:
        again = MAILINGS.update().where(MAILINGS.c.id == mailing.id)
        connection.execute(again.values(state=MailingState.SENDING, finished_at=None))
    return sum(len(rows) for rows in groups.values())
