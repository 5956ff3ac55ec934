"""The clock that stays on duty: APScheduler only ticks, the truth of what is due is in the database."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Event

from apscheduler.schedulers.background import BackgroundScheduler

from digest.errors import DigestError
from digest.press import Press, attend

log = logging.getLogger(__name__)
TICK = 15  # seconds; a clock that was set forward or back is noticed within one tick
NAP = 0.2  # seconds; how soon it is noticed that the watch is over


def watch(press: Press, told: Callable[[str], None], stop: Callable[[], bool]) -> None:
    """
    Until `stop` says so: apply the fallback of every deadline that has passed, deliver every approved edition.

    Nothing is remembered between ticks, so a restart, a missed tick or a second watcher changes nothing: editions
    move by conditional writes, deliveries are unique. What is in hand when it is over is finished, the rest stays queued.
    """
    due = Event()
    scheduler = BackgroundScheduler(timezone=UTC)
    scheduler.add_job(
        due.set, "interval", seconds=TICK, coalesce=True, misfire_grace_time=None, max_instances=1,
        next_run_time=datetime.now(UTC),
    )  # fmt: skip
    scheduler.start()
    try:
        while not stop():
            if due.wait(NAP):
                due.clear()
                _look(press, told, stop)
    finally:
        scheduler.shutdown()
        log.info("off duty")


def _look(press: Press, told: Callable[[str], None], stop: Callable[[], bool]) -> None:
    try:
        attend(press, clock=lambda: datetime.now(UTC), told=told, stop=stop)
    except DigestError as error:
        told(str(error))
