"""An approved edition, its proofs and its readers, straight into the tables: where tests of the ledger begin."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import Engine
from sqlmodel import SQLModel

from digest.app import PALETTE
from digest.database import writing
from digest.deliveries import Share, open_mailing
from digest.models import DigestRow, EditionRow, ProofRow
from digest.splice import pack
from digest.values import Blank, Compiled, EditionState
from subscribers.tokens import Keys, address_hash

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
DEADLINE = NOW + timedelta(hours=6)
KEYS = Keys(hash_key=b"h" * 32, token_keys={1: b"t" * 32}, current=1)
PLACE = "global/2026-11-23"

MAIL = Compiled(
    (
        b"To: ", Blank("mailbox", "header"), b"\r\nMessage-ID: <", Blank("delivery_id", "raw"),
        b"@news.example.org>\r\nDate: ", Blank("date", "raw"), b"\r\nSubject: Morning\r\n\r\nhttps://news.example.org/m/",
        Blank("token", "raw"), b"\r\n",
    ),
    4,
)  # fmt: skip
PUSH = Compiled((b'{"web_push": 8030, "id": "', Blank("delivery_id", "raw"), b'"}'), 1)


@dataclass(frozen=True, kw_only=True)
class Morning:
    """An approved edition: its ids, and its proofs by (channel, segment, language)."""

    digest: int
    edition: int
    proofs: dict[tuple[str, str, str], int]

    def share(self, channel: str = "email", segment: str = "", language: str = "en", rule: str = "") -> Share:
        proof_id = self.proofs[channel, segment, language]
        return Share(
            channel=channel, transport="outbox", proof_id=proof_id, language=language, segment=segment, rule=rule
        )


def founded(engine: Engine, **fields) -> None:
    """A digest that has all it cannot be sent without."""
    with writing(engine) as session:
        session.add(
            DigestRow(
                slug="global", name="Global Morning", from_name="G", from_address="g@news.example.org",
                reply_to="e@news.example.org", postal_address="1 Press Street", wordmark="Global", colours=PALETTE,
                created_at=NOW, **fields,
            )
        )  # fmt: skip


def morning(engine: Engine, variants: Iterable[tuple[str, str, str]] = (("email", "", "en"),)) -> Morning:
    with writing(engine) as session:
        digest = DigestRow(slug="global", name="Global Morning", language="en", created_at=NOW)
        session.add(digest)
        session.flush()
        edition = EditionRow(
            digest_id=digest.id,
            local_date=date(2026, 11, 23),
            state=EditionState.APPROVED,
            deadline_at=NOW,
            created_at=NOW,
        )
        session.add(edition)
        session.flush()
        rows = {
            (channel, segment, language): ProofRow(
                edition_id=edition.id, version=1, channel=channel, segment=segment, language=language,
                compiled=pack(PUSH if channel == "push" else MAIL), content_hash="c", printed_at=NOW,
            )
            for channel, segment, language in variants
        }  # fmt: skip
        session.add_all(rows.values())
        session.flush()
        proofs = {key: row.id for key, row in rows.items()}
        return Morning(digest=digest.id, edition=edition.id, proofs=proofs)


def readers(
    engine: Engine, count: int, *, digest: int = 1, channels: Sequence[str] = ("email",), **fields
) -> list[int]:
    """`count` more readers who asked for the digest; a field that is callable is given the reader's number."""
    people, wishes = SQLModel.metadata.tables["subscriber"], SQLModel.metadata.tables["subscription"]
    base = {"name": "Ana", "language": "en", "zone": "UTC", "attributes": {}, "joined_at": NOW, "updated_at": NOW}
    with engine.begin() as connection:
        first = connection.execute(people.select().order_by(people.c.id.desc()).limit(1)).scalar() or 0
        numbers = range(first + 1, first + 1 + count)
        rows = [{**base, **_identity(n), **{k: v(n) if callable(v) else v for k, v in fields.items()}} for n in numbers]
        ids = connection.execute(people.insert().returning(people.c.id, sort_by_parameter_order=True), rows).scalars()
        ids = list(ids)
        connection.execute(
            wishes.insert(),
            [
                {"subscriber_id": one, "digest_id": digest, "channel": channel, "state": "active",
                 "device": f"device-{one}" if channel == "push" else "", "consent_source": "", "consent_wording": ""}
                for one in ids for channel in channels
            ],
        )  # fmt: skip
    return ids


def _identity(number: int) -> dict:
    email = f"reader{number}@example.net"
    return {
        "public_id": f"p{number}", "email": email, "email_key": email,
        "email_hash": address_hash(KEYS.hash_key, email),
    }  # fmt: skip


def suppress(engine: Engine, *subscribers: int) -> None:
    people, held = SQLModel.metadata.tables["subscriber"], SQLModel.metadata.tables["suppression"]
    with engine.begin() as connection:
        for one in subscribers:
            email_hash = connection.execute(people.select().where(people.c.id == one)).one().email_hash
            connection.execute(held.insert().values(email_hash=email_hash, reason="bounce", since=NOW, note=""))


def set_wish(engine: Engine, subscriber: int, **fields) -> None:
    wishes = SQLModel.metadata.tables["subscription"]
    with engine.begin() as connection:
        connection.execute(wishes.update().where(wishes.c.subscriber_id == subscriber).values(**fields))


def opened(engine: Engine, house: Morning, shares: Sequence[Share] = (), **options) -> int:
    options = {"now": NOW, "expires_at": DEADLINE, "batch_size": 50, **options}
    return open_mailing(
        engine, edition_id=house.edition, version=1, digest_id=house.digest, shares=shares or [house.share()], **options
    )


def deliveries_of(engine: Engine) -> list:
    row = SQLModel.metadata.tables["delivery"]
    with engine.begin() as connection:
        return list(connection.execute(row.select().order_by(row.c.number)))
