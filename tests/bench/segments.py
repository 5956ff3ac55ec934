"""Segments over a million readers on SQLite: typical rules counted, one pass of an explanation, and a fill by a rule."""

import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from hashlib import blake2b
from itertools import chain, starmap
from random import Random
from typing import Any

from sqlalchemy import Engine

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
        crowd(engine)
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


def crowd(engine: Engine) -> None:
    """Readers, topics, subscriptions, opens and clicks by the driver itself: what is measured comes after."""
    with engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        for quicker in ("foreign_keys=OFF", "synchronous=OFF", "cache_size=-400000"):
            raw.execute(f"PRAGMA {quicker}")
        raw.execute("BEGIN")
        people_the_tables(raw)
        raw.execute("COMMIT")
    engine.dispose()  # what is measured gets a connection as everybody has it


def people_the_tables(raw: Any) -> None:
    dice = Random(4)
    for first in range(1, MANY + 1, BLOCK):
        numbers = [(number, dice.getrandbits(128)) for number in range(first, min(first + BLOCK, MANY + 1))]
        raw.executemany(
            "INSERT INTO subscriber (id, public_id, email, email_key, email_hash, name, language, zone, country, plan,"
            " attributes, joined_at, updated_at, tracked_since)"
            " VALUES (?, ?, ?, ?, ?, 'Ana Núñez', ?, ?, ?, ?, ?, ?, '2026-01-01 00:00:00.000000', ?)",
            starmap(person, numbers),
        )
        for insert, rows in (
            ("INSERT INTO subscriber_topic (subscriber_id, topic, wish) VALUES (?, ?, 1)", topics),
            ("INSERT INTO subscription (subscriber_id, channel, device, state, digest_id, consent_source, consent_wording) VALUES (?, ?, ?, ?, 1, '', '')", wishes),
            ("INSERT INTO activity (subscriber_id, kind, day, number) VALUES (?, ?, ?, ?)", deeds),
        ):  # fmt: skip
            raw.executemany(insert, chain.from_iterable(starmap(rows, numbers)))


def person(number: int, bits: int) -> tuple[Any, ...]:
    """`bits` are the reader's own 128 by chance: each field takes others of them."""
    email = f"reader{number}@example{number % 50}.net"
    attributes = f'{{"city": "{CITIES[bits % 5]}", "score": "{(bits >> 8) % 100 / 100}", "renews": "{2026 + (bits >> 16) % 3}-06-15"}}'
    return (
        number, f"{bits:032x}", email, email, blake2b(email.encode(), digest_size=16).digest(),
        LANGUAGES[(bits >> 24) % 5], ZONES[(bits >> 32) % 4], COUNTRIES[(bits >> 40) % 6], PLANS[(bits >> 48) % 4],
        attributes, JOINED[(bits >> 56) % 900], "2026-01-01 00:00:00.000000" if is_tracked(number) else None,
    )  # fmt: skip


def topics(number: int, bits: int) -> Iterator[tuple[Any, ...]]:
    start, count = (bits >> 64) % 8, (bits >> 72) % 5
    return ((number, topic) for topic in (TOPICS * 2)[start : start + count])


def wishes(number: int, _bits: int) -> Iterator[tuple[Any, ...]]:
    state = "left" if number % 11 == 0 else "active"
    yield number, "email", "", state
    if number % 3 == 0:
        yield number, "push", f"device-{number:08}", state


def deeds(number: int, bits: int) -> Iterator[tuple[Any, ...]]:
    """Six in ten readers agreed; of those, most open on up to 15 of the last 120 days, some click now and then."""
    if not is_tracked(number):
        return
    first, step, count = (bits >> 80) % 90, 1 + (bits >> 88) % 7, (bits >> 96) % 16
    yield from ((number, "opened", day, 1 + step % 2) for day in DAYS[first::step][:count])
    if number % 5 < 2:
        yield from ((number, "clicked", day, 1) for day in DAYS[first :: step * 3][: 1 + count % 4])


def is_tracked(number: int) -> bool:
    return number % 5 < 3


CITIES = ("Madrid", "Lisboa", "Lima", "New York", "Seoul")
LANGUAGES = ("en", "en", "es", "es-MX", "pt")
ZONES = ("Europe/Madrid", "America/New_York", "America/Mexico_City", "UTC")
COUNTRIES = ("ES", "US", "MX", "PT", "GB", None)
PLANS = ("free", "paid", "trial", None)
JOINED = [f"{NOW - timedelta(days=back):%Y-%m-%d %H:%M:%S.%f}" for back in range(900)]
DAYS = [str((NOW - timedelta(days=back)).date()) for back in range(120)]
