"""A batch in one worker's hand: claim it, mark what is about to leave, record what became of it, give the rest back."""

from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Engine, and_, bindparam, case, exists, false, literal, or_, select

from digest.crashes import crash_point
from digest.database import writing
from digest.deliveries.outcomes import outcome, write_outcomes
from digest.deliveries.tables import BATCHES, DELIVERIES, EDITIONS, MAILINGS, SERVICES, Cursor, hexed
from digest.delivery_ids import OWN_TRAIL, TRAIL, delivery_ids, delivery_token, delivery_tokens, purpose_of
from digest.values import Batch, BatchState, DeliveryState, MailingState, Recipient
from subscribers.audience import HELD, PEOPLE, WANTED, WISHES, standing
from subscribers.tokens import Keys

SERVICE = "service"
OFF, PERSONAL = "off", "personal"
KINDS = ("edition", SERVICE)
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
        claimed = claim_within(
            session.connection(), owner=owner, now=now, lease=lease, transports=transports, mailing=mailing
        )
    crash_point("after_claim")
    return claimed.batch(keys) if claimed else None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A batch just claimed, with the rows of its recipients as the database gave them."""

    row: Any
    facts: Any
    rows: Sequence[Any]

    def batch(self, keys: Keys) -> Batch:
        """Its value. Names and tokens are worked out here, after the transaction, so that nobody waits for them."""
        row = self.row
        return Batch(
            id=row.id, mailing_id=row.mailing_id, month=row.month, proof_id=row.proof_id, transport=row.transport,
            first_number=row.first_number, last_number=row.last_number, owner=row.owner, fence=row.fence,
            attempt=row.attempt, crashes=row.crashes, lease_until=row.lease_until,
            expires_at=self.facts.expires_at.timestamp(), recipients=recipients_of(self.rows, self.facts, keys),
        )  # fmt: skip


def claim_within(
    connection: Connection,
    *,
    owner: str,
    now: datetime,
    lease: float,
    transports: Collection[str],
    mailing: int | None = None,
    alone: bool = True,
    kinds: Collection[str] = KINDS,
) -> Claimed | None:
    """
    As `claim`, of mailings of those `kinds`. `alone`: nothing else is in this worker's hand, so that it may take what has
    ended a worker before.
    """
    taken = _take(connection, owner, now, lease, transports, mailing, kinds, alone=alone)
    if taken is None:
        return None
    facts = facts_of(connection, taken.mailing_id)
    with closing(_open_rows(connection, taken, facts, now)) as found:
        rows = found.cursor.fetchall()  # as the driver has them: a third quicker
    wanted = [row for row in rows if row[6] == WANTED and not row[7]]  # standing, moved
    if len(wanted) != len(rows):
        stand = open_rows(connection, taken, facts, now)
        _close_unwanted(connection, taken, stand, now)
        wanted = [row for row in stand if row.standing == WANTED]
    if not wanted:
        set_batch(connection, taken.id, state=BatchState.DONE, owner="")
    return Claimed(taken, facts, wanted)


def _take(
    connection: Connection,
    owner: str,
    now: datetime,
    lease: float,
    transports: Collection[str],
    mailing: int | None,
    kinds: Collection[str],
    *,
    alone: bool,
) -> Any:
    asked = {
        "now": now, "at": now.timestamp(), "transports": sorted(transports), "only": mailing, "new_owner": owner,
        "until": now.timestamp() + lease, "kinds": kinds,
    }  # fmt: skip
    taken = connection.execute(_taking(mailing is not None, suspect=False), asked).first()
    if taken is None and alone:
        taken = connection.execute(_taking(mailing is not None, suspect=True), asked).first()
    return taken


@cache
def _taking(of_one_mailing: bool, *, suspect: bool) -> Any:  # noqa: FBT001  the shapes of one statement
    """The first batch that is due, in the order of the index; those that have ended a worker come last, and alone."""
    due = (
        select(BATCHES.c.id)
        .join(MAILINGS, MAILINGS.c.id == BATCHES.c.mailing_id)
        .where(BATCHES.c.state == BatchState.READY, BATCHES.c.not_before <= bindparam("at"))
        .where(BATCHES.c.crashes != 0 if suspect else BATCHES.c.crashes == 0)
        .where(BATCHES.c.transport.in_(bindparam("transports", expanding=True)))
        .where(MAILINGS.c.kind.in_(bindparam("kinds", expanding=True)), MAILINGS.c.state == MailingState.SENDING)
        .where(MAILINGS.c.expires_at > bindparam("now"))
        .order_by(BATCHES.c.priority, BATCHES.c.id)
        .limit(1)
        .with_for_update(of=BATCHES, skip_locked=True)
    )
    if of_one_mailing:
        due = due.where(BATCHES.c.mailing_id == bindparam("only"))
    return (
        BATCHES.update()
        .where(BATCHES.c.id == due.scalar_subquery(), BATCHES.c.state == BatchState.READY)
        .values(
            state=BatchState.CLAIMED.value, owner=bindparam("new_owner"), lease_until=bindparam("until"),
            fence=BATCHES.c.fence + 1, attempt=BATCHES.c.attempt + 1,
        )
        .returning(*BATCHES.c)
    )  # fmt: skip


def facts_of(connection: Connection, mailing: int) -> Any:
    """What all of a mailing's deliveries share: id, date, opening, deadline, edition, tracking; of a service message its kind."""
    return connection.execute(FACTS, {"mailing": mailing}).one()


FACTS = (
    select(
        MAILINGS.c.id, MAILINGS.c.kind, MAILINGS.c.date, MAILINGS.c.filled_at, MAILINGS.c.expires_at,
        EDITIONS.c.digest_id, SERVICES.c.kind.label("service"), MAILINGS.c.edition_id, MAILINGS.c.version,
        MAILINGS.c.tracking,
    )
    .select_from(MAILINGS.outerjoin(EDITIONS).outerjoin(SERVICES, SERVICES.c.mailing_id == MAILINGS.c.id))
    .where(MAILINGS.c.id == bindparam("mailing"))
)  # fmt: skip


def open_rows(connection: Connection, batch: Any, facts: Any, now: datetime, *states: str) -> Sequence[Any]:
    """The batch's open deliveries with their readers, as they stand at this moment."""
    rows: Sequence[Any] = _open_rows(connection, batch, facts, now, *states).all()
    return rows


def _open_rows(connection: Connection, batch: Any, facts: Any, now: datetime, *states: str) -> Any:
    given = {
        "month": batch.month, "mailing": batch.mailing_id, "batch": batch.id, "first": batch.first_number,
        "last": batch.last_number, "digest": facts.digest_id, "now": now, "states": states or (DeliveryState.QUEUED,),
    }  # fmt: skip
    rows = SERVICE_ROWS if facts.kind == SERVICE else TRACKED_ROWS if facts.tracking == PERSONAL else OPEN_ROWS
    return connection.execute(rows, given)


def _rows_of_a_batch(*more: Any) -> Any:
    row = DELIVERIES.c
    device = case((row.channel == "push", row.target), else_="")
    wish = and_(
        WISHES.c.subscriber_id == row.subscriber_id, WISHES.c.digest_id == bindparam("digest"),
        WISHES.c.channel == row.channel, WISHES.c.device == device,
    )  # fmt: skip
    moved = and_(row.channel == "email", row.target != hexed(PEOPLE.c.email_hash))
    return (
        select(
            row.number, row.channel, row.target, row.state, PEOPLE.c.email, PEOPLE.c.name,
            standing(bindparam("now")).label("standing"), moved.label("moved"), PEOPLE.c.email_hash.label("hash"), *more,
        )
        .select_from(DELIVERIES.outerjoin(PEOPLE, PEOPLE.c.id == row.subscriber_id).outerjoin(WISHES, wish))
        .where(row.month == bindparam("month"), row.mailing_id == bindparam("mailing"))
        .where(row.number.between(bindparam("first"), bindparam("last")), row.batch_id == bindparam("batch"))
        .where(row.state.in_(bindparam("states", expanding=True)))
        .order_by(row.number)
    )  # fmt: skip


OPEN_ROWS = _rows_of_a_batch()
TRACKED_ROWS = _rows_of_a_batch(PEOPLE.c.tracked_since)
AGREED = 9  # where that stands in a row


def _service_rows() -> Any:
    """The same of a service message, whose address is its own. It needs no consent, but no suppressed address gets it."""
    row, one = DELIVERIES.c, SERVICES.c
    held = exists().where(HELD.c.email_hash == one.email_hash).correlate(SERVICES)
    return (
        select(
            row.number, row.channel, row.target, row.state, one.email, literal("").label("name"),
            case((one.mailing_id.is_(None), "gone"), (held, "suppressed"), else_=WANTED).label("standing"),
            false().label("moved"), one.email_hash.label("hash"),
        )
        .select_from(DELIVERIES.outerjoin(SERVICES, one.mailing_id == row.mailing_id))
        .where(row.month == bindparam("month"), row.mailing_id == bindparam("mailing"))
        .where(row.number.between(bindparam("first"), bindparam("last")), row.batch_id == bindparam("batch"))
        .where(row.state.in_(bindparam("states", expanding=True)))
        .order_by(row.number)
    )  # fmt: skip


SERVICE_ROWS = _service_rows()


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
    write_outcomes(Cursor(connection), closed)
    for row in rows:
        if row.moved and row.standing == WANTED:  # a new address since the fill: the edition follows its reader
            mine = (DELIVERIES.c.month == batch.month, DELIVERIES.c.mailing_id == batch.mailing_id)
            here = DELIVERIES.update().where(*mine, DELIVERIES.c.number == row.number)
            connection.execute(here.values(target=row.hash.hex()))


def recipients_of(rows: Sequence[Any], facts: Any, keys: Keys) -> list[Recipient]:
    """The rows of `open_rows` as whom a message goes to."""
    numbers, opened = [row[0] for row in rows], int(facts.filled_at.timestamp())
    ids = delivery_ids(keys.hash_key, numbers, mailing=facts.id, opened=opened)
    tokens = delivery_tokens(keys, numbers, mailing=facts.id, purpose=purpose_of(facts.service))
    date = facts.date
    found = [
        Recipient(number, named, target if channel == "push" else email or "", name or "", token, date)
        for named, token, (number, channel, target, _state, email, name, *_) in zip(ids, tokens, rows, strict=True)
    ]
    return found if facts.tracking == OFF else _on_their_trails(found, rows, facts, keys)


def _on_their_trails(found: Sequence[Recipient], rows: Sequence[Any], facts: Any, keys: Keys) -> list[Recipient]:
    """Each with what tracked links carry: their own only who agreed to it, all others the edition's, which is nobody's."""
    nobodys = delivery_token(keys, facts.edition_id, facts.version, TRAIL)
    agreed = [row[0] for row in rows if row[AGREED] is not None] if facts.tracking == PERSONAL else []
    own = dict(zip(agreed, delivery_tokens(keys, agreed, mailing=facts.id, purpose=OWN_TRAIL), strict=True))
    return [one._replace(trail=own.get(one.number, nobodys)) for one in found]


def set_batch(connection: Connection, batch_id: int, **values: Any) -> None:
    connection.execute(BATCHES.update().where(BATCHES.c.id == batch_id).values(**values))


def is_open() -> Any:
    return or_(DELIVERIES.c.state == DeliveryState.QUEUED, DELIVERIES.c.state == DeliveryState.HANDING)
