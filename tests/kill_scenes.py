"""Three ways for a worker to fail that chance seldom finds: in a named window, asleep past its lease, over one row."""

import os
import signal
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from digest.deliveries.tables import BATCHES, DELIVERIES
from tests.kills import Plan, Result, Trial, address_of, prepared, start
from tests.newsroom import deliveries_of
from tests.sinks.running import sink

LONGEST = 60  # seconds for any of these workers
MOST_CRASHES = 25
A_DOZEN = 1000  # bytes of the sink's book


def killed_in(windows: Sequence[str], engine: Engine, plan: Plan, folder: Path) -> Result:
    """One worker after the other dies in those windows, and the next one finishes."""
    with sink(plan.by, folder / "book") as there:
        trial = Trial(engine, there, plan, prepared(engine, plan))
        for window in windows:
            one = start(trial, dies_at=window)
            one.join(LONGEST)
            assert one.exitcode == -signal.SIGKILL, f"the window {window} was never reached"
            trial.learn(one)
        return trial.run()


@dataclass
class Awoken:
    """What the sleeper did after it woke: messages that left, which of them are not shown in doubt, and its writes."""

    late: set[str] = field(default_factory=set)
    unshown: set[str] = field(default_factory=set)
    writes: int = 0
    result: Result | None = None


def asleep_past_its_lease(engine: Engine, plan: Plan, folder: Path, *, inside: bool = False) -> Awoken:
    """
    One worker is stopped in the middle, another one finishes the edition, then the first is woken.

    `inside`: it is stopped inside a transaction, whose locks it holds until the database server ends it.
    """
    with sink(plan.by, folder / "book", wait=(0.05, 0.15)) as there:
        trial = Trial(engine, there, plan, prepared(engine, plan))
        sleeper = start(trial)
        while there.size < A_DOZEN:
            assert sleeper.is_alive(), "it ended before it could be stopped"
            time.sleep(0.01)
        _stop(sleeper, engine, inside=inside)
        try:
            assert trial.run().done
            before, known = _tables(engine), there.copies
        finally:
            os.kill(sleeper.pid, signal.SIGCONT)
        sleeper.join(LONGEST)
        assert sleeper.exitcode is not None, "the sleeper hangs"
        result, doubted = trial.count(), _doubted(engine)
        late = set(there.copies) - set(known)
        return Awoken(late=late, unshown=late - doubted, writes=_differ(before, _tables(engine)), result=result)


def _stop(worker: BaseProcess, engine: Engine, *, inside: bool) -> None:
    """Between two transactions, or inside of one: whoever is stopped there keeps its locks, and no lease helps."""
    holds = _holds_the_file if engine.dialect.name == "sqlite" else _is_in_a_transaction
    for _ in range(1000):
        os.kill(worker.pid, signal.SIGSTOP)
        if holds(worker, engine) == inside:
            return
        os.kill(worker.pid, signal.SIGCONT)
        time.sleep(0.003)
    raise AssertionError("it could not be stopped where it should")


def _is_in_a_transaction(worker: BaseProcess, engine: Engine) -> bool:
    time.sleep(0.02)  # the server may still be at what it was told
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = :name AND state LIKE '%in transaction'"
    )
    with engine.execution_options(reads=True).connect() as connection:
        return connection.execute(query, {"name": worker.name}).scalar() > 0


def _holds_the_file(_worker: BaseProcess, engine: Engine) -> bool:
    with closing(sqlite3.connect(engine.url.database, timeout=0, isolation_level=None)) as file:
        try:
            file.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        return False


def _tables(engine: Engine) -> list[Any]:
    with engine.execution_options(reads=True).connect() as connection:
        return [
            *connection.execute(DELIVERIES.select().order_by(DELIVERIES.c.number)),
            *connection.execute(BATCHES.select().order_by(BATCHES.c.id)),
        ]


def _differ(before: list[Any], after: list[Any]) -> int:
    return len(set(before) ^ set(after))


def _doubted(engine: Engine) -> set[str]:
    return {address_of(row.subscriber_id) for row in deliveries_of(engine) if row.state == "ambiguous"}


def over_one_row(engine: Engine, plan: Plan, folder: Path, number: int) -> tuple[int, str, Result]:
    """
    That row ends every worker that touches it; workers are started until one finds nothing left to do.

    Returns:
        How many died, what became of the row, and the count of all.
    """
    with sink(plan.by, folder / "book") as there:
        trial = Trial(engine, there, plan, prepared(engine, plan))
        for crashes in range(MOST_CRASHES):
            worker = start(trial, deadly=number)
            worker.join(LONGEST)
            assert worker.exitcode in {0, -signal.SIGKILL}, f"a worker ended by itself with {worker.exitcode}"
            trial.learn(worker)
            if worker.exitcode == 0:
                row = next(row for row in deliveries_of(engine) if row.number == number)
                return crashes, f"{row.state}: {row.reason}", trial.count()
    raise AssertionError(f"still dying after {MOST_CRASHES} crashes")
