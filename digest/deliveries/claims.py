"""A batch in one worker's hand: claim it, mark what is about to leave, record what became of it, give the rest back."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from itertools import repeat
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Engine, and_, bindparam, case, exists, false, func, literal, not_, or_, select

from digest.crashes import crash_point
from digest.database import writing
from digest.deliveries.outcomes import outcome, write_outcomes
from digest.deliveries.prepared import Prepared
from digest.deliveries.tables import BATCHES, DELIVERIES, EDITIONS, MAILINGS, PROOFS, SERVICES, Cursor, other_hex
from digest.delivery_ids import OWN_TRAIL, TRAIL, delivery_ids, delivery_token, delivery_tokens, purpose_of
from digest.values import Batch, BatchState, DeliveryState, MailingState, Recipient
from subscribers.audience import HELD, HOLD, ON_HOLD, PEOPLE, WANTED, WISHES, standing
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
    facts = facts_of(connection, taken.mailing_id, taken.proof_id)
    rows = _quick_rows(connection, taken, facts, now)
    if not all(map(WANTED_NOW, rows)):
        stand = open_rows(connection, taken, facts, now)
        _close_unwanted(connection, taken, stand, now)
        rows = [row for row in stand if row.standing == WANTED]
    if not rows:
        set_batch(connection, taken.id, state=BatchState.DONE, owner="")
    return Claimed(taken, facts, rows)


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
    wanted = tuple(sorted(transports)), tuple(sorted(kinds))
    asked = {
        "now": now, "at": now.timestamp(), "new_owner": owner, "until": now.timestamp() + lease,
        **({} if mailing is None else {"only": mailing}),
    }  # fmt: skip
    taken = _taking(*wanted, of_one=mailing is not None, suspect=False).first(connection, asked)
    if taken is None and alone:
        taken = _taking(*wanted, of_one=mailing is not None, suspect=True).first(connection, asked)
    return taken


@cache
def _taking(transports: tuple[str, ...], kinds: tuple[str, ...], *, of_one: bool, suspect: bool) -> Prepared:
    """The first batch that is due, in the order of the index; those that have ended a worker come last, and alone."""
    due = (
        select(BATCHES.c.id)
        .join(MAILINGS, MAILINGS.c.id == BATCHES.c.mailing_id)
        .where(BATCHES.c.state == BatchState.READY, BATCHES.c.not_before <= bindparam("at"))
        .where(BATCHES.c.crashes != 0 if suspect else BATCHES.c.crashes == 0)
        .where(_one_of(BATCHES.c.transport, transports))
        .where(_one_of(MAILINGS.c.kind, kinds), MAILINGS.c.state == MailingState.SENDING)
        .where(MAILINGS.c.expires_at > bindparam("now"))
        .order_by(BATCHES.c.priority, BATCHES.c.not_before, BATCHES.c.id)  # the waves to come lie behind
        .limit(1)
        .with_for_update(of=BATCHES, skip_locked=True)
    )
    if of_one:
        due = due.where(BATCHES.c.mailing_id == bindparam("only"))
    return Prepared(
        BATCHES.update()
        .where(BATCHES.c.id == due.scalar_subquery(), BATCHES.c.state == BatchState.READY)
        .values(
            state=BatchState.CLAIMED.value, owner=bindparam("new_owner"), lease_until=bindparam("until"),
            fence=BATCHES.c.fence + 1, attempt=BATCHES.c.attempt + 1,
        )
        .returning(*BATCHES.c)
    )  # fmt: skip


def _one_of(column: Any, names: Collection[str]) -> Any:
    return or_(false(), *[column == name for name in names])


def facts_of(connection: Connection, mailing: int, proof: int) -> Any:
    """
    What all of a mailing's deliveries share: id, date, opening, deadline, edition, tracking; of a service message its kind;
    and the version of the edition that those of one proof are of.
    """
    return FACTS.first(connection, {"mailing": mailing, "proof": proof})


FACTS = Prepared(
    select(
        MAILINGS.c.id, MAILINGS.c.kind, MAILINGS.c.date, MAILINGS.c.filled_at, MAILINGS.c.expires_at,
        EDITIONS.c.digest_id, SERVICES.c.kind.label("service"), MAILINGS.c.edition_id, PROOFS.c.version,
        MAILINGS.c.tracking,
    )
    .select_from(MAILINGS.outerjoin(EDITIONS).outerjoin(PROOFS, PROOFS.c.id == bindparam("proof")).outerjoin(SERVICES, SERVICES.c.mailing_id == MAILINGS.c.id))
    .where(MAILINGS.c.id == bindparam("mailing"))
)  # fmt: skip


def open_rows(connection: Connection, batch: Any, facts: Any, now: datetime, *states: str) -> Sequence[Any]:
    """
    The batch's open deliveries with their readers, as they stand at this moment: number, address, name, and then state,
    standing, moved (to another address since the fill) and hash.
    """
    given = _asked(batch, facts, now) | {"states": states or (DeliveryState.QUEUED,)}
    rows: Sequence[Any] = connection.execute(_shape(facts, SERVICE_ROWS, TRACKED_ROWS, OPEN_ROWS), given).all()
    return rows


def _quick_rows(connection: Connection, batch: Any, facts: Any, now: datetime) -> Sequence[Any]:
    """What is queued, as the driver has it: number, address, name, and whether it may go as it is. That is so for nearly all."""
    statement = _shape(facts, QUICK_SERVICE_ROWS, QUICK_TRACKED_ROWS, QUICK_ROWS)
    rows: Sequence[Any] = statement.rows(connection, _asked(batch, facts, now))
    return rows


def _shape(facts: Any, service: Any, personal: Any, others: Any) -> Any:
    """Where tracking is personal a row says at its end since when its reader agreed to that; others do not pay for it."""
    return service if facts.kind == SERVICE else personal if facts.tracking == PERSONAL else others


WANTED_NOW = itemgetter(3)


def _asked(batch: Any, facts: Any, now: datetime) -> dict[str, Any]:
    given = {
        "month": batch.month, "mailing": batch.mailing_id, "batch": batch.id, "first": batch.first_number,
        "last": batch.last_number,
    }  # fmt: skip
    return given if facts.kind == SERVICE else {**given, "digest": facts.digest_id, "now": now}


def _of_a_batch(state: Any) -> tuple[Any, ...]:
    row, queued = DELIVERIES.c, state
    return (
        row.month == bindparam("month"), row.mailing_id == bindparam("mailing"),
        row.number.between(bindparam("first"), bindparam("last")), row.batch_id == bindparam("batch"), queued,
    )  # fmt: skip


QUEUED = DELIVERIES.c.state == DeliveryState.QUEUED.value
IN_STATES = DELIVERIES.c.state.in_(bindparam("states", expanding=True))


def _readers_rows(*more: Any) -> tuple[Any, Any]:
    """`open_rows` and `_quick_rows` of an edition."""
    row = DELIVERIES.c
    device = case((row.channel == "push", row.target), else_="")
    wish = and_(
        WISHES.c.subscriber_id == row.subscriber_id, WISHES.c.digest_id == bindparam("digest"),
        WISHES.c.channel == row.channel, WISHES.c.device == device,
    )  # fmt: skip
    address = case((row.channel == "push", row.target), else_=PEOPLE.c.email)
    moved = and_(row.channel == "email", other_hex(row.target, PEOPLE.c.email_hash))
    stands = standing(bindparam("now"))
    people = (
        DELIVERIES.outerjoin(PEOPLE, PEOPLE.c.id == row.subscriber_id).outerjoin(WISHES, wish).outerjoin(HOLD, ON_HOLD)
    )
    whole = select(
        row.number, func.coalesce(address, "").label("address"), func.coalesce(PEOPLE.c.name, "").label("name"), row.state,
        stands.label("standing"), moved.label("moved"), PEOPLE.c.email_hash.label("hash"), *more,
    )  # fmt: skip
    quick = select(
        row.number, address.label("address"), PEOPLE.c.name, and_(stands == WANTED, not_(moved)).label("wanted"), *more
    )
    return _ordered(whole, people, IN_STATES), _ordered(quick, people, QUEUED)


def _service_rows() -> tuple[Any, Any]:
    """The same of a service message, whose address is its own. It needs no consent, but no suppressed address gets it."""
    row, one = DELIVERIES.c, SERVICES.c
    held = exists().where(HELD.c.email_hash == one.email_hash).correlate(SERVICES)
    stands = case((one.mailing_id.is_(None), "gone"), (held, "suppressed"), else_=WANTED)
    people = DELIVERIES.outerjoin(SERVICES, one.mailing_id == row.mailing_id)
    address, name = func.coalesce(one.email, "").label("address"), literal("").label("name")
    whole = select(
        row.number,
        address,
        name,
        row.state,
        stands.label("standing"),
        false().label("moved"),
        one.email_hash.label("hash"),
    )
    quick = select(row.number, address, name, (stands == WANTED).label("wanted"))
    return _ordered(whole, people, IN_STATES), _ordered(quick, people, QUEUED)


def _ordered(columns: Any, people: Any, state: Any) -> Any:
    return columns.select_from(people).where(*_of_a_batch(state)).order_by(DELIVERIES.c.number)


OPEN_ROWS, _quick = _readers_rows()
QUICK_ROWS = Prepared(_quick)
TRACKED_ROWS, _quick = _readers_rows(PEOPLE.c.tracked_since)
QUICK_TRACKED_ROWS = Prepared(_quick)
SERVICE_ROWS, _quick = _service_rows()
QUICK_SERVICE_ROWS = Prepared(_quick)


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
    """Rows that begin with number, address and name, as whom a message goes to."""
    if not rows:
        return []
    numbers, addresses, names, *_ = zip(*rows, strict=True)
    ids = delivery_ids(keys.hash_key, numbers, mailing=facts.id, opened=int(facts.filled_at.timestamp()))
    tokens = delivery_tokens(keys, numbers, mailing=facts.id, purpose=purpose_of(facts.service))
    trails = repeat("") if facts.tracking == OFF else _trails(rows, facts, keys)
    return list(map(_made, zip(numbers, ids, addresses, names, tokens, repeat(facts.date), trails)))


def _trails(rows: Sequence[Any], facts: Any, keys: Keys) -> list[str]:
    """What their tracked links carry: their own only of who agreed to it, all others the edition's, which is nobody's."""
    nobodys = delivery_token(keys, facts.edition_id, facts.version, TRAIL)
    agreed = [row[0] for row in rows if row[-1] is not None] if facts.tracking == PERSONAL else []
    own = dict(zip(agreed, delivery_tokens(keys, agreed, mailing=facts.id, purpose=OWN_TRAIL), strict=True))
    return [own.get(row[0], nobodys) for row in rows]


_made = partial(tuple.__new__, Recipient)  # by its own name a tuple takes twice as long


def set_batch(connection: Connection, batch_id: int, **values: Any) -> None:
    connection.execute(BATCHES.update().where(BATCHES.c.id == batch_id).values(**values))


def is_open() -> Any:
    return or_(DELIVERIES.c.state == DeliveryState.QUEUED, DELIVERIES.c.state == DeliveryState.HANDING)
