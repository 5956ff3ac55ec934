"""
An SMTP server that takes everything, or fails by its script: `python -m tests.sinks.smtp '{"book": "/file", ...}'`.

It prints its port, writes each message down before it answers the final dot, and ends with its parent.
"""

import asyncio
import base64
import json
import random
import re
import ssl
import sys
from dataclasses import dataclass, field
from zlib import crc32

from tests.sinks.running import Book, serve_parent

HEAD = 4096  # bytes of a message in which its Message-ID stands
MESSAGE_ID = re.compile(rb"^Message-ID: *<([^@>]*)@?[^>]*>", re.MULTILINE | re.IGNORECASE)
ADDRESS = re.compile(r"<([^>]*)>")


@dataclass
class Script:
    """How it behaves. Seconds and shares of 1."""

    book: str
    port: int = 0
    wait: tuple[float, float] = (0.0, 0.0)  # between the final dot and the answer: at random between these
    slow: dict[str, float] = field(default_factory=dict)  # the same for recipients of one domain
    pipelining: bool = True
    greylisted: float = 0.0  # share of recipients who are put off at their first try
    storms: dict[str, int] = field(default_factory=dict)  # by domain: how many recipients are told 454 first
    sender_refused: bool = False
    content_refused: bool = False
    certificate: str = ""  # file with certificate and key: STARTTLS is offered
    password: str = ""  # AUTH is needed: user "press", and this


class House:
    """What all connections share."""

    def __init__(self, script: Script) -> None:
        self.script, self.book = script, Book(script.book)
        self.put_off: set[str] = set()
        self.storms = dict(script.storms)
        self.tls = None
        if script.certificate:
            self.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self.tls.load_cert_chain(script.certificate)

    def verdict(self, address: str) -> str:
        """The answer to RCPT; a refusal is in the book too."""
        answer = self._verdict(address)
        if not answer.startswith("250"):
            self.book.refused(address, answer[:3])
        return answer

    def _verdict(self, address: str) -> str:
        domain = address.rpartition("@")[2]
        if self.storms.get(domain):
            self.storms[domain] -= 1
            return "454 4.7.0 Throttling failure: maximum sending rate exceeded"
        if crc32(address.encode()) % 1000 < 1000 * self.script.greylisted and address not in self.put_off:
            self.put_off.add(address)
            return "450 4.2.0 Greylisted, come back in five minutes"
        return "250 2.1.5 fine"

    def rest(self, address: str) -> float:
        wait = self.script.slow.get(address.rpartition("@")[2])
        return random.uniform(*self.script.wait) if wait is None else wait


class Session(asyncio.Protocol):
    """One connection. Commands are answered in their order, also where several came at once."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.buffer = bytearray()
        self.secure, self.known = False, not house.script.password
        self.resting = False  # an answer is due first
        self.mail = False  # a message is being read
        self.seen = 0  # bytes of it that hold no end
        self.address = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        if not self.secure:
            self.say("220 sink.example.org ESMTP")

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self.go_on()

    def say(self, line: str) -> None:
        self.transport.write(line.encode() + b"\r\n")

    def go_on(self) -> None:
        while not self.resting and (self.read_mail() if self.mail else self.read_line()):
            pass

    def read_line(self) -> bool:
        line, end, rest = self.buffer.partition(b"\r\n")
        if not end:
            return False
        self.buffer = rest
        verb, _, said = line.decode("utf-8", "replace").partition(" ")
        answer = getattr(self, f"on_{verb.lower()}", None)
        self.say("500 what?") if answer is None else answer(said)
        return True

    def read_mail(self) -> bool:
        end = self.buffer.find(b"\r\n.\r\n", max(0, self.seen - 4))
        self.seen = len(self.buffer)
        if end < 0:
            return False
        found = MESSAGE_ID.search(self.buffer, 0, min(end, HEAD))
        message = (self.address, found[1].decode() if found else "-")
        del self.buffer[: end + 5]
        self.mail, self.seen = False, 0
        if self.house.script.content_refused:
            self.say("554 5.7.1 this looks like spam")
            return True
        self.house.book.took([message])
        rest = self.house.rest(self.address)
        if rest:
            self.resting = True
            asyncio.get_running_loop().call_later(rest, self.answer, message)
        else:
            self.answer(message)
        return True

    def answer(self, message: tuple[str, str]) -> None:
        if self.transport.is_closing():
            return
        self.say("250 2.0.0 taken")
        self.house.book.answered([message])
        if self.resting:
            self.resting = False
            self.go_on()

    # commands -------------------------------------------------------------------------------------------------------

    def on_ehlo(self, _said: str) -> None:
        script = self.house.script
        offers = ["PIPELINING"] * script.pipelining + ["8BITMIME", "SMTPUTF8", "SIZE 20000000"]
        offers += ["STARTTLS"] * bool(self.house.tls and not self.secure) + ["AUTH PLAIN"] * bool(script.password)
        *first, last = ("sink.example.org", *offers)
        for line in first:
            self.say(f"250-{line}")
        self.say(f"250 {last}")

    def on_starttls(self, _said: str) -> None:
        self.transport.pause_reading()  # what comes next is not for us
        self.say("220 go ahead")
        self.resting = True
        self.secure = True
        self.turning = asyncio.ensure_future(self.turn_secure())

    async def turn_secure(self) -> None:
        try:
            loop = asyncio.get_running_loop()
            self.transport = await loop.start_tls(self.transport, self, self.house.tls, server_side=True)
        except (OSError, AttributeError):
            return  # the other side did not like our certificate
        self.resting = False
        self.go_on()  # it may have spoken already

    def on_auth(self, said: str) -> None:
        _, _, given = said.partition(" ")
        wanted = f"\0press\0{self.house.script.password}".encode()
        self.known = base64.b64decode(given) == wanted
        self.say("235 2.7.0 welcome" if self.known else "535 5.7.8 user or password is wrong")

    def on_mail(self, _said: str) -> None:
        if not self.known:
            self.say("530 5.7.0 who are you?")
        elif self.house.script.sender_refused:
            self.say("550 5.7.1 this sender is not yours")
        else:
            self.say("250 2.1.0 fine")

    def on_rcpt(self, said: str) -> None:
        address = ADDRESS.search(said)[1]
        answer = self.house.verdict(address)
        self.address = address if answer.startswith("250") else ""
        self.say(answer)

    def on_data(self, _said: str) -> None:
        if not self.address:
            self.say("503 5.5.1 for whom?")
            return
        self.mail = True
        self.say("354 go on")

    def on_rset(self, _said: str) -> None:
        self.address = ""
        self.say("250 forgotten")

    def on_noop(self, _said: str) -> None:
        self.say("250 yes")

    def on_quit(self, _said: str) -> None:
        self.say("221 bye")
        self.transport.close()


async def serve(script: Script) -> None:
    loop, house = asyncio.get_running_loop(), House(script)
    server = await loop.create_server(lambda: Session(house), "127.0.0.1", script.port, backlog=500)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    script = Script(**json.loads(sys.argv[1]))
    serve_parent(script)
    asyncio.run(serve(script))
