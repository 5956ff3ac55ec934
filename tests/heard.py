"""What the tests of events share: mailings that were sent, what is told of them, and the tables read."""

from datetime import timedelta

from sqlmodel import SQLModel

from digest.consequences import Policy
from digest.deliveries import claim, record, settle
from digest.events import hear
from digest.values import DeliveryState, Event, EventKind, Receipt
from subscribers.tokens import address_hash
from tests.newsroom import KEYS, NOW, deliveries_of, morning, opened, readers
from tests.sendgrid_events import name

AT = NOW.timestamp()
POLICY = Policy(soft_bounces=3, soft_days=10)
HARD = ("bounced", True)
SOFT = ("bounced", False)
KEPT = timedelta(days=POLICY.event_days)


def table(engine, which, *columns):
    rows = SQLModel.metadata.tables[which]
    with engine.connect() as connection:
        return sorted(
            connection.execute(rows.select().with_only_columns(*[rows.c[one] for one in columns])).all(), key=str
        )


def everything(engine):
    """All that events may change, but for the numbers of rows."""
    return (
        table(engine, "delivery", "number", "state", "reason", "updated_at", "next_at", "batch_id"),
        table(engine, "event", "key", "provider", "kind", "at", "mailing_id", "number", "target", "delivery", "permanent", "reason"),
        table(engine, "suppression", "email_hash", "reason", "note"),
        table(engine, "subscription", "id", "state"),
    )  # fmt: skip


def event(number, kind, at=0, **more):
    kind, permanent = kind if isinstance(kind, tuple) else (kind, False)
    return Event(more.pop("delivery", None) or name(number), EventKind(kind), AT + at, permanent=permanent, **more)


def told(engine, *events, now=NOW, **options):
    return hear(
        engine, events, keys=KEYS, provider="sendgrid", policy=options.pop("policy", POLICY), now=now, **options
    )


def sent(engine, count, channels=("email",)):
    """A mailing to so many readers, all of it accepted; its id."""
    house = morning(engine, [(channel, "", "en") for channel in channels])
    readers(engine, count, channels=channels)
    mailing = opened(engine, house, [house.share(channel) for channel in channels])
    while batch := claim(engine, owner="me", now=NOW, lease=60, transports=["outbox"], keys=KEYS):
        record(
            engine,
            batch,
            [Receipt(one.number, DeliveryState.ACCEPTED, "id-of-it") for one in batch.recipients],
            now=NOW,
        )
    assert settle(engine, mailing, now=NOW).done
    return mailing


def states(engine):
    return [row.state for row in deliveries_of(engine)]


def suppressed(engine):
    return {
        row.email_hash: (row.reason, row.note) for row in table(engine, "suppression", "email_hash", "reason", "note")
    }


def hash_of(number):
    return address_hash(KEYS.hash_key, f"reader{number}@example.net")


def audit(engine):
    return [(row.who, row.did, row.subject_id) for row in table(engine, "audit", "id", "who", "did", "subject_id")]


def set_state(engine, number, state, **values):
    rows = SQLModel.metadata.tables["delivery"]
    with engine.begin() as connection:
        connection.execute(rows.update().where(rows.c.number == number).values(state=state, **values))
