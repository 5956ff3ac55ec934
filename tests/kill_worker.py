"""What the kill tests of the transports run in processes of their own: deliver, and perhaps meet a deadly row."""

import os
import secrets
import signal
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from digest.crashes import VARIABLE
from digest.database import open_engine
from digest.deliveries import deliver, restored_at
from digest.parts import load_part
from digest.settings import read_settings
from digest.transports import Mark, Transport
from digest.values import Proof, Receipt, Recipient
from tests.newsroom import KEYS, PLACE

CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "tests.worker",
        "tests.kill_worker",
        "digest.transports.smtp",
        "digest.transports.sendgrid",
        "digest.transports.outbox",
    ]
)


def work(
    url: str, mailing: int, by: str, settings: dict[str, Any], stamps: Path, far: bool, deadly: int = 0, dies_at: str = ""
) -> None:  # fmt: skip
    """
    Deliver until nothing is left, waiting out the leases of others.

    `deadly`: the number of a delivery that ends this process whenever it is about to leave. `dies_at`: a crash point.
    """
    os.environ[VARIABLE] = dies_at
    engine, wanted = open_engine(url), read_settings(**settings)
    assert restored_at(engine, stamps, now=datetime.now(UTC)) is None, "a kill is taken for a restored backup"
    transport = load_part("transports", by).open_transport(wanted, PLACE)
    deliver(
        engine, {by: Deadly(transport, deadly) if deadly else transport}, mailing=mailing, keys=KEYS,
        lease=wanted.lease, clock=lambda: datetime.now(UTC), patience=2 * wanted.lease, stamps=stamps,
        owner=f"another machine/{os.getpid()}/{secrets.token_hex(4)}" if far else "",
    )  # fmt: skip
    transport.close()


@dataclass
class Deadly:
    """A transport in which one number is the end of the process, as a row would be that crashes some library."""

    inner: Transport
    number: int

    @property
    def appetite(self) -> int:
        return self.inner.appetite

    def send(self, proof: Proof, recipients: Sequence[Recipient], mark: Mark) -> Iterator[Receipt]:
        return self.inner.send(proof, recipients, Mine(mark, self.number))

    def prove(self, proof: Proof, recipient: Recipient) -> bool | None:
        return self.inner.prove(proof, recipient)

    def close(self) -> None:
        self.inner.close()


@dataclass
class Mine:
    """The ledger's mark, with that number in it."""

    mark: Mark
    number: int

    @property
    def stopped(self) -> bool:
        return self.mark.stopped

    def __call__(self, numbers: Collection[int], done: Sequence[Receipt] = ()) -> set[int]:
        self._step(numbers)
        return self.mark(numbers, done)

    def soon(self, numbers: Collection[int], done: Sequence[Receipt], then: Callable[[set[int]], None]) -> None:
        self._step(numbers)
        self.mark.soon(numbers, done, then)

    def _step(self, numbers: Collection[int]) -> None:
        if self.number in numbers:
            os.kill(os.getpid(), signal.SIGKILL)
