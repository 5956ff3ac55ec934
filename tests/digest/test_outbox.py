"""The outbox: whole files in folders a person can read, durable before they are called accepted."""

import subprocess
import sys
from email import message_from_bytes
from email.policy import default

import pytest

from digest.errors import StorageError
from digest.transports.outbox import ASIDE, Outbox
from digest.values import Blank, Compiled, DeliveryState, Proof, Recipient, Variant
from tests.newsroom import MAIL, PLACE, PUSH

EVERYONE = set


def proof(compiled=MAIL, channel="email"):
    return Proof(
        channel=channel, variant=Variant(segment="", language="en"), subject="", preheader="", html="", text="",
        push="", compiled=compiled, content_hash="c",
    )  # fmt: skip


def recipient(number, **fields):
    known = {
        "delivery_id": f"{number:040x}", "address": f"reader{number}@example.net", "name": "Ana", "token": "t",
        "date": "Mon, 23 Nov 2026 06:00:00 +0000",
    }  # fmt: skip
    return Recipient(number=number, **{**known, **fields})


def recipients(count, first=1):
    return [recipient(number) for number in range(first, first + count)]


def files(folder, ending=".eml"):
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob(f"*{ending}"))


def test_each_delivery_is_one_file_in_a_folder_a_person_can_read(tmp_path):
    receipts = list(Outbox(tmp_path, PLACE).send(proof(), [recipient(1), recipient(1234)], EVERYONE))
    assert [(one.number, one.state) for one in receipts] == [(1, "accepted"), (1234, "accepted")]
    assert files(tmp_path) == [
        f"global/2026-11-23/email/0000/000001-{1:040x}.eml",
        f"global/2026-11-23/email/0001/001234-{1234:040x}.eml",
    ]
    mail = message_from_bytes((tmp_path / files(tmp_path)[0]).read_bytes(), policy=default)
    assert str(mail["To"]) == "Ana <reader1@example.net>"


def test_a_push_is_a_json_file(tmp_path):
    list(Outbox(tmp_path, PLACE).send(proof(PUSH, "push"), recipients(1), EVERYONE))
    assert files(tmp_path, ".json") == [f"global/2026-11-23/push/0000/000001-{1:040x}.json"]


def test_no_name_of_a_file_holds_an_address(tmp_path):
    list(Outbox(tmp_path, PLACE).send(proof(), recipients(3), EVERYONE))
    assert not any("reader" in name or "@" in name for name in files(tmp_path))


def test_others_on_the_machine_cannot_read_the_mails(tmp_path):
    list(Outbox(tmp_path, PLACE).send(proof(), recipients(1), EVERYONE))
    assert (tmp_path / files(tmp_path)[0]).stat().st_mode & 0o007 == 0


def test_nothing_is_in_place_before_the_marker_and_what_is_no_longer_ours_never_is(tmp_path):
    seen = []

    def mark(numbers):
        seen.append((sorted(numbers), files(tmp_path / "global") if (tmp_path / "global").exists() else []))
        return {2}

    receipts = list(Outbox(tmp_path, PLACE).send(proof(), recipients(3), mark))
    assert seen == [([1, 2, 3], [])]
    assert [one.number for one in receipts] == [2]
    assert len(files(tmp_path)) == 1


def test_groups_are_at_most_five_hundred(tmp_path):
    sizes = []
    receipts = Outbox(tmp_path, PLACE).send(
        proof(), recipients(1001), lambda numbers: sizes.append(len(numbers)) or set(numbers)
    )
    assert len({one.number for one in receipts}) == 1001
    assert sizes == [500, 500, 1]


def test_one_bad_recipient_gets_a_failed_receipt_and_stops_nobody(tmp_path):
    worse = recipient(2, address="reader@" + "\udc80" * 3)
    receipts = {
        one.number: one for one in Outbox(tmp_path, PLACE).send(proof(), [recipient(1), worse, recipient(3)], EVERYONE)
    }
    assert (receipts[2].state, receipts[2].permanent) == (DeliveryState.FAILED, True)
    assert {receipts[1].state, receipts[3].state} == {DeliveryState.ACCEPTED}


def test_a_file_is_proof_and_its_absence_too(tmp_path):
    outbox = Outbox(tmp_path, PLACE)
    list(outbox.send(proof(), recipients(1), EVERYONE))
    assert outbox.prove(proof(), recipient(1)) is True
    assert outbox.prove(proof(), recipient(2)) is False


def test_the_same_delivery_again_is_the_same_file(tmp_path):
    outbox = Outbox(tmp_path, PLACE)
    list(outbox.send(proof(), recipients(2), EVERYONE))
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    list(outbox.send(proof(), recipients(2), EVERYONE))
    assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path)} == before


def test_what_a_dead_worker_left_half_written_is_cleared_and_a_living_ones_is_not(tmp_path):
    alive = Outbox(tmp_path, PLACE)
    ours = next((tmp_path / ASIDE).iterdir())
    code = (
        "import os, sys; from pathlib import Path; from digest.transports.outbox import Outbox;"
        "box = Outbox(Path(sys.argv[1]), 'x'); (box._aside / 'half').write_text('x'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=False)
    assert len(list((tmp_path / ASIDE).iterdir())) == 2
    second = Outbox(tmp_path, PLACE)
    left = set((tmp_path / ASIDE).iterdir())
    assert ours in left
    assert len(left) == 2
    assert not list((tmp_path / ASIDE).rglob("half"))
    del alive, second
    assert list((tmp_path / ASIDE).iterdir()) == []


@pytest.mark.parametrize("place", ["", "/etc", "../up", "a/../b", "a//b", ".hidden", "a/.git", "a\nb", "ä/b"])
def test_a_place_that_could_lead_elsewhere_is_refused(tmp_path, place):
    with pytest.raises(StorageError, match="cannot name a folder"):
        Outbox(tmp_path, place)


def test_a_folder_that_cannot_be_written_is_said_in_words(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="The outbox cannot be written"):
        Outbox(tmp_path / "file", PLACE)


def test_a_full_disk_is_one_sentence_nothing_half_is_left_and_the_retry_works(small_disk):
    disk, _ = small_disk(600)
    outbox = Outbox(disk, PLACE)
    large = proof(Compiled((b"To: ", Blank("mailbox", "header"), b"\r\n\r\n" + b"x" * 20_000), 1))
    with pytest.raises(StorageError, match="disk of the outbox is full"):
        list(outbox.send(large, recipients(60), EVERYONE))
    assert files(disk) == []
    receipts = list(outbox.send(large, recipients(10), EVERYONE))
    assert [one.state for one in receipts] == ["accepted"] * 10
    assert all((disk / name).stat().st_size > 20_000 for name in files(disk))
