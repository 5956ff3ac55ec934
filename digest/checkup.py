"""Is all well? Each finding says what was looked at, how it is, and what to change."""

import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import func
from sqlmodel import Session, col, select

from digest import app, records
from digest.database import reading
from digest.errors import DigestError
from digest.models import DigestRow, SourceRow, SubscriptionRow
from digest.paths import template_folders
from digest.settings import read_settings

ROOM = 500_000_000  # bytes free below which an edition to many readers may not fit
TEMPLATES = ("email/_layout.html", "web/edition.html")


@dataclass(frozen=True)
class Finding:
    """`verdict` is good, warn or bad."""

    what: str
    verdict: str
    words: str


def examine(home: Path | None, *, now: datetime) -> list[Finding]:
    """Everything that can be looked at without sending anything; a fault found early does not hide the others."""
    try:
        settings = read_settings(home)
    except DigestError as error:
        return [Finding("settings", "bad", str(error))]
    findings = [Finding("settings", "good", f"home {settings.home}, base address {settings.base_url}")]
    findings += [_secrets(settings.home / ".env"), _templates(settings.templates), _room(settings.outbox_folder)]
    try:
        press = app.open_press(home)
    except DigestError as error:
        return [*findings, Finding("database", "bad", str(error))]
    findings.append(Finding("database", "good", f"{press.engine.dialect.name}, tables up to date"))
    with reading(press.engine) as session:
        findings += [*_sources(session, now), *_digests(session)]
    return findings


def _secrets(file: Path) -> Finding:
    if not file.exists():
        return Finding("secrets", "good", "keys come from the environment")
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        return Finding("secrets", "bad", f"others can read {file}: chmod 600 {file}")
    return Finding("secrets", "good", f"{file} is readable by its owner alone")


def _templates(own: Path | None) -> Finding:
    folders = template_folders(own)
    for name in TEMPLATES:
        if not any((folder / name).is_file() for folder in folders):
            return Finding(
                "templates", "bad", f"{name} is in none of {', '.join(map(str, folders))}: reinstall global-digest"
            )
    if own is not None and not own.is_dir():
        return Finding("templates", "bad", f"DIGEST_TEMPLATES names {own}, which is no folder")
    return Finding("templates", "good", f"found in {folders[0]}")


def _room(folder: Path) -> Finding:
    place = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(place).free
    if not os.access(place, os.W_OK):
        return Finding("disk", "bad", f"{place} cannot be written to: check its owner")
    words = f"{free / 1e9:,.1f} GB free for the outbox"
    return Finding("disk", "good", words) if free > ROOM else Finding("disk", "warn", f"only {words}: make room")


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


def _digests(session: Session) -> Iterator[Finding]:
    for row in session.exec(select(DigestRow).order_by(DigestRow.slug)):
        active = SubscriptionRow.digest_id == row.id, SubscriptionRow.state == "active"
        readers = session.exec(select(func.count(col(SubscriptionRow.id))).where(*active)).one()
        try:
            records.demand_ready(row, outbox_only=False)
        except DigestError as error:
            yield Finding("digest", "warn", str(error))
        else:
            yield Finding(
                "digest", "good", f"{row.slug}: ready, {readers:,} subscriptions, deadline {row.deadline} {row.zone}"
            )
