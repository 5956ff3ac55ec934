"""
Is all well? Each finding says what was looked at, how it is, and what to change.

Nothing is sent and nothing is changed. A fault found early does not hide the others, and nobody is waited for long: what
may hang runs at the same time, and whoever has not answered when it is over is said to be silent.
"""

from datetime import datetime
from functools import partial
from pathlib import Path
from time import monotonic

from digest.checkup import clock, doors, house, senders, storage
from digest.checkup.finding import Finding
from digest.checkup.storage import Stored
from digest.errors import DigestError
from digest.settings import read_settings
from digest.waiting import begun, waited

__all__ = ["Finding", "examine"]

STORAGE, DOORS, IN_ALL = 2.0, 3.0, 3.5  # seconds


def examine(home: Path | None, *, now: datetime, offline: bool = False) -> list[Finding]:
    """Everything that can be looked at without sending anything; `offline`: no mail server, provider or DNS is asked."""
    until = monotonic() + IN_ALL
    try:
        settings = read_settings(home)
    except DigestError as error:
        return [Finding("settings", "bad", str(error))]
    knocks = [] if offline else doors.knocks(settings, DOORS)
    stored = _stored(home, now)
    dns = [] if offline else senders.look(settings, stored.senders, until)
    heard = doors.heard(knocks, until)
    told = [*house.look(settings), *stored.findings, *clock.look(now, stored, heard.ahead), *heard.findings, *dns]
    return list(dict.fromkeys(told))


def _stored(home: Path | None, now: datetime) -> Stored:
    until = monotonic() + STORAGE
    try:
        return waited(begun(partial(storage.look, home, now=now, until=until)), until)
    except TimeoutError:
        words = f"no answer within {STORAGE:g} s: another process may hold it, or its server is away"
    except DigestError as error:
        words = str(error)
    return Stored((Finding("database", "bad", words),))
