"""What came back: the same tables whatever the order and however often; proof settles doubt; stated policy suppresses."""

import random
import shutil
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from threading import Event as Signal
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlmodel import SQLModel

from digest.consequences import Policy
from digest.database import open_engine, writing
from digest.deliveries import balance_of, claim, decide, deliver, mark, record, recover, settle
from digest.delivery_ids import LENGTH, delivery_id, delivery_token
from digest.errors import StorageError
from digest.events import Outcome, _Hearing, adopt, hear
from digest.retention import swept
from digest.settings import Settings
from digest.values import DeliveryState, Event, EventKind, Receipt
from subscribers.tokens import address_hash
from tests.newsroom import KEYS, NOW, deliveries_of, morning, opened, readers, set_wish, suppress
from tests.sendgrid_events import name

AT = NOW.timestamp()
POLICY = Policy(soft_bounces=3, soft_days=10)
HARD = ("bounced", True)
SOFT = ("bounced", False)
KEPT = timedelta(days=POLICY.event_days)


def table(engine, which, *columns):
    rows = SQLModel.metadata.tables[which]
    with engine.connect() as connection:
        return sorted(
            connection.execute(rows.select().with_only_columns(*[rows.c[one] for one in columns])).all(), key=str
        )


def everything(engine):
    """All that events may change, but for the numbers of rows."""
    return (
        table(engine, "delivery", "number", "state", "reason", "updated_at", "next_at", "batch_id"),
        table(engine, "event", "key", "provider", "kind", "at", "mailing_id", "number", "target", "delivery", "permanent", "reason"),
        table(engine, "suppression", "email_hash", "reason", "note"),
        table(engine, "subscription", "id", "state"),
    )  # fmt: skip


def event(number, kind, at=0, **more):
    kind, permanent = kind if isinstance(kind, tuple) else (kind, False)
    return Event(more.pop("delivery", None) or name(number), EventKind(kind), AT + at, permanent=permanent, **more)


def told(engine, *events, now=NOW, **options):
    return hear(
        engine, events, keys=KEYS, provider="sendgrid", policy=options.pop("policy", POLICY), now=now, **options
    )


def sent(engine, count, channels=("email",)):
    """A mailing to so many readers, all of it accepted; its id."""
    house = morning(engine, [(channel, "", "en") for channel in channels])
    readers(engine, count, channels=channels)
    mailing = opened(engine, house, [house.share(channel) for channel in channels])
    while batch := claim(engine, owner="me", now=NOW, lease=60, transports=["outbox"], keys=KEYS):
        record(
            engine,
            batch,
            [Receipt(one.number, DeliveryState.ACCEPTED, "id-of-it") for one in batch.recipients],
            now=NOW,
        )
    assert settle(engine, mailing, now=NOW).done
    return mailing


def states(engine):
    return [row.state for row in deliveries_of(engine)]


def suppressed(engine):
    return {
        row.email_hash: (row.reason, row.note) for row in table(engine, "suppression", "email_hash", "reason", "note")
    }


def hash_of(number):
    return address_hash(KEYS.hash_key, f"reader{number}@example.net")


def audit(engine):
    return [(row.who, row.did, row.subject_id) for row in table(engine, "audit", "id", "who", "did", "subject_id")]


# states ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kinds", "state"),
    [
        (["processed"], "accepted"),
        (["deferred"], "accepted"),
        (["processed", "delivered"], "delivered"),
        (["delivered", SOFT], "bounced"),
        ([HARD, "delivered"], "bounced"),
        (["blocked"], "bounced"),
        (["delivered", "complained"], "complained"),
        (["complained", HARD], "complained"),
        (["dropped", "delivered"], "delivered"),
        (["dropped", "processed"], "dropped"),
    ],
)
def test_the_stronger_word_counts_whichever_came_first(engine, kinds, state):
    mailing = sent(engine, 2)
    told(engine, *[event(1, kind, at) for at, kind in enumerate(kinds)])
    for at, kind in reversed(list(enumerate(kinds))):
        told(engine, event(2, kind, at))
    assert states(engine) == [state, state]
    assert balance_of(engine, mailing).balanced


def test_what_was_handed_over_stays_handed_over_in_the_books_whatever_came_back(engine):
    mailing = sent(engine, 6)
    told(engine, *[event(n, kind) for n, kind in enumerate(["delivered", HARD, "blocked", "dropped", "complained"], 1)])
    balance = balance_of(engine, mailing)
    assert balance.words == "6 of 6 handed over; nothing is open and the books balance."
    assert balance.counts == {"accepted": 1, "delivered": 1, "bounced": 2, "dropped": 1, "complained": 1}


def test_of_two_equal_words_the_later_one_is_told(engine):
    sent(engine, 1)
    told(engine, event(1, SOFT, 20, reason="452 full"))
    told(engine, event(1, SOFT, 10, reason="451 busy"))
    (row,) = deliveries_of(engine)
    assert (row.state, row.reason, row.updated_at) == ("bounced", "452 full", AT + 20)


@pytest.mark.parametrize(
    "state", sorted(set(DeliveryState) - {"accepted", "delivered", "bounced", "dropped", "complained"})
)
@pytest.mark.parametrize("kind", ["processed", "delivered"])
def test_proof_ends_every_doubt_and_every_wrong_belief(sqlite_engine, state, kind):
    sent(sqlite_engine, 1)
    set_state(sqlite_engine, 1, state, next_at=AT + 300)
    told(sqlite_engine, event(1, kind))
    (row,) = deliveries_of(sqlite_engine)
    assert (row.state, row.next_at) == ({"processed": "accepted", "delivered": "delivered"}[kind], None)


def set_state(engine, number, state, **values):
    rows = SQLModel.metadata.tables["delivery"]
    with engine.begin() as connection:
        connection.execute(rows.update().where(rows.c.number == number).values(state=state, **values))


def test_an_unconfirmed_delivery_is_accepted_by_an_event_and_no_longer_a_persons_to_decide(engine):
    house = morning(engine)
    readers(engine, 3)
    mailing = opened(engine, house)
    batch = claim(engine, owner="gone", now=NOW, lease=60, transports=["outbox"], keys=KEYS)
    mark(engine, batch, [one.number for one in batch.recipients], now=NOW)
    recover(engine, now=NOW + timedelta(minutes=5), provers={}, keys=KEYS)
    assert states(engine) == ["ambiguous"] * 3
    assert told(engine, event(1, "processed"), event(2, "deferred", reason="450 later")).moved == 2
    assert states(engine) == ["accepted", "accepted", "ambiguous"]
    assert decide(engine, mailing, "resend", now=NOW) == 1
    balance = balance_of(engine, mailing)
    assert (balance.handed, balance.unconfirmed, balance.open) == (2, 0, 1)


@pytest.mark.parametrize("first", ["event", "answer"])
def test_an_event_that_comes_before_the_providers_own_answer_changes_nothing_in_the_end(engine, first):
    house = morning(engine)
    readers(engine, 3)
    mailing = opened(engine, house)
    batch = claim(engine, owner="me", now=NOW, lease=60, transports=["outbox"], keys=KEYS)
    numbers = [one.number for one in batch.recipients]
    assert mark(engine, batch, numbers, now=NOW) == {1, 2, 3}  # one write on the batch: the rows say queued
    steps = {
        "event": lambda: told(engine, event(1, "delivered", reason="250 ok")),
        "answer": lambda: record(engine, batch, [Receipt(n, DeliveryState.ACCEPTED, "id") for n in numbers], now=NOW),
    }
    for step in sorted(steps, key=lambda one: one != first):
        steps[step]()
    assert [(row.state, row.reason) for row in deliveries_of(engine)] == [
        ("delivered", "250 ok"),
        ("accepted", "id"),
        ("accepted", "id"),
    ]
    assert settle(engine, mailing, now=NOW).done


def test_a_delivery_that_was_queued_again_is_not_handed_over_twice_once_it_is_proved(engine):
    mailing = resent(engine)
    told(engine, event(2, "delivered"))
    handed = handed_by_whole_batches(engine, mailing)
    assert handed == [1, 3]
    assert states(engine) == ["accepted", "delivered", "accepted"]


def test_not_even_when_a_worker_has_claimed_its_batch_already(engine):
    """It marks all of it by one write, without looking at the rows once more."""
    resent(engine)
    batch = claim(engine, owner="me", now=NOW, lease=60, transports=["outbox"], keys=KEYS)
    told(engine, event(2, "delivered"))
    assert mark(engine, batch, [one.number for one in batch.recipients], now=NOW) == set()
    again = claim(engine, owner="me", now=NOW, lease=60, transports=["outbox"], keys=KEYS)
    assert [one.number for one in again.recipients] == [1, 3]
    assert again.fence > batch.fence


def test_a_worker_that_marks_one_by_one_keeps_its_batch(engine):
    resent(engine)
    batch = claim(engine, owner="me", now=NOW, lease=60, transports=["outbox"], keys=KEYS)
    assert mark(engine, batch, [1], now=NOW) == {1}
    told(engine, event(2, "delivered"))
    assert mark(engine, batch, [2], now=NOW) == set()
    assert mark(engine, batch, [3], now=NOW) == {3}
    assert record(engine, batch, [Receipt(n, DeliveryState.ACCEPTED) for n in (1, 3)], now=NOW)
    assert states(engine) == ["accepted", "delivered", "accepted"]


def resent(engine):
    """Three deliveries that a crash left unconfirmed, and a person had queued again."""
    house = morning(engine)
    readers(engine, 3)
    mailing = opened(engine, house)
    batch = claim(engine, owner="gone", now=NOW, lease=60, transports=["outbox"], keys=KEYS)
    mark(engine, batch, [one.number for one in batch.recipients], now=NOW)
    recover(engine, now=NOW + timedelta(minutes=5), provers={}, keys=KEYS)
    assert decide(engine, mailing, "resend", now=NOW) == 3
    return mailing


def handed_by_whole_batches(engine, mailing):
    handed = []

    class Wire:
        appetite = 1

        def send(self, proof, recipients, mark):
            ours = mark([one.number for one in recipients])
            for one in recipients:
                if one.number in ours:
                    handed.append(one.number)
                    yield Receipt(one.number, DeliveryState.ACCEPTED)

        def prove(self, proof, recipient):
            return None

    deliver(engine, {"outbox": Wire()}, mailing=mailing, keys=KEYS, lease=60, clock=lambda: NOW)
    return sorted(handed)


# whose it is, and how often -------------------------------------------------------------------------------------------


def test_an_event_counts_once_however_often_it_is_told(engine):
    sent(engine, 2)
    one, other = event(1, "delivered"), event(2, "delivered")
    heard = told(engine, one, other, one)
    assert heard.outcomes == [Outcome.HEARD, Outcome.HEARD, Outcome.AGAIN]
    before = everything(engine)
    again = told(engine, other, one, now=NOW + timedelta(hours=29))
    assert (again.outcomes, again.moved, again.suppressed) == ([Outcome.AGAIN] * 2, 0, 0)
    assert everything(engine) == before


def test_the_same_at_another_moment_or_by_another_link_is_another_event(engine):
    sent(engine, 1)
    heard = told(
        engine, event(1, "deferred"), event(1, "deferred", 60), event(1, "left", url="a"), event(1, "left", url="b")
    )
    assert heard.outcomes == [Outcome.HEARD] * 4


@pytest.mark.parametrize(
    "forged",
    ["", "f" * LENGTH, "1", name(1)[:-1] + ("0" if name(1)[-1] != "0" else "1"), name(1).upper() + "0", "é", "\ud800", "x" * 100_000,
     delivery_id(b"another house's key", mailing=1, number=1, opened=int(AT))],
)  # fmt: skip
def test_a_name_that_is_not_ours_leaves_no_trace(engine, forged):
    sent(engine, 1)
    before = everything(engine)
    heard = told(engine, Event(forged, EventKind.BOUNCED, AT, permanent=True))
    assert heard.outcomes == [Outcome.FOREIGN]
    assert everything(engine) == before


def test_nothing_told_is_nothing_heard(engine):
    assert told(engine).outcomes == []


def test_no_address_is_kept_with_an_event(engine):
    sent(engine, 1)
    told(engine, event(1, HARD, reason="550 no such user"))
    ((target, delivery, number),) = table(engine, "event", "target", "delivery", "number")
    assert (target, delivery, number) == (hash_of(1).hex(), "", 1)


def test_a_delivery_that_is_not_known_here_is_kept_aside_and_heard_once_it_is(engine):
    heard = told(engine, event(1, HARD), event(2, "delivered"), event(1, "delivered", delivery=name(1, opened=5)))
    assert heard.outcomes == [Outcome.ASIDE] * 3
    assert {row.number for row in table(engine, "event", "number")} == {None}
    assert adopt(engine, keys=KEYS, policy=POLICY, now=NOW) == 0
    sent(engine, 3)
    assert told(engine, event(1, HARD)).outcomes == [Outcome.AGAIN]
    assert adopt(engine, keys=KEYS, policy=POLICY, now=NOW) == 2
    assert states(engine) == ["bounced", "delivered", "accepted"]
    assert suppressed(engine).keys() == {hash_of(1)}
    assert sorted(table(engine, "event", "number", "delivery"), key=str) == [
        (1, ""),
        (2, ""),
        (None, name(1, opened=5)),
    ]
    assert adopt(engine, keys=KEYS, policy=POLICY, now=NOW) == 0


def test_events_about_an_earlier_database_of_this_house_do_not_touch_the_mailing_that_has_its_number_now(engine):
    sent(engine, 1)
    told(engine, event(1, HARD, delivery=name(1, opened=int(AT) - 86_400)))
    assert states(engine) == ["accepted"]
    assert suppressed(engine) == {}


def test_many_kept_aside_are_gone_through_in_turns(sqlite_engine, monkeypatch):
    monkeypatch.setattr("digest.events.SOME", 7)
    told(sqlite_engine, *[event(n, "delivered") for n in range(1, 31)])
    sent(sqlite_engine, 20)
    assert adopt(sqlite_engine, keys=KEYS, policy=POLICY, now=NOW) == 20
    assert states(sqlite_engine) == ["delivered"] * 20


def test_events_are_forgotten_after_thirty_days_and_what_they_did_stays(engine):
    sent(engine, 2)
    told(engine, event(1, HARD))
    told(engine, event(2, "delivered"), now=NOW + timedelta(days=2))
    swept(engine, Settings(), now=NOW + KEPT + timedelta(days=1))
    assert [row.number for row in table(engine, "event", "number")] == [2]
    assert states(engine) == ["bounced", "delivered"]
    assert suppressed(engine).keys() == {hash_of(1)}
    late = told(engine, event(1, "delivered", 2 * 86_400), now=NOW + KEPT + timedelta(days=1))
    assert late.outcomes == [Outcome.HEARD]
    assert states(engine)[0] == "bounced"  # though nothing remembers why


def test_what_happened_so_long_ago_that_nobody_would_know_it_again_is_left(engine):
    """A mailbox that is never emptied is read every day; somebody may have lifted a suppression since."""
    sent(engine, 1)
    told(engine, event(1, HARD))
    much_later = NOW + KEPT + timedelta(days=1)
    swept(engine, Settings(), now=much_later)
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM suppression")
    assert told(engine, event(1, HARD), now=much_later).outcomes == [Outcome.OLD]
    assert suppressed(engine) == {}
    assert table(engine, "event", "key") == []


def test_a_dry_run_says_what_would_be_and_keeps_nothing(engine):
    sent(engine, 1)
    before = everything(engine)
    heard = told(engine, event(1, HARD), dry_run=True)
    assert (heard.outcomes, heard.moved, heard.suppressed) == ([Outcome.HEARD], 1, 1)
    assert everything(engine) == before


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


# any order, any number of times, any lies between ---------------------------------------------------------------------

KINDS = [
    "processed",
    "deferred",
    "delivered",
    HARD,
    SOFT,
    "blocked",
    "dropped",
    ("dropped", True),
    "complained",
    "left",
    ("left", True),
]
ANY_EVENT = st.builds(
    lambda number, kind, at, url: event(number, kind, at, url=url, reason=f"{kind} {at}"),
    st.integers(1, 4), st.sampled_from(KINDS), st.integers(0, 3), st.sampled_from(["", "https://u.example/"]),
)  # fmt: skip
FORGED = st.builds(
    lambda text, kind: Event(text, EventKind(kind[0]), AT, permanent=True),
    st.text("0123456789abcdef", min_size=LENGTH - 2, max_size=LENGTH + 2), st.sampled_from([HARD, ("complained", True)]),
)  # fmt: skip


@pytest.fixture(scope="module")
def sent_file(migrated_file, tmp_path_factory):
    """A database with four deliveries, one of them unconfirmed, one closed so."""
    file = tmp_path_factory.mktemp("sent") / "digest.sqlite"
    shutil.copy(migrated_file, file)
    engine = open_engine(f"sqlite:///{file}")
    sent(engine, 4)
    set_state(engine, 2, "ambiguous")
    set_state(engine, 3, "closed_unconfirmed")
    engine.dispose()
    return file


@contextmanager
def copied(file, to):
    shutil.copy(file, to)
    engine = open_engine(f"sqlite:///{to}")
    yield engine
    engine.dispose()


@settings(max_examples=60, deadline=None)
@given(st.lists(ANY_EVENT, max_size=12), st.lists(FORGED, max_size=3), st.randoms(use_true_random=False))
def test_any_order_and_any_repetition_of_any_events_gives_the_same_tables(
    sent_file, tmp_path_factory, clean, forged, chance
):
    folder = tmp_path_factory.mktemp("order")
    with copied(sent_file, folder / "clean.sqlite") as engine:
        told(engine, *clean)
        wanted = everything(engine)
    noisy = [*clean * 3, *forged]
    chance.shuffle(noisy)
    with copied(sent_file, folder / "noisy.sqlite") as engine:
        while noisy:
            some = chance.randint(1, len(noisy))
            told(engine, *noisy[:some], now=NOW + timedelta(seconds=len(noisy)))
            del noisy[:some]
        assert everything(engine) == wanted
    shutil.rmtree(folder)


def test_a_shuffled_stream_told_ten_times_over_by_several_at_once_ends_like_the_clean_one(
    engine, sqlite_engine, tmp_path, migrated_file
):
    sent(engine, 40)
    chance = random.Random(3)
    clean = [
        event(n, chance.choice(KINDS), chance.randint(0, 900), reason="said") for n in range(1, 41) for _ in range(3)
    ]
    shutil.copy(migrated_file, tmp_path / "clean.sqlite")
    with copied(migrated_file, tmp_path / "clean.sqlite") as alone:
        sent(alone, 40)
        told(alone, *clean)
        wanted = everything(alone)
    noisy = clean * 10 + [event(0, HARD, delivery=f"{n:0{LENGTH}x}") for n in range(24)]
    chance.shuffle(noisy)
    tellers = [Thread(target=told_in_pieces, args=(engine, noisy[n::4])) for n in range(4)]
    for teller in tellers:
        teller.start()
    for teller in tellers:
        teller.join(120)
    assert everything(engine) == wanted


def told_in_pieces(engine, events):
    for first in range(0, len(events), 50):
        told(engine, *events[first : first + 50])


# beside a process that is sending -------------------------------------------------------------------------------------


def test_what_comes_back_while_a_mailing_is_being_sent_is_heard_and_nobody_gets_it_twice(engine):
    """The provider tells of a delivery before it answers, and others tell the same again, while the ledger writes."""
    house = morning(engine)
    readers(engine, 600)
    mailing = opened(engine, house)
    handed, failed, over = [], [], Signal()

    class Provider:
        appetite = 200

        def send(self, proof, recipients, mark):
            ours = mark([one.number for one in recipients])
            handed.extend(ours)
            told(engine, *[event(n, "processed") for n in ours])
            yield from [Receipt(number, DeliveryState.ACCEPTED) for number in ours]

        def prove(self, proof, recipient):
            return None

    def tell():
        try:
            while not over.is_set():
                told(engine, *[event(n, "delivered", 5) for n in [*handed][-200:]])
        except StorageError as error:
            failed.append(error)

    teller = Thread(target=tell)
    teller.start()
    deliver(engine, {"outbox": Provider()}, mailing=mailing, keys=KEYS, lease=60, clock=lambda: NOW)
    over.set()
    teller.join(60)
    told(engine, *[event(n, "delivered", 5) for n in handed])
    assert failed == []
    assert sorted(handed) == list(range(1, 601))
    assert balance_of(engine, mailing).done
    assert states(engine) == ["delivered"] * 600


@pytest.mark.postgres
def test_on_postgresql_the_hearer_stands_aside_for_the_ledger_and_tries_again(postgres_engine):
    sent(postgres_engine, 2)
    held, let_go = Signal(), Signal()

    def hold():
        with postgres_engine.begin() as connection:
            connection.exec_driver_sql("SELECT * FROM delivery FOR UPDATE")
            held.set()
            let_go.wait(30)

    holder = Thread(target=hold)
    holder.start()
    assert held.wait(10)
    release = Thread(target=lambda: (Signal().wait(1.2), let_go.set()))
    release.start()
    assert told(postgres_engine, event(1, "delivered")).moved == 1
    holder.join(10)
    release.join(10)


@pytest.mark.postgres
def test_on_postgresql_it_says_so_when_the_ledger_does_not_let_go(postgres_engine):
    sent(postgres_engine, 1)
    with postgres_engine.begin() as connection:
        connection.exec_driver_sql("SELECT * FROM delivery FOR UPDATE")
        with pytest.raises(StorageError):
            told(postgres_engine, event(1, "delivered"))
    assert states(postgres_engine) == ["accepted"]
