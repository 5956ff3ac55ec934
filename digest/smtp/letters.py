"""What is to be handed over: a proof made ready for SMTP, its parcels, and the batch they came in."""

import re
from collections.abc import Callable, Collection, Sequence
from email import message_from_bytes
from email.policy import default
from queue import SimpleQueue
from typing import TYPE_CHECKING, NamedTuple, Protocol

from digest.errors import ContentError
from digest.splice import Filler, stuffed
from digest.values import Blank, Compiled, DeliveryState, Receipt, Recipient
from subscribers.addresses import normalise

if TYPE_CHECKING:
    from digest.smtp.lanes import Lane

WIDE_CONTEXTS = frozenset({"html8", "text8"})
_PLAIN = re.compile(r"[A-Za-z0-9._+-]{1,64}@((?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,8}[a-z]{2,24})")
_LONGEST_PLAIN = 200  # an address that matches and is no longer is what `normalise` would make of it


class Marking(Protocol):
    """What is used here of the ledger's mark (digest.transports.Mark)."""

    @property
    def stopped(self) -> bool: ...

    def soon(self, numbers: Collection[int], done: Sequence[Receipt], then: Callable[[set[int]], None]) -> None: ...


class Signer(Protocol):
    """Puts a DKIM signature on a message with CRLF line ends: the header lines that go in front."""

    def sign(self, message: bytes) -> bytes: ...


def unsigned(_domain: str) -> None:
    """The signer of who has none."""


class Features(NamedTuple):
    """What a server said it can do; `size` is in bytes, 0 for no limit."""

    pipelining: bool = False
    eight_bit: bool = False
    utf8: bool = False
    size: int = 0


class Letter:
    """
    One proof for all its readers. `bounces` is the envelope sender, empty for the address in From.

    `answered` and `refused` count what servers said of the message itself, whoever the reader.

    Raises:
        ContentError: there is no address that bounces could go to.
        SettingsError: our signature would not speak for the sender.
    """

    def __init__(
        self,
        compiled: Compiled,
        *,
        bounces: str = "",
        verp: bool = False,
        signer_for: Callable[[str], Signer | None] = unsigned,
    ) -> None:
        own = _from_address(compiled)
        sender = bounces or own
        if not sender:
            raise ContentError("The message names no sender in From: set DIGEST_SMTP_BOUNCES, or print it again.")
        self.answered = self.refused = 0
        self.condemned: ContentError | None = None  # servers refuse the message itself
        self.wide = _is_wide(compiled)
        self._signer = signer_for(own.rpartition("@")[2].lower())
        whole = _ended(compiled)
        self._fill = Filler(whole if self._signer else stuffed(whole))
        self._local, _, self._domain = sender.rpartition("@")
        self._verp = verp

    def body(self, recipient: Recipient) -> bytes:
        """
        The message for one reader as it goes over the wire, dots stuffed, all but the last one.

        Raises:
            ValueError, TypeError: a value of theirs cannot be written.
        """
        message = self._fill(recipient)
        if self._signer is None:
            return message
        return (self._signer.sign(message) + message).replace(b"\r\n.", b"\r\n..")

    def mail_from(self, parcel: "Parcel", features: Features) -> bytes:
        local = f"{self._local}+{parcel.recipient.delivery_id}" if self._verp else self._local
        eight = " BODY=8BITMIME" if (self.wide or parcel.utf8) and features.eight_bit else ""
        return f"MAIL FROM:<{local}@{self._domain}>{eight}{' SMTPUTF8' if parcel.utf8 else ''}\r\n".encode()

    def unfit(self, parcel: "Parcel", size: int, features: Features) -> str:
        """
        Why this parcel cannot go to a server that can do no more than `features`; empty when it can.

        Raises:
            ContentError: the message cannot, whoever the reader.
        """
        if features.size and size > features.size:
            raise ContentError(
                f"The message has {size:,} bytes and the SMTP server takes at most {features.size:,}: shorten the "
                "edition, then resume it."
            )
        if self.wide and not features.eight_bit:
            # what was compiled as 8-bit cannot be made 7-bit per reader without undoing it; such servers are rare
            raise ContentError(
                "The message has letters beyond ASCII and the SMTP server does not offer 8BITMIME: name another "
                "server in DIGEST_SMTP_SERVERS, then resume the edition."
            )
        if parcel.utf8 and not features.utf8:
            return "the address has letters beyond ASCII before the @, and the server does not offer SMTPUTF8"
        return ""


class Parcel:
    """One delivery on its way. `marked`: the ledger knows that it is about to leave, and it has not left."""

    __slots__ = ("consignment", "domain", "lane", "lost", "mailbox", "marked", "probes", "recipient", "since", "utf8")

    lane: "Lane"

    def __init__(self, recipient: Recipient, consignment: "Consignment") -> None:
        """Raises ValueError: no mail can go to that address."""
        self.recipient = recipient
        self.consignment = consignment
        plain = _PLAIN.fullmatch(recipient.address)
        if plain and len(recipient.address) <= _LONGEST_PLAIN and "xn--" not in recipient.address:
            self.mailbox, self.domain = recipient.address, plain[1]
        else:
            self.mailbox = normalise(recipient.address).mailbox
            self.domain = self.mailbox.rpartition("@")[2]
        self.utf8 = not self.mailbox.isascii()
        self.marked = False
        self.probes = False  # it is on its way to a domain that nobody has heard from yet
        self.lost = 0  # connections that broke under it
        self.since = 0.0

    def receipt(
        self, state: DeliveryState, detail: str, *, retry_after: float | None = None, permanent: bool = False
    ) -> Receipt:
        return Receipt(self.recipient.number, state, detail, retry_after, permanent)


class Consignment:
    """
    One call of `send`: its parcels, and the way back to the thread that waits for them.

    `heard` gives receipts, then None when nothing of it is open any more. All but `heard` belongs to the loop's thread.
    """

    def __init__(self, letter: Letter, mark: Marking) -> None:
        self.letter = letter
        self.mark = mark
        self.open = 0
        self.over = False  # nothing more of it is to be begun
        self.error: BaseException | None = None
        self.unproven: list[
            Receipt
        ] = []  # refused while no server has taken any recipient yet, or the letter is on trial
        self.heard: SimpleQueue[Receipt | None] = SimpleQueue()

    @property
    def ended(self) -> bool:
        return self.open < 0

    def tell(self, receipt: Receipt) -> None:
        """The outcome of a parcel that was never marked."""
        self.heard.put(receipt)
        self.end_one()

    def record(self, receipt: Receipt) -> None:
        """The outcome of a parcel that was marked: written before any later marker, without a way round by threads."""
        self.mark.soon((), (receipt,), _unasked)
        self.end_one()

    def suspect(self, receipt: Receipt) -> None:
        """A refusal that may yet turn out to be the account's fault, or the message's, and not the reader's."""
        self.unproven.append(receipt)
        self._end_if_done()

    def clear(self) -> None:
        """Neither account nor message is at fault: what was refused was those readers' own."""
        for receipt in self.unproven:
            self.heard.put(receipt)
        self.open -= len(self.unproven)
        self.unproven = []
        self._end_if_done()

    def end_one(self, count: int = 1) -> None:
        self.open -= count
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self.open == len(self.unproven):
            refused = [] if self.error else self.unproven
            self.unproven, self.open = [], -1
            for receipt in refused:
                self.heard.put(receipt)
            self.heard.put(None)


def _unasked(_ours: set[int]) -> None:
    """Nothing was marked, so there is nothing to hear."""


def _ended(compiled: Compiled) -> Compiled:
    """The same message with a line end at its end, so that the last dot stands alone."""
    last = compiled.pieces[-1]
    if isinstance(last, bytes) and last.endswith(b"\r\n"):
        return compiled
    return Compiled((*compiled.pieces, b"\r\n"), compiled.blanks)


def _is_wide(compiled: Compiled) -> bool:
    return any(
        piece.context in WIDE_CONTEXTS if isinstance(piece, Blank) else not piece.isascii() for piece in compiled.pieces
    )


def _from_address(compiled: Compiled) -> str:
    header = b"".join(piece if isinstance(piece, bytes) else b"x" for piece in compiled.pieces).partition(b"\r\n\r\n")[
        0
    ]
    senders = [
        one for field in message_from_bytes(header, policy=default).get_all("From", []) for one in field.addresses
    ]
    if len(senders) > 1:
        raise ContentError(f"The message names {len(senders)} senders in From, and must name one: print it again.")
    return str(senders[0].addr_spec) if senders else ""
