"""Addresses nothing may go to, known by their keyed hash alone, and why."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from subscribers.models import SuppressionRow

HELD = SuppressionRow.metadata.tables["suppression"]

DROPPED, SOFT_BOUNCES, BOUNCE, UNSUBSCRIBE, COMPLAINT = "dropped", "soft bounces", "bounce", "unsubscribe", "complaint"
STRENGTH = {reason: rank for rank, reason in enumerate((DROPPED, SOFT_BOUNCES, BOUNCE, UNSUBSCRIBE, COMPLAINT))}
"""Reasons that come from outside. A stronger one takes the place of a weaker; what a person put there stays as it is."""


class Why(NamedTuple):
    reason: str
    note: str


def suppress(connection: Connection, wanted: Mapping[bytes, Why], *, now: datetime) -> set[bytes]:
    """Suppress addresses by their hashes. Those that were not suppressed before, or for a weaker reason."""
    if not wanted:
        return set()
    insert = (postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert)(HELD)
    rows = [{"email_hash": one, "since": now, **why._asdict()} for one, why in sorted(wanted.items())]
    fresh = set(connection.execute(insert.on_conflict_do_nothing().returning(HELD.c.email_hash), rows).scalars())
    known = select(HELD.c.email_hash, HELD.c.reason).where(HELD.c.email_hash.in_(sorted(wanted.keys() - fresh)))
    weaker = [
        {"hash": one, "why": wanted[one].reason, "words": wanted[one].note}
        for one, reason in connection.execute(known).all()
        if STRENGTH.get(reason, len(STRENGTH)) < STRENGTH[wanted[one].reason]
    ]
    if weaker:
        update = HELD.update().where(HELD.c.email_hash == bindparam("hash"))
        connection.execute(update.values(reason=bindparam("why"), note=bindparam("words")), weaker)
    return fresh | {one["hash"] for one in weaker}
