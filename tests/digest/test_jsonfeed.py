import json
from datetime import UTC, datetime

import pytest

from digest.errors import SourceError
from digest.sources.jsonfeed import parse
from digest.values import Document, Reading

NOW = datetime(2025, 3, 7, 6, 0, tzinfo=UTC)


def read(feed: object) -> Reading:
    body = feed if isinstance(feed, bytes) else json.dumps(feed).encode()
    return parse(Document(body=body, source="coast", now=NOW, url="https://coast.example/feed.json"))


def test_version_1_1_tells_everything() -> None:
    story = read(
        {
            "version": "https://jsonfeed.org/version/1.1",
            "language": "es",
            "authors": [{"name": "Redacción"}],
            "items": [
                {
                    "id": 7,
                    "url": "/global/puerto",
                    "title": "Puerto &amp; bahía",
                    "content_html": "<p>El puerto del norte vuelve a abrir el lunes.</p><p>Habrá más barcos.</p>",
                    "date_published": "2025-03-06T10:00:00+01:00",
                    "date_modified": "2025-03-06T12:00:00+01:00",
                    "image": "/puerto.jpg",
                    "tags": ["Puertos", "Europa"],
                }
            ],
        }
    ).stories[0]
    assert (story.headline, story.guid, story.url) == ("Puerto & bahía", "7", "https://coast.example/global/puerto")
    assert (story.author, story.language, story.categories) == ("Redacción", "es", ("Puertos", "Europa"))
    assert story.body == "El puerto del norte vuelve a abrir el lunes.\n\nHabrá más barcos."
    assert story.teaser == "El puerto del norte vuelve a abrir el lunes."
    assert story.image == "https://coast.example/puerto.jpg"
    assert story.published_at == datetime(2025, 3, 6, 9, tzinfo=UTC)


def test_version_1_0_with_one_author_and_plain_text() -> None:
    story = read(
        {
            "version": "https://jsonfeed.org/version/1",
            "items": [{"id": "a", "content_text": "Ships are back in the harbour.", "author": {"name": "Ana"}}],
        }
    ).stories[0]
    assert (story.headline, story.author) == ("Ships are back in the harbour.", "Ana")


@pytest.mark.parametrize(
    "items", [[None, 1, "x", []], [{"title": {"a": 1}, "tags": "x", "authors": "x", "id": True, "url": ["x"]}]]
)
def test_items_of_the_wrong_shape_break_nothing(items: list[object]) -> None:
    assert len([story for story in read({"items": items}).stories if story.headline]) == 0


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"items": {}}', b"[" * 100_000, b'{"a": 1}', b'{"items": [1e999, NaN'])
def test_what_is_no_json_feed_is_told_in_one_sentence(body: bytes) -> None:
    with pytest.raises(SourceError, match=r"coast is (no JSON Feed|JSON, but no JSON Feed)"):
        read(body)
