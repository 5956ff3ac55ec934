"""
How a message leaves: one file is one transport.

It has `open_transport(settings, place, handed) -> Transport`, and where there is somebody to ask also
`probe(settings, seconds) -> Found`: log in within that time, and send nothing.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple, Protocol

from digest.values import Proof, Receipt, Recipient

Handed = Callable[[float], int]
"""How many deliveries this house has handed over by the transport since an epoch second."""


def nothing(_since: float) -> int:
    """The `Handed` of a house that has sent nothing yet."""
    return 0


class Found(NamedTuple):
    """What a probe found, in words; `ahead`: seconds by which our clock is before the other side's, where it tells."""

    words: str
    ahead: float | None = None


class Mark(Protocol):
    """
    Given by the ledger with each batch: the durable marker, and the outcomes that travel with it.

    Both ways of calling may be used from any thread.
    """

    @property
    def stopped(self) -> bool:
        """True once nothing more of this batch is to be begun: paused, cancelled, interrupted, or no longer ours."""
        ...

    def __call__(self, numbers: Collection[int], done: Sequence[Receipt] = ()) -> set[int]:
        """
        Record `done` and write down `numbers` as about to leave, in one commit. Which of them are still ours.

        Raises:
            StorageError: the database refused; nothing was written.
        """
        ...

    def soon(self, numbers: Collection[int], done: Sequence[Receipt], then: Callable[[set[int]], None]) -> None:
        """
        The same without waiting; what comes from several batches is grouped in one commit.

        `then` is called once, in the ledger's writer thread, with the numbers still ours: none when the batch is no
        longer ours, is stopped, or the database refused. It must return at once.
        """
        ...


class Transport(Protocol):
    """
    What the ledger needs of a transport.

    `appetite`: while fewer unfinished deliveries than this are in hand, the ledger claims another batch and calls
    `send` once more, in another thread; 1 means one batch at a time.
    """

    appetite: int

    def send(self, proof: Proof, recipients: Sequence[Recipient], mark: Mark) -> Iterator[Receipt]:
        """
        Hand the proof over to each recipient, calling `mark` just before the point of no return.

        One bad recipient gets a failed receipt and stops nobody. A receipt is either yielded or given to `mark` as
        `done`. What `mark` does not return is not handed over and gets no receipt.

        Raises:
            StorageError, TransportError: nothing can be handed over now; the ledger queues what has no receipt again,
                and of that what was marked only where `prove` says False. AccountError and ContentError also pause
                the edition.
        """
        ...

    def prove(self, proof: Proof, recipient: Recipient) -> bool | None:
        """After a crash or an error: True, it was handed over; False, it was not; None, nobody can know."""
        ...

    def close(self) -> None:
        """Let go of connections and threads; `send` is not called after it."""
        ...
