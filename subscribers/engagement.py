"""What readers did, added up by the day: the one way into the activity table, and open only to those who agreed."""

from collections.abc import Collection, Mapping
from datetime import date

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from subscribers.models import ActivityRow

DONE = ActivityRow.metadata.tables["activity"]
PEOPLE = ActivityRow.metadata.tables["subscriber"]
BLOCK = 1000

Deed = tuple[int, str, date]
"""Whose, what (opened or clicked), and on which day of UTC."""


def add_up(connection: Connection, counts: Mapping[Deed, int]) -> int:
    """
    Add to what is known of each deed; how many deeds were taken in.

    For a job that has gathered what came in, never for one open at a time. Of a reader who did not agree to be tracked,
    or who is no more, nothing is kept.
    """
    insert = (postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert)(DONE)
    adding = insert.on_conflict_do_update(
        index_elements=DONE.primary_key.columns, set_={"number": DONE.c.number + insert.excluded.number}
    )
    rows = [
        {"subscriber_id": person, "kind": kind, "day": day, "number": number}
        for (person, kind, day), number in sorted(counts.items())
    ]
    taken = 0
    for first in range(0, len(rows), BLOCK):
        block = rows[first : first + BLOCK]
        who = tracked(connection, {row["subscriber_id"] for row in block})
        if kept := [row for row in block if row["subscriber_id"] in who]:
            connection.execute(adding, kept)
        taken += len(kept)
    return taken


def tracked(connection: Connection, people: Collection[object]) -> set[int]:
    """Those of these people who agree to be counted, and held so until the transaction ends."""
    query = select(PEOPLE.c.id).where(PEOPLE.c.id.in_(list(people)), PEOPLE.c.tracked_since.is_not(None))
    # held until the counts are in, so that nobody is erased in between
    return set(connection.execute(query.with_for_update(read=True)).scalars())
