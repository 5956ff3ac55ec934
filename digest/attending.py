"""Editions that somebody must see to: what is on its way, and what no cadence governs."""

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import and_, exists, or_
from sqlmodel import col, select

from digest import deliveries, editions
from digest.database import reading
from digest.models import CadenceRow, EditionRow, StationRow
from digest.press import Press, apply_deadline, deliver, mailing_of
from digest.values import EditionState, Station, StationState


def in_hand(press: Press, now: datetime) -> list[EditionRow]:
    """
    Editions on their way; of the others, those that no cadence governs, for the stations see to a cadence's own.

    Where the stations of its day are over (it was skipped, or came too late) a person who reopens and approves it sends it.
    """
    of, station = EditionRow, StationRow
    waiting = (EditionState.DRAFT, EditionState.REVIEW, EditionState.APPROVED)
    by_hand = and_(col(of.state).in_(waiting), col(of.due_at).is_(None))
    sending_over = exists().where(
        col(station.digest_id) == of.digest_id, col(station.kind) == of.kind,
        col(station.local_date) == of.local_date, col(station.station) == Station.SEND,
        col(station.state).in_((StationState.DONE, StationState.PASSED)),
    )  # fmt: skip
    again = and_(col(of.state) == EditionState.APPROVED, col(of.due_at) <= now, col(of.name) == "", sending_over)
    its = and_(col(CadenceRow.digest_id) == of.digest_id, col(CadenceRow.kind) == of.kind)
    query = select(of, CadenceRow.undo).outerjoin(CadenceRow, its)
    with reading(press.engine) as session:
        found = session.exec(query.where(or_(col(of.state) == EditionState.SENDING, by_hand, again))).all()
    return [edition for edition, undo in found if not _may_be_called_back(edition, undo or 0, now)]


def _may_be_called_back(edition: EditionRow, undo: int, now: datetime) -> bool:
    """Whether a cadence's edition was approved less than its undo window ago, in minutes."""
    approved = edition.approved_at if edition.state == EditionState.APPROVED and edition.due_at else None
    return approved is not None and now < approved + timedelta(minutes=undo)


def attend_to(
    press: Press,
    edition: EditionRow,
    *,
    clock: Callable[[], datetime],
    told: Callable[[str], None],
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """
    One look at an edition of `in_hand`: keep its deadline, and hand over what is due of it. `stop` as in `deliver`.

    Raises: as `deliver`.
    """
    mailing = mailing_of(press, edition) if edition.state == EditionState.SENDING else None
    if mailing is not None and not deliveries.anything_due(press.engine, mailing=mailing, now=clock()):
        return
    after = apply_deadline(press, edition, now=clock())
    if after.state != edition.state:
        told(f"{after.local_date}: {after.state} by {editions.FALLBACK}. {after.reason}".rstrip())
    if after.state in {EditionState.APPROVED, EditionState.SENDING}:
        told(f"{after.local_date}: {deliver(press, after, now=clock, stop=stop).words}")
