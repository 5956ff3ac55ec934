"""What comes back and says that nothing may go there, or that somebody has left."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from threading import Thread

import pytest
from sqlmodel import SQLModel

from digest.consequences import Policy
from digest.database import writing
from digest.deliveries import claim
from digest.delivery_ids import delivery_token
from digest.events import Outcome, _Hearing
from digest.values import Event, EventKind
from tests.heard import AT, HARD, SOFT, audit, event, hash_of, sent, set_state, suppressed, table, told
from tests.newsroom import KEYS, NOW, morning, opened, readers, set_wish, suppress
from tests.sendgrid_events import name

# suppression ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (HARD, "bounce"),
        ("complained", "complaint"),
        (("left", True), "unsubscribe"),
        (("dropped", True), "dropped"),
        (SOFT, None),
        ("blocked", None),
        ("dropped", None),
        ("deferred", None),
        ("delivered", None),
    ],
)
def test_an_address_is_suppressed_at_once_by_what_says_that_nothing_may_go_there(engine, kind, reason):
    sent(engine, 2)
    told(engine, event(1, kind))
    assert {address: why for address, (why, _) in suppressed(engine).items()} == (
        {hash_of(1): reason} if reason else {}
    )
    assert audit(engine) == ([("sendgrid", "suppress", 1)] if reason else [])


def test_who_was_suppressed_gets_nothing_of_what_is_claimed_next(engine):
    house = morning(engine)
    readers(engine, 2)
    opened(engine, house)
    told(engine, event(1, "complained"))
    set_state(engine, 1, "queued")
    assert [
        one.number for one in claim(engine, owner="me", now=NOW, lease=60, transports=["outbox"], keys=KEYS).recipients
    ] == [2]


def mornings(engine, days):
    """As many mailings of one edition each day, all accepted by one reader; name(1, mailing=...) are their ids."""
    house = morning(engine)
    readers(engine, 1)
    editions = SQLModel.metadata.tables["edition"]
    with engine.begin() as connection:
        like = connection.execute(editions.select()).one()._asdict()
        more = [{**like, "id": None, "local_date": like["local_date"] + timedelta(days=n)} for n in range(1, days)]
        made = [
            connection.execute(
                editions.insert().values({k: v for k, v in one.items() if k != "id"}).returning(editions.c.id)
            ).scalar()
            for one in more
        ]
    for edition in [house.edition, *made]:
        opened(engine, replace(house, edition=edition))


@pytest.mark.parametrize(
    ("days", "is_held"),
    [
        ([0, 5, 10], True),
        ([10, 5, 0], True),
        ([0, 5, 10.1], False),
        ([0, 0, 0], True),
        ([0, 5], False),
        ([30, 0, 15, 20, 29.9], True),
    ],
)
def test_soft_bounces_suppress_by_their_number_within_so_many_days_in_whatever_order_they_are_told(
    engine, days, is_held
):
    mornings(engine, 5)
    for mailing, day in enumerate(days, 1):
        told(engine, Event(name(1, mailing=mailing), EventKind.BOUNCED, AT + day * 86_400))
    held = {hash_of(1): ("soft bounces", "3 deliveries to it came back within 10 days")} if is_held else {}
    assert suppressed(engine) == held


def test_one_delivery_that_comes_back_many_times_is_one_soft_bounce(engine):
    sent(engine, 1)
    told(engine, *[event(1, SOFT, at) for at in range(10)])
    assert suppressed(engine) == {}


@pytest.mark.postgres
def test_of_two_who_hear_at_once_the_second_counts_what_the_first_has_written(postgres_engine):
    mornings(postgres_engine, 2)
    twice = Policy(soft_bounces=2, soft_days=10)
    with writing(postgres_engine) as session:
        first = Event(name(1, mailing=1), EventKind.BOUNCED, AT)
        _Hearing(session.connection(), KEYS, twice, NOW).hear([first], "sendgrid")
        second = Event(name(1, mailing=2), EventKind.BOUNCED, AT + 86_400)
        other = Thread(target=told, args=(postgres_engine, second), kwargs={"policy": twice})
        other.start()
        other.join(0.3)
    other.join(30)
    assert suppressed(postgres_engine).keys() == {hash_of(1)}


def test_a_stronger_reason_takes_the_place_of_a_weaker_and_a_persons_word_stays(engine):
    sent(engine, 2)
    suppress(engine, 2)
    held = SQLModel.metadata.tables["suppression"]
    with engine.begin() as connection:
        connection.execute(held.update().values(reason="asked by letter"))
    for kind in ("complained", HARD, ("dropped", True)):
        told(engine, event(1, kind), event(2, kind))
    assert {address: why for address, (why, _) in suppressed(engine).items()} == {
        hash_of(1): "complaint",
        hash_of(2): "asked by letter",
    }
    assert audit(engine) == [("sendgrid", "suppress", 1)]


def test_a_push_that_fails_suppresses_nobodys_address(engine):
    sent(engine, 1, channels=("push",))
    told(engine, event(1, HARD), event(1, "complained"))
    assert suppressed(engine) == {}
    assert [row.target for row in table(engine, "event", "target")] == ["", ""]


# leaving --------------------------------------------------------------------------------------------------------------


def wishes(engine):
    return [row.state for row in table(engine, "subscription", "id", "state")]


def test_who_leaves_one_digest_at_the_provider_is_out_of_that_digest_alone(engine):
    sent(engine, 2)
    assert told(engine, event(1, "left")).left == 1
    assert wishes(engine) == ["left", "active"]
    assert suppressed(engine) == {}
    assert audit(engine) == [("sendgrid", "leave", 1)]
    assert told(engine, event(1, "left", 5)).left == 0


def test_leaving_is_leaving_on_every_channel_as_by_the_link(engine):
    sent(engine, 2, channels=("email", "push"))
    told(engine, event(1, "left"))
    assert Counter(wishes(engine)) == {"left": 2, "active": 2}


def test_the_token_of_a_message_leads_to_its_delivery_as_its_id_does(engine):
    mailing = sent(engine, 2)
    heard = told(engine, event(0, "left", delivery=delivery_token(KEYS, mailing, 2)))
    assert heard.outcomes == [Outcome.HEARD]
    assert wishes(engine) == ["active", "left"]


def test_who_asked_for_it_again_since_then_stays(engine):
    sent(engine, 2)
    set_wish(engine, 1, consent_at=NOW + timedelta(hours=1))
    set_wish(engine, 2, confirmed_at=NOW - timedelta(hours=1))
    assert told(engine, event(1, "left"), event(2, "left")).left == 1
    assert wishes(engine) == ["active", "left"]
