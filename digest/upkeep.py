"""Once an hour: late events heard, what has had its time removed, and after an erasure the database's files written anew."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, exists, func, select

from digest import copies, events, retention
from digest.consequences import policy_of
from digest.database import reading, scrub, writing
from digest.errors import StorageError
from digest.models import AuditRow
from digest.press import Press
from digest.values import BatchState

AUDIT, BATCHES = (AuditRow.metadata.tables[name] for name in ("audit", "batch"))
log = logging.getLogger(__name__)
HOUR = timedelta(hours=1)
SMALL = 50_000_000  # bytes of a database that is written anew within about a second, so at any hour
ERASED, SCRUBBED = "erase", "scrub"
COPIES = "folders of replay and rehearse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What one upkeep did: events heard late, rows removed by kind, whether the files were written anew, what it could not do."""

    heard: int = 0
    removed: dict[str, int] = field(default_factory=dict)
    scrubbed: bool = False
    fault: str = ""


def upkeep(
    press: Press, *, now: datetime, stop: Callable[[], bool] = lambda: False, scrub_at_once: bool = False
) -> Kept:
    """
    Everything that is to be done now and then, in transactions of a few rows. Safe to run at any time, and by several at once.

    `scrub_at_once`: after an erasure the files are written anew whatever the hour, unless messages are leaving.

    Raises:
        StorageError: the database refused; what was done stays, the rest is done next time.
    """
    heard = events.adopt(press.engine, keys=press.keys, policy=policy_of(press.settings), now=now)
    removed, fault = retention.swept(press.engine, press.settings, now=now, stop=stop), ""
    try:
        removed[COPIES] = copies.sweep(press.settings.home, press.settings.copy_days, now=now)
    except StorageError as error:
        fault = str(error)
    if stop() or not may_scrub(press, now=now, at_once=scrub_at_once):
        return Kept(heard=heard, removed=removed, fault=fault)
    try:
        scrubbed(press, now=now)
    except StorageError as error:  # somebody reads; the next hour will do
        return Kept(heard=heard, removed=removed, fault=str(error))
    return Kept(heard=heard, removed=removed, scrubbed=True, fault=fault)


def counted(press: Press, *, now: datetime) -> dict[str, int]:
    """What the next upkeep would remove, by name; nothing is changed."""
    waiting = len(copies.due(press.settings.home, press.settings.copy_days, now=now))
    return {**retention.counted(press.engine, press.settings, now=now), COPIES: waiting}


@dataclass
class Hourly:
    """Says when the next upkeep is due, and does it: for loops that look more often."""

    press: Press
    clock: Callable[[], datetime]
    last: datetime | None = None

    def look(self, stop: Callable[[], bool]) -> Kept | None:
        """What was done, or None when its hour has not come. Raises as `upkeep`."""
        now = self.clock()
        if self.last is not None and abs(now - self.last) < HOUR:  # a clock that was set back delays nothing
            return None
        self.last = now  # before it: a fault is not tried again at once
        kept = upkeep(self.press, now=now, stop=stop)
        if kept.fault:
            log.warning("upkeep, tried again within the hour: %s", kept.fault)
        return kept


# after an erasure ---------------------------------------------------------------------------------------------------


def unscrubbed(connection: Connection) -> list[datetime]:
    """
    When those were erased of whom the database's files may still hold bytes.

    On SQLite alone: deleted rows are overwritten, but pages that were split keep copies of some. The audit knows: of each
    scrub, up to which of its lines all was over by then.
    """
    if connection.dialect.name != "sqlite":
        return []
    row = AUDIT.c
    last = connection.execute(
        select(row.detail).where(row.subject == "database", row.did == SCRUBBED).order_by(row.id.desc())
    ).first()
    after = int(last.detail["up_to"]) if last else 0
    since = select(row.at).where(row.subject == "suppression", row.did == ERASED, row.id > after)
    return list(connection.execute(since.order_by(row.at)).scalars())


def may_scrub(press: Press, *, now: datetime, at_once: bool = False) -> bool:
    """
    Whether files are to be written anew now: a small database's soon, a large one's at night, neither while messages leave.

    Nobody else can write meanwhile, about a second for each 50 MB.
    """
    with reading(press.engine) as session:
        connection = session.connection()
        erased = unscrubbed(connection)
        if not erased or _under_way(connection, now):
            return False
        size = _size(connection)
    return at_once or size <= SMALL or erased[0] <= last_night(now, press.settings.scrub_hour)


def scrubbed(press: Press, *, now: datetime) -> None:
    """
    Write the files of the database anew, and write down that it was done.

    Raises:
        StorageError: as `database.scrub`.
    """
    with reading(press.engine) as session:
        newest = session.connection().execute(select(func.max(AUDIT.c.id))).scalar() or 0
    scrub(press.engine)
    if press.engine.dialect.name == "sqlite":
        with writing(press.engine) as session:
            session.add(
                AuditRow(
                    at=now, who="the press", did=SCRUBBED, subject="database", subject_id=0, detail={"up_to": newest}
                )
            )


def last_night(now: datetime, hour: int) -> datetime:
    """The last moment, not after now, at which that hour of UTC began."""
    today = now.replace(hour=hour, minute=0, second=0, microsecond=0)
    return today if today <= now else today - timedelta(days=1)


def _under_way(connection: Connection, now: datetime) -> bool:
    live = BATCHES.c.state.in_((BatchState.READY, BatchState.CLAIMED, BatchState.HANDING))
    return bool(connection.execute(select(exists().where(live, BATCHES.c.not_before <= now.timestamp()))).scalar())


def _size(connection: Connection) -> int:
    pages, size = (connection.exec_driver_sql(f"PRAGMA {name}").scalar() or 0 for name in ("page_count", "page_size"))
    return int(pages) * int(size)
