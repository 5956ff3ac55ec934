"""That a person agrees to be counted by name, and that they take it back: then what was kept of them goes, too."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, case
from sqlalchemy.dialects import postgresql, sqlite

from subscribers.models import SubscriberRow

_TABLE = SubscriberRow.metadata.tables
PEOPLE, CONSENTS, DEEDS, DONE = (_TABLE[name] for name in ("subscriber", "tracking_consent", "deed", "activity"))


def agree(connection: Connection, subscriber: int, consent: Mapping[str, Any], *, now: datetime) -> None:
    """
    Note where and to which words they agreed: `source`, `wording` (its version), `proof` (the delivery whose link it was).

    Who agrees once more is counted since they first did.
    """
    row = {"subscriber_id": subscriber, "at": now, **consent}
    insert = (postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert)(CONSENTS).values(row)
    connection.execute(insert.on_conflict_do_update(index_elements=[CONSENTS.c.subscriber_id], set_=row))
    since = case((PEOPLE.c.tracked_since.is_(None), now), else_=PEOPLE.c.tracked_since)
    connection.execute(PEOPLE.update().where(PEOPLE.c.id == subscriber).values(tracked_since=since, updated_at=now))


def withdraw(connection: Connection, subscriber: int, *, now: datetime) -> None:
    """From now on nothing of theirs is written down, and what was is forgotten; an edition's counts are nobody's and stay."""
    mine = PEOPLE.update().where(PEOPLE.c.id == subscriber)
    connection.execute(
        mine.values(tracked_since=None, updated_at=now)
    )  # first: who counts holds this row, or waits for it
    for table in (CONSENTS, DEEDS, DONE):
        connection.execute(table.delete().where(table.c.subscriber_id == subscriber))
