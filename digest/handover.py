"""What a mailing leaves by: its transports, and its place in the outbox."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import mkstemp
from typing import TYPE_CHECKING

from sqlalchemy import Engine
from sqlmodel import Session

from digest import deliveries, proofs
from digest.database import reading
from digest.errors import StorageError
from digest.models import DigestRow, EditionRow, MailingRow, ServiceRow
from digest.parts import load_part
from digest.settings import Settings
from digest.values import EditionKind

if TYPE_CHECKING:
    from digest.transports import Transport

OUTBOX = "outbox"


def outbox_only(settings: Settings) -> bool:
    """Whether nothing leaves this disk."""
    return {settings.email_transport, settings.push_transport} == {OUTBOX}


@contextmanager
def opened_transports(engine: Engine, settings: Settings) -> Iterator[Callable[[int], dict[str, "Transport"]]]:
    """
    What gives a mailing the transports that the settings name for each channel.

    One connection to a provider serves them all; only an outbox has a place of its own for each edition.
    """
    names = {settings.email_transport, settings.push_transport}
    with ExitStack() as opened:
        shared: dict[str, Transport] = {}

        def transports(mailing: int) -> dict[str, "Transport"]:
            where = place_of(engine, mailing)
            return {name: shared.get(name) or opening(name, where) for name in names}

        def opening(name: str, where: str) -> "Transport":
            handed = partial(deliveries.handed_since, engine, name)
            transport: Transport = load_part("transports", name).open_transport(settings, where, handed)
            opened.callback(transport.close)
            if name != OUTBOX:
                shared[name] = transport
            return transport

        yield transports


def place_of(engine: Engine, mailing: int) -> str:
    """A mailing's folder in the outbox: its edition's, or that of the day's service messages."""
    with reading(engine) as session:
        return folder_of_mailing(session, mailing)


def folder_of_mailing(session: Session, mailing: int) -> str:
    """As `place_of`, within a session."""
    row = session.get_one(MailingRow, mailing)
    if row.edition_id is not None:
        return folder_of(session, session.get_one(EditionRow, row.edition_id))
    service = session.get(ServiceRow, mailing)
    digest = session.get(DigestRow, service.digest_id) if service is not None else None
    return f"{digest.slug if digest else 'gone'}/{row.filled_at:%Y-%m-%d}-service"


def place(engine: Engine, edition: EditionRow) -> str:
    """The edition's folder in the outbox, such as global/2026-11-23."""
    with reading(engine) as session:
        return folder_of(session, edition)


def folder_of(session: Session, edition: EditionRow) -> str:
    slug = session.get_one(DigestRow, edition.digest_id).slug
    tail = "-".join(part for part in (edition.kind if edition.kind != EditionKind.DAILY else "", edition.name) if part)
    return f"{slug}/{edition.local_date}{'-' + tail if tail else ''}"


def keep_page(engine: Engine, settings: Settings, edition: EditionRow) -> Path:
    """The edition's web page as a file in the outbox, beside its messages; written whole or not at all."""
    rows = [row for row in proofs.stored(engine, edition) if row.channel == "web"]
    folder = settings.outbox_folder / place(engine, edition) / "web"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, aside = mkstemp(dir=folder, prefix=".index-", suffix=".html")
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(rows[0].html)
            out.flush()
            os.fsync(out.fileno())
        Path(aside).chmod(0o644)
        return Path(aside).replace(folder / "index.html")
    except OSError as error:
        raise StorageError(f"The edition's page could not be written to {folder}: {error.strerror}.") from None
