"""Waves: each reader's delivery waits for their own hour, on their own days, and whoever cannot be served is told of."""

import random
import time
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlmodel import SQLModel, delete, select

from digest import deliveries, proofs, readership, waves
from digest.attending import attend_to
from digest.database import reading, writing
from digest.deliveries import Wave, balance_of, claim, deliver, next_due, open_mailing, waves_of
from digest.models import BatchRow, CadenceRow, DeliveryRow, DigestRow, EditionRow, MailingRow
from digest.settings import Settings
from digest.transports.outbox import Outbox
from digest.values import Late
from digest.windows import Fate
from tests import front_door, newsroom
from tests.newsroom import (
    DEADLINE,
    KEYS,
    NOW,
    PLACE,
    deliveries_of,
    opened,
    readers,
    set_wish,
    suppress,
)

DAY = date(2026, 11, 23)  # a Monday
EARLY = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)  # before anybody's seven o'clock
HOURS = ["", "", "05:00", "07:30", "12:00", "18:30", "23:30"]
PLACES = [
    "Europe/Madrid",
    "America/New_York",
    "Asia/Kathmandu",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
    "UTC",
    "Ruritania/Strelsau",
]


def at(moment):
    return datetime.fromisoformat(moment).replace(tzinfo=UTC)


def morning(engine, *variants):
    """The newsroom's, by email and push."""
    house = newsroom.morning(engine, *variants)
    with writing(engine) as session:
        session.get(DigestRow, house.digest).channels = ["email", "push"]
    return house


def cadence(engine, *, kind="daily", **fields):
    """A cadence of the digest, at seven where each reader is unless said otherwise."""
    base = {"at": "07:00", "zone": "Europe/Madrid", "local": True, "since": NOW, "updated_at": NOW}
    with writing(engine) as session:
        session.exec(delete(CadenceRow).where(CadenceRow.digest_id == 1, CadenceRow.kind == kind))
        session.add(CadenceRow(digest_id=1, kind=kind, **{**base, **fields}))


def approved(engine, moment, **fields):
    with writing(engine) as session:
        edition = session.exec(select(EditionRow)).one()
        edition.approved_at = moment
        for name, value in fields.items():
            setattr(edition, name, value)


def rhythm(engine):
    with reading(engine) as session:
        edition = session.exec(select(EditionRow)).one()
        return waves.rhythm_of(session, session.get(DigestRow, edition.digest_id), edition)


def fill(engine, house, *, now=EARLY, **options):
    return opened(engine, house, now=now, rhythm=rhythm(engine), **options)


def written(engine):
    """(when it may leave, state, reason) by reader, as the tables have it."""
    with reading(engine) as session:
        query = select(DeliveryRow, BatchRow).join(BatchRow, BatchRow.id == DeliveryRow.batch_id)
        return {
            row.subscriber_id: (batch.not_before and datetime.fromtimestamp(batch.not_before, UTC), row.state, row.reason)
            for row, batch in session.exec(query)
        }  # fmt: skip


def outcomes(engine):
    return Counter(row.state for row in deliveries_of(engine))


# whose day it is ------------------------------------------------------------------------------------------------------


def asks_for(often, days, kind, day):
    """Whether a reader's wish asks for an edition, in plain words."""
    name = day.strftime("%a").lower()
    if kind == "weekly" or often == "weekly":
        return kind not in {"daily", "weekly"} or (kind == "weekly" and often == "weekly")
    if kind == "daily":
        return (
            often == "every"
            or (often == "weekdays" and day.weekday() < 5)
            or (often == "days" and name in days.split(","))
        )
    return True


WISHES = [
    ("every", ""), ("weekdays", ""), ("weekly", ""), ("days", "mon"), ("days", "tue,thu"), ("days", "mon,sat,sun"),
    ("days", "sun"), ("every", "mon"), ("weekdays", "sat"),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["daily", "weekly", "breaking", "correction"])
@pytest.mark.parametrize("day", [DAY + timedelta(days=n) for n in range(7)], ids=lambda day: day.strftime("%a"))
def test_an_edition_goes_to_those_who_asked_for_its_kind_on_its_day(sqlite_engine, kind, day):
    asked_on(sqlite_engine, kind, day)


@pytest.mark.parametrize(
    ("kind", "day"), [("daily", DAY), ("daily", DAY - timedelta(days=1)), ("weekly", DAY), ("breaking", DAY)]
)
def test_the_same_on_both_databases(engine, kind, day):
    asked_on(engine, kind, day)


def asked_on(engine, kind, day):
    house = morning(engine)
    ids = readers(engine, len(WISHES))
    for one, (often, days) in zip(ids, WISHES, strict=True):
        set_wish(engine, one, frequency=often, days=days)
    approved(engine, EARLY, kind=kind, local_date=day)
    mailing = opened(engine, house)
    expected = [one for one, wish in zip(ids, WISHES, strict=True) if asks_for(*wish, kind, day)]
    assert sorted(written(engine)) == expected
    assert balance_of(engine, mailing).candidates == len(expected)
    with reading(engine) as session:
        edition, digest = session.exec(select(EditionRow)).one(), session.get(DigestRow, 1)
        found = proofs.wanted(session, digest, Settings(_env_file=None), now=NOW, edition=edition)
    assert sum(one.readers for one in found if one.channel == "email") == len(expected)


def test_a_digest_that_only_appears_weekly_is_everybodys(engine):
    house = morning(engine)
    cadence(engine, kind="weekly", local=False)
    ids = readers(engine, len(WISHES))
    for one, (often, days) in zip(ids, WISHES, strict=True):
        set_wish(engine, one, frequency=often, days=days)
    approved(engine, EARLY, kind="weekly")
    assert forecast(engine, None).readers == len(ids)
    opened(engine, house)
    assert sorted(written(engine)) == ids


# the fill -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", list(Late))
@pytest.mark.parametrize(
    "released",
    [EARLY, at("2026-11-23T06:10"), at("2026-11-23T18:00"), at("2026-11-24T03:00")],
    ids=lambda one: f"{one:%d-%H}",
)
def test_every_reader_is_in_the_wave_that_plain_python_says(engine, late, released):
    dice = random.Random(f"{late}{released}")
    house = morning(engine)
    cadence(engine, late=late)
    ids = readers(engine, 180, zone=lambda number: dice.choice(PLACES))
    for one in ids[:60]:
        set_wish(engine, one, hour=dice.choice(HOURS), frequency=dice.choice(["every", "weekdays", "weekly"]))
    set_wish(engine, ids[3], state="paused")
    set_wish(engine, ids[4], state="left")
    suppress(engine, ids[5])
    approved(engine, released)
    mailing = fill(engine, house, now=released, batch_size=7)
    plan, expected = rhythm(engine), {}
    for one, zone, hour, often in people(engine):
        if often == "weekly" or one == ids[4]:
            continue
        when = plan.due(zone, hour, now=released).instant
        state, why = ("queued", "") if when else ("skipped", "missed")
        if one in {ids[3], ids[5]}:
            state, why = {ids[3]: ("skipped", "paused"), ids[5]: ("suppressed", "suppressed")}[one]
        expected[one] = (when or 0.0, state, why)
    assert written(engine) == expected
    rows = deliveries_of(engine)
    assert [row.number for row in rows] == list(range(1, len(expected) + 1))
    assert balance_of(engine, mailing).candidates == len(expected)
    with reading(engine) as session:
        for batch in session.exec(select(BatchRow)):
            mine = [row.number for row in rows if row.batch_id == batch.id]
            assert mine == list(range(batch.first_number, batch.last_number + 1))
            assert len(mine) <= 7
    with reading(engine) as session:
        found = {wave.instant: wave.deliveries for wave in waves_of(session, mailing)}
    assert found == dict(Counter(when or None for when, *_ in expected.values()))


def people(engine):
    person, wish = SQLModel.metadata.tables["subscriber"].c, SQLModel.metadata.tables["subscription"].c
    with engine.begin() as connection:
        query = select(person.id, person.zone, wish.hour, wish.frequency).join_from(
            person.id.table, wish.id.table, person.id == wish.subscriber_id
        )
        return list(connection.execute(query).all())


def test_the_devices_of_a_reader_have_each_their_own_row_and_hour(engine):
    house = morning(engine, [("email", "", "en"), ("push", "", "en")])
    cadence(engine)
    (one,) = readers(engine, 1, channels=("email", "push"), zone="Europe/Madrid")
    approved(engine, EARLY)
    opened(engine, house, [house.share(), house.share("push")], now=EARLY, rhythm=rhythm(engine))
    assert [row.target for row in deliveries_of(engine)][1] == f"device-{one}"
    assert set(written(engine)) == {one}


def test_a_cadence_that_is_not_local_is_one_wave_and_none_is_none_at_all(engine):
    house = morning(engine)
    cadence(engine, local=False, at="09:15", zone="Asia/Kolkata")
    ids = readers(engine, 3, zone="America/Lima")
    set_wish(engine, ids[0], hour="12:00")
    approved(engine, EARLY)
    fill(engine, house)
    assert {when for when, *_ in written(engine).values()} == {at("2026-11-23T03:45")}


def test_the_time_in_which_an_approval_may_be_undone_comes_first(engine):
    house = morning(engine)
    cadence(engine, local=False, undo=20)
    readers(engine, 1)
    approved(engine, NOW)
    fill(engine, house, now=NOW)
    assert {when for when, *_ in written(engine).values()} == {NOW + timedelta(minutes=20)}


def test_the_mailing_stays_open_for_its_last_wave(engine):
    house = morning(engine)
    cadence(engine, late_after=90)
    readers(engine, 1, zone="Pacific/Pago_Pago")
    approved(engine, EARLY)
    fill(engine, house, expires_at=DEADLINE)
    with reading(engine) as session:
        assert session.exec(select(MailingRow)).one().expires_at == at("2026-11-23T18:00") + timedelta(minutes=90)


# the waves leave ------------------------------------------------------------------------------------------------------


def run(engine, mailing, tmp_path, now, **options):
    clock = now if callable(now) else lambda: now
    box = {"outbox": Outbox(tmp_path / "outbox", PLACE)}
    return deliver(engine, box, mailing=mailing, keys=KEYS, lease=60, clock=clock, **options)


def test_each_wave_leaves_at_its_time_and_the_edition_is_done_after_the_last(engine, tmp_path):
    house = morning(engine)
    cadence(engine)
    readers(engine, 30, zone=lambda number: ["Asia/Tokyo", "Europe/Madrid", "America/New_York"][number % 3])
    approved(engine, EARLY)
    mailing = fill(engine, house)
    instants = [at("2026-11-22T22:00"), at("2026-11-23T06:00"), at("2026-11-23T12:00")]
    for number, instant in enumerate(instants):
        assert next_due(engine, mailing=mailing) == instant.timestamp()
        before = run(engine, mailing, tmp_path, instant - timedelta(seconds=1))
        assert (before.handed, before.done) == (10 * number, False)
        after = run(engine, mailing, tmp_path, instant)
        assert (after.handed, after.done) == (10 * (number + 1), number == 2)
        with reading(engine) as session:
            done = [wave.done for wave in waves_of(session, mailing)]
        assert done == [10] * (number + 1) + [0] * (2 - number)
    assert next_due(engine, mailing=mailing) is None
    assert len({row.subscriber_id for row in deliveries_of(engine)}) == 30


def test_an_earlier_wave_that_is_late_goes_before_a_later_one(engine):
    house = morning(engine)
    cadence(engine)
    zones = ["America/New_York", "Asia/Tokyo"]  # the later wave has the earlier number
    readers(engine, 20, zone=lambda number: zones[number > 10])
    approved(engine, EARLY)
    fill(engine, house, batch_size=10)
    taken = [
        claim(engine, owner="ana", now=at("2026-11-23T12:00"), lease=60, transports=["outbox"], keys=KEYS)
        for _ in range(3)
    ]
    assert [batch and min(one.address for one in batch.recipients) for batch in taken] == [
        "reader11@example.net", "reader10@example.net", None,
    ]  # fmt: skip


def test_a_run_that_may_wait_sends_the_next_wave_in_its_second(sqlite_engine, tmp_path):
    house = morning(sqlite_engine)
    readers(sqlite_engine, 40)
    soon = datetime.now(UTC) + timedelta(seconds=2)
    approved(sqlite_engine, soon, local_date=soon.date())
    cadence(sqlite_engine, local=False, at="00:00", zone="UTC")  # past, so it leaves when it is released
    fill(sqlite_engine, house, now=datetime.now(UTC), expires_at=soon + timedelta(hours=1))
    balance = run(sqlite_engine, 1, tmp_path, lambda: datetime.now(UTC), patience=5)
    assert balance.done
    with reading(sqlite_engine) as session:
        handed = [row.updated_at for row in session.exec(select(DeliveryRow))]
    assert soon.timestamp() <= min(handed) < soon.timestamp() + 2


def test_a_reader_who_moves_or_chooses_another_hour_gets_the_edition_once(engine, tmp_path):
    house = morning(engine)
    cadence(engine)
    ids = readers(engine, 3, zone="Europe/Madrid")
    approved(engine, EARLY)
    mailing = fill(engine, house)
    with engine.begin() as connection:
        person = SQLModel.metadata.tables["subscriber"]
        connection.execute(person.update().where(person.c.id == ids[0]).values(zone="America/Lima"))
    set_wish(engine, ids[1], hour="21:00")
    assert fill(engine, house) == mailing
    for hours in range(40):
        run(engine, mailing, tmp_path, EARLY + timedelta(hours=hours))
    assert outcomes(engine) == {"accepted": 3}
    assert len(list((tmp_path / "outbox").rglob("*.eml"))) == 3


def test_whoever_leaves_before_their_wave_gets_nothing(engine, tmp_path):
    house = morning(engine)
    cadence(engine)
    ids = readers(engine, 2, zone="Europe/Madrid")
    approved(engine, EARLY)
    mailing = fill(engine, house)
    run(engine, mailing, tmp_path, EARLY)
    set_wish(engine, ids[0], state="left")
    balance = run(engine, mailing, tmp_path, at("2026-11-23T06:00"))
    assert (balance.done, outcomes(engine)) == (True, {"cancelled": 1, "accepted": 1})


def test_an_edition_whose_every_reader_missed_it_is_done_and_says_so(engine, tmp_path):
    house = morning(engine)
    cadence(engine, late=Late.SKIP)
    readers(engine, 5, zone="Asia/Tokyo")
    approved(engine, NOW + timedelta(hours=12))
    mailing = fill(engine, house, now=NOW + timedelta(hours=12), expires_at=NOW + timedelta(days=2))
    balance = run(engine, mailing, tmp_path, NOW + timedelta(hours=12))
    assert (balance.done, balance.handed, outcomes(engine)) == (True, 0, {"skipped": 5})
    with reading(engine) as session:
        assert waves_of(session, mailing) == [Wave(None, 5, 5)]


def test_a_claim_is_quick_however_many_batches_wait_for_their_hour(sqlite_engine):
    house = morning(sqlite_engine)
    readers(sqlite_engine, 1)
    mailing = opened(sqlite_engine, house)
    with sqlite_engine.begin() as connection:
        batches = SQLModel.metadata.tables["batch"]
        (first,) = connection.execute(batches.select()).all()
        later = {**first._mapping, "not_before": NOW.timestamp() + 3600}
        del later["id"]
        connection.execute(batches.insert(), [later] * 100_000)
        connection.execute(batches.update().where(batches.c.id == first.id).values(not_before=NOW.timestamp()))
    for _ in range(2):  # the first claim also puts the statement together
        asked = time.process_time()
        batch = claim(sqlite_engine, owner="ana", now=NOW, lease=60, transports=["outbox"], keys=KEYS)
        seconds = time.process_time() - asked  # about 30 ms
    assert batch is None
    assert seconds < 0.25
    assert next_due(sqlite_engine, mailing=mailing, after=NOW.timestamp()) is not None


# the whole line -------------------------------------------------------------------------------------------------------


def test_a_watch_sends_each_wave_of_an_approved_edition_and_leaves_it_alone_between_them(home):
    with front_door.opened(home) as house:
        for name, zone in (("ana", "Asia/Tokyo"), ("ben", "Europe/Madrid"), ("cleo", "America/New_York")):
            house.subscribe(f"{name}@example.net", zone=zone)
        said = []

        def watch():
            if (edition := newest(house)).state in {"approved", "sending"}:
                attend_to(house.press, edition, clock=house.clock, told=said.append)
            return [row.state for row in house.rows("delivery") if row.mailing_id == house.rows("mailing")[-1].id]

        cadence(house.press.engine, at="19:00")
        house.publish()  # at ten in Madrid: eighteen in Tokyo
        assert watch() == ["queued"] * 3
        assert watch() == ["queued"] * 3
        assert len(said) == 1
        assert readership.next_wave(house.press, newest(house), house.now) == at("2026-11-25T10:00")
        house.later(hours=1, minutes=5)
        assert watch() == ["accepted", "queued", "queued"]
        house.later(hours=8)
        assert sorted(watch()) == ["accepted", "accepted", "queued"]
        house.later(hours=6)
        assert watch() == ["accepted"] * 3
        assert newest(house).state == "sent"
        assert len(said) == 4


def newest(house):
    with reading(house.press.engine) as session:
        return session.exec(select(EditionRow)).one()


# what it will be ------------------------------------------------------------------------------------------------------


def test_a_forecast_says_who_is_due_when_and_what_becomes_of_whom_the_release_is_too_late_for(engine):
    morning(engine)
    cadence(engine, late=Late.SKIP)
    readers(engine, 4, zone="Europe/Madrid")
    ids = readers(engine, 3, zone="Asia/Tokyo", channels=("email", "push"))
    set_wish(engine, ids[0], hour="18:00")
    readers(engine, 2, zone="Pacific/Kiritimati")
    resting, weekly = readers(engine, 2, zone="Europe/Madrid")
    set_wish(engine, resting, state="paused")
    set_wish(engine, weekly, frequency="weekly")
    foretold = forecast(engine, at("2026-11-23T05:30"))  # 14:30 in Tokyo, 19:30 on Kiritimati
    assert foretold.readers == 9
    assert foretold.early == 4
    assert foretold.waves() == [(at("2026-11-23T05:30"), 4), (at("2026-11-23T06:00"), 4), (at("2026-11-23T09:00"), 1)]
    assert foretold.fates() == {Fate.KEPT: 5, Fate.LATER: 4}
    assert foretold.fates("Asia/Tokyo") == {Fate.KEPT: 1, Fate.LATER: 2}
    assert forecast(engine, at("2026-11-23T09:30")).fates("Pacific/Kiritimati") == {Fate.MISSED: 2}
    assert forecast(engine, None).fates() == {Fate.KEPT: 9}


def forecast(engine, released, day=DAY):
    with reading(engine) as session:
        row = session.exec(select(CadenceRow)).one()
        digest = session.get(DigestRow, 1)
        return waves.forecast(session, digest, row, day, released, NOW, settings=Settings(_env_file=None))


def test_a_forecast_and_the_fill_agree(engine):
    house = morning(engine)
    cadence(engine, late=Late.SEND)
    readers(engine, 60, zone=lambda number: PLACES[number % len(PLACES)])
    released = at("2026-11-23T11:40")
    foretold = forecast(engine, released)
    approved(engine, released)
    mailing = fill(engine, house, now=released)
    with reading(engine) as session:
        assert [(wave.instant, wave.deliveries) for wave in waves_of(session, mailing)] == foretold.waves()


def test_a_date_that_a_zone_has_not_got_is_foretold_as_missed(engine):
    morning(engine)
    cadence(engine)
    readers(engine, 1, zone="Pacific/Apia")
    (one,) = forecast(engine, None, date(2011, 12, 30)).expected
    assert (one.wished, one.due.fate, one.early) == (None, Fate.MISSED, False)


def test_the_ledger_knows_nothing_of_hours_where_nothing_has_a_cadence(engine):
    house = morning(engine)
    ids = readers(engine, 2, zone="Asia/Tokyo")
    set_wish(engine, ids[0], hour="18:00")
    assert rhythm(engine) is None
    open_mailing(
        engine, edition_id=house.edition, version=1, digest_id=1, shares=[house.share()], now=NOW, expires_at=DEADLINE
    )
    assert {when for when, *_ in written(engine).values()} == {0.0}
    assert deliveries.next_due(engine, mailing=1) == 0.0
