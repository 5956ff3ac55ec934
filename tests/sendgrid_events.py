"""SendGrid's side of its Event Webhook: what it tells, and how it signs that."""

import json
from base64 import b64encode
from collections.abc import Iterable

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from digest.delivery_ids import delivery_id
from tests.newsroom import KEYS, NOW

AT = int(NOW.timestamp()) + 60
PATH = "/hooks/sendgrid"


class Signer:
    """A webhook's key pair."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        public = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.setting = b64encode(public).decode()

    def headers(self, body: bytes, at: int = AT) -> dict[str, str]:
        signature = self._key.sign(str(at).encode() + body, ec.ECDSA(SHA256()))
        return {
            "x-twilio-email-event-webhook-signature": b64encode(signature).decode(),
            "x-twilio-email-event-webhook-timestamp": str(at),
            "content-type": "application/json",
        }

    def post(self, client: httpx.Client, told: Iterable[object], at: int = AT) -> httpx.Response:
        body = json.dumps(list(told)).encode()
        return client.post(PATH, content=body, headers=self.headers(body, at))


def name(number: int, mailing: int = 1, opened: int = int(NOW.timestamp())) -> str:
    return delivery_id(KEYS.hash_key, mailing=mailing, number=number, opened=opened)


def told(number: int, event: str, at: int = AT, **more: object) -> dict[str, object]:
    """One event about the first mailing's delivery of that number, as SendGrid writes it."""
    return {
        "email": f"reader{number}@example.net", "timestamp": at, "smtp-id": "<14c5d75ce93.dfd.64b469@ismtpd-555>",
        "event": event, "category": ["global"], "sg_event_id": f"{event}-{number}-{at}", "delivery": name(number),
        "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0", **more,
    }  # fmt: skip


BOUNCED = {"type": "bounce", "reason": "550 5.1.1 <ana@example.net>: no such user here", "status": "5.1.1"}
BLOCKED = {"type": "blocked", "reason": "554 5.7.1 listed at a blocklist", "bounce_classification": "Reputation"}
FULL = {"type": "blocked", "reason": "552 5.2.2 over quota", "bounce_classification": "Mailbox Unavailable"}
