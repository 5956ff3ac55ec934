"""Each cause sees what is wrong, and nothing else; and none of them reads through a large table."""

import re
from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlmodel import SQLModel

from digest import desk
from digest.causes import CAUSES, View
from digest.database import reading, writing
from digest.editions import FALLBACK, PRESS
from digest.models import (
    AlarmRow,
    BatchRow,
    CadenceRow,
    DigestRow,
    EditionRow,
    EventRow,
    LeaderRow,
    MailingRow,
    SenderRow,
    SourceRow,
    StationRow,
)
from digest.services import Services
from digest.settings import Settings
from digest.values import EditionState, MailingState, Station, StationState
from subscribers.signup import BRAKE, MessageWanted
from tests.newsroom import NOW, morning, opened, readers

DAY = date(2026, 11, 23)
MINUTE = timedelta(minutes=1)
CHECKS = {cause.name: cause.check for cause in CAUSES}
TABLE = SQLModel.metadata.tables


@pytest.fixture
def house(engine):
    return morning(engine)


def see(engine, cause, now=NOW, **settings):
    """What a check sees: subject and words."""
    given = Settings(**{"home": "/nowhere", "outbox": "/nowhere", "database": "postgresql://x/y", **settings})
    with reading(engine) as session:
        found = list(CHECKS[cause](View(session=session, settings=given, now=now)))
    return [(one.subject, one.words) for one in found]


def add(engine, *rows):
    with writing(engine) as session:
        session.add_all(rows)
        session.flush()
        return [row.id for row in rows]


def put(engine, table, **values):
    with writing(engine) as session:
        session.execute(TABLE[table].update().values(**values))


def station(what, due, state=StationState.WAITING, **fields):
    return StationRow(digest_id=1, kind="daily", local_date=DAY, station=what, due_at=due, state=state, **fields)


# the day --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", [Station.ASSEMBLE, Station.APPROVE, Station.SEND])
def test_a_station_that_nobody_takes_up_is_late_within_a_minute(engine, house, what):
    add(engine, station(what, NOW))
    assert see(engine, "late", NOW + timedelta(seconds=19)) == []
    ((subject, words),) = see(engine, "late", NOW + timedelta(seconds=40))
    assert subject == "global 2026-11-23"
    assert "was due at 06:00 UTC, and nobody has" in words


def test_what_is_done_or_at_work_is_not_late_and_who_is_at_it_for_long_is(engine, house):
    add(
        engine, station(Station.GATHER, NOW), station(Station.ASSEMBLE, NOW, StationState.DONE),
        station(Station.APPROVE, NOW + MINUTE, StationState.RUNNING), station(Station.SEND, NOW, StationState.RUNNING),
    )  # fmt: skip
    assert see(engine, "late", NOW + 10 * MINUTE) == []
    assert see(engine, "late", NOW + 20 * MINUTE) == [
        ("global 2026-11-23", "its deadline was due at 06:01 UTC, and it is not done")
    ]


@pytest.mark.parametrize("state", ["held", "draft", "sending", "sent", "skipped", "cancelled"])
def test_an_edition_that_waits_for_its_editors_or_is_past_is_not_late(engine, house, state):
    add(engine, station(Station.SEND, NOW))
    put(engine, "edition", state=state)
    assert see(engine, "late", NOW + MINUTE) == []


def test_an_approved_edition_that_nobody_sends_is_late_if_its_readers_wait(engine, house):
    assert see(engine, "late", NOW + MINUTE) == [], "it leaves when it is delivered by hand"
    put(engine, "edition", due_at=NOW)
    assert see(engine, "late", NOW + MINUTE) == [
        ("global 2026-11-23", "it is approved and was due at 06:00 UTC, and nobody sends it")
    ]


@pytest.mark.parametrize(("who", "seen"), [(PRESS, True), (FALLBACK, True), ("ana", False)])
def test_an_edition_that_the_press_skipped_was_missed_and_one_that_a_person_skipped_was_not(engine, house, who, seen):
    with writing(engine) as session:
        desk.change(session, session.get(EditionRow, 1), "skip", who=who, now=NOW, reason="3 h 10 min late")
    expected = [("global 2026-11-23", "the edition was skipped: 3 h 10 min late")] if seen else []
    assert see(engine, "missed", NOW + MINUTE) == expected
    assert see(engine, "missed", NOW + timedelta(hours=25)) == []


def test_a_day_whose_time_came_too_late_was_missed_and_one_left_out_before_was_not(engine, house):
    with writing(engine) as session:
        session.execute(TABLE["proof"].delete())
        session.execute(TABLE["edition"].delete())
    add(engine, station(Station.ASSEMBLE, NOW, StationState.PASSED, ended_at=NOW - MINUTE, words="a holiday"))
    assert see(engine, "missed", NOW + MINUTE) == []
    put(engine, "station", ended_at=NOW + timedelta(hours=4), words="four hours late")
    assert see(engine, "missed", NOW + timedelta(hours=4)) == [
        ("global 2026-11-23", "there is no edition: four hours late")
    ]


@pytest.mark.parametrize(
    ("state", "seen"), [("draft", True), ("review", True), ("held", True), ("approved", False), ("skipped", False)]
)
def test_a_deadline_that_passed_without_an_approval(engine, house, state, seen):
    put(engine, "edition", state=state, reason="waiting for legal" if state == "held" else "", deadline_at=NOW)
    assert see(engine, "held", NOW) == []
    found = see(engine, "held", NOW + MINUTE)
    assert bool(found) is seen
    if state == "held":
        assert found == [("global 2026-11-23", "the deadline was 06:00 UTC: waiting for legal")]


def test_cadences_need_somebody_who_runs_them(engine, house):
    assert see(engine, "clock") == []
    add(engine, CadenceRow(digest_id=1, since=NOW, updated_at=NOW))
    assert see(engine, "clock") == [("the day", "there are cadences, and nobody has run them yet")]
    add(engine, LeaderRow(owner="x", seen_at=NOW.timestamp()))
    assert see(engine, "clock", NOW + MINUTE) == []
    assert see(engine, "clock", NOW + 2 * MINUTE) == [
        ("the day", "there are cadences, and nobody has run them since 06:00 UTC")
    ]
    put(engine, "cadence", paused_at=NOW)
    assert see(engine, "clock", NOW + 2 * MINUTE) == []


@pytest.mark.parametrize(("failing", "seen"), [(0, False), (2, False), (3, True), (4, True)])
def test_most_sources_failing(engine, house, failing, seen):
    rows = [
        SourceRow(
            name=f"s{n}", kind="rss", location=f"https://{n}.example/", added_at=NOW, failures=int(n < failing),
            last_tried_at=NOW,
        )
        for n in range(4)
    ]  # fmt: skip
    never = SourceRow(name="new", kind="rss", location="https://new.example/", added_at=NOW)
    off = SourceRow(
        name="off", kind="rss", location="https://off.example/", added_at=NOW, failures=9, last_tried_at=NOW, enabled=False
    )  # fmt: skip
    add(engine, *rows, never, off)
    found = see(engine, "gather")
    assert bool(found) is seen
    if failing == 4:
        assert found == [("sources", "4 of 4 failed when last read: s0, s1, s2 and 1 more")]


# what leaves ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def sending(engine, house):
    """An edition that is being sent to 600 readers, in batches of 50."""
    readers(engine, 600)
    mailing = opened(engine, house)
    put(engine, "edition", state="sending")
    return mailing


def mark(engine, batches, at):
    """As if so many batches had left at that moment."""
    with writing(engine) as session:
        first = session.execute(TABLE["batch"].select().where(TABLE["batch"].c.state == "ready").limit(batches)).all()
        ids = [row.id for row in first]
        values = {"state": "done", "stamp": int(at.timestamp() * 1e6)}
        session.execute(TABLE["batch"].update().where(TABLE["batch"].c.id.in_(ids)).values(**values))


def test_sending_has_stalled_when_nothing_leaves_for_some_minutes(engine, sending):
    assert see(engine, "stalled", NOW + 9 * MINUTE) == []
    assert see(engine, "stalled", NOW + 10 * MINUTE) == [
        ("global 2026-11-23", "600 or so are due, and nothing has left since 06:00 UTC")
    ]
    mark(engine, 4, NOW + 8 * MINUTE)
    assert see(engine, "stalled", NOW + 10 * MINUTE) == []
    assert see(engine, "stalled", NOW + 18 * MINUTE) == [
        ("global 2026-11-23", "400 or so are due, and nothing has left since 06:08 UTC")
    ]
    assert see(engine, "stalled", NOW + 18 * MINUTE, alarm_stalled=30) == []
    put(engine, "mailing", state=MailingState.PAUSED)
    assert see(engine, "stalled", NOW + 18 * MINUTE) == []


def test_what_is_not_due_yet_does_not_stall(engine, sending):
    put(engine, "batch", not_before=(NOW + 60 * MINUTE).timestamp())
    assert see(engine, "stalled", NOW + 59 * MINUTE) == []
    assert see(engine, "stalled", NOW + 69 * MINUTE) == [], "its wave has only come"
    assert len(see(engine, "stalled", NOW + 70 * MINUTE)) == 1


def test_service_messages_that_wait_for_long(engine, house):
    services = Services(engine, lambda: None, None, "outbox")
    wanted = MessageWanted(kind="confirm", email="a@x.example", email_hash=b"h" * 16, digest_id=1, language="en")
    with writing(engine) as session:
        services.open(session, wanted, 1, now=NOW)
    assert see(engine, "stalled", NOW + 9 * MINUTE) == []
    assert see(engine, "stalled", NOW + 10 * MINUTE) == [
        ("service messages", "1 service messages wait, the oldest since 06:00 UTC")
    ]
    put(engine, "batch", state="done")
    assert see(engine, "stalled", NOW + 10 * MINUTE) == []


def test_a_paused_mailing_says_why(engine, sending):
    assert see(engine, "paused") == []
    put(engine, "edition", state=EditionState.PAUSED)
    put(engine, "mailing", state=MailingState.PAUSED, reason="the key is refused")
    assert see(engine, "paused") == [("global 2026-11-23", "600 or so wait: the key is refused")]


@pytest.mark.parametrize(("cause", "kind", "line"), [("bounces", "bounced", 30), ("complaints", "complained", 2)])
def test_too_many_of_what_left_came_back(engine, sending, cause, kind, line):
    mark(engine, 3, NOW)
    put(engine, "mailing", finished_at=None)
    numbers = [*range(1, line + 1), 1, 1]
    add(
        engine,
        *(
            EventRow(
                key=f"{n:016}".encode(), provider="p", kind=kind, at=NOW.timestamp(), heard_at=NOW.timestamp(), month=202611,
                mailing_id=sending, number=number,
            )
            for n, number in enumerate(numbers)
        ),
        EventRow(key=b"d" * 16, provider="p", kind="delivered", at=0, heard_at=0, mailing_id=sending, number=3),
    )  # fmt: skip
    assert see(engine, cause) == [], "150 are too few to judge by"
    mark(engine, 1, NOW)
    ((subject, words),) = see(engine, cause)
    assert subject == "global 2026-11-23"
    assert words.startswith(f"{100 * line / 200:.1f} % of 200 ")
    mark(engine, 9, NOW)
    put(engine, "edition", state="sent")
    put(engine, "mailing", state="done")
    assert bool(see(engine, cause)) is ((100 * line / 600 >= 0.3 and cause == "complaints") or line / 6 >= 5)
    assert see(engine, cause, alarm_bounces=50, alarm_complaints=50) == []


def test_unconfirmed_deliveries_and_service_messages_are_counted_apart(engine, sending):
    assert see(engine, "unconfirmed") == []
    with writing(engine) as session:
        one = TABLE["delivery"]
        session.execute(one.update().where(one.c.number <= 3).values(state="ambiguous"))
        row = MailingRow(month=202611, kind="service", date="", expires_at=NOW, filled_at=NOW)
        session.add(row)
        session.flush()
        first = dict(session.execute(one.select().limit(1)).mappings().one())
        session.execute(one.insert().values({**first, "mailing_id": row.id, "state": "ambiguous"}))
    assert sorted(see(engine, "unconfirmed")) == [
        ("global 2026-11-23", "of 3 nobody can know whether they arrived"),
        ("service messages", "of 1 nobody can know whether they arrived"),
    ]


# the house --------------------------------------------------------------------------------------------------------------


def test_a_restored_database(engine, house):
    assert see(engine, "restored") == []
    add(engine, SenderRow(id=1))
    assert see(engine, "restored") == []
    put(engine, "sender", restored_at=NOW)
    assert len(see(engine, "restored")) == 1


def test_the_brake(engine, house):
    with writing(engine) as session:
        session.execute(TABLE["signup_count"].insert().values(key=BRAKE, since=NOW, count=10))
    assert see(engine, "brake", signup_brake=11) == []
    ((_, words),) = see(engine, "brake", signup_brake=10)
    assert words.startswith("10 were asked")
    assert see(engine, "brake", NOW + 61 * MINUTE, signup_brake=10) == []


def test_a_disk_without_room(sqlite_engine, small_disk):
    disk, _ = small_disk(2000)
    ours = {"home": disk, "outbox": disk / "outbox", "database": f"sqlite:///{disk / 'digest.sqlite'}"}
    assert see(sqlite_engine, "disk", **ours, alarm_disk=1) == []
    ((subject, words),) = see(sqlite_engine, "disk", **ours, alarm_disk=3)
    assert subject == "the outbox and the home folder and the database"
    assert "GB free" in words


# what a look costs ------------------------------------------------------------------------------------------------------

LARGE = ("delivery", "event", "mailing", "batch", "station", "service", "edition", "audit", "signup_count")


def test_no_look_reads_through_a_large_table(sqlite_engine):
    """At a million readers each of these tables may hold millions of rows: they are found by an index, or not asked."""
    house = morning(sqlite_engine)
    readers(sqlite_engine, 60)
    opened(sqlite_engine, house)
    put(sqlite_engine, "edition", state="sending")
    add(sqlite_engine, CadenceRow(digest_id=1, since=NOW, updated_at=NOW), BatchRow(
        mailing_id=1, month=202611, proof_id=1, channel="email", transport="outbox", first_number=1, last_number=9999, state="done",
    ))  # fmt: skip
    asked = []
    event.listen(sqlite_engine, "before_cursor_execute", lambda *given: asked.append(given[2:4]))
    for cause in CHECKS:
        see(sqlite_engine, cause)
    assert len(asked) > 20
    with sqlite_engine.connect() as connection:
        for words, given in [one for one in asked if one[0].startswith("SELECT")]:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {words}", given).all()
            for step in (row[3] for row in plan):
                scanned = re.match(r"SCAN (\w+)(?! USING (?:COVERING )?INDEX ix_delivery_ambiguous)", step)
                assert not scanned or scanned[1] not in LARGE, f"{step}: {words}"


def test_every_cause_says_what_to_do_and_stands_in_the_runbook():
    runbook = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    for cause in CAUSES:
        assert f"`{cause.name}`" in runbook, cause.name
        assert cause.mend.endswith(".")
    assert len({cause.name for cause in CAUSES}) == len(CAUSES)


def test_a_digest_that_is_gone_takes_its_alarms_along(engine, house):
    add(engine, DigestRow(slug="other", name="Other", created_at=NOW))
    add(engine, AlarmRow(cause="held", subject="x", since=NOW, digest_id=2))
    with writing(engine) as session:
        session.execute(TABLE["digest"].delete().where(TABLE["digest"].c.id == 2))
    with reading(engine) as session:
        assert session.execute(TABLE["alarm"].select()).all() == []
