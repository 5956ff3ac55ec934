"""
How mailings stand at a glance: by their batches, of which there are a few thousand where deliveries are a million.

The numbers of deliveries are as near as batches tell them: one that was tried again is counted with each of its batches.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, case, func, select, text

from digest.deliveries.claims import IN_HAND, SERVICE
from digest.deliveries.tables import AMBIGUOUS, BATCHES, DELIVERIES, EVENTS, MAILINGS
from digest.values import BatchState, MailingState

MINUTE = 60.0
LARGEST = 1000  # deliveries in a batch: what was tried again may lie far apart
RETURNED = {"bounced": text("event.kind = 'bounced'"), "complained": text("event.kind = 'complained'")}
"""Spelled out, as in tables: by them the partial index is used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """
    One edition's mailing. `handed` of its candidates are done with, `rate` of them a second within the last minute.

    `due`: batches that could leave now; `stirred`: epoch seconds when something last left, or could have for the first time.
    """

    mailing: int
    edition: int
    state: str
    reason: str
    candidates: int
    handed: int
    due: int
    stirred: float
    rate: float

    @property
    def left(self) -> int:
        return self.candidates - self.handed if self.state in {MailingState.SENDING, MailingState.PAUSED} else 0

    @property
    def seconds_left(self) -> float | None:
        return self.left / self.rate if self.rate else None


def glances(connection: Connection, editions: Collection[int], *, now: datetime) -> list[Glance]:
    """The mailings of these editions."""
    at = now.timestamp()
    size = case((BATCHES.c.last_number - BATCHES.c.first_number >= LARGEST, LARGEST),
                else_=BATCHES.c.last_number - BATCHES.c.first_number + 1)  # fmt: skip
    done, open_now = BATCHES.c.state == BatchState.DONE, BATCHES.c.not_before <= at
    due = (BATCHES.c.state != BatchState.DONE) & open_now
    lately = done & (BATCHES.c.stamp >= int((at - MINUTE) * 1e6))
    query = (
        select(
            MAILINGS.c.id, MAILINGS.c.edition_id, MAILINGS.c.state, MAILINGS.c.reason, MAILINGS.c.candidates, MAILINGS.c.filled_at,
            func.sum(case((done, size), else_=0)).label("handed"), func.sum(case((lately, size), else_=0)).label("lately"),
            func.sum(case((due, 1), else_=0)).label("due"), func.min(case((due, BATCHES.c.not_before))).label("due_since"),
            func.max(BATCHES.c.stamp).label("stamp"),
        )
        .select_from(MAILINGS.outerjoin(BATCHES, BATCHES.c.mailing_id == MAILINGS.c.id))
        .where(MAILINGS.c.edition_id.in_(sorted(editions)))
        .group_by(*(MAILINGS.c[name] for name in ("id", "edition_id", "state", "reason", "candidates", "filled_at")))
    )  # fmt: skip
    return [_glance(row) for row in connection.execute(query)]


def _glance(row: Any) -> Glance:
    over = row.state in {MailingState.DONE, MailingState.CANCELLED}
    stirred = max(row.filled_at.timestamp(), (row.stamp or 0) / 1e6, row.due_since or 0.0)
    return Glance(
        mailing=row.id, edition=row.edition_id, state=row.state, reason=row.reason, candidates=row.candidates,
        handed=row.candidates if over else min(row.handed or 0, row.candidates), due=row.due or 0, stirred=stirred,
        rate=(row.lately or 0) / MINUTE,
    )  # fmt: skip


def services_waiting(connection: Connection, *, now: datetime) -> tuple[int, datetime | None]:
    """How many service messages could leave now and have not, and when the oldest of them was asked for."""
    row = BATCHES.c
    query = (
        select(func.count(), func.min(MAILINGS.c.filled_at))
        .select_from(BATCHES.join(MAILINGS, MAILINGS.c.id == row.mailing_id))
        .where(row.state.in_((BatchState.READY, *IN_HAND)), row.not_before <= now.timestamp(), row.priority < 0)
        .where(MAILINGS.c.kind == SERVICE, MAILINGS.c.state == MailingState.SENDING, MAILINGS.c.expires_at > now)
    )
    number, oldest = connection.execute(query).one()
    return int(number), oldest


def in_doubt(connection: Connection) -> dict[int | None, int]:
    """How many deliveries are unconfirmed, by the edition they are of; None: service messages."""
    counts = (
        select(DELIVERIES.c.mailing_id, func.count().label("number"))
        .where(AMBIGUOUS)
        .group_by(DELIVERIES.c.mailing_id)
        .subquery()
    )
    query = select(MAILINGS.c.edition_id, func.sum(counts.c.number)).join(counts, counts.c.mailing_id == MAILINGS.c.id)
    return {edition: int(number) for edition, number in connection.execute(query.group_by(MAILINGS.c.edition_id))}


def returned(connection: Connection, mailing: int, kind: str) -> int:
    """How many of a mailing's deliveries were bounced, or complained about."""
    query = select(func.count(EVENTS.c.number.distinct())).where(EVENTS.c.mailing_id == mailing, RETURNED[kind])
    return int(connection.execute(query).scalar_one())
