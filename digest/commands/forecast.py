"""What a cadence will do: the next editions, and a stretch of days as each zone will see it."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

from digest import cadences, waves
from digest.app import open_press
from digest.commands.schedule import clock, day_named, length, times_of
from digest.commands.screen import number, say, show_json, show_table
from digest.database import reading
from digest.digests import digest_named
from digest.errors import NotFoundError
from digest.models import CadenceRow, DigestRow
from digest.occurrences import Occurrence, coming, local_date, occurrence, why_not
from digest.windows import Fate, instant

ONE_DAY = timedelta(days=1)
MOST = 400
"""Rows that `next` and `simulate` show at most."""


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
            "paused": row.paused_at is not None, "next": [times_of(one) for one in found], "left_out": between, "readers": readers,
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
        f"  An earlier deadline serves them on time; it is {length(row.deadline_before)} before now: --deadline-before, --gather-before."
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
        first = day_named(start) if start else local_date(row, now)
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
    return f"clocks go {'forward' if moved > timedelta(0) else 'back'} {length(minutes)}"
