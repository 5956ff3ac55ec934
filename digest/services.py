"""Service messages: what each kind says, printed once for a digest and a language, and opened in the ledger."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Engine
from sqlmodel import Session, col, select

from digest import contents, deliveries, digests
from digest.blanks import Marks
from digest.channels.email import domain_of, envelope
from digest.context import context
from digest.database import reading, writing
from digest.languages import direction, message, words
from digest.links import Links, leave_by_mail
from digest.models import DigestRow, EditionRow, ProofRow
from digest.palette import palette
from digest.splice import compile_message, pack
from digest.values import Digest, Edition, EditionState, Proof, ServiceKind, Variant
from subscribers.addresses import HeaderValue, header_value
from subscribers.signup import KEPT, MessageWanted

if TYPE_CHECKING:  # jinja2 and premailer load only where something is printed
    from digest.render import Printer

SUBJECTS: Mapping[str, str] = {
    ServiceKind.CONFIRM: message("Confirm your subscription to %(digest)s"),
    ServiceKind.WELCOME: message("Welcome to %(digest)s"),
    ServiceKind.ACCESS: message("Your 15-minute link for %(digest)s"),
    ServiceKind.ADDRESS: message("Confirm your new address for %(digest)s"),
}
OUT = (EditionState.SENDING, EditionState.SENT)


def proof(
    kind: ServiceKind, digest: Digest, language: str, printer: "Printer", links: Links, *, latest: Edition | None = None,
    days: int = KEPT.days,
) -> Proof:  # fmt: skip
    """
    Print one kind for one digest and language. `latest` is the edition that a welcome shows, if there is one; `days` is how
    long a sign-up waits to be confirmed.

    Nothing in it was chosen by whoever asked for it: a sign-up form must not carry anybody's words to a stranger.
    """
    spoken = words(language, printer.folders)
    subject = spoken.gettext(SUBJECTS[kind]) % {"digest": digest.name}
    marks = Marks.for_content(repr((kind, digest, spoken.language, latest)))
    known = {
        "kind": kind, "digest": digest, "subject": subject, "colours": palette(digest.colours),
        "language": spoken.language, "dir": direction(spoken.language), "link": _link(kind, links, marks.mark("token")),
        "leave": links.leave(marks.mark("token")), "sign_up": links.sign_up(digest.slug),
        "days": days, "latest": context(latest, Variant(segment="", language=spoken.language), spoken) if latest else None,
    }  # fmt: skip
    html = printer.mail(f"email/service/{kind}.html", spoken, known)
    text = printer.text(f"email/service/{kind}.txt", spoken, known)
    headers = envelope(digest, subject, spoken.language, marks)
    if kind == ServiceKind.WELCOME:
        headers += _way_out(digest, links, marks.mark("token"))
    return Proof(
        channel="email", variant=Variant(segment="", language=spoken.language, look=kind), subject=subject, preheader="",
        html=html, text=text, push="", compiled=compile_message(headers, text, html, marks),
        content_hash=hashlib.sha256(f"{html}\0{text}".encode()).hexdigest(),
    )  # fmt: skip


def _link(kind: ServiceKind, links: Links, token: str) -> str:
    """The one address that the message is about."""
    to: Mapping[str, Callable[[str], str]] = {
        ServiceKind.CONFIRM: links.confirm, ServiceKind.WELCOME: links.preferences, ServiceKind.ACCESS: links.own,
        ServiceKind.ADDRESS: links.address,
    }  # fmt: skip
    return to[kind](token)


def _way_out(digest: Digest, links: Links, token: str) -> list[tuple[str, HeaderValue]]:
    """Of all service messages, the welcome alone goes to somebody who can leave."""
    plain = {
        "List-Unsubscribe": f"<{links.leave(token)}>, <{leave_by_mail(digest.reply_to, token)}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "List-Id": f"<{digest.slug}.{domain_of(digest)}>",
    }
    return [(name, header_value(value)) for name, value in plain.items()]


@dataclass
class Services:
    """Prints service messages once and opens their mailings; one for a press, shared by threads."""

    engine: Engine
    printer: "Callable[[], Printer]"
    links: Links
    transport: str
    days: int = KEPT.days
    _printed: dict[Any, int] = field(default_factory=dict)

    def proof_id(self, kind: str, digest_id: int, language: str, *, now: datetime) -> int:
        """The proof on record of what the message says today; printed if it never was. To be called outside a transaction."""
        with reading(self.engine) as session:
            row = session.get_one(DigestRow, digest_id)
            digest = digests.digest_value(row)
            latest = self._latest(session, row, language) if kind == ServiceKind.WELCOME else None
        key = (kind, repr(digest), language, latest and (latest.id, latest.version))
        if key not in self._printed:
            fresh = proof(
                ServiceKind(kind), digest, language, self.printer(), self.links, latest=latest, days=self.days
            )
            self._printed[key] = self.keep(fresh, now)
        return self._printed[key]

    def open(self, session: Session, wanted: MessageWanted, proof_id: int, *, now: datetime) -> int:
        """The id of the message's mailing, within the transaction that found out it is wanted."""
        return deliveries.open_service(
            session.connection(), wanted, proof_id=proof_id, transport=self.transport, now=now
        )

    def _latest(self, session: Session, digest: DigestRow, language: str) -> Edition | None:
        query = select(EditionRow).where(EditionRow.digest_id == digest.id, col(EditionRow.state).in_(OUT))
        row = session.exec(query.order_by(col(EditionRow.local_date).desc(), col(EditionRow.id).desc())).first()
        if row is None:
            return None
        web_url = self.links.edition(digest.slug, row.local_date, row.kind, row.name)
        return contents.edition_value(session, row, language=language, web_url=web_url)

    def keep(self, fresh: Proof, now: datetime) -> int:
        """A proof on record under its content: the same words are kept once, whoever printed them."""
        variant = fresh.variant
        query = select(ProofRow).where(
            col(ProofRow.edition_id).is_(None), ProofRow.look == variant.look, ProofRow.language == variant.language,
            ProofRow.content_hash == fresh.content_hash,
        )  # fmt: skip
        with writing(self.engine) as session:
            row = session.exec(query).first() or ProofRow(
                edition_id=None, version=1, channel=fresh.channel, segment="", language=variant.language, profile="",
                look=variant.look, subject=fresh.subject, preheader="", html=fresh.html, text=fresh.text, push="",
                compiled=pack(fresh.compiled), blanks=fresh.compiled.blanks, content_hash=fresh.content_hash,
                printed_at=now,
            )  # fmt: skip
            session.add(row)
            session.flush()
            return cast("int", row.id)
