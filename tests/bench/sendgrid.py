"""
SendGrid's transport against a sink in a process of its own: what a reader costs, and what of it is only the network.

The floor posts the same bytes, already made, over the same kept connection, in alternation within the run.
"""

import socket
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from multiprocessing import get_context
from multiprocessing.connection import Connection
from statistics import median
from time import perf_counter, process_time

from digest.sendgrid.envelope import Letter
from digest.settings import read_settings
from digest.transports.sendgrid import SendGrid, open_transport
from digest.values import Recipient
from tests.bench.figure import Figure
from tests.sendgrid_mail import printed
from tests.sendgrid_stand_in import KEY, Ours

GROUP = "press"
READERS = 50_000  # of one round
BATCH = 500  # readers of one batch, and of one request
ROUNDS = 7
ODD = 20  # one reader in so many has a name that needs escaping
CEILING = 4.0  # us of CPU for each reader, so that with the ledger 100,000 fit into a second of one core


def figures() -> Iterable[Figure]:
    proof, batches = printed(stories=10), list(crowd())
    letter = Letter(proof.compiled)
    with sink() as port:
        transport = open_transport(read_settings(sendgrid_key=KEY, sendgrid_host=f"http://127.0.0.1:{port}"), "")
        line = HTTPConnection("127.0.0.1", port)
        hand(transport, proof, batches[:2])
        rounds = [
            (
                cpu(hand, transport, proof, batches),
                cpu(post, line, letter, made(letter, batches)),
                cpu(fill, letter, batches),
            )
            for _ in range(ROUNDS)
        ]
        wall = perf_counter()
        hand(transport, proof, batches)
        wall = READERS / (perf_counter() - wall)
        transport.close()
        line.close()
    whole, floor, envelope = (median(one) for one in zip(*rounds, strict=True))
    yield Figure(
        "SendGrid: one reader, all but the ledger", whole, "us of CPU", f"{CEILING:g} or less", whole <= CEILING
    )
    yield Figure("SendGrid: of that, their part of the request", envelope, "us of CPU", "2.5 or less", envelope <= 2.5)
    yield Figure("SendGrid: the same bytes, ready made", floor, "us of CPU", "the floor", ok=True)
    yield Figure("SendGrid: readers by one thread", wall, "readers/s", "at least 100,000", wall >= 100_000)


def crowd() -> Iterator[list[Recipient]]:
    for first in range(1, READERS, BATCH):
        yield [guest(number) for number in range(first, first + BATCH)]


def guest(number: int) -> Recipient:
    name = f"José Núñez {number}" if number % ODD == 0 else f"Ana Garcia {number}"
    return Recipient(
        number=number, delivery_id=f"{number:040x}", address=f"reader{number}@example{number % 500}.net", name=name,
        token=f"{number:028d}", date="Mon, 23 Nov 2026 06:00:00 +0000",
    )  # fmt: skip


def hand(transport: SendGrid, proof: object, batches: Sequence[list[Recipient]]) -> None:
    accepted = sum(1 for batch in batches for _ in transport.send(proof, batch, Ours()))
    assert accepted == BATCH * len(batches)


def fill(letter: Letter, batches: Sequence[list[Recipient]]) -> None:
    for batch in batches:
        letter.request([letter.slip(one) for one in batch])


def made(letter: Letter, batches: Sequence[list[Recipient]]) -> bytes:
    return letter.request([letter.slip(one) for one in batches[0]]).encode()


def post(line: HTTPConnection, _letter: Letter, body: bytes) -> None:
    for _ in range(READERS // BATCH):
        line.request("POST", "/v3/mail/send", body, {"Content-Type": "application/json"})
        line.getresponse().read()


def cpu(do: object, *given: object) -> float:
    """Microseconds of this process for each reader."""
    start = process_time()
    do(*given)
    return (process_time() - start) / READERS * 1e6


# the sink -----------------------------------------------------------------------------------------------------------


@contextmanager
def sink() -> Iterator[int]:
    """The port of a server that takes every request, reads it whole and looks at nothing."""
    here, there = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        process.terminate()
        process.join(10)


def serve(told: Connection) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        told.send(server.getsockname()[1])
        while True:
            threading.Thread(target=take, args=(server.accept()[0],), daemon=True).start()


def take(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection, connection.makefile("rb", 1 << 18) as said:
        while line := said.readline():
            left = 0
            while line.strip():
                if line.lower().startswith(b"content-length:"):
                    left = int(line.split(b":")[1])
                line = said.readline()
            while left:
                left -= len(said.read1(left))
            connection.sendall(b"HTTP/1.1 202 Accepted\r\nX-Message-Id: m\r\nContent-Length: 0\r\n\r\n")
