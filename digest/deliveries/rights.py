"""Who may send: on SQLite one process at a time; and nobody after a restore, until a person has decided."""

from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, func, or_, select

from digest.database import in_transaction, reading
from digest.deliveries.owners import is_gone
from digest.deliveries.stamps import newest_kept
from digest.deliveries.tables import BATCHES, DEFERRED, DELIVERIES, MAILINGS, SENDERS, insert_once
from digest.values import BatchState, DeliveryState, MailingState

ONLY = 1  # the one row's id
DOUBT = "the database was restored from a backup"


def take_right(connection: Connection, owner: str, *, now: datetime, lease: float) -> bool:
    """
    Become the process that sends, or stay it for another `lease` seconds. False: another one is, and lives.

    PostgreSQL has locks for batches, so any number may send there.
    """
    if connection.dialect.name != "sqlite":
        return True
    row = _row(connection)
    if row.owner not in {"", owner} and row.lease_until > now.timestamp() and not is_gone(row.owner):
        return False
    connection.execute(SENDERS.update().values(owner=owner, lease_until=now.timestamp() + lease))
    return True


def release_right(connection: Connection, owner: str) -> None:
    connection.execute(SENDERS.update().where(SENDERS.c.owner == owner).values(owner="", lease_until=0.0))


def is_free(engine: Engine, *, now: datetime) -> bool:
    """Whether `take_right` would be worth asking."""
    with reading(engine) as session:
        row = session.connection().execute(select(SENDERS.c.owner, SENDERS.c.lease_until)).first()
    return row is None or not row.owner or row.lease_until <= now.timestamp() or is_gone(row.owner)


def newest_stamp(engine: Engine) -> int:
    """The newest marker that the database knows of."""
    with reading(engine) as session:
        connection = session.connection()
        marked = connection.execute(select(func.max(BATCHES.c.stamp))).scalar()
        kept = connection.execute(select(func.max(SENDERS.c.stamp))).scalar()
    return max(marked or 0, kept or 0)


def keep_newest(connection: Connection, stamp: int) -> None:
    """Note the newest stamp in the one row that outlives batches."""
    _row(connection)
    connection.execute(SENDERS.update().where(SENDERS.c.stamp < stamp).values(stamp=stamp))


# after a restore ----------------------------------------------------------------------------------------------------


def restored_at(engine: Engine, file: Path, *, now: datetime) -> datetime | None:
    """
    When it was noticed that the database is an older copy of itself; None when it is not, or a person has decided.

    At that moment every mailing that was started goes to unconfirmed: nobody knows here who of its readers has it.
    """
    with reading(engine) as session:
        known: datetime | None = session.connection().execute(select(SENDERS.c.restored_at)).scalar()
    if known is not None:
        return known
    newest = newest_kept(file)
    if newest <= newest_stamp(engine):
        return None

    def hold(connection: Connection) -> None:
        _row(connection)
        connection.execute(SENDERS.update().values(restored_at=now, stamp=newest))
        _doubt_started(connection, now)

    in_transaction(engine)(hold)
    return now


def after_restore(engine: Engine) -> None:
    """A person has looked: sending may go on."""
    in_transaction(engine)(lambda connection: connection.execute(SENDERS.update().values(restored_at=None)))


def _doubt_started(connection: Connection, now: datetime) -> None:
    started = select(MAILINGS.c.id).where(
        or_(MAILINGS.c.state == MailingState.SENDING, MAILINGS.c.state == MailingState.PAUSED)
    )
    row = DELIVERIES.c
    still_open = or_(row.state == DeliveryState.QUEUED, row.state == DeliveryState.HANDING, DEFERRED)
    doubts = DELIVERIES.update().where(row.mailing_id.in_(started), still_open)
    values = {"state": DeliveryState.AMBIGUOUS.value, "reason": DOUBT, "next_at": None, "updated_at": now.timestamp()}
    connection.execute(doubts.values(**values))
    batches = BATCHES.update().where(BATCHES.c.mailing_id.in_(started), BATCHES.c.state != BatchState.DONE)
    connection.execute(batches.values(state=BatchState.DONE, owner="", fence=BATCHES.c.fence + 1))


def _row(connection: Connection) -> Any:
    query = select(SENDERS.c.owner, SENDERS.c.lease_until).where(SENDERS.c.id == ONLY)
    found = connection.execute(query.with_for_update()).first()
    if found is None:
        row = {"id": ONLY, "owner": "", "lease_until": 0.0, "stamp": 0}
        connection.execute(insert_once(connection, SENDERS).values(row).on_conflict_do_nothing())
        found = connection.execute(query.with_for_update()).one()
    return found
