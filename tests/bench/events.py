"""What a provider tells of a mailing: ten times over, shuffled, with lies between, against the same told once and in order."""

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from sqlalchemy import Engine

from digest.deliveries import claim, record
from digest.delivery_ids import LENGTH
from digest.press import Press
from digest.settings import Settings
from digest.values import DeliveryState, Receipt
from digest.web.site import build
from tests.answering import answering
from tests.bench.figure import Figure
from tests.bench.ledger import crowd, house, scratch
from tests.newsroom import KEYS, NOW, morning, opened
from tests.sendgrid_events import AT, BLOCKED, BOUNCED, FULL, PATH, Signer, told

GROUP = "press"
READERS = 10_000
TIMES = 10
FORGED = 0.02  # of all that is told
IN_ONE_POST = 1_000
SIGNER = Signer()

TABLES = {
    "delivery": "number, state, reason, updated_at, next_at, subscriber_id, target, batch_id",
    "event": "key, provider, kind, at, month, mailing_id, number, target, delivery, permanent, reason",
    "suppression": "email_hash, reason, note",
    "subscription": "id, state",
}


def figures() -> Iterator[Figure]:
    with scratch() as folder:
        clean, noisy = sent(folder / "clean.sqlite"), sent(folder / "noisy.sqlite")
        truth = list(stream())
        tell(clean, folder, [post(truth[at : at + IN_ONE_POST]) for at in range(0, len(truth), IN_ONE_POST)])
        posts, forged = noise(truth)
        events = TIMES * len(truth) + forged
        processor, answers = tell(noisy, folder, posts)
        differing = sum(rows(clean, table) != rows(noisy, table) for table in TABLES)
        moved = sum(1 for state in rows(clean, "delivery") if state[1] != "accepted")
        clean.dispose()
        noisy.dispose()
    name = f"tables unlike the clean stream's: {events:,} events, {forged:,} forged"
    yield Figure(name, differing, "tables", "0", differing == 0)
    yield Figure("deliveries that the clean stream moves", moved, "deliveries", "9,000 or more", moved >= 9000)
    refused, lies = answers.count(403), sum(not is_true for _, _, is_true in posts)
    yield Figure("POSTs that were refused", refused, "POSTs", f"the {lies} forged ones", refused == lies)
    rate = events / processor
    yield Figure(
        "events heard over HTTP, signed, on SQLite, client included",
        rate,
        "/s and core",
        "10,000 or more",
        rate >= 10_000,
    )


def sent(file: Path) -> Engine:
    """A mailing of READERS, each delivery accepted but for those of its last batch, which are unconfirmed."""
    engine = house(file)
    place = morning(engine)
    crowd(engine, READERS)
    opened(engine, place, batch_size=500)
    taken = 0
    while batch := claim(engine, owner="bench", now=NOW, lease=60, transports=["outbox"], keys=KEYS):
        taken += len(batch.recipients)
        state = DeliveryState.AMBIGUOUS if taken == READERS else DeliveryState.ACCEPTED
        record(engine, batch, [Receipt(one.number, state) for one in batch.recipients], now=NOW)
    return engine


def stream() -> Iterator[dict[str, object]]:
    """Every reader's mail is processed; most are delivered, the rest bounce, are blocked, dropped or complained about."""
    chance = random.Random(7)
    for number in range(1, READERS + 1):
        yield told(number, "processed", AT)
        fate = chance.random()
        if fate < 0.94:
            yield told(number, "delivered", AT + chance.randint(1, 60), response="250 ok")
        if fate < 0.01:
            yield told(number, "spamreport", AT + 900)
        elif fate < 0.02:
            yield told(number, "group_unsubscribe", AT + 901, url="https://u.example/")
        elif fate < 0.03:
            yield told(number, "bounce", AT + 902, **BOUNCED)
        elif fate > 0.98:
            yield told(number, "bounce", AT + 30, **BOUNCED)
        elif fate > 0.96:
            yield told(number, "bounce", AT + 31, **BLOCKED)
        elif fate > 0.95:
            yield told(number, "bounce", AT + 32, **FULL)
        elif fate > 0.94:
            yield told(number, "dropped", AT + 1, reason="Bounced Address")


Post = tuple[bytes, dict[str, str], bool]
"""A body, its headers, and whether it is to be heard."""


def post(events: list[dict[str, object]], signer: Signer = SIGNER) -> Post:
    body = json.dumps(events).encode()
    return body, signer.headers(body), signer is SIGNER


def noise(truth: list[dict[str, object]]) -> tuple[list[Post], int]:
    """All of it TIMES over and shuffled; and lies: of a name that is not ours, signed, or of a true one, signed by another."""
    chance = random.Random(11)
    many = truth * TIMES
    forged = int(FORGED * len(many) / (1 - FORGED))
    named = forged // 2
    many += [told(n, "spamreport", delivery=f"{chance.getrandbits(4 * LENGTH):0{LENGTH}x}") for n in range(named)]
    chance.shuffle(many)
    posts = [post(many[at : at + IN_ONE_POST]) for at in range(0, len(many), IN_ONE_POST)]
    lies = [told(chance.randint(1, READERS), "bounce", AT + 999, **BOUNCED) for _ in range(forged - named)]
    another = Signer()
    posts += [post(lies[at : at + IN_ONE_POST], another) for at in range(0, len(lies), IN_ONE_POST)]
    chance.shuffle(posts)
    return posts, forged


def tell(engine: Engine, home: Path, posts: list[Post]) -> tuple[float, list[int]]:
    """Seconds of processor, and what was answered."""
    press = Press(settings=Settings(home=home, sendgrid_webhook_key=SIGNER.setting), engine=engine, keys=KEYS)
    with answering(build(press, clock=lambda: NOW)) as client:
        before = time.process_time()
        answers = [answer(client, body, headers) for body, headers, _ in posts]
        return time.process_time() - before, answers


def answer(client: httpx.Client, body: bytes, headers: dict[str, str]) -> int:
    return client.post(PATH, content=body, headers=headers).status_code


def rows(engine: Engine, table: str) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        found = connection.exec_driver_sql(f"SELECT {TABLES[table]} FROM {table}")
        return sorted((tuple(row) for row in found), key=str)
