from datetime import UTC, datetime
from pathlib import Path

import feedparser
import pytest

from digest.errors import SourceError
from digest.sources.rss import parse
from digest.values import Document, Reading, Story

NOW = datetime(2025, 3, 7, 6, 0, tzinfo=UTC)
REAL = Path(__file__).parents[2] / "../shared/data/feeds/real"


def read(body: bytes | str, **values: str) -> Reading:
    raw = body.encode() if isinstance(body, str) else body
    return parse(
        Document(**{"body": raw, "source": "coast", "now": NOW, "url": "https://coast.example/feeds/all.xml", **values})
    )  # type: ignore[arg-type]


def item(inside: str, channel: str = "") -> Story:
    return read(f'<rss version="2.0"><channel>{channel}<item>{inside}</item></channel></rss>').stories[0]


@pytest.mark.skipif(not REAL.is_dir(), reason="the collected feeds are not beside this checkout")
def test_no_real_feed_gives_fewer_stories_than_feedparser_finds_entries() -> None:
    files = sorted(REAL.iterdir())
    assert len(files) == 127
    for file in files[::4]:
        body = file.read_bytes()
        assert len(read(body).stories) >= len(feedparser.parse(body, sanitize_html=False).entries), file.name


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="the collected feeds are not beside this checkout")
def test_no_date_of_a_real_feed_is_lost_that_feedparser_can_read() -> None:
    for file in sorted(REAL.iterdir()):
        body = file.read_bytes()
        told = feedparser.parse(body, sanitize_html=False)
        reading = read(body)
        assert len(reading.stories) >= len(told.entries), file.name
        for entry, story in zip(told.entries, reading.stories, strict=True):
            stated = entry.get("published_parsed") or entry.get("updated_parsed")
            assert story.published_at or not stated or stated.tm_year < 1990, (file.name, entry.get("published"))


@pytest.mark.parametrize(
    ("title", "headline"),
    [
        ("Harbour &amp;amp; bay", "Harbour & bay"),
        ("Mayor&amp;#8217;s &amp;lt;i&amp;gt;last&amp;lt;/i&amp;gt; day", "Mayor’s last day"),
        ("<![CDATA[Storm <b>warning</b> &rsquo;red&rsquo;]]>", "Storm warning ’red’"),
        ("Talks&nbsp;go on", "Talks go on"),
        ("Ships & more", "Ships & more"),
    ],
)
def test_titles_are_read_however_they_are_escaped(title: str, headline: str) -> None:
    assert item(f"<title>{title}</title>").headline == headline


def test_a_date_with_a_summer_zone_is_not_two_hours_wrong() -> None:
    assert item("<title>x</title><pubDate>Wed, 05 Mar 2025 10:00:00 CEST</pubDate>").published_at == datetime(
        2025, 3, 5, 8, tzinfo=UTC
    )


def test_a_date_that_nobody_can_read_is_left_out_with_a_note() -> None:
    reading = read("<rss><channel><item><title>x</title><pubDate>03/04/2025</pubDate></item></channel></rss>")
    assert reading.stories[0].published_at is None
    assert reading.notes == ("1 story with a date that cannot be read without guessing (it is left out)",)


def test_links_are_made_whole_and_only_web_links_are_kept() -> None:
    assert item("<title>x</title><link>/global/a?x=1&amp;y=2</link>").url == "https://coast.example/global/a?x=1&y=2"
    assert item("<title>x</title><link>//cdn.example/a</link>").url == "https://cdn.example/a"
    for bad in ("javascript:alert(1)", "data:text/html,x", "https://user:pass@coast.example/", "file:///etc/passwd"):
        assert item(f"<title>x</title><link>{bad}</link>").url == ""


def test_a_cut_description_with_a_body_gets_its_teaser_from_the_body() -> None:
    story = item(
        "<title>Harbour reopens</title><description>After six months of repairs...</description>"
        '<content:encoded xmlns:content="http://purl.org/rss/1.0/modules/content/"><![CDATA[<p>After six months of repairs the harbour '
        "reopens on Monday.</p><p>More ships are expected.</p>]]></content:encoded>"
    )
    assert story.teaser == "After six months of repairs the harbour reopens on Monday."
    assert story.body == "After six months of repairs the harbour reopens on Monday.\n\nMore ships are expected."
    assert story.cut_teaser == "After six months of repairs..."
    assert not story.stub


def test_everything_an_atom_entry_states_is_told() -> None:
    story = read(
        """<feed xmlns="http://www.w3.org/2005/Atom" xmlns:media="http://search.yahoo.com/mrss/" xml:lang="es-ES"><entry>
        <id>tag:coast.example,2025:7</id><title type="html">Puerto &amp;lt;b&amp;gt;abierto&amp;lt;/b&amp;gt;</title>
        <link href="https://coast.example/global/puerto"/><published>2025-03-06T09:00:00Z</published><updated>2025-03-06T11:30:00Z</updated>
        <author><name>Ana Ruiz</name></author><category term="Puertos"/><category term="Puertos"/><category label="Europa" term="eu"/>
        <media:content url="/img/puerto.jpg" medium="image"/>
        <summary>El puerto del norte vuelve a abrir el lunes tras seis meses de obras.</summary></entry></feed>"""
    ).stories[0]
    assert story.headline == "Puerto abierto"
    assert (story.guid, story.author, story.language) == ("tag:coast.example,2025:7", "Ana Ruiz", "es-ES")
    assert story.categories == ("Puertos", "Europa")
    assert story.image == "https://coast.example/img/puerto.jpg"
    assert (story.published_at, story.updated_at) == (
        datetime(2025, 3, 6, 9, tzinfo=UTC),
        datetime(2025, 3, 6, 11, 30, tzinfo=UTC),
    )
    assert story.teaser == "El puerto del norte vuelve a abrir el lunes tras seis meses de obras."


def test_a_feed_without_titles_takes_the_first_words() -> None:
    assert (
        item("<description>The harbour is open again, says the mayor.</description>").headline
        == "The harbour is open again, says the mayor."
    )
    assert item("<link>https://coast.example/harbour-is-open</link>").headline == "Harbour is open"


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf  \n<?xml version="1.0"?><rss version="2.0"><channel><item><title>na\xc3\xafve</title></item></channel></rss>',
        '<?xml version="1.0" encoding="utf-16"?><rss version="2.0"><channel><item><title>naïve</title></item></channel></rss>'.encode(
            "utf-16"
        ),
        b'<?xml version="1.0" encoding="utf-8"?><rss version="2.0"><channel><item><title>na\xefve</title></item></channel></rss>',
        '<rss version="2.0"><channel><item><title>naïve</title><link>https://coast.example/a</link><description>cut off he'.encode(),
        "<rss version='2.0'><channel><item><title>na\x08ïve</title></item></channel></rss>".encode(),
    ],
)
def test_feeds_with_the_usual_faults_are_read(body: bytes) -> None:
    assert read(body).stories[0].headline == "naïve"


def test_a_page_in_place_of_a_feed_says_what_to_do() -> None:
    with pytest.raises(SourceError, match="coast is a web page, not a feed: add it with kind page"):
        read("<!DOCTYPE html><html><body><h1>Not found</h1></body></html>")


def test_neither_files_nor_bombs_hide_in_a_feed() -> None:
    secret = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><rss version="2.0"><channel><item><title>a&e;</title></item></channel></rss>'
    assert "root" not in read(secret).stories[0].headline
    with pytest.raises(SourceError, match="more than 400,000 tags"):
        read(b'<rss version="2.0"><channel>' + b"<a>" * 400_001)


def test_of_a_huge_feed_the_newest_are_kept_and_the_rest_is_counted() -> None:
    items = "".join(
        f"<item><title>n{n}</title><pubDate>2025-01-01T{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}Z</pubDate></item>"
        for n in range(2100)
    )
    reading = read(f'<rss version="2.0"><channel>{items}</channel></rss>')
    assert len(reading.stories) == 2000
    assert reading.stories[0].headline == "n100"
    assert reading.notes == ("100 stories older than the newest 2000 left out",)
