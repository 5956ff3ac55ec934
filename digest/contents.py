"""What an edition says: read out of its slots, kept whole in its versions, and made complete enough to print."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, cast

from sqlmodel import Session, col, select

from digest.digests import digest_value
from digest.links import anchor
from digest.models import DigestRow, EditionRow, EditionVersionRow, SlotRow, SourceRow, StoryRow, TopicRow
from digest.text import cut_at_word
from digest.values import Edition, EditionKind, Pick, Slot

WORDS_A_MINUTE = 230
LONGEST_SUBJECT = 100  # a whole headline; inboxes cut where they must, and better than we can
PREHEADER_LENGTH = 110


def versions_of(session: Session, edition: EditionRow) -> list[EditionVersionRow]:
    query = select(EditionVersionRow).where(EditionVersionRow.edition_id == edition.id)
    return list(session.exec(query.order_by(col(EditionVersionRow.number))))


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


def slot_contents(session: Session, edition: EditionRow) -> list[dict[str, Any]]:
    labels = {topic.slug: topic.labels for topic in session.exec(select(TopicRow))}
    rows = session.exec(
        select(SlotRow, StoryRow, SourceRow)
        .join(StoryRow, col(StoryRow.id) == SlotRow.story_id)
        .join(SourceRow, col(SourceRow.id) == StoryRow.source_id)
        .where(SlotRow.edition_id == edition.id, SlotRow.position > 0)
        .order_by(col(SlotRow.position))
    )
    return [slot_content(slot, story, source, labels.get(slot.topic, {})) for slot, story, source in rows]


def slot_content(slot: SlotRow, story: StoryRow, source: SourceRow, labels: Mapping[str, str]) -> dict[str, Any]:
    return {
        "position": slot.position, "story": story.id, "kicker": slot.kicker, "labels": dict(labels),
        "headline": slot.headline or story.headline, "teaser": slot.teaser or story.teaser, "url": story.url,
        "language": story.language, "minutes": reading_minutes(story.body), "image": story.image,
        "image_alt": story.image_alt, "topic": slot.topic, "update": slot.update, "reasons": slot.reasons,
        "score": slot.score, "signals": slot.signals, "source": source.name, "pinned": slot.pinned,
        "published_at": story.published_at.isoformat() if story.published_at else None,
    }  # fmt: skip


def left_out(session: Session, pick: Pick) -> list[dict[str, Any]]:
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


def subject_of(slots: Sequence[Mapping[str, Any]]) -> str:
    return cut_at_word(slots[0]["headline"], LONGEST_SUBJECT) if slots else ""


def preheader_of(slots: Sequence[Mapping[str, Any]]) -> str:
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
