import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.identity import canonical, headline_key, story_key, story_keys
from digest.values import Story

ARTICLE = "https://example.org/global/harbour-reopens"


def told(**values: object) -> Story:
    return Story(**{"guid": "", "source": "coast", "headline": "Harbour reopens", "url": ARTICLE, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url",
    [
        "HTTP://WWW.Example.org:80/global/harbour-reopens/?utm_source=x&fbclid=1#top",
        "https://m.example.org/global/harbour-reopens",
        "https://mobile.example.org/global/harbour-reopens/index.html",
        "https://amp.example.org/global/harbour-reopens",
        "https://example.org/global/harbour-reopens/amp/",
        "https://example.org/amp/global/harbour-reopens",
        "https://example.org/global/harbour-reopens.amp.html?outputType=amp",
        "https://example.org:443//global/harbour-reopens?ref=rss&at_medium=RSS",
        "https://www.google.com/amp/s/www.example.org/global/harbour-reopens",
        "https://www-example-org.cdn.ampproject.org/c/s/www.example.org/global/harbour-reopens",
        "https://example.org/global/%68arbour-reopens",
    ],
)
def test_every_spelling_of_an_address_is_the_same_address(url: str) -> None:
    assert canonical(url) == ARTICLE


def test_what_makes_another_article_stays() -> None:
    assert canonical("https://example.org/read?b=2&id=7") == "https://example.org/read?b=2&id=7"
    assert canonical("https://news.example.org/a") != canonical("https://example.org/a")
    assert canonical("https://en.m.wikipedia.org/wiki/Port") == "https://en.wikipedia.org/wiki/Port"
    assert canonical("https://m.org/a") == "https://m.org/a"


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "", "mailto:a@example.org", "http://[::1", "http://example.org:99999/"]
)
def test_what_is_no_web_address_has_no_spelling(url: str) -> None:
    assert canonical(url) == ""


PARTS = st.text(alphabet="abAB/.%?&=#:é_-~+ ", max_size=40)


@given(PARTS)
def test_the_spelling_of_a_spelling_is_itself(rest: str) -> None:
    once = canonical(f"https://www.example.org/{rest}")
    assert canonical(once) == once


@pytest.mark.parametrize("headline", ["HARBOUR  reopens!", "“Harbour” reopens", "Harbóur: reopens"])
def test_a_headline_is_the_same_however_it_is_set(headline: str) -> None:
    assert headline_key(headline) == headline_key("Harbour reopens")


def test_headlines_in_other_scripts_are_kept_apart() -> None:
    assert headline_key("की") != headline_key("का")
    assert headline_key("平壌") != headline_key("京城")
    assert headline_key("!!!") != headline_key("???")


def test_two_sources_of_one_publisher_tell_one_story_by_its_address() -> None:
    one, other = told(guid="1"), told(guid="77", source="feed", url=f"{ARTICLE}?utm_source=rss")
    assert story_key(one, True) == story_key(other, True)


def test_a_guid_counts_only_where_it_is_unique_in_its_feed() -> None:
    front = "https://example.org/"
    stories = [
        told(guid=guid, url=front, headline=line) for guid, line in (("same", "One"), ("same", "Two"), ("own", "Three"))
    ]
    keys = story_keys(stories)
    assert len(set(keys)) == 3
    assert keys[2] == story_key(told(guid="own", url=front, headline="Three, reworded"), True)
    assert keys[0] == story_key(told(guid="other", url=front, headline="one"), False)


def test_an_address_that_many_stories_share_identifies_none_of_them() -> None:
    stories = [told(headline="One"), told(headline="Two"), told(headline="Three", url=f"{ARTICLE}-3")]
    assert len(set(story_keys(stories))) == 3
