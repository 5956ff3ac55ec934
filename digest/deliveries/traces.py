"""What the ledger holds of one reader, and how it forgets whose deliveries they were: the books still balance."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, or_, select, union_all

from digest.deliveries.claims import IN_HAND, SERVICE
from digest.deliveries.services import NOBODY
from digest.deliveries.tables import BATCHES, DELIVERIES, DIGESTS, EDITIONS, MAILINGS, SERVICES
from digest.models import EventRow
from digest.values import DeliveryState

EVENTS = EventRow.metadata.tables["event"]
OF_MAILING = and_(DELIVERIES.c.month == MAILINGS.c.month, DELIVERIES.c.mailing_id == MAILINGS.c.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One delivery of a reader's. `opened` is its mailing's opening in whole epoch seconds, `in_hand` a worker's now."""

    month: int
    mailing: int
    number: int
    opened: int
    edition: int | None
    digest: str
    channel: str
    state: str
    reason: str
    handed_at: float | None
    updated_at: float
    in_hand: bool


def traces_of(connection: Connection, subscriber: int | None, email_hash: bytes, *, now: datetime) -> list[Trace]:
    """
    Every delivery to a subscriber, the oldest first; found through each mailing, by its unique key.

    And the service messages to their address from before they were one, which name nobody. `subscriber` is None for who
    never became one.
    """
    row = DELIVERIES.c
    every = (
        select(
            row.month, row.mailing_id, row.number, MAILINGS.c.filled_at, MAILINGS.c.edition_id, DIGESTS.c.slug, row.channel,
            row.state, row.reason, row.handed_at, row.updated_at, BATCHES.c.state, BATCHES.c.lease_until,
        )
        .select_from(
            MAILINGS.join(DELIVERIES, OF_MAILING)
            .outerjoin(BATCHES, BATCHES.c.id == row.batch_id)
            .outerjoin(EDITIONS, EDITIONS.c.id == MAILINGS.c.edition_id)
            .outerjoin(DIGESTS, DIGESTS.c.id == EDITIONS.c.digest_id)
        )
    )  # fmt: skip
    theirs = union_all(every.where(row.subscriber_id == subscriber), every.where(*_to_nobody(email_hash))).subquery()
    query = select(theirs).order_by(theirs.c.mailing_id, theirs.c.number)
    return [
        Trace(
            month=month, mailing=mailing, number=number, opened=int(filled_at.timestamp()), edition=edition,
            digest=slug or "", channel=channel, state=str(state), reason=reason, handed_at=handed_at, updated_at=updated_at,
            in_hand=batch in IN_HAND and lease > now.timestamp() and state in (DeliveryState.QUEUED, DeliveryState.HANDING),
        )
        for month, mailing, number, filled_at, edition, slug, channel, state, reason, handed_at, updated_at, batch, lease
        in connection.execute(query)
    ]  # fmt: skip


def events_of(connection: Connection, subscriber: int | None, target: str) -> list[Any]:
    """What providers told of a reader: by the keyed hash of their address (hex), or by their deliveries."""
    about = select(EVENTS).where(_about(subscriber, target))
    return list(connection.execute(about.order_by(EVENTS.c.at, EVENTS.c.id)))


def forget(connection: Connection, subscriber: int | None, email_hash: bytes, traces: Sequence[Trace]) -> None:
    """
    Make a reader's deliveries nobody's: their rows, states and events stay, and nothing leads from them to anyone.
    Service messages go whole, but for their deliveries' rows.

    What is still queued finds no reader at its claim and is cancelled there. Numbers of subscribers may be given anew, so
    theirs must not stay behind: below zero there is nobody.
    """
    about = _about(subscriber, email_hash.hex())
    connection.execute(EVENTS.update().where(about).values(target="", reason=""))
    connection.execute(SERVICES.delete().where(SERVICES.c.email_hash == email_hash))
    row = DELIVERIES.c
    for trace in traces:
        mine = (row.month == trace.month, row.mailing_id == trace.mailing, row.number == trace.number)
        connection.execute(DELIVERIES.update().where(*mine).values(subscriber_id=-row.number, target="", reason=""))
        if trace.edition is None:  # also to an address that they had before
            connection.execute(SERVICES.delete().where(SERVICES.c.mailing_id == trace.mailing))


def adopt(connection: Connection, subscriber: int, email_hash: bytes) -> None:
    """
    Make a reader's what was written to their address before they were one.

    For when they give the address up: afterwards nothing else would lead from them to those messages.
    """
    row = DELIVERIES.c
    found = select(row.month, row.mailing_id).select_from(MAILINGS.join(DELIVERIES, OF_MAILING))
    for month, mailing in connection.execute(found.where(*_to_nobody(email_hash))).all():
        here = (row.month == month, row.mailing_id == mailing, row.subscriber_id == NOBODY)
        connection.execute(DELIVERIES.update().where(*here).values(subscriber_id=subscriber))


def _to_nobody(email_hash: bytes) -> tuple[Any, ...]:
    row = DELIVERIES.c
    whose = (row.subscriber_id == NOBODY, row.channel == "email", row.target == email_hash.hex())
    return MAILINGS.c.kind == SERVICE, *whose


def _about(subscriber: int | None, target: str) -> Any:
    event, row = EVENTS.c, DELIVERIES.c
    told = and_(event.mailing_id == row.mailing_id, event.number == row.number)
    theirs = (
        select(event.id)
        .select_from(MAILINGS.join(DELIVERIES, OF_MAILING).join(EVENTS, told))
        .where(row.subscriber_id == subscriber)
    )
    return or_(event.target == target, event.id.in_(theirs))
