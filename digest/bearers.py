"""Whose link it is: a token leads to the delivery it left with, and so to a person, a digest and what the link may do."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select
from sqlmodel import SQLModel

from digest.delivery_ids import PURPOSE, delivery_id, read_delivery_token
from subscribers.tokens import Keys

_TABLE = SQLModel.metadata.tables
DELIVERIES, MAILINGS, EDITIONS, SERVICES = (_TABLE[name] for name in ("delivery", "mailing", "edition", "service"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """
    Who holds a link that we gave. `proof` is the public name of the delivery it came with.

    `subscriber` is None while nobody is subscribed there; `email`, `email_hash` and `used_at` are a service message's.
    """

    mailing: int
    subscriber: int | None
    digest: int
    opened_at: datetime
    proof: str
    email: str = ""
    email_hash: bytes = b""
    used_at: datetime | None = None


def bearer_of(connection: Connection, keys: Keys, token: str, *, purpose: str = PURPOSE) -> Bearer | None:
    """
    The bearer of a token signed for `purpose`; None for every other string, and where what it leads to is gone.

    That there is still such a person is for the caller to see: rows of deliveries outlive them.
    """
    found = read_delivery_token(keys, token, purpose)
    row = connection.execute(_query(*found)).first() if found is not None else None
    if found is None or row is None or row.digest_id is None:
        return None
    named = delivery_id(keys.hash_key, mailing=found[0], number=found[1], opened=int(row.filled_at.timestamp()))
    return Bearer(
        mailing=found[0], subscriber=row.subscriber_id or None, digest=row.digest_id, opened_at=row.filled_at,
        proof=named, email=row.email or "", email_hash=row.email_hash or b"", used_at=row.used_at,
    )  # fmt: skip


def _query(mailing: int, number: int) -> Any:
    row = DELIVERIES.c
    return (
        select(
            func.coalesce(SERVICES.c.subscriber_id, row.subscriber_id).label("subscriber_id"),
            func.coalesce(EDITIONS.c.digest_id, SERVICES.c.digest_id).label("digest_id"),
            MAILINGS.c.filled_at, SERVICES.c.email, SERVICES.c.email_hash, SERVICES.c.used_at,
        )
        .select_from(MAILINGS)
        .join(DELIVERIES, (row.month == MAILINGS.c.month) & (row.mailing_id == MAILINGS.c.id) & (row.number == number))
        .outerjoin(EDITIONS, EDITIONS.c.id == MAILINGS.c.edition_id)
        .outerjoin(SERVICES, SERVICES.c.mailing_id == MAILINGS.c.id)
        .where(MAILINGS.c.id == mailing)
    )  # fmt: skip


def use(connection: Connection, bearer: Bearer, *, subscriber: int, now: datetime) -> None:
    """Note that a service message's link has done what it was for, and for whom."""
    mine = SERVICES.update().where(SERVICES.c.mailing_id == bearer.mailing)
    connection.execute(mine.values(used_at=now, subscriber_id=subscriber))
