"""The web application as a client meets it: what every answer carries, whom it believes, how it starts and stops."""

import http.client
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fastapi import Request
from starlette.responses import PlainTextResponse

from digest.errors import StorageError
from digest.press import Press
from digest.settings import Settings
from digest.web.guard import HEADERS
from digest.web.site import build
from tests.answering import answering
from tests.newsroom import KEYS, NOW
from tests.ready import run as ready

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def press(sqlite_engine, home):
    return Press(settings=Settings(home=home), engine=sqlite_engine, keys=KEYS)


def site(press):
    """The application with four routes more, that a test can ask for."""
    app = build(press, clock=lambda: NOW)

    @app.get("/who")
    def who(request: Request) -> str:
        return f"{request.client.host} {request.url.scheme}"

    @app.get("/broken")
    def broken() -> None:
        raise ValueError("ana@example.net")

    @app.get("/locked")
    def locked() -> None:
        raise StorageError("Another process has held the database for 30 seconds.")

    @app.get("/framed")
    def framed() -> PlainTextResponse:
        return PlainTextResponse("a preview", headers={"content-security-policy": "sandbox"})

    return app


@pytest.fixture
def client(press):
    with answering(site(press)) as client:
        yield client


@pytest.mark.parametrize("path", ["/healthz", "/nowhere", "/broken", "/locked"])
def test_every_answer_carries_the_headers_a_browser_must_keep_to(client, path):
    answer = client.get(path)
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS


def test_no_page_may_run_inline_script_or_be_framed():
    policy = HEADERS["content-security-policy"]
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'none'" in policy


def test_a_route_with_a_policy_of_its_own_keeps_the_other_headers(client):
    answer = client.get("/framed")
    assert answer.headers["content-security-policy"] == "sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_fault_says_nothing_of_what_was_sent_neither_to_the_client_nor_to_the_log(client, caplog):
    answer = client.get("/broken")
    assert answer.status_code == 500
    assert "ana@" not in answer.text + caplog.text
    assert "ValueError" in caplog.text
    assert "in broken" in caplog.text


def test_a_database_that_cannot_be_written_is_said_so_that_it_is_tried_again(client):
    answer = client.get("/locked")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0


def test_the_description_of_the_interface_is_not_shown(client):
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert client.get(path).status_code == 404


def test_the_host_header_leads_nowhere(client):
    answer = client.get("/healthz/", headers={"host": "evil.example"})
    assert answer.status_code == 404
    assert "evil" not in str(answer.headers) + answer.text


@pytest.mark.parametrize(
    ("trusted", "said", "believed"),
    [
        ((), "203.0.113.9", "127.0.0.1 http"),
        (("127.0.0.0/8",), "203.0.113.9", "203.0.113.9 https"),
        (("127.0.0.1",), "192.0.2.1, 203.0.113.9", "203.0.113.9 https"),
        (("127.0.0.1", "203.0.113.0/24"), "192.0.2.1, 203.0.113.9", "192.0.2.1 https"),
        (("10.0.0.1",), "203.0.113.9", "127.0.0.1 http"),
    ],
)
def test_who_a_client_is_only_a_proxy_of_ours_can_say(press, monkeypatch, trusted, said, believed):
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")  # the server's own way of being told adds nobody
    press.settings = Settings(home=press.settings.home, trusted_proxies=trusted)
    with answering(site(press)) as client:
        answer = client.get("/who", headers={"x-forwarded-for": said, "x-forwarded-proto": "https"})
    assert answer.json() == believed


# the command --------------------------------------------------------------------------------------------------------


@pytest.fixture
def served(tmp_path):
    """`digest serve` in a process of its own, at a port of its own; gives (process, port)."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DIGEST_")}
    environment |= {"PYTHONPATH": str(ROOT), "NO_COLOR": "1", "DIGEST_LISTEN": "127.0.0.1:0", "DIGEST_HOME": "press"}
    environment |= {"PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "digest"]
    ready(["init"], cwd=tmp_path, environment=environment).check_returncode()
    process = subprocess.Popen(
        [*command, "serve"], cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    line = process.stdout.readline()
    assert "Answering at http://127.0.0.1:" in line, process.stderr.read() if process.poll() is not None else line
    yield process, int(line.split("127.0.0.1:")[1].split(".")[0])
    if process.poll() is None:
        process.kill()
    process.wait(10)
    process.stdout.close()
    process.stderr.close()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_serve_answers_until_it_is_told_to_stop(served, how):
    process, port = served
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/healthz")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"good\n")
    assert answer.headers["server"] is None
    process.send_signal(how)
    assert process.wait(20) == 0
    assert "Traceback" not in process.stderr.read()


def test_a_place_that_is_taken_is_said_in_one_line(served, tmp_path):
    _, port = served
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DIGEST_LISTEN": f"127.0.0.1:{port}", "DIGEST_HOME": "press"}
    done = subprocess.run(
        [sys.executable, "-m", "digest", "serve"], cwd=tmp_path, env=environment, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "DIGEST_LISTEN" in done.stderr
    assert done.stderr.count("\n") == 1
