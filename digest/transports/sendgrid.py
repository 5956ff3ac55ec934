"""
SendGrid as a transport: one request hands one proof to many readers, who differ by substitutions and headers.

The request is the point of no return, and it has no idempotency key: without a clear answer nobody can know. What this
side is sure of, it says: a server that was never reached took nothing, and neither did one that answered 3xx or 4xx.
"""

import json
import logging
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from time import monotonic
from typing import Any
from urllib.request import Request

from python_http_client.client import Client
from python_http_client.exceptions import HTTPError
from sendgrid import SendGridAPIClient

from digest.blanks import FILLS
from digest.crashes import crash_point
from digest.errors import SettingsError, TransportError, UnreachableError
from digest.reaching import direct_opener
from digest.settings import Settings
from digest.tagged import Tagged, tagged
from digest.transports import Handed, Mark, nothing
from digest.values import Blank, DeliveryState, Proof, Receipt, Recipient
from subscribers.addresses import normalise

READ = 60.0  # seconds at most; half the lease where that is shorter, so that the answer can still be recorded
MOST_BYTES = 20_000_000  # of one request: the smaller of the two limits that SendGrid has published
MOST_SUBSTITUTED = 10_000  # bytes of one reader's substitutions
MANY, TOO_GREAT_A_SHARE = 10, 0.2  # refused, and of how many: beyond both the fault is not theirs but the message's
UNCLEAR = 2  # answers in a row that leave us in doubt; then the run stops, and doubts no more
REST = 60.0  # seconds without a request after a 429 that names no time
LONGEST_REST = 3600.0

TAKEN, TAKEN_IN_SANDBOX, TOO_MANY = 202, 200, 429
DIVIDED = frozenset({400, 413})
NOT_TAKEN = range(300, 500)  # a redirect is not followed: it would carry the key to another address

Slip = tuple[Recipient, dict[str, Any]]
"""A reader, and what the API calls their personalization."""


@dataclass
class SendGrid:
    """
    Sends by `endpoint` in requests of up to `most` readers.

    `within` is how many seconds after its start a batch may still divide a refused request and ask again.
    """

    endpoint: Any
    most: int
    within: float
    sandbox: bool = False
    appetite: int = 1  # one request at a time
    _untaken: set[str] = field(default_factory=set, repr=False)  # ids of deliveries marked, and surely not taken
    _rest_until: float = 0.0  # monotonic
    _unclear: int = 0

    def send(self, proof: Proof, recipients: Sequence[Recipient], mark: Mark) -> Iterator[Receipt]:
        """
        As transports.Transport.send.

        Raises:
            TransportError: the account, the message, or the way to SendGrid is at fault. What it surely did not take
                is queued again, for `prove` remembers it.
        """
        if not recipients:
            return
        self._untaken.clear()
        letter = tagged(proof.compiled, without=NOT_OURS)
        sending = _Sending(_common(letter, sandbox=self.sandbox), until=monotonic() + self.within)
        for group in _apart(list(sending.slips(letter, recipients)), self.most):
            ours = mark([recipient.number for recipient, _ in group])
            mine = [slip for slip in group if slip[0].number in ours]
            self._untaken |= _ids(mine)
            yield from self._hand(sending, mine)
        yield from sending.refused

    def close(self) -> None:
        """Nothing is held between requests."""

    def prove(self, _proof: Proof, recipient: Recipient) -> bool | None:
        """False while this very object knows that SendGrid did not take it; else only an event can tell."""
        return False if recipient.delivery_id in self._untaken else None

    def _hand(self, sending: "_Sending", group: Sequence[Slip]) -> Iterator[Receipt]:
        if not group:
            return
        if (rest := self._rest_until - monotonic()) > 0:
            yield from _receipts(group, DeliveryState.DEFERRED, "SendGrid asked for a rest", rest)
            return
        answer = self._ask(sending, group)
        if answer.status == (TAKEN_IN_SANDBOX if self.sandbox else TAKEN):
            self._unclear, sending.taken = 0, True
            yield from _receipts(group, DeliveryState.ACCEPTED, answer.message_id)
        elif answer.status == TOO_MANY:
            self._rest_until = monotonic() + (answer.wait or REST)
            yield from _receipts(group, DeliveryState.DEFERRED, answer.words, answer.wait)
        elif answer.status in DIVIDED:
            yield from self._divide(sending, group, answer)
        elif answer.status in NOT_TAKEN:
            raise answer.fault
        else:
            yield from self._doubt(group, answer)

    def _ask(self, sending: "_Sending", group: Sequence[Slip]) -> "_Answer":
        body = sending.request(group)
        if len(body.encode()) > MOST_BYTES:
            return _Answer(413, "more than SendGrid takes at once")
        self._untaken -= _ids(group)
        try:
            answer = _post(self.endpoint, body)
        except UnreachableError:
            self._untaken |= _ids(group)
            raise
        crash_point("after_hand")
        if answer.status in NOT_TAKEN:
            self._untaken |= _ids(group)
        return answer

    def _divide(self, sending: "_Sending", group: Sequence[Slip], answer: "_Answer") -> Iterator[Receipt]:
        """One bad address has its whole request refused: leave out whom the answer names, or halve until it is alone."""
        named = {0} if len(group) == 1 else {at for at in answer.named if at < len(group)}
        sending.refuse([group[at] for at in named], len(group), answer)
        rest = [slip for at, slip in enumerate(group) if at not in named]
        middle = 0 if named else len(rest) // 2
        for part in (rest[:middle], rest[middle:]):
            if monotonic() < sending.until:
                yield from self._hand(sending, part)
            else:  # another worker may have this batch soon
                yield from _receipts(part, DeliveryState.DEFERRED, f"refused together with others: {answer.words}")

    def _doubt(self, group: Sequence[Slip], answer: "_Answer") -> Iterator[Receipt]:
        self._unclear += 1
        yield from _receipts(group, DeliveryState.AMBIGUOUS, answer.words)
        if self._unclear >= UNCLEAR:
            raise TransportError(
                f"SendGrid gave no clear answer {self._unclear} times in a row ({answer.words}). Those deliveries are "
                "unconfirmed and the others queued: look at status.sendgrid.com, then run the same command again."
            )


def open_transport(settings: Settings, _place: str, _handed: Handed = nothing) -> SendGrid:
    """
    The transport as the settings have it.

    Raises:
        SettingsError: there is no key.
    """
    key = settings.sendgrid_key.get_secret_value()
    if not key:
        raise SettingsError("DIGEST_SENDGRID_KEY is empty: make an API key with the permission Mail Send, and set it.")
    for name in ("sendgrid", "python_http_client", "python_http_client.client"):
        logging.getLogger(name).setLevel(logging.WARNING)  # at DEBUG they write down the key and every address
    half = settings.lease / 2
    endpoint = _Endpoint(SendGridAPIClient(key, host=settings.sendgrid_host), min(READ, half))
    return SendGrid(endpoint, settings.sendgrid_requests, within=half, sandbox=settings.sendgrid_sandbox)


@dataclass
class _Sending:
    """One call of `send`: what all its requests say, how long it may ask again (monotonic), what came of it so far."""

    common: dict[str, Any]
    until: float
    taken: bool = False
    alone: int = 0  # readers refused in a request of their own
    refused: list[Receipt] = field(default_factory=list)

    def slips(self, letter: Tagged, recipients: Sequence[Recipient]) -> Iterator[Slip]:
        for one in recipients:
            try:
                yield _slip(letter, one)
            except ValueError as error:
                detail = f"cannot be filled: {_masked(str(error))}"
                self.refused.append(
                    Receipt(number=one.number, state=DeliveryState.FAILED, detail=detail, permanent=True)
                )

    def request(self, slips: Sequence[Slip]) -> str:
        body = {"personalizations": [slip for _, slip in slips], **self.common}
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"))

    def refuse(self, slips: Sequence[Slip], of: int, answer: "_Answer") -> None:
        """
        Raises:
            TransportError: it is not these readers who are at fault.
        """
        self.refused += _receipts(slips, DeliveryState.FAILED, answer.words, permanent=True)
        self.alone += of == 1
        most_of_them = len(slips) >= MANY and len(slips) > TOO_GREAT_A_SHARE * of
        if answer.blames_all or most_of_them or (self.alone >= MANY and not self.taken):
            raise TransportError(
                f"SendGrid refuses the message itself ({answer.words}). What it did not take is queued "
                "again: mend the edition or its sender, then run the same command again."
            )


def _receipts(
    slips: Sequence[Slip],
    state: DeliveryState,
    detail: str,
    retry_after: float | None = None,
    *,
    permanent: bool = False,
) -> list[Receipt]:
    return [
        Receipt(number=one.number, state=state, detail=detail, retry_after=retry_after, permanent=permanent)
        for one, _ in slips
    ]


def _ids(slips: Sequence[Slip]) -> set[str]:
    return {recipient.delivery_id for recipient, _ in slips}


def _apart(slips: Sequence[Slip], most: int) -> list[list[Slip]]:
    """Groups of at most `most`; SendGrid refuses a request that names an address twice."""
    groups: list[dict[str, Slip]] = []
    for slip in slips:
        key = slip[1]["to"][0]["email"].lower()
        group = next((one for one in groups if len(one) < most and key not in one), None)
        if group is None:
            groups.append(group := {})
        group[key] = slip
    return [list(group.values()) for group in groups]


# what is said -------------------------------------------------------------------------------------------------------

NOT_OURS = frozenset({
    "from", "to", "cc", "bcc", "reply-to", "subject", "date", "message-id", "mime-version", "content-type",
    "content-transfer-encoding", "received", "dkim-signature", "x-sg-id", "x-sg-eid",
})  # fmt: skip
"""Headers that SendGrid writes, or refuses. It gives Date and Message-ID anew: our id travels in custom_args."""

OFF = {"enable": False}
SHOWN_NAME = FILLS[Blank("comma_name", "text8")]
JSON = "application/json; charset=utf-8"  # by its plain name the client would encode again what is encoded
TRACKING = {
    "click_tracking": {"enable": False, "enable_text": False}, "open_tracking": OFF, "subscription_tracking": OFF,
    "ganalytics": OFF,
}  # fmt: skip


def _common(letter: Tagged, *, sandbox: bool) -> dict[str, Any]:
    name, address = letter.sender
    return {
        "from": {"email": address, "name": name},
        "reply_to": {"email": letter.reply_to},
        "subject": letter.subject,
        "content": [{"type": "text/plain", "value": letter.text}, {"type": "text/html", "value": letter.html}],
        "mail_settings": {"sandbox_mode": {"enable": sandbox}},
        "tracking_settings": TRACKING,
    }


def _slip(letter: Tagged, recipient: Recipient) -> Slip:
    """
    Raises:
        ValueError: no mail can go to this reader, or their values cannot be written.
    """
    substitutions = letter.substitutions(recipient)
    if sum(len(tag) + len(value.encode()) for tag, value in substitutions.items()) > MOST_SUBSTITUTED:
        raise ValueError("the substitutions are too long")
    return recipient, {
        "to": [_to(recipient)],
        "headers": letter.headers_for(recipient),
        "substitutions": substitutions,
        "custom_args": {"delivery": recipient.delivery_id},  # SendGrid keeps it for long: nothing about the reader
    }


def _to(recipient: Recipient) -> dict[str, str]:
    """Without the signs by which SendGrid would take part of the name for an address, and drop the mail."""
    address = normalise(recipient.address).mailbox
    name = " ".join(re.sub('[,;:"<>@]', " ", SHOWN_NAME(recipient).decode()).split())
    return {"email": address, "name": name} if name else {"email": address}


# what is answered ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Answer:
    """What came back; status 0 when nothing did."""

    status: int
    words: str  # for the books: without addresses
    message_id: str = ""
    wait: float | None = None  # seconds
    named: Collection[int] = ()  # places in the request whose readers are at fault
    blames_all: bool = False

    @property
    def fault(self) -> TransportError:
        """Why SendGrid takes nothing from us at all."""
        check = "DIGEST_SENDGRID_KEY, its permission Mail Send, and the sender's authentication there"
        if self.status not in {401, 403}:
            check = "DIGEST_SENDGRID_HOST"
        return TransportError(
            f"SendGrid refuses this account or request ({self.words}). It took nothing and all is queued again: check "
            f"{check}, then run the same command again."
        )


def _post(endpoint: Any, body: str) -> _Answer:
    """
    Raises:
        UnreachableError: nothing has left.
    """
    try:
        response = endpoint.post(request_body=body)
    except HTTPError as refusal:
        return _read(refusal.status_code, refusal.headers, refusal.body)
    except (OSError, HTTPException) as error:
        return _Answer(0, f"no answer: {type(getattr(error, 'reason', error)).__name__}")
    return _read(response.status_code, response.headers, response.body)


def _read(status: int, headers: Message, body: bytes) -> _Answer:
    faults = _faults(body)
    said = "; ".join(dict.fromkeys(message for _, message in faults))
    places = [re.match(r"personalizations[.\[](\d+)", where) for where, _ in faults]
    return _Answer(
        status, _masked(f"{status} {said}".strip()), _masked(headers.get("X-Message-Id", "")), _wait(headers),
        named={int(place[1]) for place in places if place},
        blames_all=bool(faults) and all(where and not where.startswith("personalizations") for where, _ in faults),
    )  # fmt: skip


def _faults(body: bytes) -> list[tuple[str, str]]:
    """(field, message) of each fault in the answer; none where it is not the API that answers."""
    try:
        faults = json.loads(body)["errors"]
        return [(str(fault.get("field") or ""), str(fault.get("message") or "")) for fault in faults]
    except (ValueError, TypeError, KeyError, AttributeError):
        return []


def _masked(text: str) -> str:
    """The provider's words without addresses and line ends: they are kept longer than the reader's address is."""
    return " ".join(re.sub(r"\S*@\S*", "(address)", text).split())[:200]


def _wait(headers: Message) -> float | None:
    """Seconds until SendGrid wants to be asked again, by its own clock; None when it does not say."""
    try:
        seconds = (
            int(headers["Retry-After"])
            if "Retry-After" in headers
            else int(headers["X-RateLimit-Reset"]) - parsedate_to_datetime(headers["Date"]).timestamp()
        )
    except (ValueError, TypeError):
        return None
    return min(max(float(seconds), 1.0), LONGEST_REST)


class _Endpoint(Client):  # type: ignore[misc]  # it ships no types
    """SendGrid's client at /v3/mail/send, with what it lacks: an end to waiting, and a direct way."""

    def __init__(self, api: SendGridAPIClient, patience: float) -> None:
        headers = {**api.client.request_headers, "Content-Type": JSON}
        super().__init__(host=api.host, request_headers=headers, version=3, url_path=["mail", "send"], timeout=patience)
        self._opener = direct_opener()

    def _make_request(self, _opener: Any, request: Request, timeout: float | None = None) -> Any:
        return super()._make_request(self._opener, request, timeout)
