"""
kill -9 at random, again and again, while an edition leaves: then every reader is counted, in the ledger and at the sink.

`python -m tests.kills --seeds 5 --kills 200 --readers 10000 [--database postgres] [--by smtp|sendgrid|outbox]` prints a line
for each seed. The tests run the same with smaller numbers.
"""

import argparse
import inspect
import math
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, and_, column, func, or_, select, text

from digest.channels import email
from digest.database import migrate, open_engine
from digest.deliveries import settle
from digest.deliveries.tables import BATCHES, DELIVERIES, PROOFS
from digest.delivery_ids import read_delivery_id
from digest.links import Links
from digest.paths import template_folders
from digest.render import Printer
from digest.splice import pack
from digest.values import Variant
from subscribers.audience import PEOPLE
from tests.kill_worker import CONTEXT, work
from tests.newsroom import KEYS, Morning, morning, opened, readers
from tests.samples import BASE, sample_edition
from tests.sinks.running import Shelves, Sink, Taken, sink

ALL_AT_ONCE = 0.3  # share of kills that leave no worker alive
ANYTIME = 0.2  # share of kills that do not wait for a message on its way: start-up and recovery are hit too
LONGEST_WAIT = 5.0  # seconds for it
LONGEST_PAUSE = 20.0  # seconds without a message, and a worker hangs
KEY = "SG.kills"
HEAD = (
    "by       database seed kills landed most/kill doubts arrived  share unexplained lost hidden twice strange false "
    "poisoned resumed/s run/s  books"
)
ROW = (
    "{by:<9}{database:<9}{seed:>4}{kills:>6}{landed:>7}{most:>10}{doubts:>7}{arrived:>8}{share:>7.1%}{unexplained:>12}"
    "{lost:>5}{hidden:>7}{twice:>6}{strange:>8}{false:>6}{poisoned:>9}{resumed:>10.2f}{seconds:>6.0f}  {books}"
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """
    One run. `hands`: open connections, or open requests; `size`: readers in a request; `batch`: in a batch.

    `far`: nobody can see that a worker is dead, as when it ran on another machine: its leases are waited out.
    """

    by: str = "smtp"
    readers: int = 10_000
    kills: int = 200
    seed: int = 1
    workers: int = 1  # at most at once
    hands: int = 8
    size: int = 1
    batch: int = 0  # 0: as an edition of that many readers would have them
    lease: float = 2.0
    spread: float = 0.4  # seconds a worker lives at most once it has something on its way
    life: float = 0.4  # the same of one that is not waited for
    landing: float = 0.75  # share of the kills that must land while rows are handing
    far: bool = False

    def among(self, workers: int) -> "Plan":
        return replace(self, workers=workers)

    @property
    def doubt(self) -> int:
        """Readers in doubt at most after one kill."""
        return self.hands * self.size

    @property
    def wait(self) -> tuple[float, float]:
        """Seconds the sink takes to answer, such that the readers just suffice for the kills."""
        each_life = 0.7 * self.readers / max(1, self.kills)
        mean = self.doubt * (1 + self.workers) / 2 * (self.spread / 2) / each_life
        return 0.5 * mean, 1.5 * mean

    def settings(self, there: Sink | Shelves) -> dict[str, Any]:
        if self.by == "outbox":
            return {"outbox": there.folder, "lease": self.lease}
        if self.by == "smtp":
            return {
                "smtp_servers": (f"127.0.0.1:{there.port}",), "smtp_security": "none", "smtp_connections": self.hands,
                "smtp_hello": "press.example.org", "lease": self.lease,
            }  # fmt: skip
        return {
            "sendgrid_key": KEY, "sendgrid_host": f"http://127.0.0.1:{there.port}", "sendgrid_open": self.hands,
            "sendgrid_requests": self.size, "batch_size": max(50, self.batch), "lease": self.lease,
        }  # fmt: skip


@dataclass
class Result:
    """What the ledger and the sink say once all is over."""

    plan: Plan
    kills: int = 0
    landed: int = 0  # while rows were handing
    most: int = 0  # rows in doubt by one kill
    doubts: int = 0  # ambiguous at the end
    arrived: int = 0  # of those, at the sink
    unexplained: int = 0  # of those, not on their way at any kill
    lost: int = 0  # neither at the sink nor shown as ambiguous
    hidden: int = 0  # at the sink, and shown as neither accepted nor ambiguous
    twice: int = 0  # copies too many
    strange: int = 0  # at the sink for nobody of ours, or under another delivery's name
    false: int = 0  # accepted, but not at the sink
    poisoned: int = 0
    resumed: float = 0.0  # seconds from the death of all workers to the next message, at most
    seconds: float = 0.0  # the whole run
    books: str = ""
    done: bool = False
    states: Counter[str] = field(default_factory=Counter)

    @property
    def faults(self) -> list[str]:
        """What breaks a promise; empty when all hold."""
        plan = self.plan
        held = {
            f"only {self.kills} of {plan.kills} kills": self.kills == plan.kills,
            f"only {self.landed} kills landed while rows were handing": self.landed >= plan.landing * plan.kills,
            f"{self.lost} lost": not self.lost,
            f"{self.hidden} handed over and not shown": not self.hidden,
            f"{self.twice} twice": not self.twice,
            f"{self.strange} strange": not self.strange,
            f"{self.false} accepted falsely": not self.false,
            f"{self.poisoned} innocent rows poisoned": not self.poisoned,
            f"{self.most} in doubt by one kill": self.most <= plan.doubt,
            f"{self.doubts} in doubt": self.doubts < 0.2 * plan.readers,
            f"{self.unexplained} in doubt by no kill": not self.unexplained,
            f"{self.resumed:.1f} s until it went on": self.resumed <= plan.lease + 5,
            f"books: {self.books}": self.done,
        }
        return [fault for fault, holds in held.items() if not holds]

    def row(self, database: str) -> str:
        share = self.doubts / self.plan.readers
        return ROW.format(
            **{**vars(self), "by": self.plan.by, "database": database, "seed": self.plan.seed, "share": share}
        )


@dataclass
class Trial:
    """An edition to be delivered, its sink, and the workers that die over it."""

    engine: Engine
    sink: Sink | Shelves
    plan: Plan
    mailing: int
    alive: list[BaseProcess] = field(default_factory=list)
    doubts: dict[int, float] = field(default_factory=dict)  # numbers in doubt by a kill, and when that was
    deaths: list[float] = field(default_factory=list)  # when nobody was alive any more
    over: bool = False  # a worker found nothing left to do
    began: float = field(default_factory=time.monotonic)
    dice: random.Random = field(init=False)
    result: Result = field(init=False)

    def __post_init__(self) -> None:
        self.dice, self.result = random.Random(self.plan.seed), Result(self.plan)

    def run(self) -> Result:
        try:
            while self.result.kills < self.plan.kills and self._somebody_works():
                victims = self._victims()
                self._wait(victims)
                for one in victims:
                    self._kill(one)
                if not self._living():
                    self.deaths.append(time.monotonic())
            self._finish()
        finally:
            for one in self.alive:
                one.kill()
        return self.count()

    # killing --------------------------------------------------------------------------------------------------------

    def _somebody_works(self) -> bool:
        """False when the edition is done before its time."""
        wanted = self.dice.randint(1, self.plan.workers)
        while len(self._living()) < wanted and not self.over:
            self.alive.append(start(self))
        return not self.over

    def _living(self) -> list[BaseProcess]:
        """Those at work. None may end in any other way than by our hand, or because nothing is left to do."""
        ends = {one.exitcode for one in self.alive} - {None, -signal.SIGKILL}
        assert ends <= {0}, f"a worker ended by itself with {ends}"
        self.over = self.over or bool(ends)
        self.alive = [one for one in self.alive if one.is_alive()]
        return self.alive

    def _victims(self) -> Sequence[BaseProcess]:
        living = list(self._living())
        left = self.plan.kills - self.result.kills
        return living[:left] if self.dice.random() < ALL_AT_ONCE else self.dice.sample(living, min(1, len(living)))

    def _wait(self, victims: Sequence[BaseProcess]) -> None:
        """Mostly until they have something on its way, and then for as long as chance has it."""
        if self.dice.random() < ANYTIME:
            time.sleep(self.dice.uniform(0, self.plan.life))
            return
        until = time.monotonic() + LONGEST_WAIT
        while time.monotonic() < until and not all(self._handing(one) for one in victims if one.is_alive()):
            time.sleep(0.005)
        time.sleep(self.dice.uniform(0, self.plan.spread))

    def _kill(self, one: BaseProcess) -> None:
        one.kill()
        one.join()
        if one.exitcode == -signal.SIGKILL:  # it may have been quicker
            self.result.landed += self.learn(one)
            self.result.kills += 1

    def learn(self, one: BaseProcess) -> bool:
        """Note what is in doubt by one that has just died; whether anything is."""
        at = time.monotonic()
        self._wait_for_last_commit(one)
        handing = self._handing(one)
        self.doubts |= dict.fromkeys(handing, at)
        self.result.most = max(self.result.most, len(handing))
        return bool(handing)

    def _wait_for_last_commit(self, one: BaseProcess) -> None:
        """The server may still be ending what the dead one began."""
        if self.engine.dialect.name != "postgresql":
            return
        query = select(func.count()).select_from(text("pg_stat_activity")).where(column("application_name") == one.name)
        for _ in range(1000):
            with self.engine.execution_options(reads=True).connect() as connection:
                if not connection.execute(query).scalar():
                    return
            time.sleep(0.005)
        raise AssertionError("the server keeps a dead worker's connection")

    def _handing(self, one: BaseProcess) -> list[int]:
        """What the ledger has on record as leaving by the hand of that process."""
        row, batch = DELIVERIES.c, BATCHES.c
        whole = and_(batch.state == "handing", row.state == "queued")
        query = (
            select(row.number)
            .join_from(DELIVERIES, BATCHES, row.batch_id == batch.id)
            .where(batch.owner.like(f"%/{one.pid}/%"), batch.state.in_(("claimed", "handing")))
            .where(or_(row.state == "handing", whole))
        )
        with self.engine.execution_options(reads=True).connect() as connection:
            return list(connection.execute(query).scalars())

    def _finish(self) -> None:
        """Workers that nobody kills, until one finds nothing left to do, and then the others too."""
        self.sink.hurry()
        while not self.over:
            self.alive = self._living() or [start(self)]
            known = self.sink.size
            self.alive[0].join(LONGEST_PAUSE)
            assert self.alive[0].exitcode is not None or self.sink.size > known, "a worker hangs"
            self._living()
        for one in self.alive:
            one.join(LONGEST_PAUSE)
        assert not self._living(), "a worker hangs with nothing left to do"

    # counting -------------------------------------------------------------------------------------------------------

    def count(self) -> Result:
        """Every reader that there is, as the ledger and the sink's book have them now."""
        taken, rows, everyone = self.sink.taken, self._rows(), [address_of(n) for n in range(1, self.plan.readers + 1)]
        copies = Counter(one.address for one in taken)
        states = {address: state for address, (_, state) in rows.items()}
        shown = {address for address, state in states.items() if state in {"accepted", "ambiguous"}}
        doubted = {address for address, state in states.items() if state == "ambiguous"}
        balance = settle(self.engine, self.mailing, now=datetime.now(UTC))
        return replace(
            self.result,
            states=Counter(states.values()),
            doubts=len(doubted),
            arrived=len(doubted & copies.keys()),
            unexplained=sum(rows[address][0] not in self.doubts for address in doubted),
            poisoned=sum(state == "failed" for state in states.values()),
            twice=copies.total() - len(copies),
            strange=sum(self._delivery(one) != rows.get(one.address, (0, ""))[0] for one in taken),
            lost=sum(address not in copies and address not in shown for address in everyone),
            hidden=len(copies.keys() - shown),
            false=sum(state == "accepted" and address not in copies for address, state in states.items()),
            resumed=max(self._gaps(taken, rows), default=0.0),
            seconds=time.monotonic() - self.began,
            books=balance.words,
            done=balance.done,
        )

    def _rows(self) -> dict[str, tuple[int, str]]:
        """Each reader's number and state in the ledger."""
        query = select(PEOPLE.c.email, DELIVERIES.c.number, DELIVERIES.c.state).join_from(
            DELIVERIES, PEOPLE, PEOPLE.c.id == DELIVERIES.c.subscriber_id
        )
        with self.engine.execution_options(reads=True).connect() as connection:
            return {address: (number, str(state)) for address, number, state in connection.execute(query)}

    def _delivery(self, one: Taken) -> int | None:
        """The number of the delivery whose name the message bore."""
        mailing, number, *_ = read_delivery_id(KEYS.hash_key, one.name) or (0, None)
        return number if mailing == self.mailing else None

    def _gaps(self, taken: Sequence[Taken], rows: dict[str, tuple[int, str]]) -> Iterator[float]:
        """
        Seconds from each death of all workers to the next message that is not from before.

        What was in the sink's ear at the kill is in doubt by it, and left out. Where the next worker was killed before
        its first message, the time goes on: it is never shown better than it is.
        """
        numbers = {address: number for address, (number, _) in rows.items()}
        fresh = [one.at for one in taken if self.doubts.get(numbers.get(one.address, 0), math.inf) > one.at]
        for death in self.deaths:
            following = next((at for at in fresh if at > death), None)
            if following is not None:
                yield following - death


def address_of(number: int) -> str:
    """As tests.newsroom.readers has them."""
    return f"reader{number}@example.net"


def trial(engine: Engine, plan: Plan, folder: Path) -> Result:
    """One run on an empty database, its sink in `folder`."""
    with sink(plan.by, folder / "book", wait=plan.wait) as there:
        return Trial(engine, there, plan, prepared(engine, plan)).run()


def prepared(engine: Engine, plan: Plan) -> int:
    """The mailing of an approved edition, printed as the press prints."""
    house = with_proof(engine, morning(engine))
    readers(engine, plan.readers)
    share = replace(house.share(), transport=plan.by)
    times = {"now": datetime.now(UTC), "expires_at": datetime.max.replace(tzinfo=UTC)}
    return opened(engine, house, [share], batch_size=plan.batch or max(50, plan.readers // 20), **times)


def with_proof(engine: Engine, house: Morning) -> Morning:
    """The same, with a proof that a provider with an envelope of its own can take apart."""
    proof = email.proof(sample_edition(2), Variant(segment="", language="en"), Printer(template_folders()), Links(BASE))
    with engine.begin() as connection:
        connection.execute(PROOFS.update().values(compiled=pack(proof.compiled)))
    return house


def start(trial: Trial, **trap: Any) -> BaseProcess:
    """A worker in a process of its own; `trap` as in kill_worker.work."""
    name = f"worker {next(NUMBERS)}"
    url = trial.engine.url
    if url.get_backend_name() == "postgresql":
        url = url.update_query_dict({"application_name": name})
    given = {
        "url": url.render_as_string(hide_password=False), "mailing": trial.mailing, "by": trial.plan.by,
        "settings": trial.plan.settings(trial.sink), "stamps": trial.sink.book.with_name("newest-marker"),
        "far": trial.plan.far, **trap,
    }  # fmt: skip
    process = CONTEXT.Process(target=work, kwargs=given, name=name, daemon=True)
    process.start()
    return process


NUMBERS = count(1)


# by hand ------------------------------------------------------------------------------------------------------------


@contextmanager
def databases(kind: str, folder: Path) -> Iterator[Iterator[Engine]]:
    """Empty databases with our tables, one after the other."""
    if kind == "sqlite":
        yield (fresh(f"sqlite:///{folder / f'{number}.sqlite'}") for number in range(1000))
        return
    from tests.conftest import postgres_server  # pytest comes with it

    with contextmanager(inspect.unwrap(postgres_server))() as server:
        yield (open_engine(server.create_migrated()) for _ in range(1000))


def fresh(url: str) -> Engine:
    engine = open_engine(url)
    migrate(engine)
    return engine


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="kill -9 at random while an edition leaves")
    parser.add_argument("--by", choices=("smtp", "sendgrid", "outbox"), default="smtp")
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--readers", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    asked = parser.parse_args(arguments)
    plan = Plan(
        by=asked.by, readers=asked.readers, kills=asked.kills, workers=3 if asked.database == "postgres" else 1,
        **HANDS[asked.by],
    )  # fmt: skip
    folder = Path(tempfile.mkdtemp(prefix="digest-kills-"))
    print(HEAD, flush=True)
    faults: list[str] = []
    try:
        with databases(asked.database, folder) as engines:
            for seed, engine in zip(range(asked.first, asked.first + asked.seeds), engines, strict=False):
                result = trial(engine, replace(plan, seed=seed), Path(tempfile.mkdtemp(dir=folder)))
                faults += result.faults
                print(result.row(asked.database), *result.faults, sep="; " if result.faults else "", flush=True)
                engine.dispose()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if faults else 0


HANDS: dict[str, dict[str, Any]] = {
    "smtp": {"hands": 8},
    "sendgrid": {"hands": 4, "size": 2, "batch": 50},
    "outbox": {"hands": 1, "size": 100, "batch": 100, "spread": 0.002, "life": 0.15, "landing": 0.05},
}
"""
Few enough that even 200 kills that all land leave less than a fifth of 10,000 readers in doubt. The outbox is never in
doubt, and cannot be slowed: its workers die younger.
"""

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
