"""Where providers tell what became of deliveries. Nothing is believed unsigned; nothing is answered before it is written."""

import logging
import re
from collections import Counter
from datetime import UTC, datetime, timedelta

from anyio import CapacityLimiter, to_thread
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import PlainTextResponse

from digest import tracking
from digest.consequences import policy_of
from digest.events import hear
from digest.press import Press
from digest.sendgrid.events import read, seen
from digest.signatures import is_signed, read_key
from digest.web.guard import RETRY, Clock, body_of

log = logging.getLogger(__name__)

SIGNATURE = "x-twilio-email-event-webhook-signature"
TIMESTAMP = "x-twilio-email-event-webhook-timestamp"
MOST_BYTES = 4_000_000  # SendGrid sends up to 768 KB
SECONDS = re.compile("[0-9]{1,10}")
AT_ONCE, WAITING = 4, 32  # POSTs being written down, and others that may wait for them
OLDEST, AHEAD = timedelta(hours=48), timedelta(minutes=10)
"""SendGrid tries for 24 hours, perhaps under the first signature. A replay within that changes nothing: it is known."""


def router(press: Press, clock: Clock) -> APIRouter:
    written = press.settings.sendgrid_webhook_key
    key = read_key(written) if written else None
    policy = policy_of(press.settings)
    writers = CapacityLimiter(AT_ONCE)
    routes = APIRouter(prefix="/hooks")

    @routes.post("/sendgrid", status_code=204)
    async def sendgrid(request: Request) -> Response:
        if writers.statistics().tasks_waiting > WAITING:
            raise HTTPException(503, "Too much at once: try again.", headers=RETRY)
        if key is None:
            log.warning("events from SendGrid are refused: DIGEST_SENDGRID_WEBHOOK_KEY is empty")
            return refused()
        body = await body_of(request, MOST_BYTES)
        if not is_genuine(key, request, body, clock()):
            log.warning("events were refused: not signed with DIGEST_SENDGRID_WEBHOOK_KEY, or too old")
            return refused()
        await to_thread.run_sync(write_down, body, limiter=writers)
        return Response(status_code=204)

    def write_down(body: bytes) -> None:
        try:
            told = read(body)
        except ValueError:
            raise HTTPException(400, "This is no list of events.") from None
        events = [event for event in told if event is not None]
        heard = hear(press.engine, events, keys=press.keys, provider="sendgrid", policy=policy, now=clock())
        mode = press.settings.tracking
        if mode != tracking.OFF:
            opens = [tracking.Told(*one) for one in seen(body)]
            tracking.hear(press.engine, press.keys, opens, provider="sendgrid", mode=mode, now=clock())
        log.info("sendgrid: %d told, %s", len(told), dict(Counter(map(str, heard.outcomes))))

    return routes


def refused() -> Response:
    """Whatever is wrong: the answer does not tell."""
    return PlainTextResponse("Refused.\n", 403)


def is_genuine(key: EllipticCurvePublicKey, request: Request, body: bytes, now: datetime) -> bool:
    signature, timestamp = request.headers.get(SIGNATURE, ""), request.headers.get(TIMESTAMP, "")
    return is_timely(timestamp, now) and is_signed(key, signature, timestamp, body)


def is_timely(timestamp: str, now: datetime) -> bool:
    """Whether it is a time in epoch seconds, and neither too old nor ahead of us by more than clocks differ."""
    if not SECONDS.fullmatch(timestamp):
        return False
    return -AHEAD <= now - datetime.fromtimestamp(int(timestamp), UTC) <= OLDEST
