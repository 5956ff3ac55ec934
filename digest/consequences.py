"""What follows from what came back: addresses nothing may go to any more, and readers who left."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, case, false, func, select

from digest.deliveries import Mailed
from digest.models import AuditRow, EventRow
from digest.settings import Settings
from digest.values import Event, EventKind
from subscribers.audience import PEOPLE
from subscribers.leaving import leave
from subscribers.suppressions import (
    BOUNCE,
    COMPLAINT,
    DROPPED,
    SOFT_BOUNCES,
    STRENGTH,
    UNSUBSCRIBE,
    Why,
    suppress,
)

EVENTS = EventRow.metadata.tables["event"]
AUDIT = AuditRow.metadata.tables["audit"]
DAY = 86_400  # seconds

AT_ONCE: Mapping[tuple[str, bool], Why] = {
    (EventKind.BOUNCED, True): Why(BOUNCE, "a bounce that would repeat"),
    (EventKind.COMPLAINED, False): Why(COMPLAINT, "reported as spam"),
    (EventKind.COMPLAINED, True): Why(COMPLAINT, "reported as spam"),
    (EventKind.DROPPED, True): Why(DROPPED, "the provider writes to it no more"),
    (EventKind.LEFT, True): Why(UNSUBSCRIBE, "unsubscribed from everything at the provider"),
}
"""By kind and whether it is permanent. What a server blocks for the message's sake is no fault of the address."""


@dataclass(frozen=True, slots=True)
class Policy:
    """
    An address is suppressed once `soft_bounces` deliveries to it came back within `soft_days`, none of them for good.

    `event_days`: how long an event is remembered; longer than any provider repeats itself, and at least `soft_days`.
    """

    soft_bounces: int
    soft_days: int
    event_days: int = 30

    def is_met(self, times: Iterable[float]) -> bool:
        """`times`: when each of those deliveries came back, in epoch seconds."""
        ordered = sorted(times)
        last = self.soft_bounces - 1
        return any(
            ordered[at + last] - first <= self.soft_days * DAY for at, first in enumerate(ordered[: -last or None])
        )


def policy_of(settings: Settings) -> Policy:
    return Policy(settings.soft_bounces, settings.soft_bounce_days, settings.event_days)


class Fresh(NamedTuple):
    """An event heard for the first time: of which mailing, about which delivery, and who told it."""

    event: Event
    mailing: Mailed
    row: Any
    provider: str


def follow(connection: Connection, fresh: Sequence[Fresh], policy: Policy, now: datetime) -> tuple[int, int]:
    """How many addresses were suppressed, and how many readers left a digest. Of the erased nothing is known any more."""
    fresh = [one for one in fresh if one.row.target]
    causes: dict[bytes, tuple[Why, Fresh]] = {}
    for one, why in [*_at_once(fresh), *_worn_out(connection, fresh, policy)]:
        known = causes.get(bytes.fromhex(one.row.target))
        if known is None or STRENGTH[known[0].reason] < STRENGTH[why.reason]:
            causes[bytes.fromhex(one.row.target)] = why, one
    held = suppress(connection, {address: why for address, (why, _) in causes.items()}, now=now)
    gone = [one for one in fresh if _is_leaving(one.event) and _leave(connection, one, now)]
    _note(connection, "suppress", [causes[address][1] for address in sorted(held)], now)
    _note(connection, "leave", gone, now)
    return len(held), len(gone)


def _at_once(fresh: Sequence[Fresh]) -> Iterable[tuple[Fresh, Why]]:
    for one in fresh:
        why = AT_ONCE.get((one.event.kind, one.event.permanent))
        if why is not None and one.row.channel == "email":
            yield one, why


def _worn_out(connection: Connection, fresh: Sequence[Fresh], policy: Policy) -> Iterable[tuple[Fresh, Why]]:
    """Those of them that came back once too often; the times of all are looked at, since they may be told in any order."""
    soft = {
        one.row.target: one
        for one in fresh
        if one.event.kind == EventKind.BOUNCED and not one.event.permanent and one.row.channel == "email"
    }
    words = f"{policy.soft_bounces} deliveries to it came back within {policy.soft_days} days"
    for target, times in _times(connection, soft).items():
        if policy.is_met(times):
            yield soft[target], Why(SOFT_BOUNCES, words)


def _times(connection: Connection, targets: Collection[str]) -> dict[str, list[float]]:
    """When deliveries to these addresses came back, each delivery once."""
    if not targets:
        return {}
    hashes = sorted(map(bytes.fromhex, targets))
    # one at a time for each reader: of two who hear at once, the second must see what the first has written
    connection.execute(
        select(PEOPLE.c.id).where(PEOPLE.c.email_hash.in_(hashes)).order_by(PEOPLE.c.id).with_for_update()
    )
    row = EVENTS.c
    at = func.min(case((row.at > 0, row.at), else_=row.heard_at))
    query = select(row.target, at).where(row.target.in_(sorted(targets)), row.kind == EventKind.BOUNCED)
    query = query.where(row.permanent == false()).group_by(row.target, row.mailing_id, row.number)
    times = defaultdict(list)
    for target, when in connection.execute(query):
        times[target].append(when)
    return times


def _is_leaving(event: Event) -> bool:
    return event.kind == EventKind.LEFT and not event.permanent


def _leave(connection: Connection, one: Fresh, now: datetime) -> int:
    if one.mailing.digest is None:
        return 0
    asked_at = datetime.fromtimestamp(one.event.at, UTC) if one.event.at else now
    return leave(connection, one.row.subscriber_id, one.mailing.digest, asked_at=asked_at, now=now)


def _note(connection: Connection, did: str, heard: Sequence[Fresh], now: datetime) -> None:
    lines = [
        {
            "at": now, "who": one.provider, "did": did, "subject": "subscriber", "subject_id": one.row.subscriber_id,
            "detail": {"heard": one.event.kind, "said": one.event.reason, "mailing": one.mailing.id, "number": one.row.number},
        }
        for one in heard
    ]  # fmt: skip
    if lines:
        connection.execute(AUDIT.insert(), lines)
