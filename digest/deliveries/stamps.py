"""
Stamps of markers: by them we notice that the database is an older copy of itself.

Every commit that lets messages leave carries a stamp, which grows. The newest one is also kept in a small file outside
the database: after a restore from a backup the file knows of a later one than the tables do.
"""

import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from digest.errors import StorageError

_STAMP = struct.Struct(">Q")


class Stamps:
    """
    Microseconds since 1970, each larger than any before. `file` None: nothing is kept outside the database.

    A plain write survives the end of the process; only a loss of power together with a restore could hide the last of
    them, so the file is synced once in a while instead of at every marker.

    Raises:
        StorageError: the file cannot be written, here or in `keep`.
    """

    def __init__(self, file: Path | None, newest: int = 0) -> None:
        self.newest = max(newest, newest_kept(file))
        with _in_words():
            self._handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o640) if file is not None else -1
        self._synced = 0.0

    def next(self) -> int:
        """The next stamp: the clock's, or one more than the last where the clock went back."""
        self.newest = max(self.newest + 1, time.time_ns() // 1000)
        return self.newest

    def keep(self, stamp: int) -> None:
        """
        Write it outside the database; called after the commit that holds it, and before anything leaves.

        Raises:
            StorageError: the disk refuses.
        """
        if self._handle < 0:
            return
        with _in_words():
            os.pwrite(self._handle, _STAMP.pack(stamp), 0)
            if time.monotonic() - self._synced > 1.0:
                os.fdatasync(self._handle)
                self._synced = time.monotonic()

    def close(self) -> None:
        if self._handle >= 0:
            with suppress(OSError):
                os.fsync(self._handle)
            os.close(self._handle)
            self._handle = -1


@contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageError(
            f"The file newest-marker in the home folder cannot be read or written: {error.strerror}. Nothing more has left: "
            "mend that, then run the same command again."
        ) from error


def newest_kept(file: Path | None) -> int:
    """The stamp in the file; 0 where there is none. Raises StorageError: it cannot be read."""
    try:
        with _in_words():
            return int(_STAMP.unpack(file.read_bytes()[: _STAMP.size])[0]) if file is not None else 0
    except (FileNotFoundError, struct.error):
        return 0
