"""`digest privacy` and `digest unconfirmed`, as a person runs them: what is held, what goes, what nobody can know."""

import json
from datetime import UTC, datetime, timedelta

from digest.app import open_press
from digest.database import writing
from digest.models import SignupRow
from subscribers.signup import MessageWanted
from subscribers.tokens import address_hash


def test_what_is_held_is_reported_and_what_has_had_its_time_goes(press):
    house = open_press(press.home)
    old = datetime.now(UTC) - timedelta(days=8)
    with writing(house.engine) as session:
        session.add(SignupRow(
            email="ben@example.net", email_key="ben@example.net", email_hash=b"b" * 16, digest_id=1, language="en", zone="UTC",
            asked_at=old, source="page", wording="v",
        ))  # fmt: skip
    said = press.digest("privacy", "report")
    assert said.code == 0, said
    for words in (
        "subscriber.email",
        "where mail goes",
        "until they are erased",
        "7 days",
        "Tracking of opens and clicks: off.",
    ):
        assert words in said.out, said.out
    assert "@" not in said.out
    found = json.loads(press.digest("privacy", "report", "--json").out)
    assert {one["table"]: one["rows"] for one in found["held"]}["signup"] == 1
    assert found["next_sweep"]["sign-ups not confirmed"] == 1

    dry = json.loads(press.digest("privacy", "sweep", "--dry-run", "--json").out)
    assert (dry["dry_run"], dry["rows"]["sign-ups not confirmed"]) == (True, 1)
    assert "sign-ups not confirmed" in press.digest("privacy", "sweep").out
    assert json.loads(press.digest("privacy", "sweep", "--json").out)["rows"]["sign-ups not confirmed"] == 0


def test_an_erasure_is_scrubbed_at_once_by_its_command(press):
    assert press.digest("subscribers", "erase", "reader7@example.net", "--yes").code == 0
    found = json.loads(press.digest("privacy", "report", "--json").out)
    assert (found["erasures"]["number"], found["erasures"]["waiting_for_a_scrub"]) == (1, 0)
    assert b"reader7@example.net" not in (press.home / "digest.sqlite").read_bytes()


def test_service_messages_in_doubt_are_listed_and_decided_like_editions(press):
    house, now = open_press(press.home), datetime.now(UTC)
    wanted = [
        MessageWanted(
            kind="confirm", email=email, email_hash=address_hash(house.keys.hash_key, email), digest_id=1, language="en"
        )
        for email in ("ben@example.net", "cleo@example.net", "dora@example.net")
    ]
    proof = house.services.proof_id("confirm", 1, "en", now=now)
    with writing(house.engine) as session:
        ben, cleo, _dora = (house.services.open(session, one, proof, now=now) for one in wanted)
        session.connection().exec_driver_sql(
            "UPDATE batch SET state = 'done' WHERE mailing_id IN (SELECT mailing_id FROM service)"
        )
        session.connection().exec_driver_sql(
            f"UPDATE delivery SET state = 'ambiguous', reason = 'no reply' WHERE mailing_id <= {cleo}"
        )
    (row,) = json.loads(press.digest("unconfirmed", "list", "--json").out)
    assert (row["digest"], row["what"], row["unconfirmed"]) == ("global", "confirm", 2)
    each = json.loads(press.digest("unconfirmed", "list", "global", "services", "--json").out)
    assert [(one["number"], one["address"], one["reason"]) for one in each] == [
        (ben, "b…@example.net", "no reply"), (cleo, "c…@example.net", "no reply"),
    ]  # fmt: skip
    assert "1 count as arrived" in press.digest("unconfirmed", "accept", "global", "services", "--number", str(ben)).out
    assert "1 are queued again" in press.digest("unconfirmed", "resend", "global", "services").out
    assert json.loads(press.digest("unconfirmed", "list", "--json").out) == []
    assert {row.number: row.state for row in press.rows if row.mailing_id == cleo} == {1: "queued"}
