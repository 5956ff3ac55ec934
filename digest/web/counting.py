"""
Opens and clicks between the moment they are seen and the moment they are written down: a minute at most, in memory.

They are held so that what one visitor does can be judged together, and so that thousands cost one transaction. A process that
is killed forgets what it holds, of most visitors the last ten seconds: counts are the one thing here that may be lost. In
aggregate mode a visitor is known by a keyed hash, whose key is made at the start of the process and which is written nowhere.
"""

import logging
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from threading import Event, Lock, Thread
from typing import TypeVar

from digest import tracking
from digest.database import reading
from digest.errors import StorageError
from digest.machines import LONGEST_AGENT, Sight
from digest.press import Press
from digest.tracking import Lead, Place, Visit
from digest.web.guard import Clock, without_values

log = logging.getLogger(__name__)
QUIET, LONGEST = 10.0, 60.0  # seconds: a visitor is judged once nothing more came for so long, and no later
MOST = 50_000  # things seen that are held; known machines may fill one half of it
BEAT = 1.0  # seconds between two looks for what can be written down
TRAILS_KEPT, EDITIONS_KEPT = 10_000, 500

K = TypeVar("K")
V = TypeVar("V")
Key = tuple[Place, bytes]
What = tuple[int, str, bool, bool]
"""Of a sight all but its moment: link, mark, head, trap."""


@dataclass
class _Group:
    """What one visitor does: each thing with the first moment it was seen, so that hammering takes no room."""

    first: float
    last: float
    seen: dict[What, float] = field(default_factory=dict)

    @property
    def sights(self) -> list[Sight]:
        return [Sight(link, at, mark, head, trap) for (link, mark, head, trap), at in self.seen.items()]


class Counting:
    """What one web process has seen and not written down. Several threads may use it."""

    def __init__(self, press: Press, clock: Clock, *, most: int = MOST) -> None:
        self.press, self.clock, self.most = press, clock, most
        self._lock = Lock()  # over what follows
        self._groups: dict[Key, _Group] = {}
        self._held = 0
        self._dropped: Counter[int] = Counter()
        self._places: dict[str, Place] = {}
        self._leads: dict[tuple[int, int], Mapping[int, Lead]] = {}
        self._secret = secrets.token_bytes(32)

    # where links lead -------------------------------------------------------------------------------------------------

    def place_of(self, trail: str) -> Place | None:
        """As tracking.place_of, remembered for the next link of the same mail."""
        place = self._places.get(trail)
        if place is None:
            with reading(self.press.engine) as session:
                place = tracking.place_of(session.connection(), self.press.keys, trail)
            if place is not None:
                _remember(self._places, trail, place, TRAILS_KEPT)
        return place

    def leads_of(self, place: Place) -> Mapping[int, Lead]:
        """The links of that edition, remembered once there are any."""
        edition = place.edition, place.version
        leads = self._leads.get(edition)
        if leads is None:
            with reading(self.press.engine) as session:
                leads = tracking.leads_of(session.connection(), *edition)
            if leads:
                _remember(self._leads, edition, leads, EDITIONS_KEPT)
        return leads

    # what is seen -----------------------------------------------------------------------------------------------------

    def note(self, place: Place, sight: Sight, *, client: str, agent: str) -> None:
        """Hold what was seen until it can be judged. Of whom it is matters only where the mail is nobody's."""
        if self.press.settings.tracking == tracking.OFF or place.preview:
            return
        key = place, b"" if place.mailing else self._visitor(client, agent)
        what = sight.link, sight.mark, sight.head, sight.trap
        with self._lock:
            group = self._groups.get(key)
            if group is not None and what in group.seen:
                group.last = sight.at
                return
            if self._held >= (self.most // 2 if sight.mark else self.most):
                self._dropped[place.edition] += 1
                return
            group = group or self._groups.setdefault(key, _Group(sight.at, sight.at))
            group.last, group.seen[what] = sight.at, sight.at
            self._held += 1

    def _visitor(self, client: str, agent: str) -> bytes:
        return blake2b(f"{client}\n{agent[:LONGEST_AGENT]}".encode("utf-8", "replace"), key=self._secret).digest()[:16]

    # and written down -------------------------------------------------------------------------------------------------

    def settle(self, *, everything: bool = False) -> int:
        """
        Judge and write down what has come to rest, or all there is; how many visitors that were.

        What the database refuses is held on to, and tried again at the next call.
        """
        ready = self._taken(self.clock(), everything=everything)
        done = 0
        try:
            while done < len(ready):
                some = ready[done : done + tracking.SOME]
                visits = [Visit(place, group.sights) for (place, _), group in some]
                tracking.write(self.press.engine, visits, mode=self.press.settings.tracking)
                done += len(some)
            self._write_dropped()
        except StorageError as error:
            log.warning("opens and clicks wait: %s", error)
            self._give_back(ready[done:])
        except Exception:  # a fault of ours: that part is given up and counted as dropped, not tried for ever
            self._give_up(ready[done : done + tracking.SOME])
            self._give_back(ready[done + tracking.SOME :])
            raise
        return done

    def _taken(self, now: datetime, *, everything: bool) -> list[tuple[Key, _Group]]:
        at = now.timestamp()
        with self._lock:
            ready = [
                (key, group)
                for key, group in self._groups.items()
                if everything or at - group.last >= QUIET or at - group.first >= LONGEST
            ]
            for key, group in ready:
                del self._groups[key]
                self._held -= len(group.seen)
        return ready

    def _give_back(self, waiting: Sequence[tuple[Key, _Group]]) -> None:
        with self._lock:
            for key, group in waiting:
                newer = self._groups.get(key)
                room = len(group.seen) - (len(group.seen.keys() & newer.seen.keys()) if newer else 0)
                if self._held + room > self.most:
                    self._dropped[key[0].edition] += room
                    continue
                if newer is not None:
                    group.last, group.seen = newer.last, {**newer.seen, **group.seen}
                self._groups[key] = group
                self._held += room

    def _give_up(self, lost: Sequence[tuple[Key, _Group]]) -> None:
        with self._lock:
            for (place, _), group in lost:
                self._dropped[place.edition] += len(group.seen)

    def _write_dropped(self) -> None:
        with self._lock:
            dropped, self._dropped = self._dropped, Counter()
        if dropped:
            log.warning("%d opens and clicks were not counted: too many at once", dropped.total())
            try:
                tracking.drop(self.press.engine, dropped)
            except StorageError:
                with self._lock:
                    self._dropped += dropped
                raise


def _remember(kept: dict[K, V], key: K, value: V, most: int) -> None:
    if len(kept) >= most:
        kept.clear()
    kept[key] = value


@contextmanager
def at_work(counting: Counting) -> Iterator[None]:
    """What is seen is written down beside the web application while the block runs, and the rest at its end."""
    over = Event()
    thread = Thread(target=_work, args=(counting, over), name="opens and clicks", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        counting.settle(everything=True)


def _work(counting: Counting, over: Event) -> None:
    while not over.wait(BEAT):
        try:
            counting.settle()
        except Exception as error:  # noqa: BLE001  what is logged of it must hold nothing of a reader's
            log.error("opens and clicks: %s", without_values(error))  # noqa: TRY400
