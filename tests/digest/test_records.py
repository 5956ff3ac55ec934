"""Editions on record: slots, versions, editors' wording, pins, and the audit."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from digest import contents, desk, digests, records
from digest.database import reading, writing
from digest.errors import NotFoundError, NotReadyError, TransitionError
from digest.models import DigestRow, EditionRow, SourceRow, StoryRow, TopicRow
from digest.values import Choice, Pick, Score

NOW = datetime(2025, 3, 6, 5, tzinfo=UTC)
STORIES = 12


@pytest.fixture
def desk_of(engine):
    """A database with twelve stories and a draft for today; returns the engine and the edition's id."""
    with writing(engine) as session:
        session.add(TopicRow(slug="korea", labels={"en": "Korea", "es": "Corea"}))
        source = SourceRow(name="daily", kind="rss", location="x", added_at=NOW)
        digest = DigestRow(slug="global", name="Global Morning", language="en", created_at=NOW)
        session.add_all([source, digest])
        session.flush()
        session.add_all([_story(source.id, n) for n in range(1, STORIES + 1)])
        session.flush()
        edition = records.start_edition(session, digest, date(2025, 3, 6), now=NOW)
        return engine, edition.id


def _story(source, number):
    return StoryRow(
        source_id=source, key=f"k{number}", headline_key=f"h{number}", headline=f"Headline {number}", teaser=f"Teaser {number}.",
        url=f"https://example.org/{number}", body="word " * 460, seen_at=NOW, changed_at=NOW, content_hash="c",
    )  # fmt: skip


def choice(number):
    score = Score(signal="recency", value=0.5, reason="3 h old")
    return Choice(id=number, cluster=0, score=0.5, signals=(score,), reasons=("3 h old",), topic="korea")


def pick_of(*numbers, left_out=()):
    return Pick(picked=tuple(choice(n) for n in numbers), left_out=tuple(choice(n) for n in left_out))


def lay_out(engine, edition_id, pick):
    with writing(engine) as session:
        records.lay_out(session, session.get(EditionRow, edition_id), pick, by="the press", now=NOW)


def stories_in(engine, edition_id):
    with reading(engine) as session:
        slots = records.slots_of(session, session.get(EditionRow, edition_id))
        assert [slot.position for slot in slots] == list(range(1, len(slots) + 1))
        return [slot.story_id for slot in slots]


def act(engine, edition_id, deed, *given, **named):
    with writing(engine) as session:
        deed(session, session.get(EditionRow, edition_id), *given, who="eva", now=NOW, **named)


def content(engine, edition_id):
    with reading(engine) as session:
        return contents.content_of(session, session.get(EditionRow, edition_id))


def test_a_pick_becomes_slots_with_the_storys_own_words(desk_of):
    lay_out(*desk_of, pick_of(3, 1, left_out=(2,)))
    assert stories_in(*desk_of) == [3, 1]
    first = content(*desk_of)["slots"][0]
    assert (first["headline"], first["teaser"], first["labels"]["es"], first["minutes"]) == (
        "Headline 3",
        "Teaser 3.",
        "Corea",
        2,
    )
    assert content(*desk_of)["left_out"][0]["headline"] == "Headline 2"


def test_the_subject_and_preheader_come_from_the_stories_until_an_editor_says_otherwise(desk_of):
    lay_out(*desk_of, pick_of(3, 1, 2))
    assert content(*desk_of)["subject"] == "Headline 3"
    assert content(*desk_of)["preheader"] == "Headline 1; Headline 2"
    act(*desk_of, desk.retitle, {"subject": "Ours"})
    lay_out(*desk_of, pick_of(1, 2))
    assert content(*desk_of)["subject"] == "Ours"


def test_a_new_pick_keeps_the_wording_of_a_story_that_is_picked_again(desk_of):
    lay_out(*desk_of, pick_of(1, 2, 3))
    act(*desk_of, desk.reword, 2, {"headline": "Said <b>our</b> way"})
    lay_out(*desk_of, pick_of(2, 4))
    assert [slot["headline"] for slot in content(*desk_of)["slots"]] == ["Said our way", "Headline 4"]


def test_an_emptied_wording_gives_the_storys_own_back(desk_of):
    lay_out(*desk_of, pick_of(1))
    act(*desk_of, desk.reword, 1, {"headline": "Ours"})
    act(*desk_of, desk.reword, 1, {"headline": ""})
    assert content(*desk_of)["slots"][0]["headline"] == "Headline 1"


def test_what_an_editor_placed_stays_placed_when_the_pick_is_made_again(desk_of):
    lay_out(*desk_of, pick_of(1, 2, 3, 4))
    act(*desk_of, desk.rearrange, [3, 1])
    lay_out(*desk_of, pick_of(5, 6, 3, 7))
    assert stories_in(*desk_of) == [3, 1, 5, 6]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.lists(st.integers(1, STORIES), unique=True, min_size=1, max_size=8), min_size=1, max_size=4),
    st.permutations(range(1, STORIES + 1)),
    st.integers(1, STORIES),
)
def test_whatever_is_picked_and_placed_positions_are_whole_and_pins_hold(desk_of, picks, wish, keep):
    engine, edition_id = desk_of
    for numbers in picks:
        lay_out(engine, edition_id, pick_of(*numbers))
        before = stories_in(engine, edition_id)
        order = [place for place in wish if place <= len(before)][:keep]
        act(engine, edition_id, desk.rearrange, order)
        assert stories_in(engine, edition_id) == [before[place - 1] for place in order]


def test_each_change_is_a_version_with_its_own_hash_and_a_line_in_the_audit(desk_of):
    lay_out(*desk_of, pick_of(1, 2))
    act(*desk_of, desk.reword, 1, {"teaser": "Ours."})
    act(*desk_of, desk.change, "hold", reason="waiting for a second source")
    with reading(desk_of[0]) as session:
        edition = session.get(EditionRow, desk_of[1])
        lines = desk.audit_of(session, edition)
    assert edition.version == 2
    assert [(line.who, line.did) for line in lines] == [("eva", "reword"), ("eva", "hold")]
    assert lines[1].detail["reason"] == "waiting for a second source"


def test_an_approved_edition_is_not_edited_but_reopened_first(desk_of):
    lay_out(*desk_of, pick_of(1, 2))
    act(*desk_of, desk.change, "approve")
    with pytest.raises(TransitionError, match="reopen it first"):
        act(*desk_of, desk.reword, 1, {"headline": "Late"})
    act(*desk_of, desk.change, "reopen")
    act(*desk_of, desk.reword, 1, {"headline": "In time"})


@pytest.mark.parametrize("order", [[], [1, 1], [4], [0]])
def test_an_order_that_names_no_slot_or_one_twice_is_refused(desk_of, order):
    lay_out(*desk_of, pick_of(1, 2, 3))
    with pytest.raises(NotFoundError, match="from 1 to 3"):
        act(*desk_of, desk.rearrange, order)


@pytest.mark.parametrize("which", ["latest", "2025-03-06", "1"])
def test_an_edition_is_found_by_word_date_or_number(desk_of, which):
    with reading(desk_of[0]) as session:
        assert records.find_edition(session, which, digest="global").id == desk_of[1]


@pytest.mark.parametrize("which", ["2025-03-07", "99", "yesterday"])
def test_an_edition_that_is_not_there_is_said_in_words(desk_of, which):
    with reading(desk_of[0]) as session, pytest.raises(NotFoundError, match=which):
        records.find_edition(session, which)


def test_an_unknown_digest_lists_those_there_are(desk_of):
    with reading(desk_of[0]) as session, pytest.raises(NotFoundError, match="There is: global"):
        digests.digest_named(session, "sport")


def test_a_digest_without_its_sender_cannot_be_sent(desk_of):
    with reading(desk_of[0]) as session:
        row = digests.digest_named(session, "global")
    with pytest.raises(NotReadyError, match="--postal-address"):
        digests.demand_ready(row, outbox_only=True)


def test_a_starting_sender_will_do_for_the_outbox_and_for_nothing_else():
    row = DigestRow(
        slug="g", name="G", from_name="G", from_address=f"g@{digests.NOWHERE}", reply_to="a@example.org",
        postal_address="1 Street", wordmark="G", colours={"ink": "#000000"}, created_at=NOW,
    )  # fmt: skip
    digests.demand_ready(row, outbox_only=True)
    with pytest.raises(NotReadyError, match="from address"):
        digests.demand_ready(row, outbox_only=False)
