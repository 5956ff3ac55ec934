"""
The disk as a transport: one file per delivery, in folders a person can read.

    <folder>/global/2026-11-23/email/0001/000123-<delivery id>.eml

Files are written aside, made durable in groups, marked, and only then moved into place: a file that is there is whole.
"""

import ctypes
import errno
import fcntl
import os
import re
import shutil
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp

from digest.crashes import crash_point
from digest.errors import StorageError
from digest.settings import Settings
from digest.splice import fill
from digest.transports import Handed, Mark, nothing
from digest.values import DeliveryState, Proof, Receipt, Recipient

GROUP = 500
SHELF = 1000  # files to a folder
SUFFIXES = {"email": ".eml", "push": ".json"}
ASIDE = ".writing"
PLACE = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*", re.IGNORECASE)


@dataclass
class Outbox:
    """
    Puts files below `folder`/`place`; `place` names the edition, such as "global/2026-11-23".

    Several workers may share a folder. Files are only readable by their owner and group: they hold addresses.

    Raises:
        StorageError: the folder cannot be made, or the place is not a plain relative path.
    """

    folder: Path
    place: str
    appetite: int = 1  # the disk is one
    _aside: Path = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not PLACE.fullmatch(self.place):
            raise StorageError(f"{self.place!r} cannot name a folder of the outbox: use letters, digits and dashes.")
        with _disk_in_words():
            self._aside, lock = _folder_of_our_own(self.folder / ASIDE)
        weakref.finalize(self, _let_go, self._aside, lock)

    def send(self, proof: Proof, recipients: Sequence[Recipient], mark: Mark) -> Iterator[Receipt]:
        """As transports.Transport.send. Disk refusals raise StorageError; what was moved before has its receipt."""
        for start in range(0, len(recipients), GROUP):
            yield from self._send_group(proof, recipients[start : start + GROUP], mark)

    def prove(self, proof: Proof, recipient: Recipient) -> bool:
        """The file is there, or it is not: a disk is never in doubt."""
        return self.path(proof, recipient).exists()

    def close(self) -> None:
        """Nothing is held but the folder for files being written, which goes with the object."""

    def path(self, proof: Proof, recipient: Recipient) -> Path:
        """Where a delivery's file goes."""
        return file_of(self.folder, self.place, proof.channel, recipient.number, recipient.delivery_id)

    def _send_group(self, proof: Proof, recipients: Sequence[Recipient], mark: Mark) -> Iterator[Receipt]:
        written: dict[int, tuple[str, str]] = {}
        refused: list[Receipt] = []
        aside, here = str(self._aside), str(self.folder / self.place / proof.channel)
        try:
            with _disk_in_words():
                for recipient in recipients:
                    try:
                        message = fill(proof.compiled, recipient)
                    except ValueError as error:
                        refused.append(_failed(recipient, error))
                        continue
                    _channel, shelf, name = _parts_of(proof.channel, recipient.number, recipient.delivery_id)
                    # joined as text: as a Path it takes as long as the writing
                    written[recipient.number] = _write(f"{aside}/{name}", message), f"{here}/{shelf}/{name}"
                _make_durable(self._aside)
            crash_point("after_files")
            yield from refused
            yield from _move(written, mark(written)) if written else ()
        finally:
            for left in self._aside.iterdir():
                left.unlink(missing_ok=True)


def file_of(folder: Path, place: str, channel: str, number: int, delivery_id: str) -> Path:
    """The file of a delivery. Its name holds no personal data."""
    return folder.joinpath(place, *_parts_of(channel, number, delivery_id))


def shelf_of(channel: str, number: int, delivery_id: str) -> str:
    """Where it is within its mailing's place."""
    return "/".join(_parts_of(channel, number, delivery_id))


def _parts_of(channel: str, number: int, delivery_id: str) -> tuple[str, str, str]:
    return channel, f"{number // SHELF:04d}", f"{number:06d}-{delivery_id}{SUFFIXES[channel]}"


def open_transport(settings: Settings, place: str, _handed: Handed = nothing) -> Outbox:
    """The transport that the settings name, ready to take one edition's messages."""
    return Outbox(settings.outbox_folder, place)


def _failed(recipient: Recipient, error: ValueError) -> Receipt:
    return Receipt(
        number=recipient.number, state=DeliveryState.FAILED, detail=f"cannot be filled: {error}", permanent=True
    )


def _write(path: str, message: bytes) -> str:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
    try:
        left = memoryview(message)
        while left:  # a nearly full disk takes less than it was given
            left = left[os.write(handle, left) :]
    finally:
        os.close(handle)
    return path


def _move(written: Mapping[int, tuple[str, str]], ours: set[int]) -> Iterator[Receipt]:
    """Into place, one by one, and only those still ours; the receipts follow once the folders are durable too."""
    known: set[str] = set()
    folders: set[Path] = set()
    with _disk_in_words():
        try:
            for number in sorted(ours):
                aside, final = written[number]
                shelf = final.rpartition("/")[0]
                if shelf not in known:
                    known.add(shelf)
                    folders |= _made(Path(shelf))
                os.rename(aside, final)  # noqa: PTH104
                crash_point("mid_move")
        finally:
            for folder in folders:
                _sync(folder)
    crash_point("after_hand")
    for number in sorted(ours):
        yield Receipt(number=number, state=DeliveryState.ACCEPTED)


# folders and the disk -----------------------------------------------------------------------------------------------


def _made(folder: Path) -> set[Path]:
    """The folder, made if need be, and those above it that now hold a new one."""
    if folder.is_dir():
        return {folder}
    above = _made(folder.parent)
    folder.mkdir(mode=0o750, exist_ok=True)
    return above | {folder}


def _folder_of_our_own(place: Path) -> tuple[Path, int]:
    """A folder for files being written, locked while we live, after removing those whose worker has died."""
    place.mkdir(mode=0o750, parents=True, exist_ok=True)
    door = _locked(place, fcntl.LOCK_EX)  # nobody may clean up between our folder's making and its lock
    try:
        for other in place.iterdir():
            with suppress(BlockingIOError, FileNotFoundError, NotADirectoryError):
                os.close(_locked(other, fcntl.LOCK_EX | fcntl.LOCK_NB))
                shutil.rmtree(other, ignore_errors=True)
        mine = Path(mkdtemp(dir=place))
        return mine, _locked(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(door)


def _locked(folder: Path, how: int) -> int:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, how)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _let_go(mine: Path, lock: int) -> None:
    shutil.rmtree(mine, ignore_errors=True)
    os.close(lock)


def _make_durable(folder: Path) -> None:
    """
    All files of the folder onto the disk.

    One syncfs for a group took a third of the time of 500 fsyncs and is as safe: since Linux 5.8 it reports failures.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _SYNCFS is None:
            for file in folder.iterdir():
                _sync(file)
            os.fsync(handle)
        elif _SYNCFS(handle) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(handle)


_SYNCFS: Callable[[int], int] | None = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _disk_in_words() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageError(
                "The disk of the outbox is full. Nothing was lost: free some room and run the same command again."
            ) from error
        where = f" {error.filename}" if error.filename else ""
        raise StorageError(
            f"The outbox cannot be written:{where} {error.strerror}. Mend that, then run it again."
        ) from error
