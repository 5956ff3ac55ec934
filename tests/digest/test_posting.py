"""Beside the web application service messages leave at once, whatever else goes wrong; and on duty too."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from sqlmodel import delete

from digest import posting
from digest.database import writing
from digest.errors import StorageError, TransportError
from digest.models import CadenceRow
from digest.posting import on_duty
from digest.settings import Settings
from tests.front_door import hidden, opened
from tests.ready import run as ready
from tests.receiver import receiver

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def house(tmp_path):
    with opened(tmp_path / "home") as here:
        yield here


def until(true, seconds=15.0):
    give_up = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < give_up, "it did not happen"
        time.sleep(0.02)
    return found


def test_what_is_asked_for_leaves_at_once(house):
    with on_duty(house.press, clock=house.clock):
        house.sign_up("ana@example.net")
        start = time.monotonic()
        until(house.mails)
        assert time.monotonic() - start < 5
        house.sign_up("ben@example.net")
        until(lambda: len(house.mails()) == 2)
    house.send()  # the books of the last one may have been open when the block ended
    assert [row.state for row in house.rows("mailing")] == ["done", "done"]


def test_it_tidies_up_once_an_hour(house):
    house.sign_up("ana@example.net")
    house.later(days=7)
    with on_duty(house.press, clock=house.clock):
        until(lambda: not house.rows("signup"))
        house.sign_up("ben@example.net")
        house.later(days=7)
        until(lambda: not house.rows("signup"))


@pytest.mark.parametrize(
    "fault", [StorageError("The disk is full."), TransportError("Nobody answers."), ValueError("a bug")]
)
def test_a_fault_is_told_and_the_next_try_comes(house, monkeypatch, caplog, fault):
    real, tries = posting.deliver_services, []

    def faulty(*given, **named):
        tries.append(1)
        if len(tries) == 1:
            raise fault
        return real(*given, **named)

    monkeypatch.setattr(posting, "deliver_services", faulty)
    monkeypatch.setattr(posting, "REST", 0.05)
    with on_duty(house.press, clock=house.clock):
        house.sign_up("ana@example.net")
        until(house.mails)
    assert str(fault) in caplog.text or type(fault).__name__ in caplog.text


def test_beside_the_pages_alarms_are_told_and_the_heart_beats(house, monkeypatch):
    with writing(house.press.engine) as session:
        session.exec(delete(CadenceRow))  # no clock is missed
    with receiver() as hook:
        given = {
            "alarm_webhook": hook.url("/alarms"), "alarm_secret": "a secret of the webhook", "fetch_allow": (hook.host,),
            "heartbeat_url": hook.url("/ping"), "alarm_disk": 10**9,
        }  # fmt: skip
        settings = Settings.model_validate({**house.press.settings.model_dump(), **given})
        monkeypatch.setattr(posting, "ROUND", 0.05)
        with on_duty(replace(house.press, settings=settings), clock=house.clock):
            until(lambda: [one for one in hook.heard if one[1] == "/ping"])
            house.later(minutes=1)
            until(lambda: [one for one in hook.heard if one[1] == "/alarms"])
            house.later(minutes=1)
            until(lambda: len([one for one in hook.heard if one[1] == "/ping"]) >= 2)
        (alarm,) = [json.loads(body) for _, path, _, body in hook.heard if path == "/alarms"]
        assert (alarm["cause"], alarm["state"]) == ("disk", "began")
        assert len([one for one in hook.heard if one[1] == "/ping"]) <= 3, "once a minute"


def test_digest_serve_takes_a_sign_up_and_sends_its_confirmation(tmp_path):
    environment = {
        "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "NO_COLOR": "1", "DIGEST_LISTEN": "127.0.0.1:0", "PYTHONUNBUFFERED": "1",
        "DIGEST_HOME": "press",
    }  # fmt: skip
    command = [sys.executable, "-m", "digest"]
    ready(["init"], cwd=tmp_path, environment=environment).check_returncode()
    with subprocess.Popen(
        [*command, "serve"], cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE
    ) as process:
        try:
            port = int(process.stdout.readline().split("127.0.0.1:")[1].split(".")[0])
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
                token = hidden(client.get("/d/global").text, "token")
                time.sleep(2.1)
                client.post("/d/global", data={"email": "ana@example.net", "token": token}).raise_for_status()
            until(lambda: list((tmp_path / "press" / "outbox").rglob("*.eml")))
        finally:
            process.terminate()
            assert process.wait(20) == 0


@pytest.mark.parametrize(("parts", "words"), [(["clock"], "stations"), (["clock", "sender"], "what is due leaves")])
def test_parts_run_on_their_own_and_end_when_told(tmp_path, parts, words):
    environment = {
        "PYTHONPATH": str(ROOT),
        "PATH": "/usr/bin:/bin",
        "NO_COLOR": "1",
        "PYTHONUNBUFFERED": "1",
        "DIGEST_HOME": "press",
    }
    command = [sys.executable, "-m", "digest"]
    ready(["init"], cwd=tmp_path, environment=environment).check_returncode()
    only = [word for part in parts for word in ("--only", part)]
    with subprocess.Popen(
        [*command, "serve", *only], cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE
    ) as process:
        try:
            said = process.stdout.readline()
            assert words in said
            assert "Answering" not in said
        finally:
            process.terminate()
            assert process.wait(20) == 0
    refused = subprocess.run(
        [*command, "serve", "--only", "kitchen"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (refused.returncode, "use web, clock, sender" in refused.stderr) == (2, True)
