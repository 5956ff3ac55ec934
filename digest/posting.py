"""
What goes on beside everything else: one thread hands over what readers have just asked for, another keeps the house in order,
and one looks whether all is well, tells who is on call, and tells an outside watcher that we live.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Event, Thread

from digest import alarms, deliveries
from digest.errors import AccountError, ContentError, DigestError
from digest.handover import opened_transports
from digest.press import Press, demand_not_restored
from digest.upkeep import Hourly

log = logging.getLogger(__name__)
LOOK = 1.0  # seconds between looks for a message that waits
REST = 30.0  # seconds after a fault, before the next try
ROUND = 20.0  # seconds between looks at the whole: an edition that was missed is told within a minute
BEAT = timedelta(minutes=1)

Doubt = Callable[[], str]
"""Says why the clock is not believed at the moment; nothing when it is."""


@contextmanager
def on_duty(
    press: Press, *, clock: Callable[[], datetime], sends: bool = True, keeps: bool = True, doubt: Doubt = lambda: "",
) -> Iterator[None]:  # fmt: skip
    """
    While the block runs service messages leave, if this process `sends`; and upkeep is done and alarms are told, if it
    `keeps` the house. At its end what is in hand is finished, and the rest waits.

    While the clock is in `doubt` nothing is removed as having had its time. Service messages leave all the same: somebody waits.
    """
    over, hourly = Event(), Hourly(press, clock)
    sender = _thread("service messages", lambda: deliver_services(press, now=clock, stop=over.is_set), over)
    keeper = _thread(
        "upkeep", lambda: doubt() or hourly.look(over.is_set), over
    )  # apart: a large database is scrubbed for a minute
    lives = sender.is_alive if sends else lambda: True
    watcher = Thread(target=_watch, args=(press, clock, over, lives, doubt), name="alarms", daemon=True)
    threads = [*([sender] if sends else []), *([keeper, watcher] if keeps else [])]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def deliver_services(press: Press, *, now: Callable[[], datetime], stop: Callable[[], bool] = lambda: False) -> int:
    """
    Hand over every service message that waits; how many there were. What is in doubt is tried once more.

    Where another process is sending it takes them first of all, and here is only watched. A refused account keeps them
    waiting: they are not paused as an edition is, for nobody would think of resuming them.

    Raises:
        NotReadyError: the database is an older copy of itself, and nobody has said yet what is to be done.
        StorageError, TransportError: nothing can go on now; what did not leave waits.
    """
    demand_not_restored(press, now())
    deliveries.resend_services(press.engine, now=now())
    due = deliveries.due_services(press.engine, now=now())
    with opened_transports(press.engine, press.settings) as transports:
        for mailing in due:
            try:
                deliveries.deliver(
                    press.engine, transports(mailing), mailing=mailing, keys=press.keys, lease=press.settings.lease,
                    clock=now, stop=stop, others=transports, stamps=press.stamps, kinds=(deliveries.SERVICE,),
                )  # fmt: skip
            except (AccountError, ContentError):
                deliveries.resume(press.engine, mailing, now=now())
                raise
            if stop():
                break
    return len(due)


def _thread(name: str, duty: Callable[[], object], over: Event) -> Thread:
    return Thread(target=_work, args=(name, duty, over), name=name, daemon=True)


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


def _watch(
    press: Press, clock: Callable[[], datetime], over: Event, sends: Callable[[], bool], doubt: Doubt
) -> None:  # fmt: skip
    beaten: datetime | None = None
    while not over.is_set():
        try:
            seen = alarms.watch_over(press, clock(), doubt=doubt())
            if alarms.is_well(press, seen, clock()) and sends() and (beaten is None or clock() - beaten >= BEAT):
                alarms.beat(press)
                beaten = clock()
        except DigestError as error:
            log.warning("The alarms cannot be looked at: %s", error)
        except Exception:
            log.exception("alarms")
        over.wait(ROUND)
