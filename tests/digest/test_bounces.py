"""What comes back by mail: whose it is by a keyed id alone, what it says by its standard, and nothing by anything else."""

import io
import os
import time
from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digest import bounces
from digest.delivery_ids import LENGTH, delivery_token, read_delivery_id, read_delivery_token
from digest.errors import NotFoundError
from digest.links import leave_by_mail
from digest.mailboxes import MOST, cut, messages
from digest.values import Event, EventKind
from subscribers.tokens import sign
from tests.newsroom import KEYS, NOW
from tests.returned_mail import DATE, bounced, complaint, leaving, maildir, mbox, recipient, report
from tests.sendgrid_events import name

AT = NOW.timestamp()
TOKEN = delivery_token(KEYS, 1, 7)


def read(raw):
    return bounces.read(
        raw,
        is_id=lambda text: read_delivery_id(KEYS.hash_key, text) is not None,
        is_token=lambda text: read_delivery_token(KEYS, text) is not None,
    )


# whose it is ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mail",
    [
        bounced(name(7)),
        bounced(name(7), kind="text/rfc822-headers"),
        bounced(name(7), kind='message/rfc822; charset="x"'),
        report(to=f"bounces+{name(7)}@news.example.org"),
        report(to=f"BOUNCES+{name(7).upper()}@NEWS.EXAMPLE.ORG"),
        report(more=f"Delivered-To: bounces+{name(7)}@news.example.org\n"),
        report(more=f"X-Original-To: bounces+{name(7)}@news.example.org\n"),
        report(more=f"In-Reply-To: <{name(7)}@news.example.org>\n"),
        report(more=f"References: <x@y>\n <{name(7)}@news.example.org>\n"),
        bounced(name(7), to=f"bounces+{name(7)}@news.example.org"),
        bounced(name(7)).replace(b"\n", b"\r\n"),
        b"From MAILER-DAEMON Mon Nov 23 06:00:00 2026\n" + bounced(name(7)),
    ],
)
def test_a_report_leads_to_its_delivery_by_the_address_it_came_to_or_by_what_it_quotes(mail):
    what, event, why = read(mail)
    assert (what, why) == ("bounce", "")
    assert event == Event(
        name(7), EventKind.BOUNCED, AT, permanent=True, reason="5.1.1 smtp; 550 5.1.1 (address) no such user"
    )


@pytest.mark.parametrize(
    "mail",
    [
        report(),
        bounced("7"),
        bounced("f" * LENGTH),
        bounced(name(7)[:-1] + "g"),
        bounced(name(7) + "0"),
        report(to=f"bounces+{name(7)[:-1]}@news.example.org"),
        report(original=f"Subject: {name(7)}\n"),
        report(original=f"Subject: x\n\nMessage-ID: <{name(7)}@news.example.org>\n"),
    ],
)
def test_a_report_without_an_id_of_ours_is_left_whoever_it_names(mail):
    assert read(mail) == ("bounce", None, "it carries no delivery id of this house")


def test_a_report_that_carries_two_ids_is_left():
    assert read(bounced(name(7), to=f"bounces+{name(8)}@news.example.org")).why == "it names several deliveries"


def test_an_id_in_a_message_that_a_report_only_quotes_from_is_not_taken():
    inner = bounced(name(7)).decode()
    forwarded = (
        f"From: a@b\nContent-Type: multipart/mixed; boundary=q\n\n--q\nContent-Type: message/rfc822\n\n{inner}\n--q--\n"
    )
    assert read(forwarded.encode()).what == "other"


# what it says ---------------------------------------------------------------------------------------------------------

HARD, SOFT, BLOCKED = (EventKind.BOUNCED, True), (EventKind.BOUNCED, False), (EventKind.BLOCKED, False)


@pytest.mark.parametrize(
    ("status", "said", "told"),
    [
        ("5.1.1", "550 5.1.1 no such user", HARD),
        ("5.1.1 (user unknown)", "x", HARD),
        ("5.1.2", "host not found", HARD),
        ("5.1.10", "no such recipient", HARD),
        ("5.2.1", "mailbox disabled", HARD),
        ("5.1.8", "bad sender", BLOCKED),
        ("5.2.2", "over quota", SOFT),
        ("5.2.3", "too long for it", BLOCKED),
        ("5.3.0", "system trouble", SOFT),
        ("5.4.7", "expired", SOFT),
        ("5.7.1", "listed", BLOCKED),
        ("5.6.0", "content", BLOCKED),
        ("5.0.0", "550 5.1.1 no such user here", HARD),
        ("5.0.0", "550 no such user here", SOFT),
        ("5.0.0", "550 5.7.1 listed", BLOCKED),
        ("4.4.7", "delivery time expired", SOFT),
        ("4.2.2", "mailbox full", SOFT),
        ("4.0.0", "451 4.7.1 later", SOFT),
        ("", "nothing", SOFT),
        ("5.9.9", "of a subject that came later", SOFT),
        ("15.1.1", "no status", SOFT),
        ("5.1.1.1", "no status", SOFT),
    ],
)
def test_a_failure_is_for_good_only_where_its_status_says_that_the_address_is(status, said, told):
    event = read(bounced(name(7), recipient(status=status, said=said))).event
    assert (event.kind, event.permanent) == told


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        ("delayed", "deferred"),
        ("Delivered", "delivered"),
        ("relayed (to a system that reports nothing)", "processed"),
        ("expanded", "processed"),
    ],
)
def test_a_report_that_is_no_failure_is_told_as_what_it_is(action, kind):
    event = read(bounced(name(7), recipient(action, "2.0.0"))).event
    assert (event.kind, event.permanent) == (kind, False)


def test_of_several_recipients_the_mildest_counts_since_the_others_are_where_the_mail_goes_on_to():
    hard, full = recipient(), recipient(status="5.2.2")
    assert read(bounced(name(7), hard, full)).event.permanent is False
    assert read(bounced(name(7), full, hard)).event.permanent is False
    assert read(bounced(name(7), hard, hard)).event.permanent is True
    assert read(bounced(name(7), hard, recipient("delivered", "2.0.0"))).event.kind == "delivered"


@pytest.mark.parametrize(
    "block", ["Final-Recipient: rfc822; ana@example.net\n", recipient("failing"), recipient(""), "\n\n\n", "x"]
)
def test_a_report_that_does_not_say_what_happened_is_left(block):
    assert read(bounced(name(7), block)) == ("bounce", None, "it does not say what happened")


@pytest.mark.parametrize(
    ("date", "at"),
    [
        (DATE, AT),
        ("Mon, 23 Nov 2026 06:00:00", AT),
        ("Mon, 23 Nov 2026 01:00:00 -0500 (EST)", AT),
        ("yesterday", 0.0),
        ("", 0.0),
        ("Mon, 23 Nov 9999 06:00:00 +0000", 0.0),
        ("Mon, 99 Nov 2026 99:99:99 +9999999999999", 0.0),
    ],
)
def test_a_report_is_of_its_own_date_where_that_is_one(date, at):
    assert read(bounced(name(7), date=date)).event.at == at


def test_the_moment_of_the_last_attempt_is_nearer_to_what_happened():
    event = read(bounced(name(7), recipient() + "Last-Attempt-Date: Mon, 23 Nov 2026 05:00:00 +0000\n")).event
    assert event.at == AT - 3600


def test_a_report_in_a_transfer_encoding_is_read_too():
    block = b64encode(f"Reporting-MTA: dns; x\n\n{recipient()}".encode()).decode()
    mail = report(to=f"bounces+{name(7)}@x.example").decode()
    head, _, rest = mail.partition("Content-Type: message/delivery-status\n\n")
    coded = f"{head}Content-Type: message/delivery-status\nContent-Transfer-Encoding: base64\n\n{block}\n{rest[rest.index('--4F1C') :]}"
    assert read(coded.encode()).event.permanent is True


# complaints, and leaving ----------------------------------------------------------------------------------------------


def test_a_complaint_names_its_delivery():
    assert read(complaint(name(7))) == ("complaint", Event(name(7), EventKind.COMPLAINED, AT), "")
    by_envelope = complaint("gone", mail_from=f"bounces+{name(7)}@news.example.org")
    assert read(by_envelope).event == Event(name(7), EventKind.COMPLAINED, AT)


@pytest.mark.parametrize(("kind", "told"), [("fraud", "complained"), ("opt-out", "left"), ("Abuse", "complained")])
def test_what_a_complaint_is_about_is_its_own_word(kind, told):
    assert read(complaint(name(7), kind)).event.kind == told


def test_other_feedback_and_a_complaint_about_nobody_are_left():
    assert read(complaint(name(7), "not-spam")) == ("complaint", None, "it is no complaint of abuse")
    assert read(complaint("x")) == ("complaint", None, "it carries no delivery id of this house")


@pytest.mark.parametrize(
    "subject",
    [
        f"leave {TOKEN}",
        f"Re: Leave  {TOKEN}",
        leave_by_mail("a@b.example", TOKEN).partition("subject=")[2].replace("%20", " "),
    ],
)
def test_the_mail_that_a_leave_link_writes_is_understood(subject):
    assert read(leaving(subject)) == ("leave", Event(TOKEN, EventKind.LEFT, AT), "")


@pytest.mark.parametrize(
    "token", ["A" * 28, TOKEN[:-1] + ("A" if TOKEN[-1] != "A" else "B"), sign(KEYS, "confirm", b"\0" * 8), name(7)]
)
def test_a_token_that_is_not_a_deliverys_takes_nobody_off(token):
    assert read(leaving(f"leave {token}")) == ("leave", None, "its token is none of this house")


@pytest.mark.parametrize(
    "subject", ["I want to leave", "leave me alone, please", "Re: Morning", "", "Automatic reply: Morning"]
)
def test_other_mail_is_left(subject):
    assert read(leaving(subject)) == ("other", None, "no report, complaint or wish to leave")


# hostile --------------------------------------------------------------------------------------------------------------


def nested(levels):
    head = "".join(f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(levels))
    return (head + bounced(name(7)).decode()).encode()


def quoting(levels):
    return ("Content-Type: message/rfc822\n\n" * levels).encode() + bounced(name(7))


HOSTILE = {
    "nested without end": nested(20_000),
    "quoting without end": quoting(20_000),
    "a boundary on every line": b"Content-Type: multipart/report; boundary=a\n\n" + b"--a\n" * 250_000,
    "parameters without end": b"Content-Type: multipart/report; " + b'x="; ' * 180_000 + b"\n\n",
    "one header": b"Subject: " + b"leave " * 150_000 + b"\n\n",
    "folded without end": b"Subject: leave\n" + b" A\n" * 300_000 + b"\n",
    "headers without end": b"X: y\n" * 200_000,
    "blocks without end": bounced(name(7)).replace(b"Action: failed", b"X: y\n\n" * 150_000 + b"Action: failed"),
    "ids without end": b"To: " + (b"a" * LENGTH + b" ") * 24_000 + b"\n\n",
    "no addresses in a word without end": bounced(name(7), recipient(said="x" * 900_000)),
    "signs of no letter": bytes(range(256)) * 4000,
    "an encoding that is none": b"Content-Transfer-Encoding: base64\nContent-Type: message/delivery-status\n\n"
    + b"=" * 900_000,
    "empty": b"",
    "blank": b"\n" * 1_000_000,
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_message_is_one_more_that_is_counted_in_little_time(raw):
    began = time.process_time()
    assert read(raw[:MOST]).what in {"bounce", "complaint", "leave", "other"}
    assert time.process_time() - began < 2


def test_what_a_report_says_is_kept_without_addresses_and_signs_that_no_terminal_should_see():
    event = read(bounced(name(7), recipient(said="550 \x1b[31m\x07 no ana@example.net\x00 here \u202e"))).event
    assert event.reason.isprintable()
    assert "ana" not in event.reason


LINES = st.lists(st.sampled_from([
    "Content-Type: multipart/report; boundary=b", 'Content-Type: multipart/mixed; boundary="b"', "--b", "--b--", "", "",
    "Content-Type: message/delivery-status", "Content-Type: message/feedback-report", "Content-Type: message/rfc822",
    "Content-Type: text/rfc822-headers", "Content-Transfer-Encoding: base64", "Content-Transfer-Encoding: quoted-printable",
    "Action: failed", "Action: delayed", "Status: 5.1.1", "Status: 4.2.2", "Diagnostic-Code: smtp; 550 5.1.1 x", "Feedback-Type: abuse",
    f"Message-ID: <{name(7)}@x>", f"To: bounces+{name(8)}@x", f"Subject: leave {TOKEN}", f"Date: {DATE}", " folded", "Date: x\x00", "=?utf-8?q?=?=",
]) | st.text(max_size=30))  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(LINES.map(lambda lines: "\n".join(lines).encode("utf-8", "replace")) | st.binary(max_size=400))
def test_whatever_comes_is_read_and_what_it_tells_names_a_delivery_of_ours(raw):
    what, event, why = read(raw)
    assert what in {"bounce", "complaint", "leave", "other"}
    assert (event is None) == bool(why)
    assert event is None or (
        event.delivery in {name(7), name(8), TOKEN} and event.reason.isprintable() and 0 <= event.at < 2**32
    )


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(bounced(name(7))) - 1), st.binary(min_size=1, max_size=8))
def test_a_report_damaged_anywhere_is_read_or_left(at, damage):
    whole = bounced(name(7))
    event = read(whole[:at] + damage + whole[at + len(damage) :]).event
    assert event is None or event.delivery == name(7)


# mailboxes ------------------------------------------------------------------------------------------------------------

MAILS = (bounced(name(1)), leaving(f"leave {TOKEN}"), complaint(name(2)))


def test_an_mbox_is_cut_into_its_messages(tmp_path):
    assert [read(one).what for one in messages(str(mbox(tmp_path / "box", *MAILS)))] == ["bounce", "leave", "complaint"]


def test_an_mbox_with_the_line_ends_of_another_system_is_cut_too(tmp_path):
    file = mbox(tmp_path / "box", *MAILS)
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert [read(one).what for one in messages(str(file))] == ["bounce", "leave", "complaint"]


def test_a_maildir_is_read_new_and_old(tmp_path):
    folder = maildir(tmp_path / "box", *MAILS)
    (folder / "tmp" / "half").write_bytes(b"half of a mes")
    assert sorted(read(one).what for one in messages(str(folder))) == ["bounce", "complaint", "leave"]


def test_a_folder_of_messages_is_read_and_what_is_no_file_in_it_is_not_waited_for(tmp_path):
    for number, mail in enumerate(MAILS):
        (tmp_path / f"{number}.eml").write_bytes(mail)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "away").symlink_to(tmp_path / "nowhere")
    assert len(list(messages(str(tmp_path)))) == 3


def test_one_message_is_one_even_where_a_line_of_it_begins_like_an_mbox(tmp_path):
    (tmp_path / "one.eml").write_bytes(leaving("x") + b"\nFrom here on it is quoted\n\nFrom there\n")
    assert len(list(messages(str(tmp_path / "one.eml")))) == 1


def test_only_the_head_of_a_long_message_is_read_and_the_next_one_is_not_lost(tmp_path):
    file = mbox(tmp_path / "box", MAILS[0] + b"x" * (3 * MOST) + b"\n", MAILS[1])
    first, second = messages(str(file))
    assert (len(first), read(first).what, read(second).what) == (MOST, "bounce", "leave")


def test_a_line_without_end_does_not_look_like_the_next_message():
    long = MAILS[1] + b"x" * (65_536 - 1) + b"\nFrom " + b"y" * 70_000 + b"From \n"
    assert len(list(cut(io.BytesIO(b"From a\n" + long)))) == 1


def test_an_empty_mailbox_holds_nothing(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    assert list(messages(str(tmp_path / "empty"))) == []
    assert list(messages(str(maildir(tmp_path / "box")))) == []


def test_a_mailbox_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(NotFoundError, match="nowhere cannot be read"):
        list(messages(str(tmp_path / "nowhere")))


@given(
    st.lists(st.binary(max_size=40).map(lambda text: text.replace(b"From ", b"from ").replace(b"\r", b"")), max_size=6)
)
def test_cutting_an_mbox_loses_no_byte(bodies):
    mails = [b"From x\n" + body + b"\n\n" for body in bodies]
    assert list(cut(io.BytesIO(b"".join(mails)))) == mails
