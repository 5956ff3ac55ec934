"""What the tests of `digest doctor` share: its sender, keys and moment, and its findings read."""

import re
from datetime import UTC, datetime
from pathlib import Path

from sqlmodel import select

from digest.database import open_engine, writing
from digest.dkim import make_key
from digest.models import DigestRow
from tests.sendgrid_events import Signer

NOW = datetime(2026, 11, 25, 6, 0, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[1]
DOMAIN = "news.example.org"
PASSWORD = "open-sesame-1001"
WEBHOOK = Signer()
RSA, OTHER, ED25519 = (
    make_key("news1", ed25519=False),
    make_key("news1", ed25519=False),
    make_key("news2", ed25519=True),
)
SENDER = {
    "from_name": "The Daily Example", "from_address": f"global@{DOMAIN}", "reply_to": "editors@example.org",
    "postal_address": "1 Press Street, Madrid",
}  # fmt: skip


def of(found, *whats):
    return [one for one in found if one[0] in whats]


def verdicts(found, what):
    return [verdict for _, verdict, _ in of(found, what)]


def publish(zone, words):
    """What a finding asks for, done to the letter; the one blank it may leave is filled in."""
    words = words.replace("ADDRESS-OF-YOUR-RELAY", "192.0.2.1")
    name, text = re.search(r"([\w.-]+)\. IN TXT \( (.*) \)$", words).groups()
    kept = [one for one in zone.records.get(name, {}).get("TXT", []) if not one.lower().startswith(("v=spf1", "v=dm"))]
    zone.put(name, "TXT", *(kept if "_domainkey" not in name else []), "".join(re.findall('"([^"]*)"', text)))


def change(home, **fields):
    engine = open_engine(f"sqlite:///{home / 'digest.sqlite'}")
    with writing(engine) as session:
        row = session.exec(select(DigestRow)).one()
        for name, value in fields.items():
            setattr(row, name, value)
        session.add(row)
    engine.dispose()
