"""What commands print: tables and lines for people, JSON for programs."""

import json
import re
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def shown(words: str) -> str:
    """Words from anywhere made safe for a terminal: no escape sequences, and nothing read as markup."""
    return escape(CONTROL.sub("", words))


def say(words: str, *, style: str = "", aside: bool = False) -> None:
    """One line for a person. The words are shown as they are, never as markup: stories' text ends up here."""
    (errors if aside else console).print(shown(words), style=style or None)


def show_json(data: Any, *, out: IO[str] | None = None) -> None:
    out = out or sys.stdout
    json.dump(data, out, default=_plain, ensure_ascii=False, indent=2)
    out.write("\n")


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Sequence[str] = ()) -> None:
    """A table; columns named in `right` hold numbers and line up at the right."""
    table = Table(
        title=escape(title) if title else None,
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", header_style="dim", overflow="fold")
    for row in rows:
        table.add_row(*(shown(number(cell) if isinstance(cell, int) else str(cell)) for cell in row))
    console.print(table)


def number(value: int) -> str:
    return f"{value:,}"


def stories(count: int) -> str:
    return f"{number(count)} {'story' if count == 1 else 'stories'}"


def age(then: datetime | None, now: datetime) -> str:
    """How long ago, in the largest fitting unit."""
    if then is None:
        return "never"
    minutes = max(0, int((now - then).total_seconds() // 60))
    if minutes < 60:  # noqa: PLR2004
        return f"{minutes} min ago"
    return f"{minutes // 60} h ago" if minutes < 48 * 60 else f"{minutes // 1440} days ago"


def pace(rate: float, left: int) -> str:
    """Such as ", 8,400 a second, 1 min 55 s left"; nothing while the rate is not known."""
    if rate <= 0:
        return ""
    speed = f"{rate:,.0f} a second" if rate >= 1 else f"{rate * 60:,.0f} a minute"
    minutes, seconds = divmod(round(left / rate), 60)
    hours, minutes = divmod(minutes, 60)
    time_left = f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    return f", {speed}, {time_left} left" if left else f", {speed}"


@contextmanager
def until_told() -> Iterator[Callable[[], bool]]:
    """
    What says whether to stop: from the first Ctrl-C or SIGTERM on. What is in hand is finished then.

    A second Ctrl-C ends at once; that is safe too, and leaves what was in hand unconfirmed.
    """
    told: list[int] = []

    def hear(number: int, _frame: object) -> None:
        if told and number == signal.SIGINT:
            raise KeyboardInterrupt
        told.append(number)
        say("Stopping: what is in hand is finished, the rest stays queued. Once more ends at once.", aside=True)

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(told)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Steps:
    """Progress of long work on the error stream: stations as lines, counted work as a bar. Silent when asked to be."""

    def __init__(self, progress: "Progress | None") -> None:
        self._progress = progress
        self._task: TaskID | None = None
        self._since = (0.0, 0)  # monotonic seconds, and how many were done then

    def station(self, words: str) -> None:
        if self._progress is not None:
            self._progress.console.print(shown(words))

    def count(self, words: str, done: int, total: int) -> None:
        """`done` of `total`, with how many a second and the time left by what was done since the first call."""
        if self._progress is None:
            return
        if self._task is None:
            self._task, self._since = self._progress.add_task("", total=total), (time.monotonic(), done)
        began, before = self._since
        seconds = time.monotonic() - began
        rate = (done - before) / seconds if seconds > 1 else 0.0
        self._progress.update(
            self._task, description=escape(words + pace(rate, total - done)), completed=done, total=total
        )


@contextmanager
def steps(*, quiet: bool) -> Iterator[Steps]:
    if quiet:
        yield Steps(None)
        return
    # a twentieth of a command's start, and most show none
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=errors, transient=True) as progress:
        yield Steps(progress)
