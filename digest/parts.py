"""Parts by name: the folder is the list, and only the one that is asked for is imported."""

from importlib import import_module
from pathlib import Path
from types import ModuleType

from digest.errors import SettingsError

HERE = Path(__file__).resolve().parent


def part_names(folder: str) -> tuple[str, ...]:
    """The names of the parts in one of our folders, such as "signals", in alphabetical order."""
    return tuple(sorted(file.stem for file in (HERE / folder).glob("*.py") if not file.stem.startswith("_")))


def load_part(folder: str, name: str) -> ModuleType:
    """
    Import one part.

    Raises:
        SettingsError: no part has that name; lists those there are.
    """
    if name not in part_names(folder):
        raise SettingsError(
            f"There is no {folder.removesuffix('s')} named {name!r}; there is {', '.join(part_names(folder))}."
        )
    return import_module(f"digest.{folder}.{name}")
