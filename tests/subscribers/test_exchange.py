"""The import: a bad line costs itself, the rest come in, nobody comes in twice or against their will."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlmodel import SQLModel

from subscribers.exchange import import_csv
from subscribers.sheets import ImportRefusedError
from tests.newsroom import KEYS, NOW, morning, readers, set_wish, suppress

TABLES = SQLModel.metadata.tables
PEOPLE, WISHES, TOPICS = (TABLES[name] for name in ("subscriber", "subscription", "subscriber_topic"))


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
    ("ana@example.net,,,,,,x,y,z", "", "9 fields where the first line names 7"),
    ('ana@example.net,"Ana', "", "a quote is opened and not closed"),
    ('"ana"@example.net,Ana', "", "a quote is opened"),
    ("ana@example.net,A\0na", "name", "NUL"),
    ("ana@example.net," + "x" * 30_000, "", "longer than 20000"),
    (b"ana@example.net,Ana \xff", "", "not UTF-8"),
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
        ("", "is empty"),
        ("name,zone\nAna,UTC\n", "no column named email"),
        ("email,mail\na@example.net,b@example.net\n", "two columns for email"),
        ("email\nana@example.net\n".encode("utf-16"), "save it as CSV UTF-8"),
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
    report = bring(
        sqlite_engine, sheet("email\n" + "".join(f"r{n % 2200}@example.net\n" for n in range(2500))), told=told.append
    )
    assert told == [1000, 2000, 2500]
    assert (report.accepted, report.refused_count) == (2200, 0)
    with sqlite_engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(WISHES)).scalar() == 2200


cells = st.text(alphabet='ab@.,;"\t\n\r \0ñ|\u2028-', max_size=12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(cells, min_size=1, max_size=5), max_size=6))
def test_whatever_stands_between_two_good_lines_both_come_in(sqlite_engine, sheet, rows):
    with sqlite_engine.begin() as connection:
        for table in ("proof", "edition", "subscription", "subscriber", "digest"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
    digest = morning(sqlite_engine).digest
    middle = "\n".join(",".join(row) for row in rows)
    text = f"email,name,topics,plan\nfirst@example.net,A,b,c\n{middle}\nlast@example.net,Z,b,c\n"
    report = bring(sqlite_engine, sheet(text), digest_id=digest)
    assert {"first@example.net", "last@example.net"} <= set(people(sqlite_engine))
    assert report.accepted == len(people(sqlite_engine))
