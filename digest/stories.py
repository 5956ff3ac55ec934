"""The stories on record as picking wants them: grouped into lasting events, with topics and what was told before."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, cast

from sqlalchemy import ColumnElement, Engine, exists, func, not_, or_, update
from sqlmodel import Session, col, select

from digest import clusters
from digest.database import reading, writing
from digest.editions import TOLD_STATES
from digest.intake import section_key, section_of
from digest.models import (
    ClusterRow,
    DeliveryRow,
    DigestRow,
    EditionRow,
    MailingRow,
    SlotRow,
    SourceRow,
    StoryRow,
    TopicRow,
)
from digest.topics import topic_finder
from digest.values import Candidate, DeliveryState, EditionKind, Rules, Story, Told, Topic

HISTORY = timedelta(hours=clusters.NEVER_HOURS)  # an event may reach back as far as two of its stories may lie apart
TOLD_WITHIN = timedelta(days=30)
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Before:
    """A story that an earlier edition of the digest carried."""

    story: int
    cluster: int | None  # as it was then
    on: date
    at: datetime
    headline: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Desk:
    """What was read from the database for one pick; `rows` the earliest first."""

    rows: Sequence[StoryRow]
    sources: Mapping[int, SourceRow]
    topics: Sequence[Topic]
    before: Sequence[_Before]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sorting:
    """What was found out about the stories, by their ids: events, copies (of which story), topics of our section's."""

    events: Sequence[Sequence[StoryRow]]  # in each the earliest first
    copies: Mapping[int, int]
    topics: Mapping[int, tuple[str, ...]]


def topics(session: Session) -> list[Topic]:
    """The editors' table of topics, in the order it was made."""
    return [
        Topic(slug=row.slug, labels=row.labels, words=tuple(row.words), categories=tuple(row.categories))
        for row in session.exec(select(TopicRow).order_by(col(TopicRow.id)))
    ]


def save_topics(engine: Engine, table: Iterable[Topic]) -> None:
    """Write a starting table of topics where editors have none yet; a table they have is theirs and is left alone."""
    with writing(engine) as session:
        if session.exec(select(TopicRow.id)).first() is None:
            session.add_all(
                TopicRow(slug=t.slug, labels=dict(t.labels), words=list(t.words), categories=list(t.categories))
                for t in table
            )


def story_value(row: StoryRow, *, source: str = "") -> Story:
    """A stored story as the value that stations pass on; `source` is its source's name."""
    names = set(Story.__dataclass_fields__) - {"source", "topics", "categories"}
    given = {name: getattr(row, name) for name in names}
    return Story(**given, source=source, topics=tuple(row.topics), categories=tuple(row.categories))


def candidates(
    engine: Engine,
    digest: DigestRow,
    rules: Rules,
    *,
    now: datetime,
    threshold: float = clusters.THRESHOLD,
    kind: EditionKind = EditionKind.DAILY,
    exclude_edition: int | None = None,
) -> list[Candidate]:
    """
    The stories of the digest's section and language, with all that picking needs to know around them.

    Groups the stories of all sections of the last week (or of the widest window, where that is longer) into events,
    so that coverage counts; writes down events, copies and topics. `exclude_edition` is the edition being laid out:
    what it carries itself was not told before. To a `kind` weekly only earlier weekly ones are editions before, and to
    any other they are none. The database is locked only while the outcome is written.
    """
    window = timedelta(hours=max(rules.window_hours, *rules.widen_hours, 0))
    desk = _read(engine, digest, rules, since=now - max(HISTORY, window), now=now, kind=kind, exclude=exclude_edition)
    mine = [row for row in desk.rows if _in_section(row, rules.section) and _in_language(row, rules.language)]
    events = _events(desk.rows, threshold)
    find = topic_finder(desk.topics)
    sorting = _Sorting(
        events=events,
        copies=_copies(desk.rows, events),
        topics={_id(row): find(story_value(row)) for row in mine},
    )
    lasting = _write(engine, desk.rows, sorting)
    return _candidates(desk, mine, sorting, lasting)


# reading --------------------------------------------------------------------------------------------------------------


def _read(
    engine: Engine,
    digest: DigestRow,
    rules: Rules,
    *,
    since: datetime,
    now: datetime,
    kind: EditionKind,
    exclude: int | None,
) -> _Desk:
    moment = func.coalesce(col(StoryRow.published_at), col(StoryRow.seen_at))
    ours = col(StoryRow.section_key) == section_key(rules.section)
    with reading(engine) as session:
        query = select(StoryRow).where(moment >= since).order_by(ours.desc(), moment.desc(), col(StoryRow.id))
        rows = list(session.exec(query.limit(clusters.LIMIT)))
        return _Desk(
            rows=sorted(rows, key=lambda row: (_moment(row), _id(row))),
            sources={cast("int", source.id): source for source in session.exec(select(SourceRow))},
            topics=topics(session),
            before=_told_before(session, digest, kind, since=now - TOLD_WITHIN, exclude=exclude),
        )


def _told_before(
    session: Session, digest: DigestRow, kind: EditionKind, *, since: datetime, exclude: int | None
) -> list[_Before]:
    weekly = col(EditionRow.kind) == EditionKind.WEEKLY
    query = (
        select(SlotRow, StoryRow, EditionRow)
        .join(StoryRow, col(StoryRow.id) == SlotRow.story_id)
        .join(EditionRow, col(EditionRow.id) == SlotRow.edition_id)
        .where(EditionRow.digest_id == digest.id, or_(col(EditionRow.state).in_(TOLD_STATES), _reached_someone()))
        .where(col(EditionRow.created_at) >= since, col(EditionRow.id) != (exclude or 0))
        .where(weekly if kind == EditionKind.WEEKLY else not_(weekly))
        .order_by(col(SlotRow.id))
    )
    return [
        _Before(
            story=_id(story), cluster=slot.cluster_id, on=edition.local_date, headline=slot.headline or story.headline,
            at=edition.sent_at or edition.approved_at or edition.created_at, text=_text(story),
        )
        for slot, story, edition in session.exec(query)
    ]  # fmt: skip


def _reached_someone() -> ColumnElement[bool]:
    """Of an edition that was cancelled on its way: some readers have it all the same."""
    return exists().where(
        col(MailingRow.edition_id) == EditionRow.id,
        col(DeliveryRow.month) == MailingRow.month,
        col(DeliveryRow.mailing_id) == MailingRow.id,
        col(DeliveryRow.state).in_((DeliveryState.ACCEPTED, DeliveryState.AMBIGUOUS, DeliveryState.DELIVERED)),
    )


def _in_section(row: StoryRow, section: str) -> bool:
    """By the section it was filed under, else by what its label, address or categories say."""
    wanted = section_key(section)
    return wanted in ("", row.section_key) or section_key(section_of(story_value(row), wanted=[section])) == wanted


def _in_language(row: StoryRow, language: str) -> bool:
    stated, wanted = (tag.casefold().partition("-")[0] for tag in (row.language, language))
    return not stated or not wanted or stated == wanted


# grouping -------------------------------------------------------------------------------------------------------------


def _events(rows: Sequence[StoryRow], threshold: float) -> list[list[StoryRow]]:
    """The stories by event, in each the earliest first."""
    groups = clusters.group([_telling(row) for row in rows], threshold=threshold)
    if warning := clusters.crowded(groups):
        log.warning(warning)
    return _by_label(rows, groups)


def _telling(row: StoryRow) -> clusters.Telling:
    lead = clusters.lead_of(row.teaser or row.cut_teaser, row.body)
    return clusters.Telling(headline=row.headline, lead=lead, at=_moment(row))


def _copies(rows: Sequence[StoryRow], events: Sequence[Sequence[StoryRow]]) -> dict[int, int]:
    """By story the one whose text it repeats, within its event: the earliest, a whole one before a stub."""
    event_of = {_id(row): place for place, event in enumerate(events) for row in event}
    shared = [row for row in rows if len(events[event_of[_id(row)]]) > 1]
    # The lead is enough to tell a copy, and whole bodies in so small a window look alike by "the" and "of" alone.
    texts = [f"{telling.headline} {telling.lead}" for telling in map(_telling, shared)]
    copies: dict[int, int] = {}
    for alike in _by_label(shared, clusters.near_duplicates(texts)):
        for event in {event_of[_id(row)] for row in alike}:
            first, *others = sorted((row for row in alike if event_of[_id(row)] == event), key=lambda row: row.stub)
            copies.update((_id(row), _id(first)) for row in others)
    return copies


def _by_label(rows: Sequence[StoryRow], labels: Sequence[int]) -> list[list[StoryRow]]:
    groups: dict[int, list[StoryRow]] = defaultdict(list)
    for row, label in zip(rows, labels, strict=True):
        groups[label].append(row)
    return list(groups.values())


# writing --------------------------------------------------------------------------------------------------------------


def _write(engine: Engine, rows: Sequence[StoryRow], sorting: _Sorting) -> dict[int, int]:
    """Write down what changed since the last run. Returns by story the lasting id of its event."""
    events = dict(enumerate(sorting.events))
    carried = clusters.carry({place: [row.cluster_id for row in event] for place, event in events.items()})
    with writing(engine) as session:
        new = {place: ClusterRow(**_event_values(event)) for place, event in events.items() if place not in carried}
        session.add_all(new.values())
        session.flush()
        ids = carried | {place: cast("int", row.id) for place, row in new.items()}
        grown = [place for place in carried if any(row.cluster_id != ids[place] for row in events[place])]
        _update(session, ClusterRow, [{"id": ids[place], **_event_values(events[place])} for place in grown])
        lasting = {_id(row): ids[place] for place, event in events.items() for row in event}
        wanted = [(row, _story_values(row, sorting, lasting)) for row in rows]
        _update(session, StoryRow, [new for row, new in wanted if any(getattr(row, key) != new[key] for key in new)])
    return lasting


def _event_values(event: Sequence[StoryRow]) -> dict[str, Any]:
    return {
        "headline": min(event, key=lambda row: row.stub).headline,
        "first_seen_at": min(row.seen_at for row in event),
        "last_seen_at": max(row.seen_at for row in event),
    }


def _story_values(row: StoryRow, sorting: _Sorting, lasting: Mapping[int, int]) -> dict[str, Any]:
    story = _id(row)
    return {
        "id": story,
        "cluster_id": lasting[story],
        "duplicate_of": sorting.copies.get(story),
        "topics": list(sorting.topics.get(story, row.topics)),
    }


def _update(session: Session, table: type[ClusterRow | StoryRow], changes: Sequence[dict[str, Any]]) -> None:
    if changes:
        session.execute(update(table), changes)  # by primary key, many in one call


# what picking sees ----------------------------------------------------------------------------------------------------


def _candidates(
    desk: _Desk, mine: Sequence[StoryRow], sorting: _Sorting, lasting: Mapping[int, int]
) -> list[Candidate]:
    members = {lasting[_id(event[0])]: event for event in sorting.events}
    before: dict[int, list[_Before]] = defaultdict(list)
    for told in desk.before:  # where an event was split since, each part knows what readers had of it
        for cluster in {told.cluster, lasting.get(told.story)} - {None}:
            before[cast("int", cluster)].append(told)
    houses = len({_house(source) for source in desk.sources.values() if source.enabled})
    return [
        replace(
            _among(row, members[lasting[_id(row)]], desk.sources, sorting),
            cluster=lasting[_id(row)],
            sources=max(1, houses),
            told=_told(row, before[lasting[_id(row)]]),
        )
        for row in mine
    ]


def _among(row: StoryRow, event: Sequence[StoryRow], sources: Mapping[int, SourceRow], sorting: _Sorting) -> Candidate:
    """A story among the others of its event: who tells it in words of their own, who copies, who follows up."""
    own = [other for other in event if _id(other) not in sorting.copies]
    house_of = {_id(other): _house(sources[other.source_id]) for other in event}
    told_by = {house_of[_id(other)] for other in own}
    source, house = sources[row.source_id], house_of[_id(row)]
    return Candidate(
        id=_id(row),
        story=replace(story_value(row, source=source.name), topics=sorting.topics[_id(row)]),
        cluster=0,
        seen_at=row.seen_at,
        trust=source.trust,
        told_by=tuple(sorted(told_by)),
        follow_ups=sum(house_of[_id(other)] == house for other in own if other is not row),
        copies=len(set(house_of.values()) - told_by),
        page_size=row.page_size,
        copy_of=sorting.copies.get(_id(row)),
    )


def _told(row: StoryRow, before: Sequence[_Before]) -> Told | None:
    if not before:
        return None
    last = max(before, key=lambda told: told.at)
    return Told(
        on=last.on,
        headline=last.headline,
        new_share=clusters.new_share("\n".join(told.text for told in before), _text(row)),
        followed_up=_moment(row) > last.at and _id(row) not in {told.story for told in before},
    )


def _house(source: SourceRow) -> str:
    return source.publisher or source.name


def _text(row: StoryRow) -> str:
    return f"{row.headline} {row.teaser or row.cut_teaser} {row.body}"


def _moment(row: StoryRow) -> datetime:
    return row.published_at or row.seen_at


def _id(row: StoryRow) -> int:
    return cast("int", row.id)
