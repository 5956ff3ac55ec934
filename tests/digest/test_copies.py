"""Folders of replays and rehearsals hold readers' addresses: an erasure reaches them, upkeep ends them, the privacy report names them."""

import os
import signal
import subprocess
import sys
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from digest import copies, holdings, persons, press, rehearsal, replaying
from digest.commands import machine
from digest.errors import NotFoundError, NotReadyError, StorageError
from digest.upkeep import COPIES, Hourly, counted, upkeep
from tests.mornings import moment, newsroom, write_feed

ROOT = Path(__file__).resolve().parents[2]
ANA, BEN = "ana@example.net", "ben@example.net"
TOMORROW = "2025-03-11"


@pytest.fixture
def room(tmp_path):
    """Monday's edition is sent to Ana and Ben."""
    room = newsroom(tmp_path / "home", "", moment("12:00", -1))
    room.schedule(at="07:00", zone="Europe/Madrid", fallback="send")
    room.at("06:00")
    with room.watch() as duty:
        for clock in ("06:00", "06:45", "07:00"):
            room.at(clock)
            room.look(duty)
    assert room.states == ["10 daily sent"]
    return room


def home(room):
    return room.press.settings.home


def replayed(room, name="again"):
    with copies.filling(home(room), copies.REPLAY, name, now=room.now) as folder:
        replaying.replay(room.press, room.editions[0], folder)
    return folder


def rehearsed(room, name="trial"):
    with copies.filling(home(room), copies.REHEARSAL, name, now=room.now) as folder:
        write_feed(room.source, moment("06:00", 1))
        rehearsal.rehearse(room.press, "global", date.fromisoformat(TOMORROW), folder, gathers=True)
    return folder


def erase(room, address=ANA):
    return persons.erase(room.press, address, who="ops", now=room.now)


def named(room, address):
    """Files below the home folder that hold an address, but for the house's own database and what the test itself put there."""
    return {
        file.relative_to(home(room)).as_posix() for file in home(room).rglob("*")
        if file.is_file() and file.suffix != ".csv" and not file.name.startswith("digest.sqlite") and address.encode() in file.read_bytes()
    } | {
        file.relative_to(home(room)).as_posix() for file in (home(room) / "copies").rglob("digest.sqlite*")
        if address.encode() in file.read_bytes()
    }  # fmt: skip


def test_an_erasure_takes_their_message_out_of_replays_and_rehearsals_whole(room):
    replayed(room)
    copy = rehearsed(room)
    assert len(named(room, ANA)) >= 3, "the test sees what it looks for"
    bens = {file for file in named(room, BEN) if "rehearsal" not in file}
    done = erase(room)
    assert named(room, ANA) == set()
    assert named(room, BEN) == bens
    assert not copy.exists()
    assert done.files == 3, "one in the outbox, one replayed, one rehearsal"
    assert [(one.kind, one.files) for one in copies.every(home(room))] == [("replay", 1)]


def fill_while_somebody_is_erased(room, kind):
    with copies.filling(home(room), kind, "again", now=room.now) as folder:
        (folder / "a.eml").write_text(f"To: {ANA}")
        copies.reach(home(room), lambda _: iter(()))
        assert (folder / "a.eml").exists(), "who fills it is not disturbed"


@pytest.mark.parametrize("kind", copies.KINDS)
def test_what_is_being_filled_while_somebody_is_erased_goes_at_its_end(room, kind):
    with pytest.raises(NotReadyError, match="was erased while"):
        fill_while_somebody_is_erased(room, kind)
    assert copies.every(home(room)) == []
    assert list((home(room) / "copies").rglob("*.*")) == []


KILLED = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from digest import copies
with copies.filling(Path(sys.argv[1]), "rehearsal", "killed", now=datetime.now(UTC)) as folder:
    (folder / "a.eml").write_text("To: ana@example.net")
    print("filling", flush=True)
    sys.stdin.read()
"""


def test_what_a_kill_left_is_reached_and_swept_all_the_same(room):
    words = [sys.executable, "-c", KILLED, str(home(room))]
    there = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=there) as process:
        process.stdout.readline()
        with (
            pytest.raises(NotReadyError, match="by another process"),
            copies.filling(home(room), copies.REHEARSAL, "killed", now=room.now),
        ):
            pass
        assert copies.sweep(home(room), 7, now=datetime.now(room.now.tzinfo) + timedelta(days=8)) == 0, "it is in use"
        erase(room)
        assert named(room, ANA), "it is in use still"
        process.send_signal(signal.SIGKILL)
    assert upkeep(room.press, now=room.now).removed[COPIES] == 1
    assert named(room, ANA) == set()
    assert copies.every(home(room)) == []


def test_they_are_kept_for_days_and_upkeep_removes_them(room):
    replayed(room)
    rehearsed(room)
    room.now += timedelta(days=6, hours=23)
    assert counted(room.press, now=room.now)[COPIES] == 0
    assert upkeep(room.press, now=room.now).removed[COPIES] == 0
    replayed(room)  # looked at once more
    room.now += timedelta(hours=1)
    assert counted(room.press, now=room.now)[COPIES] == 1
    assert upkeep(room.press, now=room.now).removed[COPIES] == 1
    assert [one.kind for one in copies.every(home(room))] == ["replay"]
    room.now += timedelta(days=7)
    assert upkeep(room.press, now=room.now).removed[COPIES] == 1
    assert list((home(room) / "copies").rglob("*.*")) == []


def test_what_is_closed_to_us_fails_an_erasure_and_is_told_by_upkeep(room, caplog):
    (home(room) / "copies").write_text("no folder")
    with pytest.raises(StorageError, match="cannot be read"):
        erase(room)
    assert named(room, BEN), "nothing else is lost"
    kept = Hourly(room.press, lambda: room.now).look(lambda: False)
    assert "cannot be read" in kept.fault
    assert any("cannot be read" in line for line in caplog.messages)
    (home(room) / "copies").unlink()
    assert erase(room).known


def test_a_file_that_somebody_put_there_goes_with_the_others(room):
    replayed(room)
    (home(room) / "copies" / "replay" / "list.csv").write_text(ANA)
    assert erase(room).known
    assert upkeep(room.press, now=datetime.now(room.now.tzinfo) + timedelta(days=8)).removed[COPIES] == 2
    assert list((home(room) / "copies").rglob("*.*")) == []


def test_the_privacy_report_names_them(room):
    replay, trial = replayed(room), rehearsed(room)
    found = holdings.report(room.press.engine, room.press.settings, now=room.now)
    assert [(one["kind"], one["folder"], one["files"], one["made_at"]) for one in found["copies"]] == [
        ("replay", replay, 2, room.now), ("rehearsal", trial, 2, room.now),
    ]  # fmt: skip
    assert {one["until"] for one in found["copies"]} == {"7 days, or until somebody is erased"}
    assert found["next_sweep"][COPIES] == 0
    assert {one.folder.stat().st_mode & 0o077 for one in copies.every(home(room))} == {0}, "for their owner alone"


@pytest.mark.parametrize("name", ["..", "../outbox", "/tmp/elsewhere", "a/b", "", ".hidden", "x.held", "x.over"])
def test_a_copy_lies_where_an_erasure_finds_it_and_nowhere_else(room, name):
    with (
        pytest.raises(NotFoundError, match="no plain name"),
        copies.filling(home(room), copies.REPLAY, name, now=room.now),
    ):
        pass


def test_the_commands_put_them_there(room, capsys):
    machine.replay(home(room), "global", "2025-03-10", number=None, into="", as_json=False, quiet=True)
    machine.rehearse(
        home(room), "global", TOMORROW, kind="daily", into="trial", gathers=False, readers=9, as_json=False
    )
    said = " ".join(capsys.readouterr().out.split())
    assert "It goes after 7 days" in said
    assert {one.folder.relative_to(home(room)).as_posix() for one in copies.every(home(room))} == {
        "copies/replay/global-2025-03-10", "copies/rehearsal/trial",
    }  # fmt: skip
    assert len(list((home(room) / "copies/replay/global-2025-03-10").rglob("*.eml"))) == 2
    with pytest.raises(NotFoundError, match="no weekly cadence"):
        machine.rehearse(
            home(room), "global", TOMORROW, kind="weekly", into="w", gathers=False, readers=9, as_json=False
        )
    assert len(copies.every(home(room))) == 2, "what held nothing is not kept"
    assert press.mailing_of(room.press, room.editions[0])
