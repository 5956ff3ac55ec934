"""The fill: a mailing is opened and every delivery of it written in one transaction, one statement per batch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    Integer,
    String,
    and_,
    bindparam,
    case,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy.exc import IntegrityError

from digest.crashes import crash_point
from digest.database import reading, writing
from digest.deliveries.tables import BATCHES, DELIVERIES, DIGESTS, EDITIONS, MAILINGS, hexed, insert_once, one_snapshot
from digest.errors import NotReadyError, StorageError
from digest.segments import members
from digest.values import BatchState, DeliveryState, EditionState, MailingState
from subscribers.audience import WANTED, audience, standing
from subscribers.segments import NOTHING, Names, language_is

FILLABLE = frozenset({EditionState.APPROVED, EditionState.SENDING, EditionState.PAUSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """
    The part of an edition's audience that one proof serves: a segment's readers of one language on one channel.

    Shares come in the segments' order: a reader belongs to the first segment whose rule they meet. Who reads none of
    the languages printed for their segment gets its proof in the digest's own language, or else the first.
    """

    channel: str
    transport: str
    proof_id: int
    language: str
    segment: str = ""
    rule: str = ""  # in the words of subscribers.segments; empty: everyone


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
    tracking: str = "off",
) -> int:
    """
    The id of the edition's mailing, opened and filled whole if there was none; otherwise nothing is changed.

    The candidates are counted by a query of their own, then every delivery is written, all in one transaction: a kill
    leaves everything or nothing. Readers on a pause and suppressed ones get their row too, never to be handed over. What
    the rules say now is settled with that: later changes of rules or readers make nobody a reader of this edition.

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
            _demand_approved(connection, edition_id, version)
            mailing = _insert_mailing(connection, edition_id, version, tracking, now=now, expires_at=expires_at)
            own = connection.execute(select(DIGESTS.c.language).where(DIGESTS.c.id == digest_id)).scalar_one()
            candidates = _count(connection, digest_id, shares, now, names)
            filler = _Filler(connection, mailing, now, batch_size, priority)
            for share, belongs in _parts(shares, fallback=own, now=now, names=names):
                filler.fill(share, digest_id, belongs)
            _demand_equal(candidates, filler.written)
            connection.execute(MAILINGS.update().where(MAILINGS.c.id == mailing).values(candidates=candidates))
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


def _demand_approved(connection: Connection, edition_id: int, version: int) -> None:
    edition = connection.execute(
        select(EDITIONS.c.state, EDITIONS.c.version).where(EDITIONS.c.id == edition_id)
    ).first()
    if edition is None or edition.state not in FILLABLE:
        state = edition.state if edition else "missing"
        raise NotReadyError(f"Edition {edition_id} is {state}; approve it before it is delivered.")
    if edition.version != version:
        raise NotReadyError(
            f"Version {version} was printed, but version {edition.version} is approved; print it again."
        )


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


def _count(connection: Connection, digest_id: int, shares: Sequence[Share], now: datetime, names: Names) -> int:
    """How many the fill must write. From the rules alone, joined by `or`: a mistake in the parts above must show."""
    total = 0
    for channel in _channels(shares):
        rules = [_rule(share, now, names) for share in shares if share.channel == channel]
        people = audience(digest_id, channel).where(or_(false(), *rules)).subquery()
        total += connection.execute(select(func.count()).select_from(people)).scalar_one()
    return total


# writing the rows ---------------------------------------------------------------------------------------------------


@dataclass
class _Filler:
    """Writes batch after batch of one mailing; `written` is how many rows there are, and so the last number given."""

    connection: Connection
    mailing: int
    now: datetime
    batch_size: int
    priority: int
    written: int = 0
    _batch_insert: Any = field(init=False)
    _last_reader: Any = field(init=False)

    def __post_init__(self) -> None:
        row = DELIVERIES.c
        self._batch_insert = BATCHES.insert().returning(BATCHES.c.id)
        self._last_reader = (
            select(row.subscriber_id, row.target)
            .where(row.month == self._month, row.mailing_id == self.mailing, row.number > bindparam("base"))
            .order_by(row.subscriber_id.desc(), row.target.desc())
            .limit(1)
        )

    def fill(self, share: Share, digest_id: int, belongs: ColumnElement[bool]) -> None:
        """All of a share's readers, in the order of their ids, from where the last batch ended."""
        insert, after, written = self._insert(share, digest_id, belongs), (0, ""), self.batch_size
        while written == self.batch_size:
            batch = self._open_batch(share)
            place = {"base": self.written, "batch": batch, "after_reader": after[0], "after_device": after[1]}
            written = self.connection.execute(insert, place).rowcount
            crash_point("mid_fill")
            if written < self.batch_size:
                self._cut(batch, written)
            if written:
                after = self._last(share)
                self.written += written

    def _open_batch(self, share: Share) -> int:
        row = {
            "mailing_id": self.mailing, "month": self._month, "proof_id": share.proof_id, "channel": share.channel,
            "transport": share.transport, "first_number": self.written + 1,
            "last_number": self.written + self.batch_size, "state": BatchState.READY, "priority": self.priority,
            "not_before": 0.0, "owner": "", "lease_until": 0.0, "fence": 0, "attempt": 0, "crashes": 0, "stamp": 0,
        }  # fmt: skip
        return int(self.connection.execute(self._batch_insert, row).scalar_one())

    def _cut(self, batch: int, written: int) -> None:
        mine = BATCHES.c.id == batch
        span = BATCHES.update().where(mine).values(last_number=self.written + written)
        self.connection.execute(span if written else BATCHES.delete().where(mine))

    def _last(self, share: Share) -> tuple[int, str]:
        """The reader the batch just written ended with: the next one starts after them."""
        reader, target = self.connection.execute(self._last_reader, {"base": self.written}).one()
        return int(reader), str(target) if share.channel == "push" else ""

    @property
    def _month(self) -> int:
        return self.now.year * 100 + self.now.month

    def _insert(self, share: Share, digest_id: int, belongs: ColumnElement[bool]) -> Any:
        people = audience(digest_id, share.channel).add_columns(standing(self.now).label("standing"))
        reader, device = people.selected_columns.subscriber_id, people.selected_columns.device
        after = tuple_(bindparam("after_reader", type_=Integer), bindparam("after_device", type_=String))
        # the limit stands inside: row_number over everyone left would make the fill quadratic
        some = people.where(belongs, tuple_(reader, device) > after)
        columns = self._columns(share, some.order_by(reader, device).limit(self.batch_size).subquery().c)
        rows = select(*columns.values()).where(true())
        return (
            insert_once(self.connection, DELIVERIES)
            .from_select(list(columns), rows)
            .on_conflict_do_nothing()
            .execution_options(preserve_rowcount=True)
        )

    def _columns(self, share: Share, one: Any) -> dict[str, Any]:
        wanted = one.standing == WANTED
        return {
            "month": literal(self._month),
            "mailing_id": literal(self.mailing),
            "number": bindparam("base", type_=BigInteger) + func.row_number().over(),
            "subscriber_id": one.subscriber_id,
            "channel": literal(share.channel),
            "target": one.device if share.channel == "push" else hexed(one.email_hash),
            "proof_id": literal(share.proof_id),
            "batch_id": bindparam("batch", type_=BigInteger),
            "state": case(
                (wanted, DeliveryState.QUEUED.value),
                (one.standing == "suppressed", DeliveryState.SUPPRESSED.value),
                else_=DeliveryState.SKIPPED.value,
            ),
            "reason": case((wanted, ""), else_=one.standing),
            "attempt": literal(0),
            "updated_at": literal(self.now.timestamp()),
        }
