"""A digest's cadence: saved, paused, days left out, and what it means for an edition of its day."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any, cast

from sqlmodel import Session, col, delete, select

from digest import desk
from digest.cadence_form import KINDS, CadenceError, read_form, starting
from digest.editions import EDITABLE, PRESS, UNSENT
from digest.errors import NotFoundError
from digest.models import CadenceRow, DigestRow, EditionRow, StationRow
from digest.occurrences import local_date, occurrence, why_not
from digest.records import edition_on, start_edition
from digest.values import EditionKind, EditionState, Fallback, Late, Rules
from digest.windows import instant

A_WEEK = 7 * 24  # hours
MOST_MERGED = 3  # editions that came too late, in the next one
A_SECOND = timedelta(seconds=1)


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


def appears(session: Session, digest: DigestRow, kind: str, day: date, *, lock: bool = False) -> bool:
    """
    Whether the digest's cadence has that day. `lock`: and nobody changes that before the transaction ends; who leaves the day
    out meanwhile waits, and then sees the edition that was made.
    """
    query = select(CadenceRow).where(CadenceRow.digest_id == digest.id, CadenceRow.kind == kind)
    row = session.exec(query.with_for_update(read=True) if lock else query).first()
    return row is not None and not why_not(row, day)


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
            digest_id=cast("int", digest.id), kind=kind, since=now, updated_at=now, **{**starting(kind), **values}
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
    session.refresh(row, with_for_update=True)  # an edition that is being made is there by now, or will not be
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
    session.refresh(row, with_for_update=True)  # as in `remove`
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
