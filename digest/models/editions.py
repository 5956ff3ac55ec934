"""The tables of digests and their editions: what stands in each, and every version of it."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, Column, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from digest.models.columns import ZERO, json_of
from digest.values import EditionKind, EditionState, Fallback
from subscribers.models import one_of


class DigestRow(SQLModel, table=True):
    """A standing product. It cannot be sent without From, Reply-To, postal address, wordmark and colours."""

    __tablename__ = "digest"
    __table_args__ = (one_of("fallback", tuple(Fallback)), one_of("short", ("send", "skip")))

    id: int | None = Field(default=None, primary_key=True)
    slug: str = Field(max_length=64, unique=True)
    name: str = Field(max_length=120)
    section: str = Field(default="Global", max_length=80)
    language: str = Field(default="en", max_length=16)
    zone: str = Field(default="UTC", max_length=64)
    from_name: str = Field(default="", max_length=120)
    from_address: str = Field(default="", max_length=320)
    reply_to: str = Field(default="", max_length=320)
    postal_address: str = Field(default="", max_length=400)
    wordmark: str = Field(default="", max_length=120)
    colours: dict[str, str] = json_of(dict)
    look: str = Field(default="standard", max_length=32)
    channels: list[str] = json_of(list)
    segments: list[str] = json_of(list)  # names, first match decides a reader's variant; empty: everyone
    share: list[str] = json_of(list)
    utm: dict[str, str] = json_of(dict)
    image_hosts: list[str] = json_of(list)
    rules: dict[str, Any] = json_of(dict)  # overrides of values.Rules
    size: int = 8
    minimum: int = 3
    short: str = Field(default="send", max_length=8)
    deadline: str = Field(default="06:45", max_length=5)  # local time of `zone`
    fallback: str = Field(default=Fallback.HOLD, max_length=8)
    editors: list[str] = Field(  # addresses that are told of its drafts
        default_factory=list, sa_column=Column(JSON, nullable=False, server_default=text("'[]'"))
    )
    created_at: datetime


class EditionRow(SQLModel, table=True):
    """One dated occurrence: unique by digest, kind, local date and name, so that no clock can make a second one."""

    __tablename__ = "edition"
    __table_args__ = (
        UniqueConstraint("digest_id", "kind", "local_date", "name", name="uq_edition_occurrence"),
        one_of("kind", tuple(EditionKind)),
        one_of("state", tuple(EditionState)),
        one_of("fallback", tuple(Fallback)),
    )

    id: int | None = Field(default=None, primary_key=True)
    digest_id: int = Field(foreign_key="digest.id")
    kind: str = Field(default=EditionKind.DAILY, max_length=16)
    local_date: date
    name: str = Field(default="", max_length=80)
    state: str = Field(default=EditionState.DRAFT, max_length=16)
    version: int = 1
    subject: str = Field(default="", max_length=250)
    preheader: str = Field(default="", max_length=250)
    intro: str = Field(default="", max_length=1000)
    due_at: datetime | None = None  # when its first reader is due; None: when it is approved
    late_by: int = Field(default=0, sa_column_kwargs=ZERO)  # seconds it was assembled, or released, too late
    deadline_at: datetime
    fallback: str = Field(default=Fallback.HOLD, max_length=8)
    corrects_id: int | None = Field(default=None, foreign_key="edition.id")
    reason: str = ""  # why held, skipped or cancelled
    content_hash: str = Field(default="", max_length=64)
    approved_by: str = Field(default="", max_length=120)
    approved_at: datetime | None = None
    sent_at: datetime | None = None
    created_at: datetime


class EditionVersionRow(SQLModel, table=True):
    """What an edition said at one moment, whole, with its hash: approval binds to it, replay and corrections name it."""

    __tablename__ = "edition_version"
    __table_args__ = (UniqueConstraint("edition_id", "number", name="uq_edition_version_number"),)

    id: int | None = Field(default=None, primary_key=True)
    edition_id: int = Field(foreign_key="edition.id", ondelete="CASCADE")
    number: int
    content: dict[str, Any] = json_of(dict)
    content_hash: str = Field(max_length=64)
    by: str = Field(default="", max_length=120)
    at: datetime


class SlotRow(SQLModel, table=True):
    """
    A place in an edition. kicker, headline and teaser are the editor's wording; empty means the story's own.

    Position 0 is no place any more: the story stood in an earlier version that has readers, and so it counts as told.
    """

    __tablename__ = "slot"
    __table_args__ = (UniqueConstraint("edition_id", "story_id", name="uq_slot_story"),)

    id: int | None = Field(default=None, primary_key=True)
    edition_id: int = Field(foreign_key="edition.id", ondelete="CASCADE")
    story_id: int = Field(foreign_key="story.id")
    cluster_id: int | None = Field(default=None, foreign_key="cluster.id", ondelete="SET NULL")
    position: int
    kicker: str = Field(default="", max_length=80)
    headline: str = Field(default="", max_length=500)
    teaser: str = ""
    topic: str = Field(default="", max_length=64)
    score: float = 0.0
    signals: list[Any] = json_of(list)
    reasons: list[str] = json_of(list)
    pinned: bool = False
    update: bool = False
