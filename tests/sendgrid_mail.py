"""A printed edition and readers for it, as the tests and figures of SendGrid hand them over."""

from digest.channels import email
from digest.links import Links
from digest.paths import template_folders
from digest.render import Printer
from digest.values import DeliveryState, Proof, Receipt, Recipient, Variant
from tests.samples import BASE, sample_digest, sample_edition

PRINTER = Printer(template_folders())


def printed(language: str = "en", stories: int = 4, *, tracked: bool = False, **digest: object) -> Proof:
    edition = sample_edition(stories, language, digest=sample_digest(language=language, **digest))
    return email.proof(edition, Variant(segment="", language=language), PRINTER, Links(BASE, tracked=tracked))


def reader(number: int, **changes: object) -> Recipient:
    fields = {
        "number": number, "delivery_id": f"{number:040x}", "address": f"reader{number}@example.net", "name": "Ana",
        "token": f"token{number:023d}", "date": "Mon, 23 Nov 2026 06:00:00 +0000",
    }  # fmt: skip
    return Recipient(**{**fields, **changes})


def people(count: int) -> list[Recipient]:
    return [reader(number) for number in range(1, count + 1)]


def states(receipts: list[Receipt]) -> dict[int, DeliveryState]:
    return {receipt.number: receipt.state for receipt in receipts}
