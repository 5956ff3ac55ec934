"""Beside the web application: one thread hands over what readers have just asked for, another keeps the house in order."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from threading import Event, Thread

from digest.errors import DigestError
from digest.press import Press, deliver_services
from digest.upkeep import Hourly

log = logging.getLogger(__name__)
LOOK = 0.5  # seconds between looks for a message that waits
REST = 30.0  # seconds after a fault, before the next try


@contextmanager
def on_duty(press: Press, *, clock: Callable[[], datetime]) -> Iterator[None]:
    """Service messages leave and upkeep is done while the block runs. At its end what is in hand is finished, and the rest waits."""
    over = Event()
    hourly = Hourly(press, clock)
    duties = {
        "service messages": lambda: deliver_services(press, now=clock, stop=over.is_set),
        "upkeep": lambda: hourly.look(over.is_set),  # apart, for a large database is scrubbed for a minute
    }
    threads = [Thread(target=_work, args=(name, duty, over), name=name, daemon=True) for name, duty in duties.items()]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _work(name: str, duty: Callable[[], object], over: Event) -> None:
    while not over.is_set():
        rest = LOOK
        try:
            duty()
        except DigestError as error:
            log.warning("%s: not now. %s", name.capitalize(), error)
            rest = REST
        except Exception:
            log.exception(name)
            rest = REST
        over.wait(rest)
