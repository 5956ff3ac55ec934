"""A home with an approved edition and its readers, and `digest` at work in it in processes of its own, as a person runs it."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlmodel import select

from digest import press
from digest.app import found, open_press
from digest.database import reading
from digest.gathering import add_source, gather
from digest.models import DeliveryRow, EditionRow
from subscribers.exchange import import_csv
from tests.laid import lay
from tests.ready import run as ready
from tests.ready import words_of
from tests.sinks.running import Shelves, Sink

ROOT = Path(__file__).resolve().parents[1]
SENDER = {
    "from_name": "The Daily Example", "from_address": "global@news.example.org", "reply_to": "editors@news.example.org",
    "postal_address": "1 Press Street, 28001 Madrid",
}  # fmt: skip
PAGE = """
Global

Ferries return to the northern strait after eleven years

Share

Two ferries crossed the northern strait on Tuesday for the first time in eleven years, carrying 420 passengers and a
cargo of seed potatoes. Both governments called the crossing a test.
"""
KEY = "SG.at-work"
READERS = 120
LONGEST = 120  # seconds for a command


def set_up(home: Path) -> None:
    """Approved, and nothing of it delivered yet."""
    now = datetime.now(UTC)
    lay(home / "digest.sqlite")
    house = found(home, slug="global", fields=SENDER, now=now)
    page, people = home / "page.txt", home / "readers.csv"
    page.write_text(PAGE, encoding="utf-8")
    people.write_text("email\n" + "".join(f"{address_of(n)}\n" for n in range(1, READERS + 1)), encoding="utf-8")
    add_source(house.engine, house.settings, location=str(page), now=now)
    gather(house.engine, house.settings, now=now)
    import_csv(house.engine, people, digest_id=1, keys=house.keys, consent="a form", now=now, channels=("email",))
    press.approve(house, press.assemble(house, "global", day=now.date(), now=now), who="ana", now=now)
    house.engine.dispose()


def address_of(number: int) -> str:
    return f"reader{number}@example.net"


@dataclass
class AtWork:
    """That home. `settings` are given to every command as its environment."""

    home: Path
    settings: dict[str, str] = field(default_factory=dict)

    def by_smtp(self, server: Sink, **more: str) -> "AtWork":
        given = {"EMAIL_TRANSPORT": "smtp", "SMTP_SERVERS": f"127.0.0.1:{server.port}", "SMTP_SECURITY": "none", **more}
        return AtWork(self.home, given)

    def by_sendgrid(self, server: Sink, **more: str) -> "AtWork":
        given = {"EMAIL_TRANSPORT": "sendgrid", "SENDGRID_HOST": f"http://127.0.0.1:{server.port}", "SENDGRID_KEY": KEY}
        return AtWork(self.home, {**given, **more})

    def by_outbox(self, shelves: Shelves) -> "AtWork":
        return AtWork(self.home, {"OUTBOX": str(shelves.folder)})

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "digest", "--home", str(self.home), *words], cwd=self.home, text=True,
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def digest(self, *words: str) -> "Said":
        done = words_of(
            ready(["--home", self.home, *words], cwd=self.home, environment=self.environment, timeout=LONGEST)
        )
        return Said(done.returncode, done.stdout, done.stderr)

    @property
    def environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("DIGEST_")}
        own = {f"DIGEST_{name}": value for name, value in self.settings.items()}
        return {**clean, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "200", **own}

    def resume(self) -> None:
        assert self.digest("editions", "move", "resume").code == 0

    @property
    def state(self) -> tuple[str, dict[str, int]]:
        """Where the edition is, and how many deliveries are in which state."""
        with self._session() as session:
            edition = session.exec(select(EditionRow.state)).one()
            return str(edition), dict(Counter(str(one) for one in session.exec(select(DeliveryRow.state))))

    @property
    def rows(self) -> list[DeliveryRow]:
        with self._session() as session:
            return list(session.exec(select(DeliveryRow).order_by(DeliveryRow.number)))

    @contextmanager
    def _session(self) -> Iterator[Any]:
        house = open_press(self.home)
        try:
            with reading(house.engine) as session:
                yield session
        finally:
            house.engine.dispose()

    def demand_one_copy_for_each(self, server: Sink) -> None:
        """And that the edition says so."""
        assert server.copies == {address_of(number): 1 for number in range(1, READERS + 1)}
        assert self.state == ("sent", {"accepted": READERS})


@dataclass(frozen=True)
class Said:
    """A command that has ended."""

    code: int
    out: str
    aside: str

    @property
    def line(self) -> str:
        """What it said was wrong: one line, and nothing beside it."""
        (line,) = self.aside.strip().splitlines()
        assert line.startswith("digest: ")
        return line


def ended(command: "subprocess.Popen[str]") -> Said:
    try:
        out, aside = command.communicate(timeout=LONGEST)
    finally:
        command.kill()
    return Said(command.returncode, out, aside)


def copied(prepared: Path, to: Path) -> AtWork:
    shutil.copytree(prepared, to)
    return AtWork(to)


def when(server: Sink, size: int, do: Callable[[], object]) -> threading.Thread:
    """Have it done by a thread of its own once the sink's book has so many bytes."""

    def wait_then_do() -> None:
        wait_for(server, size)
        do()

    thread = threading.Thread(target=wait_then_do)
    thread.start()
    return thread


def wait_for(server: Sink, size: int) -> None:
    until = time.monotonic() + LONGEST / 2
    while server.size < size and time.monotonic() < until:
        time.sleep(0.002)
