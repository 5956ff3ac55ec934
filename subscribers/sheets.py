"""A file of readers line by line: what divides its fields, which column is which, and each line a reader or refused."""

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from typing import IO, Any

from subscribers.addresses import normalise
from subscribers.fields import ATTRIBUTE, FIELDS, STANDINGS, BadFieldError, checked, plain_text
from subscribers.files import ENCODINGS, UNREADABLE, ImportRefusedError, TextFile
from subscribers.origins import Origin, origin_of
from subscribers.outfiles import as_it_was

LONGEST_LINE = 20_000  # characters, of a cell's own line breaks too
MOST_LINES = 200  # that one reader's quoted cells may go over
WORSE = ("active", "pending", "left")  # one after the other
SAMPLE = 20  # lines by which a file is judged
DIVIDERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}

HEADINGS: Mapping[str, str] = {
    "e-mail": "email", "mail": "email", "email address": "email", "e-mail address": "email", "address": "email",
    "full name": "name", "first name": "first_name", "firstname": "first_name", "given name": "first_name",
    "last name": "last_name", "lastname": "last_name", "surname": "last_name", "family name": "last_name",
    "lang": "language", "locale": "language", "timezone": "zone", "time zone": "zone", "tz": "zone",
    "subscription status": "status", "joined at": "joined",
}  # fmt: skip
"""Other names of our fields, in small letters with blanks; each field is also known by its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """
    What a person says of a file, over what it says itself.

    `maps`: headings to fields, or to nothing for a column to be left out. `columns`: the fields of a file without
    headings. `attributes`: columns of no meaning to us become attributes. `standing`: how everyone in the file stands
    who does not stand worse, a word of STANDINGS.
    """

    maps: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    attributes: bool = False
    encoding: str = ""
    standing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A line that was left out. `line` counts from 1; `column` is the field, or empty; `cells` are what stood there."""

    line: int
    column: str
    reason: str
    cells: tuple[str, ...] = field(default=(), repr=False)


Entry = tuple[int, int, dict[str, Any] | Refused]
"""The first and last line of a reader in the file, and the reader's fields or why they were refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """How a file is laid out. Headings are as `given` in it, and `ours`: "" for a column of no meaning to us."""

    divider: str
    given: tuple[str, ...]
    ours: tuple[str, ...]
    begins_after: int  # lines, of headings and what stands before them
    headed: bool
    encoding: str
    origin: Origin
    standing: str  # of everyone who does not stand worse; empty for active
    digests: frozenset[str]  # that a subscription may name

    @classmethod
    def of(cls, file: TextFile, hints: Hints, *, digests: Iterable[str] = ()) -> "Sheet":
        """
        Judge a file by its first lines.

        Raises:
            ImportRefusedError: there is no column for the address, two for one field, or a hint names what is not there.
        """
        with file.opened() as text:
            lines = list(islice(_Lines(text), SAMPLE))
        skipped, hinted = _hint_of_excel(lines)
        divider = hinted or max(DIVIDERS, key=lambda one: _fit(lines[skipped:], one, hints))
        first, begins_after = _first_record(lines, divider, skipped)
        known = {heading.strip().lower(): _field_named(ours) for heading, ours in hints.maps.items()}
        origin = origin_of(first, file.path.name)
        if origin.standing == "never":
            raise ImportRefusedError(f"it is {origin.words}: who never asked is not imported.")
        if hints.columns:
            given = ours = tuple(_field_named(name) for name in hints.columns)
            headed = "email" in map(_heading, first)
        elif headed := _has_headings(first, known):
            given, ours = tuple(first), _ours(first, known, origin, attributes=hints.attributes)
        else:
            given = ours = _without_headings(first)
        _demand_one_address(given, ours)
        return cls(
            divider=divider, given=given, ours=ours, begins_after=begins_after if headed else skipped, headed=headed,
            encoding=ENCODINGS[file.encoding], origin=origin,
            standing=STANDINGS.get(hints.standing, "") or origin.standing, digests=frozenset(digests),
        )  # fmt: skip

    @property
    def ignored(self) -> tuple[str, ...]:
        """The headings of columns that are left out."""
        return tuple(given for given, ours in zip(self.given, self.ours, strict=True) if not ours)

    @property
    def words(self) -> str:
        """Such as "divided by semicolons, with headings"."""
        divider = DIVIDERS.get(self.divider, repr(self.divider))
        origin = f", {self.origin.words}" if self.origin.words else ""
        return f"divided by {divider}s, {'with' if self.headed else 'without'} headings{origin}"

    def only(self, name: str) -> "Sheet":
        """The sheet as if it had no other column, so that nothing else in it can be wrong."""
        return replace(self, ours=tuple(one if one == name else "" for one in self.ours), standing="")

    def entries(self, file: IO[str], *, after: int = 0) -> Iterator[Entry]:
        """
        Each reader or refused line of an opened file. Lines without anything in them are passed over.

        `after`: so many lines of the file were read already.
        """
        for first, last, text in self._records(file, after):
            if first > self.begins_after and text.strip() and (found := self._found(first, text)):
                yield first, last, found

    def refused_again(
        self, file: IO[str], places: Iterable[tuple[int, int]], *, after: int, until: int
    ) -> Iterator[Refused]:
        """
        Of lines that `entries` gave before only the refused ones: `places` are the first and the last line of each.

        No other is looked into. The file was read up to and with the line `after`, and then is up to `until`.
        """
        lines, number = _Lines(file), after
        for first, last in places:
            deque(islice(lines, first - 1 - number), maxlen=0)
            found = self._found(first, "".join(islice(lines, last - first + 1)))
            number = last
            if isinstance(found, Refused):
                yield found
        deque(islice(lines, until - number), maxlen=0)

    def _found(self, line: int, text: str) -> dict[str, Any] | Refused:
        try:
            return self._reader(text)
        except BadFieldError as error:
            return Refused(line=line, column=error.column, reason=error.reason, cells=self._cells(text))

    def _records(self, file: IO[str], number: int) -> Iterator[tuple[int, int, str]]:
        """Numbered lines; one with a quote that is still open goes on over the next ones."""
        lines = _Lines(file)
        for line in lines:
            number += 1
            further = self._further(line, lines) if '"' in line else 0
            text = line + "".join(islice(lines, further)) if further else line
            yield number, number + further, text
            number += further

    def _further(self, text: str, lines: "_Lines") -> int:
        """
        How many of the next lines belong to this one, since a quote is open at its end.

        None, if it is never closed, or if one of them reads as a reader by itself: then the quote costs its own line
        and not the rest of the file.
        """
        if not _is_open(text, self.divider):
            return 0
        for count in range(1, MOST_LINES):
            line = lines.look(count)
            text += line
            if not line or len(text) >= LONGEST_LINE or self._is_reader(line):
                return 0
            if '"' in line and not _is_open(text, self.divider):
                return count if self._is_whole(text) else 0
        return 0

    def _is_reader(self, line: str) -> bool:
        cells = _split(line, self.divider) if "@" in line else ()
        return len(cells) == len(self.ours) and _is_address(cells[self.ours.index("email")])

    def _is_whole(self, text: str) -> bool:
        cells = _split(text, self.divider)
        return len(cells) > 0 and not any(cells[len(self.ours) :])

    def _reader(self, text: str) -> dict[str, Any]:
        if len(text) >= LONGEST_LINE:
            raise BadFieldError("", f"the line is longer than {LONGEST_LINE} characters")
        if not text.isascii() and UNREADABLE in text:
            raise BadFieldError("", f"the line holds bytes that are no text in {self.encoding}")
        values: Sequence[str] = _split(text, self.divider) if '"' in text else text.rstrip("\n").split(self.divider)
        if not values:
            raise BadFieldError("", "a quote is opened and not closed, or closed inside a field")
        if len(values) > len(self.ours) and any(value.strip() for value in values[len(self.ours) :]):
            raise BadFieldError("", f"{len(values)} fields where there are {len(self.ours)} columns")
        if "\0" in text:
            raise BadFieldError(self._column_of_zero(values), "holds a NUL byte")
        cells = map(str.strip, values)
        if "'" in text:
            cells = map(as_it_was, cells)
        given = {name: cell for name, cell in zip(self.ours, cells, strict=False) if name and cell}
        return self._standing(checked(given)) if given or any(map(str.strip, values)) else {}

    def _standing(self, reader: dict[str, Any]) -> dict[str, Any]:
        """How somebody stands: the worst of what their line and the file as a whole say."""
        if reader.pop("cleaned_at", None):
            reader.setdefault("suppressed", "bounce")
        if self.standing and self.standing not in WORSE:
            reader.setdefault("suppressed", self.standing)
        status = reader.get("status", "left" if "left_at" in reader else "active")
        if self.standing in WORSE:
            status = max(status, self.standing, key=WORSE.index)
        if status != "active":
            reader["status"] = status
        for wish in reader.get("subscriptions", ()):
            if wish["digest"] not in self.digests:
                raise BadFieldError("subscriptions", f"there is no digest {wish['digest']!r} here")
        return reader

    def _cells(self, text: str) -> tuple[str, ...]:
        return tuple(_split(text, self.divider) or [text.rstrip("\n")]) if len(text) < LONGEST_LINE else (text[:200],)

    def _column_of_zero(self, values: Sequence[str]) -> str:
        return next((name for name, value in zip(self.ours, values, strict=False) if "\0" in value), "")


# lines and cells ----------------------------------------------------------------------------------------------------


class _Lines:
    """The lines of a file, which can be looked at before they are taken. Of one that is too long only its start is kept."""

    def __init__(self, file: IO[str]) -> None:
        self._read = file.readline
        self._ahead: deque[str] = deque()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._ahead.popleft() if self._ahead else self._line()
        if not line:
            raise StopIteration
        return line

    def look(self, count: int) -> str:
        """The line so many after the last one taken; empty beyond the end."""
        while len(self._ahead) < count and (line := self._line()):
            self._ahead.append(line)
        return self._ahead[count - 1] if count <= len(self._ahead) else ""

    def _line(self) -> str:
        line = rest = self._read(LONGEST_LINE)
        while len(rest) >= LONGEST_LINE and not rest.endswith("\n"):
            rest = self._read(LONGEST_LINE)
        return line


@lru_cache(maxsize=1)  # where a quote stands the same line is asked for twice
def _split(text: str, divider: str) -> tuple[str, ...]:
    """The cells of a line; none, if its quotes make no sense."""
    try:
        return tuple(next(csv.reader([text.rstrip("\n")], delimiter=divider, strict=True)))
    except csv.Error:
        return ()


def _is_open(text: str, divider: str) -> bool:
    return not _split(text, divider) and bool(_split(text + '"', divider))


def _is_address(cell: str) -> bool:
    try:
        normalise(as_it_was(cell.strip()))
    except ValueError:
        return False
    return True


# what the first lines say -------------------------------------------------------------------------------------------


def _hint_of_excel(lines: Sequence[str]) -> tuple[int, str]:
    """A first line such as sep=; is for Excel: how many lines to pass over, and the divider it names."""
    found = re.fullmatch(r"sep=(.)\n?", lines[0]) if lines else None
    return (1, found[1]) if found and found[1] in DIVIDERS else (0, "")


def _first_record(lines: Sequence[str], divider: str, skipped: int) -> tuple[list[str], int]:
    """The cells of the first record that is not blank, and the line it ends with."""
    start = next((at for at in range(skipped, len(lines)) if lines[at].strip()), None)
    if start is None:
        raise ImportRefusedError("there is no line in it: its first names the columns, such as email,name,zone.")
    for end in range(start + 1, len(lines) + 1):
        text = "".join(lines[start:end])
        if len(text) >= LONGEST_LINE:
            raise ImportRefusedError(f"its first line is longer than {LONGEST_LINE} characters.")
        if UNREADABLE in text or "\0" in text:
            raise ImportRefusedError("its first line is no text: save it as CSV UTF-8, or say --encoding.")
        if cells := _split(text, divider):
            return [plain_text(cell) for cell in cells], end
    raise ImportRefusedError("in its first line a quote is opened and not closed.")


def _fit(lines: Sequence[str], divider: str, hints: Hints) -> tuple[bool, int, int]:
    """How well a divider fits: whether it sets an address or its heading apart, how many lines are then alike, how wide."""
    rows = [cells for line in lines if line.strip() and len(line) < LONGEST_LINE and (cells := _split(line, divider))]
    known = {heading.strip().lower(): ours for heading, ours in hints.maps.items()}
    first = rows[0] if rows else []
    names = [known.get(cell.strip().lower()) or _heading(cell) for cell in first]
    if "email" in names or any(map(_is_address, first)):
        return True, sum(len(row) == len(first) for row in rows), len(first)
    return False, 0, sum(line.count(divider) for line in lines)


def _heading(given: str) -> str:
    """Our field of that name; empty if it is none."""
    lower = " ".join(given.lower().split())
    if lower.startswith("attr.") and ATTRIBUTE.fullmatch(lower.removeprefix("attr.")):
        return lower
    spaced, joined = lower.replace("_", " "), lower.replace(" ", "_")
    return joined if joined in FIELDS else HEADINGS.get(lower, HEADINGS.get(spaced, ""))


def _has_headings(first: Sequence[str], known: Mapping[str, str]) -> bool:
    """A line with an address in it is a reader already."""
    named = any(known.get(cell.lower()) or _heading(cell) == "email" for cell in first)
    return named or not any(map(_is_address, first))


def _ours(first: Sequence[str], known: Mapping[str, str], origin: Origin, *, attributes: bool) -> tuple[str, ...]:
    if unknown := [heading for heading in known if heading not in {given.lower() for given in first}]:
        raise ImportRefusedError(f"there is no column {unknown[0]!r}: its columns are {', '.join(first)}.")
    names = {**origin.headings, **known}
    ours = [names[given.lower()] if given.lower() in names else _heading(given) for given in first]
    if ours.count("email") > 1:  # a postal address beside one for mail
        ours = ["" if given.lower() == "address" and "address" not in known else name
                for given, name in zip(first, ours, strict=True)]  # fmt: skip
    if attributes:
        ours = [
            name or ("" if given.lower() in names else _attribute(given))
            for given, name in zip(first, ours, strict=True)
        ]
    return tuple(ours)


def _attribute(given: str) -> str:
    name = re.sub(r"[^a-z0-9_.-]+", "_", given.lower()).strip("_")[:64]
    return f"attr.{name}" if name else ""


def _without_headings(first: Sequence[str]) -> tuple[str, ...]:
    if len(first) == 1:
        return ("email",)
    raise ImportRefusedError(
        f"it has no headings, its first line is a reader already. Name its {len(first)} columns: --columns email,name,- "
        "(with - for one that is to be left out)."
    )


def _field_named(name: str) -> str:
    """
    The field a person named, "" for a column to be left out.

    Raises:
        ImportRefusedError: there is no such field.
    """
    wanted = name.strip()
    if wanted in {"", "-"}:
        return ""
    if found := _heading(wanted):
        return found
    raise ImportRefusedError(f"there is no field {name!r}: use one of {', '.join(FIELDS)}, or - for none.")


def _demand_one_address(given: Sequence[str], ours: Sequence[str]) -> None:
    twice = sorted({name for name in ours if name and ours.count(name) > 1})
    if twice:
        columns = [heading for heading, name in zip(given, ours, strict=True) if name == twice[0]]
        raise ImportRefusedError(
            f"it has two columns for {', '.join(twice)}. Leave one out: --map '{columns[-1]}=' (nothing after it)."
        )
    if "email" not in ours:
        raise ImportRefusedError(
            f"it has no column named email: its columns are {', '.join(given)[:400]}. Say which it is: --map 'HEADING=email'."
        )
