"""
What is kept of readers for a time only: one line for each kind, and nobody removes any of it by another way.

A sweep takes out so few rows at once that whoever waits to write waits for milliseconds.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Table, func, select

from digest.database import reading, writing
from digest.models import EventRow
from digest.settings import Settings
from digest.values import ServiceKind

SIGNUPS, COUNTS, SERVICES, EVENTS, DEEDS, ONCE, IMPORTS = (
    EventRow.metadata.tables[name]
    for name in ("signup", "signup_count", "service", "event", "deed", "told_once", "import_run")
)
SOME = 500  # rows of one transaction
TOLD = timedelta(days=3)  # longer than a provider tries to tell the same again
BROKEN_OFF = timedelta(days=30)  # after that an import begins anew
WINDOW = timedelta(days=1)
"""The longest that anything is counted for: once a mailbox in 24 hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """
    Rows of a table that have had their time, `kept`.

    `over` says of which that is so; they are deleted, or given `values` where a part of them must stay.
    """

    name: str
    table: Table
    kept: timedelta
    over: ColumnElement[bool]
    values: Mapping[str, Any] | None = None

    def due(self, connection: Connection) -> int:
        """How many rows the sweep would take."""
        return int(connection.execute(select(func.count()).select_from(self.table).where(self.over)).scalar_one())

    def take(self, connection: Connection) -> int:
        """Take at most SOME of them; how many it took."""
        (key,) = self.table.primary_key
        some = key.in_(select(key).where(self.over).limit(SOME))
        going = self.table.delete() if self.values is None else self.table.update().values(**self.values)
        return int(connection.execute(going.where(some)).rowcount)


def sweeps(settings: Settings, now: datetime) -> list[Sweep]:
    """Every kind there is, with its time from the settings. One that comes later is one more line."""
    waits, remembered = timedelta(days=settings.signup_days), timedelta(days=settings.event_days)
    deeds = timedelta(days=settings.tracking_days)
    opened, welcome = SERVICES.c.opened_at <= now - waits, SERVICES.c.kind == ServiceKind.WELCOME
    return [
        Sweep(name="sign-ups not confirmed", table=SIGNUPS, kept=waits, over=SIGNUPS.c.asked_at <= now - waits),
        Sweep(name="counts of sign-ups", table=COUNTS, kept=WINDOW, over=COUNTS.c.since <= now - WINDOW),
        Sweep(name="service messages", table=SERVICES, kept=waits, over=opened & ~welcome),
        # their links lead to preferences, as an edition's do, and work on
        Sweep(name="addresses of welcomes", table=SERVICES, kept=waits, over=opened & welcome & (SERVICES.c.email != ""),
              values={"email": ""}),
        Sweep(name="events", table=EVENTS, kept=remembered, over=EVENTS.c.heard_at < (now - remembered).timestamp()),
        # counts by the day, and an edition's, were added up when these were written, and stay
        Sweep(name="who opened and clicked", table=DEEDS, kept=deeds, over=DEEDS.c.at < (now - deeds).timestamp()),
        Sweep(name="opens and clicks told once", table=ONCE, kept=TOLD, over=ONCE.c.heard_at < (now - TOLD).timestamp()),
        # whom they met goes with them
        Sweep(name="imports broken off", table=IMPORTS, kept=BROKEN_OFF, over=IMPORTS.c.began_at < now - BROKEN_OFF),
    ]  # fmt: skip


def counted(engine: Engine, settings: Settings, *, now: datetime) -> dict[str, int]:
    """What the next run would take, by name; nothing is changed."""
    with reading(engine) as session:
        return {one.name: one.due(session.connection()) for one in sweeps(settings, now)}


def swept(
    engine: Engine, settings: Settings, *, now: datetime, stop: Callable[[], bool] = lambda: False
) -> dict[str, int]:
    """Take everything that has had its time; how many rows, by name. `stop` is asked between two transactions."""
    return {one.name: sum(_taken(engine, one, stop)) for one in sweeps(settings, now)}


def _taken(engine: Engine, sweep: Sweep, stop: Callable[[], bool]) -> Iterator[int]:
    took = SOME
    while took == SOME and not stop():
        with writing(engine) as session:
            took = sweep.take(session.connection())
        yield took
