"""What is kept of people is told column by column, so that none comes in unnoticed, and counted where it lies."""

import json
from datetime import timedelta

import pytest
from sqlmodel import SQLModel

from digest import holdings, persons
from digest.holdings import HOLDINGS, report
from digest.press import Press
from digest.settings import Settings
from tests.front_door import opened as opened_house
from tests.newsroom import KEYS, NOW, morning, opened, readers

TABLES = SQLModel.metadata.tables
TELLING = (
    "email",
    "name",
    "address",
    "device",
    "target",
    "subscriber_id",
    "email_hash",
    "email_key",
    "author",
    "who",
    "by",
)
"""Names by which a column is somebody's in every table, but for those that are the publisher's own."""

NOT_PEOPLE = {
    ("digest", "name"), ("edition", "name"), ("segment", "name"), ("source", "name"),
}  # fmt: skip


def test_every_column_of_every_table_is_said_to_be_personal_or_not():
    told = {name: {*one.personal, *one.other.split()} for name, one in HOLDINGS.items()}
    assert told == {name: set(table.columns.keys()) for name, table in TABLES.items()}
    for name, one in HOLDINGS.items():
        assert not one.personal.keys() & set(one.other.split()), name
        assert not one.since or one.since in TABLES[name].columns, name
        assert not one.whose or one.whose in one.personal, name


def test_what_names_somebody_is_personal():
    silent = {(name, column) for name, one in HOLDINGS.items() for column in one.other.split() if column in TELLING}
    assert silent == NOT_PEOPLE


def test_what_is_personal_says_what_for_and_how_long():
    swept = {"signup", "signup_count", "service", "event", "deed"}
    for name, one in HOLDINGS.items():
        assert all(one.personal.values()), name
        assert bool(one.personal) == bool(one.until or name in swept), name


def test_it_is_counted_in_the_database(tmp_path):
    with opened_house(tmp_path / "home") as house:
        before = told(house)
        assert {one["rows"] for one in before["held"]} == {0}
        house.subscribe("ana@example.net")
        house.sign_up("ben@example.net")
        house.deliver(house.publish())
        after = told(house)
        rows = {one["table"]: one["rows"] for one in after["held"]}
        assert rows == {name: actual(house, name) for name in rows}
        assert (rows["subscriber"], rows["signup"], rows["delivery"], rows["service"]) == (1, 1, 4, 3)
        assert after["outbox"]["files"] == len(house.mails()) == 4
        assert oldest(after, "subscriber") == house.rows("subscriber")[0].joined_at
        assert oldest(after, "delivery").timestamp() == min(row.updated_at for row in house.rows("delivery"))
        ((words, wishes),) = [(one["words"], one["subscriptions"]) for one in after["consents"]]
        assert ("Global Morning" in words, wishes) == (True, 1)
        assert not any(after["next_sweep"].values())
        house.later(days=7)
        due = told(house)["next_sweep"]
        assert (due["sign-ups not confirmed"], due["service messages"], due["addresses of welcomes"]) == (1, 2, 1)

        persons.erase(house.press, "ana@example.net", who="eva", now=house.now)
        last = told(house)
        assert last["erasures"] == {"number": 1, "last": house.now, "waiting_for_a_scrub": 1}
        assert last["suppressions"] == {"erased": 1}
        held = {one["table"]: one["rows"] for one in last["held"]}
        assert (held["subscriber"], held["subscription"], held["delivery"]) == (0, 0, 1), "books stay, and are nobody's"


def told(house):
    found = report(house.press.engine, house.press.settings, now=house.now)
    json.dumps(found, default=str)
    return found


def oldest(found, table):
    return next(one["oldest"] for one in found["held"] if one["table"] == table)


def actual(house, table):
    whose = HOLDINGS[table].whose
    return sum(not whose or getattr(row, whose) not in ("", []) for row in house.rows(table))


def test_it_is_told_alike_on_both_databases(engine, tmp_path):
    edition = morning(engine)
    readers(engine, 3)
    opened(engine, edition)
    house = Press(settings=Settings(home=tmp_path, tracking="aggregate"), engine=engine, keys=KEYS)
    found = report(house.engine, house.settings, now=NOW + timedelta(days=1))
    rows = {one["table"]: one["rows"] for one in found["held"] if one["rows"]}
    assert rows == {"subscriber": 3, "subscription": 3, "delivery": 3}
    assert found["tracking"] == "aggregate"
    assert found["consents"] == [{"wording": "", "subscriptions": 3, "words": ""}]


@pytest.mark.parametrize(("setting", "table"), [("signup_days", "signup"), ("event_days", "event")])
def test_how_long_is_what_the_settings_say(sqlite_engine, tmp_path, setting, table):
    settings = Settings(home=tmp_path, **{setting: 42})
    found = holdings.report(sqlite_engine, settings, now=NOW)
    assert next(one["until"] for one in found["held"] if one["table"] == table) == "42 days"
