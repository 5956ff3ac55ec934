"""
Leaving while an edition is being sent: the time of a mail provider's one-click POST, as the provider sees it.

The web application, the sending process and the server it sends to are processes of their own, on one SQLite file with
synchronous=FULL. The floor is the same request at a path that touches no database.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import quantiles

from digest.database import open_engine
from digest.deliveries import balance_of, deliver
from digest.delivery_ids import delivery_token
from digest.press import Press
from digest.settings import Settings, read_settings
from digest.transports import outbox, smtp
from digest.web.site import build
from tests.answering import answering
from tests.bench.figure import Figure
from tests.bench.ledger import crowd, house, scratch
from tests.newsroom import KEYS, PLACE, morning, opened
from tests.sinks.running import sink

GROUP = "people"
READERS = 500_000
POSTS = 800
APART = 0.005  # seconds between the end of one request and the next
WAYS = ("outbox", "smtp")
ONE_CLICK = b"List-Unsubscribe=One-Click"
FORM = {"content-type": "application/x-www-form-urlencoded"}


def figures() -> Iterable[Figure]:
    for way in WAYS:
        with scratch() as folder:
            yield from leaving_while_sending(folder, way)


def leaving_while_sending(folder: Path, way: str) -> Iterator[Figure]:
    engine = house(folder / "digest.sqlite")
    place = morning(engine)
    crowd(engine, READERS)
    now = datetime.now(UTC)
    mailing = opened(engine, place, batch_size=500, now=now, expires_at=now + timedelta(hours=1))
    with sink("smtp", folder / "book") as server, process(serve, folder) as port:
        line = HTTPConnection("127.0.0.1", port.recv(), timeout=60)
        tokens = [delivery_token(KEYS, mailing, number) for number in range(READERS, READERS - POSTS, -1)]
        post(line, f"/m/{tokens[0]}/leave")
        with process(send, folder, mailing, way, server.port):
            wait_for(lambda: balance_of(engine, mailing).handed > 0)
            times = [post(line, f"/m/{token}/leave") for token in tokens]
            still = balance_of(engine, mailing).open
        floor = [post(line, "/healthz") for _ in range(POSTS)]
        line.close()
    engine.dispose()
    assert still, "the sending was over too soon to be measured against"
    worst, usual = quantiles(times, n=100)[98] * 1000, quantiles(times, n=2)[0] * 1000
    yield Figure(f"one-click POST while sending by {way}, p99", worst, "ms", "100 or less", worst <= 100)
    yield Figure(f"one-click POST while sending by {way}, median", usual, "ms", "25 or less", usual <= 25)
    yield Figure("a request that changes nothing, p99", quantiles(floor, n=100)[98] * 1000, "ms", "the floor", ok=True)


def post(line: HTTPConnection, path: str) -> float:
    """Seconds from the request's first byte to the answer's last."""
    time.sleep(APART)
    start = time.perf_counter()
    line.request("POST", path, ONE_CLICK, FORM)
    answer = line.getresponse()
    answer.read()
    seconds = time.perf_counter() - start
    assert answer.status in {200, 405}, answer.status
    return seconds


def wait_for(true: Callable[[], bool], seconds: float = 30.0) -> None:
    give_up = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up, "the sending did not begin"
        time.sleep(0.05)


# processes ----------------------------------------------------------------------------------------------------------


@contextmanager
def process(run: Callable[..., None], *given: object) -> Iterator[Connection]:
    """A process that runs it and is ended with the block; what it tells is heard at the connection."""
    here, there = get_context("spawn").Pipe()
    started = get_context("spawn").Process(target=run, args=(there, *given), daemon=True)
    started.start()
    try:
        yield here
    finally:
        started.kill()
        started.join(10)


def serve(told: Connection, folder: Path) -> None:
    press = Press(
        settings=Settings(home=folder), engine=open_engine(f"sqlite:///{folder / 'digest.sqlite'}"), keys=KEYS
    )
    with answering(build(press, clock=lambda: datetime.now(UTC))) as client:
        told.send(client.base_url.port)
        time.sleep(600)


def send(_told: Connection, folder: Path, mailing: int, way: str, port: int) -> None:
    settings = read_settings(
        folder, smtp_servers=f"127.0.0.1:{port}", smtp_security="none", outbox=folder / "outbox",
        smtp_bounces="bounces@news.example.org",
    )  # fmt: skip
    transport = {"outbox": outbox, "smtp": smtp}[way].open_transport(settings, PLACE)
    engine = open_engine(f"sqlite:///{folder / 'digest.sqlite'}")
    deliver(engine, {"outbox": transport}, mailing=mailing, keys=KEYS, lease=60, clock=lambda: datetime.now(UTC))
