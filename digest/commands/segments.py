"""Commands about segments: save the rules that choose among readers, try them, count and explain them."""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from sqlalchemy import ColumnElement, select, true
from sqlmodel import Session

from digest import segments
from digest.app import open_press
from digest.commands.screen import CONTROL, number, say, show_json, show_table
from digest.database import reading, writing
from digest.errors import NotFoundError
from digest.models import SegmentRow
from digest.press import Press
from digest.segments import RuleError
from subscribers.addresses import masked
from subscribers.draws import place_in
from subscribers.plain_words import clauses, shared_draws
from subscribers.segments import PEOPLE, Names, SegmentError, TrackingError, counted

A_NAME = re.compile(r"[\w .-]+")
BESIDE = 50  # characters of a long rule shown before and after the place of an error


@dataclass(frozen=True, slots=True)
class Asked:
    """What a command was given: a saved segment (then it has a name) or a rule; its condition, and what it may name."""

    name: str
    rule: str
    condition: ColumnElement[bool]
    names: Names


def add(home: Path | None, name: str, rule: str, description: str, *, by: str, as_json: bool) -> None:
    house, now = open_press(home), datetime.now(UTC)
    with _pointing(as_json=as_json), writing(house.engine) as session:
        row = segments.save(session, name, rule, description, who=by, now=now, settings=house.settings)
        notes = _notes(row.rule, segments.names(session, house.settings))
    with reading(house.engine) as session:
        asked = _asked(house, session, name, now)
        (matches,) = _counts(session, asked.condition)
    if as_json:
        show_json(
            {"name": row.name, "rule": row.rule, "description": row.description, "subscribers": matches, "notes": notes}
        )
        return
    say(f"{name}: {number(matches)} subscribers now.")
    _say_notes(notes)


def show_all(home: Path | None, *, as_json: bool) -> None:
    house, now = open_press(home), datetime.now(UTC)
    with reading(house.engine) as session:
        rows = segments.saved(session)
        names = segments.names(session, house.settings)
        found = _counts_of(session, rows, names, now)
    if as_json:
        show_json([_as_data(row, *found[row.name]) for row in rows])
        return
    cells = [(row.name, _count_or_not(*found[row.name]), row.rule, row.description) for row in rows]
    show_table("", ("name", "subscribers", "rule", "description"), cells, right=("subscribers",))
    for row in rows:
        if found[row.name][1]:
            say(f"{row.name}: {found[row.name][1]}", style="yellow")


def show(home: Path | None, name: str, *, as_json: bool) -> None:
    house, now = open_press(home), datetime.now(UTC)
    with reading(house.engine) as session:
        row = segments.named(session, name)
        found, error = _counts_of(session, [row], segments.names(session, house.settings), now)[name]
        used = segments.uses_of(session, name)
    if as_json:
        show_json({**_as_data(row, found, error), "updated_at": row.updated_at, "used_by": asdict(used)})
        return
    say(row.name, style="bold")
    for label, words in (
        ("rule", row.rule), ("what for", row.description), ("changed", f"{row.updated_at:%Y-%m-%d %H:%M} UTC"),
        ("subscribers", _count_or_not(found, error)), ("used by", used.words or "nothing"), ("error", error),
    ):  # fmt: skip
        if words:
            say(f"{label:<12} {words}")


def remove(home: Path | None, name: str, *, by: str, as_json: bool) -> None:
    house = open_press(home)
    with writing(house.engine) as session:
        segments.remove(session, name, who=by, now=datetime.now(UTC))
    show_json({"name": name, "removed": True}) if as_json else say(f"{name} is removed.")


def test(home: Path | None, rule: str, *, as_json: bool) -> None:
    """Yes, or what is wrong and where."""
    house, now = open_press(home), datetime.now(UTC)
    with reading(house.engine) as session, _pointing(as_json=as_json):
        try:
            condition = segments.read_rule(rule, now=now, names=segments.names(session, house.settings))
        except RuleError as error:
            if as_json:
                show_json({"rule": rule, "ok": False, **_place(error.fault)})
            raise
        (matches,) = _counts(session, condition)
    if as_json:
        show_json({"rule": rule, "ok": True, "subscribers": matches})
    else:
        say(f"Yes: {number(matches)} subscribers now.")


def count(home: Path | None, what: str, *, as_json: bool) -> None:
    house, now = open_press(home), datetime.now(UTC)
    with reading(house.engine) as session, _pointing(as_json=as_json):
        asked = _asked(house, session, what, now)
        began = time.perf_counter()
        (matches,) = _counts(session, asked.condition)
        seconds = time.perf_counter() - began
        (everyone,) = _counts(session, true())
    if as_json:
        show_json(
            {
                "name": asked.name,
                "rule": asked.rule,
                "subscribers": matches,
                "of": everyone,
                "seconds": round(seconds, 3),
            }
        )
    else:
        say(f"{number(matches)} of {number(everyone)} subscribers, in {seconds:.2f} s.")


def sample(home: Path | None, what: str, *, size: int, as_json: bool) -> None:
    """Some members, by chance and yet the same each time; enough of each to recognise, too little to write to."""
    house, now = open_press(home), datetime.now(UTC)
    columns = ("id", "email", "language", "zone", "country", "plan", "joined_at")
    with reading(house.engine) as session, _pointing(as_json=as_json):
        asked = _asked(house, session, what, now)
        query = select(*[PEOPLE.c[name] for name in columns]).where(asked.condition)
        found = session.execute(query.order_by(place_in("shown")).limit(size)).all()
    shown = [
        {"number": one.id, "address": masked(one.email), "language": one.language, "zone": one.zone,
         "country": one.country or "", "plan": one.plan or "", "joined": one.joined_at.date()} for one in found
    ]  # fmt: skip
    if as_json:
        show_json(shown)
    elif shown:
        show_table("", tuple(shown[0]), [tuple(str(cell) for cell in one.values()) for one in shown], right=("number",))
    else:
        say("Nobody is in it.")


def explain(home: Path | None, what: str, *, as_json: bool) -> None:
    """The rule in plain words, how many each clause matches, and who uses it."""
    house, now = open_press(home), datetime.now(UTC)
    with reading(house.engine) as session, _pointing(as_json=as_json):
        asked = _asked(house, session, what, now)
        parts = clauses(asked.rule, now=now, names=asked.names)
        matches = _counts(session, *[part.condition for part in parts])
        used = segments.uses_of(session, asked.name) if asked.name else segments.Uses()
    notes = _notes(asked.rule, asked.names)
    if as_json:
        told = [
            {"depth": part.depth, "words": part.words, "rule": part.rule, "subscribers": found}
            for part, found in zip(parts, matches, strict=True)
        ]
        show_json({"name": asked.name, "rule": asked.rule, "clauses": told, "used_by": asdict(used), "notes": notes})
        return
    rows = [(found, "  " * part.depth + part.words) for part, found in zip(parts, matches, strict=True)]
    show_table("", ("subscribers", "who"), rows, right=("subscribers",))
    if asked.name:
        say(f"Used by: {used.words or 'nothing'}.")
    _say_notes(notes)


# what several of them need ------------------------------------------------------------------------------------------


def _asked(house: Press, session: Session, what: str, now: datetime) -> Asked:
    """
    Raises:
        NotFoundError: it looks like the name of a segment, and there is none.
        RuleError: the rule cannot be read.
    """
    names = segments.names(session, house.settings)
    name, rule = (what, names.segments[what]) if what in names.segments else ("", what)
    try:
        return Asked(name, rule, segments.read_rule(rule, now=now, names=names, name=name), names)
    except RuleError as error:
        if name or error.fault.at or isinstance(error.fault, TrackingError) or not A_NAME.fullmatch(what):
            raise
        known = ", ".join(f'"{each}"' for each in sorted(names.segments)) or "none yet"
        raise NotFoundError(f"There is no segment {what!r}; there are: {known}. As a rule: {error}") from None


def _counts(session: Session, *conditions: ColumnElement[bool]) -> tuple[int, ...]:
    return tuple(session.execute(counted(*conditions)).one())


def _counts_of(
    session: Session, rows: Sequence[SegmentRow], names: Names, now: datetime
) -> dict[str, tuple[int | None, str]]:
    """How many each saved segment has, or why it cannot be read now, by name."""
    conditions, errors = {}, {}
    for row in rows:
        try:
            conditions[row.name] = segments.read_rule(row.rule, now=now, names=names, name=row.name)
        except RuleError as error:
            errors[row.name] = str(error)
    found = dict(zip(conditions, _counts(session, *conditions.values()), strict=True)) if conditions else {}
    return {row.name: (found.get(row.name), errors.get(row.name, "")) for row in rows}


def _as_data(row: SegmentRow, found: int | None, error: str) -> dict[str, Any]:
    return {"name": row.name, "subscribers": found, "rule": row.rule, "description": row.description, "error": error}


def _count_or_not(found: int | None, error: str) -> str:
    return "cannot be read" if error else number(found or 0)


def _notes(rule: str, names: Names) -> list[str]:
    return [
        f"Samples {f'for {draw!r} ' if draw else ''}in it and in the segments it asks for take the same readers, so that "
        'together they are the smallest of them. For a draw of its own, name one: sample 50 percent for "second".'
        for draw in sorted(shared_draws(rule, names))
    ]


def _say_notes(notes: Sequence[str]) -> None:
    for note in notes:
        say(note, style="yellow")


@contextmanager
def _pointing(*, as_json: bool) -> Iterator[None]:
    """Shows, above the error's one line, the rule with a mark under the place."""
    try:
        yield
    except RuleError as error:
        if not as_json and error.fault.at is not None:
            for line in _marked(error.fault):
                say(line, aside=True)
        raise


def _marked(fault: SegmentError) -> tuple[str, str]:
    line = CONTROL.sub(" ", (fault.rule or "").split("\n")[fault.line - 1].replace("\t", " "))
    place = fault.column - 1
    start = max(0, place - BESIDE)
    before = ("…" if start else "") + line[start:place]
    return before + line[place : place + BESIDE], " " * cell_len(before) + "^"


def _place(fault: SegmentError) -> dict[str, Any]:
    place = {"line": fault.line, "column": fault.column} if fault.at is not None else {"line": None, "column": None}
    return {**place, "segment": fault.segment, "error": str(fault)}
