"""What an edition's readers were sent, printed again from what was stored: the same bytes, and nothing leaves."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from digest import deliveries
from digest.errors import NotFoundError
from digest.handover import place
from digest.models import EditionRow
from digest.parts import load_part
from digest.press import Press, mailing_of
from digest.transports.outbox import Outbox
from digest.values import DeliveryState, Proof, Receipt


@dataclass(frozen=True, slots=True)
class Replay:
    """How many messages were written, how many could not be because their reader is not known any more, and where."""

    written: int
    unknown: int
    folder: Path


def replay(press: Press, edition: EditionRow, into: Path, *, told: Callable[[int], None] | None = None) -> Replay:
    """
    Write every message of the edition below `into`, in files named as the outbox names them.

    The bytes are those that were handed to the transport: what a mail server or our DKIM signature adds came after.

    Raises:
        NotFoundError: the edition was never released.
        StorageError: the disk refused.
    """
    mailing, shelf = _mailing(press, edition), Outbox(into, place(press.engine, edition))
    written = unknown = 0
    stored: dict[int, Proof] = {}
    batch: dict[int, list[deliveries.Delivered]] = {}

    def write_out() -> int:
        count = 0
        for proof_id, some in batch.items():
            proof = stored.setdefault(proof_id, deliveries.proof_of(press.engine, proof_id))
            known = [one.recipient for one in some if one.recipient is not None]
            receipts = shelf.send(proof, known, _AllOurs())
            count += sum(1 for receipt in receipts if receipt.state == DeliveryState.ACCEPTED)
        batch.clear()
        return count

    for one in deliveries.delivered(press.engine, mailing, press.keys):
        unknown += one.recipient is None
        batch.setdefault(one.proof_id, []).append(one)
        if sum(map(len, batch.values())) >= AT_ONCE:
            written += write_out()
            if told:
                told(written)
    return Replay(written + write_out(), unknown, into / place(press.engine, edition))


AT_ONCE = 1_000


class _AllOurs:
    """The marker of a run that asks no ledger."""

    stopped = False

    def __call__(self, numbers: Collection[int], done: Sequence[Receipt] = ()) -> set[int]:  # noqa: ARG002
        return set(numbers)

    def soon(self, numbers: Collection[int], done: Sequence[Receipt], then: Callable[[set[int]], None]) -> None:
        then(self(numbers, done))


def message_of(press: Press, edition: EditionRow, number: int) -> bytes:
    """
    One delivery's message.

    Raises:
        NotFoundError: there is no such delivery, or its reader's address is not known any more.
    """
    mailing = _mailing(press, edition)
    one = next(deliveries.delivered(press.engine, mailing, press.keys, number=number), None)
    if one is None:
        raise NotFoundError(f"The edition has no delivery {number} that was handed over.")
    if one.recipient is None:
        raise NotFoundError(
            f"Delivery {number} went to an address that is not known here any more: nothing can be printed."
        )
    proof = deliveries.proof_of(press.engine, one.proof_id)
    message: bytes = load_part("channels", proof.channel).fill(proof, one.recipient)
    return message


def _mailing(press: Press, edition: EditionRow) -> int:
    mailing = mailing_of(press, edition)
    if mailing is None:
        raise NotFoundError(
            f"The edition of {edition.local_date} was never released: digest preview shows how it would look."
        )
    return mailing
