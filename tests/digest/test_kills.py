"""kill -9 at every window and at random: every reader has exactly one file, and the books say so."""

import re
import signal
from collections import Counter
from datetime import UTC, datetime
from multiprocessing import get_context

import pytest

from digest.deliveries import settle
from digest.transports.outbox import ASIDE, Outbox
from tests import worker
from tests.kills import HANDS, Plan, trial
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


@pytest.mark.slow
def test_twenty_kills_at_random_moments_on_sqlite(sqlite_engine, outbox):
    twenty_kills(sqlite_engine, outbox, 1)


@pytest.mark.slow
@pytest.mark.postgres
def test_twenty_kills_at_random_moments_with_two_workers_on_postgresql(postgres_engine, outbox):
    twenty_kills(postgres_engine, outbox, 2)


def twenty_kills(engine, outbox, workers):
    plan = Plan(by="outbox", readers=10_000, kills=20, workers=workers, **HANDS["outbox"])
    result = trial(engine, plan, outbox.parent)
    assert (result.faults, result.doubts) == ([], 0)
    if workers > 1:  # the last one killed had a neighbour to finish its work, so nobody need have started since
        Outbox(outbox, PLACE)
    assert not any((outbox / ASIDE).glob("*/*")), "the next worker clears what the dead left"
