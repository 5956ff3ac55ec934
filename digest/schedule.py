"""The clock that stays on duty. APScheduler only ticks; what is due is in the database, and so is who sees to it."""

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Event, Lock
from typing import Any

from apscheduler.executors.pool import ThreadPoolExecutor as Threads
from apscheduler.schedulers.background import BackgroundScheduler
from sqlmodel import func, select

from digest import freshening, planning, stations
from digest.attending import attend_to, in_hand
from digest.database import reading, writing
from digest.deliveries import owner_name
from digest.errors import DigestError
from digest.leading import LEASE, LostError, as_leader, last_known, lead, resign
from digest.models import CadenceRow, EditionRow
from digest.press import Press
from digest.steadiness import Steadiness, Steady

log = logging.getLogger(__name__)
TICK = 1.0  # seconds between two looks at what is due; a clock that was set is noticed within one
AT_ONCE = 4  # occurrences whose stations run at the same time: a slow source of one keeps no other waiting

Told = Callable[[str], None]
Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def on_watch(
    press: Press, told: Told, *, leads: bool = True, sends: bool = True, clock: Clock = utc_now, tick: float = TICK,
    lease: float = LEASE, steady: Steady = time.monotonic,
) -> Iterator["Watch"]:  # fmt: skip
    """
    While the block runs: the stations of every cadence, if this process `leads` or comes to; and what is due of each
    edition leaves, if it `sends`.

    Nothing is remembered between ticks, so a restart, a missed tick, a set clock or a second watch changes nothing; a clock that
    is implausibly far ahead is doubted for a while (see digest.steadiness). At the
    end what is in hand is finished, the rest stays on record. `tick` is in seconds, `lease` in seconds of the `clock`.
    """
    duty = Watch(press, told, clock, lease, steady, seen=last_known(press.engine, clock()))
    scheduler = BackgroundScheduler(timezone=UTC, executors={"default": Threads(3)})
    jobs = [*([duty.lead, duty.look] if leads else []), *([duty.send] if sends else [])]
    for job in jobs:
        scheduler.add_job(
            job, "interval", seconds=tick, coalesce=True, misfire_grace_time=None, max_instances=1, next_run_time=utc_now(),
        )  # fmt: skip
    logging.getLogger("apscheduler").setLevel(logging.ERROR)  # that a job still runs at its next tick is as intended
    scheduler.start()
    try:
        yield duty
    finally:
        duty.stopped.set()
        scheduler.shutdown()
        duty.end()


class Watch:
    """
    One process on duty. Its three jobs run side by side: holding the lead, the day's stations, and sending.

    `seen` is the last moment that is known of the house's work; None where a start is to be believed in any case.
    """

    def __init__(
        self, press: Press, told: Told, clock: Clock, lease: float = LEASE, steady: Steady = time.monotonic, *,
        seen: datetime | None = None,
    ) -> None:  # fmt: skip
        self.press, self.told, self.clock, self.lease = press, told, clock, lease
        self._steadiness = Steadiness(clock, steady, seen=seen)
        self.owner = owner_name()
        self.stopped = Event()
        self.fence: int | None = None
        self._stations = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="station")
        # on SQLite one run sends, and takes what is due of every edition with it
        only_one = press.engine.dialect.name == "sqlite"
        self._senders = ThreadPoolExecutor(1 if only_one else AT_ONCE, thread_name_prefix="edition")
        self._busy: dict[object, Future[None]] = {}
        self._planned: object = None
        self._looked: dict[int, datetime] = {}  # by mailing, the last wave before which its stories were looked at
        self._said: dict[str, str] = {}
        self._lock = Lock()

    def doubt(self) -> str:
        """Why the clock is not believed at the moment; empty when it is."""
        with self._lock:
            return self._steadiness.doubt()

    def _is_believed(self) -> bool:
        if doubt := self.doubt():
            self._tell_once("the clock", doubt)
        else:
            self._said.pop("the clock", None)
        return not doubt

    # holding the lead -----------------------------------------------------------------------------------------------

    def lead(self) -> None:
        with self._in_words("leading"):
            before, now = self.fence, self.clock()
            doubted = bool(self.doubt())
            self.fence = lead(self.press.engine, self.owner, now=now, lease=self.lease, doubted=doubted)
            if self.fence != before and self.fence is not None:
                self._planned = None
                self._looked.clear()
                log.info("leading the schedule with fence %s", self.fence)

    # the day's stations ---------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Plan when there is something new, begin the stations that are due, and see what waves near by may carry."""
        fence = self.fence
        if fence is None or not self._is_believed():
            return
        with self._in_words("the schedule"):
            self._plan(fence)
            with reading(self.press.engine) as session:
                due = stations.due(session, self.clock())
                near = freshening.near(session, self.clock())
            for one in due:
                self._begin(one.key, self._stations, self._run, one, fence)
            for wave in near:
                if self._looked.get(wave.mailing_id) != wave.wave:
                    self._looked[wave.mailing_id] = wave.wave
                    self._begin(("fresher", wave.mailing_id), self._stations, self._freshen, wave, fence)

    def _plan(self, fence: int) -> None:
        now = self.clock()
        with reading(self.press.engine) as session:
            shape = session.exec(select(func.count(), func.sum(CadenceRow.revision))).one()
        said = (*shape, now.replace(second=0, microsecond=0))
        if said != self._planned:
            with as_leader(fence), writing(self.press.engine) as session:
                planning.plan(session, now)
            self._planned = said

    def _run(self, one: stations.Due, fence: int) -> None:
        with self._in_words(one.words):
            stations.run(self.press, one, fence, clock=self.clock, told=self.told)

    def _freshen(self, one: freshening.Near, fence: int) -> None:
        what = f"{one.digest.slug} {one.edition.local_date}"
        with self._in_words(what), as_leader(fence):
            if words := freshening.freshen(self.press, one, clock=self.clock):
                self.told(f"{what}: {words}")

    # sending --------------------------------------------------------------------------------------------------------

    def send(self) -> None:
        """Begin, or go on with, each edition of which something is due."""
        if not self._is_believed():
            return
        with self._in_words("sending"):
            for edition in in_hand(self.press, self.clock()):
                self._begin(("edition", edition.id), self._senders, self._attend, edition)

    def _attend(self, edition: EditionRow) -> None:
        with self._in_words(f"the edition of {edition.local_date}"):
            attend_to(self.press, edition, clock=self.clock, told=self.told, stop=self.stopped.is_set)

    def _begin(self, key: object, pool: ThreadPoolExecutor, work: Callable[..., None], *given: Any) -> None:
        """In a thread of the pool, unless the same is under way already."""
        self._busy = {one: future for one, future in self._busy.items() if not future.done()}
        if key not in self._busy and not self.stopped.is_set():
            self._busy[key] = pool.submit(work, *given)

    # ----------------------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Wait until all that was begun has ended."""
        wait(self._busy.values())

    def end(self) -> None:
        """What runs is finished, and another process may lead at once."""
        self._stations.shutdown(wait=True)
        self._senders.shutdown(wait=True)
        with self._in_words("leading"):
            resign(self.press.engine, self.owner)

    @contextmanager
    def _in_words(self, what: str) -> Iterator[None]:
        """A tick that fails is told, once for each sentence; the next tick tries again."""
        try:
            yield
            self._said.pop(what, None)
        except LostError as error:
            self.fence = None
            log.warning("%s", error)
        except DigestError as error:
            self._tell_once(what, str(error))
        except Exception as error:
            log.exception("%s", what)
            self._tell_once(what, f"{type(error).__name__}: {error}")

    def _tell_once(self, what: str, words: str) -> None:
        with self._lock:
            new = self._said.get(what) != words
            self._said[what] = words
        if new:
            self.told(f"{what}: {words}")
