"""The commands that stay until they are told to stop: web, clock and sender, in one process or each in its own."""

import signal
import socket
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from digest import logs
from digest.app import open_press
from digest.commands.screen import say, until_told
from digest.errors import NotFoundError, SettingsError
from digest.posting import on_duty
from digest.press import Press
from digest.schedule import on_watch
from digest.tracking import begin
from digest.web.counting import at_work
from digest.web.site import build

GRACE = 20  # seconds that open requests have to end


WEB, CLOCK, SENDER = PARTS = ("web", "clock", "sender")
DUTIES = {
    WEB: "readers' pages and providers' hooks", CLOCK: "stations, deadlines, alarms and upkeep",
    SENDER: "what is due leaves",
}  # fmt: skip
NAP = 0.2  # seconds; how soon a process without pages notices that it should stop


def serve(home: Path | None, only: Collection[str] = PARTS) -> None:
    """
    Those parts, in this process.

    Raises:
        NotFoundError: there is no such part.
        SettingsError: nobody can listen where the setting says.
    """
    parts = set(only) or set(PARTS)
    if unknown := parts - set(PARTS):
        raise NotFoundError(f"--only: {', '.join(sorted(unknown))} is no part; use {', '.join(PARTS)}.")
    press = open_press(home)
    logs.set_up(press.settings)
    begin(press.engine, press.settings.tracking, now=clock())
    with ExitStack() as running:
        until_over = running.enter_context(_answering(press) if WEB in parts else _without_pages())
        duty = running.enter_context(on_watch(press, say, leads=CLOCK in parts, sends=SENDER in parts, clock=clock))
        on = on_duty(press, clock=clock, sends=SENDER in parts, keeps=CLOCK in parts, doubt=duty.doubt)
        running.enter_context(on)
        until_over(f"On duty: {'; '.join(words for part, words in DUTIES.items() if part in parts)}. Ctrl-C ends it.")
    say("Stopped; what was in hand is finished.")


@contextmanager
def _without_pages() -> Iterator[Callable[[str], None]]:
    """What waits until it is told to stop."""
    with until_told() as stop:

        def until_over(duties: str) -> None:
            say(duties)
            while not stop():
                time.sleep(NAP)

        yield until_over


@contextmanager
def _answering(press: Press) -> Iterator[Callable[[str], None]]:
    """What answers until it is told to stop; told before it has begun, it does not begin."""
    app = build(press, clock=clock)
    server = uvicorn.Server(configured(app))
    with _listening(press.settings.listen_at) as door, _told_gently(server):
        host, port = door.getsockname()[:2]
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}"

        def until_over(duties: str) -> None:
            say(f"Answering at {address}. {duties}")
            with at_work(app.state.counting):
                server.run(sockets=[door])

        yield until_over


def clock() -> datetime:
    return datetime.now(UTC)


def configured(app: FastAPI) -> uvicorn.Config:
    """How the application is run. No access log: addresses of readers' pages hold their tokens. Proxies are its own business."""
    return uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, proxy_headers=False, lifespan="off",
        timeout_graceful_shutdown=GRACE,
    )  # fmt: skip


@contextmanager
def _listening(at: tuple[str, int]) -> Iterator[socket.socket]:
    """
    Raises:
        SettingsError: nobody can listen there.
    """
    host, port = at
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        door = socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise SettingsError(f"DIGEST_LISTEN: nobody can listen at {host}:{port}: {error.strerror}.") from None
    with door:
        yield door


@contextmanager
def _told_gently(server: uvicorn.Server) -> Iterator[None]:
    """
    SIGINT and SIGTERM stop it, also while it begins; once it runs it hears them itself, and raises them once more at its end:
    by then there is nothing left to end.
    """

    def stop(_number: int, _frame: object) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
