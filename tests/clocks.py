"""
Two clocks on one house, killed and stopped at random, over many days that pass in seconds.

    python -m tests.clocks --slots 100 --seed 1 [--database postgres]

Afterwards every digest has exactly one edition for each of its days, and every reader got each exactly once.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from sqlmodel import select

from digest import cadences
from digest.app import open_press
from digest.database import reading, writing
from digest.models import DeliveryRow, DigestRow, EditionRow, SubscriptionRow
from digest.schedule import on_watch
from tests.mornings import Newsroom, newsroom, write_feed

DIGESTS = 20
DAY = 45.0  # seconds that a day lasts
FACTOR = 86_400 / DAY
START = datetime(2025, 3, 9, 12, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[1]
LEASE = 2.0  # seconds as we know them


@dataclass
class Outcome:
    """What a run came to. All but the first three must be 0."""

    slots: int
    kills: int = 0
    stops: int = 0
    missing: int = 0
    doubled: int = 0
    not_sent: int = 0
    readers_without: int = 0
    readers_twice: int = 0
    states: Counter[str] = field(default_factory=Counter)
    deliveries: Counter[tuple[str, str]] = field(default_factory=Counter)  # by state and reason

    @property
    def sound(self) -> bool:
        return not any((self.missing, self.doubled, self.not_sent, self.readers_without, self.readers_twice))


def clock_from(origin: float) -> datetime:
    return START + timedelta(seconds=(time.time() - origin) * FACTOR)


def work(home: str, database: str, origin: float) -> None:
    """One clock, until it is killed."""
    press = open_press(Path(home), database=database)
    with on_watch(
        press,
        print,
        clock=lambda: clock_from(origin),
        tick=0.1,
        lease=LEASE * FACTOR,
        steady=lambda: clock_from(origin).timestamp(),
    ):
        signal.pause()


def run(folder: Path, database: str, *, slots: int, seed: int) -> Outcome:
    """`slots` editions over `DIGESTS` digests; takes about DAY seconds for each day."""
    room, draw = newsroom(folder / "home", database, START), Random(seed)
    _more_digests(room)
    days, origin = -(-slots // DIGESTS), time.time()
    outcome = Outcome(slots=days * DIGESTS)
    over = origin + DAY * (days + 0.5)
    with _clocks(folder, database, origin) as clocks:
        next_blow = time.time() + 2
        while time.time() < over:
            write_feed(room.source, clock_from(origin))
            if time.time() > next_blow:
                _strike(clocks, draw, outcome)
                next_blow = time.time() + draw.uniform(1, 8)
            time.sleep(0.2)
        clocks.mend()
        _rest(room, days, until=time.time() + 3 * DAY)
    _judge(room, days, outcome)
    return outcome


def _more_digests(room: Newsroom) -> None:
    with writing(room.press.engine) as session:
        first = session.exec(select(DigestRow)).one()
        like = first.model_dump(exclude={"id", "slug"})
        session.add_all(DigestRow(**like, slug=f"global-{n}") for n in range(1, DIGESTS))
        session.flush()
        for number, digest in enumerate(session.exec(select(DigestRow).order_by(DigestRow.id))):
            given = {
                "at": f"{6 + number // 2:02d}:{30 * (number % 2):02d}",
                "zone": "Europe/Madrid",
                "fallback": "send",
                "late": "send",
            }
            cadences.save(session, digest, given, kind="daily", who="ops", now=START)
            if number:
                wishes = session.exec(select(SubscriptionRow).where(SubscriptionRow.digest_id == first.id)).all()
                session.add_all(
                    SubscriptionRow(**wish.model_dump(exclude={"id", "digest_id"}), digest_id=digest.id)
                    for wish in wishes
                )


class Clocks:
    """Two processes; what was killed or stopped comes back."""

    def __init__(self, folder: Path, database: str, origin: float) -> None:
        self.folder, self.words = folder, [str(folder / "home"), database, str(origin)]
        self.live = [self._start(0), self._start(1)]
        self.asleep: dict[int, float] = {}

    def _start(self, number: int) -> "subprocess.Popen[bytes]":
        with (self.folder / f"clock-{number}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.clocks", "--work", *self.words], cwd=ROOT, stdout=log, stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip

    def kill(self, number: int) -> None:
        self.live[number].kill()
        self.live[number].wait()
        self.asleep.pop(number, None)
        self.live[number] = self._start(number)

    def stop(self, number: int, seconds: float) -> None:
        self.live[number].send_signal(signal.SIGSTOP)
        self.asleep[number] = time.time() + seconds

    def wake(self, *, all_of_them: bool = False) -> None:
        for number, until in list(self.asleep.items()):
            if all_of_them or time.time() > until:
                self.live[number].send_signal(signal.SIGCONT)
                del self.asleep[number]

    def mend(self) -> None:
        self.wake(all_of_them=True)

    def end(self) -> None:
        self.mend()
        for process in self.live:
            process.kill()
            process.wait()


@contextmanager
def _clocks(folder: Path, database: str, origin: float) -> Iterator[Clocks]:
    clocks = Clocks(folder, database, origin)
    try:
        yield clocks
    finally:
        clocks.end()


def _strike(clocks: Clocks, draw: Random, outcome: Outcome) -> None:
    clocks.wake()
    number = draw.randrange(2)
    if clocks.asleep:  # one of two is left alone, so that somebody lives
        return
    if draw.random() < 0.3:
        clocks.stop(number, LEASE * draw.uniform(0.5, 2.5))
        outcome.stops += 1
    else:
        clocks.kill(number)
        outcome.kills += 1


def _rest(room: Newsroom, days: int, until: float) -> None:
    """Until all that was due is through, or it takes too long."""
    while time.time() < until:
        states = [edition.state for edition in _of_the_days(room, days)]
        if len(states) >= days * DIGESTS and all(state in {"sent", "skipped", "held"} for state in states):
            return
        time.sleep(0.3)


def _of_the_days(room: Newsroom, days: int) -> list[EditionRow]:
    last = START.date() + timedelta(days=days)
    return [edition for edition in room.editions if START.date() < edition.local_date <= last]


def _judge(room: Newsroom, days: int, outcome: Outcome) -> None:
    editions = _of_the_days(room, days)
    by_slot = Counter((edition.digest_id, edition.local_date) for edition in editions)
    outcome.missing = outcome.slots - len(by_slot)
    outcome.doubled = sum(count - 1 for count in by_slot.values())
    outcome.not_sent = sum(edition.state != "sent" for edition in editions)
    outcome.states = Counter(edition.state for edition in editions)
    with reading(room.press.engine) as session:
        rows = session.exec(select(DeliveryRow.state, DeliveryRow.reason))
        outcome.deliveries = Counter((str(state), reason) for state, reason in rows)
        slugs = {digest.id: digest.slug for digest in session.exec(select(DigestRow))}
    shelf = room.press.settings.outbox_folder
    for edition in editions:
        files = list((shelf / slugs[edition.digest_id] / str(edition.local_date)).rglob("*.eml"))
        to = Counter(next(line for line in file.read_text().splitlines() if line.startswith("To:")) for file in files)
        outcome.readers_without += 2 - len(to)
        outcome.readers_twice += sum(count - 1 for count in to.values())


def main() -> None:
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2], sys.argv[3], float(sys.argv[4]))
        return
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--slots", type=int, default=100)
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--database", default="sqlite", help="sqlite, or the address of an empty PostgreSQL database")
    asked = words.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = asked.database if "://" in asked.database else f"sqlite:///{folder}/digest.sqlite"
        outcome = run(Path(folder), database, slots=asked.slots, seed=asked.seed)
    print(outcome)
    sys.exit(0 if outcome.sound else 1)


if __name__ == "__main__":
    main()
