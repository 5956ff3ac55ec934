"""The one thread that writes for a sending process: what several batches ask for meanwhile goes into one commit."""

import logging
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, Engine

from digest.crashes import crash_point
from digest.database import driver_in_words, storage_in_words, swift_transaction
from digest.deliveries.marking import exchange
from digest.deliveries.stamps import Stamps
from digest.deliveries.tables import Cursor
from digest.values import BatchState, Receipt

if TYPE_CHECKING:
    from digest.deliveries.hands import Hand

log = logging.getLogger(__name__)
T = TypeVar("T")
Then = Callable[[set[int]], None]
Job = Callable[[Connection], Any]
MOST = 500  # requests in one commit


@dataclass(slots=True)
class Request:
    """Outcomes of one batch to write down, numbers of it to mark, and whom to tell which of them are still ours."""

    hand: "Hand"
    numbers: Collection[int]
    done: Sequence[Receipt]
    then: Then | None


class Writer:
    """
    Takes markers, outcomes and other writes from any thread, and commits them in the order they came.

    Grouping needs no waiting: while one commit is on its way to the disk, the requests for the next one gather.

    Raises:
        StorageError: the database lets nobody in.
    """

    def __init__(self, engine: Engine, stamps: Stamps, clock: Callable[[], datetime]) -> None:
        self.stamps, self.clock = stamps, clock
        with storage_in_words():
            self._connection = engine.connect()  # here, where whoever asks hears that it cannot be had
        self._wanted: SimpleQueue[Request | tuple[Job | None, Future[Any]] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    def ask(self, hand: "Hand", numbers: Collection[int], done: Sequence[Receipt], then: Then | None) -> None:
        self._wanted.put(Request(hand, numbers, done, then))

    def do(self, job: Callable[[Connection], T]) -> T:
        """
        Run `job` in a transaction of its own, after everything asked for before, and wait for it.

        Raises:
            StorageError: the database refused.
        """
        answer: Future[T] = Future()
        self._wanted.put((job, answer))
        return answer.result()

    def wait(self) -> None:
        """Until everything asked for before is written, or refused."""
        answer: Future[None] = Future()
        self._wanted.put((None, answer))
        answer.result()

    def close(self) -> None:
        """Finish what was asked for, and end."""
        self._wanted.put(None)
        self._thread.join()

    def _run(self) -> None:
        with self._connection as connection:
            going = True
            while going:
                wanted = self._next()
                going = None not in wanted
                requests = [one for one in wanted if isinstance(one, Request)]
                if requests:
                    self._exchange(connection, requests)
                for one in wanted:
                    if isinstance(one, tuple):
                        self._do(connection, *one)

    def _next(self) -> list[Any]:
        wanted = [self._wanted.get()]
        try:
            while len(wanted) < MOST:
                wanted.append(self._wanted.get_nowait())
        except Empty:
            pass
        return wanted

    def _do(self, connection: Connection, job: Job | None, answer: "Future[Any]") -> None:
        if job is None:
            answer.set_result(None)
            return
        try:
            with storage_in_words(), driver_in_words(connection.dialect), connection.begin():
                result = job(connection)
        except BaseException as error:  # noqa: BLE001  it belongs to the thread that asked
            answer.set_exception(error)
        else:
            answer.set_result(result)

    def _exchange(self, connection: Connection, requests: Sequence[Request]) -> None:
        """One commit for all; what it refuses, every batch concerned hears as its own failure, and is not tried again here."""
        now = self.clock()
        pages: dict[int, _Page] = {}
        for one in requests:
            pages.setdefault(id(one.hand), _Page(one.hand)).add(one, now.timestamp())
        try:
            self._commit(connection, [page for page in pages.values() if not page.hand.refused], now)
        except BaseException as error:  # the thread of the batch raises it
            log.debug("the ledger could not be written", exc_info=True)
            for page in pages.values():
                page.refused(error)
        for page in pages.values():
            page.keep_if_refused()
        for one in requests:
            if one.then is not None:
                one.then(pages[id(one.hand)].ours.intersection(one.numbers))

    def _commit(self, connection: Connection, pages: Sequence["_Page"], now: datetime) -> None:
        recorded, stamp = any(page.receipts for page in pages), self.stamps.next()
        if recorded:
            crash_point("before_record")
        if any(page.numbers for page in pages):
            crash_point("before_mark")
        with swift_transaction(connection):
            cursor = Cursor(connection)
            for page in pages:
                page.write(cursor, now, stamp)
        for page in pages:
            page.written()
        if any(page.ours for page in pages):
            self.stamps.keep(stamp)
            crash_point("after_mark")
        if recorded:
            crash_point("after_record")


class _Page:
    """What one commit says of one batch."""

    def __init__(self, hand: "Hand") -> None:
        self.hand = hand
        self.numbers: set[int] = set()
        self.receipts: list[Receipt] = []
        self.ours: set[int] = set()
        self.lost = False

    def add(self, one: Request, now: float) -> None:
        self.receipts += one.done
        self.receipts += self.hand.kept()
        if one.numbers:
            self.numbers |= self.hand.may_mark(one.numbers, now)

    def write(self, cursor: Cursor, now: datetime, stamp: int) -> None:
        if not self.numbers and not self.receipts:
            return
        ours = exchange(cursor, self.hand.batch, self.numbers, self.receipts, now=now, stamp=stamp, to=self._to())
        self.lost, self.ours = ours is None, ours or set()

    def _to(self) -> str:
        """Where the batch as a whole moves: all of it marked by one write on it, or done with the last outcome."""
        if not self.receipts and len(self.numbers) == len(self.hand.batch.recipients):
            return BatchState.HANDING
        return BatchState.DONE if self.receipts and len(self.receipts) >= self.hand.open else ""

    def written(self) -> None:
        self.hand.lost = self.hand.lost or self.lost
        if not self.lost:
            self.hand.unmarked -= self.ours
            self.hand.open -= len(self.receipts)

    def refused(self, error: BaseException) -> None:
        self.hand.error = self.hand.error or error
        self.hand.refused = True
        self.hand.unsent |= self.ours

    def keep_if_refused(self) -> None:
        if self.hand.refused:
            self.hand.unwritten += self.receipts
            self.ours = set()
