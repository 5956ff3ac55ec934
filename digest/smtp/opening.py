"""From a server's name to a connection that is ready for mail: connect, greet, encrypt, log in; or the next server."""

import asyncio
import re
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, cast

from digest.errors import AccountError, TransportError, UnreachableError
from digest.smtp.letters import Features
from digest.smtp.replies import Replies, Reply, ReplyError, said
from digest.smtp.security import Login, is_loopback

CONNECT, GREETING = 30.0, 60.0  # seconds, times the patience
RESTS = 60.0  # seconds that a server which was not reached is asked last
PORTS = {"starttls": 587, "tls": 465, "none": 25}
UNKNOWN = frozenset({500, 501, 502, 504})  # answers of a server that is too old for EHLO

Security = Literal["starttls", "tls", "none"]


class Server(NamedTuple):
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def read_server(text: str, port: int) -> Server:
    """
    A server such as "smtp.example.org", "smtp.example.org:2525" or "[::1]:25"; `port` where it names none.

    Raises:
        ValueError: says what is allowed.
    """
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_.-]+))(?::([0-9]{1,5}))?", text)
    labels = (found[2] or "a").removesuffix(".").split(".") if found else [""]
    if not found or not all(0 < len(label) < 64 for label in labels) or not 0 < int(found[3] or port) < 65536:  # noqa: PLR2004  ports have 16 bits
        raise ValueError(f"{text!r} is not a server: write host or host:port")
    return Server(found[1] or found[2], int(found[3] or port))


class Line(NamedTuple):
    """A connection that is ready for mail."""

    transport: asyncio.Transport
    server: Server
    features: Features
    encrypted: str  # the protocol's name, empty when it is not


@dataclass
class Doors:
    """
    The servers, first choice first, and how to come in. `hello` is our own name; empty: found out.

    Of several tasks that open lines at once, each learns which server was not reached from those before it.
    """

    servers: Sequence[Server]
    security: Security
    trust: ssl.SSLContext | None  # None only where nothing is encrypted
    login: Login = field(default_factory=Login)
    hello: str = ""
    patience: float = 1.0
    _rests: dict[Server, float] = field(default_factory=dict, repr=False)  # until when, by the loop's clock

    async def open(self) -> Line:
        """
        A line to the first server that can be reached.

        Raises:
            AccountError: a server was reached, and it refuses us or cannot be trusted.
            UnreachableError: none was reached.
        """
        now = asyncio.get_running_loop().time()
        faults = []
        for server in sorted(self.servers, key=lambda one: self._rests.get(one, 0.0) > now):
            try:
                return await self._open(server)
            except UnreachableError as fault:
                self._rests[server] = now + RESTS * self.patience
                faults.append(str(fault))
        raise UnreachableError(
            f"{'; '.join(faults)}. Nothing is lost, all is queued again: check the network and DIGEST_SMTP_SERVERS, "
            "then run the same command again."
        )

    async def _open(self, server: Server) -> Line:
        talk = Talk()
        try:
            line = await self._come_in(server, talk)
        except BaseException:
            talk.hang_up()
            raise
        self._rests.pop(server, None)
        return line

    async def _come_in(self, server: Server, talk: "Talk") -> Line:
        async with _phase(server, "connecting", CONNECT * self.patience):
            await asyncio.get_running_loop().create_connection(
                lambda: talk, server.host, server.port, **self._encryption(server, at_once=self.security == "tls")
            )
        talk.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        async with _phase(server, "waiting for the greeting", GREETING * self.patience):
            greeting = await talk.reply()
        _expect(greeting, server, "does not let us in", "that this machine may send through it")
        offers = await self._greet(server, talk)
        if self.security == "starttls":
            offers = await self._encrypt(server, talk, offers)
        async with _phase(server, "logging in", GREETING * self.patience):
            await self.login.prove(
                talk.ask, offers.get("AUTH", "").upper().split(), server=str(server), private=talk.private
            )
        return Line(talk.transport, server, _features(offers), talk.encrypted)

    def _encryption(self, server: Server, *, at_once: bool) -> dict[str, Any]:
        return {"ssl": self.trust, "server_hostname": server.host} if at_once else {}

    async def _greet(self, server: Server, talk: "Talk") -> dict[str, str]:
        """What the server offers: words in capitals, and what stands after them."""
        name = await self._own_name(talk)
        async with _phase(server, "greeting", GREETING * self.patience):
            reply = await talk.ask(b"EHLO " + name)
            if reply.code in UNKNOWN:
                reply = await talk.ask(b"HELO " + name)
        _expect(reply, server, "does not take our name", "DIGEST_SMTP_HELLO, the full host name of this machine")
        lines = reply.text.decode("ascii", "replace").replace("=", " ").split("\n")[1:]
        return {word.upper(): rest for word, _, rest in (line.partition(" ") for line in lines)}

    async def _own_name(self, talk: "Talk") -> bytes:
        if not self.hello:
            self.hello = await asyncio.get_running_loop().run_in_executor(None, socket.getfqdn)
        if re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", self.hello):
            return self.hello.encode()
        own = talk.transport.get_extra_info("sockname")[0]
        return f"[{'IPv6:' if ':' in own else ''}{own}]".encode()

    async def _encrypt(self, server: Server, talk: "Talk", offers: dict[str, str]) -> dict[str, str]:
        if "STARTTLS" not in offers:
            raise AccountError(
                f"{server} does not offer STARTTLS, so others could read along: check the port, or set "
                "DIGEST_SMTP_SECURITY to tls (port 465), or to none for a relay on this machine."
            )
        async with _phase(server, "encrypting", GREETING * self.patience):
            reply = await talk.ask(b"STARTTLS")
            _expect(reply, server, "does not start TLS", "DIGEST_SMTP_SECURITY")
            assert self.trust is not None, "who encrypts knows whom to trust"
            await talk.encrypt(self.trust, server.host)
        return await self._greet(server, talk)


class Talk(asyncio.Protocol):
    """One question, one answer: how a connection is spoken to until it is ready for mail."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._replies = Replies()
        self._early: deque[Reply] = deque()
        self._fault: Exception | None = None
        self._waiting: asyncio.Future[None] | None = None

    async def ask(self, words: bytes) -> Reply:
        self.transport.write(words + b"\r\n")
        return await self.reply()

    async def reply(self) -> Reply:
        """
        Raises:
            ConnectionError, ReplyError: no reply can come any more.
        """
        while not self._early:
            if self._fault is not None:
                raise self._fault
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        return self._early.popleft()

    async def encrypt(self, trust: ssl.SSLContext, host: str) -> None:
        """From here on under TLS. Whatever came before it is forgotten: anybody could have put it there."""
        self._early.clear()
        self._replies.forget()
        transport = await asyncio.get_running_loop().start_tls(self.transport, self, trust, server_hostname=host)
        if transport is None or self._fault is not None:
            raise self._fault or ConnectionResetError
        self.transport = transport

    @property
    def encrypted(self) -> str:
        secure = self.transport.get_extra_info("ssl_object")
        return "" if secure is None else str(secure.version())

    @property
    def private(self) -> bool:
        peer = self.transport.get_extra_info("peername")
        return bool(self.encrypted or (peer and is_loopback(str(peer[0]))))

    def hang_up(self) -> None:
        if hasattr(self, "transport"):
            self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not hasattr(self, "transport"):  # with STARTTLS it is made twice
            self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._early.extend(self._replies.feed(data))
        except ReplyError as fault:
            self._fault = fault
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fault = self._fault or exc or ConnectionResetError("it hung up")
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done() and (self._early or self._fault):
            self._waiting.set_result(None)


@asynccontextmanager
async def _phase(server: Server, doing: str, seconds: float) -> AsyncIterator[None]:
    """Names what failed and where."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except ssl.SSLCertVerificationError as fault:
        raise AccountError(
            f"The certificate of {server} is refused: {fault.verify_message or fault.reason}. Nothing was sent: check "
            "the name in DIGEST_SMTP_SERVERS, the certificate, and DIGEST_SMTP_CA."
        ) from None
    except (OSError, ReplyError, TimeoutError) as fault:
        why = f"no answer within {seconds:g} s" if isinstance(fault, TimeoutError) else _reason(fault)
        raise UnreachableError(f"{server} failed while {doing}: {why}") from None


def _reason(fault: Exception) -> str:
    if isinstance(fault, ssl.SSLError):
        return f"no TLS there ({fault.reason or 'handshake failed'})"
    text = getattr(fault, "strerror", None) or str(fault) or type(fault).__name__
    return text if isinstance(text, str) else type(fault).__name__


def _expect(reply: Reply, server: Server, refuses: str, check: str) -> None:
    """
    Raises:
        UnreachableError: not now.
        AccountError: not us.
    """
    if reply.good:
        return
    fault: type[TransportError] = AccountError if reply.for_good else UnreachableError
    check = f". Nothing was sent: check {check}, then resume the edition." if reply.for_good else ""
    raise fault(f"{server} {refuses} ({said(reply)}){check}")


def _features(offers: dict[str, str]) -> Features:
    size = offers.get("SIZE", "").split()
    return Features(
        pipelining="PIPELINING" in offers, eight_bit="8BITMIME" in offers, utf8="SMTPUTF8" in offers,
        size=int(size[0]) if size and size[0].isdigit() else 0,
    )  # fmt: skip
