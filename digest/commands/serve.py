"""The command that answers over HTTP until it is told to stop."""

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from digest import logs
from digest.app import open_press
from digest.commands.screen import say
from digest.errors import SettingsError
from digest.posting import on_duty
from digest.tracking import begin
from digest.web.counting import at_work
from digest.web.site import build

GRACE = 20  # seconds that open requests have to end


def serve(home: Path | None) -> None:
    press = open_press(home)
    logs.set_up(press.settings)
    app = build(press, clock=clock)
    begin(press.engine, press.settings.tracking, now=clock())
    with (
        _listening(press.settings.listen_at) as door,
        _told_gently(),
        on_duty(press, clock=clock),
        at_work(app.state.counting),
    ):
        host, port = door.getsockname()[:2]
        say(f"Answering at http://{f'[{host}]' if ':' in host else host}:{port}. Ctrl-C ends it.")
        uvicorn.Server(configured(app)).run(sockets=[door])
    say("Stopped; what had been asked was answered.")


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
def _told_gently() -> Iterator[None]:
    """uvicorn stops at SIGINT and SIGTERM, then raises them once more: by then there is nothing left to end."""
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
