"""A digest's cadence: read from a form that refuses what cannot be, saved, paused, and days left out."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any, cast

from sqlmodel import Session, col, delete, select

from digest import desk
from digest.editions import EDITABLE, PRESS, UNSENT
from digest.errors import NotFoundError, SettingsError
from digest.models import CadenceRow, DigestRow, EditionRow, StationRow
from digest.occurrences import local_date, occurrence, why_not
from digest.records import edition_on, start_edition
from digest.values import EditionKind, EditionState, Fallback, Late, Rules
from digest.windows import instant
from subscribers.models import DAYS
from subscribers.zones import demand_zone

KINDS = (EditionKind.DAILY, EditionKind.WEEKLY)
WEEKDAYS = DAYS[:5]
CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
DURATION = re.compile(r"(?:(\d{1,3})\s*h)?\s*(?:(\d{1,4})\s*(?:m|min)?)?")
A_WEEK = 7 * 24  # hours
MOST_MERGED = 3  # editions that came too late, in the next one
A_DAY = 24 * 60  # minutes
A_SECOND = timedelta(seconds=1)
TWO_DAYS = 2 * A_DAY


class CadenceError(SettingsError):
    """A cadence cannot be saved as it was given. `faults` holds for each field what is wrong and what is allowed."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        self.faults = dict(faults)
        super().__init__(" ".join(f"--{name.replace('_', '-')}: {words}" for name, words in self.faults.items()))


# reading the form ---------------------------------------------------------------------------------------------------


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
        whole = {name: getattr(before, name) for name in FIELDS} if before else {**_starting(kind)}
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


def _starting(kind: str) -> Mapping[str, Any]:
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


# editions of a cadence ----------------------------------------------------------------------------------------------


def start(session: Session, digest: DigestRow, day: date, kind: str, *, now: datetime, name: str = "") -> EditionRow:
    """
    That day's draft, with no stories yet. Where a cadence has that day, its times and its fallback hold.

    One with a name waits for an editor until the day is over: nobody but a person sends what is breaking. So does one that
    is asked for by hand after its hour, on a day of which the clock has no stations.
    """
    edition = start_edition(session, digest, day, now=now, kind=kind, name=name)
    cadence = None if name else find(session, digest, kind)
    if cadence is not None and why_not(cadence, day):
        return edition
    times = occurrence(cadence, day) if cadence else None
    if name or (times and times.due_at <= now and not _has_stations(session, digest, kind, day)):
        edition.deadline_at, edition.fallback = instant(day + timedelta(days=1), "00:00", digest.zone), Fallback.HOLD
    elif cadence and times:
        edition.deadline_at, edition.due_at, edition.fallback = times.deadline_at, times.due_at, cadence.fallback
    return edition


def _has_stations(session: Session, digest: DigestRow, kind: str, day: date) -> bool:
    query = select(StationRow.id).where(
        StationRow.digest_id == digest.id, StationRow.kind == kind, StationRow.local_date == day
    )
    return session.exec(query).first() is not None


def waiting(session: Session, digest: DigestRow, kind: str) -> Sequence[EditionRow]:
    """The editions whose times the cadence set, and which have not left yet."""
    return session.exec(
        select(EditionRow).where(
            EditionRow.digest_id == digest.id, EditionRow.kind == kind, EditionRow.name == "",
            col(EditionRow.due_at).is_not(None), col(EditionRow.state).in_(UNSENT),
        )
    ).all()  # fmt: skip


def let_go(session: Session, edition: EditionRow, reason: str, *, now: datetime) -> None:
    """No clock sees to it any more: it is held, and leaves when a person approves it."""
    edition = desk.locked(session, edition)
    edition.due_at = None
    session.add(edition)
    if edition.state in UNSENT - {EditionState.HELD}:
        desk.change(session, edition, "hold", who=PRESS, now=now, reason=reason)


def rules_on(session: Session, digest: DigestRow, rules: Rules, kind: str, day: date) -> Rules:
    """
    How that day's edition is picked: the week's best looks at a week and does not mind age.

    After an edition that came too late and was to be merged, the window reaches back to the last one that was told.
    """
    if kind == EditionKind.WEEKLY:
        return replace(rules, window_hours=A_WEEK, widen_hours=(), half_life_hours=10 * A_WEEK)
    hours = rules.window_hours + _merged_hours(session, digest, kind, day)
    return replace(rules, window_hours=hours, widen_hours=tuple(max(hours, wider) for wider in rules.widen_hours))


def _merged_hours(session: Session, digest: DigestRow, kind: str, day: date) -> int:
    cadence = find(session, digest, kind)
    if cadence is None or cadence.late != Late.MERGE:
        return 0
    earlier = select(EditionRow).where(
        EditionRow.digest_id == digest.id, EditionRow.kind == kind, EditionRow.name == ""
    )
    hours = 0
    for edition in session.exec(
        earlier.where(EditionRow.local_date < day).order_by(col(EditionRow.local_date).desc()).limit(MOST_MERGED)
    ):
        if edition.state != EditionState.SKIPPED or not edition.late_by:
            break
        hours = 24 * (day - edition.local_date).days
    return hours


# saving -------------------------------------------------------------------------------------------------------------


def save(
    session: Session, digest: DigestRow, given: Mapping[str, str], *, kind: str, who: str, now: datetime
) -> CadenceRow:
    """
    The digest's cadence of that kind, made or changed by the words of a form.

    Raises:
        CadenceError: it cannot be saved like that; nothing is changed.
    """
    if kind not in KINDS:
        raise CadenceError({"kind": f"{kind!r} has no cadence; use {' or '.join(KINDS)}."})
    row = find(session, digest, kind)
    values = read_form({"zone": digest.zone, **given} if row is None else given, kind=kind, before=row)
    if row is None:
        row = CadenceRow(
            digest_id=cast("int", digest.id), kind=kind, since=now, updated_at=now, **{**_starting(kind), **values}
        )
        session.add(row)
        session.flush()
        _written(session, row, "add cadence", who, now, values)
    else:
        for name, value in values.items():
            setattr(row, name, value)
        if values.keys() & {"at", "days", "zone"}:  # what it would have made on earlier days was never its business
            row.since = max(row.since, instant(local_date(row, now), "00:00", row.zone) - A_SECOND)
        _changed(session, row, "change cadence", who, now, values)
    return row


def find(session: Session, digest: DigestRow, kind: str = EditionKind.DAILY) -> CadenceRow | None:
    query = select(CadenceRow).where(CadenceRow.digest_id == digest.id, CadenceRow.kind == kind)
    return session.exec(query).first()


def named(session: Session, digest: DigestRow, kind: str = EditionKind.DAILY) -> CadenceRow:
    """
    Raises:
        NotFoundError: the digest has none; says how to add it.
    """
    if (row := find(session, digest, kind)) is None:
        raise NotFoundError(
            f"{digest.slug} has no {kind} cadence: digest schedule add {digest.slug} --at 07:00 --zone {digest.zone}"
        )
    return row


def every(session: Session) -> list[tuple[DigestRow, CadenceRow]]:
    query = select(DigestRow, CadenceRow).where(CadenceRow.digest_id == DigestRow.id)
    return [(digest, row) for digest, row in session.exec(query.order_by(DigestRow.slug, CadenceRow.kind)).all()]


def pause(session: Session, row: CadenceRow, *, who: str, now: datetime) -> None:
    """Nothing more begins, and nothing that has begun goes on, until it is resumed."""
    if row.paused_at is None:
        row.paused_at = now
        _changed(session, row, "pause cadence", who, now)


def resume(session: Session, row: CadenceRow, *, who: str, now: datetime) -> None:
    """It goes on with what is due from now on; days that began before go on where they were, if that is not too late."""
    if row.paused_at is not None:
        row.paused_at, row.since = None, now
        _changed(session, row, "resume cadence", who, now)


def remove(session: Session, row: CadenceRow, *, who: str, now: datetime) -> None:
    """Nothing more begins. An edition that has not left is held, for no clock sees to it any more; stations still open go."""
    digest = session.get_one(DigestRow, row.digest_id)
    for edition in waiting(session, digest, row.kind):
        let_go(session, edition, "Its cadence was removed.", now=now)
    stations = delete(StationRow).where(
        col(StationRow.digest_id) == row.digest_id, col(StationRow.kind) == row.kind, col(StationRow.ended_at).is_(None)
    )
    session.exec(stations)
    _written(session, row, "remove cadence", who, now, {})
    session.delete(row)


def leave_out(
    session: Session, row: CadenceRow, dates: Mapping[str, str], *, who: str, now: datetime
) -> list[EditionRow]:
    """
    Let the digest not appear on those dates. Returns the editions of them that were there and are skipped now.

    One that is on its way is left alone: an editor cancels it.
    """
    row.blackout = {**row.blackout, **dates}
    _changed(session, row, "leave out", who, now, {"dates": sorted(dates)})
    return [
        desk.change(session, desk.locked(session, edition), "skip", who=who, now=now, reason=dates[day] or "left out")
        for day in sorted(dates)
        for edition in _unsent(session, row, day)
    ]


def _unsent(session: Session, row: CadenceRow, day: str) -> Iterable[EditionRow]:
    digest = session.get_one(DigestRow, row.digest_id)
    edition = edition_on(session, digest, date.fromisoformat(day), row.kind)
    return [edition] if edition is not None and edition.state in {*EDITABLE, EditionState.APPROVED} else []


def skipped(session: Session, row: CadenceRow, days: Iterable[date]) -> list[EditionRow]:
    """Of those dates the editions that were made and skipped: putting a date back brings none of them back."""
    digest = session.get_one(DigestRow, row.digest_id)
    found = [edition_on(session, digest, day, row.kind) for day in days]
    return [edition for edition in found if edition is not None and edition.state == EditionState.SKIPPED]


def put_back(session: Session, row: CadenceRow, day: str, *, who: str, now: datetime) -> None:
    """
    Raises:
        NotFoundError: it was not left out.
    """
    if day not in row.blackout:
        raise NotFoundError(f"{day} is not left out. Left out: {', '.join(sorted(row.blackout)) or 'no date'}.")
    row.blackout = {date_: words for date_, words in row.blackout.items() if date_ != day}
    _changed(session, row, "put back", who, now, {"date": day})


def _changed(
    session: Session, row: CadenceRow, did: str, who: str, now: datetime, detail: Mapping[str, Any] | None = None
) -> None:
    row.revision, row.updated_at = row.revision + 1, now
    session.add(row)
    _written(session, row, did, who, now, detail or {})


def _written(session: Session, row: CadenceRow, did: str, who: str, now: datetime, detail: Mapping[str, Any]) -> None:
    plain = {name: str(value) if isinstance(value, date) else value for name, value in detail.items()}
    desk.write_down(
        session,
        who=who,
        did=did,
        subject="cadence",
        subject_id=row.digest_id,
        now=now,
        detail={"kind": row.kind, **plain},
    )
