"""Segments over a million readers on SQLite: typical rules counted, one pass of an explanation, and a fill by a rule."""

import json
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from hashlib import blake2b
from itertools import chain
from random import Random
from typing import Any

from sqlalchemy import Connection, Engine

from digest.database import reading
from subscribers.plain_words import clauses
from subscribers.segments import Names, compile_rule, counted
from tests.bench.figure import Figure
from tests.bench.ledger import house, scratch
from tests.newsroom import NOW, morning, opened

GROUP = "people"
MANY = 1_000_000
SECONDS = 1.0
ROUNDS = 3
BLOCK = 50_000
TOPICS = ("korea", "ukraine", "europe", "climate", "africa", "latin-america", "vatican", "economy")
SAVED = {"quiet readers": "tracked and not opened within 90 days"}
RULES = (
    'country in ("ES", "PT") and topics has "ukraine" and opened within 30 days',
    'language = "es"',
    'not (plan = "paid")',
    'topics has any ("korea", "vatican")',
    'attr.city = "Madrid"',
    "attr.score >= 0.9",
    "attr.renews < 2026-12-31",
    "joined within 2 months",
    "not opened within 30 days",
    "never opened",
    "clicked at least 2 times within 8 weeks",
    "opened at least 5 times within 8 weeks",
    'segment("quiet readers")',
    'reads "global"',
    'channel = "push" and not topics has "korea"',
    'sample 10 percent and language = "es"',
)


def figures() -> Iterable[Figure]:
    with scratch() as folder:
        engine = house(folder / "segments.sqlite")
        place = morning(engine)
        with engine.begin() as connection:
            crowd(connection)
        names = Names(segments=SAVED, digests={"global": place.digest}, personal=True)
        slowest = 0.0
        for rule in RULES:
            seconds, matched = counting(engine, compile_rule(rule, now=NOW, names=names))
            slowest = max(slowest, seconds)
            # a rule that everybody or nobody meets would be no measure
            ok = seconds <= SECONDS and 0 < matched < MANY
            yield Figure(rule, seconds, "s", "1 or less", ok)
        yield Figure("the slowest of them", slowest, "s", "1 or less", slowest <= SECONDS)
        parts = [part.condition for part in clauses(RULES[0], now=NOW, names=names)]
        seconds, _ = counting(engine, *parts)
        yield Figure("explaining the first, clause by clause", seconds, "s", "3 or less", seconds <= 3)
        yield filling(engine, place, names)
        engine.dispose()


def counting(engine: Engine, *conditions: Any) -> tuple[float, int]:
    """Seconds of the best round, and how many meet the first condition."""
    best, matched = float("inf"), 0
    for _ in range(ROUNDS):
        with reading(engine) as session:
            start = time.perf_counter()
            matched = session.execute(counted(*conditions)).one()[0]
            best = min(best, time.perf_counter() - start)
    return best, matched


def filling(engine: Engine, place: Any, names: Names) -> Figure:
    """A rule that asks three tables for every reader must leave the fill linear: it is the same in its last batch."""
    start = time.perf_counter()
    share = place.share(rule='not (topics has "korea" and opened within 3 days) and reads "global"')
    opened(engine, place, [share], batch_size=500, names=names)
    seconds = time.perf_counter() - start
    return Figure("fill of as many by a rule", seconds, "s", "15 or less", seconds <= 15)


# set-up -------------------------------------------------------------------------------------------------------------


def crowd(connection: Connection) -> None:
    """Readers, topics, subscriptions, opens and clicks by the driver itself: what is measured comes after."""
    raw = connection.connection.dbapi_connection
    dice = Random(4)
    for first in range(1, MANY + 1, BLOCK):
        numbers = range(first, min(first + BLOCK, MANY + 1))
        raw.executemany(
            "INSERT INTO subscriber (id, public_id, email, email_key, email_hash, name, language, zone, country, plan,"
            " attributes, joined_at, updated_at, tracked_since)"
            " VALUES (?, ?, ?, ?, ?, 'Ana Núñez', ?, ?, ?, ?, ?, ?, '2026-01-01 00:00:00.000000', ?)",
            [person(number, dice) for number in numbers],
        )
        raw.executemany(
            "INSERT INTO subscriber_topic (subscriber_id, topic, wish) VALUES (?, ?, 1)",
            ((number, topic) for number in numbers for topic in dice.sample(TOPICS, dice.randrange(5))),
        )
        raw.executemany(
            "INSERT INTO subscription (subscriber_id, digest_id, channel, device, state, consent_source, consent_wording)"
            " VALUES (?, 1, ?, ?, ?, '', '')",
            chain.from_iterable(map(wishes, numbers)),
        )
        raw.executemany(
            "INSERT INTO activity (subscriber_id, kind, day, number) VALUES (?, ?, ?, ?)",
            (deed for number in numbers if is_tracked(number) for deed in deeds(number, dice)),
        )


def person(number: int, dice: Random) -> tuple[Any, ...]:
    email = f"reader{number}@example{number % 50}.net"
    joined = NOW - timedelta(hours=dice.randrange(24 * 900))
    attributes = {
        "city": ("Madrid", "Lisboa", "Lima", "New York", "Seoul")[dice.randrange(5)],
        "score": f"{dice.random():.2f}",
        "renews": f"{2026 + dice.randrange(3)}-0{1 + dice.randrange(9)}-15",
    }
    return (
        number, f"{dice.getrandbits(128):032x}", email, email, blake2b(email.encode(), digest_size=16).digest(),
        ("en", "en", "es", "es-MX", "pt")[dice.randrange(5)],
        ("Europe/Madrid", "America/New_York", "America/Mexico_City", "UTC")[dice.randrange(4)],
        ("ES", "US", "MX", "PT", "GB", None)[dice.randrange(6)], ("free", "paid", "trial", None)[dice.randrange(4)],
        json.dumps(attributes), f"{joined:%Y-%m-%d %H:%M:%S.%f}",
        "2026-01-01 00:00:00.000000" if is_tracked(number) else None,
    )  # fmt: skip


def wishes(number: int) -> Iterator[tuple[Any, ...]]:
    state = "left" if number % 11 == 0 else "active"
    yield number, "email", "", state
    if number % 3 == 0:
        yield number, "push", f"device-{number:08}", state


def is_tracked(number: int) -> bool:
    return number % 5 < 3


DAYS = [str((NOW - timedelta(days=back)).date()) for back in range(120)]


def deeds(number: int, dice: Random) -> Iterator[tuple[Any, ...]]:
    """Six in ten readers agreed; of those, nine in ten open on 1 to 15 of the last 120 days, four in ten click now and then."""
    if number % 10:
        yield from ((number, "opened", day, 1 + dice.randrange(2)) for day in dice.sample(DAYS, 1 + dice.randrange(15)))
    if number % 5 < 2:
        yield from ((number, "clicked", day, 1) for day in dice.sample(DAYS, 1 + dice.randrange(4)))
