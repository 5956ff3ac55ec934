"""An edition that is tracked and has left, and what was counted of it: where tests of tracking begin."""

from datetime import timedelta

from sqlmodel import SQLModel

from digest.deliveries import claim, record
from digest.machines import Sight
from digest.tracking import Place, Visit
from digest.values import DeliveryState, Receipt
from tests.newsroom import KEYS, NOW, morning, opened, readers

LATER = NOW + timedelta(hours=1)
AT = LATER.timestamp()
URLS = ["https://news.example.org/e/global/2026-11-23", "https://example.org/one", "https://example.org/two"]
TABLES = SQLModel.metadata.tables


def published(engine):
    """Four readers, the first two of whom agreed; all have the edition. `engine.house`: its id, its mailing's, their trails."""
    house = morning(engine)
    readers(engine, 4)
    with engine.begin() as connection:
        people, links = TABLES["subscriber"], TABLES["link"]
        connection.execute(people.update().where(people.c.id <= 2).values(tracked_since=NOW - timedelta(days=9)))
        rows = [
            {"edition_id": house.edition, "version": 1, "number": n, "url": url, "trap": False}
            for n, url in enumerate(URLS)
        ]
        connection.execute(links.insert(), [*rows, {**rows[0], "number": 3, "trap": True}])
    mailing = opened(engine, house, tracking="personal")
    batch = claim(engine, owner="me", now=NOW, lease=60, transports=["outbox"], keys=KEYS)
    record(engine, batch, [Receipt(one.number, DeliveryState.ACCEPTED) for one in batch.recipients], now=NOW)
    engine.house = house.edition, mailing, [one.trail for one in batch.recipients]
    return engine


def rows(engine, table):
    with engine.connect() as connection:
        return connection.execute(TABLES[table].select().order_by(*TABLES[table].primary_key.columns)).all()


def tallies(engine):
    return {(row.kind, row.link, row.machine, row.source): row.number for row in rows(engine, "tally")}


def visit(engine, number, *links, at=AT, source="", **fields):
    edition, mailing, _ = engine.house
    place = Place(edition, 1, mailing, number) if number else Place(edition, 1)
    return Visit(place, [Sight(link, at + 9 * n, **fields) for n, link in enumerate(links)], source)
