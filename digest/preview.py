"""An edition as one of its readers gets it, before anything leaves."""

from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes
from email.policy import default
from email.utils import format_datetime

from digest import deliveries, proofs
from digest.delivery_ids import PREVIEW_TRAIL, delivery_token
from digest.models import EditionRow
from digest.parts import load_part
from digest.press import Press, print_proofs
from digest.values import Proof, Recipient


@dataclass(frozen=True, slots=True)
class Preview:
    """A proof filled for one made-up reader by the function that fills it for every reader."""

    proof: Proof
    message: bytes
    html: str
    text: str
    push: str


def preview(
    press: Press, edition: EditionRow, *, channel: str, segment: str = "", language: str = "", profile: str = "", now: datetime
) -> Preview:  # fmt: skip
    """
    The proof of a variant as a reader gets it; printed first if it never was.

    Raises:
        NotFoundError: no such variant of the edition; lists those there are.
    """
    rows = proofs.stored(press.engine, edition) or print_proofs(press, edition, now=now)
    if (channel, profile) not in {(row.channel, row.profile) for row in rows}:
        rows = print_proofs(press, edition, now=now)
    proof = deliveries.proof_value(proofs.chosen(rows, channel, segment, language, profile))
    recipient = Recipient(
        number=0, delivery_id="preview", address="reader@example.net", name="Ana", date=format_datetime(now),
        token=delivery_token(press.keys, 0, 0), trail=delivery_token(press.keys, edition.id or 0, edition.version, PREVIEW_TRAIL),
    )  # fmt: skip
    message = load_part("channels", channel).fill(proof, recipient)
    if channel != "email":
        return Preview(proof, message, proof.html, proof.text, message.decode() if channel == "push" else "")
    parts = {
        part.get_content_subtype(): part.get_content()
        for part in message_from_bytes(message, policy=default).walk()
        if not part.is_multipart()
    }
    return Preview(proof, message, parts["html"], parts["plain"], "")
