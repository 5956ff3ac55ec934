"""What stands around every answer: headers that a browser must keep to, one line for a fault, a cap on what is read."""

import logging
import traceback
from collections.abc import Callable
from datetime import datetime

from fastapi import HTTPException, Request
from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from digest.errors import StorageError

log = logging.getLogger(__name__)

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

Clock = Callable[[], datetime]

HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
"""On every answer. A route that must differ (a preview, a page that may be cached) sets its own, and keeps the rest."""

FAULT = "Something is broken here, and has been written down. Nothing was changed.\n"
BUSY = "The books cannot be written just now. Nothing was changed: try again.\n"
RETRY = {"retry-after": "30"}  # seconds


class Guard:
    """The outermost layer: sets HEADERS, and ends every fault here, so that no server logs what a request held."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def guarded(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self.app(scope, receive, guarded)
        except StorageError as error:
            log.warning("%s", error)
            answer = PlainTextResponse(BUSY, 503, headers=RETRY)
        except Exception as error:  # noqa: BLE001  whatever it is, it is logged here and nowhere else
            log.error("%s", without_values(error))  # noqa: TRY400  its message and locals may hold a reader's address
            answer = PlainTextResponse(FAULT, 500)
        else:
            return
        if not begun:
            await answer(scope, receive, guarded)


def without_values(error: BaseException) -> str:
    """Where a fault happened and of which kind, without its message: that may repeat what a reader sent."""
    frames = traceback.extract_tb(error.__traceback__)
    where = "\n".join(f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames)
    return f"{type(error).__name__}\n{where}"


async def body_of(request: Request, most: int) -> bytes:
    """
    A request's body, of at most `most` bytes.

    Raises:
        HTTPException: 413, as soon as it is known to be longer.
    """
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        raise too_long(most)
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > most:
            raise too_long(most)
    return bytes(body)


def too_long(most: int) -> HTTPException:
    return HTTPException(413, f"At most {most} bytes are read here.")
