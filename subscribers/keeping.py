"""Readers from a file into the tables, block after block; what they or the list of suppressions said before wins."""

import json
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from itertools import chain
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from subscribers.models import SubscriberRow
from subscribers.tokens import Keys, address_hash

PEOPLE = SubscriberRow.metadata.tables["subscriber"]
WISHES = SubscriberRow.metadata.tables["subscription"]
TOPICS = SubscriberRow.metadata.tables["subscriber_topic"]

OWN = ("name", "language", "zone")  # what readers set themselves, besides topics and subscriptions
KNOWN = (*OWN, "country", "plan", "attributes")
UNSAID: Mapping[str, Any] = {
    "device": "", "consent_at": None, "consent_source": "", "consent_wording": "", "left_at": None,
}  # fmt: skip
"""What a subscription of our own export does not say was not known; of others' lines the import knows better."""

COUNTS = ("accepted", "updated", "unchanged", "suppressed", "left")

Place = tuple[int, int, str, str]
"""Which subscription: the subscriber, the digest, the channel and the device."""

_UPDATE = PEOPLE.update().where(PEOPLE.c.id == bindparam("in_id"))
_LEAVE = WISHES.update().where(WISHES.c.id == bindparam("in_id")).values(state="left")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """
    What holds for every line: the digest asked for, on which channels where a line names none, the consent held (where
    it was given, and the version of its wording), the language of those who give none. `digests` are all ids by name.
    """

    digest_id: int
    consent: str
    wording: str = ""
    channels: tuple[str, ...] = ("email",)
    language: str = "en"
    digests: Mapping[str, int] = field(default_factory=dict)


class Keeper:
    """
    Writes blocks of readers, whatever their number with the same few statements, and counts what became of them.

    The rule: who is suppressed does not come in and is not changed. Who left a digest gets no subscription to it, and
    one that is there is changed by a file in one way only, that its reader has left (unless they confirmed it since).
    Once a reader has set their own preferences (`chosen_at`), their name, language, zone, topics and the channels of
    their digests are theirs; country, plan and attributes are the publisher's. An empty field changes nothing.
    """

    def __init__(self, connection: Connection, terms: Terms, now: datetime) -> None:
        self.connection, self.terms, self.now = connection, terms, now
        self.counts = dict.fromkeys(COUNTS, 0)
        self._people = _Insert(
            connection, "subscriber", "public_id", "email", "email_key", "email_hash", "name", "language", "zone", "country",
            "plan", "attributes", "joined_at", "updated_at", "chosen_at",
            "tracked_since",
        )  # fmt: skip
        self._wishes = _Insert(
            connection, "subscription", "subscriber_id", "digest_id", "channel", "device", "state", "paused_until",
            "consent_at", "consent_source", "consent_wording", "confirmed_at", "left_at", together=50,
        )  # fmt: skip  # SQLite makes the lists of its CHECKs for each statement anew, which is half of what a row costs
        self._topics = _Insert(connection, "subscriber_topic", "subscriber_id", "topic", "wish")
        self._held = _Insert(connection, "suppression", "email_hash", "reason", "since", "note")
        self._moment, self._start = _moments_of(connection), int(now.timestamp())

    def write(self, block: Sequence[dict[str, Any]]) -> None:
        """Bring a block in: dicts as `fields.checked` gives them, with their `email_hash`, `line` and `again`; nobody twice."""
        held = self._there("suppression", "email_hash", [reader["email_hash"] for reader in block])
        if banned := [reader for reader in block if "suppressed" in reader]:
            since = self._moment(self.now)
            self._held.put([(reader["email_hash"], reader["suppressed"], since, "") for reader in banned])
            held |= {reader["email_hash"] for reader in banned}
        self._count("suppressed", [reader for reader in block if reader["email_hash"] in held])
        readers = [reader for reader in block if reader["email_hash"] not in held] if held else block
        known = self._known(readers)
        fresh = [reader for reader in readers if reader["email_key"] not in known]
        met = [(known[reader["email_key"]], reader) for reader in readers if reader["email_key"] in known]
        self._enter(fresh)
        self._count("accepted", fresh)
        self._count("left", [reader for reader in fresh if _says_left(reader)])
        if met:
            wished, left = self._wish_anew(met)
            changed = self._change(met) | wished | self._like_anew(met)
            self._count("updated", [reader for row, reader in met if row.id in changed])
            self._count("unchanged", [reader for row, reader in met if row.id not in changed])
            self._count("left", [reader for row, reader in met if row.id in left])

    def _count(self, name: str, readers: Iterable[Mapping[str, Any]]) -> None:
        """Who was met earlier in the file is counted there."""
        self.counts[name] += sum(not reader["again"] for reader in readers)

    def _there(self, table: str, column: str, values: Sequence[Any]) -> set[Any]:
        """Which of the values the column holds. Asked of the driver: SQLAlchemy takes its time over thousands of them."""
        query = f"SELECT {column} FROM {table} WHERE {column}"  # noqa: S608  names of ours
        if self.connection.dialect.name == "postgresql":
            found = self.connection.exec_driver_sql(f"{query} = ANY(%s)", (list(values),))
        else:
            found = self.connection.exec_driver_sql(f"{query} IN ({','.join('?' * len(values))})", tuple(values))
        return set(found.scalars())

    def _known(self, readers: Sequence[dict[str, Any]]) -> dict[str, Any]:
        keys = self._there("subscriber", "email_key", [reader["email_key"] for reader in readers])
        columns = [PEOPLE.c[name] for name in ("id", "email", "email_key", "chosen_at", *KNOWN)]
        rows = self.connection.execute(select(*columns).where(PEOPLE.c.email_key.in_(keys))) if keys else ()
        return {row.email_key: row for row in rows}

    # those who are new ----------------------------------------------------------------------------------------------

    def _enter(self, readers: Sequence[dict[str, Any]]) -> None:
        before = self.connection.execute(select(func.coalesce(func.max(PEOPLE.c.id), 0))).scalar_one()
        tails = secrets.token_hex(8 * len(readers))
        self._people.put(self._person(reader, tails[16 * n : 16 * n + 16]) for n, reader in enumerate(readers))
        ids = self._ids(before, readers)
        wishes = [wish for reader in readers for wish in self._wanted(ids[reader["email_key"]], reader)]
        self._wishes.put([self._row(wish) for wish in wishes])
        self._topics.put([row for reader in readers for row in _liked(ids[reader["email_key"]], reader)])

    def _person(self, reader: dict[str, Any], tail: str) -> tuple[Any, ...]:
        # the public id begins with the moment and the line: a million of them then go to one end of their index
        public_id = f"{self._start:08x}{reader['line']:08x}{tail}"
        now, given = self._moment(self.now), reader.get
        attributes, joined = given("attributes"), given("joined_at")
        return (
            public_id, reader["email"], reader["email_key"], reader["email_hash"], given("name", ""),
            given("language", self.terms.language), given("zone", "UTC"), given("country"), given("plan"),
            json.dumps(attributes) if attributes else "{}", self._moment(joined) if joined else now, now,
            self._moment(given("chosen_at")), self._moment(given("tracked_since")),
        )  # fmt: skip

    def _ids(self, before: int, readers: Sequence[dict[str, Any]]) -> dict[str, int]:
        """Their ids all come after `before`; who signed up just now beside us is asked for by name."""
        query = select(PEOPLE.c.email_key, PEOPLE.c.id)
        ids = {key: number for key, number in self.connection.execute(query.where(PEOPLE.c.id > before))}  # noqa: C416
        if missing := [reader["email_key"] for reader in readers if reader["email_key"] not in ids]:
            ids.update(tuple(row) for row in self.connection.execute(query.where(PEOPLE.c.email_key.in_(missing))))
        return ids

    def _wanted(self, person: int, reader: dict[str, Any]) -> list[dict[str, Any]]:
        """The subscriptions a line speaks of."""
        if "subscriptions" in reader:
            return [
                {**UNSAID, **wish, "subscriber_id": person, "digest_id": self.terms.digests[wish["digest"]]}
                for wish in reader["subscriptions"]
            ]
        wish = {"subscriber_id": person, "digest_id": self.terms.digest_id, "state": reader.get("status", "active")}
        wish |= {name: reader[name] for name in ("consent_at", "confirmed_at", "left_at") if name in reader}
        return [
            {**wish, "channel": channel, "device": _device_of(channel, reader)}
            for channel in reader.get("channels", self.terms.channels)
        ]

    def _row(self, wish: Mapping[str, Any]) -> tuple[Any, ...]:
        moment, given, state = self._moment, wish.get, wish["state"]
        return (
            wish["subscriber_id"], wish["digest_id"], wish["channel"], wish["device"], state, moment(given("paused_until")),
            moment(given("consent_at", self.now)), given("consent_source", self.terms.consent)[:200],
            given("consent_wording", self.terms.wording)[:64], moment(given("confirmed_at")),
            moment(given("left_at", self.now if state == "left" else None)),
        )  # fmt: skip

    # those who are known --------------------------------------------------------------------------------------------

    def _change(self, met: Iterable[tuple[Any, dict[str, Any]]]) -> set[int]:
        """Write what differs from what is known; an address may only change its letters' case."""
        changes = []
        for row, reader in met:
            theirs = OWN if row.chosen_at else ()
            now = {
                name: getattr(row, name) if name in theirs else reader.get(name, getattr(row, name)) for name in KNOWN
            }
            now["attributes"] = {**row.attributes, **reader.get("attributes", {})}
            now["email"] = row.email if row.chosen_at else reader["email"]
            if any(now[name] != getattr(row, name) for name in now):
                changes.append({"in_id": row.id, **now, "updated_at": self.now})
        if changes:
            self.connection.execute(_UPDATE, changes)
        return {change["in_id"] for change in changes}

    def _wish_anew(self, met: Sequence[tuple[Any, dict[str, Any]]]) -> tuple[set[int], set[int]]:
        """Whose subscriptions were changed, and who has left the digest asked for by now."""
        wanted = {_place(wish): wish for row, reader in met for wish in self._wanted(row.id, reader)}
        there = self._subscriptions_of({place[0] for place in wanted})
        left = {place[:2] for place, one in there.items() if one.state == "left"}
        own = {row.id for row, _ in met if row.chosen_at}
        settled = left | {place[:2] for place in there if place[0] in own}
        fresh = {
            place: wish
            for place, wish in wanted.items()
            if place not in there and (wish["state"] == "left" or place[:2] not in settled)
        }
        ending = self._ending(met, wanted, there)
        self._wishes.put([self._row(wish) for wish in fresh.values()])
        if ending:
            moments = [{"in_id": there[place].id, "left_at": at} for place, at in ending.items()]
            self.connection.execute(_LEAVE, moments)
        left |= {place[:2] for place in ending} | {
            place[:2] for place, wish in fresh.items() if wish["state"] == "left"
        }
        return {place[0] for place in [*ending, *fresh]}, {
            place[0] for place in left if place[1] == self.terms.digest_id
        }

    def _ending(
        self, met: Iterable[tuple[Any, dict[str, Any]]], wanted: Mapping[Place, Any], there: Mapping[Place, Any]
    ) -> dict[Place, datetime]:
        """The subscriptions that end, and when: whoever left a digest has left it on every channel."""
        gone: dict[Any, Any] = {
            (row.id, self.terms.digest_id): reader.get("left_at")
            for row, reader in met
            if reader.get("status") == "left"
        }
        gone |= {place: wish.get("left_at") for place, wish in wanted.items() if wish["state"] == "left"}
        ending = {}
        for place, one in there.items():
            which = place if place in gone else place[:2]
            if which in gone and one.state != "left" and not _came_back(one, gone[which]):
                ending[place] = gone[which] or self.now
        return ending

    def _subscriptions_of(self, people: Collection[int]) -> dict[Place, Any]:
        row = WISHES.c
        columns = (row.id, row.subscriber_id, row.digest_id, row.channel, row.device, row.state, row.confirmed_at)
        rows = self.connection.execute(select(*columns).where(row.subscriber_id.in_(people)))
        return {(one.subscriber_id, one.digest_id, one.channel, one.device): one for one in rows}

    def _like_anew(self, met: Iterable[tuple[Any, dict[str, Any]]]) -> set[int]:
        wanted = [liked for row, reader in met if not row.chosen_at for liked in _liked(row.id, reader)]
        if not wanted:
            return set()
        query = select(TOPICS.c.subscriber_id, TOPICS.c.topic)
        there = self.connection.execute(query.where(TOPICS.c.subscriber_id.in_({person for person, _, _ in wanted})))
        have = {tuple(row) for row in there}
        fresh = [liked for liked in wanted if liked[:2] not in have]
        self._topics.put(fresh)
        return {person for person, _, _ in fresh}


def _place(wish: Mapping[str, Any]) -> Place:
    return wish["subscriber_id"], wish["digest_id"], wish["channel"], wish["device"]


def _came_back(one: Any, left_at: datetime | None) -> bool:
    """Whoever confirmed here after they left elsewhere is here by their own hand."""
    return left_at is not None and one.confirmed_at is not None and one.confirmed_at > left_at


def _says_left(reader: Mapping[str, Any]) -> bool:
    return reader.get("status") == "left" or any(wish["state"] == "left" for wish in reader.get("subscriptions", ()))


def _liked(person: int, reader: Mapping[str, Any]) -> list[tuple[int, str, int]]:
    liked = [(person, topic, 1) for topic in reader.get("topics", ())]
    return liked + [(person, topic, -1) for topic in reader["less"]] if "less" in reader else liked


def _device_of(channel: str, reader: Mapping[str, Any]) -> str:
    """A push wish without a device gets a stand-in that only the outbox can reach, the same one every time."""
    return "" if channel == "email" else reader.get("device") or f"standin-{reader['email_hash'].hex()}"


def merged(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Nobody twice: of a person met again the later line's fields win, but who has left or is suppressed stays so."""
    readers: dict[str, dict[str, Any]] = {}
    for line in lines:
        known = readers.get(line["email_key"])
        readers[line["email_key"]] = line if known is None else _both(known, line)
    return list(readers.values())


def _both(earlier: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    both = {**earlier, **later}
    if "attributes" in both:
        both["attributes"] = {**earlier.get("attributes", {}), **later.get("attributes", {})}
    if earlier.get("status") == "left":
        both |= {name: earlier[name] for name in ("status", "left_at") if name in earlier}
    return both


def hashed(keys: Keys, reader: dict[str, Any], line: int) -> dict[str, Any]:
    reader["email_hash"], reader["line"] = address_hash(keys.hash_key, reader["email_key"]), line
    return reader


class _Insert:
    """
    Inserts rows of one table, as tuples in the order of its columns, and leaves out those it has already.

    They go to the driver as they are: letting SQLAlchemy look at each value again costs as much as all the rest. `together`:
    so many go into one statement.
    """

    def __init__(self, connection: Connection, table: str, *columns: str, together: int = 1) -> None:
        self._connection, self._together = connection, together
        mark = "%s" if connection.dialect.name == "postgresql" else "?"
        self._into, self._row = f"INSERT INTO {table} ({', '.join(columns)})", f"({', '.join(mark for _ in columns)})"

    def put(self, rows: Iterable[tuple[Any, ...]]) -> None:
        ready, many = list(rows), self._together
        whole = len(ready) - len(ready) % many
        self._put([tuple(chain(*ready[n : n + many])) for n in range(0, whole, many)], many)
        self._put(ready[whole:], 1)

    def _put(self, values: list[tuple[Any, ...]], rows: int) -> None:
        if values:
            sql = f"{self._into} VALUES {', '.join([self._row] * rows)} ON CONFLICT DO NOTHING"
            self._connection.exec_driver_sql(sql, values)


def _moments_of(connection: Connection) -> Callable[[datetime | None], Any]:
    """What makes a moment what the driver stores; of the same few again and again, it is worked out once."""
    kind = PEOPLE.c.joined_at.type.dialect_impl(connection.dialect)
    return lru_cache(maxsize=1024)(kind.bind_processor(connection.dialect) or (lambda moment: moment))
