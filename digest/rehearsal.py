"""A morning run through on a copy of the house: another clock, a throw-away outbox, and nobody gets anything."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any, cast

from pydantic import SecretStr
from sqlalchemy import Connection, Table, func, insert, select
from sqlmodel import Session, SQLModel, col
from sqlmodel import select as select_rows

from digest import cadences, contents, deliveries, desk, digests, press, records, waves
from digest.app import build
from digest.database import migrate, reading, writing
from digest.editions import EDITABLE, TOLD_STATES
from digest.errors import NotFoundError, NotReadyError
from digest.freshening import NEAR
from digest.handover import OUTBOX
from digest.models import BatchRow, EditionRow, SourceRow, StationRow
from digest.occurrences import Occurrence, occurrence, why_not
from digest.press import Press
from digest.schedule import Watch
from digest.values import BatchState, EditionKind, EditionState, Station, StationState
from subscribers.erasure import pointing_at_subscribers
from subscribers.models import DAYS

READERS = 1_000
"""How many readers are copied when nobody says otherwise: enough to see every segment, and a moment's work."""

CHUNK = 1_000
LONGEST = 60 * 60 * 48
"""Seconds after the hour that the last wave may be: a date lasts fifty hours around the earth."""

LEFT_BEHIND = frozenset({
    "batch", "delivery", "event", "leader", "mailing", "sender", "service", "signup", "signup_count", "station", "import_run",
    "import_block", "audit", "deed", "tally", "told_once", "alarm", "alarm_quiet",
})  # fmt: skip
"""What was, is being, or came back from being sent is the real house's alone."""

REHEARSAL = "the rehearsal"


@dataclass
class Act:
    """One thing that happened, and when by the rehearsal's clock (UTC)."""

    at: datetime
    words: str


@dataclass
class Rehearsal:
    """What came of it; the copy stays in `folder` until somebody removes it."""

    folder: Path
    times: Occurrence
    acts: list[Act] = field(default_factory=list)
    edition: EditionRow | None = None
    books: str = ""
    at: str = ""  # the local time it is due
    missing: str = ""  # why it would not appear on that day at all


def rehearse(
    house: Press,
    slug: str,
    day: date,
    folder: Path,
    *,
    clock: str = "",
    kind: EditionKind = EditionKind.DAILY,
    gathers: bool = False,
    readers: int = READERS,
    told: Callable[[Act], None] = lambda _act: None,
) -> Rehearsal:
    """
    Run that day's stations on a copy in `folder`, each at its time; an edition that nobody approved is approved here. Where
    later waves may carry fresher stories, every runner-up is allowed, as an editor might. `clock`: the local time it is due, where that is not the cadence's.

    The copy holds all stories and editions, and the first `readers` readers. Sources are only read when it `gathers`, and once:
    what is news by a later wave is what the house itself has gathered since.
    Where the house has that day's edition already, the copy makes it anew.

    Raises:
        NotFoundError: the digest has no cadence; or the folder is not empty.
    """
    with reading(house.engine) as session:
        digest = digests.digest_named(session, slug)
        cadence = cadences.named(session, digest, kind)
        session.expunge(cadence)
    cadence.at = clock or cadence.at
    copy = _copied(house, folder, readers)
    run = Rehearsal(folder, occurrence(cadence, day), at=cadence.at, missing=why_not(cadence, day))
    with writing(copy.engine) as session:
        _begin_anew(session, slug, run, gathers=gathers)
    _morning(copy, slug, run, told)
    with reading(copy.engine) as session:
        run.edition = records.edition_on(session, digests.digest_named(session, slug), day, kind)
    if run.edition is not None and (mailing := press.mailing_of(copy, run.edition)) is not None:
        run.books = deliveries.balance_of(copy.engine, mailing).words
    return run


def _morning(copy: Press, slug: str, run: Rehearsal, told: Callable[[Act], None]) -> None:
    times, now = run.times, run.times.gather_at

    def note(words: str) -> None:
        run.acts.append(Act(now, words))
        told(run.acts[-1])

    duty = Watch(copy, note, lambda: now, steady=lambda: now.timestamp())  # noqa: PLW0108  it moves on
    duty.lead()
    for at in sorted({*times.stations.values(), times.due_at}):
        now = at
        if at == times.deadline_at:
            _approve(copy, slug, run, now, note)
        for _ in Station:  # what follows from one another at the same moment
            duty.look()
            duty.settle()
    _let_sources_rest(copy, now)
    while (at_last := _next_wave(copy)) is not None and at_last <= times.due_at.timestamp() + LONGEST:
        wave = datetime.fromtimestamp(at_last, UTC)
        now = max(now, wave - NEAR)
        duty.look()  # fresher stories
        duty.settle()
        now = max(now, wave)
        duty.send()
        duty.settle()
    duty.end()


def _approve(copy: Press, slug: str, run: Rehearsal, now: datetime, note: Callable[[str], None]) -> None:
    """Somebody has to, and nobody is there; what does not pass is held by its fallback, as on the day itself."""
    with reading(copy.engine) as session:
        edition = records.edition_on(session, digests.digest_named(session, slug), run.times.day, run.times.kind)
    if edition is not None and edition.state in {EditionState.DRAFT, EditionState.REVIEW}:
        edition = _allowed(copy, edition, now, note)
        try:
            press.approve(copy, edition, who=REHEARSAL, now=now)
        except NotReadyError as error:
            note(str(error))


def _allowed(copy: Press, edition: EditionRow, now: datetime, note: Callable[[str], None]) -> EditionRow:
    """The edition with all its runners-up allowed in later waves, where its cadence lets these carry any."""
    with writing(copy.engine) as session:
        cadence = waves.cadence_of(session, edition.digest_id, edition.kind)
        left_out = contents.content_of(session, edition)["left_out"]
        if cadence is None or not cadence.fresher or not left_out:
            return edition
        edition = desk.locked(session, edition)
        desk.allow(session, edition, range(1, len(left_out) + 1), who=REHEARSAL, now=now)
    note(f"runners-up that later waves may carry: {len(left_out)}, all allowed by the rehearsal")
    return edition


def _let_sources_rest(copy: Press, now: datetime) -> None:
    """Before each later wave they would be asked again, and all of these are within seconds."""
    with writing(copy.engine) as session:
        for row in session.exec(select_rows(SourceRow)):
            row.retry_at = now + timedelta(seconds=2 * LONGEST)
            session.add(row)


def _next_wave(copy: Press) -> float | None:
    """When the next deliveries are due; None when there are none."""
    query = select(func.min(BatchRow.not_before)).where(col(BatchRow.state) == BatchState.READY)
    with reading(copy.engine) as session:
        found: float | None = session.connection().execute(query).scalar()
    return found


# the copy -----------------------------------------------------------------------------------------------------------


def _copied(house: Press, folder: Path, readers: int) -> Press:
    if folder.exists() and any(folder.iterdir()):
        raise NotFoundError(f"{folder} holds something already: name a folder that is empty or not there yet.")
    folder.mkdir(parents=True, exist_ok=True)
    own = {
        "home": folder, "database": f"sqlite:///{folder / 'digest.sqlite'}", "outbox": folder / "outbox",
        "email_transport": OUTBOX, "push_transport": OUTBOX,
        # links name a reader by the number of a mailing and a place in it: with the house's keys they would open somebody else's
        "token_keys": SecretStr(f"1:{token_hex(32)}"),
    }  # fmt: skip
    copy = build(house.settings.model_copy(update=own))
    migrate(copy.engine)
    with reading(house.engine) as session, copy.engine.connect() as target:
        source = session.connection()
        driver: Any = target.connection.driver_connection
        driver.execute("PRAGMA foreign_keys=OFF")  # a story may name one that is copied after it
        last = _last_reader(source, readers)
        with target.begin():
            for table in SQLModel.metadata.sorted_tables:
                if table.name not in LEFT_BEHIND:
                    _copy_table(source, target, table, last)
        driver.execute("PRAGMA foreign_keys=ON")
    return copy


def _last_reader(source: Connection, readers: int) -> int:
    people = SQLModel.metadata.tables["subscriber"].c.id
    first = select(people).order_by(people).limit(readers).subquery()
    return int(source.execute(select(func.max(first.c.id))).scalar() or 0)


def _copy_table(source: Connection, target: Connection, table: Table, last: int) -> None:
    query = select(table)
    whose = {"subscriber": "id", **{of.name: column.name for of, column in pointing_at_subscribers()}}
    if table.name in whose:
        query = query.where(table.c[whose[table.name]] <= last)
    for rows in source.execution_options(yield_per=CHUNK).execute(query).mappings().partitions():
        target.execute(insert(table), [dict(row) for row in rows])


def _begin_anew(session: Session, slug: str, run: Rehearsal, *, gathers: bool) -> None:
    """In the copy the day has nothing yet, its cadence counts from before, and no other cadence or edition is under way."""
    digest, times = digests.digest_named(session, slug), run.times
    if (edition := records.edition_on(session, digest, times.day, times.kind)) is not None:
        session.delete(edition)
        session.flush()
    editions = EditionRow.metadata.tables["edition"]
    state, connection = editions.c.state, session.connection()
    # their stories count as told, and nothing leaves from here
    connection.execute(editions.update().where(state.in_(TOLD_STATES)).values(state=EditionState.SENT))
    connection.execute(editions.update().where(state.in_(EDITABLE)).values(state=EditionState.HELD, due_at=None))
    for other, cadence in cadences.every(session):
        if (other.id, cadence.kind) != (digest.id, times.kind):
            session.delete(cadence)
            continue
        cadence.at = run.at
        cadence.since, cadence.paused_at, cadence.blackout = times.gather_at - timedelta(days=1), None, {}
        cadence.days, cadence.starts_on, cadence.ends_on = DAYS[times.day.weekday()], times.day, times.day
    if not gathers:
        row = StationRow(
            digest_id=cast("int", digest.id), kind=times.kind, local_date=times.day, station=Station.GATHER,
            due_at=times.gather_at, state=StationState.DONE, ended_at=times.gather_at,
        )  # fmt: skip
        session.add(row)
