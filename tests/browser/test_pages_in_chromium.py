"""
Readers' pages in real Chromium: the whole path, every page readable by everyone, in both schemes, at both widths, in both
languages; and all of it by keyboard, without a script.
"""

import json
import os
from pathlib import Path

import pytest

from digest.channels.email import fill
from digest.links import Links
from digest.paths import template_folders
from digest.render import Printer
from digest.services import proof
from digest.values import ServiceKind
from tests.browser.axe import violations, wanted_width
from tests.browser.test_mail_in_chromium import READER, WCAG, look_at
from tests.front_door import opened
from tests.samples import BASE, sample_digest, sample_edition

pytestmark = pytest.mark.browser
VIEWS = [(width, scheme) for width in (320, 1280) for scheme in ("light", "dark")]
PICTURES = os.environ.get("DIGEST_TEST_PICTURES", "")
"""A folder: every page that these tests come by is kept there as a picture."""


@pytest.fixture
def house(tmp_path):
    with opened(tmp_path / "home", signup_block=4) as here:
        yield here


class Visit:
    """A reader with a browser. `look` has axe look at the page in every view, and remembers what it found."""

    def __init__(self, browser, house, language, *, script=True):
        self.house, self.language, self.faults, self.seen = house, language, [], []
        self.context = browser.new_context(locale=language, java_script_enabled=script, timezone_id="America/Lima")
        self.page = self.context.new_page()
        self.page.on(
            "console", lambda said: self.faults.append(f"console: {said.text}") if said.type == "error" else None
        )

    def go(self, path):
        answer = self.page.goto(f"{str(self.house.client.base_url).rstrip('/')}{path}")
        self.house.later(seconds=3)
        return answer

    def press(self, selector):
        with self.page.expect_navigation():
            self.page.click(selector)
        self.house.later(seconds=3)

    def look(self, name):
        self.seen.append(name)
        assert self.page.locator("html").get_attribute("lang") == self.language
        for width, scheme in VIEWS:
            self.page.set_viewport_size({"width": width, "height": 800})
            self.page.emulate_media(color_scheme=scheme)
            self.faults += [f"{name}, {width} px, {scheme}: {fault}" for fault in violations(self.page)]
            if wanted_width(self.page) > width:
                self.faults.append(f"{name} scrolls sideways at {width} px")
            if PICTURES:
                file = Path(PICTURES) / f"{len(self.seen):02d}-{name}-{self.language}-{width}-{scheme}.png"
                self.page.screenshot(path=file, full_page=True)

    def title(self):
        return self.page.locator("h1").inner_text()


@pytest.mark.parametrize("language", ["en", "es"])
def test_the_whole_path_breaks_no_rule_at_all(browser, house, language):
    visit = Visit(browser, house, language)
    page = visit.page
    house.deliver(house.publish())

    visit.go("/d/global")
    assert page.locator("#zone").input_value() == "America/Lima", "what the browser reports is filled in"
    visit.look("sign-up")
    page.evaluate("document.querySelector('form').noValidate = true")
    page.fill("#email", "not an address")
    visit.press(".do")
    visit.faults = [fault for fault in visit.faults if "422" not in fault]
    visit.look("sign-up, refused")
    page.fill("#email", "ana@example.net")
    visit.press(".do")
    visit.look("check your mail")

    visit.go(house.link("ana@example.net"))
    visit.look("confirm")
    visit.press(".do")
    visit.look("welcome")
    assert house.rows("subscriber")[0].zone == "America/Lima"

    mine = house.link("ana@example.net")
    visit.go(mine)
    visit.look("preferences")
    page.select_option("[name='frequency.1']", "days")
    page.check("[name='day.1'][value=mon]")
    page.select_option("[name='hour.1']", "07:30")
    page.click("summary")
    visit.look("preferences, topics")
    page.check("[name='topic.korea'][value=more]")
    visit.press("form .do:not(.quiet)")
    visit.look("saved")
    assert house.rows("subscription")[0].days == "mon"

    visit.press(f"a[href='{mine}/pause']")
    visit.look("pause")
    visit.press("form .do:not(.quiet)")
    visit.look("paused")
    assert house.rows("subscription")[0].state == "paused"
    visit.press(f"form[action='{mine}/resume'] button")
    visit.look("resumed")

    visit.go(mine)
    visit.press(f"form[action='{mine}/access'] button")
    visit.look("link asked for")
    own = house.link("ana@example.net")
    visit.go(own)
    visit.look("own page")
    page.check("[name='email.2']")
    visit.press("form .do:not(.quiet)")
    visit.look("joined")
    page.fill("#email", "ana.new@example.net")
    visit.press(f"form[action='{own}/address'] button")
    visit.look("new address asked")
    visit.go(house.link("ana.new@example.net"))
    visit.look("new address")
    visit.press(".do")
    visit.look("moved")
    assert house.rows("subscriber")[0].email == "ana.new@example.net"

    visit.go(f"{mine}/leave")
    visit.look("leave")
    visit.press(".do")
    visit.look("left")
    page.check("[value=much]")
    visit.press(f"form[action='{mine}/why'] button")
    visit.look("thanks")
    visit.press(f"form[action='{mine}/undo'] button")
    visit.look("undone")
    assert {row.state for row in house.rows("subscription")} == {"active"}
    visit.go(f"{mine}/leave")
    visit.press(".do")
    assert {row.digest_id: row.state for row in house.rows("subscription")} == {1: "left", 2: "active"}

    house.later(days=1)
    visit.go("/d/global")
    page.fill("#email", "ana.new@example.net")
    visit.press(".do")
    visit.go(house.link("ana.new@example.net"))
    visit.press(".do")
    assert {row.state for row in house.rows("subscription")} == {"active"}, "and back"

    for n in range(2):
        visit.go("/d/global")
        page.fill("#email", f"r{n}@example.net")
        visit.press(".do")
    assert not [fault for fault in visit.faults if "429" not in fault and "console" in fault]
    visit.go("/d/global")
    page.fill("#email", "r9@example.net")
    visit.press(".do")
    visit.go("/m/unknown")
    visit.look("unknown")
    visit.go(f"/e/global/{house.rows('edition')[0].local_date}")
    if language == "en":
        visit.look("edition")
    visit.context.close()
    assert not [fault for fault in visit.faults if "404 (Not Found)" not in fault and "429" not in fault]
    assert len(visit.seen) >= 22


@pytest.mark.parametrize("language", ["en", "es"])
def test_a_reader_takes_their_data_along_and_is_erased_without_a_rule_broken(browser, house, language):
    visit = Visit(browser, house, language)
    page, mine = visit.page, house.subscribe("ana@example.net", language=language)
    house.client.post(f"{mine}/access")
    own = house.link("ana@example.net")
    visit.go(own)
    visit.look("own")
    with page.expect_download() as loading:
        page.click(f"form[action='{own}/data'] button")
    assert loading.value.suggested_filename == "my-data.json"
    assert json.loads(Path(loading.value.path()).read_text(encoding="utf-8"))["email"] == "ana@example.net"
    visit.press(f"a[href='{own}/erase']")
    visit.look("erase")
    assert len(house.rows("subscriber")) == 1, "nothing was pressed yet"
    assert page.locator("button").count() == 1
    visit.press("button")
    visit.look("erased")
    assert not house.rows("subscriber")
    visit.context.close()
    assert not visit.faults
    assert visit.seen == ["own", "erase", "erased"]


def test_it_all_works_by_keyboard_and_without_a_script(browser, house):
    visit = Visit(browser, house, "en", script=False)
    page = visit.page
    visit.go("/d/global")
    assert page.locator("#zone").input_value() == "", "then the newsroom's zone is offered"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Tab")
    page.keyboard.type("ana@example.net")
    page.keyboard.press("Tab")  # the zone
    page.keyboard.press("Tab")  # the button: the honeypot is passed over
    press(page, "Enter")
    assert visit.title() == "Check your mail"

    visit.go(house.link())
    reach(page, "button")
    press(page, "Enter")
    assert visit.title() == "You are subscribed"
    mine = house.link()

    visit.go(mine)
    reach(page, "[name='email.1']")
    page.keyboard.press("Space")
    reach(page, "form .do:not(.quiet)")
    press(page, "Enter")
    assert "no longer comes by email" in page.locator("[role=status]").inner_text()
    assert house.rows("subscription")[0].state == "left"

    visit.go(f"{mine}/leave")
    reach(page, f"form[action='{mine}/undo'] button")
    press(page, "Enter")
    assert house.rows("subscription")[0].state == "active"
    visit.go(f"{mine}/leave")
    reach(page, "form button")
    press(page, "Enter")
    assert visit.title() == "You have left Global Morning"
    visit.context.close()


def press(page, key):
    with page.expect_navigation():
        page.keyboard.press(key)


def reach(page, selector, most=60):
    """Tab until it has the focus, and see that the focus can be seen."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.locator(selector).first.evaluate("one => one === document.activeElement"):
            outline = page.locator(selector).first.evaluate("one => getComputedStyle(one).outlineStyle")
            assert outline == "solid"
            return
    pytest.fail(f"{selector} is not reached by keyboard")


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize("kind", list(ServiceKind))
def test_a_service_message_breaks_no_wcag_rule_and_does_not_scroll_sideways(browser, kind, language):
    edition = sample_edition(5, language=language)
    printed = proof(kind, sample_digest(), language, Printer(template_folders()), Links(BASE), latest=edition)
    for width, scheme in VIEWS:
        faults, wide = look_at(browser, html_of(fill(printed, READER)), width, scheme, WCAG)
        assert not faults
        assert wide <= width


def html_of(message: bytes) -> str:
    from email import message_from_bytes, policy

    return message_from_bytes(message, policy=policy.default).get_body(("html",)).get_content()
