"""A batch in hand: what its transport asks of the ledger, and what is still open of it."""

import logging
from collections.abc import Collection, Sequence
from threading import Event

from digest.deliveries.writer import Then, Writer
from digest.transports import Transport
from digest.values import Batch, DeliveryState, Proof, Receipt

log = logging.getLogger(__name__)


class Hand:
    """
    One claimed batch, and the transports.Mark of its deliveries.

    Only this process changes the rows of a batch it holds, so what is marked and what is open is counted here and never
    read again. `lease_until` moves on as the lease is renewed.
    """

    def __init__(self, batch: Batch, writer: Writer, transport: Transport, proof: Proof) -> None:
        self.batch, self.writer, self.transport, self.proof = batch, writer, transport, proof
        self.lease_until = batch.lease_until
        self.unmarked = {one.number for one in batch.recipients}
        self.open = len(batch.recipients)
        self.halted = False
        self.lost = False  # another worker's by now
        self.error: BaseException | None = None
        self.refused = False  # by the database: what else comes of it is kept for the end
        self.unsent: set[int] = set()  # marked on record, though nobody could be told so
        self.unwritten: list[Receipt] = []  # outcomes that the database refused to take
        self._kept: list[Receipt] = []
        self._asked = False

    # what a transport calls -----------------------------------------------------------------------------------------

    @property
    def stopped(self) -> bool:
        return self.halted or self.lost or self.error is not None

    def __call__(self, numbers: Collection[int], done: Sequence[Receipt] = ()) -> set[int]:
        answered, ours = Event(), set()

        def hear(still: set[int]) -> None:
            ours.update(still)
            answered.set()

        self.soon(numbers, done, hear)
        answered.wait()
        if self.error is not None:
            raise self.error
        return ours

    def soon(self, numbers: Collection[int], done: Sequence[Receipt], then: Then) -> None:
        if done:
            self._note(done)
        self.writer.ask(self, numbers, done, then)

    # what the run calls ---------------------------------------------------------------------------------------------

    def keep(self, receipt: Receipt) -> None:
        """Have an outcome written with the next commit, without waiting for it."""
        if receipt.state is not DeliveryState.ACCEPTED:
            self._note((receipt,))
        self._kept.append(receipt)
        if not self._asked:
            self._asked = True
            self.writer.ask(self, (), (), None)

    def _note(self, receipts: Sequence[Receipt]) -> None:
        """Of what was accepted there is nothing to say: there may be a million of it."""
        for one in receipts:
            if one.state != DeliveryState.ACCEPTED:
                told = {"mailing": self.batch.mailing_id, "delivery": one.number, "state": str(one.state)}
                log.info("a delivery is not accepted", extra=told)

    # what the writer calls ------------------------------------------------------------------------------------------

    def kept(self) -> list[Receipt]:
        self._asked = False  # first: what comes from now on asks anew
        taken = self._kept[:]
        del self._kept[: len(taken)]  # others may have been added meanwhile
        return taken

    def may_mark(self, numbers: Collection[int], now: float) -> set[int]:
        """Those of `numbers` that were never marked, while the batch may go on."""
        if self.stopped or self.error is not None or self.lease_until <= now:
            return set()
        return self.unmarked.intersection(numbers)
