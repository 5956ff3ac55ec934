"""
All that is to go and all connections it goes by: who takes what next, and what an answer means for the others.

Everything here runs in the loop's thread. Nothing waits for the ledger: markers are asked for, and answered later.
"""

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from digest.errors import AccountError, ContentError, TransportError, UnreachableError
from digest.smtp.conversation import Conversation, Refusal
from digest.smtp.lanes import Lane, Lanes
from digest.smtp.letters import Consignment, Letter, Parcel
from digest.smtp.markers import Markers
from digest.smtp.opening import Doors
from digest.smtp.pace import Pace, Rate
from digest.smtp.replies import BUSY, Reply, said
from digest.values import DeliveryState, Receipt

TICK = 0.1
PATIENT = 60.0  # seconds that a delivery waits here for its turn; what has to wait longer is deferred
STUCK, STUCK_TIMES = 1.0, 4.0  # seconds, and times the usual answer: from there on a connection is stuck
IDLE = 30.0  # seconds, times the patience: then a connection with nothing to do says goodbye
RECONNECT = 60.0  # seconds, times the patience, that a server which was there may be away
NEVER_REACHED = 1.0  # the same for one that was never there
GOODBYE = 2.0  # seconds, times the patience where that is less than 1
CROWDED = 10.0  # seconds without another try when the server lets no more connections in
MOST_LOST = 3  # connections that may break under one delivery, then it is put off
TRIAL, MOST_REFUSED = 50, 10  # messages; more refused of the first ones, and the fault is the message's
USED_UP = "the rate for {} is used up"
SUSPECT = 10  # recipients refused before any was taken, and the fault is the account's


class Pool:
    """
    Hands parcels over by up to `most` connections.

    A few more may be open while some are stuck with a slow server. `unsent` holds the ids of deliveries whose marker
    has been asked for and whose final dot has not been written, or was refused for good.
    """

    def __init__(
        self,
        doors: Doors,
        *,
        most: int,
        per_connection: int,
        pace: Pace,
        domain_rates: Mapping[str, Sequence[Rate]],
        patience: float = 1.0,
    ) -> None:
        self.doors, self.most, self.per_connection, self.pace, self.patience = (
            doors, most, per_connection, pace, patience
        )  # fmt: skip
        self._widest = 2 * most  # to one domain: on each connection one is on its way, and the next is announced
        self.loop = asyncio.get_running_loop()
        self.clock = self.loop.time
        self.unsent: set[str] = set()
        self.conversations: set[Conversation] = set()
        self._leaving: set[Conversation] = set()
        self._all_gone = asyncio.Event()
        self._idle: dict[Conversation, float] = {}
        self._consignments: set[Consignment] = set()
        self._lanes = Lanes(domain_rates)
        self._queue: deque[Parcel] = deque()
        self._again: deque[Parcel] = deque()  # marked already: they go before all others, so that few are in doubt
        self._held: set[Lane] = set()
        self._strangers: OrderedDict[Lane, None] = OrderedDict()  # unheard of, they wait for those who are known
        self._probing = 0  # under way to such
        self._only_slow = False  # of the held
        self.orphans = 0  # markers asked for by connections that broke meanwhile
        self._markers = Markers(
            self.loop, self.conversations, wanted=self._still_wanted, answered=self._answered, fail=self.fail
        )
        self._opening: set[asyncio.Task[None]] = set()
        self._usual = 0.0  # seconds that a message takes
        self._doubts = 0  # in a row
        self._proven = False  # some recipient was taken
        self._crowded_until = 0.0
        self._away_since: float | None = None
        self._reached = False
        self._spare = 0
        self._retry: asyncio.TimerHandle | None = None
        self._ticking = self.loop.call_later(TICK, self._tick)

    # what comes in --------------------------------------------------------------------------------------------------

    def deliver(self, consignment: Consignment, parcels: Iterable[Parcel]) -> None:
        consignment.error = consignment.letter.condemned  # claimed before the run has heard of it
        self._consignments.add(consignment)
        for parcel in parcels if consignment.error is None else ():
            parcel.lane = self._lanes[parcel.domain]
            consignment.open += 1
            self._queue.append(parcel)
        consignment.end_one(0)
        self.spread()

    def spread(self) -> None:
        """Give work to whoever is idle, and open connections while there is more of it."""
        while self._idle and (self._queue or self._again or self._strangers):
            conversation, _ = self._idle.popitem()
            if not conversation.begin() and not conversation.closed and conversation in self._idle:
                break
        waiting = len(self._queue) + len(self._again) + len(self._strangers)
        if self._crowded_until > self.clock() or self._retry is not None or self._idle:
            return
        while len(self._opening) < min(waiting, self._room):
            task = self.loop.create_task(self._open())
            self._opening.add(task)
            task.add_done_callback(self._opened)

    @property
    def _room(self) -> int:
        """How many more connections there may be. One that broke counts until its marker is answered: nothing is in doubt twice."""
        return self.most + self._spare - len(self.conversations) - self.orphans

    @property
    def has_marked(self) -> bool:
        """Marked parcels wait for a connection that has no other in the server's ear: never two in doubt by one."""
        return bool(self._again)

    # what a conversation asks ---------------------------------------------------------------------------------------

    def is_used_up(self, conversation: Conversation) -> bool:
        return conversation.handed >= self.per_connection or len(self.conversations) > self.most + self._spare

    def take(self, conversation: Conversation) -> Parcel | None:
        """The next parcel that may go now, with its body filled in; None when there is none."""
        now = self.clock()
        while (parcel := self._next()) is not None:
            if not self._may_go(parcel, now):
                continue
            if not self.pace.free and (wait := self.pace.wait(now, time.time())):
                self._queue.appendleft(parcel)
                self._pause(wait)
                return None
            if self._fill(parcel, conversation):
                self._start(parcel, now)
                if not self.pace.free:
                    self.pace.spend(now, time.time())
                return parcel
        return None

    def rest(self, conversation: Conversation) -> None:
        self._idle[conversation] = self.clock()

    def ask(self, conversation: Conversation, parcel: Parcel, done: Sequence[Receipt]) -> None:
        """Have the parcel marked, and the receipts `done` of the same consignment written with the marker."""
        self.unsent.add(parcel.recipient.delivery_id)
        self._markers.ask(conversation, parcel, done)

    def _still_wanted(self, conversation: Conversation, parcel: Parcel, done: Sequence[Receipt]) -> bool:
        """False when the connection broke before its ask was given to the ledger: then the parcel goes back unmarked."""
        if not conversation.closed:
            return True
        for receipt in done:
            parcel.consignment.record(receipt)
        self.orphans -= 1
        self.leaves(parcel)
        self.put_back(parcel, conversation.why)
        return False

    def leaves(self, parcel: Parcel) -> None:
        self.unsent.discard(parcel.recipient.delivery_id)

    def takes_recipients(self) -> None:
        if not self._proven:
            self._proven = True
            for consignment in list(self._consignments):
                consignment.clear()

    # what a conversation tells --------------------------------------------------------------------------------------

    def answer(self, parcel: Parcel, reply: Reply, seconds: float) -> Receipt | None:
        """What the reply to a final dot makes of its parcel; None when that is not yet to be told."""
        self._doubts = 0
        lane, letter = parcel.lane, parcel.consignment.letter
        self._count_answer(letter)
        self._land(parcel)
        self._usual += (seconds - self._usual) * (1 / 64 if self._usual else 1)
        lane.took(seconds, self._usual, self._widest)
        if reply.good:
            lane.told_now()
            return parcel.receipt(DeliveryState.ACCEPTED, "")  # equal words are one entry in the books
        words = said(reply)
        if not reply.for_good:
            self._not_now(lane, reply)
            return parcel.receipt(DeliveryState.DEFERRED, words)
        lane.told_now()
        receipt = parcel.receipt(DeliveryState.FAILED, words)
        return None if self._blames_letter(parcel, receipt) else receipt

    def refuse(self, parcel: Parcel, refusal: Refusal) -> None:
        """RCPT or DATA was refused: nothing has left."""
        self._land(parcel)
        reply, words = refusal.reply, said(refusal.reply)
        if not reply.for_good:
            self._not_now(parcel.lane, reply)
            self._tell(parcel, parcel.receipt(DeliveryState.DEFERRED, words))
            return
        parcel.lane.told_now()
        parcel.lane.known = True
        receipt = parcel.receipt(DeliveryState.FAILED, words, permanent=refusal.at == "RCPT")
        if refusal.at == "DATA":
            self._count_answer(parcel.consignment.letter)
            if not self._blames_letter(parcel, receipt):
                self._tell(parcel, receipt)
        elif self._proven or parcel.marked:
            self._tell(parcel, receipt)
        else:
            self._suspect(parcel, receipt)

    def turned_away(self, conversation: Conversation, parcel: Parcel, refusal: Refusal) -> None:
        """The sender was refused, or the server ends the connection. The parcel has not left, and is put back."""
        reply, words = refusal.reply, said(refusal.reply)
        if refusal.at == "RCPT":
            self._not_now(parcel.lane, reply)
            parcel.lost += 1
        if refusal.at == "MAIL" and (reply.for_good or not conversation.handed):
            sender = "the sender's address, DIGEST_SMTP_BOUNCES and what this login may send"
            self.fail(
                AccountError(
                    f"{conversation.server} refuses mail from our sender ({words}). Nothing of it was sent: check "
                    f"{sender}, then resume the edition."
                )
            )

    def doubt(self, parcel: Parcel, why: str) -> None:
        """The dot was written, and nobody can know."""
        self._land(parcel)
        self._doubts += 1
        parcel.consignment.record(parcel.receipt(DeliveryState.AMBIGUOUS, f"no reply to the last dot: {why}"))
        if self._doubts > self.most + 2:
            self.fail(
                TransportError(
                    f"The SMTP server gave no reply to {self._doubts} messages in a row ({why}). Those are unconfirmed "
                    "and the others queued: look at the server, then run the same command again."
                )
            )

    def put_back(self, parcel: Parcel, broken: str = "") -> None:
        """It has not left: it goes first by the next connection, unless connections keep breaking under it."""
        self._land(parcel)
        parcel.lost += bool(broken)
        if parcel.consignment.over:
            parcel.consignment.end_one()
        elif parcel.lost >= MOST_LOST:
            words = f"{MOST_LOST} connections broke before it had left: {broken or 'the server ended them'}"
            self._tell(parcel, parcel.receipt(DeliveryState.DEFERRED, words))
        else:
            (self._again if parcel.marked else self._queue).appendleft(parcel)

    def leave(self, conversation: Conversation) -> None:
        """The connection takes no more parcels."""
        self.conversations.discard(conversation)
        self._idle.pop(conversation, None)
        (self._leaving.discard if conversation.closed else self._leaving.add)(conversation)
        (self._all_gone.clear if self._leaving else self._all_gone.set)()
        self.loop.call_soon(self.spread)

    # when nothing can go on -----------------------------------------------------------------------------------------

    def fail(self, error: BaseException) -> None:
        """End every consignment with the error, once what has left is answered."""
        for consignment in [one for one in self._consignments if not one.ended]:
            consignment.error = consignment.error or error
            self.stop(consignment)

    def stop(self, consignment: Consignment) -> None:
        """Begin nothing more of it. What has no dot yet never gets one."""
        if consignment.over:
            return
        consignment.over = True
        for lane in (*self._held, *self._strangers):
            self._drop(lane.waiting, consignment)
        for lane in [lane for lane in self._strangers if not lane.waiting]:
            del self._strangers[lane]
        self._drop(self._again, consignment)
        self._drop(self._queue, consignment)
        for conversation in list(self.conversations):
            if conversation.parcel is None or conversation.parcel.consignment is not consignment:
                continue
            if conversation.sent is None:
                conversation.hang_up("stopped")
            else:
                conversation.give_up_parcel()

    async def close(self) -> None:
        """Say goodbye to the servers, for a short while at most."""
        self._ticking.cancel()
        self._markers.close()
        if self._retry is not None:
            self._retry.cancel()
        for task in self._opening:
            task.cancel()
        self._all_gone.set()
        for conversation in list(self._idle):
            conversation.quit()
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE * min(1.0, self.patience)):
                await self._all_gone.wait()
        for conversation in (*self.conversations, *self._leaving):
            conversation.hang_up("closed")
        await asyncio.sleep(0.01)  # the transports close in the loop's next rounds

    # inside ---------------------------------------------------------------------------------------------------------

    def _tell(self, parcel: Parcel, receipt: Receipt) -> None:
        """The outcome of a parcel that has no dot; a marked one's goes by the ledger's own way."""
        if parcel.marked:
            self.leaves(parcel)
            parcel.consignment.record(receipt)
        else:
            parcel.consignment.tell(receipt)

    def _drop(self, parcels: deque[Parcel], consignment: Consignment) -> None:
        kept = [parcel for parcel in parcels if parcel.consignment is not consignment]
        dropped = len(parcels) - len(kept)
        if dropped:
            parcels.clear()
            parcels.extend(kept)
            consignment.end_one(dropped)

    def _next(self) -> Parcel | None:
        """Who is marked goes first. A domain that nobody has heard from is tried when few such are, or there is nobody else."""
        if self._again:
            return self._again.popleft()
        if self._strangers and self._may_probe:
            lane, _ = self._strangers.popitem(last=False)
            parcel = lane.waiting.popleft()
            parcel.probes = True
            if lane.waiting:
                self._hold(lane)
            return parcel
        return self._queue.popleft() if self._queue else None

    def _hold(self, lane: Lane) -> None:
        """What waits there does so for its own domain from now on."""
        now = self.clock()
        for parcel in lane.waiting:
            parcel.since = now
        self._held.add(lane)

    @property
    def _may_probe(self) -> bool:
        """It may be slow, or dead: while there are others, such take at most half of the connections."""
        others = self._queue or (self._held and not self._only_slow)
        return not others or self._probing < max(1, self.most // 2)

    def _may_set_out(self, parcel: Parcel) -> bool:
        """The first one to its domain. Else it waits, and where others wait for the same domain, they are tried sooner."""
        if self._may_probe and parcel.lane not in self._strangers:
            return True
        parcel.since = parcel.since or self.clock()  # its lane may be held already
        parcel.lane.waiting.append(parcel)
        self._strangers[parcel.lane] = None
        if len(parcel.lane.waiting) > 1:
            self._strangers.move_to_end(parcel.lane, last=False)
        return False

    def _start(self, parcel: Parcel, now: float) -> None:
        parcel.lane.start(now)
        parcel.probes = not parcel.lane.known
        self._probing += parcel.probes

    def _may_go(self, parcel: Parcel, now: float) -> bool:
        """False when it is deferred, or waits in its lane."""
        if parcel.marked:
            return True
        lane = parcel.lane
        if lane.rest_until > now:
            self._defer(parcel, f"{lane.domain} rests after many temporary refusals", lane.resting(now))
            return False
        wait = lane.wait(now)
        if not wait:
            return lane.known or lane.flying > 0 or parcel.probes or self._may_set_out(parcel)
        if PATIENT < wait < math.inf:
            self._defer(parcel, USED_UP.format(lane.domain), wait)
        else:
            parcel.since = parcel.since or now
            lane.waiting.append(parcel)
            self._held.add(lane)
        return False

    def _defer(self, parcel: Parcel, words: str, wait: float | None) -> None:
        self._tell(parcel, parcel.receipt(DeliveryState.DEFERRED, words, retry_after=wait))

    def _fill(self, parcel: Parcel, conversation: Conversation) -> bool:
        letter = parcel.consignment.letter
        try:
            body = letter.body(parcel.recipient)
            unfit = letter.unfit(parcel, len(body), conversation.features)
        except (ValueError, TypeError) as fault:
            unfit = f"cannot be filled: {type(fault).__name__}"
        except Exception as error:  # noqa: BLE001  the message's fault or ours: the batches raise it, and none waits for this one
            self.fail(error)
            parcel.consignment.end_one()
            return False
        if unfit:
            self._tell(parcel, parcel.receipt(DeliveryState.FAILED, unfit, permanent=True))
            return False
        conversation.body = body
        return True

    def _answered(self, conversation: Conversation, parcel: Parcel, ours: bool) -> None:  # noqa: FBT001  as Markers says it
        parcel.marked = ours
        self.orphans -= conversation.closed
        if not conversation.closed:
            conversation.answered(ours=ours and not parcel.consignment.over)
        if ours and conversation.closed:
            self.put_back(parcel, conversation.why)
        elif not ours:
            self.leaves(parcel)
            self._land(parcel)
            parcel.consignment.end_one()

    def _land(self, parcel: Parcel) -> None:
        lane = parcel.lane
        lane.flying -= 1
        self._probing -= parcel.probes
        parcel.probes = False
        if lane.waiting:
            self._release(lane)

    def _release(self, lane: Lane) -> None:
        now = self.clock()
        if lane.waiting and (lane.rest_until > now or not lane.wait(now)):
            self._queue.appendleft(lane.waiting.popleft())
        if not lane.waiting:
            self._held.discard(lane)

    def _not_now(self, lane: Lane, reply: Reply) -> None:
        if reply.code in BUSY and lane.told_not_now(self.clock()):
            while lane.waiting:
                self._defer(lane.waiting.popleft(), f"{lane.domain} rests: {said(reply)}", lane.resting(self.clock()))
            self._held.discard(lane)

    def _count_answer(self, letter: Letter) -> None:
        """Once the letter has stood its trial, what was refused meanwhile was those readers' servers' own doing."""
        letter.answered += 1
        if letter.answered == TRIAL + 1:
            for consignment in [one for one in self._consignments if one.letter is letter]:
                consignment.clear()

    def _blames_letter(self, parcel: Parcel, receipt: Receipt) -> bool:
        """While the letter is on trial nobody is failed for it: too many refusals, and it is the message that is at fault."""
        letter = parcel.consignment.letter
        letter.refused += 1
        if letter.answered > TRIAL and not letter.condemned:
            return False
        if letter.refused > MOST_REFUSED:
            letter.condemned = ContentError(
                f"The SMTP server refuses the message itself ({receipt.detail}): {letter.refused} of the first "
                f"{letter.answered}. Mend the edition or its sender, then resume it."
            )
            self.fail(letter.condemned)
        self.unsent.add(parcel.recipient.delivery_id)
        parcel.consignment.suspect(receipt)
        return True

    def _suspect(self, parcel: Parcel, receipt: Receipt) -> None:
        parcel.consignment.suspect(receipt)
        if sum(len(one.unproven) for one in self._consignments) >= SUSPECT:
            self.fail(
                AccountError(
                    f"The SMTP server refused all of the first {SUSPECT} recipients ({receipt.detail}). Nobody was "
                    "failed for it: check DIGEST_SMTP_USER and whether the server relays for us, then resume the edition."
                )
            )

    # connections ----------------------------------------------------------------------------------------------------

    def _opened(self, task: "asyncio.Task[None]") -> None:
        self._opening.discard(task)
        if not task.cancelled() and (fault := task.exception()):
            self.fail(fault)

    async def _open(self) -> None:
        try:
            line = await self.doors.open()
        except TransportError as fault:
            self._not_let_in(fault)
            return
        self._reached, self._away_since = True, None
        conversation = Conversation(self, line)
        self.conversations.add(conversation)
        conversation.begin()

    def _not_let_in(self, fault: TransportError) -> None:
        """With other connections at work this one was one too many; without any, wait a little, or give up."""
        now = self.clock()
        if self.conversations:
            self._crowded_until = now + CROWDED * self.patience
        elif not isinstance(fault, UnreachableError):
            self.fail(fault)
        else:
            self._away_since = now if self._away_since is None else self._away_since
            if now - self._away_since >= (RECONNECT if self._reached else NEVER_REACHED) * self.patience:
                self._away_since = None
                self.fail(fault)
            elif self._retry is None:
                self._retry = self.loop.call_later(min(1.0, 0.25 * self.patience), self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        self.spread()

    def _pause(self, wait: float) -> None:
        """Nothing may leave for so long: wait here, or have the ledger wait."""
        if wait <= PATIENT:
            if self._retry is None:
                self._retry = self.loop.call_later(wait, self._try_again)
            return
        while self._queue or self._strangers:
            parcel = self._next()
            if parcel is not None:
                self._defer(parcel, "what may leave for now has left", wait)

    # now and then ---------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._ticking = self.loop.call_later(TICK, self._tick)
        now = self.clock()
        for consignment in list(self._consignments):
            if consignment.ended:
                self._consignments.discard(consignment)
            elif consignment.mark.stopped:
                self.stop(consignment)
        for conversation in (*self.conversations, *self._leaving):
            if now > conversation.deadline:
                conversation.hang_up("no answer in time", broken=True)
            else:
                conversation.flush(older_than=now - TICK)
        self._look_for_stuck(now)
        for lane in list(self._held):
            self._look_after(lane, now)
        self._only_slow = all(lane.slow for lane in self._held)
        for conversation, since in list(self._idle.items()):
            if now - since > IDLE * self.patience:
                conversation.quit()
        self.spread()

    def _look_for_stuck(self, now: float) -> None:
        """What is stuck with a slow server is replaced by spare connections, and nothing waits behind it."""
        limit = now - max(STUCK, STUCK_TIMES * self._usual)
        stuck = [one for one in self.conversations if one.moved < limit and one.at_work]
        self._spare = min(len(stuck), (self.most + 1) // 2)
        for conversation in stuck:
            if conversation.sent is not None and conversation.parcel is not None:
                conversation.give_up_parcel()

    def _look_after(self, lane: Lane, now: float) -> None:
        """Widen the window while hands are idle; release what may go; defer what has waited long enough."""
        if self._idle and not self._queue and lane.window < self._widest:
            lane.window += 1
        before = len(lane.waiting) + 1
        while 0 < len(lane.waiting) < before and not lane.wait(now):  # a stranger may be sent back to wait its turn
            before = len(lane.waiting)
            self._release(lane)
            if not self._idle:
                break
            self.spread()
        wait = lane.wait(now)
        while lane.waiting and PATIENT < wait < math.inf:
            self._defer(lane.waiting.popleft(), USED_UP.format(lane.domain), wait)
        while lane.waiting and now - lane.waiting[0].since > PATIENT:
            self._defer(lane.waiting.popleft(), f"{lane.domain} takes mail too slowly for all at once", None)
        if not lane.waiting:
            self._held.discard(lane)
