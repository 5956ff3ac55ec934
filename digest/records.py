"""Editions on record: finding them, laying a pick out in slots, and freezing each version."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Any, cast

from sqlmodel import Session, col, select

from digest import editions, windows
from digest.contents import content_of, latest_version, left_out, preheader_of, slot_content, slot_contents, subject_of
from digest.digests import digest_named
from digest.errors import NotFoundError
from digest.models import DigestRow, EditionRow, EditionVersionRow, SlotRow, SourceRow, StoryRow, TopicRow
from digest.values import Choice, EditionKind, Pick

LONGEST_NUMBER = 9  # digits of an edition's number


def find_edition(session: Session, which: str, *, digest: str = "") -> EditionRow:
    """
    An edition by "latest", its date (2026-11-23), or its number.

    Raises:
        NotFoundError: there is none like that.
    """
    query = select(EditionRow).order_by(col(EditionRow.local_date).desc(), col(EditionRow.id).desc())
    if digest:
        query = query.where(EditionRow.digest_id == digest_named(session, digest).id)
    if which != "latest":
        query = query.where(_matches(which))
    row = session.exec(query).first()
    if row is None:
        raise NotFoundError(
            f"There is no edition {which!r}. See digest editions list; assemble one with digest assemble."
        )
    return row


def _matches(which: str) -> Any:
    if which.isascii() and which.isdecimal() and len(which) <= LONGEST_NUMBER:
        return col(EditionRow.id) == int(which)
    try:
        return col(EditionRow.local_date) == date.fromisoformat(which)
    except ValueError:
        raise NotFoundError(
            f"{which!r} names no edition: use latest, a date such as 2026-11-23, or a number."
        ) from None


def edition_on(
    session: Session, digest: DigestRow, day: date, kind: str = EditionKind.DAILY, name: str = ""
) -> EditionRow | None:
    return session.exec(
        select(EditionRow).where(
            EditionRow.digest_id == digest.id,
            EditionRow.kind == kind,
            EditionRow.local_date == day,
            EditionRow.name == name,
        )
    ).first()


def start_edition(
    session: Session, digest: DigestRow, day: date, *, now: datetime, kind: str = EditionKind.DAILY, name: str = ""
) -> EditionRow:
    """
    A draft for that day with no stories yet, not saved as a version.

    Its deadline and fallback are the digest's of this moment; where the digest has a cadence, the cadence says them.
    """
    row = EditionRow(
        digest_id=cast("int", digest.id), kind=kind, local_date=day, name=name, fallback=digest.fallback, created_at=now,
        version=0, deadline_at=windows.instant(day, digest.deadline, digest.zone),
    )  # fmt: skip
    session.add(row)
    session.flush()
    return row


def lay_out(session: Session, edition: EditionRow, pick: Pick, *, by: str, now: datetime) -> None:
    """
    Put a pick into the edition's slots.

    A slot that an editor pinned keeps its place; a story that is picked again keeps the editor's wording.
    """
    before = {slot.story_id: slot for slot in slots_of(session, edition)}
    line = _line_up([slot for slot in before.values() if slot.pinned], pick.picked)
    kept = {item.story_id if isinstance(item, SlotRow) else item.id for item in line}
    for story, slot in before.items():
        if story not in kept:
            session.delete(slot)
    for position, item in enumerate(line, start=1):
        if isinstance(item, Choice):
            slot = before.get(item.id) or SlotRow(edition_id=cast("int", edition.id), story_id=item.id, position=0)
            _set_choice(slot, item)
        else:
            slot = item
        slot.position = position
        session.add(slot)
    session.flush()
    save_version(session, edition, by=by, now=now, pick=pick)


def _line_up(pinned: Sequence[SlotRow], picked: Sequence[Choice]) -> list[SlotRow | Choice]:
    held = {slot.story_id for slot in pinned}
    fresh = [choice for choice in picked if choice.id not in held]
    line: list[SlotRow | Choice] = [*fresh[: max(0, len(picked) - len(pinned))]]
    for slot in sorted(pinned, key=lambda slot: slot.position):
        line.insert(slot.position - 1, slot)
    return line


def _set_choice(slot: SlotRow, choice: Choice) -> None:
    slot.cluster_id, slot.topic, slot.update = choice.cluster or None, choice.topic, choice.update
    slot.score, slot.reasons = choice.score, list(choice.reasons)
    slot.signals = [asdict(score) for score in choice.signals]


def slots_of(session: Session, edition: EditionRow) -> list[SlotRow]:
    here = (SlotRow.edition_id == edition.id, SlotRow.position > 0)
    return list(session.exec(select(SlotRow).where(*here).order_by(col(SlotRow.position))))


def save_version(
    session: Session,
    edition: EditionRow,
    *,
    by: str,
    now: datetime,
    pick: Pick | None = None,
    allowed: Sequence[int] | None = None,
) -> EditionVersionRow:
    """
    Freeze what the edition says now as its next version; the left-out stories travel along from the last pick, and so do
    those of them that are `allowed`, unless others are named.
    """
    last = latest_version(session, edition)
    slots = slot_contents(session, edition)
    told = last.content["slots"] if last else []
    if edition.subject in {"", subject_of(told)}:  # nobody worded it: it follows the lead
        edition.subject = subject_of(slots)
    if edition.preheader in {"", preheader_of(told)}:
        edition.preheader = preheader_of(slots)
    content: dict[str, Any] = {
        "subject": edition.subject, "preheader": edition.preheader, "intro": edition.intro, "slots": slots,
        "left_out": left_out(session, pick) if pick else (last.content["left_out"] if last else []),
        "notes": list(pick.notes) if pick else (last.content["notes"] if last else []),
    }  # fmt: skip
    _allow(content, last.content.get("allowed", []) if last and allowed is None else allowed or [])
    edition.version += 1
    edition.content_hash = editions.content_hash(content)
    version = EditionVersionRow(
        edition_id=cast("int", edition.id), number=edition.version, content=content,
        content_hash=edition.content_hash, by=by, at=now,
    )  # fmt: skip
    session.add_all([edition, version])
    session.flush()
    return version


def _allow(content: dict[str, Any], allowed: Sequence[int]) -> None:
    """Of those stories let in the ones that are left out; where there are none, the content says nothing of it."""
    left_out = {story["story"] for story in content["left_out"]}
    content["allowed"] = [story for story in allowed if story in left_out]
    if not content["allowed"]:
        del content["allowed"]


def freshened(
    session: Session, edition: EditionRow, chosen: Mapping[int, Choice], *, by: str, now: datetime
) -> EditionVersionRow:
    """
    The edition's next version with other stories at some positions, and all else word for word; not saved.

    A preheader that nobody worded follows the stories; the subject is that of the first slot, which stays.
    """
    before = content_of(session, edition)
    there = {slot["position"]: slot for slot in before["slots"]}
    slots = there | {slot["position"]: slot for slot in _fresh_contents(session, edition, chosen)}
    gone = {choice.id for choice in chosen.values()}
    content = {
        **before,
        "slots": list(slots.values()),
        "left_out": [story for story in before["left_out"] if story["story"] not in gone],
        "notes": [*before["notes"], *[_took_place(there[at], slots[at], now) for at in chosen]],
    }
    if before["preheader"] == preheader_of(before["slots"]):
        content["preheader"] = preheader_of(content["slots"])
    _allow(content, before.get("allowed", []))
    return EditionVersionRow(
        edition_id=cast("int", edition.id), number=edition.version + 1, content=content,
        content_hash=editions.content_hash(content), by=by, at=now,
    )  # fmt: skip


def _fresh_contents(session: Session, edition: EditionRow, chosen: Mapping[int, Choice]) -> Iterator[dict[str, Any]]:
    labels = {topic.slug: topic.labels for topic in session.exec(select(TopicRow))}
    for position, choice in chosen.items():
        story = session.get_one(StoryRow, choice.id)
        source = session.get_one(SourceRow, story.source_id)
        slot = _new_slot(edition, position, choice)
        yield slot_content(slot, story, source, labels.get(slot.topic, {}))


def _new_slot(edition: EditionRow, position: int, choice: Choice) -> SlotRow:
    slot = SlotRow(edition_id=cast("int", edition.id), story_id=choice.id, position=position)
    _set_choice(slot, choice)
    return slot


def _took_place(before: Mapping[str, Any], after: Mapping[str, Any], now: datetime) -> str:
    return f"At {now:%H:%M} UTC “{after['headline']}” took the place of “{before['headline']}”, for the waves to come."


def save_freshened(
    session: Session, edition: EditionRow, version: EditionVersionRow, chosen: Mapping[int, Choice]
) -> None:
    """Make a `freshened` version the edition's own. The stories that gave way stay on record as told."""
    for slot in slots_of(session, edition):
        if slot.position in chosen:
            session.add(_new_slot(edition, slot.position, chosen[slot.position]))
            slot.position = 0
            session.add(slot)
    edition.version, edition.content_hash = version.number, version.content_hash
    edition.preheader = version.content["preheader"]
    session.add_all([edition, version])
    session.flush()


def stories_told(session: Session, digest: DigestRow, *, since: datetime) -> set[int]:
    """The stories that the digest's editions, other than weekly ones, have carried to readers."""
    query = (
        select(SlotRow.story_id)
        .join(EditionRow, col(EditionRow.id) == SlotRow.edition_id)
        .where(EditionRow.digest_id == digest.id, EditionRow.kind != EditionKind.WEEKLY)
        .where(col(EditionRow.state).in_(editions.TOLD_STATES), col(EditionRow.created_at) >= since)
    )
    return set(session.exec(query))
