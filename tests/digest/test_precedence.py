"""What people ask for is written before what a sending process writes, and nobody waits for ever."""

import threading
import time
from itertools import pairwise
from statistics import median

import pytest
from sqlalchemy import text

from digest import precedence
from digest.database import open_engine, people_first, reading, writing
from digest.models import AuditRow
from tests.newsroom import NOW


def note(engine, who):
    with writing(engine) as session:
        session.add(AuditRow(at=NOW, who=who, did="write", subject="test", subject_id=1))


@pytest.fixture
def busy(sqlite_engine, tmp_path):
    """A machine that writes without a pause; gives how often it has."""
    engine, over, count = open_engine(f"sqlite:///{tmp_path / 'digest.sqlite'}"), threading.Event(), [0]

    def work():
        while not over.is_set():
            note(engine, "machine")
            count[0] += 1

    thread = threading.Thread(target=work)
    thread.start()
    while not count[0]:
        time.sleep(0.001)
    yield count
    over.set()
    thread.join()
    engine.dispose()


def test_a_person_is_written_at_once_while_a_machine_writes_without_a_pause(sqlite_engine, busy):
    people, times, before = people_first(sqlite_engine), [], busy[0]
    for _ in range(40):
        start = time.monotonic()
        note(people, "person")
        times.append(time.monotonic() - start)
        time.sleep(0.005)
    assert median(times) < 0.1
    assert busy[0] > before, "the machine must go on between people"


def test_a_machine_waits_while_somebody_writes_for_a_person_and_not_longer(sqlite_engine, tmp_path):
    people = people_first(open_engine(f"sqlite:///{tmp_path / 'digest.sqlite'}"))
    order = []
    with people.connect() as connection:
        precedence.go_first(connection)  # before its transaction begins: only the file is held
        thread = threading.Thread(target=lambda: (note(sqlite_engine, "machine"), order.append("machine")))
        thread.start()
        time.sleep(precedence.WAY / 3)
        order.append("person")
        precedence.over(connection)
        thread.join(5)
    assert order == ["person", "machine"]
    people.dispose()


def test_whoever_is_stopped_with_the_file_in_hand_only_delays_the_others(sqlite_engine, tmp_path):
    people = people_first(open_engine(f"sqlite:///{tmp_path / 'digest.sqlite'}"))
    with people.connect() as connection:
        precedence.go_first(connection)
        start = time.monotonic()
        note(sqlite_engine, "machine")
        assert precedence.WAY <= time.monotonic() - start < precedence.WAY + 2
    people.dispose()


def test_readers_never_look_at_the_file(sqlite_engine, tmp_path):
    people = people_first(open_engine(f"sqlite:///{tmp_path / 'digest.sqlite'}"))
    with people.connect() as connection:
        precedence.go_first(connection)
        start = time.monotonic()
        with reading(sqlite_engine) as session:
            session.execute(text("SELECT 1"))
        assert time.monotonic() - start < precedence.WAY
    people.dispose()


def test_the_file_is_free_again_after_a_transaction_that_failed(sqlite_engine):
    people = people_first(sqlite_engine)
    with pytest.raises(ZeroDivisionError), writing(people):
        raise ZeroDivisionError
    times = [time.monotonic()]
    for _ in range(3):
        note(sqlite_engine, "machine")
        times.append(time.monotonic())
    assert max(b - a for a, b in pairwise(times)) < precedence.WAY


def test_a_folder_that_takes_no_file_takes_the_courtesy_away_and_nothing_else(sqlite_engine, monkeypatch):
    monkeypatch.setattr(precedence, "SUFFIX", "/not/a/folder")
    note(people_first(sqlite_engine), "person")


def test_on_postgresql_nothing_is_locked(engine):
    note(people_first(engine), "person")
