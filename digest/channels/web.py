"""An edition as a page: the same for every reader, so it has no blanks."""

import hashlib

from digest.context import context
from digest.languages import words
from digest.links import Links
from digest.render import Printer
from digest.values import Compiled, Edition, Proof, Recipient, Variant


def proof(edition: Edition, variant: Variant, printer: Printer, _links: Links) -> Proof:
    """
    Print the page. It loads nothing but the lead's picture and runs no script.

    Raises:
        TemplateMissingError: there is no web/edition.html.
        NotReadyError: a colour cannot be read.
    """
    language = words(variant.language, printer.folders)
    html = printer.page("web/edition.html", language, context(edition, variant, language))
    page = html.encode()
    return Proof(
        channel="web", variant=variant, subject=edition.subject, preheader=edition.preheader, html=html, text="",
        push="", compiled=Compiled((page,), 0), content_hash=hashlib.sha256(page).hexdigest(),
    )  # fmt: skip


def fill(proof: Proof, _recipient: Recipient) -> bytes:
    """The page, whoever reads it."""
    return b"".join(piece for piece in proof.compiled.pieces if isinstance(piece, bytes))
