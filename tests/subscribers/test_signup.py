"""Sign-up: every address goes the same way, a mailbox is asked once a day, its word makes the wish true, and a flood is braked."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlmodel import SQLModel

from digest.database import writing
from digest.models import DigestRow
from subscribers import signup
from subscribers.addresses import normalise
from subscribers.signup import Answer, Asked, Limits, Wording, block_of
from subscribers.tokens import address_hash
from tests.newsroom import KEYS, NOW, morning, readers, set_wish, suppress

WORDS = Wording.of("You agree to receive Global Morning.", "en")
TABLE = SQLModel.metadata.tables
HASH = address_hash(KEYS.hash_key, "ana@example.net")


def asked(email="ana@example.net", *, digest=1, block="192.0.2.0/24", **fields):
    return Asked(
        address=normalise(email), digest_id=digest, language="es", zone="Europe/Madrid", source="page", wording=WORDS,
        block=block, **fields,
    )  # fmt: skip


def ask(engine, one=None, *, now=NOW, limits=None, **fields):
    with writing(engine) as session:
        return signup.ask(session.connection(), one or asked(**fields), keys=KEYS, limits=limits or Limits(), now=now)


def confirm(engine, *digests, email_hash=HASH, now=NOW, proof="p" * 40):
    with writing(engine) as session:
        return signup.confirm(session.connection(), email_hash, digests or (1,), proof=proof, now=now)


def rows(engine, table):
    with engine.begin() as connection:
        return connection.execute(TABLE[table].select()).all()


@pytest.fixture
def house(engine):
    morning(engine)
    with writing(engine) as session:
        session.add(DigestRow(slug="weekend", name="Weekend", created_at=NOW))
    return engine


# asking -------------------------------------------------------------------------------------------------------------


def test_a_sign_up_wants_one_confirmation_to_the_mailbox_and_makes_nobody_a_subscriber(house):
    wanted = ask(house, email="Ana@EXAMPLE.net").wanted
    assert (wanted.kind, wanted.email, wanted.digest_id, wanted.language) == ("confirm", "Ana@example.net", 1, "es")
    assert wanted.email_hash == HASH
    assert not rows(house, "subscriber")
    assert not rows(house, "subscription")


def test_a_mailbox_is_asked_once_in_24_hours_however_it_is_spelled_and_for_whatever_digest(house):
    assert ask(house).wanted
    again = [
        ask(house, email="ANA@example.NET", now=NOW + timedelta(hours=1)),
        ask(house, digest=2, now=NOW + timedelta(hours=23, minutes=59)),
    ]
    assert again == [Answer(), Answer()]
    assert ask(house, now=NOW + timedelta(hours=24)).wanted


def test_known_paused_left_and_suppressed_addresses_are_treated_as_new_ones_are(house):
    known = readers(house, 4)
    set_wish(house, known[1], state="paused")
    set_wish(house, known[2], state="left")
    suppress(house, known[3])
    before = rows(house, "subscription")
    answers = [ask(house, email=f"reader{n}@example.net") for n in (*known, 99)]
    assert all(answer.wanted for answer in answers)
    assert len({replace(answer.wanted, email="", email_hash=b"") for answer in answers}) == 1
    assert rows(house, "subscription") == before


def test_asking_again_keeps_the_last_wish_and_one_row(house):
    ask(house)
    ask(house, replace(asked(), zone="Asia/Seoul"), now=NOW + timedelta(minutes=1))
    (one,) = rows(house, "signup")
    assert (one.zone, one.asked_at) == ("Asia/Seoul", NOW + timedelta(minutes=1))


def test_the_words_that_were_agreed_to_are_kept_under_their_version(house):
    ask(house)
    ask(house, email="ben@example.net")
    (one,) = rows(house, "wording")
    assert (one.version, one.words) == (WORDS.version, WORDS.words)
    assert Wording.of(WORDS.words + " ", "en").version != WORDS.version


# limits -------------------------------------------------------------------------------------------------------------


def test_a_block_of_addresses_has_so_many_an_hour(house):
    few = Limits(block=3)
    answers = [ask(house, email=f"r{n}@example.net", limits=few) for n in range(5)]
    assert [answer.refused for answer in answers] == ["", "", "", "block", "block"]
    assert ask(house, email="other@example.net", block="198.51.100.0/24", limits=few).wanted
    assert ask(house, email="late@example.net", limits=few, now=NOW + timedelta(hours=1)).wanted


def test_the_brake_grips_once_and_lets_go_after_an_hour(house):
    few = Limits(block=100, brake=3)
    answers = [ask(house, email=f"r{n}@example.net", limits=few) for n in range(6)]
    assert [answer.refused for answer in answers] == ["", "", "", "brake", "brake", "brake"]
    assert [answer.tripped for answer in answers] == [False, False, False, True, False, False]
    assert ask(house, email="r0@example.net", limits=few).refused == "brake", "whoever asked before is told the same"
    assert ask(house, email="r4@example.net", limits=few, now=NOW + timedelta(hours=1)).wanted, (
        "nobody's day was used up"
    )


def test_ten_thousand_scripted_sign_ups_ask_each_mailbox_once_and_trip_the_brake_once(sqlite_engine):
    """From everywhere and nowhere, each mailbox in ten spellings: what a botnet would send."""
    morning(sqlite_engine)
    limits, wanted, tripped, refused = Limits(block=40, brake=400), [], 0, 0
    for n in range(10_000):
        email = f"reader{n % 1000}@example{n % 7}.net" if n % 2 else f"READER{n % 1000}@EXAMPLE{n % 7}.net"
        answer = ask(
            sqlite_engine, email=email.replace("READER", "reader"), block=f"10.{n % 300}.0.0/24", limits=limits
        )
        wanted += [answer.wanted.email_hash] if answer.wanted else []
        tripped += answer.tripped
        refused += bool(answer.refused)
    assert len(wanted) == len(set(wanted)) == limits.brake
    assert tripped == 1
    assert refused > 5000


@pytest.mark.parametrize(
    ("client", "block"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_an_address_stands_for_its_block(client, block):
    assert block_of(client) == block


@given(st.text(max_size=60))
def test_any_name_of_a_client_has_a_block(client):
    assert isinstance(block_of(client), str)


def test_counts_name_nobody(house):
    ask(house)
    assert all(
        len(row.key) == 16 and b"ana" not in row.key and b"192" not in row.key for row in rows(house, "signup_count")
    )


# the mailbox's word -------------------------------------------------------------------------------------------------


def test_a_word_makes_the_subscriber_and_the_consent_with_its_proof(house):
    ask(house)
    made = confirm(house, now=NOW + timedelta(hours=2))
    assert made.digests == (1,)
    (person,), (wish,) = rows(house, "subscriber"), rows(house, "subscription")
    assert (person.email, person.language, person.zone, person.email_hash) == (
        "ana@example.net",
        "es",
        "Europe/Madrid",
        HASH,
    )
    assert (wish.state, wish.channel, wish.consent_at, wish.confirmed_at) == (
        "active",
        "email",
        NOW,
        NOW + timedelta(hours=2),
    )
    assert (wish.consent_source, wish.consent_wording, wish.consent_proof) == ("page", WORDS.version, "p" * 40)
    assert not rows(house, "signup")


def test_a_second_word_makes_nothing(house):
    ask(house)
    confirm(house)
    before = rows(house, "subscription")
    assert confirm(house, proof="q" * 40) is None
    assert rows(house, "subscription") == before


def test_only_what_was_shown_is_confirmed(house):
    ask(house)
    ask(house, digest=2)
    with house.connect() as connection:
        assert signup.pending(connection, HASH, now=NOW) == [1, 2]
    assert confirm(house, 2).digests == (2,)
    assert [row.digest_id for row in rows(house, "signup")] == [1]
    assert confirm(house, 7) is None


def test_who_had_left_comes_back_with_new_consent_and_the_choices_of_before(house):
    (ana,) = readers(house, 1, language="fr", zone="Asia/Seoul")
    set_wish(house, ana, state="left", left_at=NOW, left_why="much", frequency="weekly")
    ask(house, email=f"reader{ana}@example.net")
    confirm(house, email_hash=address_hash(KEYS.hash_key, f"reader{ana}@example.net"))
    (person,), (wish,) = rows(house, "subscriber"), rows(house, "subscription")
    assert (wish.state, wish.left_at, wish.left_why, wish.frequency) == ("active", None, "", "weekly")
    assert wish.consent_proof == "p" * 40
    assert (person.language, person.zone) == ("fr", "Asia/Seoul")


def test_a_pause_outlives_a_second_sign_up(house):
    (ana,) = readers(house, 1)
    set_wish(house, ana, state="paused", paused_until=NOW + timedelta(days=9))
    ask(house, email=f"reader{ana}@example.net")
    confirm(house, email_hash=address_hash(KEYS.hash_key, f"reader{ana}@example.net"))
    assert rows(house, "subscription")[0].state == "paused"


def test_after_a_week_a_sign_up_is_gone(house):
    ask(house)
    week = NOW + signup.KEPT
    assert confirm(house, now=week) is None
    assert confirm(house, now=week - timedelta(seconds=1)) is not None


def test_what_waits_for_a_mailbox_can_be_forgotten(house):
    ask(house)
    ask(house, email="ben@example.net")
    with writing(house) as session:
        signup.forget(session.connection(), [HASH])
        left = session.execute(select(func.count()).select_from(TABLE["signup"])).scalar()
    assert left == 1
