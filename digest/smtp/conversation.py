"""
One connection handing over one message after the other, always knowing which of them has left.

Until the final dot is written nothing has left; after it and before its reply nobody can know. So the body goes first,
the ledger's marker next, and only then the dot, in one write with the next message's envelope.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from digest.crashes import crash_point
from digest.smtp.letters import Consignment, Parcel
from digest.smtp.opening import Line
from digest.smtp.replies import Replies, Reply, ReplyError, said
from digest.values import Receipt

if TYPE_CHECKING:
    from digest.smtp.pool import Pool

ENVELOPE, BODY, AFTER_DOT, QUIT = 120.0, 180.0, 600.0, 5.0  # seconds, times the patience
GO_ON, CLOSING = 354, 421


class Refusal(NamedTuple):
    """Where in a message's envelope the server said no, and how."""

    at: str  # "MAIL", "RCPT" or "DATA"
    reply: Reply


class Conversation(asyncio.Protocol):
    """
    `parcel` has its envelope said and has surely not left; `sent` has its dot written and no reply yet.

    Its pool gives it parcels and hears what became of them. All of it runs in the loop's thread.
    """

    def __init__(self, pool: "Pool", line: Line) -> None:
        self.pool = pool
        self.features = line.features
        self.server = str(line.server)
        self.parcel: Parcel | None = None
        self.body = b""
        self.sent: Parcel | None = None
        self.handed = 0  # messages on this connection
        self.closed = False
        self.why = ""  # it ended
        self.asking = False  # the ledger has been asked for the parcel's marker
        self.spoiled = False  # what its envelope was said for goes another way: good for one reply, and no more
        self.deadline = math.inf
        self.moved = pool.clock()  # when the server's turn began
        self._transport = line.transport
        self._replies = Replies()
        self._expected: deque[Callable[[Reply], None]] = deque()
        self._refusal: Refusal | None = None
        self._kept: tuple[Consignment, Receipt] | None = None  # goes with the next marker
        self._kept_since = 0.0
        self._asked = 0.0
        self._draining = False
        line.transport.set_protocol(self)
        line.transport.set_write_buffer_limits(high=0)  # so that `resume_writing` says when all has left our hands

    # the way of a message ---------------------------------------------------------------------------------------------

    def begin(self, *, afresh: bool = False) -> bool:
        """Take a parcel and say its envelope. False when there is none; then the pool keeps this connection idle."""
        if self.pool.is_used_up(self):
            self.quit()
            return False
        parcel = self.pool.take(self)
        if parcel is None:
            self.deadline = math.inf
            self.flush()
            self.pool.rest(self)
            return False
        self.parcel = parcel
        self.moved = self.pool.clock()
        self._wait(ENVELOPE)
        if not afresh:
            self._transport.write(self._envelope(parcel))
        elif self.features.pipelining:
            self._expected.append(self._ignore)
            self._transport.write(b"RSET\r\n" + self._envelope(parcel))
        else:
            self._expected.append(self._on_reset)
            self._transport.write(b"RSET\r\n")
        return True

    def _on_reset(self, _reply: Reply) -> None:
        if self.parcel is not None:
            self._transport.write(self._envelope(self.parcel))

    def _envelope(self, parcel: Parcel) -> bytes:
        """What is said before the body: all at once where the server takes it so."""
        self._refusal = None
        mail = parcel.consignment.letter.mail_from(parcel, self.features)
        if not self.features.pipelining:
            self._expected.append(self._on_mail)
            return mail
        self._expected.extend((self._on_mail, self._on_rcpt, self._on_data))
        return b"%bRCPT TO:<%b>\r\nDATA\r\n" % (mail, parcel.mailbox.encode())

    def _on_mail(self, reply: Reply) -> None:
        if not reply.good:
            self._refusal = Refusal("MAIL", reply)
        self._next_step(lambda parcel: b"RCPT TO:<%b>\r\n" % parcel.mailbox.encode(), self._on_rcpt)

    def _on_rcpt(self, reply: Reply) -> None:
        if reply.good:
            self.pool.takes_recipients()
        else:
            self._refusal = self._refusal or Refusal("RCPT", reply)
        self._next_step(lambda _: b"DATA\r\n", self._on_data)

    def _next_step(self, words: Callable[[Parcel], bytes], then: Callable[[Reply], None]) -> None:
        if self.features.pipelining or self.spoiled:
            return
        if self._refusal is not None or self.parcel is None:
            self._refused()
        else:
            self._expected.append(then)
            self._transport.write(words(self.parcel))

    def _on_data(self, reply: Reply) -> None:
        if self.parcel is None:
            return
        if reply.code != GO_ON:
            self._refusal = self._refusal or Refusal("DATA", reply)
            self._refused()
        elif self._refusal is None:
            self._say_body(self.parcel)
        elif self._refusal.at == "RCPT":
            self._expected.append(lambda _: self._refused())  # it wants a message for nobody: an empty one ends it
            self._transport.write(b".\r\n")
        else:
            self._refused()

    def _say_body(self, parcel: Parcel) -> None:
        consignment = parcel.consignment
        if consignment.over or consignment.mark.stopped:
            self.hang_up("stopped")
            return
        self._transport.write(self.body)
        self.body = b""
        if parcel.marked:
            self.flush()
            self._say_dot()
            return
        done: tuple[Receipt, ...] = ()
        if self._kept is not None and self._kept[0] is consignment:
            done, self._kept = (self._kept[1],), None
        else:
            self.flush()
        self.pool.ask(self, parcel, done)  # answered in a later round of the loop, if it could be asked at all
        self.asking, self.deadline, self._asked = True, math.inf, self.pool.clock()

    def answered(self, *, ours: bool) -> None:
        """The ledger has written the marker, or will not: then the connection ends without the dot."""
        self.asking = False
        if self.closed:
            return
        self.moved += self.pool.clock() - self._asked  # not the server's time
        if ours:
            self._say_dot()
        else:
            self.parcel = None
            self.hang_up("stopped")

    @property
    def at_work(self) -> bool:
        """It is the server's turn."""
        return not self.asking and (self.parcel is not None or self.sent is not None)

    def _say_dot(self) -> None:
        """The point of no return. Not before the whole body has left our hands: until then a failure leaves no doubt."""
        if self._transport.get_write_buffer_size():
            self._draining = True
            self._wait(BODY)
            return
        assert self.parcel is not None, "a dot ends a message"
        self.sent, self.parcel = self.parcel, None
        self.handed += 1
        self.pool.leaves(self.sent)
        self._expected.append(self._on_dot)
        pipelined = self.features.pipelining and not self.sent.lane.slow
        if pipelined and not self.pool.has_marked and not self.pool.is_used_up(self):
            self.parcel = self.pool.take(self)
        self._wait(AFTER_DOT)
        self._transport.write(b".\r\n" if self.parcel is None else b".\r\n" + self._envelope(self.parcel))
        crash_point("after_hand")

    def _on_dot(self, reply: Reply) -> None:
        parcel, self.sent = self.sent, None
        assert parcel is not None, "only a dot is answered here"
        now = self.pool.clock()
        receipt = self.pool.answer(parcel, reply, now - self.moved)
        self.moved = self._kept_since = now
        if receipt is not None:
            self._kept = (parcel.consignment, receipt)
        if self.closed:
            self.flush()
        elif self.spoiled or reply.code == CLOSING:
            self.hang_up(said(reply))
        elif self.parcel is None:
            self.begin()
        else:
            self._wait(ENVELOPE)
            if self.parcel.consignment is not parcel.consignment:
                self.flush()

    def _refused(self) -> None:
        """The envelope was refused: the parcel gets its due, and the connection goes on with another."""
        refusal, parcel, self.parcel, self.body = self._refusal, self.parcel, None, b""
        if refusal is None or parcel is None:
            return
        if refusal.reply.code == CLOSING or refusal.at == "MAIL":
            self.parcel = parcel
            self.pool.turned_away(self, parcel, refusal)
            self.hang_up(said(refusal.reply))
        else:
            self.pool.refuse(parcel, refusal)
            self.begin(afresh=True)

    def _ignore(self, _reply: Reply) -> None:
        """RSET and QUIT are only good manners."""

    # receipts -------------------------------------------------------------------------------------------------------

    def flush(self, older_than: float = math.inf) -> None:
        """Give the receipt that waits for a marker to travel with to the ledger now."""
        if self._kept is not None and self._kept_since <= older_than:
            (consignment, receipt), self._kept = self._kept, None
            consignment.record(receipt)

    # the end --------------------------------------------------------------------------------------------------------

    def give_up_parcel(self) -> None:
        """Let the parcel go another way, while the one before it is still waiting for its reply."""
        parcel, self.parcel, self.body, self.spoiled = self.parcel, None, b"", True
        if parcel is not None:
            self.pool.put_back(parcel)

    def quit(self) -> None:
        """End politely; only when nothing is under way."""
        self.flush()
        self._expected.append(lambda _: self.hang_up("goodbye"))
        self._wait(QUIT)
        self._transport.write(b"QUIT\r\n")
        self.pool.leave(self)

    def hang_up(self, why: str, *, broken: bool = False) -> None:
        """
        End at once. What was sent and not answered is unconfirmed; what had no dot yet goes another way.

        `broken`: the connection failed under its parcel; a parcel that this happens to again and again is put off.
        """
        if self.closed:
            return
        self.closed, self.why = True, why
        self.deadline = math.inf
        self._transport.abort()
        self.flush()
        sent, self.sent = self.sent, None
        parcel, self.parcel, self.body = self.parcel, None, b""
        self.pool.leave(self)
        if self.asking:
            self.pool.orphans += 1
        elif parcel is not None:
            self.pool.put_back(parcel, why if broken else "")
        if sent is not None:
            self.pool.doubt(sent, why)

    def _wait(self, seconds: float) -> None:
        self.deadline = self.pool.clock() + seconds * self.pool.patience

    # what the loop calls --------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        try:
            replies = self._replies.feed(data)
        except ReplyError as fault:
            self.hang_up(str(fault), broken=True)
            return
        for reply in replies:
            if self.closed:
                return
            if self._expected:
                self._expected.popleft()(reply)
            else:
                self.hang_up(said(reply), broken=self.parcel is not None)

    def resume_writing(self) -> None:
        if self._draining:
            self._draining = False
            self._say_dot()

    def connection_lost(self, exc: Exception | None) -> None:
        why = f"the connection broke: {type(exc).__name__}" if exc else "the server hung up"
        self.hang_up(why, broken=True)
