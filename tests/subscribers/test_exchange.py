"""The import: a bad line costs itself, the rest come in, nobody comes in twice or against their will."""

import csv
import gzip
import random
import stat
import time
from datetime import UTC, datetime
from multiprocessing import get_context

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlmodel import SQLModel

from subscribers.exchange import import_csv
from subscribers.files import ImportRefusedError
from subscribers.sheets import Hints
from subscribers.tokens import address_hash
from tests import import_worker
from tests.newsroom import KEYS, NOW, morning, readers, set_wish, suppress

TABLES = SQLModel.metadata.tables
PEOPLE, WISHES, TOPICS, HELD = (
    TABLES[name] for name in ("subscriber", "subscription", "subscriber_topic", "suppression")
)
IMPORTING = get_context("forkserver")
IMPORTING.set_forkserver_preload(["tests.import_worker"])


@pytest.fixture
def house(engine):
    morning(engine)
    return engine


@pytest.fixture
def sheet(tmp_path):
    def write(text, encoding="utf-8"):
        file = tmp_path / "readers.csv"
        file.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return file

    return write


def bring(engine, file, **options):
    options = {"digest_id": 1, "keys": KEYS, "consent": "web form, 2025", "now": NOW, **options}
    return import_csv(engine, file, **options)


def counts(report):
    return (report.accepted, report.updated, report.unchanged, report.refused_count, report.suppressed)


def people(engine):
    with engine.connect() as connection:
        return {row.email: row for row in connection.execute(select(PEOPLE))}


def wishes(engine):
    with engine.connect() as connection:
        query = select(PEOPLE.c.email, WISHES).join_from(WISHES, PEOPLE, PEOPLE.c.id == WISHES.c.subscriber_id)
        return {(row.email, row.channel): row for row in connection.execute(query)}


def topics(engine):
    with engine.connect() as connection:
        return {(row.subscriber_id, row.topic, row.wish) for row in connection.execute(select(TOPICS))}


FULL = """Email,Name,Language,Time zone,Country,Topics,Channels,Plan,attr.City,Shoe size
ana@example.net,Ana Núñez,es-mx,America/Mexico_City,mx,korea; Middle East,email;push,paid,Lima,38
ben@example.net,"Ben, Jr.",en,,,,,,,
"""


def test_every_field_is_read_and_unknown_columns_are_named(house, sheet):
    report = bring(house, sheet(FULL), wording="v3")
    assert counts(report) == (2, 0, 0, 0, 0)
    assert report.ignored == ("Shoe size",)
    ana, ben = people(house)["ana@example.net"], people(house)["ben@example.net"]
    assert (ana.name, ana.language, ana.zone, ana.country, ana.plan) == (
        "Ana Núñez",
        "es-MX",
        "America/Mexico_City",
        "MX",
        "paid",
    )
    assert ana.attributes == {"city": "Lima"}
    assert topics(house) == {(ana.id, "korea", 1), (ana.id, "middle-east", 1)}
    assert (ben.name, ben.language, ben.zone, ben.country) == ("Ben, Jr.", "en", "UTC", None)
    assert set(wishes(house)) == {
        ("ana@example.net", "email"),
        ("ana@example.net", "push"),
        ("ben@example.net", "email"),
    }


def test_the_consent_held_is_kept_with_each_subscription(house, sheet):
    bring(house, sheet("email\nana@example.net\n"), wording="v3")
    wish = wishes(house)["ana@example.net", "email"]
    assert (wish.state, wish.consent_at, wish.consent_source, wish.consent_wording) == (
        "active",
        NOW,
        "web form, 2025",
        "v3",
    )


@pytest.mark.parametrize("divider", [",", ";", "\t"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_files_of_every_office_program_are_read(sqlite_engine, sheet, divider, ending, encoding):
    morning(sqlite_engine)
    lines = [["name", "email"], ["Zoë", "zoe@example.net"], ["Ana", "ana@example.net"]]
    report = bring(sqlite_engine, sheet(ending.join(divider.join(line) for line in lines), encoding))
    assert counts(report) == (2, 0, 0, 0, 0)
    assert people(sqlite_engine)["zoe@example.net"].name == "Zoë"


def test_running_it_again_changes_nothing(house, sheet):
    file = sheet(FULL)
    bring(house, file)
    before = people(house), wishes(house), topics(house)
    assert counts(bring(house, file, now=NOW.replace(hour=9))) == (0, 0, 2, 0, 0)
    assert (people(house), wishes(house), topics(house)) == before


def test_a_later_file_updates_what_it_gives_and_leaves_the_rest(house, sheet):
    bring(house, sheet(FULL))
    report = bring(house, sheet("email,name,plan,topics,attr.age\nana@example.net,,trial,vatican,40\n"))
    assert counts(report) == (0, 1, 0, 0, 0)
    ana = people(house)["ana@example.net"]
    assert (ana.name, ana.plan, ana.attributes) == ("Ana Núñez", "trial", {"city": "Lima", "age": "40"})
    assert {topic for _, topic, _ in topics(house)} == {"korea", "middle-east", "vatican"}


def test_the_same_person_twice_in_other_letters_is_one_and_the_later_line_wins(house, sheet):
    report = bring(house, sheet("email,name,plan\nAna@Example.net,Ana,paid\nANA@EXAMPLE.NET,Ana Núñez,\n"))
    assert counts(report) == (1, 0, 0, 0, 0)
    (ana,) = people(house).values()
    assert (ana.email_key, ana.name, ana.plan) == ("ana@example.net", "Ana Núñez", "paid")


def test_a_suppressed_address_does_not_come_in(house, sheet):
    (known,) = readers(house, 1)
    suppress(house, known)
    report = bring(house, sheet("email,name\nreader1@EXAMPLE.net,New Name\nana@example.net,Ana\n"))
    assert counts(report) == (1, 0, 0, 0, 1)
    assert people(house)["reader1@example.net"].name == "Ana", "and what is known of it stays as it is"


@pytest.mark.parametrize("state", ["left", "paused", "pending"])
def test_who_left_or_rests_or_has_yet_to_confirm_is_not_brought_back(house, sheet, state):
    (known,) = readers(house, 1)
    set_wish(house, known, state=state)
    bring(house, sheet("email\nreader1@example.net\n"))
    assert wishes(house)["reader1@example.net", "email"].state == state


def test_a_push_reader_without_a_device_has_the_same_stand_in_every_time(house, sheet):
    file = sheet("email,channels,device\nana@example.net,push,\nben@example.net,push,phone-12345\n")
    bring(house, file)
    bring(house, file)
    devices = {email: wish.device for (email, _), wish in wishes(house).items()}
    assert devices["ben@example.net"] == "phone-12345"
    assert devices["ana@example.net"].startswith("standin-")
    assert len(wishes(house)) == 2


BAD = [
    ("no-address", "email", "name@domain"),
    (",Ana", "email", "there is no address"),
    ("a@b@example.net,Ana", "email", "needs quotes|would need quotes"),
    ("ana@exa mple.net", "email", "blanks"),
    ("ana@example.net,,Europe/Madird", "zone", "did you mean Europe/Madrid"),
    ("ana@example.net,,,English language", "language", "use a code such as en"),
    ("ana@example.net,,,,Spain", "country", "use two letters"),
    ("ana@example.net,,,,,letter", "channels", "use email or push"),
    ("ana@example.net,,,,,,x,y,z", "", "9 fields where there are 7 columns"),
    ('ana@example.net,"Ana', "", "a quote is opened and not closed"),
    ('"ana"@example.net,Ana', "", "a quote is opened"),
    ("ana@example.net,A\0na", "name", "NUL"),
    ("ana@example.net," + "x" * 30_000, "", "longer than 20000"),
    ("ana@example.net,Ana ñ ".encode() + b"\xff", "", "no text in UTF-8"),
]


@pytest.mark.parametrize(("line", "column", "reason"), BAD, ids=range(len(BAD)))
def test_a_bad_line_is_refused_with_line_column_and_reason_and_the_rest_come_in(
    sqlite_engine, sheet, line, column, reason
):
    morning(sqlite_engine)
    line = line if isinstance(line, bytes) else line.encode()
    file = sheet(
        b"email,name,zone,language,country,channels,plan\nbefore@example.net\n" + line + b"\nafter@example.net,Zed\n"
    )
    report = bring(sqlite_engine, file)
    assert counts(report) == (2, 0, 0, 1, 0)
    assert set(people(sqlite_engine)) == {"before@example.net", "after@example.net"}
    (refused,) = report.refused
    assert (refused.line, refused.column) == (3, column)
    assert any(part in refused.reason for part in reason.split("|"))


def test_refused_lines_are_counted_but_not_all_kept(sqlite_engine, sheet):
    morning(sqlite_engine)
    report = bring(sqlite_engine, sheet("email\n" + "wrong\n" * 1500))
    assert (report.refused_count, len(report.refused)) == (1500, 200)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "there is no line in it"),
        ("name,zone\nAna,UTC\n", "no column named email"),
        ("email,mail\na@example.net,b@example.net\n", "two columns for email"),
        (b"PK\x03\x04 an xlsx", "save it as CSV UTF-8"),
        (gzip.compress(b"email\nana@example.net\n", mtime=0)[:-3], "damaged or cut short"),
        ("email," + "x" * 30_000, "longer than 20000"),
        ("ana@example.net,Ana\n", "--columns email,name,-"),
        ('email,"name\n', "first line"),
    ],
)
def test_a_file_that_is_no_such_file_is_refused_in_one_line(sqlite_engine, sheet, text, says):
    morning(sqlite_engine)
    with pytest.raises(ImportRefusedError, match=says) as told:
        bring(sqlite_engine, sheet(text))
    assert "\n" not in str(told.value)


def test_a_dry_run_says_what_would_happen_and_keeps_nothing(house, sheet):
    report = bring(house, sheet(FULL), dry_run=True)
    assert counts(report) == (2, 0, 0, 0, 0)
    assert people(house) == {}
    assert counts(bring(house, sheet(FULL))) == (2, 0, 0, 0, 0)


def test_a_file_of_many_blocks_tells_how_far_it_is(sqlite_engine, sheet):
    morning(sqlite_engine)
    told = []
    file = sheet("email\n" + "".join(f"r{n % 2200}@example.net\n" for n in range(2500)))
    report = bring(sqlite_engine, file, block=1000, told=lambda done, lines: told.append((done, lines)))
    assert told == [(1001, 2501), (2001, 2501), (2501, 2501)]
    assert (report.accepted, report.unchanged, report.twice, report.refused_count) == (2200, 0, 300, 0)
    with sqlite_engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(WISHES)).scalar() == 2200


# what a file may and may not change ----------------------------------------------------------------------------------


def test_who_left_a_digest_gets_no_other_channel_of_it_but_another_digest(house, sheet):
    (known,) = readers(house, 1)
    set_wish(house, known, state="left")
    with house.begin() as connection:
        connection.execute(TABLES["digest"].insert(), [other_digest(connection)])
    report = bring(house, sheet("email,channels,device\nreader1@example.net,email;push,phone-12345\n"))
    assert (counts(report), report.left) == ((0, 0, 1, 0, 0), 1)
    assert {place: wish.state for place, wish in wishes(house).items()} == {("reader1@example.net", "email"): "left"}
    report = bring(house, sheet("email\nreader1@example.net\n"), digest_id=2)
    assert (counts(report), report.left) == ((0, 1, 0, 0, 0), 0)


def other_digest(connection):
    row = dict(connection.execute(TABLES["digest"].select()).one()._mapping)
    return {**row, "id": 2, "slug": "sport"}


def test_a_file_that_says_someone_left_is_believed_for_every_channel_of_the_digest(house, sheet):
    readers(house, 2, channels=("email", "push"))
    report = bring(house, sheet("email,status,left_at\nreader1@example.net,left,2026-01-02\nana@example.net,left,\n"))
    assert (counts(report), report.left) == ((1, 1, 0, 0, 0), 2)
    states = {place: wish.state for place, wish in wishes(house).items()}
    assert states == {
        ("reader1@example.net", "email"): "left",
        ("reader1@example.net", "push"): "left",
        ("reader2@example.net", "email"): "active",
        ("reader2@example.net", "push"): "active",
        ("ana@example.net", "email"): "left",
    }
    assert wishes(house)["reader1@example.net", "email"].left_at == datetime(2026, 1, 2, tzinfo=UTC)
    assert wishes(house)["ana@example.net", "email"].left_at == NOW


@pytest.mark.parametrize(("confirmed", "state"), [(None, "left"), (datetime(2025, 1, 1), "left"), (NOW, "active")])
def test_but_not_of_someone_who_confirmed_here_since(sqlite_engine, sheet, confirmed, state):
    morning(sqlite_engine)
    (known,) = readers(sqlite_engine, 1)
    set_wish(sqlite_engine, known, confirmed_at=confirmed and confirmed.replace(tzinfo=UTC))
    bring(sqlite_engine, sheet("email,left_at\nreader1@example.net,2026-01-02\n"))
    assert wishes(sqlite_engine)["reader1@example.net", "email"].state == state


@pytest.mark.parametrize("lines", [("left", "active"), ("active", "left")])
@pytest.mark.parametrize("block", [1, 100])
def test_in_one_file_leaving_wins_whatever_the_order(sqlite_engine, sheet, lines, block):
    morning(sqlite_engine)
    file = sheet(
        "email,status\n"
        + "".join(f"{name}@example.net,{status}\n" for name, status in zip(["ana", "ANA"], lines, strict=True))
    )
    bring(sqlite_engine, file, block=block)
    (ana,) = wishes(sqlite_engine).values()
    assert ana.state == "left"


def test_blocked_people_of_other_programs_go_on_the_list_and_nothing_else_of_them_is_kept(house, sheet):
    readers(house, 1)
    file = sheet("email,name,status\nana@example.net,Ana,blocklisted\nreader1@example.net,New,cleaned\n")
    report = bring(house, file)
    assert counts(report) == (0, 0, 0, 0, 2)
    with house.connect() as connection:
        held = {row.email_hash: (row.reason, row.since) for row in connection.execute(select(HELD))}
    assert held == {
        address_hash(KEYS.hash_key, "ana@example.net"): ("blocklisted", NOW),
        address_hash(KEYS.hash_key, "reader1@example.net"): ("bounce", NOW),
    }
    assert {row.email: row.name for row in people(house).values()} == {"reader1@example.net": "Ana"}
    assert counts(bring(house, sheet("email\nana@example.net\nreader1@example.net\n"))) == (0, 0, 0, 0, 2)


OWN = "email,name,language,zone,country,plan,topics,attr.city\nreader1@example.net,New,es,Europe/Madrid,ES,paid,korea,Lima\n"


def test_what_readers_set_themselves_is_theirs_and_the_publishers_facts_are_the_publishers(house, sheet):
    (known,) = readers(house, 1)
    with house.begin() as connection:
        connection.execute(PEOPLE.update().values(chosen_at=NOW, country="PE", plan="trial"))
        connection.execute(TOPICS.insert().values(subscriber_id=known, topic="vatican", wish=-1))
    report = bring(house, sheet(OWN + "Reader1@EXAMPLE.net,,,,,,vatican,\n"), channels=("email", "push"))
    one = people(house)["reader1@example.net"]
    assert (one.name, one.language, one.zone) == ("Ana", "en", "UTC")
    assert (one.country, one.plan, one.attributes) == ("ES", "paid", {"city": "Lima"})
    assert topics(house) == {(known, "vatican", -1)}
    assert list(wishes(house)) == [("reader1@example.net", "email")], "nor does a file add a channel to their digest"
    assert (report.updated, report.twice) == (1, 1)


def test_before_that_a_file_may_correct_them_but_not_turn_a_topic_round(house, sheet):
    (known,) = readers(house, 1)
    with house.begin() as connection:
        connection.execute(TOPICS.insert().values(subscriber_id=known, topic="korea", wish=-1))
    bring(house, sheet(OWN))
    one = people(house)["reader1@example.net"]
    assert (one.name, one.language, one.zone) == ("New", "es", "Europe/Madrid")
    assert topics(house) == {(known, "korea", -1)}


def test_consent_dates_of_the_file_are_kept_and_a_pending_wish_stays_pending(house, sheet):
    text = (
        "email,status,consent_at,confirmed_at,joined\nana@example.net,active,2024-01-02,2024-01-03T04:05,2023-01-01\n"
    )
    bring(house, sheet(text + "ben@example.net,pending,,,\n"))
    ana, ben = wishes(house)["ana@example.net", "email"], wishes(house)["ben@example.net", "email"]
    assert (ana.consent_at, ana.confirmed_at) == (
        datetime(2024, 1, 2, tzinfo=UTC),
        datetime(2024, 1, 3, 4, 5, tzinfo=UTC),
    )
    assert (ben.state, ben.consent_at, ben.confirmed_at) == ("pending", NOW, None)
    assert people(house)["ana@example.net"].joined_at == datetime(2023, 1, 1, tzinfo=UTC)


def test_people_met_twice_are_named_with_both_lines(sqlite_engine, sheet):
    morning(sqlite_engine)
    file = sheet(
        "email,plan\nana@example.net,a\nben@example.net,\nANA@example.net,b\nBen@Example.NET,\nAna@example.net,c\n"
    )
    for block in (1, 2, 100):
        with sqlite_engine.begin() as connection:
            connection.execute(PEOPLE.delete())
        report = bring(sqlite_engine, file, block=block)
        assert (counts(report), report.twice) == ((2, 0, 0, 0, 0), 3)
        assert [(one.line, one.first) for one in report.repeats] == [(4, 2), (5, 3), (6, 2)]
        assert {row.plan for row in people(sqlite_engine).values()} == {"c", None}


# reports ------------------------------------------------------------------------------------------------------------


def test_the_refused_lines_can_be_mended_and_imported(sqlite_engine, sheet, tmp_path):
    morning(sqlite_engine)
    text = 'email;name;note\nana@example.net;Ana;\nwrong;=Wrong;n\nben@example.net;"Ben;n\nx@y@example.net;X;1;2;3\n'
    report = bring(sqlite_engine, sheet(text), report_file=tmp_path / "refused.csv")
    rows = list(csv.reader((tmp_path / "refused.csv").open(encoding="utf-8", newline="")))
    assert rows[0] == ["line", "column", "reason", "email", "name", "note"]
    assert [row[:2] + row[3:] for row in rows[1:]] == [
        ["3", "email", "wrong", "'=Wrong", "n"],
        ["4", "", 'ben@example.net;"Ben;n'],
        ["5", "", "x@y@example.net", "X", "1", "2", "3"],
    ]
    assert (report.refused_count, stat.S_IMODE((tmp_path / "refused.csv").stat().st_mode)) == (3, 0o600)
    mended = (tmp_path / "refused.csv").read_text(encoding="utf-8").replace("wrong", "wilma@example.net")
    report = bring(sqlite_engine, sheet(mended))
    assert (report.accepted, report.refused_count) == (1, 2)
    assert people(sqlite_engine)["wilma@example.net"].name == "=Wrong"


def test_a_report_that_cannot_be_written_stops_the_import_before_it_begins(sqlite_engine, sheet, tmp_path):
    morning(sqlite_engine)
    with pytest.raises(FileNotFoundError):
        bring(sqlite_engine, sheet(FULL), report_file=tmp_path / "nowhere" / "refused.csv")
    assert people(sqlite_engine) == {}


def test_a_dry_run_counts_what_would_happen_block_by_block_and_holds_nobody_up(sqlite_engine, sheet):
    morning(sqlite_engine)
    readers(sqlite_engine, 1)
    text = "email,plan\nana@example.net,\nreader1@example.net,paid\nwrong,\nANA@example.net,x\nreader1@example.net,y\n"

    def somebody_else_writes(_done, _lines):
        with sqlite_engine.begin() as connection:
            connection.execute(TABLES["segment"].delete())

    report = bring(sqlite_engine, sheet(text), dry_run=True, block=1, told=somebody_else_writes)
    assert (counts(report), report.twice) == ((1, 1, 0, 1, 0), 2)
    assert set(people(sqlite_engine)) == {"reader1@example.net"}
    assert runs(sqlite_engine) == []


# broken off and resumed ---------------------------------------------------------------------------------------------


def runs(engine):
    with engine.connect() as connection:
        return list(connection.execute(select(TABLES["import_run"])))


class BrokenOffError(Exception):
    pass


def broken_off_at(number):
    def told(done, _lines):
        if done >= number:
            raise BrokenOffError

    return told


MANY = "email,name,topics\n" + "".join(
    f"R{n % 90}@example.net,Name {n},t{n % 3}\n" if n % 7 else f"wrong{n}\n" for n in range(120)
)


def test_an_import_that_was_broken_off_goes_on_and_counts_on(house, sheet, tmp_path):
    file = sheet(MANY)
    for line in (20, 60):
        with pytest.raises(BrokenOffError):
            bring(house, file, block=10, told=broken_off_at(line), now=NOW)
        assert [run.lines for run in runs(house)] == [line + 1]
    report = bring(house, file, block=10, now=NOW.replace(hour=9), report_file=tmp_path / "refused.csv")
    whole = (counts(report), report.twice, report.refused, report.repeats)
    assert (report.resumed_at, runs(house)) == (61, [])
    assert {row.joined_at for row in people(house).values()} == {NOW}, "one import, one moment"
    refused = (tmp_path / "refused.csv").read_text(encoding="utf-8")
    assert refused.count("wrong") == report.refused_count == 18, "with those of the first run"
    with house.begin() as connection:
        connection.execute(PEOPLE.delete())
    again = bring(house, file, block=10, report_file=tmp_path / "refused.csv")
    assert (counts(again), again.twice, again.refused, again.repeats) == whole
    assert (tmp_path / "refused.csv").read_text(encoding="utf-8") == refused


def test_only_the_same_import_goes_on(sqlite_engine, sheet):
    morning(sqlite_engine)
    with pytest.raises(BrokenOffError):
        bring(sqlite_engine, sheet(MANY), block=10, told=broken_off_at(20))
    for other in ({"consent": "another"}, {"hints": Hints(attributes=True)}, {"channels": ("push",)}):
        assert bring(sqlite_engine, sheet(MANY), **other).resumed_at == 0
    assert bring(sqlite_engine, sheet(MANY + "more@example.net\n")).resumed_at == 0
    assert bring(sqlite_engine, sheet(gzip.compress(MANY.encode()))).resumed_at == 21, "a packed copy is the same file"


def test_with_blocks_of_another_size_it_still_counts_each_line_once(sqlite_engine, sheet):
    morning(sqlite_engine)
    with pytest.raises(BrokenOffError):
        bring(sqlite_engine, sheet(MANY), block=10, told=broken_off_at(20))
    report = bring(sqlite_engine, sheet(MANY), block=37)
    assert report.accepted + report.twice + report.refused_count == 120
    assert (report.accepted, report.updated, report.unchanged) == (len(people(sqlite_engine)), 0, 0)


def test_two_of_the_same_import_at_once_do_not_both_go_on(house, sheet):
    file = sheet(MANY)

    def another(done, _lines):
        if done == 11:
            bring(house, file, block=10)

    with pytest.raises(ImportRefusedError, match="under way in another process"):
        bring(house, file, block=10, told=another)
    assert len(people(house)) == len({n % 90 for n in range(120) if n % 7}), "the other one finished it"


@pytest.mark.parametrize("kills", [6])
def test_killed_at_random_moments_it_ends_with_what_it_would_have_had(engine, sheet, tmp_path, kills):
    morning(engine)
    lines = (
        f"R{n * 7919 % 5000}@example.net,Name {n},t{n % 5}\n" if n % 11 else f"wrong{n}\n" for n in range(24_000)
    )  # more than six lives can bring
    file = sheet("email,name,topics\n" + "".join(lines))
    whole = bring(engine, file, block=100)
    wanted = counts(whole), whole.twice, whole.refused, whole.repeats, table_of(engine)
    with engine.begin() as connection:
        connection.execute(PEOPLE.delete())
    url, chance = engine.url.render_as_string(hide_password=False), random.Random(4)
    lives = []
    for _ in range(kills):
        worker = IMPORTING.Process(target=import_worker.bring, args=(url, file, tmp_path / "life"))
        worker.start()
        wait_for(tmp_path / "life", worker)
        time.sleep(chance.uniform(0, 0.25))
        worker.kill()
        worker.join(30)
        lives.append(runs(engine)[0].lines if runs(engine) else 0)
        (tmp_path / "life").unlink(missing_ok=True)
    assert len(set(lives)) > 2, f"the kills did not land in the middle: {lives}"
    report = bring(engine, file, block=100)
    assert report.resumed_at == lives[-1] > 0
    assert (counts(report), report.twice, report.refused, report.repeats, table_of(engine)) == wanted


def wait_for(sign, worker):
    for _ in range(3000):
        if sign.exists() or not worker.is_alive():
            return
        time.sleep(0.01)
    pytest.fail("the import never wrote a block")


def table_of(engine):
    with engine.connect() as connection:
        query = select(PEOPLE.c.email, PEOPLE.c.name, WISHES.c.state, TOPICS.c.topic)
        joined = PEOPLE.outerjoin(WISHES, WISHES.c.subscriber_id == PEOPLE.c.id).outerjoin(
            TOPICS, TOPICS.c.subscriber_id == PEOPLE.c.id
        )
        return sorted(tuple(row) for row in connection.execute(query.select_from(joined)))


# anything -----------------------------------------------------------------------------------------------------------

pieces = st.sampled_from([
    b"email", b"ana@example.net", b"ANA@example.net", b"ben@example.net", b",", b";", b'"', b"\n", b"\r", b"\0", b"\xff",
    "ñ".encode(), b"=1", b"'", b"{}", b"left", b"bounced", b"2025-01-01", b"email;push", b"korea", b"es", b"UTC",
])  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(pieces, max_size=40).map(b"".join), st.integers(1, 4))
def test_of_any_bytes_each_line_is_counted_once_and_what_is_accepted_is_there(sqlite_engine, tmp_path, middle, block):
    with sqlite_engine.begin() as connection:
        for table in ("proof", "edition", "subscription", "subscriber", "suppression", "digest"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
    digest = morning(sqlite_engine).digest
    file = tmp_path / "readers.csv"
    headings = b"email,name,topics,plan,status,left_at,attributes,channels,language\n"
    file.write_bytes(headings + b"first@example.net,A,b,c\n" + middle + b"\nlast@example.net,Z,b,c\n")
    report = bring(sqlite_engine, file, digest_id=digest, block=block)
    assert {"first@example.net", "last@example.net"} <= set(people(sqlite_engine))
    assert report.accepted == len(people(sqlite_engine))
    assert runs(sqlite_engine) == []
