"""What has had its time goes, by its settings, in small steps; after an erasure the files are written anew at a good hour."""

import sqlite3
import threading
import time
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlmodel import SQLModel

from digest import persons
from digest.database import people_first, writing
from digest.deliveries import claim
from digest.posting import on_duty
from digest.press import Press
from digest.retention import SOME, counted, sweeps, swept
from digest.settings import Settings, read_settings
from digest.upkeep import SMALL, Hourly, last_night, may_scrub, unscrubbed, upkeep
from tests.newsroom import KEYS, NOW, Morning, morning, opened, readers

TABLE = SQLModel.metadata.tables
TIMES = {
    "sign-ups not confirmed": 7,
    "counts of sign-ups": 1,
    "service messages": 7,
    "addresses of welcomes": 7,
    "events": 30,
    "who opened and clicked": 90,
    "opens and clicks told once": 3,
    "imports broken off": 30,
}


@pytest.fixture
def house(engine, tmp_path):
    morning(engine)
    return Press(settings=Settings(home=tmp_path), engine=engine, keys=KEYS)


@pytest.fixture
def small(sqlite_engine, tmp_path):
    morning(sqlite_engine)
    return Press(settings=Settings(home=tmp_path, scrub_hour=3), engine=sqlite_engine, keys=KEYS)


SERIAL = count()


def put(engine, name, ages):
    """Rows of one kind, so many seconds old."""
    rows = []
    for age in ages:
        n, at = next(SERIAL), NOW - timedelta(seconds=age)
        hashed = n.to_bytes(16, "big")
        if name == "sign-ups not confirmed":
            rows.append({"email": f"r{n}@example.net", "email_key": f"r{n}@example.net", "email_hash": hashed, "digest_id": 1,
                         "language": "en", "zone": "UTC", "asked_at": at, "source": "", "wording": ""})  # fmt: skip
        elif name == "counts of sign-ups":
            rows.append({"key": hashed, "since": at, "count": 1})
        elif name == "imports broken off":
            rows.append({"key": hashed, "began_at": at, "lines": 5000, "counts": {}})
        elif name == "opens and clicks told once":
            rows.append({"key": hashed, "heard_at": at.timestamp()})
        elif name == "who opened and clicked":
            [who] = readers(engine, 1)
            rows.append({"subscriber_id": who, "edition_id": 1, "kind": "opened", "link": -1, "at": at.timestamp(),
                         "machine": False, "why": "", "source": ""})  # fmt: skip
        elif name == "events":
            rows.append({"key": hashed, "provider": "smtp", "kind": "bounced", "at": 0.0, "heard_at": at.timestamp(), "target": "t", "mailing_id": 1, "number": 1,
                         "permanent": False, "machine": False, "link": "", "reason": ""})  # fmt: skip
        else:
            with engine.begin() as connection:
                mailing = connection.execute(TABLE["mailing"].insert().values(
                    month=202611, kind="service", version=1, state="done", candidates=1, generation=1, date="", expires_at=at,
                    filled_at=at, reason="").returning(TABLE["mailing"].c.id)).scalar_one()  # fmt: skip
            kind = "welcome" if name == "addresses of welcomes" else "confirm"
            rows.append({"mailing_id": mailing, "kind": kind, "digest_id": 1, "email": f"r{n}@example.net", "email_hash": hashed,
                         "opened_at": at})  # fmt: skip
    with engine.begin() as connection:
        if rows:
            connection.execute(table_of(name).insert(), rows)


def table_of(name):
    return next(one.table for one in sweeps(Settings(), NOW) if one.name == name)


def test_every_sweep_there_is_is_tested_here():
    assert {one.name: one.kept.days for one in sweeps(Settings(), NOW)} == TIMES


@pytest.mark.parametrize("name", TIMES)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_exactly_what_has_had_its_time_goes_and_a_dry_run_knew_it(house, name, data):
    edge = TIMES[name] * 86_400
    ages = data.draw(st.lists(st.sampled_from([0, edge // 2, edge - 1, edge + 1, edge * 3]), max_size=12))
    with house.engine.begin() as connection:
        connection.execute(table_of(name).delete())
    put(house.engine, name, ages)
    over = sum(age > edge for age in ages)
    before = rows(house, name)
    assert counted(house.engine, house.settings, now=NOW) == {**dict.fromkeys(TIMES, 0), name: over}
    assert rows(house, name) == before, "counting changes nothing"
    assert swept(house.engine, house.settings, now=NOW)[name] == over
    left = rows(house, name)
    if name == "addresses of welcomes":
        assert (len(left), sum(row.email == "" for row in left)) == (len(ages), over), "their links work on"
    else:
        assert len(left) == len(ages) - over
    assert sum(swept(house.engine, house.settings, now=NOW).values()) == 0


def rows(house, name):
    with house.engine.connect() as connection:
        return connection.execute(select(table_of(name))).all()


@pytest.mark.parametrize(("setting", "name"), [("signup_days", "sign-ups not confirmed"), ("event_days", "events")])
def test_the_times_are_settings(house, setting, name):
    put(house.engine, name, [3600 * 24 * 20])
    longer = Settings(home=house.settings.home, **{setting: 60})
    assert swept(house.engine, longer, now=NOW)[name] == 0
    shorter = Settings(home=house.settings.home, soft_bounce_days=10, **{setting: 10})
    assert swept(house.engine, shorter, now=NOW)[name] == 1


def test_events_are_not_forgotten_while_bounces_are_counted(tmp_path):
    with pytest.raises(Exception, match="DIGEST_EVENT_DAYS is shorter than DIGEST_SOFT_BOUNCE_DAYS"):
        read_settings(tmp_path, event_days=10, soft_bounce_days=20)


def test_a_sweep_of_thousands_lets_others_write_in_between_and_stops_when_told(house):
    put(house.engine, "events", [86_400 * 40] * (SOME * 20))
    waits, over = [], threading.Event()

    def person():
        while not over.is_set():
            start = time.monotonic()
            with writing(people_first(house.engine)) as session:
                session.connection().execute(TABLE["subscriber"].update().values(name="x"))
            waits.append(time.monotonic() - start)
            time.sleep(0.002)

    thread = threading.Thread(target=person)
    thread.start()
    try:
        assert swept(house.engine, house.settings, now=NOW)["events"] == SOME * 20
    finally:
        over.set()
        thread.join()
    assert len(waits) >= 5
    assert max(waits) < 1
    put(house.engine, "events", [86_400 * 40] * (SOME * 3))
    told = iter([False, False, True])  # asked before each step
    taken = swept(house.engine, house.settings, now=NOW, stop=lambda: next(told, True))
    assert sum(taken.values()) < SOME * 3


def test_it_is_done_once_an_hour(house):
    clock = [NOW]
    hourly = Hourly(house, lambda: clock[0])
    put(house.engine, "events", [86_400 * 40])
    assert hourly.look(lambda: False).removed["events"] == 1
    clock[0] += timedelta(minutes=59)
    assert hourly.look(lambda: False) is None
    clock[0] += timedelta(minutes=1)
    assert hourly.look(lambda: False) is not None
    clock[0] -= timedelta(days=365)  # it was a year ahead
    assert hourly.look(lambda: False) is not None


def test_who_is_on_duty_does_it_too(small):
    put(small.engine, "sign-ups not confirmed", [8 * 86_400 + (datetime.now(UTC) - NOW).total_seconds()])
    give_up = time.monotonic() + 20
    with on_duty(small, clock=lambda: datetime.now(UTC)):
        while rows(small, "sign-ups not confirmed") and time.monotonic() < give_up:
            time.sleep(0.05)
    assert not rows(small, "sign-ups not confirmed")


def test_while_the_clock_is_doubted_nothing_is_taken_for_old(small):
    put(small.engine, "sign-ups not confirmed", [8 * 86_400 + (datetime.now(UTC) - NOW).total_seconds()])
    asked = []
    with on_duty(small, clock=lambda: datetime.now(UTC), doubt=lambda: asked.append(1) or "it may be wrong"):
        give_up = time.monotonic() + 20
        while len(asked) < 4 and time.monotonic() < give_up:
            time.sleep(0.05)
    assert len(rows(small, "sign-ups not confirmed")) == 1


# after an erasure ---------------------------------------------------------------------------------------------------


def erased(house, now=NOW):
    (one,) = readers(house.engine, 1)
    persons.erase(house, f"reader{one}@example.net", who="ana", now=now)


def test_files_are_written_anew_once_for_all_who_were_erased_since(small):
    assert not upkeep(small, now=NOW).scrubbed, "nobody was erased"
    erased(small)
    erased(small)
    assert waiting(small) == 2
    assert upkeep(small, now=NOW).scrubbed
    assert waiting(small) == 0
    assert not upkeep(small, now=NOW).scrubbed
    erased(small)
    assert waiting(small) == 1


def waiting(house):
    with house.engine.connect() as connection:
        return len(unscrubbed(connection))


@pytest.mark.postgres
def test_postgresql_vacuums_by_itself(postgres_engine, tmp_path):
    morning(postgres_engine)
    house = Press(settings=Settings(home=tmp_path), engine=postgres_engine, keys=KEYS)
    erased(house)
    assert waiting(house) == 0
    assert not upkeep(house, now=NOW).scrubbed


def test_a_large_file_waits_for_the_night_and_whoever_asks_at_a_keyboard_does_not(small, monkeypatch):
    monkeypatch.setattr("digest.upkeep.SMALL", 0)
    erased(small)  # at six in the morning
    night = NOW.replace(hour=3) + timedelta(days=1)
    assert not may_scrub(small, now=NOW + timedelta(hours=1))
    assert may_scrub(small, now=NOW, at_once=True)
    assert not may_scrub(small, now=night - timedelta(seconds=1))
    assert may_scrub(small, now=night)
    assert may_scrub(small, now=night + timedelta(hours=9)), "a night that was missed is made up for"
    assert SMALL > 0


@given(st.datetimes(), st.integers(0, 23))
def test_the_last_night_is_within_the_last_day_and_never_ahead(moment, hour):
    if moment.year < 2:
        return
    night = last_night(moment, hour)
    assert timedelta(0) <= moment - night < timedelta(days=1)
    assert night.hour == hour


def test_nothing_is_written_anew_while_messages_leave(small):
    edition = morning_of(small)
    erased(small)
    readers(small.engine, 3)
    opened(small.engine, edition)
    assert not may_scrub(small, now=NOW)
    claim(small.engine, owner="w", now=NOW, lease=60, transports=["outbox"], keys=KEYS)
    assert not upkeep(small, now=NOW, scrub_at_once=True).scrubbed
    with small.engine.begin() as connection:
        connection.execute(TABLE["batch"].update().values(state="done"))
    assert upkeep(small, now=NOW).scrubbed


def morning_of(house):
    with house.engine.connect() as connection:
        proof = connection.execute(select(TABLE["proof"].c.id)).scalars().first()
    return Morning(digest=1, edition=1, proofs={("email", "", "en"): proof})


def test_somebody_who_reads_puts_it_off_and_that_is_said(small, tmp_path):
    erased(small)
    with small.engine.connect() as connection:
        connection.connection.driver_connection.execute("PRAGMA busy_timeout=50")
    other = sqlite3.connect(tmp_path / "digest.sqlite", isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT count(*) FROM subscriber").fetchone()
    done = upkeep(small, now=NOW)
    assert (done.scrubbed, "somebody reads it" in done.fault) == (False, True)
    assert waiting(small) == 1
    other.execute("COMMIT")
    other.close()
    assert upkeep(small, now=NOW).scrubbed
