"""Leaving a digest, resting from it, and coming back: each one statement, in force at the next claim of a batch."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, case, func, or_, select

from subscribers.models import SubscriptionRow

WISHES = SubscriptionRow.metadata.tables["subscription"]

UNDO = timedelta(hours=24)
"""How long leaving can be undone by the link that did it."""

LONGEST_PAUSE = timedelta(days=366)
WHY = ("often", "much", "dull", "other")
"""Why somebody left, if they care to say: too often, too much of it, not their matter, another reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """
    How a person stands with one digest, over all channels: active, paused, pending or left; empty: never asked for it.

    `since` is when they agreed to it. `paused_until` is only there while a pause is running.
    """

    state: str = ""
    since: datetime | None = None
    paused_until: datetime | None = None
    left_at: datetime | None = None

    def can_undo(self, now: datetime) -> bool:
        return self.state == "left" and self.left_at is not None and now - self.left_at <= UNDO


def standing_with(connection: Connection, subscriber: int, digest: int, *, now: datetime) -> Standing:
    """The liveliest of the person's wishes for the digest. A pause that is over is none."""
    columns = (WISHES.c.state, WISHES.c.consent_at, WISHES.c.paused_until, WISHES.c.left_at)
    rows = connection.execute(select(*columns).where(*_mine(subscriber, digest))).all()
    found = [_standing(row, now) for row in rows]
    order = ("active", "paused", "pending", "left")
    return min(found, key=lambda one: (order.index(one.state), -(one.left_at or now).timestamp()), default=Standing())


def _standing(row: Any, now: datetime) -> Standing:
    rests = row.state == "paused" and (row.paused_until is None or row.paused_until > now)
    state = "active" if row.state == "paused" and not rests else row.state
    until = row.paused_until if rests else None
    return Standing(state=state, since=row.consent_at, paused_until=until, left_at=row.left_at)


def leave(
    connection: Connection, subscriber: int, digest: int, *, now: datetime, asked_at: datetime | None = None
) -> int:
    """
    Leave a digest on every channel; how many wishes ended. Asked again, it changes nothing.

    `asked_at`, of a word that took its time: what was wished for again since then goes on.
    """
    going = WISHES.update().where(*_mine(subscriber, digest), WISHES.c.state != "left")
    if asked_at is not None:
        for at in (WISHES.c.consent_at, WISHES.c.confirmed_at):
            going = going.where(or_(at.is_(None), at <= asked_at))
    return int(connection.execute(going.values(state="left", left_at=now)).rowcount)


def undo(connection: Connection, subscriber: int, digest: int, *, now: datetime) -> int:
    """Take back the last leaving, if it is not longer ago than UNDO; how many wishes live again."""
    last = select(func.max(WISHES.c.left_at)).where(*_mine(subscriber, digest)).scalar_subquery()
    gone = (WISHES.c.state == "left", WISHES.c.left_at == last, WISHES.c.left_at >= now - UNDO)
    back = WISHES.update().where(*_mine(subscriber, digest), *gone)
    state = case((WISHES.c.paused_until > now, "paused"), else_="active")
    return int(connection.execute(back.values(state=state, left_at=None, left_why="")).rowcount)


def say_why(connection: Connection, subscriber: int, digest: int, why: str, *, now: datetime) -> None:
    """Keep one of WHY with a leaving that is as fresh as UNDO; any other word is not kept."""
    if why in WHY:
        gone = (WISHES.c.state == "left", WISHES.c.left_at >= now - UNDO)
        connection.execute(WISHES.update().where(*_mine(subscriber, digest), *gone).values(left_why=why))


def whys(connection: Connection, digest: int) -> dict[str, int]:
    """How many readers have left a digest, by what they said; empty for those who said nothing. On two channels is once."""
    gone = (WISHES.c.digest_id == digest, WISHES.c.state == "left")
    query = select(WISHES.c.left_why, func.count(WISHES.c.subscriber_id.distinct())).where(*gone)
    counts = {why: number for why, number in connection.execute(query.group_by(WISHES.c.left_why))}  # noqa: C416
    return {why: counts.get(why, 0) for why in (*WHY, "")}


def pause(connection: Connection, subscriber: int, digest: int, until: datetime) -> int:
    """Rest from a digest on every channel until then; how many wishes rest."""
    living = or_(WISHES.c.state == "active", WISHES.c.state == "paused")
    rest = WISHES.update().where(*_mine(subscriber, digest), living)
    return int(connection.execute(rest.values(state="paused", paused_until=until)).rowcount)


def resume(connection: Connection, subscriber: int, digest: int) -> int:
    """End a pause; how many wishes it had."""
    resting = WISHES.update().where(*_mine(subscriber, digest), WISHES.c.state == "paused")
    return int(connection.execute(resting.values(state="active", paused_until=None)).rowcount)


def pause_ends(day: date, zone: str, *, now: datetime) -> datetime:
    """
    The beginning of that day where the person is.

    Raises:
        ValueError: the day is not after today there, or more than a year away.
    """
    here = ZoneInfo(zone)
    today = now.astimezone(here).date()
    if not today < day <= today + LONGEST_PAUSE:
        raise ValueError("a pause ends on a day after today, within a year")
    return datetime.combine(day, time(), here)


def _mine(subscriber: int, digest: int) -> tuple[Any, ...]:
    return WISHES.c.subscriber_id == subscriber, WISHES.c.digest_id == digest
