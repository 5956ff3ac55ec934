"""`digest alarms`: what is wrong, a test by each way, quiet; as a person runs it."""

import json

from digest.alarms import look
from digest.app import open_press
from digest.database import writing
from digest.models import SenderRow
from tests.newsroom import NOW
from tests.receiver import receiver


def test_what_is_wrong_is_listed_with_what_to_do(press):
    assert "Nothing is wrong" in press.digest("alarms", "list").out
    house = open_press(press.home)
    with writing(house.engine) as session:
        row = session.get(SenderRow, 1) or SenderRow(id=1)
        row.restored_at = NOW
        session.add(row)
    look(house, NOW)
    said = press.digest("alarms", "list")
    assert "restored" in said.out
    assert "digest unconfirmed restored" in said.out
    assert "Nobody is told but the log" in said.out
    listed = json.loads(press.digest("alarms", "list", "--json").out)
    assert [row["cause"] for row in listed["alarms"]] == ["restored"]


def test_a_test_goes_by_each_way_and_says_what_happened(press):
    assert press.digest("alarms", "test").code == 2
    with receiver() as hook:
        press.settings = {
            "ALARM_WEBHOOK": hook.url("/"), "ALARM_SECRET": "a secret of the webhook", "FETCH_ALLOW": hook.host,
            "ALARM_COMMAND": "/bin/false", "ALARM_EMAIL": "ana@example.org",
        }  # fmt: skip
        said = press.digest("alarms", "test")
        assert said.code == 1
        assert "good  webhook  answered 204" in said.out
        assert "mend  command  The command ended with code 1." in said.out
        assert "good  email" in said.out
        assert [json.loads(body)["state"] for *_, body in hook.heard] == ["test"]


def test_quiet_for_a_while(press):
    assert "nobody is told until" in press.digest("alarms", "quiet", "disk", "--for", "2h").out
    assert "Quiet until" in press.digest("alarms", "list").out
    assert "told again" in press.digest("alarms", "quiet", "disk", "--for", "0m").out
    assert "There is: late, missed" in press.digest("alarms", "quiet", "charm").line
    assert "write 30m, 2h or 1d" in press.digest("alarms", "quiet", "disk", "--for", "soon").line
