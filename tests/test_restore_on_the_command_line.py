"""The database comes back from a backup, all of it: nobody gets an edition twice, and a person decides about the rest."""

import json
import sqlite3
from contextlib import closing

import pytest

from tests.at_work import READERS, ended, wait_for
from tests.sinks.running import sink


def backed_up(press, to):
    """A copy such as a nightly job makes, also while others write."""
    with closing(sqlite3.connect(press.home / "digest.sqlite")) as file, closing(sqlite3.connect(to)) as copy:
        file.backup(copy)


def restored(press, copy):
    for file in press.home.glob("digest.sqlite*"):
        file.unlink()
    copy.rename(press.home / "digest.sqlite")


def refused(said):
    assert said.code == 3
    assert "restored from an older copy" in said.line
    assert "digest unconfirmed restored" in said.line


def test_restored_to_the_middle_of_a_mailing_all_that_was_open_there_is_unconfirmed_until_a_person_decides(
    press, tmp_path
):
    with sink("smtp", tmp_path / "book", wait=(0.1, 0.1)) as server:
        at_work = press.by_smtp(server)
        command = at_work.start("deliver", "global")
        wait_for(server, 3000)
        backed_up(press, tmp_path / "copy")
        assert ended(command).code == 0
        at_work.demand_one_copy_for_each(server)

        restored(press, tmp_path / "copy")
        refused(at_work.digest("deliver", "global"))
        state, counts = at_work.state
        assert (state, counts.keys(), sum(counts.values())) == ("sending", {"accepted", "ambiguous"}, READERS)
        listed = json.loads(at_work.digest("unconfirmed", "list", "--json").out)
        assert [(one["digest"], one["unconfirmed"]) for one in listed] == [("global", counts["ambiguous"])]
        each = json.loads(at_work.digest("unconfirmed", "list", "global", "--json").out)
        assert {one["reason"] for one in each} == {"the database was restored from a backup"}
        refused(at_work.digest("deliver", "global"))

        assert "Sending may go on" in at_work.digest("unconfirmed", "restored").out
        assert at_work.digest("deliver", "global").code == 0
        assert at_work.state == ("sent", counts), "what is unconfirmed is not sent again by itself"
        assert at_work.digest("unconfirmed", "accept", "global").code == 0
        at_work.demand_one_copy_for_each(server)


@pytest.mark.slow
def test_restored_to_before_the_mailing_it_does_not_leave_again_and_is_skipped(press, tmp_path):
    backed_up(press, tmp_path / "copy")
    with sink("smtp", tmp_path / "book") as server:
        at_work = press.by_smtp(server)
        assert at_work.digest("deliver", "global").code == 0
        at_work.demand_one_copy_for_each(server)
        before = server.taken

        restored(press, tmp_path / "copy")
        refused(at_work.digest("deliver", "global"))
        refused(at_work.digest("deliver", "global"))
        assert at_work.digest("editions", "move", "skip").code == 0
        assert at_work.digest("unconfirmed", "restored").code == 0
        assert at_work.digest("deliver", "global").code == 3
        assert server.taken == before


@pytest.mark.slow
def test_a_person_may_have_what_is_unconfirmed_sent_again(press, tmp_path):
    with sink("smtp", tmp_path / "book", wait=(0.1, 0.1)) as server:
        at_work = press.by_smtp(server)
        command = at_work.start("deliver", "global")
        wait_for(server, 3000)
        backed_up(press, tmp_path / "copy")
        wait_for(server, server.size + 3000)  # what leaves after the copy is what it knows nothing of
        command.kill()
        ended(command)
        restored(press, tmp_path / "copy")
        server.hurry()
        refused(at_work.digest("deliver", "global"))
        unconfirmed = {row.number for row in at_work.rows if row.state == "ambiguous"}
        names = {one.address: one.name for one in server.taken}
        assert at_work.digest("unconfirmed", "restored").code == 0
        assert at_work.digest("unconfirmed", "resend", "global").code == 0
        assert at_work.digest("deliver", "global").code == 0
        assert at_work.state == ("sent", {"accepted": READERS})
        again = {address: count for address, count in server.copies.items() if count > 1}
        assert set(again.values()) <= {2}
        assert {int(address[6:].partition("@")[0]) for address in again} <= unconfirmed
        assert all(one.name == names.get(one.address, one.name) for one in server.taken), "under the same name"
