"""Digests and editions on record: finding them, laying a pick out in slots, and freezing each version."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Any, cast

from sqlmodel import Session, col, select

from digest import editions, windows
from digest.errors import NotFoundError, NotReadyError
from digest.links import anchor
from digest.models import (
    DigestRow,
    EditionRow,
    EditionVersionRow,
    SlotRow,
    SourceRow,
    StoryRow,
    TopicRow,
)
from digest.text import cut_at_word
from digest.values import Choice, Digest, Edition, EditionKind, Pick, Rules, Slot

WORDS_A_MINUTE = 230
LONGEST_SUBJECT = 100  # a whole headline; inboxes cut where they must, and better than we can
PREHEADER_LENGTH = 110
NOWHERE = "newsroom.invalid"
UNSET = "Postal address not set"
LONGEST_NUMBER = 9  # digits of an edition's number
MUST_HAVE = ("from_name", "from_address", "reply_to", "postal_address", "wordmark", "colours")


# digests ------------------------------------------------------------------------------------------------------------


def digest_named(session: Session, slug: str) -> DigestRow:
    """
    The digest of that name.

    Raises:
        NotFoundError: there is none; lists those there are.
    """
    row = session.exec(select(DigestRow).where(DigestRow.slug == slug)).first()
    if row is None:
        known = ", ".join(session.exec(select(DigestRow.slug).order_by(DigestRow.slug))) or "none yet; run digest init"
        raise NotFoundError(f"There is no digest named {slug!r}. There is: {known}.")
    return row


def digest_value(row: DigestRow) -> Digest:
    return Digest(
        slug=row.slug, name=row.name, language=row.language, from_name=row.from_name, from_address=row.from_address,
        reply_to=row.reply_to, postal_address=row.postal_address, wordmark=row.wordmark, colours=row.colours,
        section=row.section, look=row.look, share=tuple(row.share), utm=row.utm, image_hosts=tuple(row.image_hosts),
    )  # fmt: skip


def demand_ready(row: DigestRow, *, outbox_only: bool) -> None:
    """
    See that a digest has all it cannot be sent without.

    A new digest starts with a sender in a reserved domain, which no mail can leave from: it will do for the outbox,
    where nothing leaves the disk, and for no other transport.

    Raises:
        NotReadyError: names what is missing and how to set it.
    """
    missing = [name for name in MUST_HAVE if not getattr(row, name)]
    if not outbox_only:
        missing += [name for name in MUST_HAVE if name not in missing and _is_starting(getattr(row, name))]
    if missing:
        options = " ".join(f"--{name.replace('_', '-')} ..." for name in missing)
        raise NotReadyError(
            f"{row.name} cannot be sent without its {', '.join(name.replace('_', ' ') for name in missing)}: "
            f"digest set {row.slug} {options}"
        )


def _is_starting(value: object) -> bool:
    return isinstance(value, str) and (value.endswith(NOWHERE) or value.startswith(UNSET))


def sender_domains(session: Session) -> list[str]:
    """The domains that digests are sent from, each once."""
    return sorted({domain_of(address) for address in session.exec(select(DigestRow.from_address))} - {""})


def domain_of(address: str) -> str:
    """The domain of a sender's address; empty for the address that a new digest starts with."""
    return "" if _is_starting(address) else address.rpartition("@")[2]


def rules_of(row: DigestRow, weights: Mapping[str, float]) -> Rules:
    """How this digest picks: the house's weights, then the digest's own overrides."""
    own = {name: value for name, value in row.rules.items() if name in Rules.__dataclass_fields__}
    if "widen_hours" in own:
        own["widen_hours"] = tuple(own["widen_hours"])
    own["weights"] = {**weights, **row.rules.get("weights", {})}
    return Rules(section=row.section, size=row.size, minimum=row.minimum, short=row.short, language=row.language, **own)


# editions -----------------------------------------------------------------------------------------------------------


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
    slots = _slot_contents(session, edition)
    told = last.content["slots"] if last else []
    if edition.subject in {"", _subject(told)}:  # nobody worded it: it follows the lead
        edition.subject = _subject(slots)
    if edition.preheader in {"", _preheader(told)}:
        edition.preheader = _preheader(slots)
    content: dict[str, Any] = {
        "subject": edition.subject, "preheader": edition.preheader, "intro": edition.intro, "slots": slots,
        "left_out": _left_out(session, pick) if pick else (last.content["left_out"] if last else []),
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
    if before["preheader"] == _preheader(before["slots"]):
        content["preheader"] = _preheader(content["slots"])
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
        yield _slot_content(slot, story, source, labels.get(slot.topic, {}))


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


def versions_of(session: Session, edition: EditionRow) -> list[EditionVersionRow]:
    query = select(EditionVersionRow).where(EditionVersionRow.edition_id == edition.id)
    return list(session.exec(query.order_by(col(EditionVersionRow.number))))


def stories_told(session: Session, digest: DigestRow, *, since: datetime) -> set[int]:
    """The stories that the digest's editions, other than weekly ones, have carried to readers."""
    query = (
        select(SlotRow.story_id)
        .join(EditionRow, col(EditionRow.id) == SlotRow.edition_id)
        .where(EditionRow.digest_id == digest.id, EditionRow.kind != EditionKind.WEEKLY)
        .where(col(EditionRow.state).in_(editions.TOLD_STATES), col(EditionRow.created_at) >= since)
    )
    return set(session.exec(query))


def latest_version(session: Session, edition: EditionRow) -> EditionVersionRow | None:
    return session.exec(
        select(EditionVersionRow).where(
            EditionVersionRow.edition_id == edition.id, EditionVersionRow.number == edition.version
        )
    ).first()


def content_of(session: Session, edition: EditionRow) -> dict[str, Any]:
    version = latest_version(session, edition)
    return (
        version.content
        if version
        else {"slots": [], "left_out": [], "notes": [], "subject": "", "preheader": "", "intro": ""}
    )


def _slot_contents(session: Session, edition: EditionRow) -> list[dict[str, Any]]:
    labels = {topic.slug: topic.labels for topic in session.exec(select(TopicRow))}
    rows = session.exec(
        select(SlotRow, StoryRow, SourceRow)
        .join(StoryRow, col(StoryRow.id) == SlotRow.story_id)
        .join(SourceRow, col(SourceRow.id) == StoryRow.source_id)
        .where(SlotRow.edition_id == edition.id, SlotRow.position > 0)
        .order_by(col(SlotRow.position))
    )
    return [_slot_content(slot, story, source, labels.get(slot.topic, {})) for slot, story, source in rows]


def _slot_content(slot: SlotRow, story: StoryRow, source: SourceRow, labels: Mapping[str, str]) -> dict[str, Any]:
    return {
        "position": slot.position, "story": story.id, "kicker": slot.kicker, "labels": dict(labels),
        "headline": slot.headline or story.headline, "teaser": slot.teaser or story.teaser, "url": story.url,
        "language": story.language, "minutes": reading_minutes(story.body), "image": story.image,
        "image_alt": story.image_alt, "topic": slot.topic, "update": slot.update, "reasons": slot.reasons,
        "score": slot.score, "signals": slot.signals, "source": source.name, "pinned": slot.pinned,
        "published_at": story.published_at.isoformat() if story.published_at else None,
    }  # fmt: skip


def _left_out(session: Session, pick: Pick) -> list[dict[str, Any]]:
    ids = [choice.id for choice in pick.left_out]
    headlines: dict[int, str] = {}
    for start in range(0, len(ids), 500):
        rows = session.exec(
            select(StoryRow.id, StoryRow.headline).where(col(StoryRow.id).in_(ids[start : start + 500]))
        )
        headlines.update((cast("int", story), headline) for story, headline in rows)
    return [
        {
            "story": choice.id, "headline": headlines.get(choice.id, ""), "score": choice.score, "topic": choice.topic,
            "why_not": choice.why_not, "reasons": list(choice.reasons), "signals": [asdict(s) for s in choice.signals],
        }
        for choice in pick.left_out
    ]  # fmt: skip


def _subject(slots: Sequence[Mapping[str, Any]]) -> str:
    return cut_at_word(slots[0]["headline"], LONGEST_SUBJECT) if slots else ""


def _preheader(slots: Sequence[Mapping[str, Any]]) -> str:
    others = [slot["headline"].rstrip(".") for slot in slots[1:4]]
    whole = ""
    for headline in others:
        longer = f"{whole}; {headline}" if whole else headline
        if len(longer) > PREHEADER_LENGTH:
            break
        whole = longer
    return whole or (cut_at_word(others[0], PREHEADER_LENGTH) if others else "")


def reading_minutes(body: str) -> int:
    """Whole minutes at 230 words a minute, at least 1; 0 when there is no body to read."""
    words = len(body.split())
    return max(1, round(words / WORDS_A_MINUTE)) if words else 0


def edition_value(
    session: Session, row: EditionRow, *, language: str, web_url: str, version: EditionVersionRow | None = None
) -> Edition:
    """The edition's current version, or another one, complete enough to print, with kickers in `language`."""
    digest = session.get_one(DigestRow, row.digest_id)
    content = version.content if version else content_of(session, row)
    names = [name for name in Slot.__dataclass_fields__ if name not in {"kicker", "url"}]
    slots = tuple(
        Slot(
            **{name: slot[name] for name in names},
            kicker=slot["kicker"] or label_in(slot["labels"], language, digest.language),
            url=address_of(slot, web_url),
        )
        for slot in content["slots"]
    )
    return Edition(
        id=cast("int", row.id), version=version.number if version else row.version, kind=EditionKind(row.kind), local_date=row.local_date,
        name=row.name, subject=content["subject"], preheader=content["preheader"], intro=content["intro"],
        digest=digest_value(digest), slots=slots, web_url=web_url,
    )  # fmt: skip


def address_of(slot: Mapping[str, Any], web_url: str) -> str:
    """Where a slot's story is read: a story that came as text alone has no address but its place on the edition's page."""
    return slot["url"] or anchor(web_url, slot["position"])


def label_in(labels: Mapping[str, str], *languages: str) -> str:
    """A topic's label in the first of `languages` that has one, else in any; empty when it has none."""
    return next((labels[code] for code in languages if labels.get(code)), next(iter(labels.values()), ""))
