"""
One edition to very many readers, fill and ledger included: by a SendGrid-shaped sink, and by SMTP beside smtp-source.

Each run is a process of its own on a fresh copy of the same database; start-up is left out. It takes about twenty minutes.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from digest.splice import fill
from tests.bench._edition import Cost, delivered, letter, stocked
from tests.bench.figure import Figure
from tests.bench.ledger import scratch
from tests.bench.smtp import LINES, sink, source
from tests.sendgrid_mail import reader
from tests.sinks.running import sink as running

GROUP = "press"
SIZES = (10_000, 100_000, 1_000_000)
SIZE = 50_000  # bytes of a message
ROUNDS = 5
ROOM = 100.0  # megabytes above the imports


def figures() -> Iterable[Figure]:
    with scratch() as folder:
        yield from by_sendgrid(folder)
        yield from by_smtp(folder)


def by_sendgrid(folder: Path) -> Iterator[Figure]:
    costs: dict[int, Cost] = {}
    with running("sendgrid", folder / "book", skims=True) as there:
        settings = {"sendgrid_key": "SG.bench", "sendgrid_host": f"http://127.0.0.1:{there.port}"}
        for readers in SIZES:
            stock = stocked(folder / f"{readers}.sqlite", readers, SIZE)
            runs = [delivered(stock, "sendgrid", settings) for _ in range(ROUNDS if readers < SIZES[-1] else 3)]
            costs[readers] = sorted(runs, key=lambda one: one.cpu)[len(runs) // 2]
            assert costs[readers].handed == readers, costs[readers].words
            stock.unlink()
    yield from of_sendgrid(costs)


def of_sendgrid(costs: dict[int, Cost]) -> Iterator[Figure]:
    all_of_it, middle = costs[SIZES[-1]], costs[SIZES[1]]
    delivering = middle.each(middle.cpu - middle.filling_cpu)
    rate = 1e6 / delivering
    yield Figure(
        "SendGrid: readers a second and core, without the fill", rate, "readers/s", "100,000 or more", rate >= 1e5
    )
    yield Figure("SendGrid, a million: wall", all_of_it.wall, "s", "30 or less", all_of_it.wall <= 30)
    yield Figure("SendGrid, a million: CPU", all_of_it.cpu, "s", "15 or less", all_of_it.cpu <= 15)
    yield Figure("SendGrid, a million: the fill's part", all_of_it.filling, "s", "5 or less", all_of_it.filling <= 5)
    added = all_of_it.peak - all_of_it.before
    yield Figure("SendGrid, a million: memory above the imports", added, "MiB", "100 or less", added <= ROOM)
    grown = all_of_it.peak - middle.peak
    yield Figure("SendGrid: memory a million adds to a hundred thousand", grown, "MiB", "10 or less", grown <= 10)
    each = [cost.each(cost.cpu) for cost in costs.values()]
    for readers, figure in zip(costs, each, strict=True):
        yield Figure(f"SendGrid, {readers:,}: CPU for each", figure, "us", "stated", ok=True)
    spread = max(each) / min(each)
    yield Figure("SendGrid: dearest of these by cheapest", spread, "times", "1.3 or less", spread <= 1.3)


def by_smtp(folder: Path) -> Iterator[Figure]:
    message = folder / "message.eml"
    message.write_bytes(fill(letter(SIZE), reader(1)))
    with sink() as port:
        settings = {
            "smtp_servers": [f"127.0.0.1:{port}"], "smtp_security": "none", "smtp_hello": "press.example.org",
            "smtp_connections": LINES,
        }  # fmt: skip
        yield from beside_source(folder, 100_000, ROUNDS, port, message, settings)
        yield from beside_source(folder, 1_000_000, 1, port, message, settings)


def beside_source(
    folder: Path, readers: int, rounds: int, port: int, message: Path, settings: dict[str, Any]
) -> Iterator[Figure]:
    stock = stocked(folder / "smtp.sqlite", readers, SIZE)
    runs = [(source(port, message, readers), delivered(stock, "smtp", settings)) for _ in range(rounds)]
    stock.unlink()
    assert all(cost.handed == readers for _, cost in runs), runs[0][1].words
    slower = median(cost.wall / (one.wall * readers) for one, cost in runs)
    cpu = median(cost.cpu for _, cost in runs)
    ceiling = 60 * readers / 1_000_000
    yield Figure(
        f"SMTP, {readers:,}: wall, fill included, of smtp-source's", slower, "times", "1.25 or less", slower <= 1.25
    )
    yield Figure(f"SMTP, {readers:,}: CPU", cpu, "s", f"{ceiling:g} or less", cpu <= ceiling)
    yield Figure(
        f"SMTP, {readers:,}: CPU of smtp-source", median(one.cpu * readers for one, _ in runs), "s", "stated", ok=True
    )
    yield Figure(
        f"SMTP, {readers:,}: messages", median(readers / cost.wall for _, cost in runs), "a second", "stated", ok=True
    )
    added = max(cost.peak - cost.before for _, cost in runs)
    yield Figure(f"SMTP, {readers:,}: memory above the imports", added, "MiB", "100 or less", added <= ROOM)
