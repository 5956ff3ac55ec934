"""Readers from a CSV file: each line is one reader, a bad line is refused with its reason, the rest come in."""

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from subscribers.models import SubscriberRow
from subscribers.sheets import Refused, Sheet
from subscribers.tokens import Keys, address_hash

PEOPLE = SubscriberRow.metadata.tables["subscriber"]
WISHES = SubscriberRow.metadata.tables["subscription"]
TOPICS = SubscriberRow.metadata.tables["subscriber_topic"]
HELD = SubscriberRow.metadata.tables["suppression"]

BLOCK = 1000
REFUSED_KEPT = 200


@dataclass(slots=True, kw_only=True)
class ImportReport:
    """What an import did, in readers; `refused` keeps the first 200 lines, `refused_count` knows them all."""

    accepted: int = 0
    updated: int = 0
    unchanged: int = 0
    suppressed: int = 0
    refused: list[Refused] = field(default_factory=list)
    refused_count: int = 0
    ignored: tuple[str, ...] = ()  # headings that name no field of ours

    def taking_out_refused(self, block: Iterable[dict[str, Any] | Refused]) -> list[dict[str, Any]]:
        """The readers of a block; its refused lines are put down here."""
        refused = [line for line in block if isinstance(line, Refused)]
        self.refused_count += len(refused)
        self.refused += refused[: max(0, REFUSED_KEPT - len(self.refused))]
        return [line for line in block if not isinstance(line, Refused)]


def import_csv(
    engine: Engine,
    path: Path,
    *,
    digest_id: int,
    keys: Keys,
    consent: str,
    now: datetime,
    channels: Sequence[str] = ("email",),
    wording: str = "",
    language: str = "en",
    dry_run: bool = False,
    told: Callable[[int], None] | None = None,
) -> ImportReport:
    """
    Bring in the readers of a file: UTF-8 with or without BOM, fields divided by comma, semicolon or tab, one line each.

    `consent` is where their consent was given and `wording` the version they agreed to: both are kept with every
    subscription made. Channels come from the line, else from `channels`. An empty field changes nothing; a person met
    twice is one; who left, is on a pause or has yet to confirm stays so; a suppressed address does not come in at all.
    A push wish without a device gets a stand-in that only the outbox can reach. Blocks of 1,000 lines are kept as they
    come, so a run that was broken off is simply run again. `told` gets the lines read so far.

    Raises:
        ImportRefusedError: the file has no heading for the address, or is not such a file at all.
    """
    report = ImportReport()
    with (
        path.open(encoding="utf-8-sig", errors="surrogateescape", newline=None) as file,
        engine.connect() as connection,
    ):
        sheet = Sheet.of(file, path.name)
        report.ignored = sheet.ignored
        writer = _Writer(connection, digest_id, keys, consent, wording, language, tuple(channels), now, report)
        lines = sheet.readers(file)
        read = 0
        while block := list(islice(lines, BLOCK)):
            writer.write(report.taking_out_refused(block))
            read += len(block)
            if not dry_run:
                connection.commit()
            if told:
                told(read)
        connection.rollback()
    return report


# the tables ---------------------------------------------------------------------------------------------------------

KEPT = ("email", "name", "language", "zone", "country", "plan")
EMPTY: Mapping[str, Any] = {"name": "", "zone": "UTC", "country": None, "plan": None, "attributes": {}}
_UPDATE = PEOPLE.update().where(PEOPLE.c.id == bindparam("in_id"))


@dataclass(slots=True)
class _Writer:
    """Writes block after block; each needs the same few statements however many readers it holds."""

    connection: Connection
    digest_id: int
    keys: Keys
    consent: str
    wording: str
    language: str
    channels: tuple[str, ...]
    now: datetime
    report: ImportReport

    def write(self, lines: Sequence[dict[str, Any]]) -> None:
        readers = _merged(lines)
        for key, reader in readers.items():
            reader["email_hash"] = address_hash(self.keys.hash_key, key)
        held = self._column(HELD.c.email_hash, [reader["email_hash"] for reader in readers.values()])
        self.report.suppressed += len(held)
        readers = {key: reader for key, reader in readers.items() if reader["email_hash"] not in held}
        before = self._known(readers)
        self._insert([reader for key, reader in readers.items() if key not in before])
        ids = self._ids(readers)
        people = {key: (ids[key], reader) for key, reader in readers.items()}
        changed = self._update([(before[key], reader) for key, reader in readers.items() if key in before])
        changed |= self._wish(people.values()) | self._like(people.values())
        old = {row.id for row in before.values()}
        self.report.accepted += len(people) - len(old)
        self.report.updated += len(changed & old)
        self.report.unchanged += len(old - changed)

    def _column(self, column: Any, values: Sequence[Any]) -> set[Any]:
        return set(self.connection.execute(select(column).where(column.in_(values))).scalars())

    def _known(self, readers: Mapping[str, Any]) -> dict[str, Any]:
        columns = [PEOPLE.c[name] for name in ("id", "email_key", "attributes", *KEPT)]
        rows = self.connection.execute(select(*columns).where(PEOPLE.c.email_key.in_(list(readers))))
        return {row.email_key: row for row in rows}

    def _ids(self, readers: Mapping[str, Any]) -> dict[str, int]:
        query = select(PEOPLE.c.email_key, PEOPLE.c.id).where(PEOPLE.c.email_key.in_(list(readers)))
        return {key: number for key, number in self.connection.execute(query)}  # noqa: C416  rows, not pairs

    def _once(self, table: Any, rows: list[dict[str, Any]]) -> None:
        insert = (postgresql.insert if self.connection.dialect.name == "postgresql" else sqlite.insert)(table)
        if rows:
            self.connection.execute(insert.on_conflict_do_nothing(), rows)

    def _insert(self, readers: Iterable[dict[str, Any]]) -> None:
        base = {**EMPTY, "language": self.language, "joined_at": self.now, "updated_at": self.now}
        left = {"topics", "channels", "device"}
        rows = [
            {
                **base,
                **{name: value for name, value in reader.items() if name not in left},
                "public_id": secrets.token_hex(16),
            }
            for reader in readers
        ]
        self._once(PEOPLE, rows)

    def _update(self, pairs: Iterable[tuple[Any, dict[str, Any]]]) -> set[int]:
        """Write what differs from what is known; an address may only change its letters' case."""
        changes = []
        for row, reader in pairs:
            now = {name: reader.get(name, getattr(row, name)) for name in KEPT}
            now["attributes"] = {**row.attributes, **reader.get("attributes", {})}
            if now != {name: getattr(row, name) for name in now}:
                changes.append({"in_id": row.id, **now, "updated_at": self.now})
        if changes:
            self.connection.execute(_UPDATE, changes)
        return {change["in_id"] for change in changes}

    def _wish(self, people: Iterable[tuple[int, dict[str, Any]]]) -> set[int]:
        """Subscriptions not there yet; one that is there, in whatever state, is its reader's own affair."""
        wanted = {
            (person, channel, _device_of(channel, reader)): {
                "subscriber_id": person, "digest_id": self.digest_id, "channel": channel, "state": "active",
                "device": _device_of(channel, reader), "consent_at": self.now, "consent_source": self.consent[:200],
                "consent_wording": self.wording[:64],
            }
            for person, reader in people
            for channel in reader.get("channels", self.channels)
        }  # fmt: skip
        row = WISHES.c
        mine = (row.digest_id == self.digest_id, row.subscriber_id.in_({person for person, _, _ in wanted}))
        query = select(row.subscriber_id, row.channel, row.device).where(*mine)
        have = {tuple(wish) for wish in self.connection.execute(query)}
        fresh = [wish for key, wish in wanted.items() if key not in have]
        self._once(WISHES, fresh)
        return {wish["subscriber_id"] for wish in fresh}

    def _like(self, people: Iterable[tuple[int, dict[str, Any]]]) -> set[int]:
        wanted = {(person, topic) for person, reader in people for topic in reader.get("topics", ())}
        if not wanted:
            return set()
        row = TOPICS.c
        query = select(row.subscriber_id, row.topic).where(row.subscriber_id.in_({person for person, _ in wanted}))
        fresh = wanted - set(self.connection.execute(query))
        self._once(TOPICS, [{"subscriber_id": person, "topic": topic, "wish": 1} for person, topic in sorted(fresh)])
        return {person for person, _ in fresh}


def _merged(lines: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By address: of a person met twice, the later line's fields win."""
    readers: dict[str, dict[str, Any]] = {}
    for line in lines:
        known = readers.get(line["email_key"], {})
        attributes = {**known.get("attributes", {}), **line.get("attributes", {})}
        readers[line["email_key"]] = {**known, **line, **({"attributes": attributes} if attributes else {})}
    return readers


def _device_of(channel: str, reader: Mapping[str, Any]) -> str:
    return "" if channel == "email" else reader.get("device") or f"standin-{reader['email_hash'].hex()}"
