"""The clock that stays on duty: APScheduler only ticks, the truth of what is due is in the database."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from apscheduler.schedulers.blocking import BlockingScheduler

from digest.errors import DigestError
from digest.press import Press, attend

log = logging.getLogger(__name__)
TICK = 15  # seconds; a clock that was set forward or back is noticed within one tick


def watch(press: Press, told: Callable[[str], None]) -> None:
    """
    Until interrupted: apply the fallback of every deadline that has passed, deliver every approved edition.

    Nothing is remembered between ticks, so a restart, a missed tick or a second watcher changes nothing: editions
    move by conditional writes, deliveries are unique.
    """

    def tick() -> None:
        try:
            attend(press, clock=lambda: datetime.now(UTC), told=told)
        except DigestError as error:
            told(str(error))

    scheduler = BlockingScheduler(timezone=UTC)
    scheduler.add_job(
        tick, "interval", seconds=TICK, coalesce=True, misfire_grace_time=None, max_instances=1,
        next_run_time=datetime.now(UTC),
    )  # fmt: skip
    try:
        scheduler.start()
    finally:
        log.info("off duty")
