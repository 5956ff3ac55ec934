"""Who runs the day's stations: one process among several, by a row with a lease; every write of its checks the fence."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, func, select
from sqlmodel import Session

from digest.database import guarded, reading, writing
from digest.deliveries.owners import is_gone
from digest.deliveries.tables import insert_once
from digest.errors import DigestError
from digest.models import LeaderRow

LEADERS, EDITIONS = (LeaderRow.metadata.tables[name] for name in ("leader", "edition"))
ONLY = 1  # the one row's id
LEASE = 6.0  # seconds; a leader that has not been heard of for so long is replaced
APART = 60.0  # seconds; clocks of two machines that are no further apart do not take the lead from each other in turn


class LostError(DigestError):
    """Another process leads now: this one slept past its lease, and what it was about to write is dropped."""


@dataclass(frozen=True, slots=True)
class Leader:
    """Who leads and since when it was last heard of (epoch seconds); `owner` is empty when nobody does."""

    owner: str
    fence: int
    seen_at: float
    lease_until: float


def lead(engine: Engine, owner: str, *, now: datetime, lease: float = LEASE, doubted: bool = False) -> int | None:
    """
    Become the leader, or stay it for `lease` seconds more. Returns the fence, or None while another one leads.

    A lease that ends later than any could, on clocks that are at most APART, is from before one was set back, and does not count.
    A clock that is `doubted` does not say when the leader was seen: whoever starts next is to find out what was known before.
    """
    at = now.timestamp()
    with writing(engine) as session:
        connection = session.connection()
        row, seen = _row(connection), {} if doubted else {"seen_at": at}
        if row.owner == owner:
            connection.execute(LEADERS.update().values(lease_until=at + lease, **seen))
            return int(row.fence)
        if row.owner and at < row.lease_until <= at + lease + APART and not is_gone(row.owner):
            return None
        taken = {"owner": owner, "fence": row.fence + 1, "lease_until": at + lease, **seen}
        connection.execute(LEADERS.update().values(taken))
        return int(row.fence) + 1


def resign(engine: Engine, owner: str) -> None:
    """Let another one lead at once."""
    with writing(engine) as session:
        mine = LEADERS.update().where(LEADERS.c.owner == owner)
        session.connection().execute(mine.values(owner="", lease_until=0.0))


def leader(engine: Engine) -> Leader | None:
    """None when there never was one."""
    with reading(engine) as session:
        row = session.connection().execute(select(LEADERS).where(LEADERS.c.id == ONLY)).first()
    return Leader(row.owner, row.fence, row.seen_at, row.lease_until) if row else None


def last_known(engine: Engine, now: datetime) -> datetime | None:
    """
    The newest moment, up to now, of which the database knows that the house was at work: its leader was seen, or an edition
    had been sent. None: it never was.
    """
    with reading(engine) as session:
        connection = session.connection()
        sent = connection.execute(select(func.max(EDITIONS.c.sent_at)).where(EDITIONS.c.sent_at <= now)).scalar()
        seen = connection.execute(select(func.max(LEADERS.c.seen_at)).where(LEADERS.c.seen_at > 0)).scalar()
    known = [*([sent] if sent else []), *([datetime.fromtimestamp(seen, UTC)] if seen else [])]
    return max(known, default=None)


def seconds_away(session: Session, now: datetime) -> float | None:
    """Since there was a sign of who runs the day, or waits to because it doubts its clock; None when there never was one."""
    row = session.connection().execute(select(LEADERS).where(LEADERS.c.id == ONLY)).first()
    if row is None:
        return None
    at = now.timestamp()
    held = row.lease_until - LEASE if row.lease_until <= at + LEASE + APART else 0.0
    sign = max(row.seen_at, held)
    return max(0.0, at - sign) if sign > 0 else None


@contextmanager
def as_leader(fence: int) -> Iterator[None]:
    """Within the block every transaction that writes fails, unless the leader of that fence still leads."""

    def check(connection: Connection) -> None:
        # the shared lock keeps others from taking over between this look and the commit
        held = connection.execute(select(LEADERS.c.fence).with_for_update(read=True)).scalar()
        if held != fence:
            raise LostError("Another process has taken over the schedule; this one does nothing more with it.")

    with guarded(check):
        yield


def _row(connection: Connection) -> Any:
    query = select(LEADERS).where(LEADERS.c.id == ONLY).with_for_update()
    found = connection.execute(query).first()
    if found is None:
        fresh = {"id": ONLY, "owner": "", "lease_until": 0.0, "fence": 0, "seen_at": 0.0}
        connection.execute(insert_once(connection, LEADERS).values(fresh).on_conflict_do_nothing())
        found = connection.execute(query).one()
    return found
