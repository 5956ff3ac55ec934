"""Commands of a digest's cadence: when it appears, what comes next, and what will happen when clocks change."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

from sqlmodel import Session, col, select

from digest import cadence_form, cadences, waves
from digest.app import open_press
from digest.cadence_form import FIELDS, CadenceError
from digest.commands.screen import number, say, show_json, show_table
from digest.database import reading, writing
from digest.digests import digest_named
from digest.errors import NotFoundError
from digest.holidays import read_dates
from digest.models import CadenceRow, DigestRow, StationRow
from digest.occurrences import Occurrence, coming, local_date, occurrence, why_not
from digest.values import EditionKind, Fallback, Late, Station
from digest.windows import Fate, instant

ONE_DAY = timedelta(days=1)
MOST = 400
"""Rows that `next` and `simulate` show at most."""

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
            show_json([_fields(digest, row, now) for digest, row in rows])
            return
        lines = [(digest.slug, row.kind, _when(row), _next_words(row, now)) for digest, row in rows]
    if not lines:
        say("No digest has a cadence yet: digest schedule add DIGEST --at 07:00 --days weekdays --zone Europe/Madrid")
        return
    show_table("", ("digest", "kind", "appears", "next"), lines)


def show(home: Path | None, slug: str, *, kind: str, as_json: bool) -> None:
    with reading(open_press(home).engine) as session:
        _show(session, slug, kind, clock(), as_json=as_json)


def _show(session: Session, slug: str, kind: str, now: datetime, *, as_json: bool) -> None:
    digest = digest_named(session, slug)
    row = cadences.named(session, digest, kind)
    if as_json:
        show_json(_fields(digest, row, now))
        return
    say(f"{digest.name} ({slug}, {kind}): {_when(row)}.", style="bold")
    for line in _sentences(digest, row, now):
        say(f"  {line}")
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
    gathered, until = _length(row.gather_before), _length(row.deadline_before)
    lines = [
        f"Next: {_next_words(row, now)}.",
        f"Stories are gathered {gathered} before it is due, and editors have until {until} before.",
        f"If nobody acts, {AT_DEADLINE[Fallback(row.fallback)]}.",
        f"Later than {_length(row.late_after)}: {IF_LATE[Late(row.late)]}.",
        f"Language {digest.language}; segments: {', '.join(digest.segments) or 'everyone'}.",
    ]
    if row.remind_before:
        lines.append(f"Editors are reminded {_length(row.remind_before)} before their deadline.")
    if row.undo:
        lines.append(f"After an approval it waits {_length(row.undo)}, in which it can be called back.")
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


def _length(minutes: int) -> str:
    hours, rest = divmod(minutes, 60)
    return " ".join(
        part for part in (f"{hours} h" if hours else "", f"{rest} min" if rest or not hours else "") if part
    )


def _fields(digest: DigestRow, row: CadenceRow, now: datetime) -> dict[str, Any]:
    one = next(coming(row, now), None) if row.paused_at is None else None
    return {
        "digest": digest.slug, "kind": row.kind, **{name: getattr(row, name) for name in FIELDS},
        "blackout": row.blackout, "paused_at": row.paused_at, "next": _as_json(one) if one else None,
    }  # fmt: skip


def _as_json(one: Occurrence) -> dict[str, Any]:
    return {
        "date": one.day, "gather_at": one.gather_at, "deadline_at": one.deadline_at, "release_at": one.release_at,
        "due_at": one.due_at, "late_at": one.late_at,
    }  # fmt: skip


# changing -----------------------------------------------------------------------------------------------------------


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


def skip(home: Path | None, slug: str, days: Sequence[str], *, kind: str, why: str, undo: bool, by: str) -> None:
    house, now = open_press(home), clock()
    with writing(house.engine) as session:
        row = cadences.named(session, digest_named(session, slug), kind)
        wanted = [_day(words) for words in days]
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


def _day(words: str) -> date:
    try:
        return date.fromisoformat(words)
    except ValueError:
        raise NotFoundError(f"{words!r} is no date; write it as 2026-11-23.") from None


# what will happen ---------------------------------------------------------------------------------------------------


def upcoming(home: Path | None, slug: str, count: int, *, kind: str, as_json: bool) -> None:
    house, now = open_press(home), clock()
    if not 1 <= count <= MOST:
        raise NotFoundError(f"{count} is not allowed; ask for 1 to {MOST}.")
    with reading(house.engine) as session:
        digest = digest_named(session, slug)
        row = cadences.named(session, digest, kind)
        found = list(islice(coming(row, now), count))
        between = _left_out(row, now, found[-1].day) if found else []
        crowd = (
            waves.forecast(session, digest, row, found[0].day, found[0].release_at, now, settings=house.settings)
            if found
            else None
        )
    if as_json:
        readers = _crowd_as_json(crowd) if crowd else None
        show_json({
            "paused": row.paused_at is not None, "next": [_as_json(one) for one in found], "left_out": between, "readers": readers,
        })  # fmt: skip
        return
    if row.paused_at is not None:
        say(f"Paused: none of this happens until digest schedule resume {slug}.", style="yellow")
    here = ZoneInfo(row.zone)
    rows = [
        (f"{one.day:%a %Y-%m-%d}", *(_local(at, here, one.day) for at in (one.gather_at, one.deadline_at, one.due_at)),
         f"{one.due_at:%H:%M} UTC", _clocks_change(row.zone, one.day))
        for one in found
    ]  # fmt: skip
    show_table("", ("date", "gather", "deadline", "due", "", ""), rows)
    for left in between:
        say(f"  not on {left['date']}: {left['why']}", style="dim")
    if crowd and found:
        _say_crowd(crowd, found[0], row)


def _crowd_as_json(crowd: waves.Forecast) -> dict[str, Any]:
    return {
        "readers": crowd.readers, "early": crowd.early, "fates": crowd.fates(),
        "waves": [{"at": at, "readers": readers} for at, readers in crowd.waves()],
    }  # fmt: skip


FATES = {
    Fate.LATER: "get it later that day, at the next time at which they may be reached",
    Fate.NEXT_DAY: "get it on the next day", Fate.MISSED: "do not get it",
}  # fmt: skip


def _say_crowd(crowd: waves.Forecast, first: Occurrence, row: CadenceRow) -> None:
    """How many readers the next one has, in how many waves, and whose hour comes before it can be released."""
    count = len(crowd.waves())
    say(f"On {first.day}: {number(crowd.readers)} readers in {number(count)} {'wave' if count == 1 else 'waves'}.")
    if not crowd.early:
        return
    say(
        f"  {number(crowd.early)} have an hour before {first.release_at:%H:%M} UTC, when it is released:",
        style="yellow",
    )
    for fate, readers in crowd.fates().items():
        if fate in FATES:
            say(f"    {number(readers)} {FATES[fate]}")
    say(
        f"  An earlier deadline serves them on time; it is {_length(row.deadline_before)} before now: --deadline-before, --gather-before."
    )


def _left_out(row: CadenceRow, now: datetime, last: date) -> list[dict[str, str]]:
    day, found = local_date(row, now), []
    while day <= last:
        if day.isoformat() in row.blackout:
            found.append({"date": day.isoformat(), "why": why_not(row, day)})
        day += ONE_DAY
    return found


def simulate(
    home: Path | None, slug: str, *, kind: str, start: str | None, days: int, zones: Sequence[str], as_json: bool
) -> None:
    """Every day of a stretch, in each zone: the instant, the time on the wall, and what the clocks do."""
    house, now = open_press(home), clock()
    if not 1 <= days <= MOST:
        raise NotFoundError(f"--days: {days} is not allowed; ask for 1 to {MOST}.")
    with reading(house.engine) as session:
        digest = digest_named(session, slug)
        row = cadences.named(session, digest, kind)
        named = [_zone(name) for name in zones] or [row.zone]
        first = _day(start) if start else local_date(row, now)
        lines = [line for ahead in range(days) for line in _day_lines(digest, row, first + ahead * ONE_DAY, named)]
    if as_json:
        show_json(lines)
        return
    show_table("", ("date", "zone", "on the wall", "instant", ""), [tuple(line.values()) for line in lines])


def _zone(name: str) -> str:
    from subscribers.zones import demand_zone

    try:
        return demand_zone(name)
    except ValueError as error:
        raise NotFoundError(f"--zone: {error}") from None


def _day_lines(digest: DigestRow, row: CadenceRow, day: date, zones: Sequence[str]) -> list[dict[str, str]]:
    if why := why_not(row, day):
        return [{"date": f"{day:%a} {day}", "zone": "", "wall": "", "instant": "", "words": f"none: {why}"}]
    lines = []
    times = occurrence(row, day)
    for zone in zones:
        due = waves.rhythm(digest, row, day, times.release_at).due(zone, "", now=times.release_at)
        at = due.instant if row.local else times.due_at
        if at is None:
            words = (
                f"no: it comes before the release at {times.release_at:%H:%M} UTC, and {row.late} is what is then done"
            )
            lines.append({"date": f"{day:%a} {day}", "zone": zone, "wall": "", "instant": "", "words": words})
            continue
        wall = at.astimezone(ZoneInfo(zone))
        asked = row.at if row.local or zone == row.zone else f"{wall:%H:%M}"
        missing = f"there is no {asked} that day: " if f"{wall:%H:%M}" != asked else ""
        moved = missing if due.fate == Fate.KEPT or not row.local else f"{row.at} comes before the release: "
        words = (moved + _clocks_change(zone, day)).removesuffix(": ")
        lines.append({
            "date": f"{day:%a} {day}", "zone": zone, "wall": f"{wall:%Y-%m-%d %H:%M %Z}", "instant": f"{at:%Y-%m-%d %H:%M} UTC",
            "words": words,
        })  # fmt: skip
    return lines


def _local(at: datetime, zone: ZoneInfo, day: date) -> str:
    there = at.astimezone(zone)
    return f"{there:%H:%M}" if there.date() == day else f"{there:%d %b %H:%M}"


def _clocks_change(zone: str, day: date) -> str:
    """What the clocks do in the zone on that day, in words; empty when nothing."""
    there = ZoneInfo(zone)
    offsets = [
        cast("timedelta", instant(on, "00:00", zone).astimezone(there).utcoffset()) for on in (day, day + ONE_DAY)
    ]
    moved = offsets[1] - offsets[0]
    if not moved:
        return ""
    minutes = int(abs(moved) / timedelta(minutes=1))
    return f"clocks go {'forward' if moved > timedelta(0) else 'back'} {_length(minutes)}"
