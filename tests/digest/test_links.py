"""Links lead where they should and carry nothing they should not."""

from datetime import date
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.links import SHARE, Links, leave_by_mail, share_links, tagged, utm_of
from digest.values import EditionKind
from tests.samples import sample_digest, sample_edition

LINKS = Links("https://news.example.org")


@pytest.mark.parametrize(
    ("kind", "name", "path"),
    [
        (EditionKind.DAILY, "", "/e/global/2025-03-06"),
        (EditionKind.WEEKLY, "", "/e/global/2025-03-06-weekly"),
        (EditionKind.BREAKING, "quake", "/e/global/2025-03-06-breaking-quake"),
    ],
)
def test_every_edition_of_a_day_has_its_own_address(kind, name, path):
    assert LINKS.edition("global", date(2025, 3, 6), kind, name) == f"https://news.example.org{path}"


def test_the_ways_out_carry_the_token_and_nothing_else():
    assert LINKS.preferences("tok") == "https://news.example.org/m/tok"
    assert LINKS.leave("tok") == "https://news.example.org/m/tok/leave"
    assert LINKS.pause("tok") == "https://news.example.org/m/tok/pause"
    assert leave_by_mail("editors@example.org", "tok") == "mailto:editors@example.org?subject=leave%20tok"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a.example/s", "https://a.example/s?utm_source=d&utm_medium=email"),
        ("https://a.example/s?id=7#top", "https://a.example/s?id=7&utm_source=d&utm_medium=email#top"),
        ("https://a.example/s?utm_source=rss&x=%C3%A9", "https://a.example/s?x=%C3%A9&utm_source=d&utm_medium=email"),
    ],
)
def test_the_publisher_s_utm_settings_replace_those_of_the_source_and_keep_the_rest(url, expected):
    assert tagged(url, {"source": "d", "medium": "email"}) == expected


def test_without_utm_settings_an_address_is_left_alone():
    assert tagged("https://a.example/s?b=&b=2", {}) == "https://a.example/s?b=&b=2"


def test_utm_settings_may_name_the_digest_and_the_day():
    edition = sample_edition(digest=sample_digest(utm={"utm_campaign": "{digest}-{date}"}))
    assert utm_of(edition) == {"campaign": "global-2025-03-06"}


def test_each_network_gets_the_story_s_own_address_marked_as_shared():
    edition = sample_edition()
    shared = share_links(edition, edition.slots[0])
    assert list(shared) == list(edition.digest.share) == list(SHARE)
    own = tagged(edition.slots[0].url, {"source": "global-digest", "campaign": "morning", "medium": "share"})
    for network, field in {"whatsapp": "text", "telegram": "url", "facebook": "u", "x": "url", "email": "body"}.items():
        assert parse_qs(urlsplit(shared[network]).query)[field] == [own], network
    assert shared["copy"] == "https://news.example.org/e/global/2025-03-06#s1"
    assert parse_qs(urlsplit(shared["email"]).query)["subject"] == [edition.slots[0].headline]


@given(st.text(alphabet=st.characters(blacklist_categories=["Cs"]), max_size=40))
def test_whatever_a_headline_or_address_holds_a_share_link_is_one_address(text):
    from dataclasses import replace

    edition = sample_edition(1)
    slot = replace(edition.slots[0], headline=text, url=f"https://a.example/?q={text}")
    for url in share_links(edition, slot).values():
        assert not set(url) & set(' "<>&\n') - ({"&"} if url.startswith("mailto:") else set())


def test_only_the_digest_s_networks_are_offered():
    edition = sample_edition(digest=sample_digest(share=("x", "email", "no-such-network")))
    assert list(share_links(edition, edition.slots[0])) == ["x", "email"]
