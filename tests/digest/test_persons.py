"""One person: everything held of them is handed out, and erased without a trace; the books still balance."""

import json
import os
import re
import sqlite3
import sys
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import event, select
from sqlmodel import SQLModel

from digest import handover, persons
from digest.consequences import Policy
from digest.database import open_engine, scrub, writing
from digest.deliveries import balance_of, claim, deliver, mark, settle
from digest.deliveries.services import open_service
from digest.delivery_ids import delivery_id
from digest.errors import NotFoundError, NotReadyError, StorageError
from digest.events import adopt, hear
from digest.models import EditionRow, EventRow
from digest.press import Press
from digest.settings import Settings
from digest.transports.outbox import Outbox
from digest.values import Event, EventKind
from subscribers.erasure import pointing_at_subscribers
from subscribers.exchange import import_csv
from subscribers.signup import MessageWanted
from subscribers.suppressions import Why, suppress
from subscribers.tokens import address_hash
from tests.laid import lay
from tests.newsroom import KEYS, NOW, PLACE, Morning, deliveries_of, morning, opened, readers, set_wish

TABLES = SQLModel.metadata.tables
MANY = 400
NAME, ADDRESS = "Wilhelmina Xanthippe Quist", "Wilhelmina.Quist@Example.NET"
TRACES = (b"ilhelmina", b"anthippe", b"uist@", b"UIST", b"ILHELMINA")


@pytest.fixture
def house(engine, tmp_path):
    settings = Settings(home=tmp_path, outbox=tmp_path / "outbox")
    return Press(settings=settings, engine=engine, keys=KEYS)


def bring(house: Press, folder: Path, email: str = ADDRESS, name: str = NAME, consent: str = "web form, 2025"):
    file = folder / "readers.csv"
    file.write_text(f"email,name,topics,attr.nick\n{email},{name},korea,{name}\n", encoding="utf-8")
    report = import_csv(house.engine, file, digest_id=1, keys=KEYS, consent=consent, wording="v3", now=NOW)
    file.unlink()
    return report


def sent(house: Press, edition: Morning, **options):
    mailing = opened(house.engine, edition, **options)
    box = Outbox(house.settings.outbox_folder, PLACE)
    deliver(house.engine, {"outbox": box}, mailing=mailing, keys=KEYS, lease=60, clock=lambda: NOW)
    return mailing


def told(engine, mailing, number, target, reason="550 no such user"):
    with writing(engine) as session:
        session.add(EventRow(key=os.urandom(16), provider="smtp", kind="bounced", at=NOW.timestamp(), heard_at=0.0,
                             month=202611, mailing_id=mailing, number=number, target=target, reason=reason))  # fmt: skip


def wilhelminas(engine):
    with engine.connect() as connection:
        people = TABLES["subscriber"]
        row = connection.execute(select(people).where(people.c.name == NAME)).one()
    return row, next(one for one in deliveries_of(engine) if one.subscriber_id == row.id)


def files_of(folder: Path):
    return [file for file in folder.rglob("*") if file.is_file()]


def bytes_of(folder: Path):
    return b"".join(file.read_bytes() for file in files_of(folder))


def wilhelmina_told_of(house, tmp_path):
    """A mailing sent to three and to her, and an event of hers; with her row and her delivery."""
    edition = morning(house.engine)
    readers(house.engine, 3)
    bring(house, tmp_path)
    mailing = sent(house, edition)
    row, delivery = wilhelminas(house.engine)
    told(house.engine, mailing, delivery.number, row.email_hash.hex())
    return mailing, row, delivery


# everything held ----------------------------------------------------------------------------------------------------


def test_everything_held_of_somebody_is_handed_out(house, tmp_path):
    mailing, row, delivery = wilhelmina_told_of(house, tmp_path)
    told(house.engine, None, None, row.email_hash.hex(), reason="heard by address alone")
    told(house.engine, mailing, 1, "another")
    found = json.loads(json.dumps(persons.everything_of(house, "WILHELMINA.quist@example.net", now=NOW), default=str))
    assert (found["email"], found["name"], found["attributes"]) == (
        "Wilhelmina.Quist@example.net",
        NAME,
        {"nick": NAME},
    )
    assert (found["topics"], found["suppression"]) == (["korea"], None)
    (wish,) = found["subscriptions"]
    assert (wish["digest"], wish["channel"], wish["state"]) == ("global", "email", "active")
    assert (wish["consent_source"], wish["consent_wording"]) == ("web form, 2025", "v3")
    assert datetime.fromisoformat(wish["consent_at"]) == NOW
    (one,) = found["deliveries"]
    assert (one["digest"], one["mailing"], one["number"], one["state"]) == (
        "global",
        mailing,
        delivery.number,
        "accepted",
    )
    assert [one["reason"] for one in found["events"]] == ["550 no such user", "heard by address alone"]
    assert "email_hash" not in found


def test_what_any_other_table_holds_of_somebody_is_handed_out_too(house, tmp_path):
    """Tables that are made later are found by their key."""
    morning(house.engine)
    bring(house, tmp_path)
    found = persons.everything_of(house, ADDRESS, now=NOW)
    named = {table.name for table, _ in pointing_at_subscribers()}
    assert named >= {"subscription", "subscriber_topic"}
    assert named - {"subscription", "subscriber_topic"} <= set(found)


def test_every_table_that_points_at_a_subscriber_goes_with_them():
    for _, column in pointing_at_subscribers():
        (key,) = column.foreign_keys
        assert key.ondelete == "CASCADE", column


def test_of_an_address_nobody_has_nothing_is_handed_out(house):
    for address in ("nobody@example.net", "no address"):
        with pytest.raises(NotFoundError):
            persons.everything_of(house, address, now=NOW)


# erased -------------------------------------------------------------------------------------------------------------


def test_erased_means_no_trace_in_any_byte_of_the_database_or_the_outbox(tmp_path):
    """Among many readers, with pages that were split, rows that were changed and old frames in the log."""
    home = tmp_path / "home"
    home.mkdir()
    house = _house_in(home)
    edition = morning(house.engine)
    readers(house.engine, MANY, name=lambda n: f"Reader {n} " * 9)
    bring(house, tmp_path)
    bring(house, tmp_path, email=ADDRESS.upper(), name=NAME.upper(), consent="another")
    bring(house, tmp_path)
    readers(house.engine, MANY)
    mailing = sent(house, edition)
    row, delivery = wilhelminas(house.engine)
    told(house.engine, mailing, delivery.number, row.email_hash.hex(), reason="<wilhelmina.quist@example.net> refused")
    before = bytes_of(home)
    assert all(trace in before for trace in TRACES), "the test sees what it looks for"
    files = len(files_of(home / "outbox"))
    left_behind = home / "outbox" / ".writing" / "dead"
    left_behind.mkdir(parents=True)
    (left_behind / "half.eml").write_text(f"To: {ADDRESS}")

    done = persons.erase(house, ADDRESS, who="ana", now=NOW)
    scrub(house.engine)

    assert (done.known, done.deliveries, done.files) == (True, 1, 1)
    assert {file.name for file in files_of(home)} >= {"digest.sqlite"}
    after = bytes_of(home)
    assert [trace for trace in TRACES if trace.lower() in after.lower()] == []
    assert len(files_of(home / "outbox")) == files - 1
    assert settle(house.engine, mailing, now=NOW).balanced
    assert bring(house, tmp_path).suppressed == 1
    assert all(trace.lower() not in bytes_of(home).lower() for trace in TRACES), "nor does an import bring them back"


def _house_in(home: Path) -> Press:
    engine = open_engine(lay(home / "digest.sqlite"))
    return Press(settings=Settings(home=home, outbox=home / "outbox"), engine=engine, keys=KEYS)


def test_rows_are_gone_the_books_balance_and_the_address_stays_suppressed(house, tmp_path):
    mailing, row, delivery = wilhelmina_told_of(house, tmp_path)
    before = balance_of(house.engine, mailing)
    persons.erase(house, ADDRESS, who="ana", now=NOW)
    with house.engine.connect() as connection:
        for table, column in (
            ("subscriber", "id"),
            ("subscription", "subscriber_id"),
            ("subscriber_topic", "subscriber_id"),
        ):
            assert connection.execute(select(TABLES[table]).where(TABLES[table].c[column] == row.id)).all() == []
        (event,) = connection.execute(select(TABLES["event"]))
        assert (event.target, event.reason, event.kind) == ("", "", "bounced")
        everything = [str(one) for table in TABLES.values() for one in connection.execute(select(table))]
    assert not [one for one in everything if "ilhelmina" in one or NAME in one]
    assert balance_of(house.engine, mailing) == before
    nobodys = next(one for one in deliveries_of(house.engine) if one.number == delivery.number)
    assert (nobodys.subscriber_id, nobodys.target, nobodys.state) == (-delivery.number, "", "accepted")
    found = persons.everything_of(house, ADDRESS, now=NOW)
    assert found["suppression"]["reason"] == "erased"
    assert (found["deliveries"], found["events"], "name" in found) == ([], [], False)
    assert [(line["did"], line["detail"]["deliveries"]) for line in found["audit"]] == [("erase", 1)]
    assert bring(house, tmp_path).suppressed == 1


def test_what_was_queued_for_somebody_erased_is_cancelled_and_nobody_with_their_number_gets_it(house, tmp_path):
    edition = morning(house.engine)
    readers(house.engine, 2)
    bring(house, tmp_path)
    opened(house.engine, edition)
    row, delivery = wilhelminas(house.engine)
    persons.erase(house, ADDRESS, who="ana", now=NOW)
    (newcomer,) = readers(house.engine, 1)
    if house.engine.dialect.name == "sqlite":
        assert newcomer == row.id, "SQLite gives the last number anew"
    batch = claim(house.engine, owner="here", now=NOW, lease=60, transports=["outbox"], keys=KEYS)
    assert [one.address for one in batch.recipients] == ["reader1@example.net", "reader2@example.net"]
    states = {one.number: (one.state, one.reason) for one in deliveries_of(house.engine)}
    assert states[delivery.number] == ("cancelled", "gone")
    assert persons.everything_of(house, "reader3@example.net", now=NOW)["deliveries"] == []


def test_nobody_is_erased_while_a_message_to_them_is_being_handed_over(house, tmp_path):
    edition = morning(house.engine)
    bring(house, tmp_path)
    opened(house.engine, edition)
    batch = claim(house.engine, owner="here", now=NOW, lease=60, transports=["outbox"], keys=KEYS)
    mark(house.engine, batch, [1], now=NOW)
    with pytest.raises(NotReadyError, match="try again in a minute"):
        persons.erase(house, ADDRESS, who="ana", now=NOW)
    assert persons.everything_of(house, ADDRESS, now=NOW)["name"] == NAME
    assert persons.erase(house, ADDRESS, who="ana", now=NOW + timedelta(minutes=5)).known, (
        "a worker that died holds nobody up"
    )


def test_devices_go_too(house, tmp_path):
    edition = morning(house.engine, [("push", "", "en")])
    bring(house, tmp_path)
    row_id = TABLES["subscriber"].c.id
    with house.engine.begin() as connection:
        (person,) = connection.execute(select(row_id)).scalars()
        connection.execute(TABLES["subscription"].insert().values(
            subscriber_id=person, digest_id=1, channel="push", device="phone-of-wilhelmina", state="active",
            consent_source="", consent_wording="",
        ))  # fmt: skip
    sent(house, edition, shares=[edition.share("push")])
    (file,) = (house.settings.outbox_folder / PLACE).rglob("*.json")
    persons.erase(house, ADDRESS, who="ana", now=NOW)
    assert not file.exists()
    with house.engine.connect() as connection:
        everything = [str(one) for table in TABLES.values() for one in connection.execute(select(table))]
    assert not [one for one in everything if "phone-of" in one]


def test_messages_of_a_mailing_without_an_edition_are_found_by_their_name(house, tmp_path):
    edition = morning(house.engine)
    bring(house, tmp_path)
    sent(house, edition)
    with house.engine.begin() as connection:
        connection.execute(TABLES["mailing"].update().values(edition_id=None, kind="service"))
    assert persons.erase(house, ADDRESS, who="ana", now=NOW).files == 1
    assert list(house.settings.outbox_folder.rglob("*.eml")) == []


def test_nobody_waits_to_write_while_the_outbox_is_looked_through(sqlite_engine, tmp_path):
    """Not even for a service message whose row has had its time, so that its place is not known."""
    house = Press(settings=Settings(home=tmp_path, outbox=tmp_path / "outbox"), engine=sqlite_engine, keys=KEYS)
    edition = morning(sqlite_engine)
    bring(house, tmp_path)
    sent(house, edition)
    with sqlite_engine.begin() as connection:
        connection.execute(TABLES["mailing"].update().values(edition_id=None, kind="service"))
    opened(sqlite_engine, edition)
    looked: list[bool] = []
    with watched(house.settings.outbox_folder, lambda: looked.append(may_write(sqlite_engine))):
        done = persons.erase(house, ADDRESS, who="ana", now=NOW)
    assert (done.deliveries, done.files) == (2, 1)
    assert len(looked) >= 2
    assert all(looked)


@contextmanager
def watched(outbox: Path, look):
    """Called whenever one of its folders is read, but for those of messages half written."""
    watching = True

    def hook(name, given):
        if watching and name in {"os.scandir", "os.listdir"} and isinstance(given[0], (str, Path)):
            folder = Path(given[0])
            if folder.is_relative_to(outbox) and ".writing" not in folder.parts:
                look()

    sys.addaudithook(hook)  # it cannot be taken off again
    try:
        yield
    finally:
        watching = False


def may_write(engine) -> bool:
    with closing(sqlite3.connect(engine.url.database, timeout=0, isolation_level=None)) as other:
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        return True


class KilledError(Exception):
    pass


def test_killed_before_any_statement_somebody_can_still_be_found_and_is_erased_the_next_time(house, tmp_path):
    edition = morning(house.engine)
    bring(house, tmp_path)
    mailing = sent(house, edition)
    row, delivery = wilhelminas(house.engine)
    told(house.engine, mailing, delivery.number, row.email_hash.hex())
    for number in count(1):
        with before_statement(house.engine, number, killed) as passed:
            try:
                done = persons.erase(house, ADDRESS, who="ana", now=NOW)
            except KilledError:
                assert persons.everything_of(house, ADDRESS, now=NOW)["name"] == NAME
            else:
                break
    assert passed[0] < number
    assert number > 15, "it was killed at many places"
    assert (done.known, done.deliveries, list(house.settings.outbox_folder.rglob("*.eml"))) == (True, 1, [])
    with house.engine.connect() as connection:
        everything = [str(one) for table in TABLES.values() for one in connection.execute(select(table))]
    assert not [one for one in everything if "ilhelmina" in one or NAME in one]


def killed():
    raise KilledError


@contextmanager
def before_statement(engine, number, what):
    """Does something before that statement alone (beginnings are not counted); gives how many there were."""
    passed = [0]

    def step(_connection, _cursor, statement, *_):
        passed[0] += not statement.startswith("BEGIN")
        if passed[0] == number and not statement.startswith("BEGIN"):
            passed[0] += 1
            what()

    event.listen(engine, "before_cursor_execute", step)
    try:
        yield passed
    finally:
        event.remove(engine, "before_cursor_execute", step)


def test_a_message_that_leaves_between_the_files_and_the_rows_goes_too(sqlite_engine, tmp_path):
    house = Press(settings=Settings(home=tmp_path, outbox=tmp_path / "outbox"), engine=sqlite_engine, keys=KEYS)
    edition = morning(sqlite_engine)
    bring(house, tmp_path)
    left = []

    def meanwhile(_connection, _cursor, statement, *_):
        if statement == "BEGIN IMMEDIATE" and not left:
            left.append("now")
            sent(house, edition)
            left.extend(house.settings.outbox_folder.rglob("*.eml"))

    event.listen(sqlite_engine, "before_cursor_execute", meanwhile)
    done = persons.erase(house, ADDRESS, who="ana", now=NOW)
    event.remove(sqlite_engine, "before_cursor_execute", meanwhile)
    assert len(left) == 2
    assert not left[1].exists()
    assert (done.deliveries, done.files) == (1, 1)


def test_erasing_again_is_no_fault_and_other_addresses_are(house, tmp_path):
    morning(house.engine)
    bring(house, tmp_path)
    persons.erase(house, ADDRESS, who="ana", now=NOW)
    assert not persons.erase(house, ADDRESS, who="ana", now=NOW).known
    put_on_list = {address_hash(KEYS.hash_key, "held@example.net"): Why("bounce", "")}
    with house.engine.begin() as connection:
        suppress(connection, put_on_list, now=NOW)
    for address in ("held@example.net", "nobody@example.net", "nobody"):
        with pytest.raises(NotFoundError):
            persons.erase(house, address, who="ana", now=NOW)


def test_what_a_provider_tells_later_of_somebody_erased_changes_nothing_but_the_delivery(house, tmp_path):
    edition = morning(house.engine)
    bring(house, tmp_path)
    mailing = sent(house, edition)
    (delivery,) = deliveries_of(house.engine)
    persons.erase(house, ADDRESS, who="ana", now=NOW)
    name = delivery_id(KEYS.hash_key, mailing=mailing, number=delivery.number, opened=int(NOW.timestamp()))
    bounce = Event(name, EventKind.BOUNCED, NOW.timestamp(), permanent=True)
    leaving = Event(name, EventKind.LEFT, NOW.timestamp() + 1)
    heard = hear(house.engine, [bounce, leaving], keys=KEYS, provider="sendgrid", policy=Policy(5, 30), now=NOW)
    assert (heard.moved, heard.suppressed, heard.left) == (1, 0, 0)
    (delivery,) = deliveries_of(house.engine)
    assert (delivery.state, delivery.subscriber_id < 0) == ("bounced", True)
    assert persons.everything_of(house, ADDRESS, now=NOW)["events"] == []


def test_a_server_s_words_about_somebody_erased_are_not_kept(house, tmp_path):
    """They repeat the address more often than not."""
    edition = morning(house.engine)
    bring(house, tmp_path)
    mailing, said = sent(house, edition), "550 <wilhelmina.quist@example.net> no such user"
    (delivery,) = deliveries_of(house.engine)
    name = delivery_id(KEYS.hash_key, mailing=mailing, number=delivery.number, opened=int(NOW.timestamp()))
    bounce = Event(name, EventKind.BOUNCED, NOW.timestamp(), permanent=True, reason=said)
    aside = {"key": b"a" * 16, "provider": "smtp", "kind": "deferred", "at": NOW.timestamp(), "heard_at": NOW.timestamp(),
             "delivery": name, "target": "", "permanent": False, "machine": False, "link": "", "reason": said}  # fmt: skip
    persons.erase(house, ADDRESS, who="ana", now=NOW)
    with house.engine.begin() as connection:
        connection.execute(TABLES["event"].insert().values(**aside))
    hear(house.engine, [bounce], keys=KEYS, provider="smtp", policy=Policy(5, 30), now=NOW)
    assert adopt(house.engine, keys=KEYS, policy=Policy(5, 30), now=NOW) == 1
    with house.engine.connect() as connection:
        assert connection.execute(select(TABLES["event"].c.reason)).scalars().all() == ["", ""]
        everything = [str(one) for table in TABLES.values() for one in connection.execute(select(table))]
    assert not [one for one in everything if "ilhelmina" in one]


def test_who_never_confirmed_is_known_and_erased_too(house):
    morning(house.engine)
    hashed = address_hash(KEYS.hash_key, "wilhelmina.quist@example.net")
    asked = {"email": "Wilhelmina.Quist@example.net", "email_key": "wilhelmina.quist@example.net", "email_hash": hashed,
             "digest_id": 1, "language": "en", "zone": "UTC", "asked_at": NOW, "source": "page", "wording": "v"}  # fmt: skip
    with house.engine.begin() as connection:
        connection.execute(TABLES["signup"].insert().values(**asked))
        open_service(
            connection,
            MessageWanted(kind="confirm", email=asked["email"], email_hash=hashed, digest_id=1, language="en"),
            proof_id=1, transport="outbox", now=NOW,
        )  # fmt: skip
    found = persons.everything_of(house, ADDRESS, now=NOW)
    assert (found["signups"][0]["digest"], len(found["deliveries"])) == ("global", 1)
    assert persons.erase(house, ADDRESS, who="ana", now=NOW) == persons.Erasure(known=True, deliveries=1)
    with house.engine.connect() as connection:
        everything = [str(one) for table in TABLES.values() for one in connection.execute(select(table))]
    assert not [one for one in everything if "uist@" in one]
    assert deliveries_of(house.engine)[0].target == ""
    assert not persons.erase(house, ADDRESS, who="ana", now=NOW).known


def test_subscribers_are_deleted_in_one_place_alone_which_forgets_whose_deliveries_they_were():
    """A deletion anywhere else would leave deliveries to a number that SQLite gives to somebody else."""
    house = Path(persons.__file__).parents[1]
    files = [file for folder in ("digest", "subscribers") for file in (house / folder).rglob("*.py")]
    code = {file.relative_to(house).as_posix(): file.read_text("utf-8") for file in files}
    deleting = re.compile(r"PEOPLE\.delete\(|delete\(SubscriberRow|DELETE FROM subscriber\b|SUBSCRIBERS?\.delete\(")
    assert [name for name, text in code.items() if deleting.search(text)] == ["subscribers/erasure.py"]
    assert [name for name, text in code.items() if "erasure.erase(" in text] == ["digest/persons.py"]
    erasing = code["digest/persons.py"].partition("def erase(")[2]
    assert "traces.forget(" in erasing.partition("erasure.erase(")[0]


def test_what_the_audit_knew_of_somebody_erased_is_nobodys_too(house, tmp_path):
    edition = morning(house.engine)
    bring(house, tmp_path)
    mailing = sent(house, edition)
    (delivery,) = deliveries_of(house.engine)
    name = delivery_id(KEYS.hash_key, mailing=mailing, number=delivery.number, opened=int(NOW.timestamp()))
    bounce = Event(name, EventKind.BOUNCED, NOW.timestamp(), permanent=True, reason="no wilhelmina here")
    hear(house.engine, [bounce], keys=KEYS, provider="sendgrid", policy=Policy(5, 30), now=NOW)
    told_before = persons.everything_of(house, ADDRESS, now=NOW)["audit"]
    assert [(line["did"], line["detail"]["said"]) for line in told_before] == [("suppress", "no wilhelmina here")]
    persons.erase(house, ADDRESS, who="ana", now=NOW)
    readers(house.engine, 1)
    with house.engine.connect() as connection:
        lines = [(row.did, row.subject_id) for row in connection.execute(select(TABLES["audit"]))]
        everything = [str(one) for table in TABLES.values() for one in connection.execute(select(table))]
    assert lines[0] == ("suppress", 0)
    assert not [one for one in everything if "ilhelmina" in one]
    assert persons.everything_of(house, "reader1@example.net", now=NOW)["audit"] == []


def test_a_suppression_of_before_keeps_its_reason(house, tmp_path):
    morning(house.engine)
    bring(house, tmp_path)
    row = TABLES["subscriber"].c
    with house.engine.begin() as connection:
        (hashed,) = connection.execute(select(row.email_hash)).scalars()
        connection.execute(
            TABLES["suppression"].insert().values(email_hash=hashed, reason="complaint", since=NOW, note="")
        )
    persons.erase(house, ADDRESS, who="ana", now=NOW)
    assert persons.everything_of(house, ADDRESS, now=NOW)["suppression"]["reason"] == "complaint"


def test_a_log_that_somebody_still_reads_is_not_called_clean(tmp_path):
    house = _house_in(tmp_path)
    morning(house.engine)
    bring(house, tmp_path)
    with house.engine.connect() as connection:
        connection.connection.driver_connection.execute("PRAGMA busy_timeout=50")
    other = sqlite3.connect(tmp_path / "digest.sqlite", isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT count(*) FROM subscriber").fetchone()
    persons.erase(house, ADDRESS, who="ana", now=NOW)
    with pytest.raises(StorageError, match="run the same command again"):
        scrub(house.engine)
    other.execute("COMMIT")
    scrub(house.engine)
    assert not [trace for trace in TRACES if trace.lower() in bytes_of(tmp_path).lower()]
    other.close()


def test_the_place_of_an_edition_is_one_however_it_is_asked_for(house):
    edition = morning(house.engine)
    with writing(house.engine) as session:
        row = session.get_one(EditionRow, edition.edition)
        assert handover.folder_of(session, row) == PLACE


def test_times_are_times(house, tmp_path):
    edition = morning(house.engine)
    bring(house, tmp_path)
    set_wish(house.engine, 1, paused_until=datetime(2027, 1, 1, tzinfo=UTC), state="paused")
    sent(house, edition)
    (one,) = persons.everything_of(house, ADDRESS, now=NOW)["deliveries"]
    assert (one["state"], one["handed_at"], one["updated_at"]) == ("skipped", None, NOW)
