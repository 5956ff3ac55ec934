"""One person: what is held of them among people, and how they are forgotten."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, Table, select

from subscribers import signup
from subscribers.addresses import normalise
from subscribers.exporting import subscriptions_of, topics_of
from subscribers.models import SubscriberRow
from subscribers.suppressions import Why, suppress, suppression_of
from subscribers.tokens import Keys, address_hash

PEOPLE = SubscriberRow.metadata.tables["subscriber"]
SHOWN_IN_WORDS = frozenset({"subscription", "subscriber_topic"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody as an address leads to them. `row` is theirs in the subscriber table; None, if only a suppression is left."""

    email_hash: bytes
    row: Any | None
    suppression: Any | None


def person_at(connection: Connection, keys: Keys, address: str) -> Person:
    """
    Whoever has that address.

    Raises:
        ValueError: it is no address; says why.
    """
    key = normalise(address).key
    row = connection.execute(select(PEOPLE).where(PEOPLE.c.email_key == key)).first()
    hashed = address_hash(keys.hash_key, key)
    return Person(email_hash=hashed, row=row, suppression=suppression_of(connection, hashed))


def held(connection: Connection, person: Person, digests: Mapping[int, str]) -> dict[str, Any]:
    """All that the people's tables say of somebody, ready for JSON but for its dates. `digests` are names by id."""
    found: dict[str, Any] = {}
    if person.row is not None:
        own = person.row._asdict()
        found = {name: own[name] for name in own if name not in {"id", "email_key", "email_hash"}}
        more, less = topics_of(connection, [own["id"]]).get(own["id"], ([], []))
        wishes = subscriptions_of(connection, [own["id"]], digests).get(own["id"], [])
        found |= {"topics": more, "less": less, "subscriptions": wishes} | _elsewhere(connection, own["id"])
    why = person.suppression
    return found | {
        "suppression": None if why is None else {"reason": why.reason, "since": why.since, "note": why.note}
    }


def _elsewhere(connection: Connection, subscriber: int) -> dict[str, list[dict[str, Any]]]:
    """Their rows in every other table that points at a subscriber, whatever tables there will be."""
    found = {}
    for table, column in pointing_at_subscribers():
        if table.name not in SHOWN_IN_WORDS:
            rows = connection.execute(table.select().where(column == subscriber))
            found[table.name] = [
                {name: value for name, value in row._mapping.items() if name != column.name}  # noqa: SLF001
                for row in rows
            ]
    return found


def pointing_at_subscribers() -> list[tuple[Table, Column[Any]]]:
    """The tables that hold something of a subscriber, each with the column that says whose it is."""
    return [
        (table, key.parent)
        for table in PEOPLE.metadata.sorted_tables
        for key in table.foreign_keys
        if key.column is PEOPLE.c.id
    ]


def erase(connection: Connection, person: Person, *, now: datetime) -> None:
    """
    Everything of theirs among people goes; what stays is the keyed hash of their address, so that nobody writes to them.

    The ledger's part is digest.persons.erase.
    """
    if person.row is not None:
        connection.execute(PEOPLE.delete().where(PEOPLE.c.id == person.row.id))  # the rest goes with it
    signup.forget(connection, [person.email_hash])
    suppress(connection, {person.email_hash: Why("erased", "")}, now=now)
