"""
Opens and clicks: what one costs the process that answers, and how many a second are judged and written, by name and by count.

Each visit is an open and a click of a reader's own mail, an hour after delivery; the writing is SQLite, synchronous=FULL.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter, process_time

from digest.database import writing
from digest.deliveries.tables import MAILINGS
from digest.delivery_ids import OWN_TRAIL, delivery_tokens
from digest.machines import AN_OPEN, Sight, mark_of
from digest.press import Press
from digest.settings import Settings
from digest.tracking import LINKS, PEOPLE
from digest.web.counting import Counting
from tests.bench.figure import Figure
from tests.bench.ledger import crowd, house, scratch
from tests.newsroom import KEYS, NOW, morning, opened

GROUP = "people"
READERS = 20_000
AGENT = {
    "user-agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0 Safari/537.36"
}
LATER = NOW + timedelta(hours=1)


def figures() -> Iterable[Figure]:
    for mode in ("personal", "aggregate"):
        with scratch() as folder:
            yield from counting(folder, mode)


def counting(folder: Path, mode: str) -> Iterator[Figure]:
    engine = house(folder / "digest.sqlite")
    place = morning(engine)
    crowd(engine, READERS)
    mailing = opened(engine, place, batch_size=500, tracking=mode)
    with writing(engine) as session:
        connection = session.connection()
        connection.execute(PEOPLE.update().values(tracked_since=NOW))
        connection.execute(MAILINGS.update().values(finished_at=NOW))
        links = [
            {"edition_id": place.edition, "version": 1, "number": n, "url": f"https://n.example/{n}", "trap": False}
            for n in range(11)
        ]
        connection.execute(LINKS.insert(), links)
    press = Press(settings=Settings(_env_file=None, tracking=mode), engine=engine, keys=KEYS)
    held = Counting(press, lambda: datetime(2030, 1, 1, tzinfo=UTC))
    trails = delivery_tokens(KEYS, range(1, READERS + 1), mailing=mailing, purpose=OWN_TRAIL)
    begun = process_time()
    for number, trail in enumerate(trails):
        see(held, trail, number)
    seen = (process_time() - begun) / READERS / 2 * 1e6
    begun = perf_counter()
    assert held.settle() == READERS
    rate = 2 * READERS / (perf_counter() - begun)
    engine.dispose()
    yield Figure(f"{mode}: one open or click seen, link looked up", seen, "us of CPU", "1,000 or less", seen <= 1000)
    yield Figure(f"{mode}: opens and clicks judged and written", rate, "a second", "at least 5,000", rate >= 5000)


def see(held: Counting, trail: str, number: int) -> None:
    for link, after in ((AN_OPEN, 0), (1 + number % 10, 9)):
        place = held.place_of(trail)
        assert place is not None
        assert held.leads_of(place)
        sight = Sight(link, LATER.timestamp() + after, mark=mark_of(AGENT))
        held.note(place, sight, client="192.0.2.7", agent=AGENT["user-agent"])
