"""The books of a mailing: what became of every delivery, whether they balance, and the switches pause, resume, cancel."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, case, func, select
from sqlmodel import Session

from digest.database import reading, writing
from digest.deliveries.hearing import SAYS
from digest.deliveries.recovery import close_rest
from digest.deliveries.tables import BATCHES, DELIVERIES, MAILINGS, PROOFS
from digest.errors import NotFoundError, TransitionError
from digest.values import OPEN_STATES, DeliveryState, MailingState

RECENT = timedelta(days=2)  # a mailing's deliveries have left or expired by then


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """A mailing's books at one moment: the candidates counted before the fill, and its deliveries by state."""

    mailing: int
    state: str
    candidates: int
    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def open(self) -> int:
        """Deliveries that may still be handed over."""
        return sum(self.counts.get(state, 0) for state in OPEN_STATES)

    @property
    def handed(self) -> int:
        """Deliveries the other side has surely taken."""
        return sum(self.counts.get(state, 0) for state in HANDED)

    @property
    def unconfirmed(self) -> int:
        return self.counts.get(DeliveryState.AMBIGUOUS, 0) + self.counts.get(DeliveryState.CLOSED_UNCONFIRMED, 0)

    @property
    def balanced(self) -> bool:
        return self.total == self.candidates

    @property
    def done(self) -> bool:
        return self.state == MailingState.DONE

    @property
    def words(self) -> str:
        """One sentence: done, what is still open, or what is off."""
        if not self.balanced:
            return f"The books do not balance: {self.candidates} candidates, but {self.total} deliveries on record."
        if self.open:
            still = ", ".join(f"{n} {state}" for state, n in sorted(self.counts.items()) if state in OPEN_STATES)
            return f"{self.open} of {self.candidates} still open: {still}."
        doubt = f", {self.unconfirmed} unconfirmed" if self.unconfirmed else ""
        return f"{self.handed} of {self.candidates} handed over{doubt}; nothing is open and the books balance."


HANDED = frozenset(SAYS.values())
USUAL = (DeliveryState.QUEUED, DeliveryState.ACCEPTED)


def settle(engine: Engine, mailing: int, *, now: datetime) -> Balance:
    """
    Balance the books, and close the mailing as done when nothing is open and they agree with the candidates.

    Raises:
        NotFoundError: there is no such mailing.
    """
    with writing(engine) as session:
        connection = session.connection()
        found = _mailing(connection, mailing)
        counts = _counts(connection, found)
        balance = Balance(mailing=mailing, state=found.state, candidates=found.candidates, counts=counts)
        if found.state != MailingState.SENDING or balance.open or not balance.balanced:
            return balance
        finished = {"state": MailingState.DONE, "finished_at": now}
        connection.execute(MAILINGS.update().where(MAILINGS.c.id == mailing).values(**finished))
        return Balance(mailing=mailing, state=MailingState.DONE, candidates=found.candidates, counts=counts)


def balance_of(engine: Engine, mailing: int) -> Balance:
    """The books as they stand, changing nothing."""
    with reading(engine) as session:
        found = _mailing(session.connection(), mailing, lock=False)
        counts = _counts(session.connection(), found)
    return Balance(mailing=mailing, state=found.state, candidates=found.candidates, counts=counts)


def _mailing(connection: Connection, mailing: int, *, lock: bool = True) -> Any:
    row = MAILINGS.c
    query = select(row.id, row.month, row.state, row.candidates).where(row.id == mailing)
    found = connection.execute(query.with_for_update() if lock else query).first()
    if found is None:
        raise NotFoundError(f"There is no mailing {mailing}.")
    return found


def _counts(connection: Connection, mailing: Any) -> dict[str, int]:
    """By state. SQLite would sort the states of a million, so there the two that nearly all have are counted first."""
    state, mine = DELIVERIES.c.state, (DELIVERIES.c.month == mailing.month, DELIVERIES.c.mailing_id == mailing.id)
    by_state = select(state, func.count()).where(*mine).group_by(state)
    if connection.dialect.name == "sqlite":  # whose transaction sees one moment, however many statements it has
        usual = select(func.count(), *(func.count().filter(state == one) for one in USUAL)).where(*mine)
        total, *numbers = connection.execute(usual).one()
        counts = {str(one): number for one, number in zip(USUAL, numbers, strict=True) if number}
        if sum(numbers) == total:
            return counts
        by_state = by_state.where(state.not_in(USUAL))
    else:
        counts = {}
    return counts | {str(one): number for one, number in connection.execute(by_state)}


def handed_since(engine: Engine, transport: str, since: float) -> int:
    """How many deliveries left by the transport since that epoch second, of the mailings of the last two days."""
    row = DELIVERIES.c
    with reading(engine) as session:
        recent = select(MAILINGS.c.id).where(MAILINGS.c.filled_at >= datetime.fromtimestamp(since, UTC) - RECENT)
        handed = (
            select(func.count())
            .select_from(DELIVERIES.join(BATCHES, BATCHES.c.id == row.batch_id))
            .where(row.mailing_id.in_(recent), row.handed_at >= since, BATCHES.c.transport == transport)
        )
        return int(session.connection().execute(handed).scalar_one())


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many deliveries of one proof are in one state."""

    channel: str
    segment: str
    language: str
    profile: str
    state: str
    number: int


def progress(engine: Engine, mailing: int) -> list[Tally]:
    """The mailing's deliveries counted by channel, segment, language, topic profile and state, for a table."""
    with reading(engine) as session:
        connection = session.connection()
        found = _mailing(connection, mailing, lock=False)
        row, proof = DELIVERIES.c, PROOFS.c
        counts = (
            select(row.proof_id, row.state, func.count().label("number"))
            .where(row.month == found.month, row.mailing_id == found.id)
            .group_by(row.proof_id, row.state)
            .subquery()
        )
        columns = (proof.channel, proof.segment, proof.language, proof.profile, counts.c.state, counts.c.number)
        query = select(*columns).join(counts, counts.c.proof_id == proof.id).order_by(*columns[:5])
        rows = connection.execute(query).all()
    return [Tally(**dict(zip(TALLIED, one, strict=True))) for one in rows]


class Readers(NamedTuple):
    """Of one version of an edition: how many have surely got it, and how many are still to."""

    got: int
    to_come: int


def readers_of_versions(engine: Engine, mailing: int) -> dict[int, Readers]:
    """By the version's number; a reader whose delivery was skipped or failed is in neither count."""
    with reading(engine) as session:
        connection = session.connection()
        found = _mailing(connection, mailing, lock=False)
        row, version = DELIVERIES.c, PROOFS.c.version
        got, to_come = (
            func.sum(case((row.state.in_([state.value for state in states]), 1), else_=0))
            for states in (HANDED, OPEN_STATES)
        )
        query = (
            select(version, got, to_come)
            .select_from(DELIVERIES.join(PROOFS, PROOFS.c.id == row.proof_id))
            .where(row.month == found.month, row.mailing_id == found.id)
            .group_by(version)
        )
        return {number: Readers(int(had), int(still)) for number, had, still in connection.execute(query)}


TALLIED = ("channel", "segment", "language", "profile", "state", "number")


class Wave(NamedTuple):
    """The deliveries of one instant. `done` are those that will not be handed over any more, whatever became of them."""

    instant: datetime | None  # None: at once, or never, as with a reader whose hour was missed
    deliveries: int
    done: int


def waves_of(session: Session, mailing: int) -> list[Wave]:
    """
    The mailing's waves, in their order.

    Raises:
        NotFoundError: there is no such mailing.
    """
    connection = session.connection()
    found, row = _mailing(connection, mailing, lock=False), DELIVERIES.c
    still = func.sum(case((row.state.in_([state.value for state in OPEN_STATES]), 1), else_=0))
    mine = (row.month == found.month, row.mailing_id == found.id)
    of_batch = select(row.batch_id, func.count().label("all"), still.label("open")).where(*mine)
    counted = of_batch.group_by(row.batch_id).subquery()
    query = (
        select(BATCHES.c.not_before, func.sum(counted.c.all), func.sum(counted.c.open))
        .join_from(counted, BATCHES, BATCHES.c.id == counted.c.batch_id)
        .group_by(BATCHES.c.not_before)
        .order_by(BATCHES.c.not_before)
    )
    return [
        Wave(datetime.fromtimestamp(at, UTC) if at else None, int(number), int(number) - int(open_))
        for at, number, open_ in connection.execute(query)
    ]


# switches -----------------------------------------------------------------------------------------------------------


def pause(engine: Engine, mailing: int, *, now: datetime, reason: str = "") -> None:
    """
    No further batch is claimed, and of those in hand nothing more is begun. `reason` is kept for whom it may concern.

    Raises:
        TransitionError: the mailing is done or cancelled.
    """
    _switch(engine, mailing, MailingState.PAUSED, {MailingState.SENDING, MailingState.PAUSED}, now, reason)


def resume(engine: Engine, mailing: int, *, now: datetime) -> None:
    """Claims go on. Raises TransitionError when the mailing is done or cancelled."""
    _switch(engine, mailing, MailingState.SENDING, {MailingState.SENDING, MailingState.PAUSED}, now)


def cancel(engine: Engine, mailing: int, *, now: datetime) -> None:
    """
    What has not been claimed is closed at once; of batches in hand nothing more is begun, and what comes back is closed.

    Raises:
        TransitionError: the mailing is done.
    """
    before = {MailingState.SENDING, MailingState.PAUSED, MailingState.CANCELLED}
    _switch(engine, mailing, MailingState.CANCELLED, before, now)


def _switch(
    engine: Engine, mailing: int, target: MailingState, before: set[MailingState], now: datetime, reason: str = ""
) -> None:
    with writing(engine) as session:
        connection = session.connection()
        found = _mailing(connection, mailing)
        if found.state not in before:
            raise TransitionError(f"Mailing {mailing} is {found.state}; it can no longer be {target}.")
        connection.execute(MAILINGS.update().where(MAILINGS.c.id == mailing).values(state=target, reason=reason))
        if target == MailingState.CANCELLED:
            close_rest(connection, found, DeliveryState.CANCELLED, "the mailing was cancelled", now)
