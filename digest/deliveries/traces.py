"""What the ledger holds of one reader, and how it forgets whose deliveries they were: the books still balance."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, or_, select

from digest.deliveries.claims import IN_HAND
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


def traces_of(connection: Connection, subscriber: int, email_hash: bytes, *, now: datetime) -> list[Trace]:
    """
    Every delivery to a subscriber, the oldest first; found through each mailing, by its unique key.

    And the service messages to their address from before they were one, which name nobody.
    """
    row = DELIVERIES.c
    before = select(SERVICES.c.mailing_id).where(SERVICES.c.email_hash == email_hash)
    query = (
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
        .where(or_(row.subscriber_id == subscriber, row.mailing_id.in_(before)))
        .order_by(row.mailing_id, row.number)
    )  # fmt: skip
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


def forget(connection: Connection, subscriber: int, email_hash: bytes, traces: Sequence[Trace]) -> None:
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


def _about(subscriber: int | None, target: str) -> Any:
    event, row = EVENTS.c, DELIVERIES.c
    told = and_(event.mailing_id == row.mailing_id, event.number == row.number)
    theirs = (
        select(event.id)
        .select_from(MAILINGS.join(DELIVERIES, OF_MAILING).join(EVENTS, told))
        .where(row.subscriber_id == subscriber)
    )
    return or_(event.target == target, event.id.in_(theirs))
