"""What came back: written down once, whatever the order, and what it proves of its delivery."""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, bindparam, select

from digest.consequences import Fresh, Policy, follow
from digest.database import gave_way, writing
from digest.deliveries import Mailed, Word, insert_once, mailings_of, move, rows_of, spelled, stand_aside, word
from digest.delivery_ids import Named, read_delivery_id, read_delivery_token
from digest.errors import StorageError
from digest.models import EventRow
from digest.values import Event, EventKind
from subscribers.tokens import Keys

EVENTS = EventRow.metadata.tables["event"]
TRIES = 5
SOME = 500  # rows of one transaction of `adopt`


class Outcome(StrEnum):
    """What became of one event."""

    HEARD = "written down"
    AGAIN = "known already"
    ASIDE = "kept aside: that delivery is not known here"
    FOREIGN = "left: it names no delivery of this house"
    OLD = "left: it happened longer ago than events are kept"


@dataclass(slots=True)
class Heard:
    """An outcome for each event, in their order, and what followed from all of them."""

    outcomes: list[Outcome] = field(default_factory=list)
    moved: int = 0
    suppressed: int = 0
    left: int = 0


def hear(
    engine: Engine,
    events: Sequence[Event],
    *,
    keys: Keys,
    provider: str,
    policy: Policy,
    now: datetime,
    dry_run: bool = False,
) -> Heard:
    """
    Write down what came back, all of it in one transaction, and draw its consequences.

    An event counts once, however often and in whatever order it is told. One that names a delivery of ours which is not
    in the tables is kept aside for `adopt`; any other name is not ours and leaves no trace. `dry_run`: nothing is kept.

    Raises:
        StorageError: the database refused and nothing was written: let it be told again.
    """
    for attempt in range(1, TRIES + 1):
        try:
            with writing(engine) as session:
                heard = _Hearing(session.connection(), keys, policy, now).hear(events, provider)
                if dry_run:
                    session.rollback()
                return heard
        except StorageError as error:
            if attempt == TRIES or not gave_way(error):
                raise
            time.sleep(0.1 * attempt)
    raise AssertionError("the last try returns or raises")


def adopt(engine: Engine, *, keys: Keys, policy: Policy, now: datetime) -> int:
    """Hear what was kept aside and is known by now; how many."""
    heard, after = 0, 0
    while after >= 0:
        with writing(engine) as session:
            more, after = _Hearing(session.connection(), keys, policy, now).adopt(after)
        heard += more
    return heard


class _Place(NamedTuple):
    """Where a name leads: the mailing, and the delivery's row."""

    mailing: Mailed
    row: Any


class _Hearing:
    """What is heard in one transaction."""

    def __init__(self, connection: Connection, keys: Keys, policy: Policy, now: datetime) -> None:
        self.connection, self.keys, self.policy, self.now = connection, keys, policy, now
        stand_aside(connection)

    def hear(self, events: Sequence[Event], provider: str) -> Heard:
        told = list(map(_key_giver(self.keys.hash_key), events))
        once = {key: event for key, event in zip(told, events, strict=True) if not self._is_old(event)}
        places = self._places({event.delivery for event in once.values()})
        ours = {key: event for key, event in sorted(once.items()) if event.delivery in places}
        new = self._insert(
            [_row(key, event, places[event.delivery], provider, self.now) for key, event in ours.items()]
        )
        heard = self._follow({
            key: Fresh(ours[key], *place, provider)
            for key in sorted(new)
            if (place := places[ours[key].delivery]) is not None
        })  # fmt: skip
        heard.outcomes = list(_outcomes(told, once, places, new))
        return heard

    def _is_old(self, event: Event) -> bool:
        """What happened longer ago than events are kept: nobody would know whether it was heard before."""
        return 0 < event.at < (self.now - timedelta(days=self.policy.event_days)).timestamp()

    def adopt(self, after: int) -> tuple[int, int]:
        """Of the next events kept aside: how many are known now, and after which row to go on; -1 at the end."""
        row = EVENTS.c
        query = select(EVENTS).where(row.number.is_(None), row.id > after).order_by(row.id).limit(SOME)
        aside = self.connection.execute(query).all()
        places = self._places({one.delivery for one in aside})
        known = [(one, place) for one in aside if (place := places[one.delivery]) is not None]
        if known:
            change = EVENTS.update().where(row.id == bindparam("which"))
            values = [{"reason": one.reason, **_of(place), **_forgotten(place)} for one, place in known]
            keys = [{"which": one.id, "delivery": ""} for one, _ in known]
            self.connection.execute(change, [key | value for key, value in zip(keys, values, strict=True)])
        self._follow({one.key: Fresh(_event(one), *place, one.provider) for one, place in known})
        return len(known), aside[-1].id if len(aside) == SOME else -1

    def _places(self, names: Collection[str]) -> dict[str, _Place | None]:
        """Where each name that we gave leads; None where that delivery is not in the tables."""
        ours = {text: name for text in names if (name := _name(self.keys, text)) is not None}
        mailings = mailings_of(self.connection, {name.mailing for name in ours.values()})
        rows = {
            number: rows_of(self.connection, mailing, {name.number for name in ours.values() if name.mailing == number})
            for number, mailing in sorted(mailings.items())
        }
        return {
            text: _place(mailings.get(name.mailing), name, rows.get(name.mailing, {})) for text, name in ours.items()
        }

    def _insert(self, rows: Sequence[Mapping[str, Any]]) -> set[bytes]:
        """The keys of those that were not there yet."""
        if not rows:
            return set()
        insert = insert_once(self.connection, EVENTS).on_conflict_do_nothing().returning(EVENTS.c.key)
        return set(self.connection.execute(insert, rows).scalars())

    def _follow(self, fresh: Mapping[bytes, Fresh]) -> Heard:
        """The deliveries moved on, and the rest of the consequences."""
        about: dict[Mailed, dict[int, Any]] = defaultdict(dict)
        for one in fresh.values():
            about[one.mailing][one.row.number] = one.row
        moved = sum(move(self.connection, mailing, rows, self._words(mailing, rows)) for mailing, rows in about.items())
        suppressed, left = follow(self.connection, list(fresh.values()), self.policy, self.now)
        return Heard(moved=moved, suppressed=suppressed, left=left)

    def _words(self, mailing: Mailed, numbers: Collection[int]) -> dict[int, Word]:
        """The strongest word on each, of all that was ever heard of it: so it is the same in whatever order that came."""
        given = {"mailing": mailing.id, "numbers": json.dumps([*numbers])}
        words: dict[int, Word] = {}
        heard = self.connection.exec_driver_sql(SAID[self.connection.dialect.name], given).all()
        for number, kind, at, key, reason in heard:
            said = word(kind, at, key, reason)
            words[number] = max(said, words.get(number, said))
        return words


SAID = spelled("SELECT number, kind, at, key, reason FROM event WHERE mailing_id = :mailing AND number IN {numbers}")


def _name(keys: Keys, text: str) -> Named | None:
    """What the opaque id of a delivery of ours says, or its token, which knows nothing of the mailing's opening."""
    if (name := read_delivery_id(keys.hash_key, text)) is not None:
        return name
    known = read_delivery_token(keys, text)
    return Named(*known, ANY_TIME) if known is not None else None


ANY_TIME = -1


def _place(mailing: Mailed | None, name: Named, rows: Mapping[int, Any]) -> _Place | None:
    if mailing is None or name.opened not in {mailing.opened, ANY_TIME} or name.number not in rows:
        return None
    return _Place(mailing, rows[name.number])


def _key_giver(hash_key: bytes) -> Callable[[Event], bytes]:
    """What gives each event its key: the delivery, what happened, when, and by which link."""
    keyed = blake2b(digest_size=16, key=hash_key, person=b"event")

    def key_of(event: Event) -> bytes:
        mac = keyed.copy()
        told = f"{event.delivery}\n{event.kind}\n{event.permanent:d}\n{float(event.at)!r}\n{event.url}"
        mac.update(told.encode("utf-8", "surrogatepass"))
        return mac.digest()

    return key_of


def _of(place: _Place | None) -> dict[str, Any]:
    """The columns that say whose an event is; its address only where that is one."""
    if place is None:
        return {"month": None, "mailing_id": None, "number": None, "target": ""}
    mailing, row = place
    target = row.target if row.channel == "email" else ""
    return {"month": mailing.month, "mailing_id": mailing.id, "number": row.number, "target": target}


def _forgotten(place: _Place | None) -> dict[str, str]:
    """Of somebody erased nothing is kept of what a server says: its words often repeat the address."""
    return {"reason": ""} if place is not None and not place.row.target else {}


def _row(key: bytes, event: Event, place: _Place | None, provider: str, now: datetime) -> dict[str, Any]:
    return {
        "key": key, "provider": provider, "kind": event.kind.value, "at": event.at, "heard_at": now.timestamp(),
        "permanent": event.permanent, "machine": False, "link": "", "reason": event.reason,
        "delivery": "" if place else event.delivery, **_of(place), **_forgotten(place),
    }  # fmt: skip


def _event(row: Any) -> Event:
    return Event(row.delivery, EventKind(row.kind), row.at, permanent=row.permanent, reason=row.reason)


def _outcomes(
    told: Sequence[bytes], once: Mapping[bytes, Event], places: Mapping[str, _Place | None], new: Collection[bytes]
) -> Iterator[Outcome]:
    first = set(new)
    for key in told:
        name = once[key].delivery if key in once else None
        if name is None:
            yield Outcome.OLD
        elif name not in places:
            yield Outcome.FOREIGN
        elif key not in first:
            yield Outcome.AGAIN
        else:
            yield Outcome.HEARD if places[name] else Outcome.ASIDE
            first.discard(key)
