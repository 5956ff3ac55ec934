"""The tables of the clock: when a digest appears, the stations of each day, and who runs them."""

from datetime import date, datetime

from sqlalchemy import Index, UniqueConstraint, false
from sqlmodel import Field, SQLModel

from digest.models.columns import json_of
from digest.values import EditionKind, Fallback, Late, Station, StationState
from subscribers.models import one_of


class CadenceRow(SQLModel, table=True):
    """
    When a digest appears, one row for each kind of its editions. Clock times are local, durations are minutes.

    `days` are day names in the week's order (mon,tue), since numbers mean other days to other programs. `local`: each
    reader gets it at their own `at`, or at the hour they chose, between `opens` and `closes`; otherwise all get it at
    one instant, `at` in `zone`. The edition's deadline and its undo window come before it is due. `blackout` holds the
    dates it does not appear on, each with the reason.
    """

    __tablename__ = "cadence"
    __table_args__ = (
        UniqueConstraint("digest_id", "kind", name="uq_cadence_kind"),
        one_of("kind", (EditionKind.DAILY, EditionKind.WEEKLY)),
        one_of("fallback", tuple(Fallback)),
        one_of("late", tuple(Late)),
    )

    id: int | None = Field(default=None, primary_key=True)
    digest_id: int = Field(foreign_key="digest.id", ondelete="CASCADE")
    kind: str = Field(default=EditionKind.DAILY, max_length=16)
    at: str = Field(default="07:00", max_length=5)
    days: str = Field(default="mon,tue,wed,thu,fri,sat,sun", max_length=27)
    zone: str = Field(default="UTC", max_length=64)
    local: bool = False
    # `local` too: waves to come may carry runners-up that the approver allowed
    fresher: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    opens: str = Field(default="06:00", max_length=5)
    closes: str = Field(default="22:00", max_length=5)
    starts_on: date | None = None
    ends_on: date | None = None
    blackout: dict[str, str] = json_of(dict)
    gather_before: int = 60
    deadline_before: int = 15
    remind_before: int = 15  # before the deadline; 0: no reminder
    undo: int = 0  # between the approval and the first message
    fallback: str = Field(default=Fallback.HOLD, max_length=8)
    late_after: int = 180
    late: str = Field(default=Late.SKIP, max_length=8)
    paused_at: datetime | None = None
    revision: int = 1  # counts what was saved, so that a running clock notices
    since: datetime  # what was due before it is none of its business: when it was made, or resumed
    updated_at: datetime


class StationRow(SQLModel, table=True):
    """
    One station of an edition's day and when it is due: what the clock has to do, and has done.

    The occurrence (digest, kind, local date) is named by itself, since its edition may not exist yet, and since a
    changed cadence must find the same row again.
    """

    __tablename__ = "station"
    __table_args__ = (
        UniqueConstraint("digest_id", "kind", "local_date", "station", name="uq_station_occurrence"),
        Index("ix_station_due", "state", "due_at"),
        one_of("station", tuple(Station)),
        one_of("state", tuple(StationState)),
    )

    id: int | None = Field(default=None, primary_key=True)
    digest_id: int = Field(foreign_key="digest.id", ondelete="CASCADE")
    kind: str = Field(max_length=16)
    local_date: date
    station: str = Field(max_length=16)
    due_at: datetime
    state: str = Field(default=StationState.WAITING, max_length=16)
    attempt: int = 0
    ended_at: datetime | None = None
    words: str = ""  # what came of it, for people


class LeaderRow(SQLModel, table=True):
    """
    The right to run the day's stations, one row: one process holds it at a time, and every write of its checks `fence`.

    Times are epoch seconds.
    """

    __tablename__ = "leader"

    id: int | None = Field(default=None, primary_key=True)
    owner: str = Field(default="", max_length=80)
    lease_until: float = 0.0
    fence: int = 0
    seen_at: float = 0.0
