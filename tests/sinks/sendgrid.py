"""
A server that answers as SendGrid's /v3/mail/send: `python -m tests.sinks.sendgrid '{"book": "/file", ...}'`.

It prints its port, writes each reader of a request down before it answers, and ends with its parent. With `skims` it
reads nothing of what it is sent, so that a sender can be measured at full speed.
"""

import json
import random
import re
import socket
import struct
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from itertools import count

from tests.sinks.running import Book, serve_parent

LENGTH = re.compile(rb"^content-length: *(\d+)", re.MULTILINE | re.IGNORECASE)
KEY = re.compile(rb"^authorization: *Bearer (\S+)", re.MULTILINE | re.IGNORECASE)
ROOM = 1 << 20  # bytes read at once
REST = 2  # seconds that it asks for with 429
SILENCE = 20.0  # seconds, which nobody waits for


@dataclass
class Script:
    """How it behaves. Seconds."""

    book: str
    port: int = 0
    wait: tuple[float, float] = (0.0, 0.0)  # before the answer: at random between these
    key: str = ""  # any other is refused
    first: list[str] = field(default_factory=list)
    """
    What becomes of the first requests, one after the other: "taken"; a status such as 401, for which it takes nothing; or
    503, "reset" or "silent", for which it takes them all the same.
    """
    bad: list[str] = field(default_factory=list)  # addresses for which a request is refused as a whole
    named: bool = True  # and the refusal says for which
    skims: bool = False


class House:
    """What all connections share."""

    def __init__(self, script: Script) -> None:
        self.script, self.book = script, Book(script.book)
        self.numbers = count(1)
        self.first = deque(script.first)

    def answer(self, head: bytes, body: bytes) -> bytes:
        """What one request is told; the readers it names are in the book by then."""
        script, number = self.script, next(self.numbers)
        if script.skims:
            return said(202, number)
        if script.key and KEY.search(head)[1].decode() != script.key:
            return said(401, number, refusal("The provided authorization grant is invalid"))
        readers = [
            (one["to"][0]["email"], one["custom_args"]["delivery"]) for one in json.loads(body)["personalizations"]
        ]
        fate = self.first.popleft() if self.first else "taken"
        return self.refusal(fate, readers, number) or self.take(fate, readers, number)

    def refusal(self, fate: str, readers: list[tuple[str, str]], number: int) -> bytes:
        """Why nothing is taken; empty when it is."""
        bad = [place for place, (address, _) in enumerate(readers) if address in self.script.bad]
        if fate == "429":
            return said(429, number, reset=int(time.time()) + REST)
        if fate.startswith("4"):
            return said(int(fate), number, refusal("not from you"))
        if bad:
            where = f"personalizations.{bad[0]}.to" if self.script.named else None
            return said(400, number, refusal("Does not contain a valid address.", where))
        return b""

    def take(self, fate: str, readers: list[tuple[str, str]], number: int) -> bytes:
        self.book.took(readers)
        time.sleep(random.uniform(*self.script.wait))
        if fate != "taken":
            return unclear(fate, number)
        self.book.answered(readers)
        return said(202, number)


def unclear(fate: str, number: int) -> bytes:
    if fate == "silent":
        time.sleep(SILENCE)
    if fate in {"reset", "silent"}:
        raise ConnectionResetError
    return said(int(fate), number)


def refusal(message: str, field: str | None = None) -> bytes:
    return json.dumps({"errors": [{"message": message, "field": field, "help": None}]}).encode()


def said(status: int, number: int, body: bytes = b"", reset: int = 0) -> bytes:
    lines = [f"HTTP/1.1 {status} said", f"X-Message-Id: m{number}", f"Content-Length: {len(body)}"]
    if reset:
        today = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
        lines += [f"X-RateLimit-Reset: {reset}", f"Date: {today}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def converse(connection: socket.socket, house: House) -> None:
    """Request after request, until the other side has enough."""
    room = memoryview(bytearray(ROOM))
    kept = b""
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing is a reset
        try:
            while (request := read_request(connection, kept, room, skims=house.script.skims)) is not None:
                head, body, kept = request
                connection.sendall(house.answer(head, body))
        except OSError:
            return  # killed, as tests do


def read_request(
    connection: socket.socket, kept: bytes, room: memoryview, *, skims: bool
) -> tuple[bytes, bytes, bytes] | None:
    """Head, body (none where it is only skimmed), and what came of the next one; None at the end."""
    while b"\r\n\r\n" not in kept:
        if not (size := connection.recv_into(room)):
            return None
        kept += room[:size]
    head, _, begun = kept.partition(b"\r\n\r\n")
    length = int(LENGTH.search(head)[1])
    body = [begun[:length]]
    missing = length - len(begun)
    while missing > 0:
        if not (size := connection.recv_into(room, min(missing, ROOM))):
            return None  # it died while it spoke: nothing was taken
        missing -= size
        if not skims:
            body.append(bytes(room[:size]))
    return head, b"".join(body), begun[length:]


def serve(script: Script) -> None:
    house = House(script)
    with socket.create_server(("127.0.0.1", script.port), backlog=100) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            connection, _ = server.accept()
            threading.Thread(target=converse, args=(connection, house), daemon=True).start()


if __name__ == "__main__":
    script = Script(**json.loads(sys.argv[1]))
    serve_parent(script)
    serve(script)
