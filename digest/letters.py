"""Letters to the house itself, to its editors and to who is on call: written for the moment, sent as service messages."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from digest.blanks import Marks
from digest.channels.email import envelope
from digest.database import reading
from digest.digests import digest_value
from digest.languages import Words, direction
from digest.models import DigestRow
from digest.palette import palette
from digest.render import Printer
from digest.services import Services
from digest.splice import compile_message
from digest.values import Digest, Proof, ServiceKind, Variant
from subscribers.addresses import normalise
from subscribers.signup import MessageWanted
from subscribers.tokens import Keys, address_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What a letter says, in plain text. `listed` are headlines; `how` stands above lines to type; `why` says who gets it."""

    subject: str
    title: str
    said: Sequence[str]
    why: str
    listed: Sequence[str] = ()
    how: str = ""
    commands: Sequence[str] = ()


def proof(kind: ServiceKind, letter: Letter, digest: Digest, spoken: Words, printer: Printer) -> Proof:
    """Print a letter in a digest's name. It holds nothing of whom it goes to, so all who get it get the same one."""
    marks = Marks.for_content(repr((kind, letter, digest, spoken.language)))
    known = {
        "letter": letter, "subject": letter.subject, "digest": digest, "colours": palette(digest.colours),
        "language": spoken.language, "dir": direction(spoken.language),
    }  # fmt: skip
    html = printer.mail("email/service/letter.html", spoken, known)
    text = printer.text("email/service/letter.txt", spoken, known)
    return Proof(
        channel="email", variant=Variant(segment="", language=spoken.language, look=kind), subject=letter.subject[:250],
        preheader="", html=html, text=text, push="",
        compiled=compile_message(envelope(digest, letter.subject, spoken.language, marks), text, html, marks),
        content_hash=hashlib.sha256(f"{html}\0{text}".encode()).hexdigest(),
    )  # fmt: skip


def keep(services: Services, kind: ServiceKind, letter: Letter, digest_id: int, spoken: Words, *, now: datetime) -> int:
    """The proof of a letter on record. To be called outside a transaction."""
    with reading(services.engine) as session:
        digest = digest_value(session.get_one(DigestRow, digest_id))
    return services.keep(proof(kind, letter, digest, spoken, services.printer()), now)


def open_letters(
    session: Session, services: Services, kind: ServiceKind, proof_id: int, digest_id: int, addresses: Sequence[str],
    *, keys: Keys, now: datetime,
) -> list[int]:  # fmt: skip
    """The mailings of a letter, one for each address, within the caller's transaction: they leave if it is committed."""
    found = {one.key: one.mailbox for one in map(normalise, addresses)}
    return [
        services.open(
            session,
            MessageWanted(
                kind=kind, email=mailbox, email_hash=address_hash(keys.hash_key, key), digest_id=digest_id, language=""
            ),
            proof_id, now=now,
        )
        for key, mailbox in found.items()
    ]  # fmt: skip
