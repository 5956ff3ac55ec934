"""
A stand-in for an SMTP server on loopback, that fails where a test says, and a ledger's mark that keeps the order.

It runs in a thread of its own, keeps every message it took, and stops with its `with`.
"""

import asyncio
import re
import socket
import ssl
import threading
import time
from base64 import b64decode
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from queue import SimpleQueue

from digest.values import Blank, Compiled, DeliveryState, Proof, Receipt, Recipient, Variant

SILENCE = 20.0  # seconds that no test outlives
OFFERS = ("PIPELINING", "SIZE 10000000", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")

MAIL = Compiled(
    (
        b"From: Global <global@news.example.org>\r\nTo: ", Blank("mailbox", "header"), b"\r\nMessage-ID: <",
        Blank("delivery_id", "raw"), b"@news.example.org>\r\nSubject: Morning\r\n\r\nGood morning",
        Blank("comma_name", "text8"), b"\r\n.one dot\r\n..two\r\n.\r\nhttps://news.example.org/m/",
        Blank("token", "raw"), b"\r\n",
    ),
    4,
)  # fmt: skip
SEVEN_BIT = Compiled(
    tuple(Blank("comma_name", "qp") if isinstance(p, Blank) and p.context == "text8" else p for p in MAIL.pieces), 4
)


def proof(compiled: Compiled = SEVEN_BIT) -> Proof:
    return Proof(
        channel="email", variant=Variant(segment="", language="en"), subject="", preheader="", html="", text="",
        push="", compiled=compiled, content_hash="c",
    )  # fmt: skip


def reader(number: int, domain: str = "example.net", **values) -> Recipient:
    fields = {"name": "Ana", "token": f"t{number}", "date": "Mon, 23 Nov 2026 06:00:00 +0000"}
    fields = {"address": f"reader{number}@{domain}", **fields, **values}
    return Recipient(number=number, delivery_id=f"{number:040x}", **fields)


# the server ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Act:
    """What a server does in place of an answer. `taken`: it takes the message all the same, which nobody can know."""

    does: str  # "reset", "hang up", "silent", or "wait"
    seconds: float = 0.0
    then: str | None = None
    taken: bool = False


RESET, HANG_UP, SILENT = Act("reset"), Act("hang up"), Act("silent")


def waits(seconds: float, then: str | None = None) -> Act:
    return Act("wait", seconds, then)


@dataclass(frozen=True)
class Taken:
    address: str
    sender: str
    options: str
    content: bytes  # as a mailbox would hold it: dots no longer stuffed
    connection: int

    @property
    def message_id(self) -> bytes:
        found = re.search(rb"^Message-ID: (.*?)\r$", self.content, re.MULTILINE)
        assert found, "every message has its id"
        return found[1]


@dataclass
class Session:
    """One connection as the script sees it. `messages`: how many it has taken."""

    number: int
    sender: str = ""
    options: str = ""
    recipient: str = ""
    messages: int = 0
    user: str = ""
    secure: bool = False


Script = Callable[[str, Session], "Act | str | None"]
"""Given a phase ("greeting", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "body", "dot", "after"): None to go on."""


@dataclass
class StandIn:
    script: Script = lambda _phase, _session: None
    offers: tuple[str, ...] = OFFERS
    tls: ssl.SSLContext | None = None
    implicit: bool = False
    passwords: dict[str, str] = field(default_factory=dict)
    port: int = 0
    taken: list[Taken] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    said: list[str] = field(default_factory=list)  # what clients said before mail, to see that nothing secret is there
    most_open: int = 0
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _server: asyncio.Server | None = None

    @property
    def copies(self) -> Counter[str]:
        return Counter(one.address for one in self.taken)

    def restart(self, away: float) -> None:
        """Every connection breaks, and for so many seconds there is nobody."""
        asyncio.run_coroutine_threadsafe(self._restart(away), self.loop).result(SILENCE)

    async def start(self) -> None:
        tls = self.tls if self.implicit else None
        place = socket.socket(proto=socket.IPPROTO_TCP)  # by which asyncio knows to send at once
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)  # what it does not read stays with the client
        place.bind(("127.0.0.1", self.port))
        self.port = place.getsockname()[1]
        self._server = await asyncio.start_server(self._serve, sock=place, ssl=tls, limit=2**24)

    async def stop(self) -> None:
        assert self._server is not None, "it was started"
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0.005)

    async def _restart(self, away: float) -> None:
        await self.stop()
        await asyncio.sleep(away)
        await self.start()

    async def _serve(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        session = Session(len(self.sessions) + 1, secure=self.implicit)
        self.sessions.append(session)
        self._writers.add(sink)
        self.most_open = max(self.most_open, len(self._writers))
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError, _Over):
            await _Dialogue(self, session, source, sink).hold()
        self._writers.discard(sink)
        sink.close()
        with suppress(OSError, asyncio.CancelledError):
            await sink.wait_closed()


class _Over(Exception):  # noqa: N818
    """This connection has come to its end."""


@dataclass
class _Dialogue:
    house: StandIn
    session: Session
    source: asyncio.StreamReader
    sink: asyncio.StreamWriter

    async def hold(self) -> None:
        await self._say("greeting", "220 stand-in.example.org ESMTP")
        while True:
            line = (await self.source.readuntil(b"\r\n")).decode()
            verb = line[:4].upper()
            if verb in {"EHLO", "HELO", "STAR", "AUTH"}:
                self.house.said.append(line)
            await getattr(self, f"_{verb.lower().strip()}", self._unknown)(line)

    async def _say(self, phase: str, usual: str) -> str:
        """What is said in a phase; "" when nothing is, or the connection ends."""
        act = self.house.script(phase, self.session)
        if isinstance(act, Act) and act.does == "wait":
            await asyncio.sleep(act.seconds)
            act = act.then
        words = usual if act is None else act
        if isinstance(words, Act):
            await self._end(words)
        if words:
            self.sink.write(f"{words}\r\n".encode())
            await self.sink.drain()
        return words

    async def _end(self, act: Act) -> None:
        if act.does == "silent":
            await asyncio.sleep(SILENCE)
        if act.does == "reset":
            self.sink.transport.abort()
        raise _Over

    async def _ehlo(self, _line: str) -> None:
        offers = list(self.house.offers)
        if self.house.tls and not self.session.secure:
            offers.append("STARTTLS")
        if self.house.passwords:
            offers.append("AUTH PLAIN LOGIN XOAUTH2")
        lines = ["stand-in.example.org", *offers]
        await self._say("ehlo", "\r\n".join(f"250{'-' if n < len(lines) else ' '}{x}" for n, x in enumerate(lines, 1)))

    async def _helo(self, _line: str) -> None:
        await self._say("helo", "250 stand-in.example.org")

    async def _star(self, _line: str) -> None:
        if (await self._say("starttls", "220 go ahead")).startswith("220"):
            await self.sink.start_tls(self.house.tls)
            self.session.secure = True

    async def _auth(self, line: str) -> None:
        way, _, rest = line.split(" ", 1)[1].strip().partition(" ")
        user, password = await getattr(self, f"_auth_{way.lower()}")(rest)
        right = self.house.passwords.get(user) == password
        self.session.user = user if right else ""
        await self._say("auth", "235 welcome" if right else f"535 5.7.8 no: {user} {password}")

    async def _auth_plain(self, rest: str) -> tuple[str, str]:
        return tuple(b64decode(rest).decode().split("\0")[1:])

    async def _auth_login(self, _rest: str) -> tuple[str, str]:
        return await self._ask("334 VXNlcm5hbWU6"), await self._ask("334 UGFzc3dvcmQ6")

    async def _auth_xoauth2(self, rest: str) -> tuple[str, str]:
        found = re.fullmatch("user=(.*)\1auth=Bearer (.*)\1\1", b64decode(rest).decode())
        if self.house.passwords.get(found[1]) != found[2]:
            assert await self._ask("334 eyJzdGF0dXMiOiI0MDAifQ==") == ""
        return found[1], found[2]

    async def _ask(self, words: str) -> str:
        self.sink.write(f"{words}\r\n".encode())
        return b64decode((await self.source.readuntil(b"\r\n")).strip()).decode()

    async def _mail(self, line: str) -> None:
        found = re.fullmatch(r"MAIL FROM:<(.*?)>(.*)\r\n", line)
        self.session.sender, self.session.options, self.session.recipient = found[1], found[2].strip(), ""
        if not (await self._say("mail", "250 2.1.0 fine")).startswith("250"):
            self.session.sender = ""

    async def _rcpt(self, line: str) -> None:
        if not self.session.sender:
            await self._unknown(line)
            return
        self.session.recipient = line[line.index("<") + 1 : line.rindex(">")]
        if not (await self._say("rcpt", "250 2.1.5 fine")).startswith("250"):
            self.session.recipient = ""

    async def _data(self, line: str) -> None:
        if not self.session.recipient and self.house.script("data without recipient", self.session) is None:
            await self._unknown(line)
        elif (await self._say("data", "354 go on")).startswith("354"):
            await self._body()

    async def _body(self) -> None:
        act = self.house.script("body", self.session)
        if act is not None:
            await self.source.read(64)
            self.sink.transport.pause_reading()
            self.sink.write(f"{act}\r\n".encode() if isinstance(act, str) else b"")
            await self._end(act if isinstance(act, Act) else HANG_UP)
        content = await self._content()
        if not self.session.recipient:
            await self._say("dot without recipient", "554 5.5.1 no valid recipients")
            return
        act = self.house.script("dot", self.session)
        if act is None or (isinstance(act, Act) and (act.taken or (act.does == "wait" and act.then is None))):
            session = self.session
            session.messages += 1
            self.house.taken.append(Taken(session.recipient, session.sender, session.options, content, session.number))
        await self._answer_dot(act)
        self.session.sender = self.session.recipient = ""
        if (act := self.house.script("after", self.session)) is not None:
            if isinstance(act, str):
                self.sink.write(f"{act}\r\n".encode())
            await self._end(act if isinstance(act, Act) else HANG_UP)

    async def _answer_dot(self, act: Act | str | None) -> None:
        if isinstance(act, Act):
            if act.does != "wait":
                await self._end(act)
            await asyncio.sleep(act.seconds)
            act = act.then
        self.sink.write(f"{act or '250 2.0.0 taken'}\r\n".encode())
        await self.sink.drain()

    async def _content(self) -> bytes:
        content = bytearray(b"\r\n")
        while not content.endswith(b"\r\n.\r\n"):
            content += await self.source.readuntil(b".\r\n")
        return bytes(content[:-3]).replace(b"\r\n.", b"\r\n")[2:]

    async def _rset(self, _line: str) -> None:
        self.session.sender = self.session.recipient = ""
        await self._say("rset", "250 2.0.0 fresh")

    async def _quit(self, _line: str) -> None:
        await self._say("quit", "221 2.0.0 goodbye")
        raise _Over

    async def _unknown(self, _line: str) -> None:
        self.sink.write(b"503 5.5.1 not now\r\n")


@contextmanager
def stand_in(script: Script | None = None, **values) -> Iterator[StandIn]:
    house = StandIn(**({"script": script} if script else {}), **values)
    thread = threading.Thread(target=house.loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(house.start(), house.loop).result(SILENCE)
    try:
        yield house
    finally:
        asyncio.run_coroutine_threadsafe(_end_all(house), house.loop).result(SILENCE)
        house.loop.call_soon_threadsafe(house.loop.stop)
        thread.join(SILENCE)
        house.loop.close()


async def _end_all(house: StandIn) -> None:
    await house.stop()
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


# the ledger's side --------------------------------------------------------------------------------------------------


class Notes:
    """
    A ledger's mark that keeps what it is told, in order, in a writer thread that takes what has gathered as one commit.

    `most_handing` is how many deliveries were ever marked and without an outcome at once. `takes` is what a commit costs
    in seconds; numbers in `gone` are no longer ours.
    """

    def __init__(self, takes: float = 0.0, gone: frozenset[int] = frozenset()) -> None:
        self.takes, self.gone, self.stopped = takes, gone, False
        self.receipts: dict[int, Receipt] = {}
        self.marks: list[int] = []
        self.handing: set[int] = set()
        self.most_handing = 0
        self._wanted: SimpleQueue = SimpleQueue()
        threading.Thread(target=self._write, daemon=True).start()

    def __call__(self, numbers, done=()):
        answered, ours = threading.Event(), set()
        self.soon(numbers, done, lambda still: (ours.update(still), answered.set()))
        answered.wait(SILENCE)
        return ours

    def soon(self, numbers, done, then) -> None:
        self._wanted.put((set(numbers), tuple(done), then))

    def close(self) -> None:
        """Until everything asked for is written."""
        self(())

    def note(self, receipt: Receipt) -> None:
        assert receipt.number not in self.receipts, "one receipt for each"
        self.receipts[receipt.number] = receipt
        self.handing.discard(receipt.number)

    def _write(self) -> None:
        while True:
            asked = [self._wanted.get()]
            time.sleep(self.takes)
            while not self._wanted.empty():
                asked.append(self._wanted.get())
            heard: deque = deque()
            for numbers, done, then in asked:
                for receipt in done:
                    self.note(receipt)
                ours = set() if self.stopped else numbers - self.gone
                self.marks += sorted(ours)
                self.handing |= ours
                heard.append((then, ours))
            self.most_handing = max(self.most_handing, len(self.handing))
            for then, ours in heard:
                then(ours)

    def numbers(self, state: DeliveryState) -> set[int]:
        return {number for number, receipt in self.receipts.items() if receipt.state == state}


def hand_over(transport, recipients, notes: Notes | None = None, printed: Proof | None = None) -> Notes:
    """One call of `send` from beginning to end; what became of each is in the notes, also when it raises."""
    notes = notes or Notes()
    try:
        for receipt in transport.send(printed or proof(), recipients, notes):
            notes.note(receipt)
    finally:
        notes.close()
    return notes
