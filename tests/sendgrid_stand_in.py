"""
A stand-in for SendGrid's /v3/mail/send on loopback: real HTTP, answers that a test lines up, and the API's own rules.

It keeps every request, so that a test can see what would have been mailed. It stops with its `with`, after 2,000
requests, and no answer takes longer than SILENCE.
"""

import json
import socket
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ssl import SSLContext
from struct import pack as packed

from digest.database import open_engine
from digest.deliveries import deliver
from digest.settings import read_settings
from digest.transports.sendgrid import SendGrid, open_transport
from digest.values import Receipt
from tests.newsroom import KEYS
from tests.serving import serving

KEY = "SG.test-key-of-nobody"
SILENCE = 20.0  # seconds
MOST_REQUESTS = 2000
RESERVED = {
    "x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type", "content-transfer-encoding", "to", "from",
    "subject", "reply-to", "cc", "bcc",
}  # fmt: skip


@dataclass(frozen=True)
class Says:
    """
    One answer.

    `taken`: the mail leaves in spite of the answer, which is what nobody can know. `then_closes`: the connection is
    closed after it without a word, as load balancers do.
    """

    status: int
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)
    taken: bool = False
    then_closes: bool = False


SILENT = Says(0, taken=True)  # takes it, and says nothing until it is stopped
RESETS = Says(-1, taken=True)


def refuses(*faults: tuple[str, str | None], status: int = 400) -> Says:
    return Says(status, {"errors": [{"message": message, "field": where, "help": None} for message, where in faults]})


class Ours:
    """A mark by which all that is asked for is ours, or what `ours` makes of it. It keeps what it was asked."""

    def __init__(self, ours: Callable[[set[int]], set[int]] = set, *, stopped: bool = False) -> None:
        self.ours, self.stopped, self.asked = ours, stopped, []

    def __call__(self, numbers: list[int], done: list[Receipt] = ()) -> set[int]:
        assert not done
        self.asked.append(list(numbers))
        return self.ours(set(numbers))


@dataclass
class StandIn:
    """
    What was asked (every request's JSON, and its headers), what was taken, and what is lined up to be said.

    `connections` counts those that were opened, `at_once` the most requests that were open at any moment.
    """

    port: int = 0
    scheme: str = "http"
    connections: int = 0
    open: int = 0
    at_once: int = 0
    opened: list[SendGrid] = field(default_factory=list)
    counting: threading.Lock = field(default_factory=threading.Lock)
    asked: list[dict] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    taken: list[dict] = field(default_factory=list)
    lined_up: deque[Says] = field(default_factory=deque)
    judge: Callable[[dict], Says | None] = lambda _: None
    scopes: tuple[str, ...] = ("mail.send",)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    arrived: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def host(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def copies(self) -> Counter[str]:
        """How many mails have left for each address."""
        return Counter(address for body in self.taken for address in addresses(body))

    def answer(self, body: dict) -> Says:
        sandbox = body.get("mail_settings", {}).get("sandbox_mode", {}).get("enable")
        said = self.lined_up.popleft() if self.lined_up else self.judge(body)
        if said is None and (fault := breach(body)):
            said = refuses(fault)
        said = said or Says(200 if sandbox else 202, headers={"X-Message-Id": f"m{len(self.asked)}"}, taken=not sandbox)
        if said.taken:
            self.taken.append(body)
        return said

    def transport(self, **changes: object) -> SendGrid:
        """Our transport, pointed here; it is closed at the end."""
        own = {"sendgrid_key": KEY, "sendgrid_host": self.host, **changes}
        self.opened.append(open_transport(read_settings(**own), "global/2026-11-23"))
        return self.opened[-1]

    @contextmanager
    def counted(self) -> Iterator[None]:
        with self.counting:
            self.open += 1
            self.at_once = max(self.at_once, self.open)
        try:
            yield
        finally:
            with self.counting:
                self.open -= 1


def addresses(body: dict) -> list[str]:
    return [to["email"] for one in body["personalizations"] for to in one["to"]]


def breach(body: dict) -> tuple[str, str | None] | None:
    """The first rule of the API that a request breaks, and where; None when it keeps them all."""
    people = body.get("personalizations", [])
    if not 1 <= len(people) <= 1000:
        return f"between 1 and 1000 personalizations, not {len(people)}", "personalizations"
    kinds = [part["type"] for part in body.get("content", [])]
    if kinds != ["text/plain", "text/html"] or not all(part["value"] for part in body["content"]):
        return f"content is text/plain, then text/html, not {kinds}", "content"
    if not body.get("from", {}).get("email") or not body.get("subject"):
        return "from and subject are needed", "from"
    if max(Counter(address.lower() for address in addresses(body)).values()) > 1:
        return "an address is named twice", "personalizations"
    said = [("headers", headers_breach(body.get("headers", {})))]
    said += [(f"personalizations.{at}.to", personal_breach(one)) for at, one in enumerate(people)]
    return next(((fault, where) for where, fault in said if fault), None)


def headers_breach(headers: Mapping[str, object]) -> str | None:
    if {name.lower() for name in headers} & RESERVED:
        return "a reserved header"
    return None if all(isinstance(value, str) for value in headers.values()) else "values are strings"


def personal_breach(one: dict) -> str | None:
    if any("@" not in to["email"] or set(to.get("name", "")) & set(",;") for to in one["to"]):
        return "Does not contain a valid address."
    if fault := headers_breach(one.get("headers", {})):
        return fault
    for name in ("substitutions", "custom_args"):
        values = one.get(name, {})
        if not all(isinstance(value, str) for value in values.values()):
            return "values are strings"
        if sum(len(key.encode()) + len(value.encode()) for key, value in values.items()) > 10_000:
            return f"{name} over 10,000 bytes"
    return None


def mail_to(body: dict, address: str) -> tuple[str, str]:
    """(text, html) as SendGrid would mail it to one reader."""
    one = slip_of(body, address)
    parts = [part["value"] for part in body["content"]]
    for tag, value in one["substitutions"].items():
        parts = [part.replace(tag, value) for part in parts]
    return parts[0], parts[1]


def headers_to(body: dict, address: str) -> dict[str, str]:
    """The message's own headers as one reader gets them: theirs are merged with everybody's, and win."""
    return {**body["headers"], **slip_of(body, address)["headers"]}


def slip_of(body: dict, address: str) -> dict:
    return next(one for one in body["personalizations"] if one["to"][0]["email"] == address)


@contextmanager
def stand_in(identity: SSLContext | None = None) -> Iterator[StandIn]:
    """By https where it is given an identity."""
    here = StandIn(scheme="https" if identity else "http")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # connections are kept open, as the real one keeps them
        timeout = SILENCE
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            with here.counting:
                here.connections += 1

        def do_POST(self) -> None:
            with here.counted():
                self._hear()

        def do_GET(self) -> None:
            here.headers.append({name.lower(): value for name, value in self.headers.items()})
            self._act(self._allowed() or self._scopes())

        def _scopes(self) -> Says:
            if self.path != "/v3/scopes":
                return Says(404)
            if here.lined_up:
                return here.lined_up.popleft()
            return Says(200, {"scopes": here.scopes}, {"Date": format_datetime(here.clock(), usegmt=True)})

        def _hear(self) -> None:
            size = int(self.headers["content-length"])
            raw = self.rfile.read(size)
            if len(raw) < size:
                self.close_connection = True
                return  # the other side died while it spoke
            body = json.loads(raw)
            here.headers.append({name.lower(): value for name, value in self.headers.items()})
            here.asked.append(body)
            said = self._judged(body)
            here.arrived.set()
            self._act(said)

        def _act(self, said: Says) -> None:
            if said == SILENT:
                here.over.wait(SILENCE)
                self.close_connection = True
            elif said == RESETS:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, packed("ii", 1, 0))
                self.close_connection = True
                self.connection.close()
            else:
                self._say(said)

        def _judged(self, body: dict) -> Says:
            if self.path != "/v3/mail/send" or len(here.asked) > MOST_REQUESTS:
                return Says(404)
            return self._allowed() or here.answer(body)

        def _allowed(self) -> Says | None:
            if self.headers["authorization"] == f"Bearer {KEY}":
                return None
            return refuses(("The provided authorization grant is invalid, expired, or revoked", None), status=401)

        def _say(self, said: Says) -> None:
            body = b"" if said.body is None else json.dumps(said.body).encode()
            self.send_response_only(said.status)
            for name, value in {"content-length": str(len(body)), **said.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = self.close_connection or said.then_closes

        def log_message(self, *args: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        def handle_error(self, *args: object) -> None:
            return  # a client that was killed or reset, as tests do

    server = Server(("127.0.0.1", 0), Handler)
    if identity:
        server.socket = identity.wrap_socket(server.socket, server_side=True)
    with serving(server) as here.port:
        try:
            yield here
        finally:
            for transport in here.opened:
                transport.close()
            here.over.set()


def work(url: str, host: str, mailing: int, lease: float = 30.0, most: int = 500, at_once: int = 4) -> None:
    """What the kill tests run in a process of its own: deliver all that is due by the stand-in at `host`."""
    settings = read_settings(
        sendgrid_key=KEY, sendgrid_host=host, sendgrid_requests=most, lease=lease, sendgrid_open=at_once
    )
    transports = {"sendgrid": open_transport(settings, "global/2026-11-23")}
    deliver(
        open_engine(url), transports, mailing=mailing, keys=KEYS, lease=lease, clock=lambda: datetime.now(UTC),
    )  # fmt: skip
