"""`digest bounces read` as an operator runs it: each message counted, said what was done, and nothing done twice."""

import json
import os
from collections import Counter
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest

from digest.database import open_engine
from digest.deliveries import claim, record, settle
from digest.delivery_ids import LENGTH, delivery_token
from digest.values import DeliveryState, Receipt
from tests.laid import lay
from tests.newsroom import KEYS, NOW, deliveries_of, morning, opened, readers
from tests.ready import run as ready
from tests.returned_mail import DATE, bounced, complaint, leaving, maildir, mbox, recipient
from tests.sendgrid_events import name

ROOT = Path(__file__).resolve().parents[2]
READERS = 8


@pytest.fixture
def engine(home):
    """A home whose edition went out by mail to eight readers."""
    engine = open_engine(lay(home / "digest.sqlite"))
    house = morning(engine)
    readers(engine, READERS)
    mailing = opened(engine, house)
    batch = claim(engine, owner="me", now=NOW, lease=60, transports=["outbox"], keys=KEYS)
    record(engine, batch, [Receipt(one.number, DeliveryState.ACCEPTED) for one in batch.recipients], now=NOW)
    settle(engine, mailing, now=NOW)
    yield engine
    engine.dispose()


@pytest.fixture
def digest(home, engine):
    keys = {"DIGEST_HASH_KEY": KEYS.hash_key.hex(), "DIGEST_TOKEN_KEYS": f"1:{KEYS.token_keys[1].hex()}"}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DIGEST_")}
    environment = {**clean, **keys, "NO_COLOR": "1", "COLUMNS": "200"}

    def run(*words, stdin=b""):
        return ready(["--home", home, *words], cwd=home, environment=environment, stdin=stdin)

    return run


TODAY = format_datetime(datetime.now(UTC)).encode()
MAILS = tuple(
    mail.replace(DATE.encode(), TODAY)
    for mail in (
        bounced(name(1)),
        bounced(name(2), recipient(status="4.2.2", said="mailbox full")),
        bounced(name(3), recipient(status="5.7.1", said="listed")),
        bounced(name(4), recipient("delayed", "4.4.1")),
        complaint(name(5)),
        leaving(f"leave {delivery_token(KEYS, 1, 6)}"),
        leaving("leave AAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        leaving("Thank you for the digest"),
        bounced("f" * LENGTH),
        bounced(name(1, mailing=77)),
        bounced(name(1)),
    )
)
"""Of this day: what happened longer ago than events are kept is not heard."""

STATES = ["bounced", "bounced", "bounced", "accepted", "complained", "accepted", "accepted", "accepted"]


def states(engine):
    return [row.state for row in deliveries_of(engine)]


def suppressions(engine):
    with engine.connect() as connection:
        return Counter(connection.exec_driver_sql("SELECT reason FROM suppression").scalars())


def outcomes(done):
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    return said, {(one["what"], one["outcome"]): one["messages"] for one in said["outcomes"]}


def test_every_message_is_counted_by_what_it_is_and_what_became_of_it(digest, engine, tmp_path):
    box = mbox(tmp_path / "box", *MAILS)
    said, counts = outcomes(digest("bounces", "read", box, "--json"))
    assert counts == {
        ("bounce", "written down"): 4,
        ("bounce", "known already"): 1,
        ("bounce", "kept aside: that delivery is not known here"): 1,
        ("bounce", "left: it carries no delivery id of this house"): 1,
        ("complaint", "written down"): 1,
        ("leave", "written down"): 1,
        ("leave", "left: its token is none of this house"): 1,
        ("other", "left: no report, complaint or wish to leave"): 1,
    }
    assert (said["messages"], said["suppressed"], said["left"]) == (len(MAILS), 2, 1)
    assert states(engine) == STATES
    assert suppressions(engine) == {"bounce": 1, "complaint": 1}


def test_reading_the_same_mailbox_twice_changes_nothing(digest, engine, tmp_path):
    box = maildir(tmp_path / "box", *MAILS)
    first, _ = outcomes(digest("bounces", "read", box, "--json"))
    before = deliveries_of(engine)
    again, counts = outcomes(digest("bounces", "read", box, "--json"))
    assert (first["suppressed"], again["suppressed"], again["left"]) == (2, 0, 0)
    assert not any(outcome == "written down" for _, outcome in counts)
    assert again["messages"] == len(MAILS)
    assert deliveries_of(engine) == before


def test_a_dry_run_says_the_same_and_changes_nothing(digest, engine, tmp_path):
    box = mbox(tmp_path / "box", *MAILS)
    dry, counts = outcomes(digest("bounces", "read", box, "--json", "--dry-run"))
    assert (dry["suppressed"], dry["left"], dry["dry_run"]) == (2, 1, True)
    assert states(engine) == ["accepted"] * READERS
    assert suppressions(engine) == {}
    assert outcomes(digest("bounces", "read", box, "--json"))[1] == counts


def test_what_is_too_old_to_be_known_again_is_left(digest, engine):
    long_ago = MAILS[0].replace(TODAY, b"Mon, 23 Nov 2020 06:00:00 +0000")
    _, counts = outcomes(digest("bounces", "read", "-", "--json", stdin=long_ago))
    assert counts == {("bounce", "left: it happened longer ago than events are kept"): 1}
    assert states(engine) == ["accepted"] * READERS


def test_one_message_may_come_by_a_pipe(digest, engine):
    _, counts = outcomes(digest("bounces", "read", "-", "--json", stdin=MAILS[0]))
    assert counts == {("bounce", "written down"): 1}
    assert states(engine)[0] == "bounced"


def test_people_read_a_table_and_a_sentence(digest, tmp_path):
    done = digest("bounces", "read", mbox(tmp_path / "box", *MAILS[:6]))
    assert b"Messages read: 6. Addresses suppressed: 2. Readers taken off a digest: 1." in done.stdout
    assert b"ana@example.net" not in done.stdout + done.stderr


def test_rubbish_is_counted_and_a_mailbox_that_is_not_there_is_one_line(digest, tmp_path):
    rubbish = tmp_path / "rubbish"
    rubbish.write_bytes(bytes(range(256)) * 100)
    said, counts = outcomes(digest("bounces", "read", rubbish, "--json"))
    assert (said["messages"], *counts) == (1, ("other", "left: no report, complaint or wish to leave"))
    done = digest("bounces", "read", tmp_path / "nowhere")
    assert done.returncode == 2
    assert done.stderr.decode().count("\n") == 1


def test_who_came_back_shows_in_the_editions_counts(digest, tmp_path):
    digest("bounces", "read", mbox(tmp_path / "box", *MAILS))
    shown = json.loads(digest("editions", "show", "latest", "--json").stdout)
    counts = {share["state"]: share["count"] for share in shown["counts"]["shares"]}
    assert counts == {"accepted": 4, "bounced": 3, "complained": 1}
