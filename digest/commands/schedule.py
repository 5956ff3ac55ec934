"""Commands of a digest's cadence: when it appears, a pause, and dates left out."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

from digest import cadence_form, cadences
from digest.app import open_press
from digest.cadence_form import FIELDS, CadenceError
from digest.commands.screen import say, show_json, show_table
from digest.database import reading, writing
from digest.digests import digest_named
from digest.errors import NotFoundError
from digest.holidays import read_dates
from digest.models import CadenceRow, DigestRow, StationRow
from digest.occurrences import Occurrence, coming, local_date
from digest.unserved import unserved, unserved_words
from digest.values import EditionKind, Fallback, Late, Station

AT_DEADLINE = {
    Fallback.SEND: "the pick is sent", Fallback.CHECKS: "the pick is sent if its checks pass, held otherwise",
    Fallback.HOLD: "it is held",
}  # fmt: skip
IF_LATE = {
    Late.SKIP: "it is skipped", Late.MERGE: "it is skipped, and its stories go into the next one",
    Late.SEND: "it is sent all the same, within a day",
}  # fmt: skip


def kind_named(words: str) -> EditionKind:
    """Raises NotFoundError: no such kind has a cadence."""
    if words not in cadence_form.KINDS:
        raise NotFoundError(f"--kind: {words!r} has no cadence; use {' or '.join(cadence_form.KINDS)}.")
    return EditionKind(words)


def clock() -> datetime:
    return datetime.now(UTC)


def add(
    home: Path | None, slug: str, given: Mapping[str, str], *, kind: str, blackout: Path | None, by: str, as_json: bool
) -> None:
    house, now = open_press(home), clock()
    dates = _dates_in(blackout) if blackout else {}
    with writing(house.engine) as session:
        digest = digest_named(session, slug)
        row = cadences.save(session, digest, given, kind=kind, who=by, now=now)
        if dates:
            cadences.leave_out(session, row, dates, who=by, now=now)
    with reading(house.engine) as session:
        _show(session, slug, kind, now, as_json=as_json)


def _say_unserved(session: Session, now: datetime, slug: str | None = None) -> None:
    """Who chose once a week in vain: of one digest, or of all."""
    for of, words in unserved_words(session, now).items():
        if slug in {None, of}:
            say(f"{words}.", style="yellow")


def _dates_in(file: Path) -> dict[str, str]:
    try:
        return read_dates(file.read_bytes().decode("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise CadenceError({"blackout": f"{file} cannot be read: {error}."}) from None
    except ValueError as error:
        raise CadenceError({"blackout": f"{file}: {error}"}) from None


def show_all(home: Path | None, *, as_json: bool) -> None:
    house, now = open_press(home), clock()
    with reading(house.engine) as session:
        rows = cadences.every(session)
        if as_json:
            waiting = unserved(session, now)
            show_json([_fields(digest, row, now, waiting) for digest, row in rows])
            return
        lines = [(digest.slug, row.kind, _when(row), _next_words(row, now)) for digest, row in rows]
        if lines:
            show_table("", ("digest", "kind", "appears", "next"), lines)
        else:
            say(
                "No digest has a cadence yet: digest schedule add DIGEST --at 07:00 --days weekdays --zone Europe/Madrid"
            )
        _say_unserved(session, now)


def show(home: Path | None, slug: str, *, kind: str, as_json: bool) -> None:
    with reading(open_press(home).engine) as session:
        _show(session, slug, kind, clock(), as_json=as_json)


def _show(session: Session, slug: str, kind: str, now: datetime, *, as_json: bool) -> None:
    digest = digest_named(session, slug)
    row = cadences.named(session, digest, kind)
    if as_json:
        show_json(_fields(digest, row, now, unserved(session, now)))
        return
    say(f"{digest.name} ({slug}, {kind}): {_when(row)}.", style="bold")
    for line in _sentences(digest, row, now):
        say(f"  {line}")
    _say_unserved(session, now, slug)
    stations = session.exec(
        select(StationRow)
        .where(
            StationRow.digest_id == digest.id, StationRow.kind == kind, StationRow.local_date >= local_date(row, now)
        )
        .order_by(col(StationRow.local_date), col(StationRow.id))
        .limit(2 * len(Station))
    ).all()
    if stations:
        rows = [(str(s.local_date), s.station, f"{s.due_at:%Y-%m-%d %H:%M} UTC", s.state, s.words) for s in stations]
        show_table("", ("date", "station", "due", "state", ""), rows)


def _sentences(digest: DigestRow, row: CadenceRow, now: datetime) -> list[str]:
    gathered, until = length(row.gather_before), length(row.deadline_before)
    lines = [
        f"Next: {_next_words(row, now)}.",
        f"Stories are gathered {gathered} before it is due, and editors have until {until} before.",
        f"If nobody acts, {AT_DEADLINE[Fallback(row.fallback)]}.",
        f"Later than {length(row.late_after)}: {IF_LATE[Late(row.late)]}.",
        f"Language {digest.language}; segments: {', '.join(digest.segments) or 'everyone'}.",
    ]
    if row.remind_before:
        lines.append(f"Editors are reminded {length(row.remind_before)} before their deadline.")
    if row.undo:
        lines.append(f"After an approval it waits {length(row.undo)}, in which it can be called back.")
    if row.local:
        lines.append(f"A reader is reached between {row.opens} and {row.closes}, where they are.")
    if row.fresher:
        lines.append("Later waves may carry fresher stories, of the runners-up that editors allowed.")
    ahead = sorted(day for day in row.blackout if day >= local_date(row, now).isoformat())
    if ahead:
        lines.append("Left out: " + "; ".join(f"{day} {row.blackout[day]}".strip() for day in ahead[:12]))
    return lines


def _when(row: CadenceRow) -> str:
    days = {"mon,tue,wed,thu,fri,sat,sun": "every day", "mon,tue,wed,thu,fri": "Monday to Friday"}.get(
        row.days, row.days
    )
    where = "where each reader is" if row.local else f"in {row.zone}"
    return f"{days} at {row.at} {where}" + (f" (its days are those of {row.zone})" if row.local else "")


def _next_words(row: CadenceRow, now: datetime) -> str:
    if row.paused_at is not None:
        return f"paused since {row.paused_at:%Y-%m-%d %H:%M} UTC"
    one = next(coming(row, now), None)
    return f"{one.day} at {one.due_at:%Y-%m-%d %H:%M} UTC" if one else "never: its days are over"


def length(minutes: int) -> str:
    hours, rest = divmod(minutes, 60)
    return " ".join(
        part for part in (f"{hours} h" if hours else "", f"{rest} min" if rest or not hours else "") if part
    )


def _fields(digest: DigestRow, row: CadenceRow, now: datetime, waiting: Mapping[int, int]) -> dict[str, Any]:
    one = next(coming(row, now), None) if row.paused_at is None else None
    return {
        "digest": digest.slug, "kind": row.kind, **{name: getattr(row, name) for name in FIELDS},
        "blackout": row.blackout, "paused_at": row.paused_at, "next": times_of(one) if one else None,
        "weekly_readers_without": waiting.get(row.digest_id, 0),
    }  # fmt: skip


def times_of(one: Occurrence) -> dict[str, Any]:
    return {
        "date": one.day, "gather_at": one.gather_at, "deadline_at": one.deadline_at, "release_at": one.release_at,
        "due_at": one.due_at, "late_at": one.late_at,
    }  # fmt: skip


def change(home: Path | None, slug: str, what: str, *, kind: str, by: str) -> None:
    """Pause, resume or remove it."""
    house, now = open_press(home), clock()
    with writing(house.engine) as session:
        row = cadences.named(session, digest_named(session, slug), kind)
        getattr(cadences, what)(session, row, who=by, now=now)
        words = _next_words(row, now)
    said = {
        "pause": f"Paused: nothing of {slug} begins or goes on until digest schedule resume {slug}.",
        "resume": f"Resumed. Next: {words}.", "remove": f"{slug} has no {kind} cadence any more; its editions stay.",
    }  # fmt: skip
    say(said[what])
    with reading(house.engine) as session:
        _say_unserved(session, now, slug)


def skip(home: Path | None, slug: str, days: Sequence[str], *, kind: str, why: str, undo: bool, by: str) -> None:
    house, now = open_press(home), clock()
    with writing(house.engine) as session:
        row = cadences.named(session, digest_named(session, slug), kind)
        wanted = [day_named(words) for words in days]
        if undo:
            for day in wanted:
                cadences.put_back(session, row, day.isoformat(), who=by, now=now)
            skipped, still = [], cadences.skipped(session, row, wanted)
        else:
            still, skipped = (
                [],
                cadences.leave_out(session, row, {day.isoformat(): why for day in wanted}, who=by, now=now),
            )
        words = _next_words(row, now)
    for edition in skipped:
        say(f"The edition of {edition.local_date} was there already, and is skipped.")
    done = "Put back" if undo else "Left out"
    say(f"{done}: {', '.join(map(str, wanted))}. Next: {words}.")
    for edition in still:
        say(
            f"The edition of {edition.local_date} was skipped, and stays so until somebody reopens it: "
            f"digest editions move reopen {edition.id}, then approve it.", style="yellow",
        )  # fmt: skip
    if not undo:
        say(f"To undo it: digest schedule skip {slug} {' '.join(map(str, wanted))} --undo")


def day_named(words: str) -> date:
    try:
        return date.fromisoformat(words)
    except ValueError:
        raise NotFoundError(f"{words!r} is no date; write it as 2026-11-23.") from None
