"""
Mail by SMTP, ledger included, beside the quickest sender there is: Postfix's smtp-source against its own smtp-sink.

Every sender hands the same 50 KB over by ten connections; the rounds alternate. Postfix itself is never started.
"""

import asyncio
import os
import shutil
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

import aiosmtplib

from digest.splice import fill
from tests.bench._edition import delivered, letter, stocked
from tests.bench.figure import Figure
from tests.bench.ledger import scratch
from tests.sendgrid_mail import reader

GROUP = "press"
SIZE, LINES = 50_000, 10
MANY, FEW, ROUNDS = 20_000, 4000, 5
FROM, TO = "bounces@example.org", "reader@example.net"
PATHS = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))


class Run(NamedTuple):
    """One round of one sender, for each message: seconds of wall, and of CPU."""

    wall: float
    cpu: float


def figures() -> Iterable[Figure]:
    if not shutil.which("smtp-sink", path=PATHS):
        yield Figure("SMTP: smtp-source and smtp-sink, of the package postfix", 0, "missing", "installed", ok=False)
        return
    with scratch() as folder, sink() as port:
        message = folder / "message.eml"
        message.write_bytes(fill(letter(SIZE), reader(1)))
        stock = stocked(folder / "stock.sqlite", MANY, SIZE)
        rounds = [
            (
                source(port, message, MANY), ours(port, stock),
                by_client("_smtplib", port, message), by_client("_aiosmtplib", port, message),
            )
            for _ in range(ROUNDS)
        ]  # fmt: skip
    yield from compared(rounds)


def compared(rounds: list[tuple[Run, ...]]) -> Iterator[Figure]:
    rate = median(one[0].wall / one[1].wall for one in rounds)
    work = median(one[1].cpu / one[0].cpu for one in rounds)
    yield Figure("SMTP: our rate, ledger included, of smtp-source's", rate, "times", "0.9 or more", rate >= 0.9)
    yield Figure("SMTP: our CPU, ledger included, of smtp-source's", work, "times", "2 or less", work <= 2)
    for at, name in enumerate(("smtp-source", "ours, ledger included", "smtplib", "aiosmtplib")):
        yield Figure(f"SMTP: {name}", median(1 / one[at].wall for one in rounds), "messages/s", "stated", ok=True)
        yield Figure(f"SMTP: {name}", median(one[at].cpu for one in rounds) * 1e6, "us of CPU", "stated", ok=True)
    for at, name in ((2, "smtplib"), (3, "aiosmtplib")):
        slower = median(one[0].wall / one[at].wall for one in rounds)
        yield Figure(f"SMTP: the rate of {name}, of smtp-source's", slower, "times", "stated", ok=True)


# senders ------------------------------------------------------------------------------------------------------------


def source(port: int, message: Path, count: int) -> Run:
    command = [
        "smtp-source", "-4", "-d", "-s", str(LINES), "-m", str(count), "-F", str(message), "-f", FROM, "-t", TO,
        f"127.0.0.1:{port}",
    ]  # fmt: skip
    before, start = os.times(), time.perf_counter()
    subprocess.run(command, check=True, env={**os.environ, "PATH": PATHS}, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Run(wall / count, cpu / count)


def ours(port: int, stock: Path) -> Run:
    settings = {
        "smtp_servers": [f"127.0.0.1:{port}"], "smtp_security": "none", "smtp_hello": "press.example.org",
        "smtp_connections": LINES,
    }  # fmt: skip
    cost = delivered(stock, "smtp", settings)
    assert cost.handed == MANY, cost.words
    return Run((cost.wall - cost.filling) / MANY, cost.cpu / MANY)


def by_client(name: str, port: int, message: Path) -> Run:
    """A process of its own that sends with a library; its imports are left out."""
    command = [sys.executable, "-m", "tests.bench.smtp", name, str(port), str(message)]
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    return Run(*(float(word) / FEW for word in said.stdout.split()))


def _smtplib(port: int, message: bytes) -> None:
    def line(_: int) -> None:
        with smtplib.SMTP("127.0.0.1", port, local_hostname="press.example.org") as client:
            for _ in range(FEW // LINES):
                client.sendmail(FROM, TO, message)

    with ThreadPoolExecutor(LINES) as threads:
        list(threads.map(line, range(LINES)))


def _aiosmtplib(port: int, message: bytes) -> None:
    async def line() -> None:
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False) as client:
            for _ in range(FEW // LINES):
                await client.sendmail(FROM, TO, message)

    async def everybody() -> None:
        await asyncio.gather(*(line() for _ in range(LINES)))

    asyncio.run(everybody())


# the sink -----------------------------------------------------------------------------------------------------------


@contextmanager
def sink() -> Iterator[int]:
    """The port of a running smtp-sink."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = ["-u", "nobody"] if os.geteuid() == 0 else []
    process = subprocess.Popen(
        ["smtp-sink", "-m", "300", *own, f"127.0.0.1:{port}", "1000"],
        env={**os.environ, "PATH": PATHS}, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until_it_listens(port)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def until_it_listens(port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("smtp-sink does not listen")


def main(name: str, port: int, message: bytes) -> None:
    send: Callable[[int, bytes], None] = {"_smtplib": _smtplib, "_aiosmtplib": _aiosmtplib}[name]
    start, cpu = time.perf_counter(), time.process_time()
    send(port, message)
    print(time.perf_counter() - start, time.process_time() - cpu)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]).read_bytes())
