"""Addresses nothing may go to, known by their keyed hash alone, and why."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, func, select
from sqlalchemy.dialects import postgresql, sqlite

from subscribers.models import SuppressionRow

HELD = SuppressionRow.metadata.tables["suppression"]

DROPPED, SOFT_BOUNCES, BOUNCE, UNSUBSCRIBE, COMPLAINT = "dropped", "soft bounces", "bounce", "unsubscribe", "complaint"
STRENGTH = {reason: rank for rank, reason in enumerate((DROPPED, SOFT_BOUNCES, BOUNCE, UNSUBSCRIBE, COMPLAINT))}
"""Reasons that come from outside. A stronger one takes the place of a weaker; what a person put there stays as it is."""

REASONS: Mapping[str, str] = {
    "asked": "the person asked for it", BOUNCE: "the address does not exist", COMPLAINT: "reported as spam",
    "blocklisted": "on somebody else's list", "erased": "the person had everything erased",
}  # fmt: skip
"""What people may give as a reason, and what it means."""


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
        if STRENGTH.get(reason, len(STRENGTH)) < STRENGTH.get(wanted[one].reason, -1)
    ]
    if weaker:
        update = HELD.update().where(HELD.c.email_hash == bindparam("hash"))
        connection.execute(update.values(reason=bindparam("why"), note=bindparam("words")), weaker)
    return fresh | {one["hash"] for one in weaker}


def lift(connection: Connection, email_hash: bytes) -> bool:
    """Mail may go there again; False, if it might before."""
    return connection.execute(HELD.delete().where(HELD.c.email_hash == email_hash)).rowcount == 1


def suppression_of(connection: Connection, email_hash: bytes) -> Any | None:
    """Its `reason`, `since` and `note`; None, if mail may go there."""
    return connection.execute(select(HELD).where(HELD.c.email_hash == email_hash)).first()


def newest(connection: Connection, *, limit: int, reason: str = "") -> list[Any]:
    """The latest suppressions, for one reason or any."""
    query = select(HELD).order_by(HELD.c.since.desc(), HELD.c.email_hash).limit(limit)
    return list(connection.execute(query.where(HELD.c.reason == reason) if reason else query))


def tally(connection: Connection) -> dict[str, int]:
    """How many there are, by reason, the most first."""
    number = func.count().label("number")
    query = select(HELD.c.reason, number).group_by(HELD.c.reason).order_by(number.desc(), HELD.c.reason)
    return {reason: count for reason, count in connection.execute(query)}  # noqa: C416  rows, not pairs


def demand_no_address(note: str) -> None:
    """
    Raises:
        ValueError: an address stands in the note, which would outlive the person's wish to be forgotten.
    """
    if re.search(r"\S@\S", note):
        raise ValueError("A note holds no address: it is kept when everything else of the person is erased.")
