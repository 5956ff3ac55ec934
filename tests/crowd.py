"""Readers of every mixture for tests of segments: plain values, and the same put into the tables of a database."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

from sqlalchemy import Engine, select
from sqlmodel import SQLModel

from subscribers.segments import Names, compile_rule

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
TABLES = SQLModel.metadata.tables
PEOPLE = TABLES["subscriber"]
DIGESTS = {"global": 1, "sport": 2}


@dataclass(kw_only=True)
class Reader:
    language: str = "en"
    zone: str = "UTC"
    country: str | None = None
    plan: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    joined: datetime = NOW
    tracked: bool = False
    topics: dict[str, int] = field(default_factory=dict)  # more (1) or less (-1) of each
    wishes: dict[tuple[str, str], str] = field(default_factory=dict)  # by digest and channel: active, paused ...
    deeds: dict[tuple[str, date], int] = field(default_factory=dict)  # how often what was done on which day


def fill(engine: Engine, readers: list[Reader]) -> None:
    """Put these readers, and nobody else, into the database; the first has id 1."""
    with engine.begin() as connection:
        for table in ("activity", "subscription", "subscriber_topic", "subscriber", "digest"):
            connection.execute(TABLES[table].delete())
        for table, rows in _rows(readers).items():
            if rows:
                connection.execute(TABLES[table].insert(), rows)


def _rows(readers: list[Reader]) -> dict[str, list[dict[str, Any]]]:
    numbered = list(enumerate(readers, start=1))
    return {
        "digest": [_digest(slug, number) for slug, number in DIGESTS.items()],
        "subscriber": [_person(number, one) for number, one in numbered],
        "subscriber_topic": [
            {"subscriber_id": number, "topic": topic, "wish": wish}
            for number, one in numbered for topic, wish in one.topics.items()
        ],
        "subscription": [
            {"subscriber_id": number, "digest_id": DIGESTS[digest], "channel": channel, "device": "", "state": state,
             "consent_source": "", "consent_wording": ""}
            for number, one in numbered for (digest, channel), state in one.wishes.items()
        ],
        "activity": [
            {"subscriber_id": number, "kind": kind, "day": day, "number": count}
            for number, one in numbered for (kind, day), count in one.deeds.items()
        ],
    }  # fmt: skip


def _digest(slug: str, number: int) -> dict[str, Any]:
    texts = (
        "section",
        "language",
        "zone",
        "from_name",
        "from_address",
        "reply_to",
        "postal_address",
        "wordmark",
        "look",
    )
    lists, mappings = ("channels", "segments", "share", "image_hosts"), ("colours", "utm", "rules")
    return {
        "id": number, "slug": slug, "name": slug, "size": 8, "minimum": 3, "short": "send", "deadline": "06:45",
        "fallback": "hold", "created_at": NOW, **dict.fromkeys(texts, ""), **{name: [] for name in lists},
        **{name: {} for name in mappings},
    }  # fmt: skip


def _person(number: int, one: Reader) -> dict[str, Any]:
    email = f"r{number}@example.net"
    return {
        "id": number, "public_id": f"p{number}", "email": email, "email_key": email, "name": "",
        "email_hash": number.to_bytes(16, "big"), "language": one.language, "zone": one.zone, "country": one.country,
        "plan": one.plan, "attributes": one.attributes, "joined_at": one.joined, "updated_at": NOW,
        "tracked_since": NOW if one.tracked else None,
    }  # fmt: skip


def members(engine: Engine, rule: str, *, now: datetime = NOW, names: Names) -> set[int]:
    with engine.connect() as connection:
        return set(connection.execute(select(PEOPLE.c.id).where(compile_rule(rule, now=now, names=names))).scalars())


def any_crowd(seed: int, count: int) -> list[Reader]:
    """Readers by dice: everything that a rule can ask for is with some and not with others."""
    dice = Random(seed)
    return [_any_reader(dice) for _ in range(count)]


def _any_reader(dice: Random) -> Reader:
    pick = dice.choice
    tracked = pick([True, True, False])
    return Reader(
        language=pick(["es", "es-MX", "en", "ES-mx", "pt"]),
        zone=pick(["Europe/Madrid", "UTC", "America/Lima"]),
        country=pick([None, "ES", "PT", "US"]),
        plan=pick([None, "", "paid", "trial", "ñ", "%"]),
        attributes={
            name: value
            for name, value in (
                ("city", pick(["Lima", "", "ñ", 3, None, "Lima "])),
                ("score", pick(["0.95", "0.9", 0.9, 1, "-2", "many", 2 / 3, "1e1", True])),
                ("renews", pick(["2026-03-31", "2026-04-01T08:00", "soon", "2025-12-31", 20260331])),
            )
            if pick([True, True, False])
        },
        joined=NOW - timedelta(hours=dice.randrange(30_000)),
        tracked=tracked,
        topics={topic: pick([1, -1]) for topic in ("korea", "vatican", "latin-america") if pick([True, False])},
        wishes={
            (digest, channel): pick(["active", "paused", "left", "pending"])
            for digest in DIGESTS for channel in ("email", "push") if pick([True, False])
        },
        deeds=_any_deeds(dice) if tracked else {},
    )  # fmt: skip


def _any_deeds(dice: Random) -> dict[tuple[str, date], int]:
    return {
        (kind, (NOW - timedelta(days=dice.randrange(120))).date()): dice.randrange(1, 4)
        for kind in ("opened", "clicked") for _ in range(dice.choice([0, 0, 1, 3, 6]))
    }  # fmt: skip
