"""The tables of the house itself: what is wrong, what is kept quiet, and who did what."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from digest.models.columns import json_of


class AlarmRow(SQLModel, table=True):
    """
    Something that is wrong, one row for each cause and subject, used again when it comes back (see digest.alarms).

    `gone_at`: since when it is not there any more, which may be for a moment. `ways`: by the name of each way, what was
    told by it: [phase, done, tries, epoch seconds of the next try].
    """

    __tablename__ = "alarm"
    __table_args__ = (UniqueConstraint("cause", "subject", name="uq_alarm_subject"),)

    id: int | None = Field(default=None, primary_key=True)
    cause: str = Field(max_length=32)
    subject: str = Field(max_length=120)
    digest_id: int | None = Field(default=None, foreign_key="digest.id", ondelete="CASCADE")
    words: str = ""
    since: datetime
    gone_at: datetime | None = None
    told_at: datetime | None = None
    ended_at: datetime | None = None
    times: int = 1  # how often it came within a day, each less than a day after the last
    ways: dict[str, list[Any]] = json_of(dict)


class QuietRow(SQLModel, table=True):
    """A cause that nobody is told of for a while, by a person's word."""

    __tablename__ = "alarm_quiet"

    cause: str = Field(max_length=32, primary_key=True)
    until: datetime
    by: str = Field(default="", max_length=120)


class AuditRow(SQLModel, table=True):
    """Who did what to what, and when. Only ever added to."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_subject", "subject", "subject_id"),)

    id: int | None = Field(default=None, primary_key=True)
    at: datetime
    who: str = Field(max_length=120)
    did: str = Field(max_length=64)
    subject: str = Field(max_length=32)
    subject_id: int
    detail: dict[str, Any] = json_of(dict)
