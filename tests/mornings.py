"""A newsroom over many mornings: a source with a story a day, two readers, and a watch whose clock the test sets."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random

from sqlmodel import Session, select

from digest import cadences, digests, stations
from digest.app import found
from digest.database import reading, writing
from digest.gathering import add_source
from digest.leading import last_known
from digest.models import EditionRow, StationRow
from digest.press import Press
from digest.schedule import Watch
from digest.values import EditionKind
from digest.windows import instant
from subscribers.exchange import import_csv

SENDER = {
    "from_name": "The Daily Example", "from_address": "global@news.example.org", "reply_to": "editors@news.example.org",
    "postal_address": "1 Press Street, 28001 Madrid", "zone": "Europe/Madrid", "channels": ["email"], "minimum": 1,
}  # fmt: skip
READERS = ("ana@example.net", "ben@example.net")
SUNDAY = datetime(2025, 3, 9, 12, tzinfo=UTC)
MONDAYS = [f"2025-03-10 {reader}" for reader in READERS]
"""Who gets the edition of the day after it."""
MOST = 10  # stations that follow at one moment
MINUTE = timedelta(minutes=1)


@dataclass
class Newsroom:
    """Its press, its clock, and what was told."""

    press: Press
    source: Path
    now: datetime
    said: list[str] = field(default_factory=list)
    steady: float = 0.0  # seconds that pass evenly, where a test sets the clock on the wall; else the same as that

    def schedule(self, kind: str = "daily", **given: str) -> None:
        with writing(self.press.engine) as session:
            digest = digests.digest_named(session, "global")
            cadences.save(session, digest, given, kind=kind, who="ops", now=self.now)

    def change(self, what: str, kind: EditionKind = EditionKind.DAILY, **options: object) -> None:
        with writing(self.press.engine) as session:
            row = cadences.named(session, digests.digest_named(session, "global"), kind)
            getattr(cadences, what)(session, row, **options, who="ops", now=self.now)

    @contextmanager
    def watch(self, *, doubts: bool = False) -> Iterator[Watch]:
        """A process on duty; one that `doubts` asks at its start when the house was last at work, as `on_watch` does."""
        seen = last_known(self.press.engine, self.now) if doubts else None
        clock, steady = (lambda: self.now), (lambda: self.steady or self.now.timestamp())
        duty = Watch(self.press, self.said.append, clock, steady=steady, seen=seen)
        try:
            yield duty
        finally:
            duty.stopped.set()
            duty.end()

    def look(self, duty: Watch) -> None:
        """One tick, and all that follows from it at the same moment of the clock."""
        duty.lead()
        for _ in range(MOST):
            duty.look()
            duty.settle()
            with reading(self.press.engine) as session:
                if not stations.due(session, self.now):
                    break
        duty.send()
        duty.settle()

    def at(self, clock: str, day: int = 0) -> datetime:
        """Set the clock to that time in Madrid on that day of March 2025 (0: the 10th, a Monday); stories of that day appear."""
        self.now = moment(clock, day)
        write_feed(self.source, self.now)
        return self.now

    def until(self, duty: Watch, clock: str, day: int = 0, step: timedelta = 5 * MINUTE) -> None:
        """Let the time pass in steps, looking at each."""
        end = moment(clock, day)
        while self.now < end:
            self.now = min(end, self.now + step)
            self.look(duty)

    # what came of it ------------------------------------------------------------------------------------------------

    @property
    def editions(self) -> list[EditionRow]:
        with reading(self.press.engine) as session:
            return list(session.exec(select(EditionRow).order_by(EditionRow.local_date, EditionRow.id)))

    @property
    def paused(self) -> bool:
        with reading(self.press.engine) as session:
            return cadences.named(session, digests.digest_named(session, "global")).paused_at is not None

    @property
    def states(self) -> list[str]:
        return [f"{edition.local_date.day} {edition.kind} {edition.state}" for edition in self.editions]

    @property
    def stations(self) -> list[StationRow]:
        with reading(self.press.engine) as session:
            return list(session.exec(select(StationRow).order_by(StationRow.local_date, StationRow.id)))

    def mails(self) -> list[str]:
        """Who got mail, and of which day."""
        return sorted(
            f"{file.relative_to(self.press.settings.outbox_folder).parts[1]} {self._to(file)}"
            for file in self.press.settings.outbox_folder.rglob("*.eml")
        )

    def _to(self, file: Path) -> str:
        return next(line for line in file.read_text().splitlines() if line.startswith("To:")).partition(": ")[2]

    def session(self) -> Session:
        return Session(self.press.engine)


def moment(clock: str, day: int) -> datetime:
    return instant(date(2025, 3, 10) + timedelta(days=day), clock, "Europe/Madrid")


def write_feed(file: Path, now: datetime) -> None:
    """A feed of three stories of that day, in a made-up tongue, so that no two tell the same event."""
    items = [story(now, number) for number in range(1, 4)]
    whole = {"version": "https://jsonfeed.org/version/1.1", "title": "Global", "language": "en", "items": items}
    file.write_text(json.dumps(whole), encoding="utf-8")


def story(now: datetime, number: int) -> dict[str, object]:
    day, draw = now.date(), Random(f"{now.date()} {number}")

    def words(count: int) -> str:
        return " ".join("".join(draw.choices(SYLLABLES, k=3)) for _ in range(count))

    return {
        "id": f"{day}-{number}", "url": f"https://news.example.org/{day}/{number}", "tags": ["Global"],
        "title": f"{words(5).capitalize()} on {day:%d %B %Y}", "summary": f"{words(20).capitalize()}.",
        "content_text": ". ".join(words(12).capitalize() for _ in range(12)),
        "date_published": (now - timedelta(hours=2)).isoformat(),
    }  # fmt: skip


SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]


def newsroom(home: Path, database: str, now: datetime, **fields: object) -> Newsroom:
    """Set up in that folder, without a cadence."""
    house = found(home, slug="global", fields={**SENDER, **fields}, now=now, database=database)
    feed, people = home / "feed.json", home / "readers.csv"
    write_feed(feed, now)
    people.write_text("email\n" + "\n".join(READERS) + "\n", encoding="utf-8")
    add_source(house.engine, house.settings, location=str(feed), now=now)
    import_csv(house.engine, people, digest_id=1, keys=house.keys, consent="a form", now=now, channels=("email",))
    return Newsroom(house, feed, now)
