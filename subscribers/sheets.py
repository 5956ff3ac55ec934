"""A CSV file of readers, line by line: which column is which field, and whether each field can be believed."""

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from subscribers.addresses import normalise
from subscribers.models import CHANNELS, topic_key
from subscribers.zones import demand_zone

LONGEST_LINE = 20_000  # characters
_NOT_UTF8 = re.compile("[\ud800-\udfff]")  # what reading with surrogateescape leaves of bytes that are not UTF-8
_NOT_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]+")

HEADINGS: Mapping[str, str] = {
    "email": "email", "e-mail": "email", "mail": "email", "email address": "email", "address": "email",
    "name": "name", "full name": "name", "language": "language", "lang": "language", "locale": "language",
    "zone": "zone", "timezone": "zone", "time zone": "zone", "tz": "zone", "country": "country",
    "topics": "topics", "channels": "channels", "plan": "plan", "device": "device",
}  # fmt: skip
FIELDS = ("email", "name", "language", "zone", "country", "topics", "channels", "plan", "device", "attr.NAME")


class ImportRefusedError(ValueError):
    """The file as a whole cannot be read: the message says why and what would help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A line that was left out. `line` counts from 1, the headings being 1; `column` is the heading, or empty."""

    line: int
    column: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """How a file is laid out: what divides its fields, and which field stands where."""

    divider: str
    headings: tuple[str, ...]  # ours; "" for a column of no meaning to us
    ignored: tuple[str, ...]

    @classmethod
    def of(cls, file: IO[str], name: str) -> "Sheet":
        """
        Read the first line of a file opened as UTF-8 with surrogateescape.

        Raises:
            ImportRefusedError: it is empty, not UTF-8, or has no column for the address.
        """
        first = file.readline(LONGEST_LINE)
        if not first.strip():
            raise ImportRefusedError(f"{name} is empty: its first line names the columns, such as email,name,zone.")
        if "\0" in first or "\udcff" in first or "\udcfe" in first:
            raise ImportRefusedError(f"{name} is not UTF-8 text: save it as CSV UTF-8 and import it again.")
        divider = max(",;\t", key=first.count)
        try:
            given = [heading.strip() for heading in _fields(first, divider)]
        except csv.Error:
            raise ImportRefusedError(f"{name}: in its first line a quote is opened and not closed.") from None
        headings = tuple(_heading(heading) for heading in given)
        twice = {heading for heading in headings if heading and headings.count(heading) > 1}
        if "email" not in headings or twice:
            wrong = f"two columns for {', '.join(sorted(twice))}" if twice else "no column named email"
            raise ImportRefusedError(f"{name} has {wrong}. Its first line may name: {', '.join(FIELDS)}.")
        ignored = tuple(heading for heading, ours in zip(given, headings, strict=True) if not ours)
        return cls(divider=divider, headings=headings, ignored=ignored)

    def readers(self, file: IO[str]) -> Iterator[dict[str, Any] | Refused]:
        """
        Each line that is not blank: the fields it gives, checked, or why it was refused.

        The fields are the columns of the subscriber table (with `email_key`, and `attributes` as a dict) and `topics`,
        `channels` and `device`.
        """
        for number, line in _lines(file):
            try:
                if line.strip():
                    yield self._reader(line)
            except _BadFieldError as error:
                yield Refused(line=number, column=error.column, reason=error.reason)

    def _reader(self, line: str) -> dict[str, Any]:
        if len(line) >= LONGEST_LINE:
            raise _BadFieldError("", f"the line is longer than {LONGEST_LINE} characters")
        if not line.isascii() and _NOT_UTF8.search(line):
            raise _BadFieldError("", "the line is not UTF-8 text")
        try:
            values = _fields(line, self.divider)
        except csv.Error:
            raise _BadFieldError("", "a quote is opened and not closed, or closed inside a field") from None
        if len(values) > len(self.headings):
            raise _BadFieldError("", f"{len(values)} fields where the first line names {len(self.headings)}")
        if "\0" in line:
            raise _BadFieldError(self._column_of(values), "holds a NUL byte")
        given = {name: value.strip() for name, value in zip(self.headings, values, strict=False) if name}
        return _checked({name: value for name, value in given.items() if value})

    def _column_of(self, values: Sequence[str]) -> str:
        return next((name for name, value in zip(self.headings, values, strict=False) if "\0" in value), "")


def _fields(line: str, divider: str) -> list[str]:
    # each line by itself: a quote that is never closed costs its own line and not the rest of the file
    return next(csv.reader([line.rstrip("\n")], delimiter=divider, strict=True))


def _heading(name: str) -> str:
    lower = " ".join(name.lower().split())
    if re.fullmatch(r"attr\.[a-z0-9_.-]{1,64}", lower):
        return lower
    return HEADINGS.get(lower.replace("_", " "), HEADINGS.get(lower, ""))


def _lines(file: IO[str]) -> Iterator[tuple[int, str]]:
    """Numbered lines; of one that is too long only its start, and the rest of it is passed over."""
    number = 1
    while line := file.readline(LONGEST_LINE):
        number += 1
        yield number, line
        while len(line) >= LONGEST_LINE and not line.endswith("\n"):
            line = file.readline(LONGEST_LINE)


# one line -----------------------------------------------------------------------------------------------------------


class _BadFieldError(ValueError):
    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column, self.reason = column, reason


def _checked(given: dict[str, str]) -> dict[str, Any]:
    """The fields of one reader as they will be stored; `email_key` and `attributes` among them."""
    if "email" not in given:
        raise _BadFieldError("email", "there is no address")
    reader: dict[str, Any] = {}
    for name, value in given.items():
        if name.startswith("attr."):
            reader.setdefault("attributes", {})[name.removeprefix("attr.")] = _text(value)[:500]
            continue
        try:
            reader.update(CHECKS[name](value))
        except ValueError as error:
            raise _BadFieldError(name, str(error)) from None
    return reader


def _email(value: str) -> dict[str, str]:
    address = normalise(value)
    return {"email": address.mailbox, "email_key": address.key}


def _text(value: str) -> str:
    """Text is text: no control or bidi characters, single blanks."""
    return " ".join(_NOT_TEXT.sub(" ", value).split())


def _name(value: str) -> dict[str, str]:
    return {"name": _text(value)[:200]}


def _language(value: str) -> dict[str, str]:
    if not re.fullmatch(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,2}", value):
        raise ValueError(f"{value!r} is no language: use a code such as en or es-MX")
    base, _, region = value.replace("_", "-").partition("-")
    return {"language": f"{base.lower()}-{region.upper()}" if region else base.lower()}


def _country(value: str) -> dict[str, str]:
    if not re.fullmatch("[A-Za-z]{2}", value):
        raise ValueError(f"{value!r} is no country: use two letters such as ES")
    return {"country": value.upper()}


def _plan(value: str) -> dict[str, str]:
    if len(value) > 64:  # noqa: PLR2004  the column's width
        raise ValueError("a plan has at most 64 characters")
    return {"plan": _text(value)}


def _topics(value: str) -> dict[str, tuple[str, ...]]:
    topics = tuple(dict.fromkeys(topic_key(part) for part in re.split("[;|]", _text(value)) if part.strip()))
    if any(len(topic) > 64 for topic in topics):  # noqa: PLR2004  the column's width
        raise ValueError("a topic has at most 64 characters")
    return {"topics": topics}


def _channels(value: str) -> dict[str, tuple[str, ...]]:
    channels = tuple(dict.fromkeys(part for part in re.split(r"[;|\s]+", value.lower()) if part))
    unknown = [name for name in channels if name not in CHANNELS]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no channel: use {' or '.join(CHANNELS)}")
    return {"channels": channels}


def _device(value: str) -> dict[str, str]:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{8,64}", value):
        raise ValueError("a device id is 8 to 64 letters, digits, dots, dashes or underscores")
    return {"device": value}


CHECKS: Mapping[str, Callable[[str], Mapping[str, Any]]] = {
    "email": _email, "name": _name, "language": _language, "country": _country, "plan": _plan, "topics": _topics,
    "channels": _channels, "device": _device, "zone": lambda value: {"zone": demand_zone(value)},
}  # fmt: skip
