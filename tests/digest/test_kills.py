"""kill -9 at every window and at random: every reader has exactly one file, and the books say so."""

import random
import re
import signal
import time
from collections import Counter
from datetime import UTC, datetime
from multiprocessing import get_context

import pytest

from digest.deliveries import settle
from digest.transports.outbox import ASIDE, Outbox
from tests import worker
from tests.newsroom import PLACE, deliveries_of, morning, opened, readers

READERS = 320  # in batches of 50

CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.worker"])


def start(target, *arguments):
    process = CONTEXT.Process(target=target, args=arguments)
    process.start()
    return process


def finished(process):
    process.join(60)
    assert process.exitcode is not None, "a worker hangs"
    return process.exitcode


@pytest.fixture
def outbox(tmp_path):
    return tmp_path / "outbox"


@pytest.fixture
def mailing(engine):
    house = morning(engine)
    readers(engine, READERS)
    return opened(engine, house, now=datetime.now(UTC), expires_at=datetime.max.replace(tzinfo=UTC))


def url_of(engine):
    return engine.url.render_as_string(hide_password=False)


def demand_exactly_one_file_each(engine, mailing, outbox, count=READERS):
    balance = settle(engine, mailing, now=datetime.now(UTC))
    assert (balance.done, dict(balance.counts)) == (True, {"accepted": count}), balance.words
    mails = sorted(outbox.rglob("*.eml"))
    addresses = Counter(re.search(rb"<(reader\d+@example.net)>", mail.read_bytes())[1].decode() for mail in mails)
    assert (len(mails), len(addresses), max(addresses.values())) == (count, count, 1)
    for row in deliveries_of(engine):
        assert mails[row.number - 1].name.startswith(f"{row.number:06d}-")
    Outbox(outbox, PLACE)  # the next start clears what the dead left
    assert list((outbox / ASIDE).iterdir()) == []
    assert {file.suffix for file in outbox.rglob("*") if file.is_file()} == {".eml"}


WINDOWS = (
    "after_claim", "after_claim:3", "after_files", "after_files:2", "after_mark", "after_mark:7", "mid_move", "mid_move:73",
    "after_hand", "after_hand:2", "before_record", "after_record", "after_record:7",
)  # fmt: skip


@pytest.mark.parametrize("window", WINDOWS)
def test_a_kill_in_any_window_loses_nothing_and_repeats_nothing(engine, mailing, outbox, window):
    assert finished(start(worker.work, url_of(engine), outbox, mailing, 3.0, window)) == -signal.SIGKILL
    assert finished(start(worker.work, url_of(engine), outbox, mailing)) == 0
    demand_exactly_one_file_each(engine, mailing, outbox)


def test_two_kills_in_different_windows_of_one_mailing(engine, mailing, outbox):
    for window in ("mid_move:120", "after_mark:2"):
        assert finished(start(worker.work, url_of(engine), outbox, mailing, 3.0, window)) == -signal.SIGKILL
    assert finished(start(worker.work, url_of(engine), outbox, mailing)) == 0
    demand_exactly_one_file_each(engine, mailing, outbox)


@pytest.mark.parametrize(("window", "rows"), [("mid_fill:3", 0), ("after_fill", READERS)])
def test_a_kill_during_the_fill_leaves_everything_or_nothing(engine, outbox, window, rows):
    house = morning(engine)
    readers(engine, READERS)
    assert finished(start(worker.fill, url_of(engine), house, window)) == -signal.SIGKILL
    assert len(deliveries_of(engine)) == rows
    assert finished(start(worker.fill, url_of(engine), house)) == 0
    assert finished(start(worker.work, url_of(engine), outbox, 1 if rows else newest(engine))) == 0
    demand_exactly_one_file_each(engine, newest(engine), outbox)


def newest(engine):
    return deliveries_of(engine)[0].mailing_id


def kill_at_random(engine, mailing, outbox, *, workers, kills, dice):
    """Workers die at random moments, all of them or one, and are started again, until `kills` and then until done."""
    alive = []
    while kills:
        alive = [one for one in alive if one.is_alive()]
        while len(alive) < workers:
            alive.append(start(worker.work, url_of(engine), outbox, mailing, 2.0))
        time.sleep(dice.uniform(0.01, 0.15))
        for one in alive if dice.random() < 0.3 else dice.sample(alive, 1):
            one.kill()
            one.join()
            kills -= 1 if kills else 0
    while any([finished(one) for one in alive] or [1]):
        alive = [start(worker.work, url_of(engine), outbox, mailing, 2.0)]


@pytest.mark.parametrize("seed", [1])
def test_a_few_kills_at_random_moments(sqlite_engine, outbox, seed):
    house = morning(sqlite_engine)
    readers(sqlite_engine, 1500)
    mailing = opened(sqlite_engine, house, now=datetime.now(UTC), expires_at=datetime.max.replace(tzinfo=UTC))
    kill_at_random(sqlite_engine, mailing, outbox, workers=1, kills=5, dice=random.Random(seed))
    demand_exactly_one_file_each(sqlite_engine, mailing, outbox, 1500)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
def test_many_kills_at_random_moments_with_two_workers_on_postgresql(postgres_engine, outbox, seed):
    many_kills(postgres_engine, outbox, workers=2, seed=seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [4, 5])
def test_many_kills_at_random_moments_on_sqlite(sqlite_engine, outbox, seed):
    many_kills(sqlite_engine, outbox, workers=1, seed=seed)


def many_kills(engine, outbox, *, workers, seed):
    house = morning(engine)
    readers(engine, 6000)
    mailing = opened(engine, house, now=datetime.now(UTC), expires_at=datetime.max.replace(tzinfo=UTC))
    kill_at_random(engine, mailing, outbox, workers=workers, kills=25, dice=random.Random(seed))
    demand_exactly_one_file_each(engine, mailing, outbox, 6000)
