"""The fill: a mailing is opened and every delivery of it written in one transaction, one statement per batch."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from email.utils import format_datetime

from sqlalchemy import ColumnElement, Connection, Engine, and_, false, func, not_, or_, select, true
from sqlalchemy.exc import IntegrityError

from digest.crashes import crash_point
from digest.database import reading, writing
from digest.deliveries.rows import Filler, Share
from digest.deliveries.tables import DIGESTS, EDITIONS, MAILINGS, one_snapshot
from digest.errors import NotReadyError, StorageError
from digest.occasions import occasion
from digest.segments import members
from digest.values import EditionState, MailingState
from digest.windows import Rhythm
from subscribers.audience import Occasion, audience
from subscribers.segments import NOTHING, Names, language_is

FILLABLE = frozenset({EditionState.APPROVED, EditionState.SENDING, EditionState.PAUSED})


def open_mailing(
    engine: Engine,
    *,
    edition_id: int,
    version: int,
    digest_id: int,
    shares: Sequence[Share],
    now: datetime,
    expires_at: datetime,
    batch_size: int = 500,
    priority: int = 0,
    names: Names = NOTHING,
    rhythm: Rhythm | None = None,
    tracking: str = "off",
) -> int:
    """
    The id of the edition's mailing, opened and filled whole if there was none; otherwise nothing is changed.

    The candidates are counted by a query of their own, then every delivery is written, all in one transaction: a kill
    leaves everything or nothing. Readers on a pause and suppressed ones get their row too, never to be handed over. What
    the rules say now is settled with that: later changes of rules or readers make nobody a reader of this edition.

    `rhythm` says when each reader is due, and so makes the batches of a wave; without one all may leave at once. A reader
    who cannot be served any more gets a row that says so. The mailing stays open for its last wave, whatever `expires_at`.

    Raises:
        NotReadyError: that version of the edition is not the approved one, or a segment's rule cannot be read.
        StorageError: the count and the fill disagree, or the database refused; nothing was kept.
    """
    if (known := _mailing_of(engine, edition_id)) is not None:
        return known
    try:
        with writing(engine) as session:
            connection = session.connection()
            one_snapshot(connection)
            edition = _demand_approved(connection, edition_id, version)
            mailing = _insert_mailing(connection, edition_id, version, tracking, now=now, expires_at=expires_at)
            own = connection.execute(select(DIGESTS.c.language).where(DIGESTS.c.id == digest_id)).scalar_one()
            candidates = _count(connection, digest_id, shares, now, names, edition)
            filler = Filler(connection, mailing, now, batch_size, priority, rhythm)
            for share, belongs in _parts(shares, fallback=own, now=now, names=names):
                filler.fill(share, audience(digest_id, share.channel, edition).where(belongs))
            _demand_equal(candidates, filler.written)
            found = {"candidates": candidates, "expires_at": filler.covered(expires_at)}
            connection.execute(MAILINGS.update().where(MAILINGS.c.id == mailing).values(**found))
    except IntegrityError:
        if (known := _mailing_of(engine, edition_id)) is None:
            raise
        return known  # another process opened it while we began: its rows are there by now
    crash_point("after_fill")
    return mailing


def _mailing_of(engine: Engine, edition_id: int) -> int | None:
    with reading(engine) as session:
        query = select(MAILINGS.c.id).where(MAILINGS.c.edition_id == edition_id)
        found: int | None = session.connection().execute(query).scalar()
    return found


def _demand_equal(candidates: int, written: int) -> None:
    if candidates != written:
        raise StorageError(
            f"The fill counted {candidates} readers but wrote {written} deliveries; nothing was kept. "
            "Run it again; if it repeats, run digest doctor."
        )


def _demand_approved(connection: Connection, edition_id: int, version: int) -> Occasion:
    row = EDITIONS.c
    query = select(row.digest_id, row.state, row.version, row.kind, row.local_date).where(row.id == edition_id)
    edition = connection.execute(query).first()
    if edition is None or edition.state not in FILLABLE:
        state = edition.state if edition else "missing"
        raise NotReadyError(f"Edition {edition_id} is {state}; approve it before it is delivered.")
    if edition.version != version:
        raise NotReadyError(
            f"Version {version} was printed, but version {edition.version} is approved; print it again."
        )
    return occasion(connection, edition.digest_id, edition.kind, edition.local_date)


def _insert_mailing(
    connection: Connection, edition_id: int, version: int, tracking: str, *, now: datetime, expires_at: datetime
) -> int:
    row = {
        "month": now.year * 100 + now.month, "kind": "edition", "edition_id": edition_id, "version": version,
        "state": MailingState.SENDING, "candidates": 0, "generation": 1, "date": format_datetime(now),
        "expires_at": expires_at, "filled_at": now, "reason": "", "tracking": tracking,
    }  # fmt: skip
    return int(connection.execute(MAILINGS.insert().returning(MAILINGS.c.id), row).scalar_one())


# who belongs to which share -----------------------------------------------------------------------------------------

Part = tuple[Share, ColumnElement[bool]]


def _channels(shares: Sequence[Share]) -> list[str]:
    return list(dict.fromkeys(share.channel for share in shares))


def _parts(shares: Sequence[Share], *, fallback: str, now: datetime, names: Names) -> Iterator[Part]:
    """Each share with the condition that only its readers meet; together they are all whom any rule lets in."""
    for channel in _channels(shares):
        earlier: list[ColumnElement[bool]] = []
        mine = [share for share in shares if share.channel == channel]
        for segment in dict.fromkeys(share.segment for share in mine):
            variants = [share for share in mine if share.segment == segment]
            rule = _rule(variants[0], now, names)
            for share, reads in _by_language(variants, fallback):
                yield share, and_(rule, reads, not_(or_(false(), *earlier)))
            earlier.append(rule)


def _rule(share: Share, now: datetime, names: Names) -> ColumnElement[bool]:
    return members(share.segment, share.rule, now=now, names=names) if share.rule else true()


def _by_language(variants: Sequence[Share], fallback: str) -> Iterator[Part]:
    printed = [share.language for share in variants]
    default = fallback if fallback in printed else printed[0]
    serves = {code: and_(language_is(code), not_(_any_of(_closer(code, printed)))) for code in printed}
    serves[default] = not_(or_(false(), *[reads for code, reads in serves.items() if code != default]))
    for share in variants:
        yield share, serves[share.language]


def _closer(code: str, printed: Sequence[str]) -> list[str]:
    """Printed languages that fit some readers of `code` better: es-MX for es."""
    return [other for other in printed if other.lower().startswith(f"{code.lower()}-")]


def _any_of(codes: Sequence[str]) -> ColumnElement[bool]:
    return or_(false(), *[language_is(code) for code in codes])


def _count(
    connection: Connection, digest_id: int, shares: Sequence[Share], now: datetime, names: Names, on: Occasion
) -> int:
    """How many the fill must write. From the rules alone, joined by `or`: a mistake in the parts above must show."""
    total = 0
    for channel in _channels(shares):
        rules = [_rule(share, now, names) for share in shares if share.channel == channel]
        people = audience(digest_id, channel, on).where(or_(false(), *rules)).subquery()
        total += connection.execute(select(func.count()).select_from(people)).scalar_one()
    return total
