"""The list of addresses nothing may go to: it wins over everything, and holds no address."""

from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlmodel import SQLModel

from digest.deliveries import claim, settle
from subscribers.audience import Reach, reach
from subscribers.exchange import import_csv
from subscribers.suppressions import Why, demand_no_address, lift, newest, suppress, suppression_of, tally
from subscribers.tokens import address_hash
from tests.newsroom import KEYS, NOW, deliveries_of, morning, opened, readers, set_wish

TABLES = SQLModel.metadata.tables
ANA, BEN = (address_hash(KEYS.hash_key, f"reader{n}@example.net") for n in (1, 2))


def put(engine, *hashes, reason="asked", note="", now=NOW):
    with engine.begin() as connection:
        return len(suppress(connection, {one: Why(reason, note) for one in hashes}, now=now))


def test_an_address_is_put_on_once_and_keeps_its_first_reason_and_date(engine):
    assert put(engine, ANA, BEN, ANA, note="by phone") == 2
    assert put(engine, ANA, reason="bounce", now=NOW + timedelta(days=1)) == 0
    assert put(engine) == 0
    with engine.begin() as connection:
        one = suppression_of(connection, ANA)
        assert (one.reason, one.since, one.note) == ("asked", NOW, "by phone")
        assert suppression_of(connection, b"x" * 16) is None
        assert (lift(connection, ANA), lift(connection, ANA)) == (True, False)
        assert suppression_of(connection, ANA) is None


def test_the_list_is_counted_by_reason_and_shown_newest_first(engine):
    put(engine, ANA)
    put(engine, BEN, b"c" * 16, reason="bounce", now=NOW + timedelta(days=1))
    with engine.begin() as connection:
        assert tally(connection) == {"bounce": 2, "asked": 1}
        assert [row.reason for row in newest(connection, limit=2)] == ["bounce", "bounce"]
        assert [row.email_hash for row in newest(connection, limit=9, reason="asked")] == [ANA]


def test_what_a_person_put_there_stays_as_it_is_and_takes_no_place_itself(engine):
    put(engine, ANA, reason="asked")
    put(engine, BEN, reason="bounce")
    assert (put(engine, ANA, reason="complaint"), put(engine, BEN, reason="erased")) == (0, 0)
    with engine.begin() as connection:
        assert [suppression_of(connection, one).reason for one in (ANA, BEN)] == ["asked", "bounce"]


@pytest.mark.parametrize("note", ["asked by ana@example.net", "ana@x", "<ana@example.net>"])
def test_a_note_with_an_address_in_it_is_refused(note):
    with pytest.raises(ValueError, match="holds no address"):
        demand_no_address(note)
    demand_no_address("asked by phone, @ noon")


def test_it_wins_over_an_import_a_segment_and_an_edit(engine, tmp_path):
    house = morning(engine)
    readers(engine, 2, language="es")
    put(engine, ANA)
    file = tmp_path / "readers.csv"
    file.write_text("email,name,status,confirmed_at\nREADER1@example.net,New,active,2030-01-01\n", encoding="utf-8")
    report = import_csv(engine, file, digest_id=house.digest, keys=KEYS, consent="form", now=NOW)
    assert (report.suppressed, report.accepted + report.updated + report.unchanged) == (1, 0)
    set_wish(engine, 1, state="active", confirmed_at=NOW)
    with engine.begin() as connection:
        people = TABLES["subscriber"]
        connection.execute(people.update().where(people.c.id == 1).values(name="Edited", language="es"))
        for rule in ("", 'language = "es"'):
            assert reach(connection, house.digest, "email", now=NOW, rule=rule) == Reach(wanted=1, suppressed=1)


def test_it_wins_over_an_edition_that_is_under_way(engine):
    house = morning(engine)
    readers(engine, 2)
    mailing = opened(engine, house)
    put(engine, ANA)
    batch = claim(engine, owner="here", now=NOW, lease=60, transports=["outbox"], keys=KEYS)
    assert [one.address for one in batch.recipients] == ["reader2@example.net"]
    assert [row.state for row in deliveries_of(engine)] == ["suppressed", "queued"]
    assert settle(engine, mailing, now=NOW).balanced


def test_the_list_holds_no_address(engine):
    put(engine, ANA, note="by phone")
    with engine.connect() as connection:
        (row,) = connection.execute(select(TABLES["suppression"]))
    assert "@" not in str(row)
