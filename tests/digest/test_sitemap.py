from datetime import UTC, datetime

import pytest

from digest.errors import SourceError
from digest.sources.sitemap import parse
from digest.values import Document, Reading

NOW = datetime(2025, 3, 7, 6, 0, tzinfo=UTC)
SPACES = (
    'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:n="http://www.google.com/schemas/sitemap-news/0.9" '
    'xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"'
)


def read(inside: str, root: str = "urlset") -> Reading:
    return parse(Document(body=f"<{root} {SPACES}>{inside}</{root}>".encode(), source="coast", now=NOW))


def test_a_news_sitemap_tells_headline_date_language_and_picture() -> None:
    story = read(
        """<url><loc> https://coast.example/global/harbour </loc><lastmod>2025-03-06T12:00:00Z</lastmod>
        <n:news><n:publication><n:name>Coast</n:name><n:language>en</n:language></n:publication>
        <n:publication_date>2025-03-06</n:publication_date><n:title>Harbour &amp; bay</n:title><n:keywords>Ports, Europe</n:keywords></n:news>
        <image:image><image:loc>https://coast.example/a.jpg</image:loc><image:title>A ship</image:title></image:image></url>"""
    ).stories[0]
    assert (story.headline, story.url, story.language) == (
        "Harbour & bay",
        "https://coast.example/global/harbour",
        "en",
    )
    assert (story.published_at, story.updated_at) == (
        datetime(2025, 3, 6, tzinfo=UTC),
        datetime(2025, 3, 6, 12, tzinfo=UTC),
    )
    assert (story.image, story.categories) == ("https://coast.example/a.jpg", ("Ports", "Europe"))
    assert story.stub


def test_an_address_without_headline_is_left_out_and_counted() -> None:
    news = "<url><loc>https://coast.example/a</loc><n:news><n:title>A</n:title></n:news></url>"
    reading = read(
        f"{news}<url><loc>https://coast.example/about</loc><image:image><image:title>A ship</image:title></image:image></url>"
    )
    assert [story.headline for story in reading.stories] == ["A"]
    assert reading.notes == ("1 story without headline left out: only news sitemaps give one",)


def test_a_plain_sitemap_and_an_index_say_what_to_add() -> None:
    with pytest.raises(SourceError, match="plain sitemap without headlines"):
        read("<url><loc>https://coast.example/a</loc></url>")
    with pytest.raises(SourceError, match=r"index of sitemaps: .*https://coast.example/news.xml"):
        read("<sitemap><loc>https://coast.example/news.xml</loc></sitemap>", root="sitemapindex")


def test_an_empty_news_sitemap_is_a_quiet_day() -> None:
    assert read("").stories == ()


def test_entities_from_outside_are_not_read() -> None:
    body = f'<!DOCTYPE urlset [<!ENTITY e SYSTEM "file:///etc/passwd">]><urlset {SPACES}><url><loc>https://coast.example/a</loc><n:news><n:title>A&e;</n:title></n:news></url></urlset>'
    story = parse(Document(body=body.encode(), source="coast", now=NOW)).stories[0]
    assert story.headline == "A"
