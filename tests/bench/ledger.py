"""The ledger and the outbox: a million deliveries filled, claimed and recorded; files a second."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from hashlib import blake2b
from pathlib import Path
from random import Random
from statistics import median

from sqlalchemy import Engine

from digest.database import migrate, open_engine, reading
from digest.deliveries import claim, deliver, mark, record, waves_of
from digest.transports.outbox import Outbox
from digest.values import Compiled, DeliveryState, Proof, Receipt, Recipient, Variant
from digest.windows import HALF_HOURS, Rhythm
from subscribers.zones import zones
from tests.bench.figure import Figure
from tests.newsroom import KEYS, MAIL, NOW, PLACE, morning, opened, readers

GROUP = "morning"
MANY = 1_000_000
CLAIMED = 100  # batches
FILES = 5_000
ROUNDS = 3
MAIL_BYTES = 24_000


def figures() -> Iterable[Figure]:
    with scratch() as folder:  # cleared at the very end: ext4 makes files slowly where many were just removed
        yield from outbox(folder)
        yield from whole_line(folder)
        yield from ledger(folder)
        yield from in_waves(folder)


def in_waves(folder: Path) -> Iterator[Figure]:
    """Readers in every zone, each with an hour of their own, by dice."""
    engine = house(folder / "waves.sqlite")
    place, dice = morning(engine), Random(5)
    crowd(engine, MANY)
    scatter(engine, dice)
    released = NOW - timedelta(days=1)
    plan = Rhythm(day=NOW.date(), at="07:00", zone="UTC", home="UTC", local=True, released=released)
    before, start = fresh_peak(), time.perf_counter()
    mailing = opened(engine, place, batch_size=500, now=released, rhythm=plan)
    seconds = time.perf_counter() - start
    yield Figure("fill of 1,000,000 deliveries in waves", seconds, "s", "60 or less", seconds <= 60)
    yield Figure("memory that fill adds", peak() - before, "MB", "150 or less", peak() - before <= 150)
    with reading(engine) as session:
        waves = [wave.instant for wave in waves_of(session, mailing) if wave.instant]
    yield Figure("waves of that day", len(waves), "instants", "stated", ok=True)
    box, told = {"outbox": Outbox(folder / "waves", PLACE)}, list[float]()
    start = time.perf_counter()
    deliver(
        engine, box, mailing=mailing, keys=KEYS, lease=60, clock=lambda: waves[80], stop=lambda: bool(told),
        told=lambda closed, _: told.append(time.perf_counter()) if closed else None,
    )  # fmt: skip
    first = told[0] - start
    yield Figure("from the instant of a wave to its first message on its way", first, "s", "5 or less", first <= 5)
    engine.dispose()


def scatter(engine: Engine, dice: Random) -> None:
    places = sorted(zones())
    with engine.begin() as connection:
        raw = connection.connection.dbapi_connection
        everyone = range(1, MANY + 1)
        raw.executemany("UPDATE subscriber SET zone = ? WHERE id = ?", ((dice.choice(places), n) for n in everyone))
        raw.executemany(
            "UPDATE subscription SET hour = ? WHERE id = ?", ((dice.choice(HALF_HOURS), n) for n in everyone)
        )


def ledger(folder: Path) -> Iterator[Figure]:
    engine = house(folder / "ledger.sqlite")
    place = morning(engine)
    crowd(engine, MANY)
    before, start = fresh_peak(), time.perf_counter()
    opened(engine, place, batch_size=500)
    seconds = time.perf_counter() - start
    yield Figure("fill of 1,000,000 deliveries", seconds, "s", "5 or less", seconds <= 5)
    yield Figure("memory the fill adds", peak() - before, "MB", "50 or less", peak() - before <= 50)
    start, rows = time.process_time(), 0
    for _ in range(CLAIMED):
        batch = claim(engine, owner="bench", now=NOW, lease=60, transports=["outbox"], keys=KEYS)
        numbers = [one.number for one in batch.recipients]
        mark(engine, batch, numbers, now=NOW)
        record(engine, batch, [Receipt(number=n, state=DeliveryState.ACCEPTED) for n in numbers], now=NOW)
        rows += len(numbers)
    each = (time.process_time() - start) / rows * 1e6
    yield Figure("claim, mark and record one delivery", each, "us of CPU", "30 or less", each <= 30)
    engine.dispose()


def outbox(folder: Path) -> Iterator[Figure]:
    """Beside the same bytes written plainly and never synced, in alternation: that is the ceiling of this disk."""
    rounds = [(files_a_second(folder, n), plain_files_a_second(folder, n)) for n in range(ROUNDS)]
    rate, plain = (median(one) for one in zip(*rounds, strict=True))
    yield Figure("outbox files of 24 KB, durable", rate, "files/s", "at least 5,000", rate >= 5000)
    yield Figure("the same by plain unsynced writes", rate / plain, "ratio", "0.3 or more", rate / plain >= 0.3)


def files_a_second(folder: Path, run: int) -> float:
    mail = Compiled((*MAIL.pieces, b"x" * MAIL_BYTES), MAIL.blanks)
    proof = Proof(
        channel="email", variant=Variant(segment="", language="en"), subject="", preheader="", html="", text="",
        push="", compiled=mail, content_hash="c",
    )  # fmt: skip
    everyone = [
        Recipient(number=n, delivery_id=f"{n:040x}", address=f"r{n}@example.net", name="Ana", token="t", date="d")
        for n in range(1, FILES + 1)
    ]
    os.sync()
    box, start = Outbox(folder / f"outbox{run}", PLACE), time.perf_counter()
    return sum(1 for _ in box.send(proof, everyone, set)) / (time.perf_counter() - start)


def plain_files_a_second(folder: Path, run: int) -> float:
    place = folder / f"plain{run}"
    place.mkdir()
    os.sync()
    content, start = b"x" * MAIL_BYTES, time.perf_counter()
    for number in range(FILES):
        handle = os.open(place / str(number), os.O_WRONLY | os.O_CREAT)
        os.write(handle, content)
        os.close(handle)
    return FILES / (time.perf_counter() - start)


def whole_line(folder: Path) -> Iterator[Figure]:
    engine = house(folder / "line.sqlite")
    place = morning(engine)
    readers(engine, FILES)
    mailing, box = opened(engine, place, batch_size=500), {"outbox": Outbox(folder / "line", PLACE)}
    os.sync()
    start = time.perf_counter()
    balance = deliver(engine, box, mailing=mailing, keys=KEYS, lease=60, clock=lambda: NOW)
    rate = balance.handed / (time.perf_counter() - start)
    yield Figure("claimed, filled, written and recorded", rate, "deliveries/s", "3,000 or more", rate >= 3000)
    engine.dispose()


# set-up -------------------------------------------------------------------------------------------------------------


@contextmanager
def scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="digest-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def house(file: Path) -> Engine:
    engine = open_engine(f"sqlite:///{file}")
    migrate(engine)
    return engine


def crowd(engine: Engine, count: int) -> None:
    """Readers by the driver itself: what is measured comes after. One in twenty has a name that needs escaping."""
    people = (
        "INSERT INTO subscriber (id, public_id, email, email_key, email_hash, name, language, zone, attributes, joined_at,"
        " updated_at) VALUES (?, ?, ?, ?, ?, ?, 'en', 'UTC', '{}', '2026-01-01', '2026-01-01')"
    )
    wish = (
        "INSERT INTO subscription (subscriber_id, digest_id, channel, device, state, consent_source, consent_wording)"
        " VALUES (?, 1, 'email', '', 'active', '', '')"
    )
    with engine.begin() as connection:
        raw = connection.connection.dbapi_connection
        for first in range(1, count + 1, 50_000):
            numbers = range(first, min(first + 50_000, count + 1))
            rows = [
                (n, f"p{n}", e := f"reader{n}@example.net", e, blake2b(e.encode(), digest_size=16).digest(), named(n))
                for n in numbers
            ]
            raw.executemany(people, rows)
            raw.executemany(wish, [(n,) for n in numbers])


def named(number: int) -> str:
    return f"Zoë O'Neill {number}" if number % 20 == 0 else f"Ana Garcia {number}"


def fresh_peak() -> float:
    """Megabytes in memory now, from where the next `peak` starts to look."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return peak()


def peak() -> float:
    """Megabytes in memory at most since `fresh_peak`."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
