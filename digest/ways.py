"""The ways by which an alarm is told: a mail through the ledger, a signed webhook, a command. Each by itself, as a door."""

import hashlib
import hmac
import json
import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from digest import egress, letters
from digest.database import reading, writing
from digest.errors import DigestError, NotFoundError, SourceError
from digest.languages import words
from digest.letters import Letter
from digest.models import DigestRow
from digest.press import Press
from digest.values import ServiceKind

BEGAN, ENDED, TEST = "began", "ended", "test"
SECONDS = 20.0  # for a command
LIMITS = egress.Limits(seconds=10, bytes=100_000, redirects=0)
HANDED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER")  # of our surroundings to a command: nothing that is ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What is told. `state` is began, ended or test; `id` is the same however often it is tried."""

    id: str
    state: str
    cause: str
    title: str
    subject: str
    words: str
    mend: str
    since: datetime
    until: datetime | None = None
    digest_id: int | None = None

    @property
    def line(self) -> str:
        """In one line."""
        over = {ENDED: "Over: ", TEST: "Test: "}.get(self.state, "")
        return f"{over}{self.title}: {self.subject}: {self.words}"


Record = Callable[[Session], None]
"""Writes down that it was told, within the transaction that it is called in."""


def by_email(press: Press, notice: Notice, now: datetime, record: Record) -> str:
    """A service message to each address, opened in the transaction that records it: never twice, never forgotten."""
    with reading(press.engine) as session:
        first = session.exec(select(DigestRow.id).order_by(col(DigestRow.id))).first()
    digest = notice.digest_id or first
    if digest is None:
        raise NotFoundError("There is no digest in whose name a mail could be written.")
    spoken = words("en", press.printer.folders)
    proof = letters.keep(press.services, ServiceKind.ALARM, _letter(notice), digest, spoken, now=now)
    with writing(press.engine) as session:
        opened = letters.open_letters(
            session,
            press.services,
            ServiceKind.ALARM,
            proof,
            digest,
            press.settings.alarm_email,
            keys=press.keys,
            now=now,
        )
        record(session)
    return f"{len(opened)} waiting to leave by {press.settings.email_transport}"


def _letter(notice: Notice) -> Letter:
    what = {BEGAN: "Alarm", ENDED: "Over", TEST: "Test"}[notice.state]
    lasted = f"From {notice.since:%Y-%m-%d %H:%M} to {notice.until:%H:%M} UTC." if notice.until else ""
    return Letter(
        subject=f"{what}: {notice.title} ({notice.subject})", title=f"{what}: {notice.title}",
        said=[f"{notice.subject}: {notice.words}.", lasted or f"Since {notice.since:%Y-%m-%d %H:%M} UTC."]
        + ([notice.mend] if notice.state == BEGAN else []),
        why="You get this because DIGEST_ALARM_EMAIL names this address. What each alarm means is in docs/operations.md.",
    )  # fmt: skip


def by_webhook(press: Press, notice: Notice, now: datetime, record: Record) -> str:
    """
    Raises:
        SourceError: it cannot be reached, or answers with anything but 2xx.
    """
    told = {name: value for name, value in asdict(notice).items() if name != "digest_id"}
    body = json.dumps(told, default=datetime.isoformat, ensure_ascii=False).encode()
    stamp = str(int(now.timestamp()))
    headers = {
        "content-type": "application/json", "x-digest-id": notice.id, "x-digest-timestamp": stamp,
        "x-digest-signature": signature(press.settings.alarm_secret.get_secret_value(), stamp, body),
    }  # fmt: skip
    allow = press.settings.fetch_allow
    answer = egress.hand(press.settings.alarm_webhook, body, headers, limits=LIMITS, allow=allow)
    if answer.status // 100 != 2:  # noqa: PLR2004
        raise SourceError(f"The webhook answered {answer.status}.")
    _write(press, record)
    return f"answered {answer.status}"


def signature(secret: str, stamp: str, body: bytes) -> str:
    """What the header x-digest-signature holds."""
    return "v1=" + hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def by_command(press: Press, notice: Notice, now: datetime, record: Record) -> str:  # noqa: ARG001
    """
    Raises:
        SourceError: it cannot be run, ends with another code than 0, or takes longer than SECONDS.
    """
    told = {
        "STATE": notice.state, "CAUSE": notice.cause, "SUBJECT": notice.subject, "WORDS": notice.words,
        "SINCE": notice.since.isoformat(),
    }  # fmt: skip
    around = {name: os.environ[name] for name in HANDED_ON if name in os.environ}
    around |= {f"DIGEST_ALARM_{name}": value.replace("\0", "") for name, value in told.items()}
    _run(shlex.split(press.settings.alarm_command), f"{notice.line}\n{notice.mend}\n", around)
    _write(press, record)
    return "it ended well"


def _run(command: list[str], told: str, around: Mapping[str, str]) -> None:
    try:
        with subprocess.Popen(  # noqa: S603  the operator's own words, split once, read by no shell
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(around),
            start_new_session=True,
        ) as process:  # fmt: skip
            try:
                process.communicate(told.encode("utf-8", "replace"), timeout=SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # and what it started
                raise SourceError(f"The command took longer than {SECONDS:g} seconds and was ended.") from None
    except OSError as error:
        raise SourceError(f"The command cannot be run: {error.strerror}.") from None
    if process.returncode:
        raise SourceError(f"The command ended with code {process.returncode}.")


def _write(press: Press, record: Record) -> None:
    with writing(press.engine) as session:
        record(session)


Way = Callable[[Press, Notice, datetime, Record], str]
WAYS: Mapping[str, Way] = {"email": by_email, "webhook": by_webhook, "command": by_command}


def tell(press: Press, way: str, notice: Notice, *, now: datetime, record: Record = lambda _: None) -> tuple[bool, str]:
    """Tell it by one way: whether that succeeded, and what happened, in words. Whatever goes wrong is an answer."""
    try:
        return True, WAYS[way](press, notice, now, record)
    except DigestError as error:
        return False, str(error)
    except Exception as error:  # noqa: BLE001  a fault of one way must not keep the others from telling
        return False, f"It broke: {type(error).__name__}."
