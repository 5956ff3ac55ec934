"""Tracked mails in real Chromium, in the three modes: what is asked of us when one is shown and clicked, and what stays unseen."""

import re
from email import message_from_bytes, policy
from html import escape

import pytest

from digest.channels import email
from digest.links import Links
from digest.values import Variant
from tests.browser.axe import violations
from tests.browser.test_mail_in_chromium import PRINTER, READER, VIEWS, WCAG, look_at
from tests.digest.test_tracked_mails import STORY, agree, counted, edition_mails, house_in, html_of, own_page, trails
from tests.samples import BASE, sample_edition

pytestmark = pytest.mark.browser
OURS = "http://localhost:8000"


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
@pytest.mark.parametrize("look", ["full", "standard", "brief"])
def test_a_tracked_mail_breaks_no_wcag_rule(browser, look, width, scheme):
    proof = email.proof(
        sample_edition(), Variant(segment="", language="en", look=look), PRINTER, Links(BASE, tracked=True)
    )
    message = message_from_bytes(email.fill(proof, READER._replace(trail="R" * 24)), policy=policy.default)
    faults, wide = look_at(browser, html_of(message), width, scheme, WCAG)
    assert not faults
    assert wide <= width


class Reading:
    """A mail shown in a browser whose requests to us reach the house; `asked` has their paths."""

    def __init__(self, browser, house, html):
        self.house, self.asked = house, []
        self.context = browser.new_context()
        self.page = self.context.new_page()
        self.context.route("**/*", self._answer)
        self.page.set_content(html, wait_until="load")

    def _answer(self, route):
        url = route.request.url
        if not url.startswith(OURS):
            route.fulfill(body="<h1>The story</h1>", content_type="text/html")
            return
        self.asked.append(url.removeprefix(OURS))
        agent = route.request.headers["user-agent"].replace("Headless", "")
        answer = self.house.client.get(self.asked[-1], headers={"user-agent": agent})
        if answer.is_redirect:  # what an intercepted answer redirects to is not intercepted: the page itself goes there
            onward = f'<meta http-equiv="refresh" content="0;url={escape(answer.headers["location"])}">'
            route.fulfill(body=onward, content_type="text/html")
        else:
            route.fulfill(status=answer.status_code, content_type=answer.headers["content-type"], body=answer.content)


@pytest.mark.parametrize("mode", ["off", "aggregate", "personal"])
def test_showing_a_mail_and_clicking_its_story_in_each_mode(browser, tmp_path, mode):
    with house_in(tmp_path / "home", mode) as house:
        house.subscribe("ana@example.net")
        agree(house, "ana@example.net")
        (mail,) = edition_mails(house, "ana@example.net")
        reading = Reading(browser, house, html_of(mail))
        page = reading.page
        assert reading.asked == [f"/t/{trail}/seen.gif" for trail in trails(mail)]
        house.later(seconds=30)
        page.click("h2 a")
        page.wait_for_url(STORY)
        assert len(reading.asked) == (0 if mode == "off" else 2)
        assert counted(house) == ({} if mode == "off" else {("opened", -1, False): 1, ("clicked", 1, False): 1})
        assert len(house.rows("deed")) == (2 if mode == "personal" else 0)
        reading.context.close()


def test_nobody_sees_or_reaches_the_trap_and_the_pixel_takes_no_room(browser, tmp_path):
    with house_in(tmp_path / "home", "personal") as house:
        house.subscribe("ana@example.net")
        (mail,) = edition_mails(house, "ana@example.net")
        html = html_of(mail)
        reading = Reading(browser, house, html)
        page = reading.page
        trap = re.search(r'href="([^"]*/2)" aria-hidden', html)[1]
        assert not page.locator(f'a[href="{trap}"]').is_visible()
        reached = set()
        for _ in range(40):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.href || ''"))
        assert trap not in reached
        assert any("/t/" in one for one in reached), "the others are reached"
        assert trap not in page.locator("body").aria_snapshot()
        box = page.locator('img[src$="seen.gif"]').bounding_box()
        assert box["width"] <= 1
        assert box["height"] <= 1
        reading.context.close()


@pytest.mark.parametrize("language", ["en", "es"])
def test_the_pages_that_ask_for_consent_break_no_rule_at_all(browser, tmp_path, language):
    with house_in(tmp_path / "home", "personal") as house:
        house.sign_up("ana@example.net", language=language)
        house.client.post(f"{house.link('ana@example.net')}?language={language}")
        own = own_page(house, "ana@example.net")
        house.sign_up("ben@example.net", language=language)
        context = browser.new_context(locale=language)
        page = context.new_page()
        for path in (house.link("ben@example.net"), own):
            for width, scheme in ((320, "light"), (320, "dark"), (1280, "light"), (1280, "dark")):
                page.set_viewport_size({"width": width, "height": 800})
                page.emulate_media(color_scheme=scheme)
                page.goto(f"{str(house.client.base_url).rstrip('/')}{path}")
                assert page.locator("html").get_attribute("lang") == language
                assert not page.locator("input[name=tracked]").is_checked(), "off by default"
                assert violations(page) == []
                assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.check("input[name=tracked]")
        with page.expect_navigation():
            page.click("main form >> nth=0 >> button")
        assert page.locator("input[name=tracked]").is_checked()
        assert len(house.rows("tracking_consent")) == 1
        context.close()
