"""
People before machines, where SQLite lets one connection write at a time.

SQLite's lock is not fair: a process that sends takes it again at once after each commit, and somebody who wants to leave
may wait for seconds. So there is a file beside the database: who writes for a person locks it, and who writes for a machine
looks at it first, and waits a little while it is locked. It is a courtesy and no more: whoever is stopped while holding it
delays the others for a moment, and the database's own lock decides.
"""

import fcntl
import os
import time
from typing import Any

from sqlalchemy import Connection

SUFFIX = "-people"
TRY = 0.001  # seconds between two looks
WAY, TURN = 0.25, 1.0  # seconds at most: a machine gives way to people, people to each other
HANDLE = "people's file"


def go_first(connection: Connection) -> None:
    """Hold the file until `over`: machines wait."""
    _locked(connection, fcntl.LOCK_EX, TURN)


def give_way(connection: Connection) -> None:
    """Wait while somebody writes for a person."""
    _locked(connection, fcntl.LOCK_SH, WAY)
    over(connection)


def over(connection: Connection) -> None:
    """Let the others go on. With the database's own lock in hand that is right before the commit, too."""
    handle = connection.info.get(HANDLE)
    if handle is not None:
        fcntl.flock(handle, fcntl.LOCK_UN)


def forget(_connection: Any, record: Any) -> None:
    """The connection is closed for good."""
    handle = record.info.pop(HANDLE, None)
    if handle is not None:
        os.close(handle)


def _locked(connection: Connection, how: int, patience: float) -> None:
    handle = connection.info.get(HANDLE)
    if handle is None:  # one for each connection: a lock belongs to the opening, not to the process
        file = connection.engine.url.database
        try:
            handle = os.open(f"{file}{SUFFIX}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640) if file else None
        except OSError:  # a folder that we may not write to: then there is no courtesy
            handle = None
        if handle is None:
            return
        connection.info[HANDLE] = handle
    give_up = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(handle, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up:
                return
            time.sleep(TRY)
        else:
            return
