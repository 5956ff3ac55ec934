"""The stories on record as picking wants them, on both databases."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from sqlmodel import select

from digest.database import reading, writing
from digest.identity import headline_key
from digest.models import ClusterRow, DigestRow, EditionRow, SlotRow, SourceRow, StoryRow, TopicRow
from digest.picking import pick
from digest.stories import candidates, save_topics, story_value, topics
from digest.topics import DEFAULT_TOPICS
from digest.values import EditionState, Rules, Topic

NOW = datetime(2025, 3, 6, 6, tzinfo=UTC)
RULES = Rules(section="Global", language="en")
DAM = "Dam on the Orla river gives way after a night of rain"
DAM_LEAD = "Two villages below the dam on the Orla were evacuated before dawn; nobody was hurt, the governor said."
AGAIN = "Villages evacuated as Orla dam breaks"
AGAIN_LEAD = "The dam on the Orla river gave way after heavy rain, and two villages were evacuated; nobody was hurt."
CHESS = "Chess federation moves its final to Tbilisi"


@pytest.fixture
def house(engine):
    """A digest and three sources: two papers of their own and one that belongs to the first."""
    with writing(engine) as session:
        session.add(DigestRow(id=1, slug="global", name="Global", created_at=NOW))
        for number, (name, publisher) in enumerate((("daily", ""), ("wire", ""), ("daily-late", "daily")), start=1):
            session.add(
                SourceRow(
                    id=number,
                    name=name,
                    kind="rss",
                    location=name,
                    publisher=publisher,
                    trust=number / 10,
                    added_at=NOW,
                )
            )
    return engine


def save(engine, headline, teaser="", *, source=1, hours=2.0, section="Global", **fields):
    """Store one story; returns its number."""
    moment = NOW - timedelta(hours=hours)
    row = StoryRow(
        **{
            "source_id": source, "key": sha256(f"{source}{headline}{hours}".encode()).hexdigest(), "headline": headline,
            "headline_key": headline_key(headline), "teaser": teaser, "section": section,
            "section_key": section.casefold(), "url": f"https://example.org/{source}/{hours}", "published_at": moment,
            "seen_at": moment, "changed_at": moment, "content_hash": "", **fields,
        }
    )  # fmt: skip
    with writing(engine) as session:
        session.add(row)
    return row.id


def candidates_of(engine, *, now=NOW, rules=RULES, **options):
    with reading(engine) as session:
        digest = session.exec(select(DigestRow).where(DigestRow.slug == "global")).one()
    return {found.id: found for found in candidates(engine, digest, rules, now=now, **options)}


def carry_in_an_edition(engine, *stories, state=EditionState.SENT, at=NOW, digest=1):
    with writing(engine) as session:
        day = at.date()
        edition = EditionRow(
            digest_id=digest, local_date=day, state=state, deadline_at=at, created_at=at, approved_at=at
        )
        session.add(edition)
        session.flush()
        for position, story in enumerate(stories, start=1):
            cluster = session.get_one(StoryRow, story).cluster_id
            session.add(SlotRow(edition_id=edition.id, story_id=story, cluster_id=cluster, position=position))
    return edition.id


def stored(engine, story):
    with reading(engine) as session:
        return session.get_one(StoryRow, story)


def test_only_the_section_is_offered_but_every_section_counts_as_coverage(house):
    dam = save(house, DAM, DAM_LEAD)
    save(house, AGAIN, AGAIN_LEAD, source=2, section="Weather")
    found = candidates_of(house)
    assert set(found) == {dam}
    assert found[dam].told_by == ("daily", "wire")
    assert found[dam].sources == 2
    assert found[dam].trust == 0.1


def test_the_section_may_be_said_by_the_label_the_category_or_the_address(house):
    label = save(house, "One", section="GLOBAL")
    category = save(house, "Two", section="News", categories=["Global"])
    address = save(house, "Three", section="News", url="https://example.org/global/three")
    save(house, "Four", section="Sport", url="https://example.org/sport/global")
    assert set(candidates_of(house)) == {label, category, address}
    assert len(candidates_of(house, rules=replace(RULES, section=""))) == 4


def test_a_story_in_another_language_is_left_alone_and_one_that_states_none_is_offered(house):
    save(house, "Uno", language="es")
    british, unsaid = save(house, "One", language="en-GB"), save(house, "Two")
    assert set(candidates_of(house)) == {british, unsaid}
    assert len(candidates_of(house, rules=replace(RULES, language=""))) == 3


def test_a_story_older_than_a_week_is_not_read_and_an_undated_one_counts_from_when_it_was_met(house):
    save(house, "Old", hours=200)
    undated = save(house, "Undated", published_at=None)
    assert set(candidates_of(house)) == {undated}


def test_the_publishers_own_further_stories_and_copies_by_others_are_told_apart(house):
    dam = save(house, DAM, DAM_LEAD, hours=5)
    copy = save(house, DAM, "LUMEN, Wednesday. " + DAM_LEAD, source=2, hours=4)
    late = save(house, AGAIN, AGAIN_LEAD, source=3, hours=3)
    found = candidates_of(house)
    assert len({found[story].cluster for story in (dam, copy, late)}) == 1
    assert found[copy].copy_of == dam
    assert (found[dam].told_by, found[dam].follow_ups, found[dam].copies) == (("daily",), 1, 1)
    assert stored(house, copy).duplicate_of == dam
    assert stored(house, dam).duplicate_of is None


def test_a_whole_story_is_not_called_a_copy_of_a_stub(house):
    stub = save(house, DAM, source=1, hours=5, stub=True, cut_teaser=DAM_LEAD)
    whole = save(house, DAM, DAM_LEAD, source=2, hours=4)
    found = candidates_of(house)
    assert found[stub].copy_of == whole
    assert found[whole].copy_of is None


def test_topics_come_from_the_editors_table_and_follow_its_changes(house):
    save_topics(house, DEFAULT_TOPICS)
    story = save(house, "Kyiv rebuilds its oldest bridge")
    assert candidates_of(house)[story].story.topics == ("ukraine",)
    with writing(house) as session:
        session.exec(select(TopicRow).where(TopicRow.slug == "ukraine")).one().words = []
        session.add(TopicRow(slug="bridges", labels={"en": "Bridges"}, words=["bridge"]))
    assert candidates_of(house)[story].story.topics == ("bridges",)
    assert stored(house, story).topics == ["bridges"]


def test_a_starting_table_is_written_once_and_never_over_the_editors_own(house):
    save_topics(house, DEFAULT_TOPICS)
    with reading(house) as session:
        assert tuple(topics(session)) == DEFAULT_TOPICS
    with writing(house) as session:
        for row in session.exec(select(TopicRow)):
            session.delete(row)
        session.add(TopicRow(slug="own", labels={"en": "Own"}))
    save_topics(house, DEFAULT_TOPICS)
    with reading(house) as session:
        assert topics(session) == [Topic(slug="own", labels={"en": "Own"})]


def test_an_event_keeps_its_id_from_run_to_run_and_grows(house):
    dam = save(house, DAM, DAM_LEAD)
    chess = save(house, CHESS)
    first = candidates_of(house)
    again = save(house, AGAIN, AGAIN_LEAD, source=2, hours=1, seen_at=NOW)
    second = candidates_of(house)
    assert second[dam].cluster == second[again].cluster == first[dam].cluster
    assert second[chess].cluster == first[chess].cluster != first[dam].cluster
    with reading(house) as session:
        event = session.get_one(ClusterRow, first[dam].cluster)
        assert (event.headline, event.last_seen_at) == (DAM, NOW)
        assert len(session.exec(select(ClusterRow)).all()) == 2


def test_the_same_stories_and_clock_give_the_same_candidates(house):
    for number in range(6):
        save(house, f"{CHESS} {number}", source=1 + number % 3, hours=number)
    assert candidates_of(house) == candidates_of(house)


def test_an_event_that_an_edition_carried_is_told_and_another_digests_edition_does_not_count(house):
    dam, chess = save(house, DAM, DAM_LEAD), save(house, CHESS)
    candidates_of(house)
    with writing(house) as session:
        session.add(DigestRow(id=2, slug="other", name="Other", created_at=NOW))
    carry_in_an_edition(house, dam, at=NOW - timedelta(hours=1))
    carry_in_an_edition(house, chess, at=NOW - timedelta(hours=1), digest=2)
    found = candidates_of(house)
    assert (found[dam].told.new_share, found[dam].told.followed_up, found[dam].told.headline) == (0.0, False, DAM)
    assert found[chess].told is None


@pytest.mark.parametrize(
    ("state", "is_told"),
    [("draft", False), ("review", False), ("held", False), ("skipped", False), ("cancelled", False),
     ("approved", True), ("sending", True), ("paused", True), ("sent", True)],
)  # fmt: skip
def test_only_what_was_approved_for_readers_counts_as_told(house, state, is_told):
    dam = save(house, DAM, DAM_LEAD)
    edition = carry_in_an_edition(house, dam, state=EditionState(state))
    assert (candidates_of(house)[dam].told is not None) == is_told
    assert candidates_of(house, exclude_edition=edition)[dam].told is None


def test_the_next_telling_of_a_told_event_is_told_too_unless_it_is_newer_and_says_enough_that_is_new(house):
    dam = save(house, DAM, DAM_LEAD, hours=30)
    candidates_of(house)
    sent = NOW - timedelta(hours=24)
    carry_in_an_edition(house, dam, at=sent)
    same = save(house, DAM, DAM_LEAD + " Roads stay closed.", source=2, hours=20)
    late = save(house, AGAIN, AGAIN_LEAD, source=2, hours=26)
    update = save(
        house, "Orla dam: engineers had warned of the cracks", source=2, hours=3,
        teaser="Letters show that the dam on the Orla river had cracks two years before rain made it give way.",
        body="The ministry confirmed that three inspections of the Orla dam were put off. Villages stay evacuated.",
    )  # fmt: skip
    found = candidates_of(house)
    assert {found[story].cluster for story in (same, late, update)} == {found[dam].cluster}
    assert found[same].told.followed_up
    assert found[same].told.new_share < 0.4
    assert not found[late].told.followed_up
    assert found[update].told.followed_up
    assert found[update].told.new_share > 0.4
    assert found[update].told.on == sent.date()
    result = pick(list(found.values()), RULES, now=NOW)
    assert [(choice.id, choice.update) for choice in result.picked] == [(update, True)]


def test_what_was_told_stays_told_when_its_story_has_left_the_window(house):
    dam = save(house, DAM, DAM_LEAD, hours=160)
    again = save(house, AGAIN, AGAIN_LEAD, source=2, hours=150)
    candidates_of(house)
    assert stored(house, again).cluster_id == stored(house, dam).cluster_id
    carry_in_an_edition(house, dam, at=NOW - timedelta(hours=150))
    assert set(candidates_of(house, now=NOW + timedelta(hours=12))) == {again}
    assert candidates_of(house, now=NOW + timedelta(hours=12))[again].told is not None


def test_a_stored_story_becomes_the_value_it_was(house):
    number = save(house, DAM, DAM_LEAD, author="Ana", categories=["Weather"], position=3, stub=True, topics=["climate"])
    story = story_value(stored(house, number), source="daily")
    assert (story.headline, story.teaser, story.author, story.source) == (DAM, DAM_LEAD, "Ana", "daily")
    assert (story.categories, story.topics, story.position, story.stub) == (("Weather",), ("climate",), 3, True)
    assert story.published_at == NOW - timedelta(hours=2)


def test_an_empty_house_has_no_candidates(house):
    assert candidates_of(house) == {}
