"""
A stand-in for SendGrid's /v3/mail/send on loopback: real HTTP, answers that a test lines up, and the API's own rules.

It keeps every request, so that a test can see what would have been mailed. It stops with its `with`, after 2,000
requests, and no answer takes longer than SILENCE.
"""

import json
import socket
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ssl import SSLContext
from struct import pack as packed

from digest.database import open_engine
from digest.deliveries import deliver
from digest.settings import read_settings
from digest.transports.sendgrid import SendGrid, open_transport
from tests.newsroom import KEYS

KEY = "SG.test-key-of-nobody"
SILENCE = 20.0  # seconds
MOST_REQUESTS = 2000
RESERVED = {
    "x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type", "content-transfer-encoding", "to", "from",
    "subject", "reply-to", "cc", "bcc",
}  # fmt: skip


@dataclass(frozen=True)
class Says:
    """One answer. `taken`: the mail leaves in spite of the answer, which is what nobody can know."""

    status: int
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)
    taken: bool = False


SILENT = Says(0, taken=True)  # takes it, and says nothing until it is stopped
RESETS = Says(-1, taken=True)


def refuses(*faults: tuple[str, str | None], status: int = 400) -> Says:
    return Says(status, {"errors": [{"message": message, "field": where, "help": None} for message, where in faults]})


@dataclass
class StandIn:
    """What was asked (every request's JSON, and its headers), what was taken, and what is lined up to be said."""

    port: int = 0
    scheme: str = "http"
    asked: list[dict] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    taken: list[dict] = field(default_factory=list)
    lined_up: deque[Says] = field(default_factory=deque)
    judge: Callable[[dict], Says | None] = lambda _: None
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
        """Our transport, pointed here."""
        own = {"sendgrid_key": KEY, "sendgrid_host": self.host, **changes}
        return open_transport(read_settings(**own), "global/2026-11-23")


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
    for at, one in enumerate(people):
        if fault := personal_breach(one):
            return fault, f"personalizations.{at}.to"
    return None


def personal_breach(one: dict) -> str | None:
    if any("@" not in to["email"] or set(to.get("name", "")) & set(",;") for to in one["to"]):
        return "Does not contain a valid address."
    if {name.lower() for name in one.get("headers", {})} & RESERVED:
        return "a reserved header"
    values = {**one.get("substitutions", {}), **one.get("custom_args", {}), **one.get("headers", {})}
    if not all(isinstance(value, str) for value in values.values()):
        return "values are strings"
    if len(json.dumps(one.get("substitutions", {})).encode()) > 10_000:
        return "substitutions over 10,000 bytes"
    return None


def mail_to(body: dict, address: str) -> tuple[str, str]:
    """(text, html) as SendGrid would mail it to one reader."""
    one = next(one for one in body["personalizations"] if one["to"][0]["email"] == address)
    parts = [part["value"] for part in body["content"]]
    for tag, value in one["substitutions"].items():
        parts = [part.replace(tag, value) for part in parts]
    return parts[0], parts[1]


@contextmanager
def stand_in(identity: SSLContext | None = None) -> Iterator[StandIn]:
    """By https where it is given an identity."""
    here = StandIn(scheme="https" if identity else "http")

    class Handler(BaseHTTPRequestHandler):
        timeout = SILENCE

        def do_POST(self) -> None:
            size = int(self.headers["content-length"])
            raw = self.rfile.read(size)
            if len(raw) < size:
                return  # the other side died while it spoke
            body = json.loads(raw)
            here.headers.append({name.lower(): value for name, value in self.headers.items()})
            here.asked.append(body)
            said = self._judged(body)
            here.arrived.set()
            if said == SILENT:
                here.over.wait(SILENCE)
            elif said == RESETS:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, packed("ii", 1, 0))
                self.close_connection = True
                self.connection.close()
            else:
                self._say(said)

        def _judged(self, body: dict) -> Says:
            if self.path != "/v3/mail/send" or len(here.asked) > MOST_REQUESTS:
                return Says(404)
            if self.headers["authorization"] != f"Bearer {KEY}":
                return refuses(("The provided authorization grant is invalid, expired, or revoked", None), status=401)
            return here.answer(body)

        def _say(self, said: Says) -> None:
            body = b"" if said.body is None else json.dumps(said.body).encode()
            self.send_response_only(said.status)
            for name, value in {"content-length": str(len(body)), **said.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: object) -> None:
            return  # a client that was killed or reset, as tests do

    server = Server(("127.0.0.1", 0), Handler)
    if identity:
        server.socket = identity.wrap_socket(server.socket, server_side=True)
    here.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield here
    finally:
        here.over.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


def work(url: str, host: str, mailing: int, lease: float = 30.0, most: int = 500) -> None:
    """What the kill tests run in a process of its own: deliver all that is due by the stand-in at `host`."""
    settings = read_settings(sendgrid_key=KEY, sendgrid_host=host, sendgrid_requests=most, lease=lease)
    transports = {"sendgrid": open_transport(settings, "global/2026-11-23")}
    deliver(
        open_engine(url), transports, mailing=mailing, keys=KEYS, lease=lease, clock=lambda: datetime.now(UTC),
    )  # fmt: skip
