"""One person: what is held of them among people, and how they are forgotten."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, LargeBinary, Table, select

from subscribers import signup
from subscribers.addresses import normalise
from subscribers.exporting import subscriptions_of, topics_of
from subscribers.models import SubscriberRow
from subscribers.suppressions import Why, suppress, suppression_of
from subscribers.tokens import Keys, address_hash

PEOPLE = SubscriberRow.metadata.tables["subscriber"]
SIGNUPS, WORDINGS = (PEOPLE.metadata.tables[name] for name in ("signup", "wording"))
SHOWN_IN_WORDS = frozenset({"subscription", "subscriber_topic"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """
    Somebody as an address leads to them. `row` is theirs in the subscriber table, None if there is none; `waiting` are their
    sign-ups that nobody has confirmed.
    """

    email_hash: bytes
    row: Any | None
    suppression: Any | None
    waiting: tuple[Any, ...] = ()


def person_at(connection: Connection, keys: Keys, address: str) -> Person:
    """
    Whoever has that address.

    Raises:
        ValueError: it is no address; says why.
    """
    key = normalise(address).key
    row = connection.execute(select(PEOPLE).where(PEOPLE.c.email_key == key)).first()
    hashed = address_hash(keys.hash_key, key)
    waiting = connection.execute(select(SIGNUPS).where(SIGNUPS.c.email_key == key).order_by(SIGNUPS.c.id)).all()
    return Person(
        email_hash=hashed, row=row, suppression=suppression_of(connection, hashed), waiting=tuple(waiting)
    )  # fmt: skip


def held(connection: Connection, person: Person, digests: Mapping[int, str]) -> dict[str, Any]:
    """All that the people's tables say of somebody, ready for JSON but for its dates. `digests` are names by id."""
    found: dict[str, Any] = {}
    if person.row is not None:
        own = person.row._asdict()
        found = {name: own[name] for name in own if name not in {"id", "email_key", "email_hash"}}
        more, less = topics_of(connection, [own["id"]]).get(own["id"], ([], []))
        wishes = subscriptions_of(connection, [own["id"]], digests).get(own["id"], [])
        found |= {"topics": more, "less": less, "subscriptions": wishes} | _elsewhere(connection, own["id"])
    found["signups"] = [{**_readable(one, SIGNUPS), "digest": digests.get(one.digest_id, "")} for one in person.waiting]
    agreed = {one["wording"] for one in found["signups"]} | {
        one.get("consent_wording", "") for one in found.get("subscriptions", [])
    }
    said = select(WORDINGS.c.version, WORDINGS.c.words).where(WORDINGS.c.version.in_(sorted(agreed)))
    found["wordings"] = {version: words for version, words in connection.execute(said)}  # noqa: C416  rows, not pairs
    why = person.suppression
    return found | {
        "suppression": None if why is None else {"reason": why.reason, "since": why.since, "note": why.note}
    }


def _readable(row: Any, table: Table) -> dict[str, Any]:
    """A row without its keyed hashes, which say nothing to anyone, and without the numbers of ours."""
    return {
        name: value for name, value in row._mapping.items()  # noqa: SLF001
        if not isinstance(table.c[name].type, LargeBinary) and name not in {"id", "email_key", "digest_id"}
    }  # fmt: skip


def _elsewhere(connection: Connection, subscriber: int) -> dict[str, list[dict[str, Any]]]:
    """Their rows in every other table that points at a subscriber, whatever tables there will be."""
    found = {}
    for table, column in pointing_at_subscribers():
        if table.name not in SHOWN_IN_WORDS:
            rows = connection.execute(table.select().where(column == subscriber)).all()
            found[table.name] = [
                {name: value for name, value in _readable(row, table).items() if name != column.name} for row in rows
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
