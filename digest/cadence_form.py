"""The form of a cadence: its fields, how their words are read, and what cannot be true at once."""

import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from digest.errors import SettingsError
from digest.models import CadenceRow
from digest.values import EditionKind, Fallback, Late
from subscribers.models import DAYS
from subscribers.zones import demand_zone

KINDS = (EditionKind.DAILY, EditionKind.WEEKLY)
WEEKDAYS = DAYS[:5]
CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
DURATION = re.compile(r"(?:(\d{1,3})\s*h)?\s*(?:(\d{1,4})\s*(?:m|min)?)?")
A_DAY = 24 * 60  # minutes
TWO_DAYS = 2 * A_DAY


class CadenceError(SettingsError):
    """A cadence cannot be saved as it was given. `faults` holds for each field what is wrong and what is allowed."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        self.faults = dict(faults)
        super().__init__(" ".join(f"--{name.replace('_', '-')}: {words}" for name, words in self.faults.items()))


def read_form(given: Mapping[str, str], *, kind: str, before: CadenceRow | None = None) -> dict[str, Any]:
    """
    What a form's words make of a cadence, by column; only the fields that were given. `before` is what is saved already.

    Raises:
        CadenceError: fields that cannot be read, or that do not go together; all of them at once.
    """
    faults, values = {}, {}
    for name, words in given.items():
        if name not in FIELDS:
            faults[name] = f"there is no such field; use {', '.join(FIELDS)}."
            continue
        try:
            values[name] = FIELDS[name](words.strip())
        except ValueError as error:
            faults[name] = str(error)
    if not faults:
        whole = {name: getattr(before, name) for name in FIELDS} if before else {**starting(kind)}
        faults = _together({**whole, **values}, kind)
    if faults:
        raise CadenceError(faults)
    return values


def clock(words: str) -> str:
    """Raises ValueError: it is no time of day."""
    if not CLOCK.fullmatch(words):
        raise ValueError(f"{words!r} is no time of day; use 24-hour time such as 07:00.")
    return words


def days(words: str) -> str:
    """
    Day names in the week's order: mon,wed from "wed, mon"; also "daily", "weekdays", "weekends", "mon-fri".

    Raises:
        ValueError: a word is no day. Numbers are refused, since Monday is 0 to some programs and 1 to others.
    """
    named = {"daily": DAYS, "every day": DAYS, "weekdays": WEEKDAYS, "weekends": DAYS[5:]}
    found: set[str] = set(named.get(words.lower(), ()))
    for part in () if found else re.split(r"[,\s]+", words.lower()):
        first, dash, last = (piece[:3] for piece in part.partition("-"))
        if first not in DAYS or (dash and last not in DAYS) or not _is_day(part):
            number = "; a number means another day to other programs" if any(c.isdigit() for c in part) else ""
            raise ValueError(f"{part!r} is no day{number}: use {', '.join(DAYS)}, mon-fri, weekdays or daily.")
        begin, end = DAYS.index(first), DAYS.index(last or first)
        span = DAYS[begin : end + 1] if begin <= end else DAYS[begin:] + DAYS[: end + 1]
        found |= set(span)
    return ",".join(day for day in DAYS if day in found)


_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _is_day(part: str) -> bool:
    return all(any(len(word) > 2 and name.startswith(word) for name in _NAMES) for word in part.split("-"))  # noqa: PLR2004


def minutes(words: str) -> int:
    """Minutes of "45m", "1h30m", "90". Raises ValueError: it is no length of time."""
    shape = DURATION.fullmatch(words.lower())
    if not words or shape is None or not any(shape.groups()):
        raise ValueError(f"{words!r} is no length of time; write 45m, 2h or 1h30m.")
    return 60 * int(shape[1] or 0) + int(shape[2] or 0)


def _day_or_none(words: str) -> date | None:
    if not words:
        return None
    try:
        return date.fromisoformat(words)
    except ValueError:
        raise ValueError(f"{words!r} is no date; write it as 2026-11-23.") from None


def _switch(words: str) -> bool:
    allowed = {"yes": True, "true": True, "no": False, "false": False}
    if words.lower() not in allowed:
        raise ValueError(f"{words!r} is neither yes nor no.")
    return allowed[words.lower()]


def _choice(*allowed: str) -> Callable[[str], str]:
    def read(words: str) -> str:
        if words not in allowed:
            raise ValueError(f"{words!r} is not allowed; use {', '.join(allowed[:-1])} or {allowed[-1]}.")
        return words

    return read


FIELDS: Mapping[str, Callable[[str], Any]] = {
    "at": clock, "days": days, "zone": demand_zone, "local": _switch, "fresher": _switch, "opens": clock, "closes": clock,
    "starts_on": _day_or_none, "ends_on": _day_or_none, "gather_before": minutes, "deadline_before": minutes,
    "remind_before": minutes, "undo": minutes, "fallback": _choice(*Fallback), "late_after": minutes,
    "late": _choice(*Late),
}  # fmt: skip
"""Every field of the form with how its words are read. A page and the command line list these and nothing else."""


def starting(kind: str) -> Mapping[str, Any]:
    """What a field is when nobody says it: the columns' own defaults, and Sunday for the week's best."""
    plain = {name: CadenceRow.model_fields[name].default for name in FIELDS}
    return {**plain, **({"days": "sun"} if kind == EditionKind.WEEKLY else {})}


def _together(all_of: Mapping[str, Any], kind: str) -> dict[str, str]:
    """What cannot be true at once."""
    faults = {}
    if kind == EditionKind.WEEKLY and "," in all_of["days"]:
        faults["days"] = "the week's best appears on one day, such as sun."
    if not all_of["days"]:
        faults["days"] = f"name at least one of {', '.join(DAYS)}."
    if all_of["fresher"] and not all_of["local"]:
        faults["fresher"] = "only with --local: at one instant for all there is no later wave to carry anything else."
    if all_of["opens"] >= all_of["closes"]:
        faults["closes"] = f"it must be after {all_of['opens']}, when readers may first be reached."
    if all_of["starts_on"] and all_of["ends_on"] and all_of["starts_on"] > all_of["ends_on"]:
        faults["ends_on"] = f"it would end before it starts, on {all_of['starts_on']}."
    if not all_of["deadline_before"] < all_of["gather_before"] <= TWO_DAYS:
        faults["gather_before"] = (
            f"stories are gathered before the editors' deadline, so more than {all_of['deadline_before']}m and at most 48h."
        )
    if all_of["undo"] > all_of["deadline_before"]:
        faults["undo"] = (
            f"the undo window ends before the edition is due: at most {all_of['deadline_before']}m, the time from the "
            "deadline to then."
        )
    if all_of["late_after"] > A_DAY:
        faults["late_after"] = "at most 24h: by then the next one is due."
    return faults
