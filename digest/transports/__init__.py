"""How a message leaves: one file is one transport."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol

from digest.values import Proof, Receipt, Recipient

Mark = Callable[[Collection[int]], set[int]]
"""Given by the ledger: takes delivery numbers, writes them down as about to leave, returns those still ours."""


class Transport(Protocol):
    """What the ledger needs of a transport."""

    def send(self, proof: Proof, recipients: Sequence[Recipient], mark: Mark) -> Iterator[Receipt]:
        """
        Hand the proof over to each recipient, calling `mark` just before the point of no return.

        One bad recipient gets a failed receipt and stops nobody. What `mark` does not return is not handed over and
        gets no receipt.

        Raises:
            StorageError, TransportError: nothing can be handed over now; the ledger queues what has no receipt again,
                and of that what was marked only where `prove` says False.
        """
        ...

    def prove(self, proof: Proof, recipient: Recipient) -> bool | None:
        """After a crash or an error: True, it was handed over; False, it was not; None, nobody can know."""
        ...
