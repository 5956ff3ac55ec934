"""
Sign-up with proof: a wish for a digest comes in from the web, its mailbox is asked once a day, and its word makes it true.

Nothing here looks whether an address is known, subscribed or suppressed: every one goes the same way, so that neither the
answer nor its time tells them apart. What may not be sent to is known by the ledger, when the message would leave.
"""

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from hashlib import blake2b
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, Literal

from sqlalchemy import Connection, case, select
from sqlalchemy.dialects import postgresql, sqlite

from subscribers.addresses import Address
from subscribers.models import SubscriberRow
from subscribers.tokens import Keys, address_hash

PEOPLE = SubscriberRow.metadata.tables["subscriber"]
WISHES = SubscriberRow.metadata.tables["subscription"]
SIGNUPS = SubscriberRow.metadata.tables["signup"]
WORDINGS = SubscriberRow.metadata.tables["wording"]
COUNTS = SubscriberRow.metadata.tables["signup_count"]

KEPT = timedelta(days=7)
"""How long a sign-up waits for its mailbox's word, where nothing else is set."""

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BRAKE = b"every sign-up..."  # the one count that is nobody's


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageWanted:
    """A service message that somebody is to be sent; the door hands it to the press. `kind` as in the table service."""

    kind: str
    email: str
    email_hash: bytes
    digest_id: int
    language: str
    subscriber_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """What a person agreed to, word for word, and its version."""

    words: str
    version: str

    @classmethod
    def of(cls, words: str, language: str) -> "Wording":
        """The version is made from the words, so that no edit of them can go without a new one."""
        return cls(words=words, version=f"{language}-{blake2b(words.encode(), digest_size=8).hexdigest()}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What came in, read and cleaned. `source` is where it was asked, `block` the network it came from."""

    address: Address
    digest_id: int
    language: str
    zone: str
    source: str
    wording: Wording
    block: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Sign-ups an hour: from one block of addresses, and confirmations in all before the brake."""

    block: int = 20
    brake: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """
    What becomes of a sign-up. `refused` depends on who asks and on how many did, never on the address.

    `tripped`: this one made the brake grip, and somebody must be told.
    """

    wanted: MessageWanted | None = None
    refused: Literal["", "block", "brake"] = ""
    tripped: bool = False


def ask(connection: Connection, asked: Asked, *, keys: Keys, limits: Limits, now: datetime) -> Answer:
    """Keep a sign-up, and say whether its mailbox is to be asked: once in 24 hours, however often and for whatever."""
    tally, mailbox = partial(_tally, connection, now=now), _key(keys, "mailbox", asked.address.key)
    if tally(_key(keys, "block", asked.block), HOUR) > limits.block:
        return Answer(refused="block")
    if braked(connection, limits, now=now):
        return Answer(refused="brake", tripped=tally(BRAKE, HOUR) == limits.brake + 1)
    email_hash = address_hash(keys.hash_key, asked.address.key)
    _keep(connection, asked, email_hash, now)
    if tally(mailbox, DAY) > 1:
        return Answer()
    tally(BRAKE, HOUR)
    return Answer(
        wanted=MessageWanted(
            kind="confirm", email=asked.address.mailbox, email_hash=email_hash, digest_id=asked.digest_id,
            language=asked.language,
        )
    )  # fmt: skip


def may_write(connection: Connection, keys: Keys, why: str, email_key: str, *, most: int, now: datetime) -> bool:
    """Whether one more message of that sort (at most 16 letters) may go to the mailbox: `most` in 24 hours."""
    return _tally(connection, _key(keys, why, email_key), DAY, now=now) <= most


def braked(connection: Connection, limits: Limits, *, now: datetime) -> bool:
    """Whether so many were asked within the hour that nobody more is."""
    query = select(COUNTS.c.count).where(COUNTS.c.key == BRAKE, COUNTS.c.since > now - HOUR)
    return int(connection.execute(query.with_for_update()).scalar() or 0) >= limits.brake


def block_of(client: str) -> str:
    """The block an address stands for: an IPv4 address's /24, an IPv6 address's /64. What is no address is its own."""
    try:
        address = ip_address(client.partition("%")[0])
    except ValueError:
        return client
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped
        return block_of(str(inner)) if inner else str(ip_network((address, 64), strict=False))
    return str(ip_network((address, 24), strict=False))


def _key(keys: Keys, what: str, text: str) -> bytes:
    return blake2b(text.encode("utf-8", "replace"), key=keys.hash_key, digest_size=16, person=what.encode()).digest()


def _upsert(connection: Connection, table: Any) -> Any:
    return (postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert)(table)


def _tally(connection: Connection, key: bytes, window: timedelta, *, now: datetime) -> int:
    """Count one more, and how many that makes since the window began. A window that is over begins anew."""
    over = COUNTS.c.since <= now - window
    count = _upsert(connection, COUNTS).values(key=key, since=now, count=1)
    again = {"since": case((over, now), else_=COUNTS.c.since), "count": case((over, 1), else_=COUNTS.c.count + 1)}
    return int(
        connection.execute(
            count.on_conflict_do_update(index_elements=[COUNTS.c.key], set_=again).returning(COUNTS.c.count)
        ).scalar_one()
    )


def keep_wording(connection: Connection, wording: Wording, *, now: datetime) -> None:
    """Keep the words that somebody agrees to, unless their version is there."""
    row = {"version": wording.version, "words": wording.words[:1000], "since": now}
    connection.execute(_upsert(connection, WORDINGS).values(row).on_conflict_do_nothing())


def _keep(connection: Connection, asked: Asked, email_hash: bytes, now: datetime) -> None:
    keep_wording(connection, asked.wording, now=now)
    row = {
        "email": asked.address.mailbox, "email_key": asked.address.key, "email_hash": email_hash,
        "digest_id": asked.digest_id, "language": asked.language, "zone": asked.zone, "asked_at": now,
        "source": asked.source[:200], "wording": asked.wording.version,
    }  # fmt: skip
    wish = [SIGNUPS.c.email_key, SIGNUPS.c.digest_id]
    connection.execute(_upsert(connection, SIGNUPS).values(row).on_conflict_do_update(index_elements=wish, set_=row))


# the mailbox's word -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """Whose wishes have become true, and which digests they are for."""

    subscriber_id: int
    digests: tuple[int, ...]


def pending(connection: Connection, email_hash: bytes, *, now: datetime, kept: timedelta = KEPT) -> list[int]:
    """The digests that wait for this mailbox's word."""
    row = SIGNUPS.c
    query = select(row.digest_id).where(row.email_hash == email_hash, row.asked_at > now - kept)
    return list(connection.execute(query.order_by(row.digest_id)).scalars())


def confirm(
    connection: Connection,
    email_hash: bytes,
    digests: Collection[int],
    *,
    proof: str,
    now: datetime,
    kept: timedelta = KEPT,
) -> Confirmed | None:
    """
    Make those of the mailbox's sign-ups true that its owner was shown and said yes to.

    None when nothing waits any more. Who had left comes back; what a person has chosen before stays. `proof` names the
    message whose link was used, and is kept with the consent.
    """
    row = SIGNUPS.c
    mine = (row.email_hash == email_hash, row.digest_id.in_(sorted(digests)), row.asked_at > now - kept)
    # taken out by one statement, so that of two clicks at once only one makes anything
    rows = connection.execute(SIGNUPS.delete().where(*mine).returning(*row)).all()
    if not rows:
        return None
    person = _person(connection, rows[0], now)
    for one in rows:
        consent = {
            "consent_at": one.asked_at, "consent_source": one.source, "consent_wording": one.wording,
            "consent_proof": proof, "confirmed_at": now,
        }  # fmt: skip
        subscribe(connection, person, one.digest_id, consent)
    return Confirmed(subscriber_id=person, digests=tuple(sorted(one.digest_id for one in rows)))


def subscribe(connection: Connection, subscriber: int, digest: int, consent: Mapping[str, Any]) -> None:
    """A wish for mail, made or taken up again. A pause that is running goes on."""
    fresh = {"subscriber_id": subscriber, "digest_id": digest, "channel": "email", "device": "", "state": "active"}
    row = WISHES.c
    back = {
        "state": case((row.state == "paused", "paused"), else_="active"), "left_at": None, "left_why": "", **consent,
    }  # fmt: skip
    wish = [row.subscriber_id, row.digest_id, row.channel, row.device]
    insert = _upsert(connection, WISHES).values(**fresh, **consent)
    connection.execute(insert.on_conflict_do_update(index_elements=wish, set_=back))


def _person(connection: Connection, signup: Any, now: datetime) -> int:
    row = {
        "public_id": secrets.token_hex(16), "email": signup.email, "email_key": signup.email_key,
        "email_hash": signup.email_hash, "name": "", "language": signup.language, "zone": signup.zone,
        "attributes": {}, "joined_at": now, "updated_at": now,
    }  # fmt: skip
    connection.execute(_upsert(connection, PEOPLE).values(row).on_conflict_do_nothing())
    query = select(PEOPLE.c.id).where(PEOPLE.c.email_key == signup.email_key)
    return int(connection.execute(query).scalar_one())


def forget(connection: Connection, email_hashes: Sequence[bytes]) -> None:
    """Remove what waits for the word of these mailboxes: for erasure."""
    connection.execute(SIGNUPS.delete().where(SIGNUPS.c.email_hash.in_(email_hashes)))
