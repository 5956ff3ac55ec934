"""What one web process holds before it is written down: bounded, judged together, kept when the database refuses."""

import sqlite3
from datetime import UTC, datetime
from threading import Thread

import pytest
from sqlalchemy import event as listening
from sqlalchemy.exc import IntegrityError

from digest.database import writing
from digest.machines import AN_OPEN, Sight
from digest.press import Press
from digest.settings import Settings
from digest.tracking import Place
from digest.web.counting import Counting, at_work
from tests.newsroom import KEYS
from tests.tracked import AT, published, tallies


@pytest.fixture
def sent(sqlite_engine):
    return published(sqlite_engine)


def counting_over(engine, mode="aggregate", **options):
    press = Press(settings=Settings(_env_file=None, tracking=mode), engine=engine, keys=KEYS)
    return Counting(press, lambda: datetime.fromtimestamp(AT, UTC), **options)


def note(counting, number, *links, client="192.0.2.7", mark="", step=9):
    edition = counting.press.engine.house[0]
    place = Place(edition, 1, counting.press.engine.house[1], number) if number else Place(edition, 1)
    for n, link in enumerate(links):
        counting.note(place, Sight(link, AT + step * n, mark=mark), client=client, agent="Firefox")


def test_a_visitor_who_hammers_counts_once_and_takes_no_room(sent):
    counting = counting_over(sent)
    note(counting, 0, *[1] * 5000, step=0)
    assert counting._held == 1
    counting.settle(everything=True)
    assert tallies(sent) == {("clicked", 1, False, ""): 1}


def test_visitors_are_told_apart_without_anything_of_theirs_being_kept(sent):
    counting = counting_over(sent)
    for n in range(5):
        note(counting, 0, 1, client=f"192.0.2.{n}")
    assert "192.0.2" not in repr(counting._groups)
    counting.settle(everything=True)
    assert tallies(sent) == {("clicked", 1, False, ""): 5}


def test_there_is_room_for_people_when_machines_come_in_masses_and_what_is_dropped_is_counted(sent):
    counting = counting_over(sent, most=100)
    for n in range(80):
        note(counting, 0, 1, client=f"bot {n}", mark="bot")
    for n in range(70):
        note(counting, 0, 1, client=f"person {n}")
    assert counting._held == 100
    counting.settle(everything=True)
    assert counting._held == 0
    assert tallies(sent) == {("clicked", 1, True, ""): 50, ("clicked", 1, False, ""): 50, ("dropped", -1, True, ""): 50}
    counting.settle(everything=True)
    assert tallies(sent)["dropped", -1, True, ""] == 50, "told once"


def test_what_the_database_refuses_is_held_and_written_later(sent):
    counting, looked = counting_over(sent), []
    for n in range(1200):
        note(counting, 0, 1, client=f"person {n}")
    other = sqlite3.connect(sent.url.database, isolation_level=None)

    def lock_before_the_second(connection):
        connection.connection.driver_connection.execute("PRAGMA busy_timeout=50")
        if connection.get_execution_options().get("reads"):
            looked.append(1)
            if len(looked) == 2:
                other.execute("BEGIN IMMEDIATE")

    listening.listen(sent, "begin", lock_before_the_second)
    assert counting.settle(everything=True) == 500
    other.execute("ROLLBACK")
    assert tallies(sent) == {("clicked", 1, False, ""): 500}
    note(counting, 0, 1, client="person 1199")  # who waits comes again: that is the same visit
    assert counting.settle(everything=True) == 700
    assert tallies(sent) == {("clicked", 1, False, ""): 1200}
    other.close()


def test_a_fault_of_ours_costs_what_it_met_and_is_counted_so(sent):
    counting = counting_over(sent)
    note(counting, 0, 1, 2)
    counting.note(Place(999, 1), Sight(1, AT), client="x", agent="y")  # an edition that is gone
    with pytest.raises(IntegrityError):
        counting.settle(everything=True)
    note(counting, 0, 1)
    assert counting.settle(everything=True) == 1
    assert tallies(sent) == {("clicked", 1, False, ""): 1, ("dropped", -1, True, ""): 2}
    assert counting._held == 0


def test_a_locked_database_delays_nobody_who_clicks(sent):
    counting = counting_over(sent)
    with writing(sent):
        note(counting, 0, 1, AN_OPEN)
    counting.settle(everything=True)
    assert len(tallies(sent)) == 2


def test_many_threads_lose_nothing(sent):
    counting = counting_over(sent)

    def clicks(who):
        for n in range(200):
            note(counting, 0, 1, client=f"{who} {n}")

    threads = [Thread(target=clicks, args=(who,)) for who in range(5)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        counting.settle(everything=True)
    for thread in threads:
        thread.join()
    counting.settle(everything=True)
    assert tallies(sent) == {("clicked", 1, False, ""): 1000}


def test_off_nothing_is_even_held_and_a_preview_never_is(sent):
    counting = counting_over(sent, "off")
    note(counting, 0, 1)
    assert counting._held == 0
    counting = counting_over(sent, "personal")
    counting.note(Place(1, 1, preview=True), Sight(1, AT), client="x", agent="y")
    assert counting._held == 0


def test_who_did_one_thing_is_held_for_ten_quiet_seconds_and_who_goes_on_for_a_minute(sent):
    now = [AT]
    press = Press(settings=Settings(_env_file=None, tracking="personal"), engine=sent, keys=KEYS)
    counting = Counting(press, lambda: datetime.fromtimestamp(now[0], UTC))
    note(counting, 1, 1)
    written = {}
    for second in range(75):
        now[0] = AT + second
        if second % 9 == 0:
            counting.note(Place(sent.house[0], 1, sent.house[1], 2), Sight(second, now[0]), client="b", agent="Firefox")
        if counting.settle():
            written[second] = counting._held
    assert written == {10: 2, 60: 0}, "seconds after the first thing, and what is held then: a kill loses no more"


def test_at_the_end_of_the_work_all_of_it_is_on_the_disk(sent):
    counting = counting_over(sent, "personal")
    with at_work(counting):
        note(counting, 1, AN_OPEN, 1)
    assert tallies(sent) == {("opened", -1, False, ""): 1, ("clicked", 1, False, ""): 1}
