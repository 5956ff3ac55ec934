"""The schedule's commands as ops use them: what is saved, what is refused and how, what will happen."""

import json
import os
from pathlib import Path

import pytest

from tests.ready import run as ready
from tests.ready import words_of

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    home = tmp_path_factory.mktemp("schedule") / "press"
    assert said(home, "init", "--zone", "Europe/Madrid").returncode == 0
    assert (
        said(home, "schedule", "add", "global", "--at", "07:00", "--days", "weekdays", "--undo", "5m").returncode == 0
    )
    return home


def said(home, *words):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DIGEST_")}
    return words_of(ready(["--home", home, *words], cwd=ROOT, environment={**clean, "NO_COLOR": "1", "COLUMNS": "160"}))


def test_a_cadence_is_shown_in_words_and_as_data(house):
    assert "Monday to Friday at 07:00 in Europe/Madrid" in said(house, "schedule", "list").stdout
    shown = said(house, "schedule", "show", "global").stdout
    assert "If nobody acts, it is held." in shown
    assert "After an approval it waits 5 min" in shown
    data = json.loads(said(house, "schedule", "show", "global", "--json").stdout)
    assert (data["at"], data["days"], data["undo"]) == ("07:00", "mon,tue,wed,thu,fri", 5)


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (["add", "global", "--at", "7"], 2, "--at: '7' is no time of day; use 24-hour time such as 07:00."),
        (["add", "global", "--zone", "Europe/Madird"], 2, "did you mean Europe/Madrid"),
        (["add", "global", "--days", "1-5"], 2, "a number means another day"),
        (["add", "elsewhere", "--at", "07:00"], 2, "no digest named 'elsewhere'"),
        (["add", "global", "--kind", "hourly"], 2, "use daily or weekly"),
        (["add", "global", "--blackout", "nowhere.txt"], 2, "nowhere.txt cannot be read"),
        (["show", "global", "--kind", "weekly"], 2, "digest schedule add global"),
        (["skip", "global", "25.12.2026"], 2, "write it as 2026-11-23"),
        (["skip", "global", "2026-12-26", "--undo"], 2, "is not left out"),
        (["next", "global", "0"], 2, "ask for 1 to 400"),
        (["simulate", "global", "--zone", "Mars"], 2, "there is no time zone 'Mars'"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line_that_says_what_can(house, words, code, hint):
    answer = said(house, "schedule", *words)
    assert answer.returncode == code
    assert hint in " ".join(answer.stderr.split())
    assert "Traceback" not in answer.stderr


def test_dates_are_left_out_and_put_back(house):
    assert "--undo" in said(house, "schedule", "skip", "global", "2027-01-01", "--why", "New Year").stdout
    data = json.loads(said(house, "schedule", "show", "global", "--json").stdout)
    assert data["blackout"] == {"2027-01-01": "New Year"}
    assert said(house, "schedule", "skip", "global", "2027-01-01", "--undo").returncode == 0
    assert json.loads(said(house, "schedule", "show", "global", "--json").stdout)["blackout"] == {}


def test_a_simulation_shows_what_clocks_do(house):
    words = ["simulate", "global", "--from", "2027-03-26", "--days", "4", "--zone", "Europe/Madrid", "--json"]
    days = json.loads(said(house, "schedule", *words).stdout)
    assert [(day["date"], day["instant"][11:], day["words"]) for day in days] == [
        ("Fri 2027-03-26", "06:00 UTC", ""),
        ("Sat 2027-03-27", "", "none: not one of its days"),
        ("Sun 2027-03-28", "", "none: not one of its days"),
        ("Mon 2027-03-29", "05:00 UTC", ""),
    ]


def test_paused_nothing_is_next_and_resumed_there_is(house):
    said(house, "schedule", "pause", "global")
    assert "Paused: none of this happens" in said(house, "schedule", "next", "global", "3").stdout
    assert "Next: " in said(house, "schedule", "resume", "global").stdout
    assert len(json.loads(said(house, "schedule", "next", "global", "3", "--json").stdout)["next"]) == 3


def test_with_an_hour_for_each_reader_it_says_whose_hour_comes_before_the_release(house, tmp_path):
    people = tmp_path / "people.csv"
    people.write_text(
        "email,zone\nana@example.net,Asia/Tokyo\nben@example.net,Europe/Madrid\ncleo@example.net,America/New_York\n"
    )
    assert said(house, "subscribers", "import", str(people), "--consent", "a form").returncode == 0
    assert said(house, "schedule", "add", "global", "--local", "--days", "daily").returncode == 0
    readers = json.loads(said(house, "schedule", "next", "global", "1", "--json").stdout)["readers"]
    assert (readers["readers"], readers["early"]) == (3, 1)
    assert readers["fates"] == {"kept": 2, "later": 1}
    words = ["simulate", "global", "--from", "2027-03-29", "--days", "1", "--zone", "Asia/Tokyo", "--json"]
    (tokyo,) = json.loads(said(house, "schedule", *words).stdout)
    assert tokyo["words"] == "07:00 comes before the release"
    assert tokyo["instant"].endswith("05:00 UTC")  # the next half-hour after the release
