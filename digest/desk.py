"""What people do to an edition: move it, reword it, rearrange it. Every act is written down."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from sqlmodel import Session, col, select

from digest import editions
from digest.contents import content_of
from digest.errors import NotFoundError, TransitionError
from digest.models import AuditRow, EditionRow, SlotRow
from digest.records import save_version, slots_of
from digest.text import plain

log = logging.getLogger(__name__)


def locked(session: Session, edition: EditionRow) -> EditionRow:
    """The edition as it stands now, held against every other writer until the transaction ends."""
    return session.get_one(EditionRow, edition.id, with_for_update=True, populate_existing=True)


def change(
    session: Session, edition: EditionRow, verb: str, *, who: str, now: datetime, reason: str = ""
) -> EditionRow:
    """
    Move an edition and write down who did it.

    Raises:
        TransitionError: it cannot move that way now.
    """
    before, edition.state = edition.state, editions.move(edition.state, verb, who=who)
    edition.reason = reason
    if verb == "approve":
        edition.approved_by, edition.approved_at = who, now
    if verb == "reopen":
        edition.approved_by, edition.approved_at = "", None
    if verb == "finish":
        edition.sent_at = now
    session.add(edition)
    note(session, who=who, did=verb, edition=edition, now=now, before=before, after=edition.state, reason=reason)
    told = {"edition": edition.id, "did": verb, "state": str(edition.state), "who": who}
    log.info("an edition moves", extra=told)
    return edition


def note(session: Session, *, who: str, did: str, edition: EditionRow, now: datetime, **detail: Any) -> None:
    """Add one line to the audit."""
    detail = {**detail, "version": edition.version, "content_hash": edition.content_hash}
    write_down(session, who=who, did=did, subject="edition", subject_id=cast("int", edition.id), now=now, detail=detail)


def audit_of(session: Session, edition: EditionRow) -> list[AuditRow]:
    return written_of(session, "edition", cast("int", edition.id))


def write_down(
    session: Session, *, who: str, did: str, subject: str, subject_id: int, now: datetime, detail: Mapping[str, Any]
) -> None:
    """One line of the audit about anything: `subject` is a table's name and `subject_id` a number to find it by."""
    session.add(AuditRow(at=now, who=who, did=did, subject=subject, subject_id=subject_id, detail=dict(detail)))


def written_of(session: Session, subject: str, subject_id: int) -> list[AuditRow]:
    query = select(AuditRow).where(AuditRow.subject == subject, AuditRow.subject_id == subject_id)
    return list(session.exec(query.order_by(col(AuditRow.id))))


def demand_editable(edition: EditionRow) -> None:
    if edition.state not in editions.EDITABLE:
        raise TransitionError(
            f"An edition that is {edition.state} is not edited; reopen it first: digest editions move reopen."
        )


def reword(
    session: Session, edition: EditionRow, position: int, wording: Mapping[str, str], *, who: str, now: datetime
) -> None:
    """Set a slot's kicker, headline or teaser; an empty wording gives the story's own back."""
    demand_editable(edition)
    slot = slot_at(session, edition, position)
    for name, words in wording.items():
        setattr(slot, name, plain(words))
    session.add(slot)
    session.flush()
    _edited(session, edition, who=who, now=now, did="reword", position=position, **wording)


def slot_at(session: Session, edition: EditionRow, position: int) -> SlotRow:
    for slot in slots_of(session, edition):
        if slot.position == position:
            return slot
    raise NotFoundError(f"The edition has no slot {position}; it has 1 to {len(slots_of(session, edition))}.")


def rearrange(session: Session, edition: EditionRow, order: Sequence[int], *, who: str, now: datetime) -> None:
    """Put the slots into `order`, given as present positions; those not named are dropped, and all named are pinned."""
    demand_editable(edition)
    slots = {slot.position: slot for slot in slots_of(session, edition)}
    if len(set(order)) != len(order) or not set(order) <= set(slots) or not order:
        raise NotFoundError(f"Name each slot once, from 1 to {len(slots)}: for example 2,1,3.")
    for position, slot in slots.items():
        if position in order:
            slot.position, slot.pinned = order.index(position) + 1, True
            session.add(slot)
        else:
            session.delete(slot)
    session.flush()
    _edited(session, edition, who=who, now=now, did="rearrange", order=list(order))


def retitle(session: Session, edition: EditionRow, wording: Mapping[str, str], *, who: str, now: datetime) -> None:
    """Set the edition's subject, preheader or intro."""
    demand_editable(edition)
    for name, words in wording.items():
        setattr(edition, name, plain(words))
    _edited(session, edition, who=who, now=now, did="retitle", **wording)


def allow(session: Session, edition: EditionRow, numbers: Sequence[int], *, who: str, now: datetime) -> list[str]:
    """
    Say which of the left-out stories later waves may carry, counted from 1, best first; none takes that back.

    Returns their headlines.

    Raises:
        TransitionError: the edition is not edited any more: what an approval allows is approved with it.
        NotFoundError: there is no left-out story of such a number.
    """
    demand_editable(edition)
    left_out = content_of(session, edition)["left_out"]
    if wrong := [number for number in numbers if not 1 <= number <= len(left_out)]:
        raise NotFoundError(
            f"There is no left-out story {wrong[0]}: digest explain numbers them, 1 to {len(left_out)}."
        )
    chosen = [left_out[number - 1] for number in dict.fromkeys(numbers)]
    stories = [story["story"] for story in chosen]
    save_version(session, edition, by=who, now=now, allowed=stories)
    note(session, who=who, did="allow", edition=edition, now=now, stories=stories)
    return [story["headline"] for story in chosen]


def _edited(session: Session, edition: EditionRow, *, who: str, now: datetime, did: str, **detail: Any) -> None:
    save_version(session, edition, by=who, now=now)
    note(session, who=who, did=did, edition=edition, now=now, **detail)
