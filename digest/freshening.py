"""Fresher stories for later waves: a runner-up that the approver allowed takes a place, in a version of its own."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import and_
from sqlmodel import Session, col, select

from digest import contents, deliveries, desk, gathering, proofs, records
from digest.database import reading, writing
from digest.editions import PRESS
from digest.handover import keep_page
from digest.models import CadenceRow, DigestRow, EditionRow, EditionVersionRow, MailingRow, ProofRow, StoryRow
from digest.picking import choice_of, fitted, within_caps
from digest.press import Press, choices
from digest.profiles import SAME_FOR_ALL
from digest.reasons import reasons
from digest.values import Choice, EditionKind, EditionState, MailingState, Rules, Variant
from digest.weighing import Weighed, is_told, is_update, weigh_all

NEAR = timedelta(minutes=3)
"""So long before a wave its stories are looked at: sources are read, and proofs printed, before it leaves."""

APART = timedelta(hours=1)
"""Between two versions of one edition."""


@dataclass(frozen=True, slots=True)
class Near:
    """An edition on its way, with a wave that is near and may carry fresher stories."""

    edition: EditionRow
    digest: DigestRow
    mailing: MailingRow
    wave: datetime

    @property
    def mailing_id(self) -> int:
        return cast("int", self.mailing.id)


def near(session: Session, now: datetime) -> list[Near]:
    """The editions to look at now: their cadence says so, nobody has paused them, and their last version is an hour old."""
    of, version = EditionRow, EditionVersionRow
    query = (
        select(of, DigestRow, MailingRow)
        .join(DigestRow, col(DigestRow.id) == of.digest_id)
        .join(CadenceRow, and_(col(CadenceRow.digest_id) == of.digest_id, col(CadenceRow.kind) == of.kind))
        .join(MailingRow, col(MailingRow.edition_id) == of.id)
        .join(version, and_(col(version.edition_id) == of.id, col(version.number) == of.version))
        .where(of.state == EditionState.SENDING, MailingRow.state == MailingState.SENDING, of.name == "")
        .where(col(CadenceRow.local), col(CadenceRow.fresher), col(CadenceRow.paused_at).is_(None))
        .where(version.at <= now - APART)
    )
    found = []
    for edition, digest, mailing in session.exec(query).all():
        wave = deliveries.wave_after(session, cast("int", mailing.id), now)
        if wave is not None and wave <= now + NEAR:
            found.append(Near(edition, digest, mailing, wave))
    return found


def freshen(press: Press, one: Near, *, clock: Callable[[], datetime]) -> str:
    """
    Give the waves to come the allowed runners-up that are news by now. Returns what was done; empty: nothing.

    The version, its proofs and the deliveries that move to them are one transaction: a kill leaves all as it was, or
    finds all done.

    Raises:
        NotReadyError: a proof would be too large; nothing was changed.
    """
    with reading(press.engine) as session:
        version = contents.latest_version(session, one.edition)
    if version is None or not version.content.get("allowed"):
        return ""
    gathering.gather(press.engine, press.settings, now=clock())
    now, edition = clock(), one.edition
    found, rules = choices(press, one.digest, edition, EditionKind(edition.kind), edition.local_date, now)
    rules = fitted(rules, found)
    allowed, slots = version.content["allowed"], version.content["slots"]
    with reading(press.engine) as session:
        fresh = _changed_since(session, allowed, version.at, now)
        ordered = any(row.profile for row in proofs.proofs_of(session, edition))
    chosen = exchanges(slots, weigh_all(found, rules, now=now), allowed, fresh, rules, same_topic=ordered)
    return _carry(press, one, chosen, clock) if chosen else ""


def _changed_since(session: Session, stories: Collection[int], cut_off: datetime, now: datetime) -> set[int]:
    """Those published or updated after the cut-off."""
    rows = session.exec(select(StoryRow).where(col(StoryRow.id).in_(stories)))
    return {
        cast("int", row.id)
        for row in rows
        if any(at is not None and cut_off < at <= now for at in (row.published_at, row.updated_at, row.changed_at))
    }


def exchanges(
    slots: Sequence[Mapping[str, Any]],
    ranked: Sequence[Weighed],
    allowed: Collection[int],
    fresh: Collection[int],
    rules: Rules,
    *,
    same_topic: bool,
) -> dict[int, Choice]:
    """
    Which stories take which places, by position. `ranked` is best first; `fresh` are stories that changed since the cut-off.

    A place is free below the top three unless an editor pinned it; each is given once, the one that weighs least first. A
    story that did not change must outweigh the one there. No event is told twice, and the caps of topic and source hold.
    `same_topic`: only a story of the same topic takes a place, so that readers' orders of the edition stay true.
    """
    known = {weighed.id: weighed for weighed in ranked}
    line = {slot["position"]: known.get(slot["story"]) for slot in slots}
    free = {slot["position"]: slot["topic"] for slot in slots if slot["position"] > SAME_FOR_ALL and not slot["pinned"]}
    carried = {slot["story"] for slot in slots}
    chosen: dict[int, Choice] = {}
    for weighed in ranked:
        if weighed.id not in allowed or weighed.id in carried or is_told(weighed, rules):
            continue
        places = [
            place
            for place, topic in free.items()
            if (not same_topic or topic == weighed.topic) and _fits(weighed, place, line, rules)
        ]
        place = min(places, key=lambda place: (_weight(line[place]), -place), default=None)
        if place is None or (weighed.id not in fresh and weighed.score <= _weight(line[place])):
            continue
        line[place] = weighed
        del free[place]
        chosen[place] = _choice(weighed, place, line, rules)
    return chosen


def _fits(weighed: Weighed, place: int, line: Mapping[int, Weighed | None], rules: Rules) -> bool:
    others = list(_others(place, line))
    return all(other.cluster != weighed.cluster for other in others) and within_caps(weighed, others, rules)


def _others(place: int, line: Mapping[int, Weighed | None]) -> Iterator[Weighed]:
    return (other for at, other in line.items() if at != place and other is not None)


def _weight(there: Weighed | None) -> float:
    """What is no candidate any more, by age or because it was taken back, weighs nothing."""
    return there.score if there else 0.0


def _choice(weighed: Weighed, place: int, line: Mapping[int, Weighed | None], rules: Rules) -> Choice:
    nth = 1 + sum(other.topic == weighed.topic for other in _others(place, line))
    why = reasons(weighed, nth_of_topic=nth, teller=weighed, rules=rules)
    return replace(choice_of(weighed), reasons=why, update=is_update(weighed, rules))


def _carry(press: Press, one: Near, chosen: Mapping[int, Choice], clock: Callable[[], datetime]) -> str:
    """Print the new version in the variants that wait, then put all of it on record, unless somebody acted meanwhile."""
    now, links = clock(), replace(press.links, tracked=one.mailing.tracking != "off")
    with reading(press.engine) as session:
        version = records.freshened(session, one.edition, chosen, by=PRESS, now=now)
        waiting = deliveries.waiting_proofs(session, one.mailing_id, now)
        needs = {row.id: _need(row) for row in proofs.proofs_of(session, one.edition) if row.id in waiting}
    if not needs:
        return ""
    page = ("web", Variant(segment="", language=one.digest.language, look=one.digest.look))
    fresh = proofs.printed_ahead(
        press.engine, lambda: press.printer, links, one.edition, version, [*needs.values(), page]
    )
    with writing(press.engine) as session:
        edition = desk.locked(session, one.edition)
        still = deliveries.waiting_proofs(session, one.mailing_id, clock(), lock=True) & needs.keys()
        if not still or (edition.state, edition.version) != (EditionState.SENDING, one.edition.version):
            return ""  # it was paused or cancelled, its last wave has begun, or another clock was first
        records.save_freshened(session, edition, version, chosen)
        proofs.keep(session, edition, fresh, links, now)
        session.flush()
        rows = proofs.proofs_of(session, edition)
        proofs.demand_sound(rows)
        printed = {_need(row): cast("int", row.id) for row in rows}
        instead = {old: printed[needs[old]] for old in still}
        moved = deliveries.move_on(session, one.mailing_id, instead, clock())
        desk.note(session, who=PRESS, did="freshen", edition=edition, now=now, slots=sorted(chosen), deliveries=moved)
    keep_page(press.engine, press.settings, edition)
    return f"version {version.number} for the waves to come; fresher slots: {len(chosen)}, deliveries: {moved}"


def _need(row: ProofRow) -> proofs.Need:
    return row.channel, proofs.variant_of(row)
