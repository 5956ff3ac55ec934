"""Readers in and out of the house as a person at the command line does it."""

import csv
import gzip
import json
import shutil
import stat
import sys

import pytest

from digest.__main__ import main
from tests.test_command_line import digest, prepared_home  # noqa: F401  fixtures

READERS = "email;Nombre;Zapato\nana@example.net;=Ana;38\nwrong;Ben;\nANA@example.net;Ana;\ncarl@example.net;Carl;40\n"


@pytest.fixture
def house(digest, prepared_home, tmp_path):  # noqa: F811
    """`digest --home press ...` over a copy of a prepared home."""
    shutil.copytree(prepared_home, tmp_path / "press")

    def run(*words, **more):
        return digest("--home", "press", *words, **more)

    return run


@pytest.fixture
def file(tmp_path):
    place = tmp_path / "readers.csv"
    place.write_bytes(gzip.compress(READERS.encode("cp1252")))
    return place


def imported(house, file, *words):
    done = house("subscribers", "import", file, "--consent", "form", "--map", "Nombre=name", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_import_says_what_it_found_out_what_it_left_out_and_what_came_in(house, file, tmp_path):
    said = imported(house, file, "--report", "refused.csv")
    assert "Read as UTF-8, packed with gzip, divided by semicolons, with headings." in said
    assert "Took Nombre as name." in said
    assert "Left out the columns 'Zapato'" in said
    assert "line 3, email: an address reads name@domain" in said
    assert "line 4: the same person as line 2" in said
    assert "New: 2, updated: 0, unchanged: 0, refused: 1, suppressed: 0, met twice: 1." in said
    (_, row) = csv.reader((tmp_path / "refused.csv").open(encoding="utf-8", newline=""))
    assert row == ["3", "email", "an address reads name@domain", "wrong", "Ben", ""]


def test_a_dry_run_changes_nothing_and_a_real_one_is_written_down(house, file):
    assert "Would be new: 2" in imported(house, file, "--dry-run", "--attributes")
    assert house("subscribers", "export", "--format", "json").stdout.strip() == "[\n]"
    report = json.loads(imported(house, file, "--attributes", "--json", "--by", "ana"))
    assert (report["accepted"], report["twice"], report["refused_count"]) == (2, 1, 1)
    assert report["refused"][0]["line"] == 3
    shown = json.loads(house("subscribers", "show", "carl@example.net", "--json").stdout)
    assert (shown["attributes"], shown["subscriptions"][0]["consent_source"]) == ({"zapato": "40"}, "form")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("subscribers", "import", "readers.csv", "--consent", "form", "--map", "email"), 2, "has no ="),
        (("subscribers", "import", "readers.csv", "--consent", "form", "--status", "gold"), 2, "no status 'gold'"),
        (("subscribers", "import", "readers.csv", "--consent", "form", "--encoding", "klingon"), 1, "no encoding"),
        (("subscribers", "import", "readers.csv", "--consent", "form", "--report", "no/where.csv"), 1, "no"),
        (("subscribers", "import", "readers.csv", "--consent", "form", "--digest", "sport"), 2, "There is: global"),
        (("subscribers", "export", "--format", "xlsx"), 2, "csv, tsv, json"),
        (("subscribers", "export", "--segment", "nobody"), 2, "no segment"),
        (("subscribers", "export", "--rule", "country ="), 2, "Column"),
        (("subscribers", "export", "--out", "no/where.csv"), 1, "cannot be read or written"),
        (("subscribers", "show", "nobody@example.net"), 2, "Nothing is held"),
        (("subscribers", "export-person", "nobody"), 2, "no address"),
        (("subscribers", "erase", "ana@example.net"), 2, "--yes"),
        (("subscribers", "erase", "nobody@example.net", "--yes"), 2, "Nothing is held"),
        (("suppressions", "add", "nobody"), 2, "no address"),
        (("suppressions", "add", "a@example.net", "--reason", "whim"), 2, "asked (the person asked for it)"),
        (("suppressions", "add", "a@example.net", "--note", "see b@example.net"), 2, "holds no address"),
        (("suppressions", "remove", "a@example.net"), 2, "--reason"),
        (("suppressions", "remove", "a@example.net", "--reason", "phone"), 2, "is not suppressed"),
        (("suppressions", "remove", "a@example.net", "--reason", "b@example.net asked"), 2, "holds no address"),
        (("suppressions", "import", "missing.csv"), 2, "missing.csv"),
    ],
)
def test_a_wrong_word_is_one_line_that_says_what_to_do(
    prepared_home,  # noqa: F811
    file, tmp_path, monkeypatch, capsys, words, code, says,
):  # fmt: skip
    shutil.copytree(prepared_home, tmp_path / "press")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["digest", "--home", "press", *words])
    with pytest.raises(SystemExit) as ended:  # in this process: what is imported and written is not the point here
        main()
    said = capsys.readouterr().err.strip()
    assert (ended.value.code, said.count("\n")) == (code, 0)
    assert says in said


def test_an_export_is_for_its_owner_and_comes_in_again_unchanged(house, file, tmp_path):
    imported(house, file)
    assert "2 subscribers in out.csv" in house("subscribers", "export", "--out", "out.csv", "--bom").stdout
    written = tmp_path / "out.csv"
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert written.read_bytes().startswith(b"\xef\xbb\xbfemail,name,")
    again = house("subscribers", "import", "out.csv", "--consent", "export")
    assert "our own export" in again.stdout
    assert "New: 0, updated: 0, unchanged: 2" in again.stdout
    chosen = house("subscribers", "export", "--rule", 'name = "x" or language = "en"', "--format", "tsv")
    assert chosen.returncode == 2
    chosen = house("subscribers", "export", "--rule", 'language = "en"', "--format", "tsv")
    assert [line.split("\t")[0] for line in chosen.stdout.splitlines()] == [
        "email",
        "ANA@example.net",
        "carl@example.net",
    ]
    house("segments", "add", "spanish", 'language = "es"')
    assert house("subscribers", "export", "--segment", "spanish").stdout.count("\n") == 1


def test_a_screen_shows_no_whole_address_and_a_persons_own_copy_does(house, file, tmp_path):
    imported(house, file, "--channels", "email,push")
    shown = house("subscribers", "show", "carl@example.net").stdout
    assert "c…@example.net" in shown
    assert "carl@" not in shown
    assert "carl@" not in house("subscribers", "show", "carl@example.net", "--json").stdout
    house("subscribers", "export-person", "carl@example.net", "--out", "carl.json")
    held = json.loads((tmp_path / "carl.json").read_text(encoding="utf-8"))
    assert held["email"] == "carl@example.net"
    assert {one["channel"] for one in held["subscriptions"]} == {"email", "push"}
    assert stat.S_IMODE((tmp_path / "carl.json").stat().st_mode) == 0o600
    assert json.loads(house("subscribers", "export-person", "carl@example.net").stdout) == held


def test_erased_and_still_suppressed(house, file, tmp_path):
    imported(house, file)
    assert "stays suppressed" in house("subscribers", "erase", "carl@example.net", "ana@example.net", "--yes").stdout
    assert "Erased before" in house("subscribers", "erase", "carl@example.net", "--yes").stdout
    kept = b"".join(one.read_bytes() for one in (tmp_path / "press").rglob("*") if one.is_file())
    assert b"carl" not in kept.lower()
    assert b"ana@" not in kept.lower()
    assert "suppressed: 2" in imported(house, file)


def test_the_list_of_suppressions_from_the_command_line(house, file, tmp_path):
    assert "suppressed." in house("suppressions", "add", "Ana@example.net", "--note", "by phone", "--by", "ben").stdout
    assert "already" in house("suppressions", "add", "ana@example.net", "--reason", "bounce").stdout
    (tmp_path / "cleaned.csv").write_text(
        "name,email,country\nX,dora@example.net,nowhere\nY,wrong,\n,ANA@example.net,\n"
    )
    said = house("suppressions", "import", "cleaned.csv", "--reason", "bounce").stdout
    assert "line 3: an address reads name@domain" in said
    assert "New: 1, suppressed before: 1, refused: 1." in said
    listed = json.loads(house("suppressions", "list", "--json").stdout)
    assert (listed["total"], listed["reasons"]) == (2, {"asked": 1, "bounce": 1})
    assert len(json.loads(house("suppressions", "list", "--reason", "asked", "--json").stdout)["newest"]) == 1
    assert "asked: 1, bounce: 1" in house("suppressions", "list").stdout
    assert "is suppressed since" in house("suppressions", "check", "ana@example.net").stdout
    assert "suppressed: 1, met twice: 1" in imported(house, file)
    house("suppressions", "remove", "ana@example.net", "--reason", "asked again", "--by", "zoe")
    found = json.loads(house("suppressions", "check", "ana@example.net", "--json").stdout)
    assert (found["suppressed"], found["suppression"]) == (False, None)
    assert [(one["who"], one["did"], one["reason"]) for one in found["history"]] == [
        ("ben", "suppress", "asked"),
        ("zoe", "lift", "asked again"),
    ]
    assert "is not suppressed" in house("suppressions", "check", "ana@example.net").stdout
