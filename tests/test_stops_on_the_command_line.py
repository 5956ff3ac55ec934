"""Ctrl-C, SIGTERM, pause, resume and cancel while an edition leaves: heard within a second and one batch, and nothing is lost."""

import signal
import time
from contextlib import contextmanager

import pytest

from tests.at_work import READERS, address_of, ended, wait_for
from tests.sinks.running import sink

WAIT = {"smtp": 0.2, "sendgrid": 0.4}  # seconds for a message, or for a request of four
SOME = {"smtp": 2000, "sendgrid": 1500}  # bytes of the sink's book
STOPPED = 130


@contextmanager
def leaving(press, tmp_path, by, wait=0.0, words=("deliver", "global")):
    """`digest deliver`, or another command, in the middle of it: the sink, the home, and the command."""
    with sink(by, tmp_path / "book", wait=(wait or WAIT[by],) * 2) as server:
        few = {"SMTP_CONNECTIONS": "4", "SENDGRID_REQUESTS": "4", "SENDGRID_OPEN": "2", "BATCH_SIZE": "50"}
        at_work = {"smtp": press.by_smtp, "sendgrid": press.by_sendgrid}[by](server, **few)
        command = at_work.start(*words)
        try:
            wait_for(server, 300 if wait else SOME[by])
            assert command.poll() is None
            yield server, at_work, command
        finally:
            command.kill()


def demand_heard(server, by, told_at):
    assert max(one.at for one in server.taken) <= told_at + 1 + WAIT[by]
    assert 0 < len(server.taken) < READERS


def gone_on(press, server):
    server.hurry()
    assert press.digest("deliver", "global").code == 0
    press.demand_one_copy_for_each(server)


@pytest.mark.parametrize(
    ("by", "how"),
    [
        ("smtp", signal.SIGTERM),
        pytest.param("smtp", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("sendgrid", signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param("sendgrid", signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_told_to_stop_it_finishes_what_is_in_hand_and_leaves_the_rest_queued(press, tmp_path, by, how):
    with leaving(press, tmp_path, by) as (server, at_work, command):
        told_at = time.monotonic()
        command.send_signal(how)
        said = ended(command)
        assert said.code == STOPPED
        assert "Interrupted. Go on with:" in said.aside
        demand_heard(server, by, told_at)
        taken = len(server.taken)
        assert at_work.state == ("sending", {"accepted": taken, "queued": READERS - taken})
        gone_on(at_work, server)


@pytest.mark.parametrize("how", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "words", [("watch",), pytest.param(("run", "global", "--approve"), marks=pytest.mark.slow)], ids=["watch", "run"]
)
def test_those_who_deliver_beside_other_work_stop_the_same_way(press, tmp_path, how, words):
    with leaving(press, tmp_path, "smtp", words=words) as (server, at_work, command):
        told_at = time.monotonic()
        command.send_signal(how)
        ended(command)
        demand_heard(server, "smtp", told_at)
        taken = len(server.taken)
        assert at_work.state == ("sending", {"accepted": taken, "queued": READERS - taken})
        gone_on(at_work, server)


@pytest.mark.slow
@pytest.mark.parametrize("by", ["smtp", "sendgrid"])
def test_paused_by_another_command_it_goes_on_once_it_is_resumed(press, tmp_path, by):
    with leaving(press, tmp_path, by) as (server, at_work, command):
        assert at_work.digest("editions", "move", "pause").code == 0
        told_at = time.monotonic()
        assert ended(command).code == 1
        demand_heard(server, by, told_at)
        taken = len(server.taken)
        assert at_work.state == ("paused", {"accepted": taken, "queued": READERS - taken})
        assert at_work.digest("deliver", "global").code == 3
        at_work.resume()
        gone_on(at_work, server)


@pytest.mark.slow
@pytest.mark.parametrize("by", ["smtp", "sendgrid"])
def test_cancelled_the_rest_is_closed_and_never_leaves(press, tmp_path, by):
    with leaving(press, tmp_path, by) as (server, at_work, command):
        assert at_work.digest("editions", "move", "cancel").code == 0
        told_at = time.monotonic()
        ended(command)
        demand_heard(server, by, told_at)
        taken = server.copies
        assert at_work.state == ("cancelled", {"accepted": len(taken), "cancelled": READERS - len(taken)})
        assert at_work.digest("deliver", "global").code == 3
        assert server.copies == taken
        assert set(taken.values()) == {1}


def test_told_twice_it_ends_at_once_and_only_what_was_in_hand_is_in_doubt(press, tmp_path):
    with leaving(press, tmp_path, "smtp", wait=10) as (server, at_work, command):
        command.send_signal(signal.SIGINT)
        assert "Stopping" in command.stderr.readline()
        command.send_signal(signal.SIGINT)
        told_at = time.monotonic()
        assert ended(command).code == STOPPED
        assert time.monotonic() - told_at < 5, "the server's answer is not waited for"
        server.hurry()
        assert at_work.digest("deliver", "global").code == 0
        state, counts = at_work.state
        assert (state, sum(counts.values())) == ("sent", READERS)
        assert counts.keys() == {"accepted", "ambiguous"}
        assert counts["ambiguous"] <= 4, "one for each connection"
        assert server.copies == {address_of(number): 1 for number in range(1, READERS + 1)}
