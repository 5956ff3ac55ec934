"""The database: reachable, whole, up to date; and what is on record of sources, digests and their senders."""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from sqlalchemy import func, text
from sqlmodel import Session, col, select

from digest import app, deliveries, digests, segments
from digest.checkup import signups
from digest.checkup.finding import Finding
from digest.database import reading
from digest.errors import DigestError
from digest.models import DigestRow, SourceRow, SubscriptionRow
from digest.press import Press
from digest.settings import Settings
from digest.unserved import unserved_words

STEPS = 10_000  # of SQLite's machine between two looks at the clock
RESERVE = 0.5  # seconds of the time that are kept for the other questions


@dataclass(frozen=True)
class Sender:
    """A digest's sender, as far as DNS knows of it: the domains of From and Reply-To, empty where not set yet."""

    domain: str
    replies: str


@dataclass(frozen=True)
class Stored:
    """
    What the database told. `zones`: the digests' time zones by slug.

    `ahead`: seconds by which our clock is before the database server's; None where it has none of its own. `newest`: when
    the last marker was written, by the clock of that moment.
    """

    findings: tuple[Finding, ...] = ()
    senders: tuple[Sender, ...] = ()
    zones: tuple[tuple[str, str], ...] = ()
    ahead: float | None = None
    newest: datetime | None = None


def look(home: Path | None, *, now: datetime, until: float) -> Stored:
    """
    All that the database can tell. What would take longer than to that moment of the monotonic clock is left out.

    Raises:
        DigestError: it cannot be opened, or its tables are not this version's.
    """
    press = app.open_press(home)
    sqlite = press.engine.dialect.name == "sqlite"
    with reading(press.engine) as session:
        rows = session.exec(select(DigestRow).order_by(DigestRow.slug)).all()
        ahead = None if sqlite else _ahead_of_server(session)
        findings = [
            _sqlite(session, press.settings.sqlite_file, until) if sqlite else _postgres(session),
            *_sources(session, now), *_digests(session, rows), *_unserved(session, now), *_segments(session, press.settings, now),
            signups.look(session, press.settings, now),
        ]  # fmt: skip
    senders = (Sender(*map(digests.domain_of, (row.from_address, row.reply_to))) for row in rows)
    zones = tuple((row.slug, row.zone) for row in rows)
    return Stored(tuple(findings), tuple(one for one in senders if one.domain), zones, ahead, _newest(press))


def _ahead_of_server(session: Session) -> float:
    there: datetime = session.connection().execute(text("SELECT clock_timestamp()")).scalar_one()
    return (datetime.now(UTC) - there).total_seconds()


def _newest(press: Press) -> datetime | None:
    stamp = deliveries.newest_stamp(press.engine)
    return datetime.fromtimestamp(stamp / 1e6, UTC) if stamp else None


# the database itself ------------------------------------------------------------------------------------------------


def _sqlite(session: Session, file: Path, until: float) -> Finding:
    raw: Any = session.connection().connection.driver_connection
    (journal,) = raw.execute("PRAGMA journal_mode").fetchone()
    if journal != "wal":
        return Finding(
            "database", "bad", f"{file} cannot keep a write-ahead log ({journal}): put it on a disk of this machine"
        )
    fault = _damage(raw, until)
    size = f"SQLite, {file.stat().st_size / 1e6:,.1f} MB, tables up to date"
    if fault is None:
        return Finding("database", "good", f"{size}; too large to be read through in the time, so see for yourself when "
                       f"nothing is sent: sqlite3 {file} 'PRAGMA quick_check'")  # fmt: skip
    if fault:
        return Finding("database", "bad", f"{file} is damaged ({fault}): restore it from a backup")
    return Finding("database", "good", f"{size}, whole")


def _damage(raw: Any, until: float) -> str | None:
    """What is wrong in the file, in SQLite's words; empty when all is well, None when there was no time to find out."""
    raw.set_progress_handler(lambda: monotonic() > until - RESERVE, STEPS)
    try:
        (said,) = raw.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        return None if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT else str(error)
    finally:
        raw.set_progress_handler(None, 0)
    return "" if said == "ok" else " ".join(str(said).split())


def _postgres(session: Session) -> Finding:
    asked = text("SELECT current_setting('server_version'), pg_database_size(current_database())")
    version, size = session.connection().execute(asked).one()
    return Finding("database", "good", f"PostgreSQL {version.split()[0]}, {size / 1e6:,.1f} MB, tables up to date")


# what is on record --------------------------------------------------------------------------------------------------


def _sources(session: Session, now: datetime) -> Iterator[Finding]:
    rows = session.exec(select(SourceRow).order_by(SourceRow.name)).all()
    if not rows:
        yield Finding("sources", "warn", "none yet: digest source add PATH_OR_ADDRESS")
    for row in rows:
        if not row.enabled:
            yield Finding("source", "warn", f"{row.name} is off: {row.error or 'switched off'}")
        elif row.error:
            until = f"; tried again after {row.retry_at:%H:%M} UTC" if row.retry_at and row.retry_at > now else ""
            yield Finding("source", "warn", f"{row.name}: {row.error}{until}")
        else:
            yield Finding("source", "good", f"{row.name}: {row.last_count} stories when last read")


def _digests(session: Session, rows: Iterable[DigestRow]) -> Iterator[Finding]:
    for row in rows:
        active = SubscriptionRow.digest_id == row.id, SubscriptionRow.state == "active"
        readers = session.exec(select(func.count(col(SubscriptionRow.id))).where(*active)).one()
        try:
            digests.demand_ready(row, outbox_only=False)
        except DigestError as error:
            yield Finding("digest", "warn", str(error))
        else:
            yield Finding(
                "digest", "good", f"{row.slug}: ready, {readers:,} subscriptions, deadline {row.deadline} {row.zone}"
            )


def _unserved(session: Session, now: datetime) -> Iterator[Finding]:
    for words in unserved_words(session, now).values():
        yield Finding("digest", "warn", words)


def _segments(session: Session, settings: Settings, now: datetime) -> Iterator[Finding]:
    names = segments.names(session, settings)
    for name, rule in names.segments.items():
        try:
            segments.read_rule(rule, now=now, names=names, name=name)
        except DigestError as error:
            yield Finding("segment", "warn", f"{name} cannot be read: {error}")
