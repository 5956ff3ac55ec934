"""
SMTP as a transport: batches from several threads leave by one pool of connections, in a loop and thread of their own.

What has no final dot has not left. What has one and no reply is unconfirmed, and is not sent again by itself.
"""

import asyncio
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from digest.delivery_ids import LENGTH
from digest.errors import SettingsError, TransportError, UnreachableError
from digest.settings import Settings
from digest.smtp.letters import Consignment, Letter, Parcel, Signer, unsigned
from digest.smtp.opening import PORTS, Doors, read_server
from digest.smtp.pace import Pace, Rate, read_domain_rates, read_ramp, read_rates
from digest.smtp.pool import Pool
from digest.smtp.security import Login, trust
from digest.transports import Found, Handed, Mark, nothing
from digest.values import Compiled, DeliveryState, Proof, Receipt, Recipient
from digest.waiting import Unjoined
from subscribers.addresses import normalise

LETTERS_KEPT = 64
QUOTED = re.compile("(['\"]).*\\1")
LONGEST_BOUNCES = 64 - 1 - LENGTH  # bytes before the @ that leave room for +, and for a delivery's id


@dataclass
class Smtp:
    """
    Hands over by `most` connections through `doors`, as fast as `pace` allows.

    `letter_for` makes a proof ready. `handed` says what was handed over by this transport since an epoch second.
    """

    doors: Doors
    letter_for: Callable[[Compiled], Letter]
    most: int = 10
    per_connection: int = 1000
    pace: Pace = field(default_factory=Pace)
    domain_rates: Mapping[str, tuple[Rate, ...]] = field(default_factory=dict)
    handed: Handed = nothing
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _letters: dict[int, tuple[Compiled, Letter]] = field(default_factory=dict, repr=False)
    _room: "_Room | None" = field(default=None, repr=False)

    @property
    def appetite(self) -> int:
        """Enough for all connections, and for the slow domains' mail that waits beside the others'."""
        return 1000 + 100 * self.most

    def send(self, proof: Proof, recipients: Sequence[Recipient], mark: Mark) -> Iterator[Receipt]:
        """
        As transports.Transport.send; may run in several threads.

        Raises:
            AccountError, ContentError, TransportError: nothing can go on. What has surely not left is queued again.
        """
        if not recipients:
            return
        room = self._open()
        self.pace.recall_today(self.handed, time.time())
        consignment = Consignment(self._letter(proof.compiled), mark)
        parcels = []
        for recipient in recipients:
            try:
                parcels.append(Parcel(recipient, consignment))
            except ValueError as fault:
                detail = f"cannot be addressed: {QUOTED.sub('its domain', str(fault))}"
                yield Receipt(number=recipient.number, state=DeliveryState.FAILED, detail=detail, permanent=True)
        try:
            room.call(partial(room.pool.deliver, consignment, parcels))
            while (receipt := consignment.heard.get()) is not None:
                yield receipt
        finally:
            if not consignment.ended:  # nobody listens any more: no dot may be written after this
                room.call_and_wait(partial(room.pool.stop, consignment))
        if consignment.error is not None:
            raise consignment.error

    def prove(self, _proof: Proof, recipient: Recipient) -> bool | None:
        """
        False while this very object knows that it was not handed over; else nobody can know.

        The knowledge is told once: after it the delivery may be in other hands.
        """
        if self._room is not None and recipient.delivery_id in self._room.pool.unsent:
            self._room.pool.unsent.discard(recipient.delivery_id)
            return False
        return None

    def close(self) -> None:
        """Say goodbye to the servers and end the thread, within a few seconds."""
        with self._lock:
            room, self._room = self._room, None
        if room is not None:
            room.close()

    def _letter(self, compiled: Compiled) -> Letter:
        """One letter for each proof, whichever batch it is needed for: it counts what servers say of the message."""
        with self._lock:
            kept = self._letters.get(id(compiled))
            if kept is None or kept[0] is not compiled:
                if len(self._letters) >= LETTERS_KEPT:
                    self._letters.clear()
                kept = self._letters[id(compiled)] = (compiled, self.letter_for(compiled))
            return kept[1]

    def _open(self) -> "_Room":
        with self._lock:
            if self._room is None:
                self._room = _Room(
                    partial(
                        Pool, self.doors, most=self.most, per_connection=self.per_connection, pace=self.pace,
                        domain_rates=self.domain_rates, patience=self.doors.patience,
                    )
                )  # fmt: skip
                self.pace.recall_rates(self.handed, self._room.pool.clock(), time.time())
            return self._room


class _Room:
    """The loop's thread, with the pool in it."""

    def __init__(self, make_pool: Callable[[], Pool]) -> None:
        self.loop = _new_loop()
        self._thread = threading.Thread(target=self._run, name="smtp", daemon=True)
        self._thread.start()
        self.pool = asyncio.run_coroutine_threadsafe(_made(make_pool), self.loop).result()
        self.loop.set_exception_handler(self._broken)

    def call(self, work: Callable[[], object]) -> None:
        self.loop.call_soon_threadsafe(work)

    def call_and_wait(self, work: Callable[[], object]) -> None:
        asyncio.run_coroutine_threadsafe(_made(work), self.loop).result()

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.pool.close(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()

    def _broken(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A fault of ours must not leave the batches waiting for ever: they raise it."""
        loop.default_exception_handler(context)
        self.pool.fail(context.get("exception") or TransportError(str(context.get("message"))))


async def _made(make: Callable[[], Any]) -> Any:
    return make()


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # the extra "fast" is not installed
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


# settings -----------------------------------------------------------------------------------------------------------


def open_transport(settings: Settings, _place: str, handed: Handed = nothing) -> Smtp:
    """
    The transport as the settings have it. No server is asked before the first `send`.

    Raises:
        SettingsError: names the setting that is missing or wrong.
    """
    with _named("SMTP_BOUNCES"):
        bounces = normalise(settings.smtp_bounces).mailbox if settings.smtp_bounces else ""
        if not bounces.isascii():
            raise ValueError("its part before the @ must be plain ASCII")
        if settings.smtp_verp and len(bounces.rpartition("@")[0]) > LONGEST_BOUNCES:
            raise ValueError(f"with DIGEST_SMTP_VERP at most {LONGEST_BOUNCES} signs stand before the @")
    with _named("SMTP_RATES"):
        rates = read_rates(settings.smtp_rates)
    with _named("SMTP_DOMAIN_RATES"):
        domain_rates = read_domain_rates(settings.smtp_domain_rates)
    with _named("SMTP_RAMP"):
        ramp = read_ramp(settings.smtp_ramp)
    return Smtp(
        open_doors(settings),
        partial(Letter, bounces=bounces, verp=settings.smtp_verp, signer_for=_signers(settings)),
        most=settings.smtp_connections, per_connection=settings.smtp_per_connection, pace=Pace(rates, ramp),
        domain_rates=domain_rates, handed=handed,
    )  # fmt: skip


def open_doors(settings: Settings) -> Doors:
    """
    The servers as the settings have them.

    Raises:
        SettingsError: names the setting that is missing or wrong.
    """
    if not settings.smtp_servers:
        raise SettingsError("DIGEST_SMTP_SERVERS is empty: name the server that takes your mail, as host or host:port.")
    with _named("SMTP_SERVERS"):
        servers = [read_server(text, PORTS[settings.smtp_security]) for text in settings.smtp_servers]
    with _named("SMTP_CA"):
        authorities = None if settings.smtp_security == "none" else trust(settings.smtp_ca)
    login = Login(settings.smtp_user, settings.smtp_password.get_secret_value(), settings.smtp_auth)
    return Doors(
        servers, settings.smtp_security, authorities, login, hello=settings.smtp_hello, patience=settings.smtp_patience
    )


def probe(settings: Settings, seconds: float) -> Found:
    """
    Connect, greet, encrypt, log in and say goodbye, sending nothing.

    Raises:
        SettingsError, AccountError, UnreachableError: one clear line.
    """
    doors = open_doors(settings)
    try:
        return Found(asyncio.run(asyncio.wait_for(_probe(doors), seconds)))
    except TimeoutError:
        servers = ", ".join(map(str, doors.servers))
        raise UnreachableError(
            f"{servers} did not let us in within {seconds:g} s: look at the network, the port and DIGEST_SMTP_HELLO."
        ) from None


async def _probe(doors: Doors) -> str:
    asyncio.get_running_loop().set_default_executor(Unjoined())
    line = await doors.open()
    line.transport.write(b"QUIT\r\n")
    line.transport.close()
    await asyncio.sleep(0.05)  # for the goodbye to leave
    can = line.features
    found = [
        line.encrypted or "not encrypted",
        f"logged in as {doors.login.user}" if doors.login.user else "no login",
        *(word for word, offered in (("PIPELINING", can.pipelining), ("8BITMIME", can.eight_bit)) if offered),
        *(["SMTPUTF8"] if can.utf8 else []),
        *([f"messages up to {can.size / 1e6:.0f} MB"] if can.size else []),
    ]
    return f"{line.server} lets us in: {', '.join(found)}"


def _signers(settings: Settings) -> Callable[[str], Signer | None]:
    if not settings.dkim_keys:
        return unsigned
    from digest.dkim import open_signers  # only who signs pays for the import

    return open_signers(settings)


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Turns what a setting's reader says into a SettingsError that names the setting."""
    try:
        yield
    except (ValueError, OSError) as fault:
        why = getattr(fault, "strerror", None) or str(fault)
        raise SettingsError(f"DIGEST_{name} is wrong: {why}. See .env.example for what it means.") from None
