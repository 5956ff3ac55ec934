"""Fresher stories in later waves: only what the approver allowed, once, as a version of its own that can be named and replayed."""

import json
import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes, policy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlmodel import SQLModel, col, delete, select
from typer.testing import CliRunner

from digest import contents, deliveries, desk, freshening, press, records, rehearsal, replaying, tracking
from digest.__main__ import app
from digest.cadence_form import CadenceError
from digest.database import open_engine, reading, writing
from digest.editions import content_hash
from digest.errors import NotFoundError, TransitionError
from digest.freshening import exchanges
from digest.gathering import gather
from digest.leading import LostError, as_leader, lead
from digest.models import (
    AuditRow,
    BatchRow,
    CadenceRow,
    DeliveryRow,
    DigestRow,
    EditionRow,
    ProofRow,
    StoryRow,
    TopicRow,
)
from digest.values import Rules
from digest.web.site import build
from digest.weighing import is_told, weigh_all
from tests.answering import answering
from tests.digest.test_picking import NOW, story, told
from tests.mornings import MINUTE, moment, newsroom
from tests.mornings import story as told_by_source

STORIES, SIZE = 9, 6
BEGAN = datetime(2025, 3, 10, 4, 30, tzinfo=UTC)
PEOPLE, VERSIONS = (SQLModel.metadata.tables[name] for name in ("subscriber", "edition_version"))


@pytest.fixture
def room(migrated_url, tmp_path):
    """Ana reads at seven in Madrid, Ben at seven in New York, which is noon in Madrid."""
    room = newsroom(tmp_path / "home", migrated_url, BEGAN, size=SIZE)
    with writing(room.press.engine) as session:
        for reader, zone in ((1, "Europe/Madrid"), (2, "America/New_York")):
            session.connection().execute(PEOPLE.update().where(PEOPLE.c.id == reader).values(zone=zone))
    room.schedule(at="07:00", zone="Europe/Madrid", local="yes", fresher="yes", fallback="hold", undo="5m")
    return room


def feed(room, **changes):
    """The day's stories; those named by their numbers have another text."""
    items = [told_by_source(moment("06:00", 0), number) for number in range(1, STORIES + 1)]
    for name, words in changes.items():
        items[int(name[1:]) - 1]["content_text"] = items[int(name[1:]) - 1]["summary"] = words
    whole = {"version": "https://jsonfeed.org/version/1.1", "title": "Global", "language": "en", "items": items}
    room.source.write_text(json.dumps(whole), encoding="utf-8")


def content(room):
    with reading(room.press.engine) as session:
        return contents.content_of(session, room.editions[0])


def allow(room, *numbers):
    with writing(room.press.engine) as session:
        edition = desk.locked(session, room.editions[0])
        return desk.allow(session, edition, numbers, who="ana", now=room.now)


def sent_first(room, duty, *allowed, pins=()):
    """The morning until Ana has the edition and Ben is still to get it."""
    room.now = moment("06:00", 0)
    feed(room)
    room.look(duty)
    if pins:
        with writing(room.press.engine) as session:
            for slot in records.slots_of(session, room.editions[0]):
                slot.pinned = slot.position in pins
                session.add(slot)
    allow(room, *allowed)
    press.approve(room.press, room.editions[0], who="ana", now=room.now)
    for clock in ("06:05", "07:00"):
        step(room, duty, clock)
    assert [mail.split()[1] for mail in room.mails()] == ["ana@example.net"]


def step(room, duty, clock):
    room.now = moment(clock, 0)
    room.look(duty)


def numbered(room, place):
    """The number in the feed of the left-out story of that place."""
    with reading(room.press.engine) as session:
        row = session.get(StoryRow, content(room)["left_out"][place - 1]["story"])
    return int(row.guid.rpartition("-")[2])


def update(room, place, words="Things have moved on since the morning, and much is new in the matter of the ferries."):
    feed(room, **{f"n{numbered(room, place)}": words})


def versions(room):
    with reading(room.press.engine) as session:
        return contents.versions_of(session, room.editions[0])


def told_to(room):
    """By reader the headlines of the mail they got, as text."""
    found = {}
    for file in room.press.settings.outbox_folder.rglob("*.eml"):
        mail = message_from_bytes(file.read_bytes(), policy=policy.default)
        text = mail.get_body(("plain",)).get_content()
        found[str(mail["To"])] = re.sub(r"\s+", " ", text)
    return found


def test_a_rehearsal_runs_later_waves_with_what_the_house_has_gathered_since(room, tmp_path):
    def rehearsed(name):
        run = rehearsal.rehearse(room.press, "global", date(2025, 3, 10), tmp_path / name)
        copy = open_engine(f"sqlite:///{tmp_path / name / 'digest.sqlite'}")
        with reading(copy) as session:
            edition = session.get(EditionRow, run.edition.id)
            return run, contents.versions_of(session, edition), contents.content_of(session, edition)

    feed(room)
    gather(room.press.engine, room.press.settings, now=moment("06:00", 0))
    run, before, plain = rehearsed("plain")
    assert any("later waves may carry: 3, all allowed" in act.words for act in run.acts)
    runner_up = plain["left_out"][1]
    with reading(room.press.engine) as session:
        number = int(session.get(StoryRow, runner_up["story"]).guid.rpartition("-")[2])
    feed(
        room, **{f"n{number}": "Things have moved on since the morning, and much is new in the matter of the ferries."}
    )
    gather(room.press.engine, room.press.settings, now=moment("11:00", 0))
    room.source.unlink()  # nobody reads it any more

    run, after, fresh = rehearsed("fresh")
    (said,) = [act for act in run.acts if "fresher slots: 1" in act.words]
    assert said.at == moment("11:57", 0)
    assert len(after) == len(before) + 1
    assert runner_up["headline"] in {slot["headline"] for slot in fresh["slots"][3:]}
    mails = {
        str(mail["To"]): re.sub(r"\s+", " ", mail.get_body(("plain",)).get_content())
        for file in (tmp_path / "fresh" / "outbox").rglob("*.eml")
        for mail in [message_from_bytes(file.read_bytes(), policy=policy.default)]
    }
    assert [runner_up["headline"] in mails[f"{who}@example.net"] for who in ("ana", "ben")] == [False, True]
    assert run.edition.state == "sent"
    assert room.editions == []


def test_a_later_wave_carries_the_runner_up_that_was_updated_and_the_earlier_one_keeps_its_own(room, tmp_path):
    with room.watch() as duty:
        sent_first(room, duty, 2)
        before, first = content(room), versions(room)[-1]
        runner_up = before["left_out"][1]
        update(room, 2)
        step(room, duty, "11:56")
        assert len(versions(room)) == first.number
        room.until(duty, "12:00", step=MINUTE)
    after, last = content(room), versions(room)[-1]
    assert (last.number, last.by) == (first.number + 1, "the press")
    assert moment("11:57", 0) <= last.at <= moment("11:58", 0)
    assert last.content_hash == content_hash(last.content) != first.content_hash
    swapped = [one["position"] for one, other in zip(after["slots"], before["slots"], strict=True) if one != other]
    assert len(swapped) == 1
    assert swapped[0] > 3
    (gone,) = (slot["headline"] for slot in before["slots"] if slot["position"] == swapped[0])
    mails = told_to(room)
    assert runner_up["headline"] in mails["ben@example.net"]
    assert gone not in mails["ben@example.net"]
    assert runner_up["headline"] not in mails["ana@example.net"]
    assert gone in mails["ana@example.net"]
    assert runner_up["story"] not in after.get("allowed", [])
    assert room.states == ["10 daily sent"]
    assert deliveries.readers_of_versions(room.press.engine, 1) == {first.number: (1, 0), last.number: (1, 0)}
    replaying.replay(room.press, room.editions[0], tmp_path / "again")
    assert written(tmp_path / "again") == written(room.press.settings.outbox_folder)
    page = room.press.settings.outbox_folder / "global" / "2025-03-10" / "web" / "index.html"
    assert runner_up["headline"] in page.read_text()
    with answering(build(room.press, clock=lambda: room.now)) as site:
        served = site.get("/e/global/2025-03-10")
    assert (served.status_code, served.text) == (200, page.read_text())
    with reading(room.press.engine) as session:
        told_stories = records.stories_told(session, session.get(DigestRow, 1), since=BEGAN - timedelta(days=1))
        audit = session.exec(select(AuditRow).where(AuditRow.did == "freshen")).all()
    assert told_stories == {slot["story"] for slot in [*before["slots"], *after["slots"]]}
    assert [(row.who, row.detail["slots"], row.detail["deliveries"]) for row in audit] == [("the press", swapped, 1)]


def written(folder):
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*.eml")}


@pytest.mark.parametrize("why", ["nothing allowed", "nothing new", "paused", "cancelled", "not wanted", "all pinned"])
def test_a_later_wave_carries_the_same_where(room, why):
    with room.watch() as duty:
        allowed = () if why == "nothing allowed" else (1, 2)
        sent_first(room, duty, *allowed, pins=range(1, SIZE + 1) if why == "all pinned" else ())
        before = len(versions(room))
        if why != "nothing new":
            update(room, 1)
        if why in {"paused", "cancelled"}:
            verb = {"paused": "pause", "cancelled": "cancel"}[why]
            press.move_edition(room.press, room.editions[0], verb, who="ana", now=room.now)
        if why == "not wanted":
            room.schedule(fresher="no")
        for clock in ("11:57", "11:59", "12:00"):
            step(room, duty, clock)
    assert len(versions(room)) == before
    with reading(room.press.engine) as session:
        assert len(session.exec(select(ProofRow.version).distinct()).all()) == 1


def test_the_first_wave_carries_what_was_approved(room):
    with room.watch() as duty:
        room.now = moment("06:00", 0)
        feed(room)
        room.look(duty)
        allow(room, 1)
        press.approve(room.press, room.editions[0], who="ana", now=room.now)
        step(room, duty, "06:05")
        with writing(room.press.engine) as session:
            session.connection().execute(VERSIONS.update().values(at=moment("05:00", 0)))
        update(room, 1)
        approved = len(versions(room))
        for clock in ("06:58", "07:00"):
            step(room, duty, clock)
        assert len(versions(room)) == approved
        step(room, duty, "11:58")
        assert len(versions(room)) == approved + 1


def near(room):
    with reading(room.press.engine) as session:
        (one,) = freshening.near(session, room.now)
    return one


def test_a_clock_that_lost_the_lead_changes_nothing_and_two_make_one_version(room):
    with room.watch() as duty:
        sent_first(room, duty, 1)
        update(room, 1)
    room.now = moment("11:58", 0)
    one, other = near(room), near(room)
    old = lead(room.press.engine, "first", now=room.now)
    lead(room.press.engine, "second", now=room.now + timedelta(minutes=1))
    before = ledger(room)
    with pytest.raises(LostError), as_leader(old):
        freshening.freshen(room.press, one, clock=lambda: room.now)
    assert ledger(room) == before
    assert "fresher slots: 1, deliveries: 1" in freshening.freshen(room.press, one, clock=lambda: room.now)
    once = ledger(room)
    assert freshening.freshen(room.press, other, clock=lambda: room.now) == ""
    assert ledger(room) == once != before
    with reading(room.press.engine) as session:
        assert freshening.near(session, room.now) == []


def ledger(room):
    with reading(room.press.engine) as session:
        rows = session.exec(select(DeliveryRow).order_by(col(DeliveryRow.number))).all()
        return [(row.number, row.proof_id, row.state) for row in rows], [row.number for row in versions(room)]


def test_what_was_tried_or_is_in_hand_keeps_its_proof(room):
    with room.watch() as duty:
        sent_first(room, duty, 1)
        update(room, 1)
    room.now = moment("11:58", 0)
    one, before = near(room), ledger(room)
    for fields in ({"attempt": 1}, {"state": "claimed"}):
        with writing(room.press.engine) as session:
            batch = session.exec(select(BatchRow).where(BatchRow.state == "ready")).one()
            untouched = batch.model_dump(include={*fields})
            batch.sqlmodel_update(fields)
        assert freshening.freshen(room.press, one, clock=lambda: room.now) == ""
        with writing(room.press.engine) as session:
            session.get(BatchRow, batch.id).sqlmodel_update(untouched)
    with writing(room.press.engine) as session:
        delivery = session.exec(select(DeliveryRow).where(DeliveryRow.batch_id == batch.id)).one()
        delivery.attempt = 1
    assert freshening.freshen(room.press, one, clock=lambda: room.now) == ""
    assert ledger(room) == before


def test_tracked_links_lead_where_each_version_says(room):
    room.press.settings = room.press.settings.model_copy(update={"tracking": "personal"})
    with writing(room.press.engine) as session:
        session.connection().execute(PEOPLE.update().values(tracked_since=BEGAN - timedelta(days=1)))
    with room.watch() as duty:
        sent_first(room, duty, 1)
        old = content(room)
        update(room, 1)
        for clock in ("11:58", "12:00"):
            step(room, duty, clock)
    new, leads = content(room), {}
    with reading(room.press.engine) as session:
        for file in room.press.settings.outbox_folder.rglob("*.eml"):
            mail = message_from_bytes(file.read_bytes(), policy=policy.default)
            trail = re.search(r"/t/([\w-]+)/1\b", mail.get_body(("html",)).get_content())[1]
            place = tracking.place_of(session.connection(), room.press.keys, trail)
            links = tracking.leads_of(session.connection(), place.edition, place.version)
            leads[str(mail["To"])] = [links[number].url.partition("?")[0] for number in range(1, SIZE + 1)]
    assert leads == {
        "ana@example.net": [slot["url"] for slot in old["slots"]],
        "ben@example.net": [slot["url"] for slot in new["slots"]],
    }
    assert old != new


def test_readers_orders_are_printed_again_and_stay_true(room):
    """Ben wants more of one topic: a runner-up takes only the place of one of its own topic, in his order as in the plain one."""
    with room.watch() as duty:
        room.now = moment("06:00", 0)
        feed(room)
        room.look(duty)
        slots, left_out = content(room)["slots"], content(room)["left_out"]
        wanted, other = slots[SIZE - 1]["story"], left_out[0]["story"]
        with writing(room.press.engine) as session:
            session.exec(delete(TopicRow))
            for slug, stories in (("asia", [wanted, other]), ("korea", [slot["story"] for slot in slots[3:5]])):
                words = [session.get(StoryRow, one).headline for one in stories]
                session.add(TopicRow(slug=slug, labels={"en": slug}, words=words, categories=[]))
            session.connection().execute(
                SQLModel.metadata.tables["subscriber_topic"].insert(), {"subscriber_id": 2, "topic": "asia", "wish": 1}
            )
        press.assemble(room.press, "global", day=room.editions[0].local_date, now=room.now, again=True)
        picked = {slot["story"]: slot["topic"] for slot in content(room)["slots"]}
        place = next(slot["position"] for slot in content(room)["slots"] if slot["story"] == wanted)
        assert picked[wanted] == "asia"
        number = 1 + [story["story"] for story in content(room)["left_out"]].index(other)
        allow(room, number)
        press.approve(room.press, room.editions[0], who="ana", now=room.now)
        for clock in ("06:05", "07:00"):
            step(room, duty, clock)
        update(room, number, content(room)["left_out"][number - 1]["headline"] + " again, and much more of it.")
        for clock in ("11:58", "12:00"):
            step(room, duty, clock)
    with reading(room.press.engine) as session:
        rows = session.exec(select(DeliveryRow, ProofRow).where(col(ProofRow.id) == DeliveryRow.proof_id)).all()
    by_reader = {delivery.subscriber_id: (proof.version, proof.profile) for delivery, proof in rows}
    last = versions(room)[-1].number
    assert place > 4
    assert by_reader == {1: (last - 1, ""), 2: (last, str(place))}
    assert content(room)["slots"][place - 1]["story"] == other


def test_what_is_allowed_is_part_of_what_is_approved(room):
    with room.watch() as duty:
        room.now = moment("06:00", 0)
        feed(room)
        room.look(duty)
        plain = room.editions[0].content_hash
        assert allow(room, 3, 1) == [content(room)["left_out"][at]["headline"] for at in (2, 0)]
        bound = room.editions[0].content_hash
        assert bound != plain
        with writing(room.press.engine) as session:
            desk.retitle(session, desk.locked(session, room.editions[0]), {"intro": ""}, who="ana", now=room.now)
        assert room.editions[0].content_hash == bound  # it travels along
        with pytest.raises(NotFoundError, match="no left-out story 4: digest explain numbers them, 1 to 3"):
            allow(room, 4)
        assert allow(room) == []
        assert room.editions[0].content_hash == plain
        assert "allowed" not in content(room)
        press.approve(room.press, room.editions[0], who="ana", now=room.now)
        with pytest.raises(TransitionError, match="reopen it first"):
            allow(room, 1)


def test_editors_allow_by_the_numbers_that_are_explained_and_see_who_got_which_version(room):
    home, where = room.press.settings.home, {"DIGEST_DATABASE": room.press.settings.database}

    def said(*words):
        return CliRunner().invoke(app, ["--home", str(home), *words], env=where)

    with room.watch() as duty:
        room.now = moment("06:00", 0)
        feed(room)
        room.look(duty)
        left_out = [story["headline"] for story in content(room)["left_out"]]
        assert left_out[0] in said("editions", "allow", "1-2").stdout
        assert "Give the numbers" in str(said("editions", "allow", "best").exception)
        explained = re.sub(r"\s+", " ", said("explain", "global").stdout)
        assert [f"{title} (allowed in later waves)" in explained for title in left_out] == [True, True, False]
        assert f"allowed in later waves: {left_out[1]}" in re.sub(r"\s+", " ", said("editions", "show").stdout)
        press.approve(room.press, room.editions[0], who="ana", now=room.now)
        for clock in ("06:05", "07:00"):
            step(room, duty, clock)
        with writing(room.press.engine) as session:  # it was allowed by the clock on the wall, years later
            session.connection().execute(VERSIONS.update().values(at=moment("06:00", 0)))
        update(room, 1)
        step(room, duty, "11:58")
    shown = json.loads(said("editions", "show", "--json").stdout)
    counts = [(one["number"], one["got"], one["to_come"], one["by"]) for one in shown["versions"]]
    assert counts == [(1, 0, 0, "the press"), (2, 1, 0, "editor"), (3, 0, 1, "the press")]
    assert shown["versions"][-1]["cut_off"].startswith("2025-03-10T10:58")
    assert [one["content_hash"] for one in shown["versions"]] == [one.content_hash for one in versions(room)]
    words = re.sub(r"\s+", " ", said("editions", "show").stdout)
    assert (
        f"version 3, cut-off 2025-03-10 10:58 UTC, {versions(room)[-1].content_hash[:12]}: 0 got it, 1 to come" in words
    )


def test_only_a_cadence_with_later_waves_may_be_fresher(room):
    with pytest.raises(CadenceError, match="--fresher: only with --local"):
        room.schedule(local="no")
    room.schedule(local="no", fresher="no")
    with pytest.raises(CadenceError, match="--fresher: only with --local"):
        room.schedule(fresher="yes")
    with reading(room.press.engine) as session:
        assert session.exec(select(CadenceRow.fresher)).one() is False


# which takes which place ----------------------------------------------------------------------------------------------

RULES = Rules(section="Global", topic_cap=2, source_cap=3)


@st.composite
def editions(draw):
    """Slots and a ranking of their stories and others; some slots pinned, some stories allowed, some fresh."""
    count = draw(st.integers(4, 8))
    candidates = [
        story(
            number,
            hours=draw(st.floats(0.1, 30)),
            topic=draw(st.sampled_from(["", "asia", "korea", "sport"])),
            source=draw(st.sampled_from(["", "a", "b"])),
            cluster=draw(st.sampled_from([number, number, number // 2])),
            told=draw(st.sampled_from([None, None, told(0.1), told(0.9)])),
        )
        for number in range(count + 6)
    ]
    slots = [
        {"position": at + 1, "story": one.id, "pinned": draw(st.booleans()), "topic": next(iter(one.story.topics), "")}
        for at, one in enumerate(candidates[:count])
    ]
    known = candidates if draw(st.booleans()) else candidates[1:3] + candidates[5:]
    some = st.sets(st.integers(0, count + 5))
    return slots, weigh_all(known, RULES, now=NOW), draw(some), draw(some), draw(st.booleans())


@given(editions())
@settings(deadline=None)
def test_what_was_placed_or_not_allowed_stays_and_no_event_is_told_twice(given_):
    slots, ranked, allowed, fresh, same_topic = given_
    chosen = exchanges(slots, ranked, allowed, fresh, RULES, same_topic=same_topic)
    known, before = {one.id: one for one in ranked}, {slot["position"]: slot for slot in slots}
    carried = {slot["story"] for slot in slots}
    for place, choice in chosen.items():
        assert place > 3
        assert not before[place]["pinned"]
        assert choice.id in allowed - carried
        assert not is_told(known[choice.id], RULES)
        there = known.get(before[place]["story"])
        assert choice.id in fresh or choice.score > (there.score if there else 0.0)
        assert not same_topic or choice.topic == before[place]["topic"]
    assert len({choice.id for choice in chosen.values()}) == len(chosen)
    after = {place: chosen[place].id if place in chosen else slot["story"] for place, slot in before.items()}
    line = [known[one] for one in after.values() if one in known]
    clusters, topics = Counter(one.cluster for one in line), Counter(one.topic for one in line)
    sources = Counter(one.source for one in line)
    for choice in chosen.values():
        assert clusters[choice.cluster] == 1
        assert not choice.topic or topics[choice.topic] <= RULES.topic_cap
        assert sources[known[choice.id].source] <= RULES.source_cap


def test_what_outweighs_by_now_takes_the_place_that_weighs_least():
    slots = [{"position": at, "story": at, "pinned": at == 6, "topic": f"topic-{at}"} for at in range(1, 7)]
    ages = {1: 20, 2: 20, 3: 20, 4: 12, 5: 16, 6: 30, 7: 1, 8: 2, 9: 29}
    ranked = weigh_all([aged(at, hours) for at, hours in ages.items()], RULES, now=NOW)
    chosen = exchanges(slots, ranked, {7, 8, 9}, set(), RULES, same_topic=False)
    assert {place: choice.id for place, choice in chosen.items()} == {5: 7, 4: 8}
    chosen = exchanges(slots, ranked, {9}, {9}, RULES, same_topic=False)
    assert {place: choice.id for place, choice in chosen.items()} == {5: 9}
    assert exchanges(slots, ranked, {9}, set(), RULES, same_topic=False) == {}


def aged(number, hours):
    """Alike in all but age."""
    one = story(number, hours=hours)
    return replace(one, story=replace(one.story, position=1))
