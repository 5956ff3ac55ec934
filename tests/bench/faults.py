"""
What slow readers cost the quick ones: a mailing of 10,000 over SMTP, 200 of them at servers that take a second for each.

Rounds with and without them alternate. What is measured is the time until the last quick one is taken, by the sink's own
book; everybody's delivery is counted in every round.
"""

import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from digest.deliveries import deliver
from digest.settings import read_settings
from digest.transports.smtp import open_transport
from tests.bench.figure import Figure
from tests.bench.ledger import house
from tests.newsroom import KEYS, PLACE, morning, opened, readers
from tests.sinks.running import Sink, sink

GROUP = "press"
QUICK, SLOW = 9_800, 200
EVERY = (QUICK + SLOW) // SLOW  # one reader in so many is slow
SECONDS = 1.0
ROUNDS = 5
A_LINE = 100  # bytes at least of the book for each message

Address = Callable[[int], str]


def figures() -> Iterable[Figure]:
    """The slow ones at one domain, which the client gets to know; and each at a domain of its own, which nobody knows."""
    one, each = beside(lambda _: "slow.example"), beside(lambda number: f"slow{number}.example")
    rounds = [(seconds(alone), seconds(one, SLOW), seconds(each, SLOW)) for _ in range(ROUNDS)]
    for name, at in (("one domain", 1), ("200 domains", 2)):
        ratio = median(one[at] / one[0] for one in rounds)
        yield Figure(f"SMTP: 9,800 quick beside 200 slow at {name}", ratio, "ratio", "1.2 or less", ratio <= 1.2)
    rate = QUICK / median(one[0] for one in rounds)
    yield Figure("SMTP: the quick ones alone, ledger included", rate, "messages/s", "to compare", ok=True)


def alone(number: int) -> str:
    return f"reader{number}@quick.example"


def beside(domain: Address) -> Address:
    return lambda number: f"reader{number}@{domain(number)}" if number % EVERY == 0 else alone(number)


def seconds(address: Address, slow: int = 0) -> float:
    """From the beginning of the run to the last quick one."""
    with tempfile.TemporaryDirectory(prefix="digest-bench-") as place:
        folder, count = Path(place), QUICK + slow
        engine = house(folder / "faults.sqlite")
        press, now = morning(engine), datetime.now(UTC)
        readers(engine, count, email=address)
        mailing = opened(engine, press, batch_size=500, now=now, expires_at=now + timedelta(hours=6))
        slowly = {domain: SECONDS for number in range(1, count + 1) if (domain := domain_of(address(number)))}
        with sink("smtp", folder / "book", slow=slowly) as server, hurried(server, count):
            settings = read_settings(
                folder, smtp_servers=(f"127.0.0.1:{server.port}",), smtp_security="none", smtp_bounces="b@example.org"
            )
            transport, began = open_transport(settings, PLACE), time.monotonic()
            balance = deliver(
                engine, {"outbox": transport}, mailing=mailing, keys=KEYS, lease=60, clock=lambda: datetime.now(UTC)
            )
            transport.close()
            taken = server.taken
        engine.dispose()
        assert (balance.done, balance.handed) == (True, count), balance.words
        assert len({one.address for one in taken}) == len(taken) == count
        return max(one.at for one in taken if "@quick" in one.address) - began


def domain_of(address: str) -> str:
    """A slow reader's domain, else nothing."""
    domain = address.rpartition("@")[2]
    return domain if domain.startswith("slow") else ""


@contextmanager
def hurried(server: Sink, count: int) -> Iterator[None]:
    """Once all but the slow ones are taken, the sink is told to be quick with those too: how long they take is known."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            if server.size > QUICK * A_LINE and sum("@quick" in one.address for one in server.taken) == QUICK:
                server.hurry()
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
