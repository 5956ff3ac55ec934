"""Gathers stories from every source: fetch, parse, keep. Each source by itself: one that fails stops no other."""

import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, or_, select

from digest import sources
from digest.database import reading, writing
from digest.dates import read_date
from digest.egress import Fetched, Limits, fetch, read_file
from digest.errors import DigestError, NotFoundError, SourceError
from digest.identity import canonical
from digest.keeping import Kept, keep
from digest.models import SourceRow
from digest.settings import Settings
from digest.values import Document, Reading

AT_ONCE = 8  # sources fetched side by side; they are parsed and saved one by one
BACKOFF, LONGEST_BACKOFF, LONGEST_WISH = timedelta(minutes=5), timedelta(hours=6), timedelta(hours=24)
OK, GONE, BUSY = 200, 410, frozenset({429, 503})
REFUSALS = {401: "wants a password", 403: "refuses us", 404: "has nothing at this address"}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """How one source fared. `state` is new, unchanged, resting, failed or off; `words` is one sentence for a person."""

    name: str
    state: str
    words: str
    found: int = 0
    new: int = 0
    changed: int = 0
    duplicates: int = 0
    notes: tuple[str, ...] = ()


class _RefusalError(SourceError):
    """A source's answer that is no document: how long it wants to be left alone, and whether for ever."""

    def __init__(self, words: str, *, wait: timedelta | None = None, gone: bool = False) -> None:
        super().__init__(words)
        self.wait = wait
        self.gone = gone


def gather(
    engine: Engine,
    settings: Settings,
    *,
    now: datetime,
    names: Sequence[str] = (),
    told: Callable[[SourceReport], None] | None = None,
) -> list[SourceReport]:
    """
    Read the named sources, or all that are on, and keep their stories. Reports come in the order of names.

    Args:
        told: called with each report as soon as it stands.

    Raises:
        NotFoundError: a name is not a source's; lists those there are.
        StorageError: the database refused; sources reported before are kept.
    """
    rows = _chosen(engine, names)
    reports = []
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="fetch") as pool:
        looks = [pool.submit(_look, row, settings) if _rest(row, now) is None else None for row in rows]
        for row, look in zip(rows, looks, strict=True):
            report = _rest(row, now) if look is None else _take(engine, row, look.result, now)
            if report is not None:
                reports.append(report)
                log.info("%s: %s", report.name, report.words, extra={"state": report.state, "number": report.new})
                (told or _nobody)(report)
    return reports


def _nobody(_report: SourceReport) -> None:
    return


def _chosen(engine: Engine, names: Sequence[str]) -> list[SourceRow]:
    with reading(engine) as session:
        rows = session.exec(select(SourceRow).order_by(SourceRow.name)).all()
    unknown = set(names) - {row.name for row in rows}
    if unknown:
        known = ", ".join(row.name for row in rows) or "none yet: digest source add PATH_OR_ADDRESS"
        raise NotFoundError(f"There is no source named {', '.join(sorted(unknown))}. There is {known}.")
    return [row for row in rows if (row.name in names if names else row.enabled)]


def _rest(row: SourceRow, now: datetime) -> SourceReport | None:
    """The report of a source that is not read now, and why; None where it is."""
    if not row.enabled:
        return SourceReport(name=row.name, state="off", words=f"off: {row.error or 'switched off by hand'}")
    if row.retry_at and row.retry_at > now:
        words = f"resting until {row.retry_at:%Y-%m-%d %H:%M} UTC: {row.error} (digest source enable {row.name} reads it at once)"
        return SourceReport(name=row.name, state="resting", words=words)
    return None


# One source -----------------------------------------------------------------------------------------------------------


def _look(row: SourceRow, settings: Settings) -> Fetched:
    return _open(row.location, settings, etag=row.etag, last_modified=row.last_modified)


def _open(location: str, settings: Settings, *, etag: str = "", last_modified: str = "") -> Fetched:
    limits = Limits(seconds=settings.fetch_seconds, bytes=settings.fetch_bytes)
    if not _is_web(location):
        return read_file(Path(location), limits=limits)
    return fetch(location, limits=limits, allow=settings.fetch_allow, etag=etag, last_modified=last_modified)


def _take(engine: Engine, row: SourceRow, look: Callable[[], Fetched], now: datetime) -> SourceReport:
    """Parse and keep what a look at a source gave, and write down how it fared."""
    try:
        fetched = look()
        _refuse(row, fetched, now)
        digest = hashlib.sha256(fetched.body).hexdigest()
        if fetched.not_modified or digest == row.body_hash:
            return _fared_well(engine, row, fetched, None, now)
        found = _parsed(row.kind, _document(row, fetched, now))
        return _fared_well(engine, row, fetched, found, now, body_hash=digest)
    except SourceError as error:
        return _fared_badly(engine, row, error, now)
    except (OSError, ValueError, UnicodeError) as error:  # whatever a hostile answer did, the other sources go on
        log.exception("reading %s", row.name)
        words = f"{row.location} could not be read ({type(error).__name__}): it is tried again later."
        return _fared_badly(engine, row, SourceError(words), now)


def _parsed(kind: str, document: Document) -> Reading:
    try:
        return sources.parse(kind, document)
    except DigestError:
        raise
    except Exception as error:  # what a hostile document can make a parser raise has no list
        log.exception("parsing %s", document.source)
        raise SourceError(
            f"{document.source} broke its parser ({type(error).__name__}): it is tried again later."
        ) from error


def _document(row: SourceRow, fetched: Fetched, now: datetime) -> Document:
    return Document(
        body=fetched.body, source=row.name, now=now, url=fetched.url, language=row.language,
        content_type=fetched.headers.get("content-type", ""),
    )  # fmt: skip


def _refuse(row: SourceRow, fetched: Fetched, now: datetime) -> None:
    """
    Raises:
        _RefusalError: the answer is no document.
    """
    status = fetched.status
    if OK <= status < OK + 100 or fetched.not_modified:
        return
    if status == GONE:
        raise _RefusalError(f"{row.location} is gone for good (410); it is switched off.", gone=True)
    if status in BUSY:
        wait = _wish(fetched.headers.get("retry-after", ""), now)
        raise _RefusalError(f"{row.location} is busy ({status}); it is left alone for a while.", wait=wait)
    said = REFUSALS.get(status, "answers with an error")
    raise _RefusalError(f"{row.location} {said} ({status}): check the address in a browser.")


def _wish(retry_after: str, now: datetime) -> timedelta | None:
    """How long a server asked to be left alone: seconds or a date; at most a day."""
    until = read_date(retry_after)
    seconds = int(retry_after) if retry_after.isdecimal() and len(retry_after) < 9 else 0  # noqa: PLR2004
    wait = until - now if until else timedelta(seconds=seconds)
    return min(wait, LONGEST_WISH) if wait > timedelta(0) else None


def _fared_well(
    engine: Engine, row: SourceRow, fetched: Fetched, found: Reading | None, now: datetime, *, body_hash: str = ""
) -> SourceReport:
    try:
        kept = _record(engine, row, fetched, found, now, body_hash)
    except IntegrityError:  # another process kept one of these stories meanwhile; now we see it
        kept = _record(engine, row, fetched, found, now, body_hash)
    if found is None:
        return SourceReport(
            name=row.name, state="unchanged", words="nothing new since the last look", found=row.last_count
        )
    counts = kept.counts
    return SourceReport(
        name=row.name, state="new" if counts["new"] or counts["changed"] else "unchanged", words=_words(kept), found=kept.found,
        new=counts["new"], changed=counts["changed"], duplicates=counts["duplicate"], notes=kept.notes,
    )  # fmt: skip


def _record(
    engine: Engine, row: SourceRow, fetched: Fetched, found: Reading | None, now: datetime, body_hash: str
) -> Kept:
    with writing(engine) as session:
        source = session.get_one(SourceRow, row.id)
        kept = keep(session, source, found, now=now) if found is not None else Kept()
        if found is not None:
            source.last_count, source.body_hash = kept.found, body_hash
        source.etag = fetched.headers.get("etag", source.etag if fetched.not_modified else "")[:1000]
        source.last_modified = fetched.headers.get(
            "last-modified", source.last_modified if fetched.not_modified else ""
        )[:100]
        source.last_tried_at = source.last_good_at = now
        source.failures, source.error, source.retry_at = 0, "", None
        moved = fetched.permanent_url
        if moved and not _known(session, [moved]):
            source.location = moved
            kept.notes += (f"it has moved for good to {moved}; that address is used from now on",)
    return kept


def _words(kept: Kept) -> str:
    counts = kept.counts
    parts = [f"{kept.found} {'story' if kept.found == 1 else 'stories'}, {counts['new']} new"]
    parts += [f"{counts['changed']} changed"] if counts["changed"] else []
    parts += [f"{counts['duplicate']} told before"] if counts["duplicate"] else []
    return ", ".join(parts) + "".join(f"; {note}" for note in kept.notes)


def _fared_badly(engine: Engine, row: SourceRow, error: SourceError, now: datetime) -> SourceReport:
    refusal = error if isinstance(error, _RefusalError) else _RefusalError(str(error))
    with writing(engine) as session:
        source = session.get_one(SourceRow, row.id)
        source.last_tried_at, source.error = now, str(error)
        source.failures += 1
        source.enabled = not refusal.gone
        if _is_web(source.location):  # a file costs nobody anything, and is mended by the person who waits for it
            doubled = min(BACKOFF * 2 ** min(source.failures, 10), LONGEST_BACKOFF)
            source.retry_at = now + (refusal.wait or doubled)
    return SourceReport(name=row.name, state="off" if refusal.gone else "failed", words=str(error))


# New sources ----------------------------------------------------------------------------------------------------------


def add_source(
    engine: Engine,
    settings: Settings,
    *,
    location: str,
    now: datetime,
    name: str = "",
    kind: str = "",
    publisher: str = "",
    section: str = "",
    language: str = "",
    trust: float = 0.5,
) -> SourceRow:
    """
    A source at a path or address, read once to see that it works; the one we have where it is known already.

    Args:
        kind: one of sources.kinds(); found out by its first characters when empty.
        name: made from the address when empty.
        publisher: sources of one publisher tell the same stories; the address's host when empty.

    Raises:
        SourceError: it cannot be read, or the name is another source's.
        NotFoundError: there is no such kind.
    """
    place = _place(location)
    with reading(engine) as session:
        known = _known(session, [place])
    if known is not None:
        return known
    kind, fetched, _found = _first_look(place, settings, kind=kind, language=language, now=now)
    place = fetched.permanent_url or place
    try:
        with writing(engine) as session:
            known = _known(session, [place])
            if known is not None:
                return known
            row = SourceRow(
                name=_name(session, name, place), kind=kind, location=place, section=section, language=language, trust=trust,
                publisher=publisher or _host(place), added_at=now,
            )  # fmt: skip
            session.add(row)
    except IntegrityError:
        raise SourceError(f"Another source was added as {name or place} meanwhile: see digest source list.") from None
    return row


def check_source(engine: Engine, settings: Settings, what: str, *, now: datetime) -> tuple[str, Reading]:
    """
    What a source gives now: its kind and its stories, kept nowhere.

    Args:
        what: the name of a source we have, or a path or address.

    Raises:
        SourceError: it cannot be read; says why.
    """
    with reading(engine) as session:
        named = session.exec(
            select(SourceRow).where(or_(col(SourceRow.name) == what, col(SourceRow.location) == _place(what)))
        ).first()
    place, kind, language = (named.location, named.kind, named.language) if named else (_place(what), "", "")
    if named is None and not _is_web(place) and not Path(place).exists():
        raise NotFoundError(f"{what!r} is no source we have (digest source list), no file, and no web address.")
    kind, _fetched, found = _first_look(place, settings, kind=kind, language=language, now=now)
    return kind, found


def _first_look(
    place: str, settings: Settings, *, kind: str, language: str, now: datetime
) -> tuple[str, Fetched, Reading]:
    fetched = _open(place, settings)
    row = SourceRow(name=place, kind=kind, location=place, language=language, added_at=now)
    _refuse(row, fetched, now)
    document = _document(row, fetched, now)
    kind = kind or sources.sniff(document)
    return kind, fetched, _parsed(kind, document)


def _known(session: Session, places: Iterable[str]) -> SourceRow | None:
    return session.exec(select(SourceRow).where(col(SourceRow.location).in_(list(places)))).first()


def _is_web(location: str) -> bool:
    return location.lower().startswith(("http://", "https://"))


def _place(location: str) -> str:
    """A location as it is stored: an address as given, a path made absolute."""
    location = location.strip()
    if _is_web(location):
        return location
    path = unquote(urlsplit(location).path) if location.lower().startswith("file:") else location
    return os.path.abspath(Path(path).expanduser())  # noqa: PTH100 - takes the dots out without following links


def _host(place: str) -> str:
    return (urlsplit(canonical(place)).hostname or "") if _is_web(place) else ""


def _name(session: Session, wish: str, place: str) -> str:
    """The wished name, or one made from the place that no other source has."""
    taken = set(session.exec(select(SourceRow.name)).all())
    if wish in taken:
        raise SourceError(f"There is a source named {wish} already: choose another name.")
    made = wish or _host(place) or Path(place).stem or "source"
    made = made[:70]
    return (
        made
        if made not in taken
        else next(f"{made}-{n}" for n in range(2, len(taken) + 3) if f"{made}-{n}" not in taken)
    )
