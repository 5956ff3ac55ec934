"""Beside the web application: a thread that hands over what readers have just asked for, and tidies up once an hour."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Event, Thread

from digest.errors import DigestError
from digest.press import Press, deliver_services, tidy

log = logging.getLogger(__name__)
LOOK = 0.5  # seconds between looks for a message that waits
REST = 30.0  # seconds after a fault, before the next try
HOUR = timedelta(hours=1)


@contextmanager
def on_duty(press: Press, *, clock: Callable[[], datetime]) -> Iterator[None]:
    """Service messages leave while the block runs. At its end the one in hand is finished, and the rest waits."""
    over = Event()
    thread = Thread(target=_work, args=(press, clock, over), name="service messages", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _work(press: Press, clock: Callable[[], datetime], over: Event) -> None:
    tidied: datetime | None = None
    while not over.is_set():
        rest = LOOK
        try:
            deliver_services(press, now=clock, stop=over.is_set)
            if tidied is None or clock() - tidied >= HOUR:
                tidy(press, now=clock())
                tidied = clock()
        except DigestError as error:
            log.warning("Service messages wait: %s", error)
            rest = REST
        except Exception:
            log.exception("service messages")
            rest = REST
        over.wait(rest)
