"""Keeps the stories of one reading: each once, the fuller telling over the shorter, the first date over later ones."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlmodel import Session, col, or_, select

from digest.identity import canonical, headline_key, is_article, story_keys
from digest.intake import section_key, section_of
from digest.models import DigestRow, SourceRow, StoryRow
from digest.values import Reading, Story

SAME_RUN = timedelta(hours=48)  # a headline that comes back later is a column's name, not the same story
FLOOD, FLOOD_AGE = 50, timedelta(hours=48)


@dataclass(slots=True)
class Kept:
    """What became of a reading."""

    found: int = 0
    counts: Counter[str] = field(default_factory=Counter)  # new, changed, unchanged, duplicate
    notes: tuple[str, ...] = ()


def keep(session: Session, source: SourceRow, reading: Reading, *, now: datetime) -> Kept:
    """Save a reading's stories within the session's transaction; the same reading again changes nothing."""
    stories = [story for story in reading.stories if story.headline]
    keys, wanted = (
        story_keys(stories),
        session.exec(select(DigestRow.section).distinct().order_by(DigestRow.section)).all(),
    )
    shelf = _Shelf(session, source, stories, keys)
    kept, met = Kept(found=len(stories), notes=reading.notes), set[str]()
    for story, key in zip(stories, keys, strict=True):
        section = section_of(story, default=source.section, wanted=wanted)
        row = shelf.find(story, key, now)
        if row is None:
            row = shelf.put(_new_row(source, story, key, section, now))
            row.page_size, outcome = len(stories), "new"
        elif row.key in met and not (row.stub and not story.stub):
            outcome = "duplicate"
        else:
            outcome = _merge(row, source, story, section, now, size=len(stories))
            shelf.rekey(row, story, key)
        met.add(row.key)
        kept.counts[outcome] += 1
    old = sum(1 for story in stories if story.published_at and story.published_at < now - FLOOD_AGE)
    if source.last_good_at and kept.counts["new"] > FLOOD and old > FLOOD:
        kept.notes += (
            f"{kept.counts['new']} stories at once, most older than two days: the publisher's site may have moved",
        )
    return kept


class _Shelf:
    """The stories we have that one reading may tell again."""

    def __init__(self, session: Session, source: SourceRow, stories: Sequence[Story], keys: Sequence[str]) -> None:
        guids = Counter(story.guid for story in stories if story.guid)
        self.session = session
        self.source = source
        self.unique = {guid for guid, count in guids.items() if count == 1}
        family = col(SourceRow.publisher) == source.publisher if source.publisher else col(SourceRow.id) == source.id
        ours = select(SourceRow.id).where(or_(family, col(SourceRow.id) == source.id))
        headlines = {headline_key(story.headline) for story in stories}
        rows = [
            *session.exec(select(StoryRow).where(col(StoryRow.key).in_(set(keys)))),
            *session.exec(select(StoryRow).where(StoryRow.source_id == source.id, col(StoryRow.guid).in_(self.unique))),
            *session.exec(
                select(StoryRow)
                .where(col(StoryRow.source_id).in_(ours), col(StoryRow.headline_key).in_(headlines))
                .order_by(col(StoryRow.id).desc())
            ),
        ]
        self.by_key: dict[str, StoryRow] = {row.key: row for row in rows}
        self.by_guid: dict[str, StoryRow] = {
            row.guid: row for row in rows if row.guid in self.unique and row.source_id == source.id
        }
        self.by_headline: dict[str, StoryRow] = {}
        for row in rows:
            self.by_headline.setdefault(row.headline_key, row)

    def find(self, story: Story, key: str, now: datetime) -> StoryRow | None:
        """By key; by GUID where headline or date agree, as some feeds number their places; by headline where it is recent."""
        if key in self.by_key:
            return self.by_key[key]
        same = self.by_guid.get(story.guid)
        title = headline_key(story.headline)
        if same is not None and (
            same.headline_key == title or (story.published_at and same.published_at == story.published_at)
        ):
            return same
        row = self.by_headline.get(title)
        return row if row is not None and _is_same_run(row, story, now) else None

    def put(self, row: StoryRow) -> StoryRow:
        self.session.add(row)
        self.by_key[row.key] = row
        self.by_headline[row.headline_key] = row
        if row.guid in self.unique:
            self.by_guid[row.guid] = row
        return row

    def rekey(self, row: StoryRow, story: Story, key: str) -> None:
        """Know a story by its address from the moment it has one."""
        if key not in self.by_key and is_article(canonical(story.url)) and not is_article(canonical(row.url)):
            row.url, row.key = story.url, key
            self.by_key[key] = row


def _is_same_run(row: StoryRow, story: Story, now: datetime) -> bool:
    told, before = story.published_at or now, row.published_at or row.seen_at
    bare = not (is_article(canonical(story.url)) and is_article(canonical(row.url)))
    return abs(told - before) <= SAME_RUN or (bare and abs(now - row.seen_at) <= SAME_RUN)


def _new_row(source: SourceRow, story: Story, key: str, section: str, now: datetime) -> StoryRow:
    row = StoryRow(
        source_id=source.id or 0, key=key, guid=story.guid, headline_key="", headline="", url=story.url, position=story.position,
        seen_at=now, changed_at=now, content_hash="",
    )  # fmt: skip
    _write(row, story, section)
    return row


def _merge(row: StoryRow, source: SourceRow, story: Story, section: str, now: datetime, *, size: int) -> str:
    """Take in another telling: a card never replaces a story, another source never what its own source said."""
    own, completes = row.source_id == source.id, row.stub and not story.stub
    if own:
        row.position, row.page_size = story.position, size
    if story.stub and not row.stub:
        return "unchanged" if own else "duplicate"
    if not (own or completes or (story.body and not row.body)):
        return "duplicate"
    if content_hash(story) == row.content_hash:
        return "unchanged" if own else "duplicate"
    if completes and not own:
        row.source_id, row.position, row.page_size, row.guid = source.id or 0, story.position, size, story.guid
    _write(row, story, section)
    row.changed_at = now
    return "changed"


def _write(row: StoryRow, story: Story, section: str) -> None:
    """Put a telling into its row; what it does not say stays as it was told before."""
    row.headline, row.headline_key = story.headline, headline_key(story.headline)
    row.teaser, row.cut_teaser, row.body = story.teaser, story.cut_teaser, story.body or row.body
    row.stub = story.stub and not row.body
    row.section, row.section_key = section or row.section, section_key(section) or row.section_key
    row.image, row.image_alt = story.image or row.image, story.image_alt or row.image_alt
    row.author, row.language = story.author or row.author, story.language or row.language
    row.categories = list(story.categories) or row.categories
    dates = [moment for moment in (row.published_at, story.published_at) if moment]
    row.published_at = min(dates, default=None)  # a date moved up later is an update, not a new story
    row.updated_at = story.updated_at or row.updated_at
    row.content_hash = content_hash(story)


def content_hash(story: Story) -> str:
    """What a reader would notice if it changed."""
    told = f"{story.headline}\0{story.teaser}\0{story.cut_teaser}\0{story.body}"
    return hashlib.sha256(told.encode("utf-8", "replace")).hexdigest()
