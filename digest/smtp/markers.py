"""
Markers that several connections want at nearly the same moment, asked of the ledger together and answered together.

A commit costs the ledger about as much for one as for ten, so an ask waits until most of the connections that are quick
have one, for a moment at most.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from functools import partial

from digest.smtp.conversation import Conversation
from digest.smtp.letters import Consignment, Parcel
from digest.values import Receipt

GATHERED, GATHERING = 0.8, 0.003  # share of the lively connections whose markers make a commit; seconds to wait for it
LIVELY = 0.02  # seconds: whose server takes longer is not waited for

Ask = tuple[Conversation, Parcel, Sequence[Receipt]]
"""A connection that wants its parcel marked, and the outcomes that travel with the marker."""


class Markers:
    """
    `wanted` says just before the ledger is asked whether an ask still stands. `answered` hears whether the parcel is ours.
    `fail` hears what went wrong with one answer: the others are answered all the same.

    All but the ledger's answer runs in the loop's thread.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        conversations: Collection[Conversation],
        *,
        wanted: Callable[[Conversation, Parcel, Sequence[Receipt]], bool],
        answered: Callable[[Conversation, Parcel, bool], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._loop, self._conversations = loop, conversations
        self._wanted, self._answered, self._fail = wanted, answered, fail
        self._asks: list[Ask] = []
        self._lively = 0
        self._gathering: asyncio.TimerHandle | None = None
        self._answers: deque[tuple[Sequence[Ask], set[int]]] = deque()
        self._awake = False

    def ask(self, conversation: Conversation, parcel: Parcel, done: Sequence[Receipt]) -> None:
        """Have the parcel marked, and the receipts `done` of the same consignment written with the marker."""
        self._asks.append((conversation, parcel, done))
        if len(self._asks) >= GATHERED * self._lively:
            self._submit()
        elif self._gathering is None:
            self._gathering = self._loop.call_later(GATHERING, self._submit)

    def close(self) -> None:
        """Ask for nothing more."""
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None

    def _submit(self) -> None:
        """Give what is asked to the ledger, each consignment's in one."""
        self.close()
        lately = self._loop.time() - LIVELY
        self._lively = sum(one.moved > lately for one in self._conversations)
        asks, self._asks = [ask for ask in self._asks if self._wanted(*ask)], []
        by_consignment: dict[Consignment, list[Ask]] = {}
        for ask in asks:
            by_consignment.setdefault(ask[1].consignment, []).append(ask)
        try:
            for consignment, theirs in by_consignment.items():
                done = [receipt for _, _, receipts in theirs for receipt in receipts]
                numbers = [parcel.recipient.number for _, parcel, _ in theirs]
                consignment.mark.soon(numbers, done, partial(self._hear, theirs))
                if done:
                    consignment.end_one(len(done))
        except BaseException:
            for conversation, _, _ in asks:
                conversation.asking = False  # nobody will answer
            raise

    def _hear(self, asks: Sequence[Ask], ours: set[int]) -> None:
        """The ledger's answer, in its thread: many are heard together."""
        self._answers.append((asks, ours))
        if not self._awake:
            self._awake = True
            self._loop.call_soon_threadsafe(self._listen)

    def _listen(self) -> None:
        self._awake = False  # first: what is answered from here on wakes us again
        while self._answers:
            asks, ours = self._answers.popleft()
            for conversation, parcel, _ in asks:
                try:
                    self._answered(conversation, parcel, parcel.recipient.number in ours)
                except Exception as fault:  # noqa: BLE001  the others are answered all the same
                    self._fail(fault)
