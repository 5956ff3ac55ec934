"""
Copies of readers' addresses beside the database and the outbox: the folders of `digest replay` and `digest rehearse`.

    <home>/copies/replay/global-2026-11-23/     <home>/copies/rehearsal/global-2027-03-28-5f0c/

They are made to be looked at, so they last for a while; below the home folder an erasure finds them, and so does upkeep. Beside
each folder lies its `.held`, which says when it was made and is locked by whoever fills it: a kill lets go of it.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from digest.errors import NotFoundError, NotReadyError, StorageError

REPLAY, REHEARSAL = KINDS = ("replay", "rehearsal")
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,200}", re.IGNORECASE)
HELD, OVER = ".held", ".over"


@dataclass(frozen=True, slots=True)
class Copy:
    """One folder, and when it was last filled."""

    kind: str
    folder: Path
    made_at: datetime

    @property
    def files(self) -> int:
        """Messages in it, each with an address."""
        return sum(file.suffix in {".eml", ".json"} for file in self.folder.rglob("*"))


@contextmanager
def filling(home: Path, kind: str, name: str, *, now: datetime) -> Iterator[Path]:
    """
    The folder for a copy, held while the block fills it. One for a replay may hold an earlier replay.

    Raises:
        NotFoundError: the name is no plain name of a folder.
        NotReadyError: another process fills it at this moment; or somebody was erased meanwhile, and it was removed whole.
        StorageError: the disk refused.
    """
    if not NAME.fullmatch(name) or name.endswith((HELD, OVER)):
        raise NotFoundError(
            f"--into: {name!r} is no plain name. The folder holds readers' addresses, so it is below {home / 'copies' / kind}, where "
            "an erasure finds it: name one with letters, digits and dashes."
        )
    folder = home / "copies" / kind / name
    with _in_words():
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _hold(folder) as hold:
        if hold is None:
            raise NotReadyError(
                f"{folder} is being filled by another process at this moment; give another name by --into."
            )
        with _in_words():
            if _beside(folder, OVER).exists():  # of a run that was killed, and what it wrote was to go
                shutil.rmtree(folder, ignore_errors=True)
                _beside(folder, OVER).unlink()
            os.ftruncate(hold, 0)
            os.write(hold, now.isoformat().encode())
            folder.mkdir(mode=0o700, exist_ok=True)
        try:
            yield folder
        except BaseException:
            if not any(folder.iterdir()):
                _remove(folder)
            raise
        if _beside(folder, OVER).exists():
            _remove(folder)
            raise NotReadyError(
                "Somebody was erased while this was written, so the folder was removed: run the same command again."
            )


def every(home: Path) -> list[Copy]:
    """All there are, also those that a kill left half made. Raises StorageError: a folder is closed to us."""
    found = []
    for kind in KINDS:
        place = home / "copies" / kind
        with _in_words(), suppress(FileNotFoundError):
            names = {entry.name.removesuffix(HELD).removesuffix(OVER) for entry in place.iterdir()}
            found += [Copy(kind, place / name, _made_at(place / name)) for name in sorted(names)]
    return found


def due(home: Path, days: int, *, now: datetime) -> list[Copy]:
    """Those that have had their time, and those that somebody's erasure met while they were filled."""
    return [
        copy
        for copy in every(home)
        if now - copy.made_at >= timedelta(days=days) or _beside(copy.folder, OVER).exists()
    ]


def sweep(home: Path, days: int, *, now: datetime) -> int:
    """
    Remove those that are due and that nobody fills; how many.

    Raises:
        StorageError: the disk refused.
    """
    gone, fault = 0, None
    for copy in due(home, days, now=now):
        try:
            gone += _let_go(copy)
        except StorageError as error:  # one that is closed to us keeps none of the others
            fault = error
    if fault is not None:
        raise fault
    return gone


def reach(home: Path, files_in: Callable[[Path], Iterator[Path]]) -> int:
    """
    Leave nothing of somebody who is erased; how many files and folders went.

    Of replays their messages go: `files_in` names them in a folder. Rehearsals go whole, since they hold a database too. What
    is being filled at this moment goes as soon as that ends.

    Raises:
        StorageError: the disk refused.
    """
    gone = 0
    for copy in every(home):
        with _in_words():
            _beside(copy.folder, OVER).touch(mode=0o600)  # first: who is filling it looks for that at its end
        if copy.kind == REHEARSAL:
            gone += _let_go(copy)
            continue
        with _hold(copy.folder) as hold, _in_words():
            if hold is not None:
                found = [file for file in files_in(copy.folder) if file.exists()]
                for file in found:
                    file.unlink()
                shutil.rmtree(copy.folder / ".writing", ignore_errors=True)  # half-written by who was killed
                _beside(copy.folder, OVER).unlink(missing_ok=True)
                gone += len(found)
    return gone


def _let_go(copy: Copy) -> bool:
    """Remove it, unless somebody fills it; whether it went."""
    with _hold(copy.folder) as hold:
        if hold is not None:
            _remove(copy.folder)
    return hold is not None


@contextmanager
def _hold(folder: Path) -> Iterator[int | None]:
    """The folder for this process alone while the block runs: its open `.held`, or None where another process has it."""
    file = _beside(folder, HELD)
    with _in_words():
        hold = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield hold if _is_locked(hold) and _is_still(hold, file) else None
    finally:
        os.close(hold)


def _is_locked(hold: int) -> bool:
    try:
        fcntl.flock(hold, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(hold: int, file: Path) -> bool:
    """Who removed the folder a moment ago removed this file too, and another may lie in its place."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(hold), file.stat())
    return False


def _remove(folder: Path) -> None:
    """What says that it is there goes last, so that a kill leaves something to be found."""
    with _in_words():
        if folder.is_dir():
            shutil.rmtree(folder)
        else:
            folder.unlink(missing_ok=True)
        for tail in (OVER, HELD):
            _beside(folder, tail).unlink(missing_ok=True)


def _beside(folder: Path, tail: str) -> Path:
    return folder.with_name(folder.name + tail)


def _made_at(folder: Path) -> datetime:
    try:
        return datetime.fromisoformat(_beside(folder, HELD).read_text(encoding="ascii"))
    except (OSError, ValueError):  # a kill came before that was written; or somebody put a folder there
        return (
            datetime.fromtimestamp(folder.stat().st_mtime, UTC) if folder.exists() else datetime.min.replace(tzinfo=UTC)
        )


@contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"A copy of readers' messages cannot be read, written or removed: {error.filename} {error.strerror}. See to whose it is."
        ) from error
