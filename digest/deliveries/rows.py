"""The rows of a mailing: its deliveries in batches, each of one proof and, where readers have their hours, of one wave."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    Select,
    String,
    bindparam,
    case,
    func,
    literal,
    select,
    true,
    tuple_,
)

from digest.crashes import crash_point
from digest.deliveries.tables import BATCHES, DELIVERIES, hexed, insert_once, listed, roomy
from digest.profiles import profile_of, topics_of
from digest.values import BatchState, DeliveryState
from digest.windows import Rhythm
from subscribers.audience import PEOPLE, WANTED, WISHES, leaning, standing, wishing

PAGE = 10_000  # readers looked at together
AT_ONCE = 0.0
MISSED = "missed"
People = Select[Any, Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """
    The part of an edition's audience that one proof serves: a segment's readers of one language on one channel.

    Shares come in the segments' order: a reader belongs to the first segment whose rule they meet. Who reads none of
    the languages printed for their segment gets its proof in the digest's own language, or else the first. Within a share,
    readers whose wishes make one of its `profiles` get that proof, and all others `proof_id`.
    """

    channel: str
    transport: str
    proof_id: int
    language: str
    segment: str = ""
    rule: str = ""  # in the words of subscribers.segments; empty: everyone
    slots: tuple[str, ...] = ()  # the topic of each slot
    profiles: Mapping[str, int] = field(
        default_factory=dict
    )  # the proofs of those who read in another order, by profile


@dataclass(frozen=True, slots=True)
class Place:
    """Where a delivery is put: with which proof, and in the wave of which instant (epoch seconds; None: in none)."""

    proof_id: int
    instant: float | None


@dataclass
class Filler:
    """Writes batch after batch of one mailing; `written` is how many rows there are, and so the last number given."""

    connection: Connection
    mailing: int
    now: datetime
    batch_size: int
    priority: int
    rhythm: Rhythm | None = None
    written: int = 0
    _last_wave: datetime | None = None
    _batch_insert: Any = field(init=False)
    _last_reader: Any = field(init=False)

    def __post_init__(self) -> None:
        row = DELIVERIES.c
        self._batch_insert = BATCHES.insert().returning(BATCHES.c.id)
        self._last_reader = (
            select(row.subscriber_id, row.target)
            .where(row.month == self._month, row.mailing_id == self.mailing, row.number > bindparam("base"))
            .order_by(row.subscriber_id.desc(), row.target.desc())
            .limit(1)
        )

    def fill(self, share: Share, people: People) -> None:
        """All of a share's readers: in the order of their ids where they are alike, else sorted into their places."""
        if share.profiles or (self.rhythm is not None and self.rhythm.local):
            with roomy(self.connection):
                self._fill_sorted(share, people)
        else:
            self._fill_alike(share, people)

    def covered(self, expires_at: datetime) -> datetime:
        """The moment until which the mailing has to stay open, so that the last wave may be as late as it is allowed to."""
        if self.rhythm is None or self._last_wave is None:
            return expires_at
        return max(expires_at, self._last_wave + self.rhythm.late_after)

    # readers who are alike --------------------------------------------------------------------------------------------

    def _fill_alike(self, share: Share, people: People) -> None:
        """From where the last batch ended."""
        insert, place = self._insert(share, self._next(people)), Place(share.proof_id, self._instant("", ""))
        after, written = (0, ""), self.batch_size
        while written == self.batch_size:
            where = {"after_reader": after[0], "after_device": after[1]}
            written = self._write(share, insert, place, self.batch_size, where)
            if written:
                after = self._last(share)
                self.written += written

    def _next(self, people: People) -> People:
        reader, device = people.selected_columns.subscriber_id, people.selected_columns.device
        after = tuple_(bindparam("after_reader", type_=Integer), bindparam("after_device", type_=String))
        # the limit stands inside: row_number over everyone left would make the fill quadratic
        return people.where(tuple_(reader, device) > after).order_by(reader, device).limit(self.batch_size)

    def _last(self, share: Share) -> tuple[int, str]:
        """The reader the batch just written ended with: the next one starts after them."""
        reader, target = self.connection.execute(self._last_reader, {"base": self.written}).one()
        return int(reader), str(target) if share.channel == "push" else ""

    # readers with their own hours and orders --------------------------------------------------------------------------

    def _fill_sorted(self, share: Share, people: People) -> None:
        """In one pass over the readers: a heap for each place, which becomes a batch as soon as it is one."""
        chosen = wishing().where(WISHES.c.id.op("IN")(listed(bindparam("those", type_=String))))
        insert = self._insert(share, chosen.order_by(WISHES.c.subscriber_id, WISHES.c.device))
        places: dict[tuple[str, str, int], Place] = {}
        heaps: dict[Place, list[int]] = {}
        for wish, zone, hour, lean in self._pages(people, share):
            key = zone, hour, lean
            if key not in places:
                proof = share.profiles.get(profile_of(lean, share.slots), share.proof_id)
                places[key] = Place(proof, self._instant(zone, hour))
            heap = heaps.setdefault(places[key], [])
            heap.append(wish)
            if len(heap) == self.batch_size:
                self._write_heap(share, insert, places[key], heap)
        for place, heap in sorted(heaps.items(), key=lambda one: (one[0].instant or 0.0, one[0].proof_id)):
            if heap:
                self._write_heap(share, insert, place, heap)

    def _pages(self, people: People, share: Share) -> Iterator[tuple[int, str, str, int]]:
        """(wish, zone, hour, leaning) of everyone, read a page at a time."""
        reader, device = WISHES.c.subscriber_id, WISHES.c.device
        after = tuple_(bindparam("after_reader", type_=Integer), bindparam("after_device", type_=String))
        lean = leaning(topics_of(share.slots)) if share.profiles else literal(0)
        page = people.with_only_columns(WISHES.c.id, PEOPLE.c.zone, WISHES.c.hour, lean, reader, device)
        page = page.where(tuple_(reader, device) > after).order_by(reader, device).limit(PAGE)
        last: tuple[int, str] | None = (0, "")
        while last is not None:
            found = self.connection.execute(page, {"after_reader": last[0], "after_device": last[1]}).all()
            last = (found[-1][4], found[-1][5]) if len(found) == PAGE else None
            for one in found:
                yield one[0], one[1], one[2], one[3]

    def _instant(self, zone: str, hour: str) -> float | None:
        if self.rhythm is None:
            return AT_ONCE
        at = self.rhythm.due(zone, hour, now=self.now).instant
        if at is None:
            return None
        self._last_wave = max(self._last_wave or at, at)
        return at.timestamp()

    def _write_heap(self, share: Share, insert: Any, place: Place, heap: list[int]) -> None:
        self.written += self._write(share, insert, place, len(heap), {"those": json.dumps(heap)})
        heap.clear()

    # a batch ----------------------------------------------------------------------------------------------------------

    def _write(self, share: Share, insert: Any, place: Place, size: int, where: dict[str, Any]) -> int:
        """A batch of up to `size` deliveries; how many there were. Those that are in no wave are done with that."""
        batch = self._open_batch(share, place, size)
        missed = place.instant is None
        state, why = (DeliveryState.SKIPPED, MISSED) if missed else (DeliveryState.QUEUED, "")
        put = {"base": self.written, "batch": batch, "proof": place.proof_id, "state_now": state.value, "why": why}
        written = int(self.connection.execute(insert, {**put, **where}).rowcount)
        crash_point("mid_fill")
        if written < size:
            self._cut(batch, written)
        return written

    def _open_batch(self, share: Share, place: Place, size: int) -> int:
        row = {
            "mailing_id": self.mailing, "month": self._month, "proof_id": place.proof_id, "channel": share.channel,
            "transport": share.transport, "first_number": self.written + 1, "last_number": self.written + size,
            "state": BatchState.DONE if place.instant is None else BatchState.READY, "priority": self.priority,
            "not_before": place.instant or AT_ONCE, "owner": "", "lease_until": 0.0, "fence": 0, "attempt": 0,
            "crashes": 0, "stamp": 0,
        }  # fmt: skip
        return int(self.connection.execute(self._batch_insert, row).scalar_one())

    def _cut(self, batch: int, written: int) -> None:
        mine = BATCHES.c.id == batch
        span = BATCHES.update().where(mine).values(last_number=self.written + written)
        self.connection.execute(span if written else BATCHES.delete().where(mine))

    @property
    def _month(self) -> int:
        return self.now.year * 100 + self.now.month

    def _insert(self, share: Share, people: People) -> Any:
        columns = self._columns(share, people.add_columns(standing(self.now).label("standing")).subquery().c)
        rows = select(*columns.values()).where(true())
        return (
            insert_once(self.connection, DELIVERIES)
            .from_select(list(columns), rows)
            .on_conflict_do_nothing()
            .execution_options(preserve_rowcount=True)
        )

    def _columns(self, share: Share, one: Any) -> dict[str, Any]:
        wanted = one.standing == WANTED
        return {
            "month": literal(self._month),
            "mailing_id": literal(self.mailing),
            "number": bindparam("base", type_=BigInteger) + func.row_number().over(),
            "subscriber_id": one.subscriber_id,
            "channel": literal(share.channel),
            "target": one.device if share.channel == "push" else hexed(one.email_hash),
            "proof_id": bindparam("proof", type_=Integer),
            "batch_id": bindparam("batch", type_=BigInteger),
            "state": case(
                (wanted, bindparam("state_now", type_=String)),
                (one.standing == "suppressed", DeliveryState.SUPPRESSED.value),
                else_=DeliveryState.SKIPPED.value,
            ),
            "reason": case((wanted, bindparam("why", type_=String)), else_=one.standing),
            "attempt": literal(0),
            "updated_at": literal(self.now.timestamp()),
        }
