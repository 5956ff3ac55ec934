"""Topic profiles: what stands below the top three is in each reader's order; nothing is dropped, and an editor sees every order."""

import json
import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import SQLModel, select
from typer.testing import CliRunner

from digest import proofs
from digest.__main__ import app
from digest.database import writing
from digest.deliveries import balance_of
from digest.models import DigestRow, EditionRow, EditionVersionRow, ProofRow
from digest.preview import preview
from digest.profiles import MOST, SAME_FOR_ALL, arranged, profile_of, topics_of
from digest.settings import Settings
from digest.splice import pack
from digest.windows import Rhythm
from subscribers.audience import leaning
from tests import front_door
from tests.newsroom import MAIL, NOW, deliveries_of, morning, opened, readers
from tests.samples import sample_edition

SLOTS = ("korea", "asia", "korea", "asia", "korea", "", "vatican", "asia")
SETTINGS = Settings(_env_file=None)
TOPICS = st.lists(st.sampled_from(["", "korea", "asia", "vatican", "Latin America", "sport"]), max_size=14)
WISHES = st.dictionaries(st.sampled_from(["korea", "asia", "vatican", "latin-america"]), st.sampled_from([1, -1]))


def lean(wishes, slots):
    """As the database says it: a digit of base three for each topic that can move."""
    return sum({1: 1, -1: 2}[wishes[topic]] * 3**n for n, topic in enumerate(topics_of(slots)) if topic in wishes)


def slots_with(topics):
    (one,) = sample_edition(1).slots
    return tuple(replace(one, position=n, topic=topic) for n, topic in enumerate(topics, start=1))


@pytest.mark.parametrize(
    ("wishes", "profile"),
    [
        ({}, ""),
        ({"korea": 1}, "5"),
        ({"asia": 1}, "4-8"),
        ({"asia": -1}, "5-6-7"),
        ({"vatican": 1, "asia": 1}, "4-7-8"),
        ({"vatican": 1, "asia": -1}, "7-5-6"),
        ({"korea": -1, "vatican": 1}, "7-4-6-8"),
        ({"korea": 1, "asia": 1}, "4-5-8"),
        ({"sport": 1}, ""),
    ],
)  # fmt: skip
def test_more_comes_first_and_less_last_below_the_top_three(wishes, profile):
    assert profile_of(lean(wishes, SLOTS), SLOTS) == profile


@given(TOPICS, WISHES)
def test_an_order_holds_what_the_editor_approved_and_nothing_else(slots, wishes):
    whole = slots_with(slots)
    ordered = arranged(whole, profile_of(lean(wishes, slots), slots))
    keys = ["latin-america" if topic == "Latin America" else topic for topic in slots]
    rest = sorted(whole[SAME_FOR_ALL:], key=lambda slot: -wishes.get(keys[slot.position - 1], 0))
    assert ordered == whole[:SAME_FOR_ALL] + tuple(rest)


@given(TOPICS, WISHES, WISHES)
def test_one_order_has_one_name(slots, one, other):
    whole = slots_with(slots)
    names = [profile_of(lean(wishes, slots), slots) for wishes in (one, other)]
    assert (names[0] == names[1]) is (arranged(whole, names[0]) == arranged(whole, names[1]))


def test_an_order_too_long_to_be_named_is_the_editors():
    slots = ["", "", "", *(["korea", "asia"] * 40)]
    assert profile_of(lean({"korea": 1}, slots), slots) == ""
    assert len(topics_of([f"t{n}" for n in range(60)])) == 39


# in the database ------------------------------------------------------------------------------------------------------


def wish(engine, reader, **topics):
    table = SQLModel.metadata.tables["subscriber_topic"]
    rows = [{"subscriber_id": reader, "topic": topic, "wish": count} for topic, count in topics.items()]
    with engine.begin() as connection:
        connection.execute(table.insert(), rows)


def test_the_database_says_a_leaning_as_plain_python_does(engine):
    morning(engine)
    people = SQLModel.metadata.tables["subscriber"].c
    topics = tuple(f"t{n}" for n in range(39))
    some, most, none = readers(engine, 3)
    wish(engine, some, t0=1, t3=-1, other=1)
    wish(engine, most, **dict.fromkeys(topics, -1))
    with engine.begin() as connection:
        found = dict(connection.execute(select(people.id, leaning(topics))).all())
    assert found == {some: 1 + 2 * 27, most: 3**39 - 1, none: 0}


@pytest.mark.parametrize("local", [False, True])
def test_each_reader_is_given_the_proof_of_their_order_and_the_rest_the_plain_one(engine, local):
    house = morning(engine)
    profiles = {}
    with writing(engine) as session:
        for name in ("5", "4-8"):
            row = ProofRow(
                edition_id=house.edition, version=1, channel="email", language="en", profile=name, compiled=pack(MAIL),
                content_hash=name, printed_at=NOW,
            )  # fmt: skip
            session.add(row)
            session.flush()
            profiles[name] = row.id
    share = replace(house.share(), slots=SLOTS, profiles=profiles)
    everyone, expected = readers(engine, 54, zone=lambda number: ["UTC", "Asia/Tokyo"][number % 2]), {}
    for one, (korea, asia, vatican) in zip(everyone, product((0, 1, -1), repeat=3), strict=False):
        wishes = {topic: way for topic, way in (("korea", korea), ("asia", asia), ("vatican", vatican)) if way}
        wish(engine, one, **wishes) if wishes else None
        expected[one] = profiles.get(profile_of(lean(wishes, SLOTS), SLOTS), share.proof_id)
    plan = Rhythm(
        day=date(2026, 11, 23),
        at="07:00",
        zone="UTC",
        home="UTC",
        local=True,
        released=datetime(2026, 11, 20, tzinfo=UTC),
    )
    mailing = opened(engine, house, [share], batch_size=4, now=NOW - timedelta(days=1), rhythm=plan if local else None)
    rows = deliveries_of(engine)
    assert {row.subscriber_id: row.proof_id for row in rows if row.subscriber_id in expected} == expected
    assert {row.proof_id for row in rows if row.subscriber_id not in expected} == {share.proof_id}
    assert set(Counter(row.proof_id for row in rows)) == {share.proof_id, *profiles.values()}
    assert balance_of(engine, mailing).candidates == len(rows) == 54


def laid_out(engine, slots):
    """The newsroom's edition with those topics, by email and push."""
    house = morning(engine)
    with writing(engine) as session:
        session.get(DigestRow, house.digest).channels = ["email", "push"]
        content = {"slots": [{"topic": topic} for topic in slots]}
        session.add(
            EditionVersionRow(edition_id=house.edition, number=1, content=content, content_hash="c", by="eva", at=NOW)
        )
    return house


def variants(engine, **changes):
    with writing(engine) as session:
        edition = session.exec(select(EditionRow)).one()
        for name, value in changes.items():
            setattr(edition, name, value)
        session.flush()
        found = proofs.wanted(session, session.get(DigestRow, 1), SETTINGS, now=NOW, edition=edition)
    return {(one.channel, one.variant.language, one.variant.profile): one.readers for one in found}


def test_an_edition_has_64_variants_at_most_and_the_most_read_orders_have_their_own(engine):
    laid_out(engine, ["", "", "", "a", "b", "c", "d", "e"])
    ways = [way for way in product((0, 1, -1), repeat=5) if any(way)]
    for rank, way in enumerate(ways):
        for one in readers(engine, 2 if rank % 7 == 0 else 1, channels=("email", "push")):
            wish(engine, one, **{topic: count for topic, count in zip("abcde", way, strict=True) if count})
    found = variants(engine)
    assert len(found) == MOST
    orders = {name[2]: number for name, number in found.items() if name[2]}
    everyone = Counter()
    for rank, way in enumerate(ways):
        slots = ["", "", "", "a", "b", "c", "d", "e"]
        wishes = {topic: count for topic, count in zip("abcde", way, strict=True) if count}
        everyone[profile_of(lean(wishes, slots), slots)] += 2 if rank % 7 == 0 else 1
    plain = everyone.pop("", 0)
    assert min(orders.values()) >= max(number for name, number in everyone.items() if name not in orders)
    assert all(everyone[name] == number for name, number in orders.items())
    assert found["email", "en", ""] == plain + sum(number for name, number in everyone.items() if name not in orders)
    assert found["push", "en", ""] == sum(everyone.values()) + plain


def test_no_order_is_printed_that_the_approver_could_not_have_seen(engine):
    house = laid_out(engine, SLOTS)
    korea, asia = readers(engine, 2)
    wish(engine, korea, korea=1)
    with writing(engine) as session:
        session.add(
            ProofRow(
                edition_id=house.edition, version=1, channel="email", language="en", profile="5", compiled=pack(MAIL),
                content_hash="5", printed_at=NOW,
            )
        )  # fmt: skip
    wish(engine, asia, asia=1)
    assert set(variants(engine)) == {("email", "en", name) for name in ("", "5", "4-8")} | {("push", "en", "")}
    assert variants(engine, approved_at=NOW)["email", "en", ""] == 1
    assert ("email", "en", "4-8") not in variants(engine)


def test_without_wishes_there_is_one_order_and_no_question_about_it(engine):
    laid_out(engine, SLOTS)
    (one,) = readers(engine, 1)
    assert list(variants(engine)) == [("email", "en", ""), ("push", "en", "")]
    wish(engine, one, sport=1)
    assert list(variants(engine)) == [("email", "en", ""), ("push", "en", "")]


# the whole line -------------------------------------------------------------------------------------------------------


def test_readers_get_the_stories_in_their_own_order_and_the_editor_can_look_at_each(home):
    with front_door.opened(home) as house:
        for name in ("ana", "ben", "cleo"):
            house.subscribe(f"{name}@example.net")
        ids = {row.email[:3]: row.id for row in house.rows("subscriber")}
        wish(house.press.engine, ids["ana"], vatican=1)
        wish(house.press.engine, ids["ben"], asia=-1, vatican=1)
        edition = house.publish("Ferries return", SLOTS)
        before = shown(house)
        house.deliver(edition)
        assert order(house, "ana") == [1, 2, 3, 7, 4, 5, 6, 8]
        assert order(house, "ben") == [1, 2, 3, 7, 5, 6, 4, 8]
        assert order(house, "cleo") == [1, 2, 3, 4, 5, 6, 7, 8]
        names = [(one["channel"], one["profile"], one["readers"]) for one in before]
        assert names == [("email", "", 1), ("email", "7", 1), ("email", "7-5-6", 1), ("push", "", 0)]
        assert [one for one in shown(house) if one["readers"]] == [one for one in before if one["readers"]]
        hashes = {
            row.profile: row.content_hash for row in house.rows("proof") if row.channel == "email" and row.edition_id
        }
        assert len(set(hashes.values())) == 3
        seen = preview(house.press, edition, channel="email", profile="7-5-6", now=house.now)
        assert numbers(seen.text) == order(house, "ben")
        assert [int(n) for n in re.findall(r"^(\d)\. ", seen.text, re.MULTILINE)][:8] == list(range(1, 9))
        told = CliRunner().invoke(app, ["--home", str(home), "preview", "global", "--part", "text", "--profile", "7"])
        assert numbers(told.stdout) == order(house, "ana")
        refused = CliRunner().invoke(app, ["--home", str(home), "preview", "global", "--profile", "8"])
        assert refused.exit_code != 0
        assert "email everyone en 7-5-6" in " ".join(str(refused.exception or refused.output).split())


def shown(house):
    said = CliRunner().invoke(app, ["--home", str(house.press.settings.home), "editions", "show", "--json"])
    return json.loads(said.stdout)["variants"]


def order(house, name):
    mail = house.mails(f"{name}@example.net")[-1]
    return numbers(mail.get_body(("plain",)).get_content())


def numbers(text):
    """Which stories a text part tells, by their places in the editor's order."""
    found = re.findall(r"^\d+\. (?:Story (\d)|Ferries)", text, re.MULTILINE)
    return [int(one or 1) for one in found][:8]
