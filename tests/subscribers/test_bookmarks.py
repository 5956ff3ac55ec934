"""An import that was broken off anywhere ends as one that never was, and reads nothing twice that it has kept."""

import gzip
import sys
from collections import Counter

import pytest
from alembic import command
from alembic.config import Config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import MetaData, event, select
from sqlmodel import SQLModel

from digest.database import MIGRATIONS, migrate, open_engine
from subscribers.bookmarks import Bookmark
from subscribers.exchange import import_csv
from subscribers.fields import checked
from subscribers.files import ImportRefusedError
from subscribers.sheets import Hints
from tests.newsroom import KEYS, NOW, morning

TABLES = SQLModel.metadata.tables
PEOPLE, RUNS, BLOCKS = (TABLES[name] for name in ("subscriber", "import_run", "import_block"))
KEPT = ("subscriber", "subscription", "subscriber_topic", "suppression")


class BrokenOffError(Exception):
    pass


def bring(engine, file, **options):
    return import_csv(engine, file, **{"digest_id": 1, "keys": KEYS, "consent": "web form", "now": NOW, **options})


def broken_off_at(line):
    def told(done, _lines):
        if done >= line:
            raise BrokenOffError

    return told


def rows(engine, table):
    with engine.connect() as connection:
        return connection.execute(select(table)).all()


# broken off anywhere ------------------------------------------------------------------------------------------------

addresses = st.sampled_from(["ana", "ben", "cem", "dora", "eva", "fay", "gus"]).flatmap(
    lambda name: st.sampled_from([f"{name}@example.net", f"{name.upper()}@Example.net"])
)
readers = st.builds(
    "{},{},{},{}\n".format,
    addresses,
    st.sampled_from(["", "Ñandú", '"Ana, Jr."', '"two\nlines"', '"three\n\nof ""them"""', '"open']),
    st.sampled_from(["", "paid", "trial", "x" * 65]),
    st.sampled_from(["", "", "left", "blocklisted", "unheard of"]),
)
others = st.sampled_from(
    ["\n", " \n", ",,,\n", "wrong\n", '"wrong\nover two",,,\n', "a@b@example.net,A,,\n", '"\n', "'=x,,,\n"]
)
texts = st.lists(readers | readers | others, max_size=30).map(lambda lines: "email,name,plan,status\n" + "".join(lines))
encodings = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"])


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=texts, ending=st.sampled_from(["\n", "\r\n", "\r"]), encoding=encodings, packed=st.booleans(),
    block=st.integers(1, 5), breaks=st.lists(st.integers(1, 90), min_size=1, max_size=4),
)  # fmt: skip
def test_broken_off_at_any_statement_it_ends_as_if_it_never_was(
    sqlite_engine, tmp_path, text, ending, encoding, packed, block, breaks
):
    content = text.replace("\n", ending).encode(encoding)
    file, report_file = tmp_path / "readers.csv", tmp_path / "refused.csv"
    file.write_bytes(gzip.compress(content) if packed else content)
    options = {"hints": Hints(encoding=encoding), "block": block, "report_file": report_file}
    emptied(sqlite_engine)
    whole = bring(sqlite_engine, file, **options), report_file.read_bytes(), everything(sqlite_engine)
    emptied(sqlite_engine)
    report_file.unlink()
    for steps in [*breaks, None]:
        if report := broken_off_after(steps, sqlite_engine, lambda: bring(sqlite_engine, file, **options)):
            break
        assert not report_file.exists()
    report.resumed_at = 0
    assert (report, report_file.read_bytes(), everything(sqlite_engine)) == whole
    assert rows(sqlite_engine, RUNS) == rows(sqlite_engine, BLOCKS) == []


def broken_off_after(steps, engine, run):
    """What it gives; nothing, if it was not done before that many statements: the last of them does not come to pass."""
    count = Counter()

    def step(_connection, _cursor, statement, *_):
        count["steps"] += not statement.startswith("BEGIN")
        if count["steps"] == steps:
            raise BrokenOffError

    event.listen(engine, "before_cursor_execute", step)
    try:
        return run()
    except BrokenOffError:
        return None
    finally:
        event.remove(engine, "before_cursor_execute", step)


def emptied(engine):
    with engine.begin() as connection:
        for table in (*KEPT, "proof", "edition", "digest", "import_run"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
    morning(engine)


def everything(engine):
    """All that is kept of readers; of their public ids the part that is not drawn by lot."""
    found = {name: [row._asdict() for row in rows(engine, TABLES[name])] for name in KEPT}
    for row in found["subscriber"]:
        row["public_id"] = row["public_id"][:16]
    return found


# what is kept meanwhile ---------------------------------------------------------------------------------------------

MANY = "email,name,topics\n" + "".join(
    f"R{n % 90}@example.net,Name {n},t{n % 3}\n" if n % 7 else f"wrong{n}\n" for n in range(120)
)
OWN = len({n % 90 for n in range(120) if n % 7})  # people in it
WRONG = sum(n % 7 == 0 for n in range(120))


@pytest.fixture
def house(engine):
    morning(engine)
    return engine


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "readers.csv"
    path.write_text(MANY, encoding="utf-8")
    return path


def test_a_run_that_goes_on_looks_into_no_line_that_came_in(house, file):
    with pytest.raises(BrokenOffError):
        bring(house, file, block=10, told=broken_off_at(100))
    assert [row.lines for row in rows(house, BLOCKS)] == list(range(11, 102, 10))
    assert [row.lines for row in rows(house, RUNS)] == [101]
    calls = Counter()
    sys.setprofile(lambda frame, what, _: calls.update([frame.f_code]) if what == "call" else None)
    try:
        report = bring(house, file, block=10)
    finally:
        sys.setprofile(None)
    assert report.resumed_at == 101
    refused_before = sum(n % 7 == 0 for n in range(100))
    sampled = 19  # lines by which the file is judged
    assert 0 < calls[checked.__code__] <= 20 + refused_before + sampled


def test_of_those_who_were_met_no_letter_is_kept_beside_their_rows(house, file):
    with pytest.raises(BrokenOffError):
        bring(house, file, block=10, told=broken_off_at(100))
    kept = b"".join(row.met + row.refused for row in rows(house, BLOCKS))
    assert len(kept) == 100 * 16
    assert not any(part in kept for part in (b"@example", b"wrong", b"Name"))
    hashes = [row.email_hash for row in rows(house, PEOPLE)]
    assert not any(known in kept for known in hashes), "and of each keyed hash only half"


def test_killed_after_its_last_line_it_has_only_to_say_so(house, file):
    with pytest.raises(BrokenOffError):
        bring(house, file, block=10, told=broken_off_at(121))
    before = everything(house)
    report = bring(house, file, block=10)
    assert (report.resumed_at, report.accepted, report.refused_count) == (121, OWN, WRONG)
    assert report.twice == 120 - OWN - WRONG
    assert (everything(house), rows(house, RUNS), rows(house, BLOCKS)) == (before, [], [])


def test_one_that_goes_on_while_another_ends_it_writes_nothing_more(house, file):
    with pytest.raises(BrokenOffError):
        bring(house, file, block=10, told=broken_off_at(60))
    ended = []

    def another(_done, _lines):
        if not ended:
            ended.append(bring(house, file, block=10))

    with pytest.raises(ImportRefusedError, match="under way in another process"):
        bring(house, file, block=10, told=another)
    assert (len(ended), ended[0].accepted, len(rows(house, PEOPLE))) == (1, OWN, OWN)


def test_blocks_that_another_took_away_stop_who_still_reads_them(house, file):
    with pytest.raises(BrokenOffError):
        bring(house, file, block=10, told=broken_off_at(60))
    [run] = rows(house, RUNS)
    with house.connect() as connection:
        bookmark = Bookmark.of(connection, run.key, NOW, dry_run=False)
        assert [done.lines for done in bookmark.blocks()] == [11, 21, 31, 41, 51, 61]
        bring(house, file, block=10)
        with pytest.raises(ImportRefusedError, match="under way in another process"):
            list(bookmark.blocks())


def test_a_file_that_was_changed_meanwhile_is_another_import(house, file):
    with pytest.raises(BrokenOffError):
        bring(house, file, block=10, told=broken_off_at(60))
    file.write_text(MANY.replace("Name 1,", "Nome 1,"), encoding="utf-8")
    report = bring(house, file, block=10)
    assert (report.resumed_at, report.accepted + report.updated + report.unchanged) == (0, OWN)
    assert [row.lines for row in rows(house, RUNS)] == [61], "the first one can still go on with its own file"


def test_one_that_an_older_version_broke_off_begins_anew(database_url, file):
    engine = open_engine(database_url)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["engine"] = engine
    command.upgrade(config, "0012")
    tables = MetaData()
    tables.reflect(engine, only=["import_run"])
    with engine.begin() as connection:
        row = {"key": b"k" * 16, "began_at": NOW, "lines": 5001, "counts": {"accepted": 5000}}
        connection.execute(tables.tables["import_run"].insert(), row)
    migrate(engine)
    [run] = rows(engine, RUNS)
    assert (run.key, run.lines, run.counts) == (b"k" * 16, 0, {})
    engine.dispose()
