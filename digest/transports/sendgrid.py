"""
SendGrid as a transport: one request hands one proof to many readers, who differ by substitutions and headers.

The request is the point of no return, and it has no idempotency key: without a clear answer nobody can know. What this
side is sure of, it says: a server that never had a whole request took nothing, and neither did one that answered 3xx or
4xx.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from threading import BoundedSemaphore, Lock
from time import monotonic, sleep

from digest.crashes import crash_point
from digest.errors import AccountError, ContentError, SettingsError, TransportError, UnreachableError
from digest.sendgrid.answers import DIVIDED, NOT_TAKEN, TAKEN, TAKEN_IN_SANDBOX, TOO_MANY, Answer
from digest.sendgrid.checks import Slip, apart, fault_of
from digest.sendgrid.client import Endpoint
from digest.sendgrid.envelope import Letter
from digest.settings import Settings
from digest.text import without_addresses
from digest.transports import Found, Handed, Mark, nothing
from digest.values import DeliveryState, Proof, Receipt, Recipient

READ = 60.0  # seconds at most; half the lease where that is shorter, so that the answer can still be recorded
MANY, TOO_GREAT_A_SHARE = 10, 0.2  # refused, and of how many: beyond both the fault is not theirs but the message's
UNCLEAR = 2  # answers in a row that leave us in doubt; then the run stops, and doubts no more
REST = 60.0  # seconds without a request after a 429 that names no time
SHORT_REST = 5.0  # seconds that are waited for; for a longer rest the deliveries are put off
NAP = 0.1  # seconds; how soon a rest notices that it should stop
LETTERS_KEPT = 64
FINE, NEEDED = 200, "mail.send"

_made = partial(tuple.__new__, Receipt)  # by its own name a tuple takes twice as long


class SendGrid:
    """
    Sends by `endpoint` in requests of up to `most` readers, of which `at_once` may be open at any moment. `batch`: how many
    readers a batch has.

    Several threads may send at the same time: they share the open requests, the rests and the doubts.
    """

    def __init__(self, endpoint: Endpoint, *, most: int, at_once: int, batch: int = 0, sandbox: bool = False) -> None:
        self.appetite = at_once * max(most, batch)  # a batch has one request open at a time
        self._endpoint, self._most, self._sandbox = endpoint, most, sandbox
        self._taken = TAKEN_IN_SANDBOX if sandbox else TAKEN
        self._turns = BoundedSemaphore(at_once)
        self._lock = Lock()  # over what follows
        self._untaken: set[str] = set()  # ids of deliveries that were marked, and surely not taken
        self._rest_until = 0.0  # monotonic
        self._unclear = 0
        self._trouble = TransportError()
        self._letters: dict[int, Letter] = {}

    def send(self, proof: Proof, recipients: Sequence[Recipient], mark: Mark) -> Iterator[Receipt]:
        """
        As transports.Transport.send.

        Raises:
            AccountError, ContentError: the account or the message is at fault.
            TransportError: the way to SendGrid is. What it surely did not take is queued again: `prove` remembers it.
        """
        if not recipients:
            return
        sending = _Sending(self._letter(proof), mark)
        try:
            for group in apart(list(sending.slips(recipients)), self._most):
                yield from self._hand(sending, group)
            yield from sending.unfillable
            if not mark.stopped:  # another may have found that the message is at fault, and not these readers
                yield from sending.refused()
        finally:
            with self._lock:
                self._untaken |= sending.untaken

    def prove(self, _proof: Proof, recipient: Recipient) -> bool | None:
        """False while this very object knows that SendGrid did not take it; else only an event can tell."""
        with self._lock:
            known = recipient.delivery_id in self._untaken
            self._untaken.discard(recipient.delivery_id)
        return False if known else None

    def close(self) -> None:
        """Close the connections that are kept open."""
        self._endpoint.close()

    # one group of readers -------------------------------------------------------------------------------------------

    def _hand(self, sending: "_Sending", group: list[Slip]) -> Iterator[Receipt]:
        """Mark it and ask; ask again in parts where the answer leaves room for that."""
        parts, marked = [group], False
        while parts:
            part = parts.pop()
            with self._turns:
                rest = self._rest(sending.mark)
                if sending.mark.stopped:
                    return
                if self._unclear >= UNCLEAR:  # found out by another thread, while this one waited for its turn
                    raise self._trouble
                if not rest:
                    if not marked:
                        part, marked = sending.marked(part), True
                    answer = self._ask(sending, part) if part else None
            if rest:
                yield from sending.close(part, DeliveryState.DEFERRED, "SendGrid asked for a rest", rest)
            elif answer:
                yield from self._outcome(sending, part, answer, parts)

    def _ask(self, sending: "_Sending", part: Sequence[Slip]) -> Answer:
        body = sending.letter.request(part)
        if fault := fault_of(part, len(body)):
            return Answer(413, fault)
        ids = {slip.delivery_id for slip in part}
        sending.untaken -= ids
        if self._untaken:
            with self._lock:
                self._untaken -= ids
        try:
            answer = self._endpoint.post(body)
        except UnreachableError:
            sending.untaken |= ids
            raise
        crash_point("after_hand")
        if answer.status in NOT_TAKEN:
            sending.untaken |= ids
        return answer

    def _outcome(
        self, sending: "_Sending", part: list[Slip], answer: Answer, parts: list[list[Slip]]
    ) -> Iterator[Receipt]:
        """What the answer makes of a part; what is to be asked again goes onto `parts`."""
        if answer.status == self._taken:
            self._unclear, sending.taken = 0, True
            yield from sending.close(part, DeliveryState.ACCEPTED, answer.message_id)
        elif answer.status == TOO_MANY:
            with self._lock:
                self._rest_until = max(self._rest_until, monotonic() + (answer.wait or REST))
            yield from sending.close(part, DeliveryState.DEFERRED, answer.words, answer.wait)
        elif answer.status in DIVIDED:
            parts += sending.divided(part, answer)
        elif answer.status in NOT_TAKEN:
            raise answer.fault
        else:
            yield from sending.close(part, DeliveryState.AMBIGUOUS, answer.words)
            self._doubt(answer)

    def _doubt(self, answer: Answer) -> None:
        with self._lock:
            self._unclear += 1
            self._trouble = TransportError(
                f"SendGrid gave no clear answer {self._unclear} times in a row ({answer.words}). Those deliveries are "
                "unconfirmed and the others queued: look at status.sendgrid.com, then run the same command again."
            )
        if self._unclear >= UNCLEAR:
            raise self._trouble

    def _rest(self, mark: Mark) -> float:
        """Wait until SendGrid may be asked again, if that is soon. Seconds that are left, if it is not."""
        while 0 < (rest := self._rest_until - monotonic()) <= SHORT_REST and not mark.stopped:
            sleep(min(rest, NAP))
        return max(0.0, rest)

    def _letter(self, proof: Proof) -> Letter:
        """Made once for each proof: that costs as much as a thousand readers do."""
        compiled = proof.compiled
        letter = self._letters.get(id(compiled))
        if letter is None or letter.compiled is not compiled:  # an id is used again once its owner is gone
            if len(self._letters) >= LETTERS_KEPT:
                self._letters.clear()
            letter = self._letters[id(compiled)] = Letter(compiled, sandbox=self._sandbox)
        return letter


class _Sending:
    """One call of `send`: what it says, and what came of it so far."""

    def __init__(self, letter: Letter, mark: Mark) -> None:
        self.letter, self.mark = letter, mark
        self.untaken: set[str] = set()  # ids: marked, surely not taken, and without a receipt
        self.unfillable: list[Receipt] = []
        self.taken = False
        self._alone = 0  # readers refused in a request of their own
        self._refused: list[tuple[Slip, str]] = []  # held back: it may yet turn out that they are not at fault

    def slips(self, recipients: Sequence[Recipient]) -> Iterator[Slip]:
        for one in recipients:
            try:
                yield self.letter.slip(one)
            except ValueError as error:
                detail = f"cannot be filled: {without_addresses(str(error))}"
                self.unfillable.append(Receipt(one.number, DeliveryState.FAILED, detail, permanent=True))

    def marked(self, group: list[Slip]) -> list[Slip]:
        """Those of them that are still ours, marked as about to leave."""
        ours = self.mark([slip.number for slip in group])
        mine = group if len(ours) == len(group) else [slip for slip in group if slip.number in ours]
        self.untaken.update([slip.delivery_id for slip in mine])
        return mine

    def close(
        self, part: Sequence[Slip], state: DeliveryState, detail: str, retry_after: float | None = None
    ) -> list[Receipt]:
        self.untaken.difference_update([slip.delivery_id for slip in part])
        return [_made((slip.number, state, detail, retry_after, False)) for slip in part]

    def divided(self, part: list[Slip], answer: Answer) -> list[list[Slip]]:
        """
        One bad address has its whole request refused: leave out whom the answer names, or halve until it is alone.

        Raises:
            ContentError: it is not these readers who are at fault.
        """
        named = {0} if len(part) == 1 else {at for at in answer.named if at < len(part)}
        self._refuse([part[at] for at in named], len(part), answer)
        rest = [slip for at, slip in enumerate(part) if at not in named]
        middle = 0 if named else len(rest) // 2
        return [one for one in (rest[middle:], rest[:middle]) if one]

    def _refuse(self, slips: Sequence[Slip], of: int, answer: Answer) -> None:
        self._refused += [(slip, answer.words) for slip in slips]
        self._alone += of == 1
        most_of_them = len(slips) >= MANY and len(slips) > TOO_GREAT_A_SHARE * of
        if answer.blames_all or most_of_them or (self._alone >= MANY and not self.taken):
            raise ContentError(
                f"SendGrid refuses the message itself ({answer.words}). What it did not take is queued "
                "again: mend the edition or its sender, then run the same command again."
            )

    def refused(self) -> Iterator[Receipt]:
        for slip, words in self._refused:
            self.untaken.discard(slip.delivery_id)
            yield Receipt(slip.number, DeliveryState.FAILED, words, permanent=True)


def open_transport(settings: Settings, _place: str, _handed: Handed = nothing) -> SendGrid:
    """
    The transport as the settings have it.

    Raises:
        SettingsError: there is no key.
    """
    return SendGrid(
        _endpoint(settings, min(READ, settings.lease / 2)), most=settings.sendgrid_requests,
        at_once=settings.sendgrid_open, batch=settings.batch_size, sandbox=settings.sendgrid_sandbox,
    )  # fmt: skip


def probe(settings: Settings, seconds: float) -> Found:
    """
    Ask what the key may do, sending nothing.

    Raises:
        SettingsError, TransportError: one clear line, which never holds the key.
    """
    endpoint = _endpoint(settings, seconds)
    try:
        answer, scopes = endpoint.scopes()
    finally:
        endpoint.close()
    if answer.status in NOT_TAKEN:
        raise answer.fault
    if answer.status != FINE:
        raise TransportError(f"SendGrid gives no clear answer ({answer.words}): look at status.sendgrid.com.")
    if NEEDED not in scopes.names:
        raise AccountError(
            f"SendGrid's key may not send mail ({NEEDED} is not among its {len(scopes.names)} permissions): give it the "
            "permission Mail Send, or set another in DIGEST_SENDGRID_KEY."
        )
    more = len(scopes.names) - 1
    words = f"{settings.sendgrid_host} lets us in, and the key may send mail" + (
        f" and {more} things more" if more else ""
    )
    return Found(words, (datetime.now(UTC) - scopes.at).total_seconds() if scopes.at else None)


def _endpoint(settings: Settings, patience: float) -> Endpoint:
    """
    Raises:
        SettingsError: there is no key.
    """
    key = settings.sendgrid_key.get_secret_value()
    if not key:
        raise SettingsError("DIGEST_SENDGRID_KEY is empty: make an API key with the permission Mail Send, and set it.")
    return Endpoint(key, settings.sendgrid_host, patience=patience)
