"""What is written down of opens and clicks in each mode, on both databases: by whom only where they agreed to it."""

import random
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from digest import retention, tracking
from digest.database import reading
from digest.deliveries import claim
from digest.delivery_ids import OWN_TRAIL, TRAIL, delivery_id, delivery_token
from digest.machines import AN_OPEN
from digest.settings import Settings
from digest.tracking import Place, Told
from subscribers.segments import PEOPLE, Names, compile_rule
from tests.newsroom import KEYS, NOW, morning, opened, readers
from tests.tracked import AT, LATER, TABLES, URLS, published, rows, tallies, visit


@pytest.fixture
def sent(engine):
    """Four readers, the first two of whom agreed; all have the edition."""
    return published(engine)


def everything(engine, *, but=()):
    return {name: rows(engine, name) for name in TABLES if name not in but}


# trails -------------------------------------------------------------------------------------------------------------


def test_only_who_agreed_has_a_trail_of_their_own(sent):
    edition, mailing, trails = sent.house
    nobodys = delivery_token(KEYS, edition, 1, TRAIL)
    own = [delivery_token(KEYS, mailing, number, OWN_TRAIL) for number in (1, 2)]
    assert trails == [*own, nobodys, nobodys]
    with reading(sent) as session:
        found = [tracking.place_of(session.connection(), KEYS, trail) for trail in trails]
    assert found == [Place(edition, 1, mailing, 1), Place(edition, 1, mailing, 2), Place(edition, 1), Place(edition, 1)]


@pytest.mark.parametrize("mode", ["aggregate", "off"])
def test_in_another_mode_nobody_has_one(engine, mode):
    house = morning(engine)
    readers(engine, 2, tracked_since=NOW)
    opened(engine, house, tracking=mode)
    batch = claim(engine, owner="me", now=NOW, lease=60, transports=["outbox"], keys=KEYS)
    wanted = "" if mode == "off" else delivery_token(KEYS, house.edition, 1, TRAIL)
    assert {one.trail for one in batch.recipients} == {wanted}


# the modes ----------------------------------------------------------------------------------------------------------


def test_personal_who_agreed_is_written_down_and_all_are_counted(sent):
    visits = [visit(sent, 1, AN_OPEN, 1), visit(sent, 2, AN_OPEN, mark="apple"), visit(sent, 3, 2), visit(sent, 0, 2)]
    assert tracking.write(sent, visits, mode="personal") == 5
    assert tallies(sent) == {
        ("opened", -1, False, ""): 1, ("clicked", 1, False, ""): 1, ("opened", -1, True, ""): 1, ("clicked", 2, False, ""): 2,
    }  # fmt: skip
    deeds = [(row.subscriber_id, row.kind, row.link, row.machine, row.why) for row in rows(sent, "deed")]
    assert sorted(deeds) == [
        (1, "clicked", 1, False, ""),
        (1, "opened", -1, False, ""),
        (2, "opened", -1, True, "apple"),
    ]
    assert {tuple(row) for row in rows(sent, "activity")} == {
        (1, "opened", date(2026, 11, 23), 1), (1, "clicked", date(2026, 11, 23), 1),
    }  # fmt: skip


def test_aggregate_only_counts_change_whosever_mail_it_was(sent):
    before = everything(sent, but={"tally"})
    assert tracking.write(sent, [visit(sent, 1, AN_OPEN, 1), visit(sent, 0, 1)], mode="aggregate") == 3
    assert tallies(sent) == {("opened", -1, False, ""): 1, ("clicked", 1, False, ""): 2}
    assert everything(sent, but={"tally"}) == before


def test_off_nothing_is_written(sent):
    before = everything(sent)
    assert tracking.write(sent, [visit(sent, 1, AN_OPEN)], mode="off") == 0
    assert tracking.hear(sent, KEYS, [told(1)], provider="sendgrid", mode="off", now=LATER) == 0
    assert everything(sent) == before


def test_who_took_it_back_since_is_counted_as_nobody(sent):
    with sent.begin() as connection:
        connection.execute(TABLES["subscriber"].update().values(tracked_since=None))
    tracking.write(sent, [visit(sent, 1, AN_OPEN, 1)], mode="personal")
    assert (rows(sent, "deed"), rows(sent, "activity")) == ([], [])
    assert len(tallies(sent)) == 2


def test_counts_add_up_over_many_visits(sent):
    for day in range(3):
        visits = [visit(sent, 0, 1, at=AT + 86_400 * day)] * 700 + [visit(sent, 1, AN_OPEN, at=AT + 86_400 * day)]
        tracking.write(sent, visits, mode="personal")
    assert tallies(sent) == {("clicked", 1, False, ""): 2100, ("opened", -1, False, ""): 3}
    assert [(row.day.day, row.number) for row in rows(sent, "activity")] == [(23, 1), (24, 1), (25, 1)]


def test_a_click_right_after_delivery_is_a_machine_s(sent):
    tracking.write(sent, [visit(sent, 1, 1, at=NOW.timestamp() + 2)], mode="personal")
    assert tallies(sent) == {("clicked", 1, True, ""): 1}


# segments -----------------------------------------------------------------------------------------------------------


def test_rules_on_opens_and_clicks_find_whom_they_say(sent):
    tracking.write(sent, [visit(sent, 1, AN_OPEN, 1), visit(sent, 3, AN_OPEN)], mode="personal")
    wanted = {
        "opened within 3 days": [1], "clicked": [1], "never opened": [2], "tracked": [1, 2],
        "tracked and not opened within 90 days": [2], "clicked at least 2 times": [],
    }  # fmt: skip
    for rule, who in wanted.items():
        clause = compile_rule(rule, now=LATER, names=Names(personal=True))
        with sent.connect() as connection:
            found = connection.execute(PEOPLE.select().where(clause).order_by(PEOPLE.c.id)).all()
        assert [row.id for row in found] == who, rule


# what a provider tells ----------------------------------------------------------------------------------------------


def told(number, url="", *, key="", at=AT, machine=False, mailing=1):
    name = delivery_id(KEYS.hash_key, mailing=mailing, number=number, opened=int(NOW.timestamp()))
    return Told(key or f"{number}{url}{at}", name, at, url, machine)


def test_what_a_provider_tells_is_kept_apart_and_counts_once(sent):
    events = [
        told(1),
        told(2, machine=True),
        told(3, URLS[1]),
        told(1, URLS[2]),
        told(1, "https://evil.example"),
        told(1, mailing=9, key="another house"),
    ]
    events.append(Told("x", "nothing of ours", AT))
    for _ in range(3):
        tracking.hear(sent, KEYS, events, provider="sendgrid", mode="personal", now=LATER)
    assert tallies(sent) == {
        ("opened", -1, False, "sendgrid"): 1, ("opened", -1, True, "sendgrid"): 1,
        ("clicked", 1, False, "sendgrid"): 1, ("clicked", 2, False, "sendgrid"): 1,
    }  # fmt: skip
    assert {(row.subscriber_id, row.kind, row.why) for row in rows(sent, "deed")} == {
        (1, "opened", ""), (2, "opened", "told"), (1, "clicked", ""),
    }  # fmt: skip
    assert rows(sent, "activity") == [], "these mails have our own links, which tell that already"


def test_where_mails_had_no_links_of_ours_a_provider_s_word_is_what_the_reader_did(sent):
    with sent.begin() as connection:
        connection.execute(TABLES["mailing"].update().values(tracking="off"))
    tracking.hear(sent, KEYS, [told(1), told(1, at=AT + 60)], provider="sendgrid", mode="personal", now=LATER)
    assert [(row.subscriber_id, row.kind, row.number) for row in rows(sent, "activity")] == [(1, "opened", 2)]


def test_what_happened_before_a_reader_agreed_is_nobody_s_whenever_it_is_told(sent):
    with sent.begin() as connection:
        connection.execute(TABLES["subscriber"].update().values(tracked_since=LATER))
    events = [told(1, at=AT - 1), told(2, at=AT)]
    assert tracking.hear(sent, KEYS, events, provider="sendgrid", mode="personal", now=LATER) == 2
    assert [row.subscriber_id for row in rows(sent, "deed")] == [2]
    assert tallies(sent) == {("opened", -1, False, "sendgrid"): 2}


def test_aggregate_a_provider_s_word_leaves_nothing_that_leads_to_anybody(sent):
    before = everything(sent, but={"tally", "told_once"})
    tracking.hear(sent, KEYS, [told(1, key="abc"), told(2, URLS[1])], provider="sendgrid", mode="aggregate", now=LATER)
    assert everything(sent, but={"tally", "told_once"}) == before
    assert {len(row.key) for row in rows(sent, "told_once")} == {16}
    assert "abc" not in repr(rows(sent, "told_once"))


EVENTS = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from(["", *URLS]), st.integers(0, 5), st.booleans()), max_size=12
)


@given(EVENTS, st.randoms(), st.integers(1, 5))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_events_shuffled_repeated_and_in_parts_end_the_same(sqlite_engine, events, chance: random.Random, size):
    if not rows(sqlite_engine, "mailing"):
        published(sqlite_engine)
    given_ = [
        told(number, url, at=AT + 60 * step, machine=machine, key=f"{n}")
        for n, (number, url, step, machine) in enumerate(events)
    ]
    again = given_ + chance.sample(given_, len(given_) // 2)
    chance.shuffle(again)
    ends = []
    for some in ([given_], [again[first : first + size] for first in range(0, len(again), size)]):
        for part in some:
            tracking.hear(sqlite_engine, KEYS, part, provider="sendgrid", mode="personal", now=LATER)
        deeds = sorted(tuple(row)[1:] for row in rows(sqlite_engine, "deed"))
        ends.append((tallies(sqlite_engine), deeds))
        with sqlite_engine.begin() as connection:
            for table in ("tally", "deed", "told_once", "activity"):
                connection.execute(TABLES[table].delete())
    assert ends[0] == ends[1]


# modes begin, rows go -----------------------------------------------------------------------------------------------


def test_where_personal_tracking_begins_everybody_is_tracked_since_now(sent):
    since = NOW - timedelta(days=9)
    assert tracking.begin(sent, "aggregate", now=NOW)
    assert {row.tracked_since for row in rows(sent, "subscriber")} == {since, None}
    assert tracking.begin(sent, "personal", now=LATER)
    assert [row.tracked_since for row in rows(sent, "subscriber")] == [LATER, LATER, None, None]
    assert not tracking.begin(sent, "personal", now=LATER + timedelta(days=1)), "a restart is no beginning"
    assert rows(sent, "subscriber")[0].tracked_since == LATER
    tracking.begin(sent, "off", now=LATER + timedelta(days=2))
    tracking.begin(sent, "personal", now=LATER + timedelta(days=30))
    assert rows(sent, "subscriber")[0].tracked_since == LATER + timedelta(days=30)
    noted = [row.detail["mode"] for row in rows(sent, "audit") if row.subject == "tracking"]
    assert noted == ["aggregate", "personal", "off", "personal"]


def test_a_house_that_never_tracked_notes_nothing(engine):
    assert not tracking.begin(engine, "off", now=NOW)
    assert rows(engine, "audit") == []


def test_who_did_what_is_forgotten_in_time_and_the_counts_stay(sent):
    old = AT - 86_400 * 91
    with sent.begin() as connection:
        connection.execute(TABLES["subscriber"].update().values(tracked_since=NOW - timedelta(days=200)))
    tracking.write(sent, [visit(sent, 1, AN_OPEN, at=old), visit(sent, 1, AN_OPEN)], mode="personal")
    tracking.hear(sent, KEYS, [told(1)], provider="sendgrid", mode="aggregate", now=LATER - timedelta(days=4))
    before = everything(sent, but={"deed", "told_once"})
    took = retention.swept(sent, Settings(_env_file=None), now=LATER)
    assert (took["who opened and clicked"], took["opens and clicks told once"]) == (1, 1)
    assert [row.at for row in rows(sent, "deed")] == [AT]
    assert rows(sent, "told_once") == []
    assert everything(sent, but={"deed", "told_once"}) == before
    assert retention.swept(sent, Settings(_env_file=None), now=LATER)["who opened and clicked"] == 0


def test_figures_tell_people_and_machines_apart(sent):
    edition = sent.house[0]
    tracking.write(
        sent, [visit(sent, 1, AN_OPEN, 1), visit(sent, 2, AN_OPEN), visit(sent, 0, 1, mark="bot")], mode="personal"
    )
    tracking.hear(sent, KEYS, [told(1)], provider="sendgrid", mode="personal", now=LATER)
    tracking.drop(sent, {edition: 7})
    tracking.drop(sent, {edition: 1})
    with reading(sent) as session:
        figures = tracking.figures(session, edition, 1)
    found = {(one.source, one.kind, one.link): (one.people, one.machines) for one in figures.seen}
    assert found == {("", "opened", -1): (2, 0), ("", "clicked", 1): (1, 1), ("sendgrid", "opened", -1): (1, 0)}
    assert (figures.dropped, figures.readers, figures.traps) == (8, 2, frozenset({3}))


def test_moments_are_days_of_utc(sent):
    late = datetime(2026, 11, 23, 23, 59, 59, tzinfo=UTC).timestamp()
    tracking.write(sent, [visit(sent, 1, AN_OPEN, at=late), visit(sent, 1, AN_OPEN, at=late + 2)], mode="personal")
    assert [row.day.day for row in rows(sent, "activity")] == [23, 24]
