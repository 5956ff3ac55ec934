"""The log: ids of what it is about, words or JSON, and at no level an address, a token or a secret, whoever logs."""

import io
import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from digest import logs, press
from digest.alarms import look
from digest.app import open_press
from digest.database import reading
from digest.gathering import gather
from digest.models import EditionRow
from digest.posting import deliver_services
from digest.redaction import redacted
from digest.settings import Settings, read_settings
from tests.at_work import READERS, ROOT, address_of, copied

SECRETS = {"hash_key": "ab" * 32, "token_keys": f"2:{'cd' * 32},1:{'ef' * 32}", "smtp_password": "correct horse"}


@pytest.fixture
def written():
    """Set the log up with some settings; a function that gives what was written since."""
    root, out = logging.getLogger(), io.StringIO()
    before = (root.handlers[:], root.level, {name: logging.getLogger(name).level for name in logs.CHATTY})

    def of(**settings):
        logs.set_up(Settings(**settings), out=out)
        return out

    yield of
    root.handlers[:], root.level = before[0], before[1]
    for name, level in before[2].items():
        logging.getLogger(name).setLevel(level)


def lines(out):
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_an_event_is_one_line_of_json_with_the_ids_of_what_it_is_about(written):
    out = written(log="json", log_level="info")
    logging.getLogger("digest.press").info(
        "sending\nbegins", extra={"edition": 3, "mailing": 7, "taskName": "x", "other": 1}
    )
    (line,) = lines(out)
    assert (line["event"], line["edition"], line["mailing"], line["level"]) == ("sending\nbegins", 3, 7, "info")
    assert line["logger"] == "digest.press"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", line["timestamp"])
    assert "other" not in line


def test_for_people_it_is_words(written):
    out = written()
    logging.getLogger("digest.press").info("unseen")
    logging.getLogger("digest.press").warning("Something of edition", extra={"edition": 3})
    (line,) = out.getvalue().splitlines()
    assert "Something of edition" in line
    assert "edition=3" in line
    assert "\x1b" not in line


def test_a_fault_is_written_with_its_place_and_without_what_it_holds(written):
    out = written(log="json", log_level="debug", **SECRETS)
    try:
        int("ana@example.net wrote correct horse")
    except ValueError:
        logging.getLogger("x").exception("a fault of %s", "ben@example.net", extra={"who": "ana@example.net"})
    (line,) = lines(out)
    assert "test_logs.py" in line["exception"]
    assert "ValueError" in line["exception"]
    assert not re.search("example.net|correct horse", out.getvalue())
    assert line["who"] == "***"


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_every_secret_of_the_settings_is_hidden_in_whatever_it_stands(written, name):
    out = written(log="json", **SECRETS)
    for secret in re.split("[,:]", SECRETS[name]):
        if len(secret) > 5:
            logging.getLogger("x").warning("key=%s;", secret, extra={"subject": f"<{secret}>"})
    assert not any(secret in out.getvalue() for secret in re.split("[,:]", SECRETS[name]) if len(secret) > 5)


def test_what_is_secret_in_addresses_is_known(tmp_path):
    given = {
        "database": "postgresql://digest:hidden-word@db/x", "alarm_webhook": "https://hooks.example/T0/B0/secretly",
        "alarm_secret": "s" * 20, "heartbeat_url": "https://ping.example/uuid-of-ours",
    }  # fmt: skip
    found = logs.secrets_of(read_settings(tmp_path, **given))
    assert {"digest:hidden-word", given["alarm_webhook"], given["alarm_secret"], given["heartbeat_url"]} <= set(found)


@example("'@A.ac", "", "")  # quoted local parts hold what else ends a word
@given(st.emails(), st.text(max_size=20), st.text(max_size=20))
def test_no_address_stays_whatever_stands_around_it(address, before, after):
    _, _, domain = address.rpartition("@")
    said = redacted(f"{before} <{address}> {after}")
    assert f"@{domain}" not in said


@pytest.mark.parametrize(
    "words",
    ["", "The disk is full.", "global 2026-11-23: it is approved and was due at 06:00 UTC", "digest-data/outbox/global/2026-11-23",
     "127.0.0.1:8000", "a-word-of-many-parts-without-any-number"],
)  # fmt: skip
def test_ordinary_words_stay(words):
    assert redacted(words) == words


# a whole morning --------------------------------------------------------------------------------------------------------


def test_a_whole_morning_at_debug_writes_down_no_reader_and_no_key(approved_home: Path, tmp_path, written):
    """Every logger there is, at its lowest level; then every address, key, token and password is looked for."""
    copied(approved_home, tmp_path / "press")
    house = open_press(tmp_path / "press", alarm_email="oncall@example.org", alarm_disk=10**9)
    given = {name: getattr(house.settings, name) for name in ("hash_key", "token_keys")}
    out = written(log="json", log_level="debug", **given)
    for name in list(logging.Logger.manager.loggerDict):
        if not name.startswith(logs.CHATTY):
            logging.getLogger(name).setLevel(logging.DEBUG)
    with reading(house.engine) as session:
        edition = session.get(EditionRow, 1)
    gather(house.engine, house.settings, now=edition.approved_at)
    balance = press.deliver(house, edition, now=lambda: edition.approved_at)
    look(house, edition.approved_at)
    deliver_services(house, now=lambda: edition.approved_at)
    assert balance.handed == READERS
    said = out.getvalue()
    events = {line["event"]: line for line in lines(out)}
    assert events["sending begins, or goes on"]["edition"] == 1
    assert events["a batch is out of hand"]["total"] == READERS
    assert [line["did"] for line in lines(out) if line["event"] == "an edition moves"] == ["send", "finish"]
    mails = [file.read_text() for file in house.settings.outbox_folder.rglob("*.eml")]
    tokens = {token for mail in mails for token in re.findall(r"/m/([\w-]{20,})", mail)}
    assert len(tokens) >= READERS
    secrets = (house.settings.token_keys.get_secret_value(), house.settings.hash_key.get_secret_value())
    keys = [key for secret in secrets for key in re.split("[,:]", secret)]
    looked_for = {address_of(n) for n in range(1, READERS + 1)} | tokens | {key for key in keys if len(key) > 5}
    assert not [word for word in looked_for if word in said]
    assert "example.net" not in said


def test_only_what_runs_for_long_pays_for_it():
    program = "import sys; from digest.__main__ import app; import digest.press; print('structlog' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"
