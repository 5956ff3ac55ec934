"""Personal tracking as ops see it: delivered, opened, counted by `digest serve`, told by `digest stats`, handed out and erased."""

import json
import re
import signal
import sqlite3
from email import message_from_bytes, policy

import httpx
import pytest

from tests.at_work import address_of, ended

pytestmark = pytest.mark.slow  # a dozen commands, each a process of its own
PERSON = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.0"}
AGREED = address_of(1)


def database(press, *statements):
    connection = sqlite3.connect(press.home / "digest.sqlite")
    with connection:
        found = [connection.execute(statement).fetchall() for statement in statements]
    connection.close()
    return found[-1]


def mail_to(press, address):
    for file in press.home.glob("outbox/**/*.eml"):
        mail = message_from_bytes(file.read_bytes(), policy=policy.default)
        if mail["To"].addresses[0].addr_spec == address:
            return mail.get_body(("html",)).get_content()
    raise AssertionError(address)


@pytest.fixture
def counted(press):
    """An edition approved before tracking began, then delivered, opened by two of its readers and by a machine."""
    press.settings |= {"TRACKING": "personal", "LISTEN": "127.0.0.1:0"}
    database(press, f"UPDATE subscriber SET tracked_since = '2026-01-01 00:00:00' WHERE email = '{AGREED}'")
    assert press.digest("deliver", "global").code == 0
    database(  # an hour ago: a click right after delivery is no person's
        press,
        "UPDATE delivery SET handed_at = handed_at - 3600, updated_at = updated_at - 3600",
        "UPDATE mailing SET finished_at = datetime(finished_at, '-1 hour')",
    )
    serving = press.start("serve")
    try:
        port = int(re.search(r"127\.0\.0\.1:(\d+)", serving.stdout.readline())[1])
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, headers=PERSON) as client:
            for address in (AGREED, address_of(2)):
                (trail,) = set(re.findall(r"/t/([\w-]+)/", mail_to(press, address)))
                for last in ("seen.gif", "1"):
                    assert client.get(f"/t/{trail}/{last}").status_code in {200, 302}
            client.get(f"/t/{trail}/seen.gif", headers={"user-agent": "Mozilla/5.0"})
        serving.send_signal(signal.SIGTERM)
        said = ended(serving)
        assert (said.code, said.aside) == (0, "")
    finally:
        serving.kill()
    return press


def test_what_was_opened_is_told_in_figures_rules_and_words(counted):
    told = json.loads(counted.digest("stats", "global", "--json").out)
    assert (told["mode"], told["opens"], told["clicks"]) == (
        "personal", {"people": 2, "machines": 1}, {"people": 2, "machines": 0},
    )  # fmt: skip
    assert told["readers"] == 1
    (link,) = told["links"]
    assert (link["number"], link["people"], link["machines"]) == (1, 2, 0)
    assert link["headline"].startswith("Ferries return")
    words = counted.digest("stats", "global").out
    assert "Opens      2 by people, 1 by machines" in words
    assert "These are times, not readers" in words
    assert words.splitlines()[-1] in counted.digest("editions", "show").out
    assert json.loads(counted.digest("editions", "show", "--json").out)["seen"]["clicks"] == told["clicks"]
    assert json.loads(counted.digest("segments", "count", "opened within 2 days", "--json").out)["subscribers"] == 1
    assert json.loads(counted.digest("segments", "count", "never opened", "--json").out)["subscribers"] == 0
    ((since,),) = database(counted, "SELECT tracked_since FROM subscriber WHERE tracked_since IS NOT NULL")
    assert since > "2026-01-02", "tracked since serve first ran with it"


def test_a_person_gets_and_loses_what_was_kept_of_them(counted):
    held = json.loads(counted.digest("subscribers", "export-person", AGREED).out)
    assert [(row["kind"], row["link"]) for row in held["deed"]] == [("opened", -1), ("clicked", 1)]
    assert {row["kind"] for row in held["activity"]} == {"opened", "clicked"}
    assert json.loads(counted.digest("subscribers", "export-person", address_of(2)).out)["deed"] == []
    assert counted.digest("subscribers", "erase", AGREED, "--yes").code == 0
    assert (
        database(counted, "SELECT count(*) FROM deed") == database(counted, "SELECT count(*) FROM activity") == [(0,)]
    )
    assert database(counted, "SELECT sum(number) FROM tally") == [(5,)]


def test_an_edition_of_which_nothing_was_counted_says_so(press):
    assert "Nothing was counted of it. DIGEST_TRACKING is off." in press.digest("stats", "global").out
    assert "by machines" not in press.digest("editions", "show").out
