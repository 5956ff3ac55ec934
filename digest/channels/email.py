"""An edition as an email: how it reads, its headers, and the compiled message that every reader's copy comes from."""

import hashlib
from dataclasses import replace
from datetime import date
from typing import Literal

from digest.blanks import Marks, mailbox, unstructured
from digest.context import Through, context, reader
from digest.errors import NotReadyError
from digest.languages import words
from digest.links import Links
from digest.render import Printer
from digest.splice import compile_message
from digest.splice import fill as splice
from digest.values import Digest, Edition, Proof, Recipient, Variant
from subscribers.addresses import HeaderValue, header_value

WARN_BYTES = 60_000
REFUSE_BYTES = 80_000
"""Gmail cuts a mail at about 102 KB of HTML and hides the way out with the rest."""


def proof(edition: Edition, variant: Variant, printer: Printer, links: Links) -> Proof:
    """
    Print and compile an edition for one variant. The proof's html and text still hold their marks.

    Raises:
        TemplateMissingError: there is no look of that name.
        NotReadyError: a colour cannot be read, or the template shows no way to leave.
    """
    language = words(variant.language, printer.folders)
    marks = Marks.for_content(repr((edition, variant)))
    mark = {field: marks.mark(field) for field in ("token", "comma_name", "address")}
    view, leads = reader(edition, links, mark), dict[int, str]()
    through = _leading(links, marks.mark("trail"), leads)
    if links.tracked:
        trap = through(len(edition.slots) + 1, edition.web_url)
        view = replace(view, pixel=links.pixel(marks.mark("trail")), trap=trap)
    known = {**context(edition, variant, language, through), "reader": view}
    html = printer.mail(f"email/{variant.look}.html", language, known)
    text = printer.text("email/text.txt", language, known)
    _demand_way_out(links.leave(mark["token"]), html=html, text=text, look=variant.look)
    compiled = compile_message(_headers(edition, variant, links, marks), text, html, marks)
    return Proof(
        channel="email", variant=variant, subject=edition.subject, preheader=edition.preheader, html=html, text=text,
        push="", compiled=compiled, content_hash=hashlib.sha256(f"{html}\0{text}".encode()).hexdigest(),
        links=tuple(leads[number] for number in range(len(leads))),
    )  # fmt: skip


def _leading(links: Links, trail: str, leads: dict[int, str]) -> Through:
    """What keeps in `leads` where each link leads, and makes it one through us where mails are tracked."""

    def through(number: int, url: str) -> str:
        leads[number] = url
        return links.followed(trail, number) if links.tracked else url

    return through


def fill(proof: Proof, recipient: Recipient) -> bytes:
    """One reader's message as a file holds it: CRLF lines, dots not stuffed."""
    return splice(proof.compiled, recipient)


def size_verdict(html: str) -> Literal["ok", "warn", "refuse"]:
    """What an editor should hear about the page's size: over 60 KB a warning, over 80 KB it does not leave."""
    size = len(html.encode())
    return "refuse" if size > REFUSE_BYTES else "warn" if size > WARN_BYTES else "ok"


def _headers(edition: Edition, variant: Variant, links: Links, marks: Marks) -> list[tuple[str, HeaderValue]]:
    digest = edition.digest
    domain = domain_of(digest)
    view = reader(edition, links, {"token": marks.mark("token"), "comma_name": "", "address": ""})
    plain = {
        "List-Unsubscribe": f"<{view.leave}>, <{view.leave_by_mail}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "List-Id": f"<{digest.slug}.{domain}>",
        "List-Archive": f"<{edition.web_url}>",
        "Feedback-ID": _feedback_id(edition.local_date, digest.slug, edition.kind, domain),
        "Precedence": "bulk",
    }
    return [
        *envelope(digest, edition.subject, variant.language, marks),
        *((name, header_value(value)) for name, value in plain.items()),
    ]


def envelope(digest: Digest, subject: str, language: str, marks: Marks) -> list[tuple[str, HeaderValue]]:
    """The headers of every mail that is written in a digest's name."""
    return [
        ("From", mailbox(digest.from_name, digest.from_address)),
        ("Reply-To", mailbox("", digest.reply_to)),
        ("To", header_value(marks.mark("mailbox"))),
        ("Subject", unstructured(subject)),
        ("Date", header_value(marks.mark("date"))),
        ("Message-ID", header_value(f"<{marks.mark('delivery_id')}@{domain_of(digest)}>")),
        ("Auto-Submitted", header_value("auto-generated")),
        ("X-Auto-Response-Suppress", header_value("OOF, AutoReply")),
        ("Content-Language", header_value(language)),
    ]


def domain_of(digest: Digest) -> str:
    """The domain that a digest's mails come from."""
    return mailbox("", digest.from_address).rpartition("@")[2]


def _feedback_id(on: date, slug: str, kind: str, domain: str) -> HeaderValue:
    """Four fields, the sender last and the same in every mail, as Gmail's feedback loop groups them."""
    return header_value(f"{on:%Y%m%d}:{slug}:{kind}:{domain.replace('.', '-')}")


def _demand_way_out(leave: str, *, html: str, text: str, look: str) -> None:
    for part, name in ((html, f"email/{look}.html"), (text, "email/text.txt")):
        if leave not in part:
            raise NotReadyError(f"{name} shows no way to leave: put {{{{ reader.leave }}}} into it.")
