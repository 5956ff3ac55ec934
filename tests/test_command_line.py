"""The command line as a person uses it: real processes, one line for each error, words for people and JSON for programs."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ready import run as ready
from tests.ready import words_of

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def digest(tmp_path):
    """Run `digest` in an empty folder with nothing in its environment; returns the finished process."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DIGEST_")}

    def run(*words, **more):
        environment = {**clean, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "200", **more}
        return words_of(ready(words, cwd=tmp_path, environment=environment))

    return run


@pytest.fixture(scope="session")
def prepared_home(tmp_path_factory):
    """A home as `digest init` leaves it, made once; tests work on copies."""
    folder = tmp_path_factory.mktemp("prepared")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DIGEST_")}
    ready(["--home", "press", "init"], cwd=folder, environment=clean).check_returncode()
    return folder / "press"


@pytest.fixture
def page(tmp_path):
    file = tmp_path / "page.txt"
    file.write_text(
        "Global\n\nA bridge opens at Lumen\n\nShare\n\nThe bridge took nine years and opened on Monday, an hour late.\n"
    )
    return file


def one_line(done, code):
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().count("\n") == 0, done.stderr
    return done.stderr


def test_help_names_every_command_and_the_exit_codes(digest):
    words = digest("--help").stdout
    for command in [
        "demo",
        "serve",
        "bounces",
        "init",
        "source",
        "gather",
        "assemble",
        "preview",
        "explain",
        "approve",
        "deliver",
        "run",
        "editions",
        "stats",
        "subscribers",
        "doctor",
    ]:
        assert f"  {command} " in words
    assert "Exit codes" in words


def test_help_loads_nothing_heavy():
    program = (
        "import sys\nfrom digest.__main__ import app\nfrom typer.testing import CliRunner\n"
        "CliRunner().invoke(app, ['--help'])\n"
        "heavy = {'premailer', 'sklearn', 'sqlmodel', 'sqlalchemy', 'jinja2', 'feedparser', 'pydantic', 'lxml'} & set(sys.modules)\n"
        "print(sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_two_commands_lead_from_nothing_to_an_edition(digest, page):
    assert digest("--home", "press", "init").returncode == 0
    ran = digest("--home", "press", "run", "global", "--source", page, "--approve", "--json")
    assert ran.returncode == 0, ran.stderr
    shown = json.loads(digest("--home", "press", "editions", "show", "latest", "--json").stdout)
    assert shown["state"] == "sent"
    (slot,) = shown["slots"]
    assert (slot["position"], slot["headline"]) == (1, "A bridge opens at Lumen")
    assert slot["reasons"]
    assert set(slot) >= {"position", "kicker", "headline", "teaser", "url", "reasons"}
    assert shown["counts"]["deliveries"] == 0


def test_a_home_that_was_not_set_up_says_the_command_that_does_it(digest):
    assert "run digest --home nowhere init" in one_line(digest("--home", "nowhere", "editions", "list"), 2)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("preview", "sport"), "There is no digest named 'sport'. There is: global."),
        (("preview", "global"), "digest assemble"),
        (("assemble", "global", "--date", "soon"), "write it as 2026-11-23"),
        (("set", "global", "--zone", "Madrid"), "Europe/Madrid"),
        (("set", "global", "--accent", "red"), ""),
        (("set", "global", "--colours", "accent=red"), "accent=#a3281b"),
        (("set", "global", "--deadline", "7am"), "06:45"),
        (("set", "global", "--from-address", "nobody"), "name@domain"),
        (("segments", "test", 'topic has "korea"'), "topics"),
        (("source", "add", "missing.xml"), "missing.xml"),
        (("subscribers", "import", "missing.csv", "--consent", "form"), "missing.csv"),
        (("subscribers", "import", "missing.csv"), "--consent"),
    ],
)
def test_a_wrong_word_is_answered_with_what_to_do(digest, tmp_path, prepared_home, words, says):
    shutil.copytree(prepared_home, tmp_path / "press")
    done = digest("--home", "press", *words)
    assert done.returncode in {1, 2}
    assert "Traceback" not in done.stderr
    assert says in done.stderr


def test_a_wrong_setting_is_one_line(digest):
    assert "DIGEST_LEASE" in one_line(digest("--home", "press", "init", DIGEST_LEASE="soon"), 2)


def test_keys_are_written_once_and_only_their_owner_reads_them(digest, tmp_path):
    digest("--home", "press", "init")
    file = tmp_path / "press" / ".env"
    keys = file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    digest("--home", "press", "init")
    assert file.read_text() == keys


def test_why_readers_left_is_counted(digest, tmp_path, prepared_home):
    shutil.copytree(prepared_home, tmp_path / "press")
    found = json.loads(digest("--home", "press", "subscribers", "why", "global", "--json").stdout)
    assert {one["why"]: one["readers"] for one in found} == {"often": 0, "much": 0, "dull": 0, "other": 0, None: 0}
    assert "too much to read" in digest("--home", "press", "subscribers", "why", "global").stdout
    one_line(digest("--home", "press", "subscribers", "why", "nonsense"), 2)


def test_the_doctor_tells_good_from_bad(digest, tmp_path):
    digest("--home", "press", "init")
    found = json.loads(digest("--home", "press", "doctor", "--json").stdout)
    assert {finding["what"] for finding in found} >= {
        "settings",
        "secrets",
        "templates",
        "disk",
        "database",
        "sources",
        "digest",
    }
    (tmp_path / "press" / ".env").chmod(0o644)
    done = digest("--home", "press", "doctor")
    assert done.returncode == 1
    assert "chmod 600" in done.stdout


def test_new_keys_are_never_made_over_readers_who_are_there(digest, tmp_path):
    digest("--home", "press", "init")
    (tmp_path / "readers.csv").write_text("email\nana@example.net\n")
    digest("--home", "press", "subscribers", "import", "readers.csv", "--consent", "form")
    (tmp_path / "press" / ".env").unlink()
    assert "restore press/.env" in one_line(digest("--home", "press", "init"), 2)
    assert not (tmp_path / "press" / ".env").exists()


def test_slots_are_ordered_and_dropped_and_the_subject_follows_the_lead(digest, tmp_path):
    cards = "".join(
        f"Global\n\nStory number {n} about a bridge in town {n}\n\nWhat happened there is told in full, {n} times.\n\n"
        for n in range(2, 5)
    )
    page = (
        "Global\n\nThe lead of the day is a ferry\n\nTwo ferries crossed the strait on Tuesday for the first time.\n\nRelated Articles\n"
        + cards
    )
    (tmp_path / "page.txt").write_text(page)
    digest("--home", "press", "init")
    digest("--home", "press", "run", "global", "--source", "page.txt")
    before = [
        line.split(maxsplit=1)[1]
        for line in digest("--home", "press", "editions", "order", "1").stdout.splitlines()[:-1]
    ]
    after = [
        line.split(maxsplit=1)[1]
        for line in digest("--home", "press", "editions", "order", "2,1").stdout.splitlines()[:-1]
    ]
    assert after == [before[1], before[0], *before[2:]]
    dropped = digest("--home", "press", "editions", "drop", "1").stdout.splitlines()
    assert [line.split(maxsplit=1)[1] for line in dropped[:-1]] == [before[0], *before[2:]]
    shown = json.loads(digest("--home", "press", "editions", "show", "--json").stdout)
    assert shown["subject"] == before[0]


def test_unconfirmed_deliveries_are_asked_for_and_none_is_said(digest, tmp_path, prepared_home):
    shutil.copytree(prepared_home, tmp_path / "press")
    assert "Nothing is unconfirmed." in digest("--home", "press", "unconfirmed", "list").stdout
    assert digest("--home", "press", "unconfirmed", "list", "--json").stdout.strip() == "[]"
    assert "nothing was held" in digest("--home", "press", "unconfirmed", "restored").stdout
    assert "digest assemble" in one_line(digest("--home", "press", "unconfirmed", "accept", "global"), 2)


# segments -----------------------------------------------------------------------------------------------------------

READERS = "email,language,country,plan,topics,attr.city\n" + "".join(
    f"reader{number}@example.net,{'es' if number % 2 else 'en'},{'ES' if number % 4 else 'PT'},{'paid' if number % 5 else ''},korea,Lima\n"
    for number in range(1, 21)
)


@pytest.fixture(scope="session")
def peopled_home(prepared_home, tmp_path_factory):
    """A home with twenty readers and a few segments, made once."""
    folder = tmp_path_factory.mktemp("peopled")
    shutil.copytree(prepared_home, folder / "press")
    (folder / "readers.csv").write_text(READERS)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DIGEST_")}
    for words in (
        ("subscribers", "import", "readers.csv", "--consent", "form"),
        ("segments", "add", "payers", 'plan = "paid"', "--description", "those who pay"),
        ("segments", "add", "spain", 'country = "ES" and segment("payers")'),
        ("set", "global", "--segments", "spain"),
    ):
        ready(["--home", "press", *words], cwd=folder, environment=clean).check_returncode()
    return folder / "press"


@pytest.fixture
def peopled(digest, tmp_path, peopled_home):
    shutil.copytree(peopled_home, tmp_path / "press")
    return lambda *words, **more: digest("--home", "press", "segments", *words, **more)


def test_a_rule_is_tried_and_its_fault_is_pointed_at(peopled):
    good = peopled("test", 'country in ("ES","PT") and topics has "korea" and not (plan = "paid")')
    assert (good.returncode, good.stdout) == (0, "Yes: 4 subscribers now.\n")
    bad = peopled("test", 'country in ("ES" and plan = "x"')
    assert (bad.returncode, bad.stdout) == (2, "")
    rule, mark, words = bad.stderr.splitlines()
    assert rule == 'country in ("ES" and plan = "x"'
    assert rule[mark.index("^") :].startswith("and plan")
    assert words.startswith("digest: Column 18: 'and' does not belong here; expected")
    told = json.loads(peopled("test", "opened within 30 days", "--json").stdout)
    assert (told["ok"], told["line"], told["column"]) == (False, 1, 1)
    assert "DIGEST_TRACKING=personal" in told["error"]
    personal = peopled("test", "never opened", "--json", DIGEST_TRACKING="personal")
    assert json.loads(personal.stdout) == {"rule": "never opened", "ok": True, "subscribers": 0}


def test_segments_are_listed_shown_counted_and_removed_when_nobody_needs_them(peopled):
    listed = json.loads(peopled("list", "--json").stdout)
    assert [(one["name"], one["subscribers"], one["error"]) for one in listed] == [
        ("payers", 16, ""),
        ("spain", 12, ""),
    ]
    shown = json.loads(peopled("show", "payers", "--json").stdout)
    assert shown["description"] == "those who pay"
    assert shown["used_by"] == {"digests": [], "segments": ["spain"]}
    assert re.fullmatch(r"12 of 20 subscribers, in \d+\.\d\d s\.\n", peopled("count", "spain").stdout)
    counted = json.loads(peopled("count", 'attr.city = "Lima"', "--json").stdout)
    assert (counted["subscribers"], counted["of"]) == (20, 20)
    assert "in use by the digest global" in one_line(peopled("remove", "spain"), 3)
    assert 'There is no segment \'spian\'; there are: "payers", "spain"' in one_line(peopled("count", "spian"), 2)


def test_a_segment_is_explained_and_some_of_its_members_shown_masked(peopled):
    told = json.loads(peopled("explain", "spain", "--json").stdout)
    assert [(clause["depth"], clause["words"], clause["subscribers"]) for clause in told["clauses"]] == [
        (0, "all of these:", 12), (1, "country is ES", 15), (1, "is in the segment payers", 16),
    ]  # fmt: skip
    assert told["used_by"] == {"digests": ["global"], "segments": []}
    assert "Used by: the digest global." in peopled("explain", "spain").stdout
    members = json.loads(peopled("sample", "spain", "--size", "5", "--json").stdout)
    assert len(members) == 5
    assert {one["address"] for one in members} == {"r…@example.net"}
    assert {one["country"] for one in members} == {"ES"}


def test_a_digest_names_only_segments_there_are(digest, peopled):
    assert "There is no segment 'payer'" in one_line(
        digest("--home", "press", "set", "global", "--segments", "payer"), 2
    )
