"""
One process that delivers one edition, and says what that cost: `python -m tests.bench._edition '{"database": ...}'`.

It runs what `digest deliver` runs, fill included where nothing is filled yet.
"""

import json
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from digest.database import open_engine
from digest.deliveries import deliver
from digest.deliveries.tables import PROOFS
from digest.parts import load_part
from digest.settings import read_settings
from digest.splice import pack
from digest.transports import Transport
from digest.values import Compiled
from tests.bench.ledger import crowd, fresh_peak, house, peak, scratch
from tests.newsroom import KEYS, PLACE, Morning, morning, opened
from tests.sendgrid_mail import printed

LONGEST = 1800  # seconds


@dataclass(frozen=True)
class Edition:
    """What one run needs. `settings` are the transport's."""

    database: str
    by: str
    settings: dict[str, Any]
    stamps: str


@dataclass(frozen=True)
class Cost:
    """Seconds of wall and CPU for fill and delivery, start-up left out; megabytes before and at most; how many."""

    filling: float
    filling_cpu: float
    wall: float
    cpu: float
    before: float
    peak: float
    handed: int
    words: str

    def each(self, figure: float) -> float:
        """Microseconds for each delivery."""
        return figure / self.handed * 1e6


def letter(size: int) -> Compiled:
    """A printed mail, padded to about so many bytes."""
    compiled = printed(stories=10).compiled
    pieces = list(compiled.pieces)
    line = b"<!-- " + b"x" * 66 + b" -->\r\n"
    missing = size - sum(len(piece) for piece in pieces if isinstance(piece, bytes))
    at = next(i for i, piece in reversed(list(enumerate(pieces))) if isinstance(piece, bytes) and b"</table>" in piece)
    pieces[at] = pieces[at].replace(b"</table>", b"</table>\r\n" + line * (missing // len(line)), 1)
    return Compiled(tuple(pieces), compiled.blanks)


def stocked(file: Path, readers: int, size: int) -> Path:
    """A database with an approved edition, printed, and so many readers; nothing is filled."""
    engine = house(file)
    morning(engine)
    crowd(engine, readers)
    with engine.begin() as connection:
        connection.execute(PROOFS.update().values(compiled=pack(letter(size))))
    engine.dispose()
    return file


def delivered(stock: Path, by: str, settings: dict[str, Any]) -> Cost:
    """A copy of that database, delivered by a process of its own."""
    folder = stock.with_name("run")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copy(stock, folder / "digest.sqlite")
    asked = Edition(f"sqlite:///{folder / 'digest.sqlite'}", by, settings, str(folder / "newest-marker"))
    command = [sys.executable, "-m", "tests.bench._edition", json.dumps(asdict(asked))]
    run = subprocess.run(command, check=True, capture_output=True, text=True, timeout=LONGEST)
    return Cost(**json.loads(run.stdout))


def work(asked: Edition) -> Cost:
    transport = opened_transport(asked)
    before = resident()
    started(asked)
    fresh_peak()
    engine, start, cpu = open_engine(asked.database), time.perf_counter(), time.process_time()
    mailing = filled(engine, asked.by)
    filling, filling_cpu = time.perf_counter() - start, time.process_time() - cpu
    balance = deliver(
        engine, {asked.by: transport}, mailing=mailing, keys=KEYS, lease=60.0, clock=lambda: datetime.now(UTC),
        stamps=Path(asked.stamps),
    )  # fmt: skip
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    transport.close()
    return Cost(filling, filling_cpu, wall, cpu, before, peak(), balance.handed, balance.words)


def opened_transport(asked: Edition) -> Transport:
    made: Transport = load_part("transports", asked.by).open_transport(read_settings(**asked.settings), PLACE)
    return made


def started(asked: Edition) -> None:
    """All that a process does once, at its first edition: that is start-up, and left out."""
    with scratch() as folder:
        engine = open_engine(f"sqlite:///{stocked(folder / 'first.sqlite', 10, 10_000)}")
        transport = opened_transport(asked)
        mailing = filled(engine, asked.by)
        deliver(engine, {asked.by: transport}, mailing=mailing, keys=KEYS, lease=60.0, clock=lambda: datetime.now(UTC))
        transport.close()
        engine.dispose()


def filled(engine: Engine, by: str) -> int:
    place, now = Morning(digest=1, edition=1, proofs={("email", "", "en"): 1}), datetime.now(UTC)
    share = replace(place.share(), transport=by)
    return opened(engine, place, [share], batch_size=500, now=now, expires_at=now + timedelta(days=1))


def resident() -> float:
    """Megabytes in memory now."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


if __name__ == "__main__":
    print(json.dumps(asdict(work(Edition(**json.loads(sys.argv[1]))))))
