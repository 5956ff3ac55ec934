"""The disks that the house writes to, and the room on them."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from digest.settings import Settings

MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Disk:
    """One disk: what of ours is on it, and its free bytes. `closed` are folders there that we may not write to."""

    held: tuple[str, ...]
    free: int
    closed: tuple[Path, ...]

    @property
    def words(self) -> str:
        return f"{self.free / 1e9:,.1f} GB free for {' and '.join(self.held)}"


def disks(settings: Settings) -> list[Disk]:
    """Each disk once. A folder that is not there yet is looked for where it would be made."""
    wanted = {"the outbox": settings.outbox_folder, "the home folder": settings.home}
    if settings.database_url.startswith("sqlite"):
        wanted["the database"] = settings.sqlite_file.parent
    found: dict[int, list[tuple[str, Path]]] = {}
    for what, folder in wanted.items():
        place = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
        found.setdefault(place.stat().st_dev, []).append((what, place))
    return [
        Disk(
            held=tuple(what for what, _ in here), free=shutil.disk_usage(here[0][1]).free,
            closed=tuple(place for _, place in here if not os.access(place, os.W_OK)),
        )
        for here in found.values()
    ]  # fmt: skip
