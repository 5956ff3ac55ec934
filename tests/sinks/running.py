"""Sinks: the other side as a process of its own, with a book of every message it took that outlives all kills."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Taken(NamedTuple):
    """One message in the book: whose, by which name, and when (monotonic seconds, the same clock in every process)."""

    address: str
    name: str  # its Message-ID, or the delivery id that a provider is given
    at: float
    answered: float | None  # when it was told so; None when nobody was there to hear


class Book:
    """The writing half: each line is on file before the next thing is done, so whoever is killed, it is true."""

    def __init__(self, file: str) -> None:
        self._handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._lock = threading.Lock()

    def took(self, messages: Iterable[tuple[str, str]]) -> None:
        self._write("took", messages)

    def answered(self, messages: Iterable[tuple[str, str]]) -> None:
        self._write("said", messages)

    def refused(self, address: str, code: str) -> None:
        self._write("no", [(address, code)])

    def _write(self, what: str, messages: Iterable[tuple[str, str]]) -> None:
        now = time.monotonic()
        lines = "".join(f"{what} {now:.6f} {address} {name}\n" for address, name in messages)
        with self._lock:
            os.write(self._handle, lines.encode())


class Counted:
    """What a sink has taken, counted."""

    taken: list[Taken]

    @property
    def copies(self) -> Counter[str]:
        """How many each address has had."""
        return Counter(one.address for one in self.taken)


@dataclass
class Sink(Counted):
    """A running sink. `stop` and `start` restart the server on the same port, with the same book."""

    kind: str
    script: dict[str, Any]
    book: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        script = json.dumps({**self.script, "port": self.port, "book": str(self.book)})
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"tests.sinks.{self.kind}", script],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        said = self.process.stdout.readline()
        assert said, f"the {self.kind} sink did not start"
        self.port = int(said)

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()

    def hurry(self) -> None:
        """From here on it answers at once."""
        self.process.send_signal(signal.SIGUSR1)

    @property
    def size(self) -> int:
        """Grows with every message taken."""
        return self.book.stat().st_size if self.book.exists() else 0

    @property
    def taken(self) -> list[Taken]:
        return list(read(self.book))

    @property
    def refused(self) -> list[tuple[str, str]]:
        """Whom it refused, with which code, in order."""
        lines = (line.split(" ") for line in self.book.read_text(encoding="utf-8").splitlines())
        return [(line[2], line[3]) for line in lines if line[0] == "no"]

    def cpu(self) -> float:
        """Seconds of CPU it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass
class Shelves(Counted):
    """The outbox as a sink: what is in place is taken, from the moment at which it was put there."""

    book: Path
    port: int = 0

    @property
    def folder(self) -> Path:
        return self.book.with_name("outbox")

    def start(self) -> None:
        """The disk is there."""

    stop = hurry = start

    @property
    def size(self) -> int:
        return sum(1 for _ in self._files())

    @property
    def taken(self) -> list[Taken]:
        return sorted((self._read(file) for file in self._files()), key=attrgetter("at"))

    def _files(self) -> Iterator[Path]:
        return (file for file in self.folder.glob("[!.]*/**/*.eml"))

    def _read(self, file: Path) -> Taken:
        at = file.stat().st_ctime - time.time() + time.monotonic()  # moving a file is a change of it
        return Taken(TO.search(file.read_bytes())[1].decode(), file.stem.partition("-")[2], at, at)


TO = re.compile(rb"^To:[^@\r]*?([^ <@]+@[^ >\r]+)", re.MULTILINE)


def read(book: Path) -> Iterator[Taken]:
    """Every message in the order it was taken."""
    took: list[tuple[str, str, float]] = []
    said: dict[tuple[str, str], float] = {}
    for line in book.read_text(encoding="utf-8").splitlines() if book.exists() else ():
        what, at, address, name = line.split(" ", 3)
        if what == "took":
            took.append((address, name, float(at)))
        elif what == "said":
            said[address, name] = float(at)
    for address, name, at in took:
        yield Taken(address, name, at, said.get((address, name)))


@contextmanager
def sink(kind: str, book: Path, **script: Any) -> Iterator[Sink | Shelves]:
    """A sink of that kind while the block runs; its script is explained in the program itself. The outbox has none."""
    here = Shelves(book) if kind == "outbox" else Sink(kind, script, book)
    here.start()
    try:
        yield here
    finally:
        here.stop()


def serve_parent(script: Any) -> None:
    """
    For the programs: SIGUSR1 is a wish to hurry; and when whoever started this process is gone, its end of the pipe is
    closed, and this ends too.
    """

    def hurry(*_: object) -> None:
        script.wait, script.slow = (0.0, 0.0), {}

    signal.signal(signal.SIGUSR1, hurry)

    def watch() -> None:
        while os.read(0, 1024):
            pass
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
