"""What the command line costs: help beside a bare import of typer, and a preview from its stored proof."""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench.figure import Figure

GROUP = "morning"
ROUNDS = 7
DIGEST = (sys.executable, "-m", "digest")


def cpu_of(command: Sequence[str], environment: dict[str, str]) -> float:
    """Seconds of processor (user and system) that one run of a command takes, its children included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def figures() -> Iterator[Figure]:
    environment = {**os.environ, "NO_COLOR": "1"}
    typer, help_ = [], []
    for _ in range(ROUNDS):
        typer.append(cpu_of((sys.executable, "-c", "import typer"), environment))
        help_.append(cpu_of((*DIGEST, "--help"), environment))
    ratio = statistics.median(h / t for h, t in zip(help_, typer, strict=True))
    yield Figure("digest --help, processor beside `import typer`", ratio, "times", "at most 2.5", ratio <= 2.5)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        cpu_of((*DIGEST, "demo", "--into", str(home)), environment)
        shown = (*DIGEST, "--home", str(home), "preview", "global")
        stored = statistics.median(cpu_of(shown, environment) for _ in range(ROUNDS))
        yield Figure("preview of an edition from its stored proof", stored, "s of CPU", "at most 0.6", stored <= 0.6)
        first = statistics.median(_first_print(home, shown, environment) for _ in range(ROUNDS))
        yield Figure("preview of an edition when first printed", first, "s of CPU", "at most 1.2", first <= 1.2)


def _first_print(home: Path, shown: Sequence[str], environment: dict[str, str]) -> float:
    import sqlite3

    with sqlite3.connect(home / "digest.sqlite") as connection:
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute("DELETE FROM proof")
    return cpu_of(shown, environment)
