"""The printed mail and page in real Chromium: readable by everyone, in both schemes, at both widths, without scrolling sideways."""

from email import message_from_bytes, policy
from functools import cache

import pytest

from digest.channels import email, web
from digest.links import Links
from digest.paths import template_folders
from digest.render import Printer
from digest.values import Recipient, Variant
from tests.browser.axe import violations, wanted_width
from tests.samples import BASE, sample_edition

pytestmark = pytest.mark.browser
PICTURE = '<svg xmlns="http://www.w3.org/2000/svg" width="1072" height="603"><rect width="1072" height="603" fill="#b9b1a0"/></svg>'
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
PRINTER, LINKS = Printer(template_folders()), Links(BASE)
READER = Recipient(
    number=1,
    delivery_id="d",
    address="ana@example.net",
    name="Ana",
    token="T" * 28,
    date="Thu, 06 Mar 2025 06:00:00 +0000",
)
VIEWS = [(width, scheme) for width in (390, 800) for scheme in ("light", "dark")]


@cache
def mail(look: str, language: str) -> str:
    proof = email.proof(
        sample_edition(language=language), Variant(segment="", language=language, look=look), PRINTER, LINKS
    )
    return message_from_bytes(email.fill(proof, READER), policy=policy.default).get_body(("html",)).get_content()


@cache
def page(language: str) -> str:
    return web.proof(sample_edition(language=language), Variant(segment="", language=language), PRINTER, LINKS).html


def answer(route) -> None:
    if "images.example.org" in route.request.url:
        route.fulfill(body=PICTURE, content_type="image/svg+xml")
    else:
        route.abort()


def look_at(browser, html: str, width: int, scheme: str, only: list[str]) -> tuple[list[str], int]:
    """axe's violations in words, and how wide the page wants to be."""
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    try:
        opened = context.new_page()
        opened.route("**/*", answer)
        opened.set_content(html)
        return violations(opened, only), wanted_width(opened)
    finally:
        context.close()


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
@pytest.mark.parametrize(
    ("look", "language"), [("full", "en"), ("standard", "es"), ("brief", "en"), ("standard", "ar")]
)
def test_a_mail_breaks_no_wcag_rule_and_does_not_scroll_sideways(browser, look, language, width, scheme):
    faults, wide = look_at(browser, mail(look, language), width, scheme, WCAG)
    assert not faults
    assert wide <= width


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
@pytest.mark.parametrize("language", ["en", "es"])
def test_the_edition_s_page_breaks_no_rule_at_all(browser, language, width, scheme):
    faults, wide = look_at(browser, page(language), width, scheme, [])
    assert not faults
    assert wide <= width


def test_dark_readers_get_a_dark_sheet_and_long_words_do_not_widen_it(browser):
    from dataclasses import replace

    edition = sample_edition(2)
    long = replace(
        edition.slots[0],
        headline="Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 2,
    )
    proof = email.proof(
        replace(edition, slots=(long, edition.slots[1])), Variant(segment="", language="en"), PRINTER, LINKS
    )
    context = browser.new_context(viewport={"width": 320, "height": 800}, color_scheme="dark")
    opened = context.new_page()
    opened.route("**/*", answer)
    opened.set_content(proof.html)
    assert opened.evaluate("document.documentElement.scrollWidth") <= 320
    assert opened.evaluate("getComputedStyle(document.querySelector('.sheet')).backgroundColor") == "rgb(25, 27, 32)"
    context.close()


def test_the_page_s_copy_box_opens_without_a_script_and_holds_the_story_s_address(browser):
    context = browser.new_context(java_script_enabled=True)
    opened = context.new_page()
    opened.route("**/*", answer)
    opened.set_content(page("en"))
    opened.click("#s2 summary")
    box = opened.locator("#s2 input")
    assert box.is_visible()
    assert box.input_value() == sample_edition().slots[1].url
    context.close()
