"""Readers into a file, page after page: everything of each in one row, such that importing it changes nothing."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import IO, Any

from sqlalchemy import ColumnElement, Connection, select, true

from subscribers.models import SubscriberRow
from subscribers.outfiles import row_writer

PEOPLE = SubscriberRow.metadata.tables["subscriber"]
WISHES = SubscriberRow.metadata.tables["subscription"]
TOPICS = SubscriberRow.metadata.tables["subscriber_topic"]
HELD = SubscriberRow.metadata.tables["suppression"]

PAGE = 1000
COLUMNS = (
    "email", "name", "language", "zone", "country", "plan", "topics", "less", "attributes", "joined", "chosen_at",
    "tracked_since", "suppressed", "subscriptions",
)  # fmt: skip
WISH = (
    "channel", "device", "state", "paused_until", "consent_at", "consent_source", "consent_wording", "confirmed_at", "left_at",
)  # fmt: skip
DIVIDERS = {"csv": ",", "tsv": "\t"}
FORMATS = (*DIVIDERS, "json")


def write_people(out: IO[str], people: Iterator[dict[str, Any]], form: str) -> int:
    """Write people as `people` gives them, as csv, tsv or json (one array, a line for each); how many there were."""
    return _write_json(out, people) if form == "json" else _write_rows(out, people, DIVIDERS[form])


def people(
    connection: Connection, *, digests: Mapping[int, str], rule: ColumnElement[bool] | None = None
) -> Iterator[dict[str, Any]]:
    """
    Everyone, or those whom a compiled rule lets in, in the order they came; under the names of COLUMNS.

    `digests` are names by id. The transaction sees one moment of SQLite; on PostgreSQL ask for REPEATABLE READ before.
    """
    columns = (
        "id",
        "email",
        "name",
        "language",
        "zone",
        "country",
        "plan",
        "attributes",
        "joined_at",
        "chosen_at",
        "tracked_since",
    )
    query = (
        select(*(PEOPLE.c[name] for name in columns), HELD.c.reason.label("suppressed"))
        .select_from(PEOPLE.outerjoin(HELD, HELD.c.email_hash == PEOPLE.c.email_hash))
        .where(true() if rule is None else rule)
        .order_by(PEOPLE.c.id)
        .limit(PAGE)
    )
    after = 0
    while rows := connection.execute(query.where(PEOPLE.c.id > after)).all():
        after = rows[-1].id
        ids = [row.id for row in rows]
        liked, wished = topics_of(connection, ids), subscriptions_of(connection, ids, digests)
        for row in rows:
            more, less = liked.get(row.id, ([], []))
            yield {
                "email": row.email, "name": row.name, "language": row.language, "zone": row.zone, "country": row.country,
                "plan": row.plan, "topics": more, "less": less, "attributes": row.attributes, "joined": row.joined_at,
                "chosen_at": row.chosen_at, "tracked_since": row.tracked_since, "suppressed": row.suppressed, "subscriptions": wished.get(row.id, []),
            }  # fmt: skip


def topics_of(connection: Connection, people: Sequence[int]) -> dict[int, tuple[list[str], list[str]]]:
    """The topics that each wants more of, and less of."""
    query = select(TOPICS).where(TOPICS.c.subscriber_id.in_(people)).order_by(TOPICS.c.subscriber_id, TOPICS.c.topic)
    found: dict[int, tuple[list[str], list[str]]] = {}
    for person, topic, wish in connection.execute(query):
        found.setdefault(person, ([], []))[wish < 0].append(topic)
    return found


def subscriptions_of(
    connection: Connection, people: Sequence[int], digests: Mapping[int, str]
) -> dict[int, list[dict[str, Any]]]:
    """The subscriptions of each with their proof of consent; what is empty is left out."""
    columns = (WISHES.c.subscriber_id, WISHES.c.digest_id, *(WISHES.c[name] for name in WISH))
    query = select(*columns).where(WISHES.c.subscriber_id.in_(people)).order_by(WISHES.c.id)
    found: dict[int, list[dict[str, Any]]] = {}
    for person, digest, *values in connection.execute(query):
        wish = {name: value for name, value in zip(WISH, values, strict=True) if value}
        found.setdefault(person, []).append({"digest": digests[digest], **wish})
    return found


def _write_rows(out: IO[str], people: Iterator[dict[str, Any]], divider: str) -> int:
    write, number = row_writer(out, divider=divider), 0
    write(COLUMNS)
    for number, person in enumerate(people, 1):  # noqa: B007  the last of them is how many
        write([_cell(name, person[name]) for name in COLUMNS])
    return number


def _cell(name: str, value: Any) -> str:
    """Empty for what is not known; but nobody's subscriptions are [], or importing it would make one."""
    return CELLS.get(name, str)(value) if value or name == "subscriptions" else ""


def _write_json(out: IO[str], people: Iterator[dict[str, Any]]) -> int:
    out.write("[")
    number = 0
    for number, person in enumerate(people, 1):
        out.write(",\n" if number > 1 else "\n")
        out.write(_json(person))
    out.write("\n]\n")
    return number


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=datetime.isoformat, separators=(",", ":"))


CELLS: Mapping[str, Callable[[Any], str]] = {
    "topics": ";".join, "less": ";".join, "attributes": _json, "joined": datetime.isoformat,
    "chosen_at": datetime.isoformat, "tracked_since": datetime.isoformat, "subscriptions": _json,
}  # fmt: skip
