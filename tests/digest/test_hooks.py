"""SendGrid's webhook over real HTTP: believed only when signed, answered only when written, harmless whatever comes."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path
from threading import Thread
from time import monotonic, sleep, time

import httpx
import pytest
from sqlalchemy import event as listening

from digest.deliveries import claim, record, settle
from digest.press import Press
from digest.settings import Settings
from digest.values import DeliveryState, Receipt
from digest.web.hooks import AHEAD, MOST_BYTES, OLDEST
from digest.web.site import build
from tests.answering import answering
from tests.bench import events as bench
from tests.newsroom import KEYS, NOW, deliveries_of, morning, opened, readers
from tests.ready import run as ready
from tests.sendgrid_events import AT, BOUNCED, PATH, Signer, told

ROOT = Path(__file__).resolve().parents[2]
SIGNER = Signer()


def press_over(engine, home, **values):
    return Press(settings=Settings(home=home, sendgrid_webhook_key=SIGNER.setting, **values), engine=engine, keys=KEYS)


@pytest.fixture
def sent(engine):
    """Four deliveries, all accepted."""
    house = morning(engine)
    readers(engine, 4)
    mailing = opened(engine, house)
    batch = claim(engine, owner="me", now=NOW, lease=60, transports=["outbox"], keys=KEYS)
    record(engine, batch, [Receipt(one.number, DeliveryState.ACCEPTED) for one in batch.recipients], now=NOW)
    settle(engine, mailing, now=NOW)
    return engine


@pytest.fixture
def client(sent, home):
    with answering(build(press_over(sent, home), clock=lambda: NOW)) as client:
        yield client


def states(engine):
    return [row.state for row in deliveries_of(engine)]


def count(engine, table):
    with engine.connect() as connection:
        return connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar()


def test_signed_events_are_written_before_they_are_answered(client, sent):
    answer = SIGNER.post(client, [told(1, "delivered"), told(2, "bounce", **BOUNCED), told(3, "open")])
    assert (answer.status_code, answer.content) == (204, b"")
    assert states(sent) == ["delivered", "bounced", "accepted", "accepted"]
    assert (count(sent, "event"), count(sent, "suppression")) == (2, 1)


def test_the_same_post_again_is_answered_the_same_and_changes_nothing(client, sent):
    for _ in range(3):
        assert SIGNER.post(client, [told(1, "delivered"), told(2, "spamreport")]).status_code == 204
    assert (count(sent, "event"), count(sent, "audit")) == (2, 1)


def test_thousands_of_events_in_one_post_are_one_transaction(client, sent):
    commits = Counter()
    listening.listen(sent, "commit", lambda _connection: commits.update(["commit"]))
    answer = SIGNER.post(client, [told(1 + n % 4, "deferred", AT + n) for n in range(4000)])
    assert (answer.status_code, count(sent, "event"), commits["commit"]) == (204, 4000, 1)


BODY = json.dumps([told(1, "bounce", **BOUNCED)]).encode()
SIGNED = SIGNER.headers(BODY)
SIGNATURE, TIMESTAMP = (name for name in SIGNED if name.startswith("x-"))
EARLIER = int((NOW - OLDEST - timedelta(seconds=1)).timestamp())
LATER = int((NOW + AHEAD + timedelta(seconds=1)).timestamp())


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (BODY, {}),
        (BODY, {SIGNATURE: SIGNED[SIGNATURE]}),
        (BODY, {TIMESTAMP: SIGNED[TIMESTAMP]}),
        (BODY, {**SIGNED, SIGNATURE: ""}),
        (BODY, {**SIGNED, SIGNATURE: "!!!"}),
        (BODY, {**SIGNED, SIGNATURE: "é".encode()}),
        (BODY, {**SIGNED, SIGNATURE: "A" * 5000}),
        (BODY, {**SIGNED, SIGNATURE: SIGNED[SIGNATURE][:-4]}),
        (BODY, Signer().headers(BODY)),
        (BODY + b" ", SIGNED),
        (BODY.replace(b"bounce", b"Bounce"), SIGNED),
        (BODY, {**SIGNED, TIMESTAMP: str(AT + 1)}),
        (BODY, {**SIGNED, TIMESTAMP: f"{AT}.0"}),
        (BODY, {**SIGNED, TIMESTAMP: "9" * 5000}),
        (BODY, {**SIGNED, TIMESTAMP: "-1"}),
        (BODY, {**SIGNED, TIMESTAMP: "٣".encode()}),
        (BODY, SIGNER.headers(BODY, EARLIER)),
        (BODY, SIGNER.headers(BODY, LATER)),
    ],
)
def test_what_is_not_signed_by_the_provider_in_time_is_refused_and_changes_nothing(client, sent, body, headers):
    answer = client.post(PATH, content=body, headers=headers)
    assert (answer.status_code, answer.text) == (403, "Refused.\n")
    assert states(sent) == ["accepted"] * 4
    assert (count(sent, "event"), count(sent, "suppression")) == (0, 0)


@pytest.mark.parametrize("at", [EARLIER + 1, LATER - 1])
def test_what_was_signed_up_to_two_days_ago_or_by_a_clock_a_little_ahead_is_heard(client, sent, at):
    assert SIGNER.post(client, [told(1, "delivered")], at).status_code == 204
    assert states(sent)[0] == "delivered"


def test_without_a_key_everything_is_refused(sent, home):
    press = Press(settings=Settings(home=home), engine=sent, keys=KEYS)
    with answering(build(press, clock=lambda: NOW)) as client:
        assert SIGNER.post(client, [told(1, "delivered")]).status_code == 403
        assert client.post(PATH, content=b"[]").status_code == 403
    assert count(sent, "event") == 0


def test_a_get_changes_nothing(client):
    assert client.get(PATH).status_code == 405


@pytest.mark.parametrize("length", [MOST_BYTES + 1, 10**15])
def test_a_body_that_says_it_is_too_long_is_refused_before_it_is_sent(client, length):
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=10) as line:
        line.sendall(f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n".encode())
        assert b" 413 " in line.recv(100)


def test_a_body_that_does_not_say_how_long_it_is_is_read_up_to_a_cap(client, sent):
    pieces = [b"x" * 65_536] * (MOST_BYTES // 65_536) + [b"x" * (MOST_BYTES % 65_536 + 1)]
    assert client.post(PATH, content=iter(pieces), headers=SIGNED).status_code == 413
    assert client.post(PATH, content=iter([b"x" * MOST_BYTES]), headers=SIGNED).status_code == 403


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b"[" * 90_000, b"\xff", b"null"])
def test_what_is_signed_and_no_list_of_events_is_an_error_of_the_senders(client, body):
    assert client.post(PATH, content=body, headers=SIGNER.headers(body)).status_code == 400


def test_a_stream_told_ten_times_over_with_lies_between_ends_like_the_clean_one(tmp_path, monkeypatch):
    """The figure of `make bench BENCH=events`, for fewer readers."""
    monkeypatch.setattr(bench, "READERS", 300)
    monkeypatch.setattr(bench, "IN_ONE_POST", 70)
    clean, noisy = bench.sent(tmp_path / "clean.sqlite"), bench.sent(tmp_path / "noisy.sqlite")
    truth = list(bench.stream())
    bench.tell(clean, tmp_path, [bench.post(truth)])
    posts, forged = bench.noise(truth)
    _, answers = bench.tell(noisy, tmp_path, posts)
    assert forged > 0
    assert answers == [204 if is_true else 403 for _, _, is_true in posts]
    for table in bench.TABLES:
        assert bench.rows(noisy, table) == bench.rows(clean, table)
    assert len({state for _, state, *_ in bench.rows(clean, "delivery")}) == 4
    clean.dispose()
    noisy.dispose()


# a database that is busy ----------------------------------------------------------------------------------------------


@pytest.fixture
def locked(sqlite_engine):
    """Another process's lock on the database, taken by calling it; given back by calling what that returns."""
    other = sqlite3.connect(sqlite_engine.url.database, isolation_level=None, check_same_thread=False)

    def take():
        other.execute("BEGIN IMMEDIATE")
        return lambda: other.execute("ROLLBACK")

    yield take
    other.close()


def one_delivery(engine):
    house = morning(engine)
    readers(engine, 1)
    opened(engine, house)


def test_it_waits_for_whoever_is_writing(sqlite_engine, home, locked):
    one_delivery(sqlite_engine)
    with answering(build(press_over(sqlite_engine, home), clock=lambda: NOW)) as client:
        let_go = locked()
        later = Thread(target=lambda: (sleep(1.0), let_go()))
        later.start()
        began = monotonic()
        assert SIGNER.post(client, [told(1, "delivered")]).status_code == 204
        later.join()
    assert monotonic() - began >= 1.0
    assert states(sqlite_engine) == ["delivered"]


def test_a_database_that_cannot_be_written_is_said_so_that_the_provider_tries_again(sqlite_engine, home, locked):
    one_delivery(sqlite_engine)
    listening.listen(sqlite_engine, "connect", lambda raw, _record: raw.execute("PRAGMA busy_timeout=100"))
    sqlite_engine.dispose()
    with answering(build(press_over(sqlite_engine, home), clock=lambda: NOW)) as client:
        let_go = locked()
        answer = SIGNER.post(client, [told(1, "delivered")])
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        let_go()
        assert SIGNER.post(client, [told(1, "delivered")]).status_code == 204
    assert states(sqlite_engine) == ["delivered"]


def test_when_too_many_wait_the_rest_is_sent_away_at_once(sqlite_engine, home, locked, monkeypatch):
    monkeypatch.setattr("digest.web.hooks.WAITING", 0)
    one_delivery(sqlite_engine)
    with answering(build(press_over(sqlite_engine, home), clock=lambda: NOW)) as client:
        let_go = locked()
        answers = []
        posts = [
            Thread(target=lambda n=n: answers.append(SIGNER.post(client, [told(1, "deferred", AT + n)]).status_code))
            for n in range(12)
        ]
        for post in posts:
            post.start()
        give_up = monotonic() + 20
        while 503 not in answers and monotonic() < give_up:
            sleep(0.01)
        let_go()
        for post in posts:
            post.join(60)
    assert 503 in answers
    assert count(sqlite_engine, "event") == answers.count(204) >= 4


def test_what_was_answered_is_there_after_a_kill(tmp_path):
    """A process of its own, killed the moment it has answered."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DIGEST_")}
    environment |= {
        "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "DIGEST_HOME": "press", "DIGEST_LISTEN": "127.0.0.1:0",
        "DIGEST_SENDGRID_WEBHOOK_KEY": SIGNER.setting, "DIGEST_HASH_KEY": KEYS.hash_key.hex(),
        "DIGEST_TOKEN_KEYS": f"1:{KEYS.token_keys[1].hex()}",
    }  # fmt: skip
    ready(["init"], cwd=tmp_path, environment=environment).check_returncode()
    server = subprocess.Popen(
        [sys.executable, "-m", "digest", "serve"], cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        url = server.stdout.readline().split("Answering at ")[1].split(". ")[0]
        with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
            body = json.dumps([told(1, "delivered", int(time()))]).encode()
            assert client.post(PATH, content=body, headers=SIGNER.headers(body, int(time()))).status_code == 204
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait(10)
        server.stdout.close()
    with sqlite3.connect(tmp_path / "press" / "digest.sqlite") as connection:
        assert connection.execute("SELECT kind, number FROM event").fetchall() == [("delivered", None)]


def test_nothing_of_what_was_told_is_logged(client, caplog):
    caplog.set_level("DEBUG")
    SIGNER.post(client, [told(1, "bounce", **BOUNCED), {"email": "ana@example.net", "event": "delivered"}])
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("digest")]
    assert ours
    assert not any("@" in line for line in ours)
