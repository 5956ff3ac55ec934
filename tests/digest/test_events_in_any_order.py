"""What comes back in any order, any number of times, with lies between, and beside a process that sends."""

import random
import shutil
from contextlib import contextmanager
from datetime import timedelta
from threading import Event as Signal
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digest.database import open_engine
from digest.deliveries import balance_of, deliver
from digest.delivery_ids import LENGTH
from digest.errors import StorageError
from digest.values import DeliveryState, Event, EventKind, Receipt
from tests.heard import AT, HARD, SOFT, event, everything, sent, set_state, states, told
from tests.laid import lay
from tests.newsroom import KEYS, NOW, morning, opened, readers

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
def sent_file(tmp_path_factory):
    """A database with four deliveries, one of them unconfirmed, one closed so."""
    file = tmp_path_factory.mktemp("sent") / "digest.sqlite"
    engine = open_engine(lay(file))
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


def test_a_shuffled_stream_told_ten_times_over_by_several_at_once_ends_like_the_clean_one(engine, tmp_path):
    sent(engine, 40)
    chance = random.Random(3)
    clean = [
        event(n, chance.choice(KINDS), chance.randint(0, 900), reason="said") for n in range(1, 41) for _ in range(3)
    ]
    alone = open_engine(lay(tmp_path / "clean.sqlite"))
    sent(alone, 40)
    told(alone, *clean)
    wanted = everything(alone)
    alone.dispose()
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
