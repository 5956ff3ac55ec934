"""Three ways for a worker to fail that chance seldom finds: in a named window, asleep past its lease, over one row."""

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import Engine

from digest.deliveries.tables import BATCHES, DELIVERIES
from tests.kills import Plan, Result, Trial, prepared, start
from tests.newsroom import deliveries_of
from tests.sinks.running import sink

LONGEST = 60  # seconds for any of these workers
MOST_CRASHES = 25


def killed_in(window: str, engine: Engine, plan: Plan, folder: Path) -> Result:
    """One worker dies in that window, and the next one finishes."""
    with sink(plan.by, folder / "book") as there:
        trial = Trial(engine, there, plan, prepared(engine, plan), Random(1))
        first = start(engine, there, plan, trial.mailing, dies_at=window)
        first.join(LONGEST)
        assert first.exitcode == -signal.SIGKILL, f"the window {window} was never reached"
        return trial.run()


@dataclass
class Awoken:
    """What the sleeper did after it woke: messages that left, of whom which were not shown in doubt, and its writes."""

    late: set[str] = field(default_factory=set)
    unshown: set[str] = field(default_factory=set)
    writes: int = 0
    result: Result | None = None


def asleep_past_its_lease(engine: Engine, plan: Plan, folder: Path) -> Awoken:
    """One worker is stopped in the middle, another one finishes the edition, then the first is woken."""
    with sink(plan.by, folder / "book", wait=(0.05, 0.15)) as there:
        trial = Trial(engine, there, plan, prepared(engine, plan), Random(1))
        sleeper = start(engine, there, plan, trial.mailing)
        while there.size < 1000:  # bytes: a dozen messages
            time.sleep(0.01)
        os.kill(sleeper.pid, signal.SIGSTOP)
        try:
            trial.run()
            before, known = _tables(engine), there.copies
        finally:
            os.kill(sleeper.pid, signal.SIGCONT)
        sleeper.join(LONGEST)
        assert sleeper.exitcode is not None, "the sleeper hangs"
        result, doubted = trial.count(), _doubted(engine)
        late = set(there.copies) - set(known)
        return Awoken(late=late, unshown=late - doubted, writes=_differ(before, _tables(engine)), result=result)


def _tables(engine: Engine) -> list[Any]:
    with engine.execution_options(reads=True).connect() as connection:
        return [
            *connection.execute(DELIVERIES.select().order_by(DELIVERIES.c.number)),
            *connection.execute(BATCHES.select().order_by(BATCHES.c.id)),
        ]


def _differ(before: list[Any], after: list[Any]) -> int:
    return len(set(before) ^ set(after))


def _doubted(engine: Engine) -> set[str]:
    return {f"reader{row.subscriber_id}@example.net" for row in deliveries_of(engine) if row.state == "ambiguous"}


def over_one_row(engine: Engine, plan: Plan, folder: Path, number: int) -> tuple[int, str, Result]:
    """
    That row ends every worker that touches it; workers are started until one finds nothing left to do.

    Returns:
        How many died, what became of the row, and the count of all.
    """
    with sink(plan.by, folder / "book") as there:
        trial = Trial(engine, there, plan, prepared(engine, plan), Random(1))
        for crashes in range(MOST_CRASHES):
            worker = start(engine, there, plan, trial.mailing, deadly=number)
            worker.join(LONGEST)
            assert worker.exitcode in {0, -signal.SIGKILL}
            if worker.exitcode == 0:
                row = next(row for row in deliveries_of(engine) if row.number == number)
                return crashes, f"{row.state}: {row.reason}", trial.count()
    raise AssertionError(f"still dying after {MOST_CRASHES} crashes")
