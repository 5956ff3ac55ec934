"""The tables of the ledger: mailings, service messages, batches, deliveries, and what came back of them."""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, SQLModel

from digest.models.columns import ZERO
from digest.values import BatchState, DeliveryState, MailingState, ServiceKind
from subscribers.models import EMPTY, one_of

TRACKING = ("off", "aggregate", "personal")


class MailingRow(SQLModel, table=True):
    """What is delivered. `candidates` was counted by a query of its own before the fill; the books must balance with it."""

    __tablename__ = "mailing"
    __table_args__ = (
        UniqueConstraint("edition_id", name="uq_mailing_edition"),
        Index("ix_mailing_kind", "kind", "state"),  # every second somebody asks which service messages are under way
        one_of("state", tuple(MailingState)),
        one_of("kind", ("edition", "service")),
        one_of("tracking", TRACKING),
    )

    id: int | None = Field(default=None, primary_key=True)
    month: int
    kind: str = Field(default="edition", max_length=16)
    edition_id: int | None = Field(default=None, foreign_key="edition.id")
    version: int = 1
    state: str = Field(default=MailingState.SENDING, max_length=16)
    candidates: int = 0
    generation: int = 1
    date: str = Field(max_length=64)  # RFC 5322, the same in every message and on every attempt
    expires_at: datetime
    filled_at: datetime
    finished_at: datetime | None = None
    reason: str = Field(default="", sa_column_kwargs=EMPTY)  # why it is paused
    # what its mails were filled for, the same on every attempt; what is counted is decided when somebody opens them
    tracking: str = Field(default="off", max_length=9, sa_column_kwargs={"server_default": text("'off'")})


class ServiceRow(SQLModel, table=True):
    """
    A mailing that is a service message: one person, one mail, and what its link may do (see digest.services).

    The address is the message's own, for nobody may be subscribed there yet. `subscriber_id` is None until somebody is.
    """

    __tablename__ = "service"
    __table_args__ = (one_of("kind", tuple(ServiceKind)), Index("ix_service_hash", "email_hash"))

    mailing_id: int = Field(foreign_key="mailing.id", primary_key=True, ondelete="CASCADE")
    kind: str = Field(max_length=16)
    digest_id: int = Field(foreign_key="digest.id", ondelete="CASCADE")
    subscriber_id: int | None = Field(default=None, foreign_key="subscriber.id", ondelete="CASCADE", index=True)
    email: str = Field(max_length=320)
    email_hash: bytes = Field(sa_column=Column(LargeBinary(16), nullable=False))
    opened_at: datetime = Field(index=True)
    resent_at: datetime | None = None
    used_at: datetime | None = None


class BatchRow(SQLModel, table=True):
    """A stretch of a mailing's deliveries that one worker takes together. Times are epoch seconds."""

    __tablename__ = "batch"
    __table_args__ = (
        Index("ix_batch_due", "state", "priority", "not_before", "id"),
        Index("ix_batch_mailing", "mailing_id", "state"),
        one_of("state", tuple(BatchState)),
    )

    id: int | None = Field(default=None, primary_key=True)
    mailing_id: int = Field(foreign_key="mailing.id", ondelete="CASCADE")
    month: int
    proof_id: int = Field(foreign_key="proof.id")
    channel: str = Field(max_length=16)
    transport: str = Field(max_length=32)
    first_number: int
    last_number: int
    state: str = Field(default=BatchState.READY, max_length=16)
    priority: int = 0  # lower goes first
    not_before: float = 0.0  # the instant of its wave; 0: at once
    owner: str = Field(default="", max_length=80)
    lease_until: float = 0.0
    fence: int = 0
    attempt: int = 0
    crashes: int = Field(
        default=0, sa_column_kwargs=ZERO
    )  # of a worker that had this one delivery in hand, or few more
    stamp: int = Field(
        default=0, sa_type=BigInteger, sa_column_kwargs=ZERO
    )  # when it last marked: microseconds, growing


class SenderRow(SQLModel, table=True):
    """
    The right to send, one row: on SQLite one process holds it at a time.

    `stamp` is the newest marker this database knows; a larger one in the file beside it means that the database is an
    older copy, and `restored_at` keeps that until a person has decided.
    """

    __tablename__ = "sender"

    id: int | None = Field(default=None, primary_key=True)
    owner: str = Field(default="", max_length=80)
    lease_until: float = 0.0
    stamp: int = Field(default=0, sa_type=BigInteger)
    restored_at: datetime | None = None


class DeliveryRow(SQLModel, table=True):
    """
    One mailing to one subscriber on one channel at one address or device.

    The month leads the key so that PostgreSQL can partition by it. `number` counts from 1 within the mailing; a
    batch is a stretch of numbers. `target` is the address's keyed hash (hex) or the device id: no address is kept
    here. Times are epoch seconds.
    """

    __tablename__ = "delivery"
    __table_args__ = (
        PrimaryKeyConstraint("month", "mailing_id", "number", name="pk_delivery"),
        UniqueConstraint("month", "mailing_id", "subscriber_id", "channel", "target", name="uq_delivery_once"),
        Index(
            "ix_delivery_deferred",
            "mailing_id",
            "next_at",
            sqlite_where=text("state = 'deferred'"),
            postgresql_where=text("state = 'deferred'"),
        ),
        Index(
            "ix_delivery_ambiguous",
            "mailing_id",
            "number",
            sqlite_where=text("state = 'ambiguous'"),
            postgresql_where=text("state = 'ambiguous'"),
        ),
        # written out: an IN of this length is slower in SQLite by a third of the whole fill
        CheckConstraint(" OR ".join(f"state = '{state}'" for state in DeliveryState), name="state"),
        {"sqlite_with_rowid": False},
    )

    month: int
    mailing_id: int = Field(sa_type=BigInteger)
    number: int = Field(sa_type=BigInteger)
    subscriber_id: int = Field(sa_type=BigInteger)
    channel: str = Field(max_length=16)
    target: str = Field(max_length=64)
    proof_id: int
    batch_id: int | None = Field(default=None, sa_type=BigInteger)
    state: str = Field(max_length=20)
    reason: str = ""
    attempt: int = 0
    next_at: float | None = None
    handed_at: float | None = None
    updated_at: float = 0.0


class EventRow(SQLModel, table=True):
    """
    What a provider or a mail server told later about one delivery, or about one we do not know (`number` is None).

    `key` is a hash of delivery, event, moment and link, since providers tell everything several times. `target` is the
    address's keyed hash in hex. `delivery` is its opaque id, only while we do not know it: such rows are kept aside.
    Nothing here names a reader. Times are epoch seconds.
    """

    __tablename__ = "event"
    __table_args__ = (
        Index("ix_event_target", "target", "kind", "at"),
        Index("ix_event_delivery", "mailing_id", "number"),
        Index("ix_event_heard", "heard_at"),
        Index("ix_event_aside", "id", sqlite_where=text("number IS NULL"), postgresql_where=text("number IS NULL")),
        Index(  # few, so that they are counted in a moment, and those that are not cost nothing
            "ix_event_returned",
            "mailing_id",
            "kind",
            "number",
            sqlite_where=text("kind = 'bounced' OR kind = 'complained'"),
            postgresql_where=text("kind = 'bounced' OR kind = 'complained'"),
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    key: bytes = Field(sa_column=Column(LargeBinary(16), nullable=False, unique=True))
    provider: str = Field(max_length=32)
    kind: str = Field(max_length=16)
    at: float
    heard_at: float
    month: int | None = None
    mailing_id: int | None = Field(default=None, sa_type=BigInteger)
    number: int | None = Field(default=None, sa_type=BigInteger)
    target: str = Field(default="", max_length=64)
    delivery: str = Field(default="", max_length=40, sa_column_kwargs=EMPTY)
    permanent: bool = False
    machine: bool = False
    link: str = Field(default="", max_length=64)
    reason: str = Field(default="", max_length=200)
