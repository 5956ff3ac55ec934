"""What holds for every kind of source; a new file in digest/sources is tested by being there."""

import unicodedata
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digest import sources
from digest.errors import SettingsError, SourceError
from digest.parts import load_part
from digest.text import is_cut
from digest.values import Document, Reading

NOW = datetime(2025, 3, 7, 6, 0, tzinfo=UTC)
FEEDS = Path(__file__).parents[2] / "../shared/data/feeds"

SAMPLES = {
    "rss": b"""<?xml version="1.0"?><rss version="2.0"><channel><title>Coast</title>
        <item><title>Harbour &amp;amp; bay reopen</title><link>/global/harbour</link><guid>1</guid>
        <pubDate>Thu, 06 Mar 2025 10:00:00 CET</pubDate><description>&lt;p&gt;Ships come back to the northern harbour on Monday...&lt;/p&gt;</description></item>
        <item><title>A storm is on its way</title><link>javascript:alert(1)</link><pubDate>Fri, 07 Mar 2099 10:00:00 GMT</pubDate></item>
        </channel></rss>""",
    "jsonfeed": b"""{"version": "https://jsonfeed.org/version/1.1", "title": "Coast", "items": [
        {"id": "1", "url": "/global/harbour", "title": "Harbour &amp; bay reopen", "date_published": "2025-03-06T10:00:00+01:00",
         "summary": "Ships come back to the northern harbour on Monday..."},
        {"id": "2", "url": "javascript:alert(1)", "title": "A storm is on its way", "date_published": "2099-03-07T10:00:00Z"}]}""",
    "sitemap": b"""<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:news="http://www.google.com/schemas/sitemap-news/0.9">
        <url><loc>https://coast.example/global/harbour</loc><news:news><news:publication_date>2025-03-06T10:00:00+01:00</news:publication_date>
        <news:title>Harbour &amp;amp; bay reopen</news:title></news:news></url>
        <url><loc>javascript:alert(1)</loc><news:news><news:publication_date>2099-03-07</news:publication_date>
        <news:title>A storm is on its way</news:title></news:news></url></urlset>""",
    "page": b"""<!doctype html><html lang="en"><title>Coast</title><h1>Global</h1>
        <article><h2><a href="/global/harbour">Harbour &amp; bay reopen</a></h2><time datetime="2025-03-06T10:00:00+01:00">Thursday</time>
        <p>Ships come back to the northern harbour on Monday...</p></article>
        <article><h2><a href="/global/storm">A storm is on its way</a></h2><time datetime="2099-03-07T10:00:00Z">later</time></article></html>""",
    "text": b"Global\n\nHarbour & bay reopen\n\n2025-03-06 10:00 CET\n\nShips come back to the northern harbour on Monday...\n\n"
    b"Share\nRelated Articles\nGlobal\n\nA storm is on its way\n\n2099-03-07 10:00 GMT\n",
}  # fmt: skip


def document(body: bytes, **values: object) -> Document:
    return Document(**{"body": body, "source": "coast", "now": NOW, "url": "https://coast.example/list", **values})  # type: ignore[arg-type]


def sane(reading: Reading) -> None:
    for place, story in enumerate(reading.stories):
        assert story.position == place
        assert story.url == "" or story.url.startswith(("https://", "http://"))
        assert not is_cut(story.teaser)
        assert story.stub == (not story.teaser and not story.body)
        assert len(story.headline) <= 500
        assert len(story.url) <= 2000
        for moment in (story.published_at, story.updated_at):
            assert moment is None or moment.tzinfo is UTC
        for text in (story.headline, story.teaser, story.section, story.author, *story.categories):
            assert text == unicodedata.normalize("NFC", " ".join(text.split()))


every_kind = pytest.mark.parametrize("kind", sources.kinds())


@every_kind
def test_it_has_a_sample_here(kind: str) -> None:
    assert kind in SAMPLES, f"write a sample of two stories for {kind} in this file"


@every_kind
def test_it_tells_the_sample_as_every_other_kind_does(kind: str) -> None:
    reading = sources.parse(kind, document(SAMPLES[kind]))
    sane(reading)
    harbour, storm = reading.stories
    assert harbour.headline == "Harbour & bay reopen"
    assert harbour.published_at == datetime(2025, 3, 6, 9, 0, tzinfo=UTC)
    assert harbour.teaser == ""
    assert storm.headline == "A storm is on its way"
    assert storm.published_at == NOW
    assert any("future" in note for note in reading.notes)


@every_kind
def test_a_cut_teaser_is_kept_apart_and_never_shown(kind: str) -> None:
    harbour = sources.parse(kind, document(SAMPLES[kind])).stories[0]
    assert harbour.stub
    assert harbour.cut_teaser == ("" if kind == "sitemap" else "Ships come back to the northern harbour on Monday...")


@every_kind
def test_a_link_that_runs_code_is_left_out(kind: str) -> None:
    storm = sources.parse(kind, document(SAMPLES[kind])).stories[1]
    assert "javascript" not in storm.url


@every_kind
def test_it_is_recognised_and_no_other_is(kind: str) -> None:
    head = SAMPLES[kind].decode()
    assert sources.sniff(document(SAMPLES[kind])) == kind
    assert [name for name in sources.kinds() if load_part("sources", name).looks_like(head, "")] == [kind]


@every_kind
def test_another_kind_in_its_place_is_one_sentence(kind: str) -> None:
    for other in sources.kinds():
        if other != kind:
            with pytest.raises(SourceError, match=r"coast .+") as error:
                sources.parse(kind, document(SAMPLES[other]))
            assert "\n" not in str(error.value)


@every_kind
@pytest.mark.parametrize(
    "body", [b"", b"\0" * 100, b"\xff\xfe", b"\x1f\x8b\x08\0", b"{", b"<", b"<rss", b"[]", b"null", b"&", b"<?xml"]
)
def test_rubbish_is_refused_or_empty_but_breaks_nothing(kind: str, body: bytes) -> None:
    with suppress(SourceError):
        sane(sources.parse(kind, document(body)))


@every_kind
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_document_breaks_nothing(kind: str, data: st.DataObject) -> None:
    sample = SAMPLES[kind]
    start = data.draw(st.integers(0, len(sample)))
    gone = data.draw(st.integers(0, 60))
    body = sample[:start] + data.draw(st.binary(max_size=20)) + sample[start + gone :]
    with suppress(SourceError):
        sane(sources.parse(kind, document(body)))


def test_a_document_of_no_kind_is_refused() -> None:
    with pytest.raises(SourceError, match="neither feed, sitemap, page nor plain text"):
        sources.sniff(document(b"%PDF-1.7\0\0"))
    with pytest.raises(SettingsError, match=r"no source named 'gopher'; there is .*rss"):
        sources.parse("gopher", document(b"x"))


@every_kind
@pytest.mark.skipif(not FEEDS.is_dir(), reason="the collected feeds are not beside this checkout")
def test_no_collected_feed_breaks_any_kind(kind: str) -> None:
    files = [file for folder in ("gofeed", "reader") for file in (FEEDS / folder).rglob("*.*") if file.is_file()]
    assert len(files) > 1000
    for file in files:
        with suppress(SourceError):
            sane(sources.parse(kind, document(file.read_bytes())))
