"""What mail servers and readers send back: delivery reports, complaints, wishes to leave, as they come in practice."""

from email.utils import format_datetime
from pathlib import Path

from tests.newsroom import NOW

DATE = format_datetime(NOW)
ORIGINAL = """\
Return-Path: <bounces@news.example.org>
From: Global Morning <global@news.example.org>
To: Ana <ana@example.net>
Message-ID: <{id}@news.example.org>
Subject: Morning
"""
RECIPIENT = """\
Final-Recipient: rfc822; ana@example.net
Action: {action}
Status: {status}
Diagnostic-Code: smtp; {said}
"""


def recipient(
    action: str = "failed", status: str = "5.1.1", said: str = "550 5.1.1 <ana@example.net>: no such user"
) -> str:
    return RECIPIENT.format(action=action, status=status, said=said)


def report(
    *blocks: str,
    to: str = "bounces@news.example.org",
    original: str = "",
    kind: str = "message/rfc822",
    date: str = DATE,
    more: str = "",
) -> bytes:
    """A multipart/report as postfix writes it."""
    blocks = blocks or (recipient(),)
    return f"""\
Return-Path: <>
From: MAILER-DAEMON@mx.example.net (Mail Delivery System)
To: {to}
Date: {date}
Auto-Submitted: auto-replied
{more}MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
\tboundary="4F1C.1764000000/mx.example.net"

This is a MIME-encapsulated message.

--4F1C.1764000000/mx.example.net
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

I'm sorry to have to inform you that your message could not be delivered.

--4F1C.1764000000/mx.example.net
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.net
Arrival-Date: {DATE}

{chr(10).join(blocks)}
--4F1C.1764000000/mx.example.net
Content-Description: Undelivered Message
Content-Type: {kind}

{original}
--4F1C.1764000000/mx.example.net--
""".encode()


def bounced(delivery: str, *blocks: str, **more: str) -> bytes:
    """A report that quotes the message it is about."""
    return report(*blocks, original=ORIGINAL.format(id=delivery), **more)


def complaint(delivery: str, kind: str = "abuse", *, mail_from: str = "") -> bytes:
    """An ARF complaint."""
    return f"""\
From: <abusedesk@example.net>
Date: {DATE}
To: <abuse@news.example.org>
Subject: FW: Morning
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary=part

--part
Content-Type: text/plain

This is an email abuse report.

--part
Content-Type: message/feedback-report

Feedback-Type: {kind}
User-Agent: SomeGenerator/1.0
Version: 1
Original-Mail-From: <{mail_from or "bounces@news.example.org"}>
Received-Date: {DATE}

--part
Content-Type: message/rfc822

{ORIGINAL.format(id=delivery)}
Some words.

--part--
""".encode()


def leaving(subject: str, date: str = DATE) -> bytes:
    return f"From: Ana <ana@example.net>\nTo: editors@news.example.org\nDate: {date}\nSubject: {subject}\n\n".encode()


def mbox(file: Path, *mails: bytes) -> Path:
    file.write_bytes(b"".join(b"From MAILER-DAEMON Mon Nov 23 06:00:00 2026\n" + mail + b"\n" for mail in mails))
    return file


def maildir(folder: Path, *mails: bytes) -> Path:
    for name in ("new", "cur", "tmp"):
        (folder / name).mkdir(parents=True)
    for number, mail in enumerate(mails):
        (folder / ("new" if number % 2 else "cur") / f"{number}.host").write_bytes(mail)
    return folder
