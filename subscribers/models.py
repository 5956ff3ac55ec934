"""The tables of people: subscribers, what they asked for and did, saved segments, and addresses nothing may go to."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Column, ForeignKey, Index, LargeBinary, UniqueConstraint, text
from sqlmodel import Field, SQLModel

NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
SQLModel.metadata.naming_convention = NAMING  # before the first table: a migration can only drop what has a name

SUBSCRIPTION_STATES = ("pending", "active", "paused", "left")
CHANNELS = ("email", "push")
ACTIVITIES = ("opened", "clicked")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
FREQUENCIES = ("every", "weekdays", "days", "weekly")
EMPTY = {"server_default": text("''")}
"""For columns that came later: rows that were there before need a value."""


def one_of(column: str, values: tuple[str, ...]) -> CheckConstraint:
    """The database's own guard: SQLModel does not validate a table's values."""
    return CheckConstraint(f"{column} IN ({', '.join(repr(str(value)) for value in values)})", name=column)


class SubscriberRow(SQLModel, table=True):
    """A person. `email_key` is the address as compared (see subscribers.addresses); `email_hash` is keyed and outlives erasure."""

    __tablename__ = "subscriber"

    id: int | None = Field(default=None, primary_key=True)
    public_id: str = Field(max_length=32, unique=True)
    email: str = Field(max_length=320)
    email_key: str = Field(max_length=320, unique=True)
    email_hash: bytes = Field(sa_column=Column(LargeBinary(16), nullable=False, unique=True))
    name: str = Field(default="", max_length=200)
    language: str = Field(default="en", max_length=16)
    zone: str = Field(default="UTC", max_length=64)
    country: str | None = Field(default=None, max_length=2)
    plan: str | None = Field(default=None, max_length=64)
    attributes: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    joined_at: datetime
    updated_at: datetime
    tracked_since: datetime | None = (
        None  # since when their opens and clicks are counted, as they agreed; None: they did not agree
    )
    chosen_at: datetime | None = None  # when they last set their own preferences: an import leaves those alone then


class SubscriberTopicRow(SQLModel, table=True):
    """A topic a person wants more (1) or less (-1) of; named as by `topic_key`."""

    __tablename__ = "subscriber_topic"

    subscriber_id: int = Field(foreign_key="subscriber.id", primary_key=True, ondelete="CASCADE")
    topic: str = Field(max_length=64, primary_key=True)
    wish: int = 1


def topic_key(words: str) -> str:
    """A topic's one spelling: "Latin America" is latin-america."""
    return words.strip().lower().replace(" ", "-")


class ActivityRow(SQLModel, table=True):
    """
    How often a person opened or clicked on one day (UTC): counts alone, of those who agreed, under personal tracking.

    Kept in the order of its key, so that what one person did lies together, and a segment finds it in one step.
    """

    __tablename__ = "activity"
    __table_args__ = (one_of("kind", ACTIVITIES), {"sqlite_with_rowid": False})

    subscriber_id: int = Field(foreign_key="subscriber.id", primary_key=True, ondelete="CASCADE")
    kind: str = Field(max_length=8, primary_key=True)
    day: date = Field(primary_key=True)
    number: int


class DeedRow(SQLModel, table=True):
    """
    One thing a person did with an edition, of those who agreed, under personal tracking: gone after DIGEST_TRACKING_DAYS.

    `link` is the number of the link that was followed, -1 for an open. `machine`: not their own doing, by `why`. `source` is
    empty for what we saw ourselves, else who told us. `at` is in epoch seconds.
    """

    __tablename__ = "deed"
    __table_args__ = (one_of("kind", ACTIVITIES), Index("ix_deed_edition", "edition_id", "kind"))

    id: int | None = Field(default=None, primary_key=True)
    subscriber_id: int = Field(foreign_key="subscriber.id", index=True, ondelete="CASCADE")
    edition_id: int
    kind: str = Field(max_length=8)
    link: int
    at: float = Field(index=True)
    machine: bool
    why: str = Field(max_length=16)
    source: str = Field(max_length=16)


class TrackingConsentRow(SQLModel, table=True):
    """That a person agreed to be counted by name: when, where, to which words, and by which delivery's link."""

    __tablename__ = "tracking_consent"

    subscriber_id: int = Field(foreign_key="subscriber.id", primary_key=True, ondelete="CASCADE")
    at: datetime
    source: str = Field(max_length=200)
    wording: str = Field(max_length=64)
    proof: str = Field(max_length=40)


class SubscriptionRow(SQLModel, table=True):
    """
    A person's wish for one digest on one channel, with proof of consent. `device` is empty for email.

    `days` are day names in the week's order (mon,wed), for the frequency "days" alone. `hour` is local time (07:30);
    empty: when the edition appears. `consent_proof` is the delivery whose link was used to confirm.
    """

    __tablename__ = "subscription"
    __table_args__ = (
        UniqueConstraint("subscriber_id", "digest_id", "channel", "device", name="uq_subscription_wish"),
        Index("ix_subscription_audience", "digest_id", "channel", "subscriber_id", "device"),
        one_of("state", SUBSCRIPTION_STATES),
        one_of("channel", CHANNELS),
        one_of("frequency", FREQUENCIES),
    )

    id: int | None = Field(default=None, primary_key=True)
    subscriber_id: int = Field(foreign_key="subscriber.id", ondelete="CASCADE")
    digest_id: int = Field(foreign_key="digest.id", ondelete="CASCADE")
    channel: str = Field(max_length=16)
    device: str = Field(default="", max_length=64)
    state: str = Field(default="active", max_length=16)
    paused_until: datetime | None = None
    consent_at: datetime | None = None
    consent_source: str = Field(default="", max_length=200)
    consent_wording: str = Field(default="", max_length=64)
    confirmed_at: datetime | None = None
    left_at: datetime | None = None
    frequency: str = Field(default="every", max_length=16, sa_column_kwargs={"server_default": text("'every'")})
    days: str = Field(default="", max_length=27, sa_column_kwargs=EMPTY)
    hour: str = Field(default="", max_length=5, sa_column_kwargs=EMPTY)
    consent_proof: str = Field(default="", max_length=40, sa_column_kwargs=EMPTY)
    left_why: str = Field(default="", max_length=16, sa_column_kwargs=EMPTY)


class SignupRow(SQLModel, table=True):
    """Somebody asked for a digest at an address, and its owner has yet to confirm. Removed after a week."""

    __tablename__ = "signup"
    __table_args__ = (UniqueConstraint("email_key", "digest_id", name="uq_signup_wish"),)

    id: int | None = Field(default=None, primary_key=True)
    email: str = Field(max_length=320)
    email_key: str = Field(max_length=320)
    email_hash: bytes = Field(sa_column=Column(LargeBinary(16), nullable=False))
    digest_id: int = Field(foreign_key="digest.id", ondelete="CASCADE")
    language: str = Field(max_length=16)
    zone: str = Field(max_length=64)
    asked_at: datetime = Field(index=True)
    source: str = Field(max_length=200)
    wording: str = Field(max_length=64)


class WordingRow(SQLModel, table=True):
    """A sentence that readers consented to, kept under its version for as long as anybody's consent names it."""

    __tablename__ = "wording"

    version: str = Field(max_length=64, primary_key=True)
    words: str = Field(max_length=1000)
    since: datetime


class CountRow(SQLModel, table=True):
    """How often something was asked since its window began. `key` is a keyed hash: of a mailbox, or of a network's block."""

    __tablename__ = "signup_count"

    key: bytes = Field(sa_column=Column(LargeBinary(16), primary_key=True))
    since: datetime = Field(index=True)
    count: int


class SegmentRow(SQLModel, table=True):
    """A saved rule over subscribers, in the words of subscribers.segments."""

    __tablename__ = "segment"

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=80, unique=True)
    rule: str = Field(max_length=2000)
    description: str = Field(default="", max_length=400)
    updated_at: datetime


class SuppressionRow(SQLModel, table=True):
    """An address nothing may go to, known by its keyed hash alone, and why."""

    __tablename__ = "suppression"

    email_hash: bytes = Field(sa_column=Column(LargeBinary(16), primary_key=True))
    reason: str = Field(max_length=32)
    since: datetime
    note: str = Field(default="", max_length=400)


class ImportRow(SQLModel, table=True):
    """
    How far an import has come that is not finished: written with the rows it counts, gone when it is.

    `key` is a hash of the file's content and of all that was asked for, so that only the same import goes on.
    """

    __tablename__ = "import_run"

    key: bytes = Field(sa_column=Column(LargeBinary(16), primary_key=True))
    began_at: datetime
    lines: int
    counts: dict[str, int] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))


class ImportBlockRow(SQLModel, table=True):
    """
    What one block of such an import met, up to and with the line `lines`; gone with the import, so that a later block finds
    all before it without reading the file for them again.

    `met`: for each reader half of the keyed hash and the line. `refused`: the first and the last line of what was refused.
    Both are pairs of signed 64-bit numbers, little-endian.
    """

    __tablename__ = "import_block"

    key: bytes = Field(
        sa_column=Column(LargeBinary(16), ForeignKey("import_run.key", ondelete="CASCADE"), primary_key=True)
    )
    lines: int = Field(primary_key=True)
    met: bytes
    refused: bytes
