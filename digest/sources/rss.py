"""RSS and Atom, as feedparser reads them, with our own reading of dates, links and text."""

import re
from collections.abc import Iterator
from typing import Any

import feedparser

from digest.errors import SourceError
from digest.intake import Intake
from digest.values import Document, Reading

_START = re.compile(r"<(?:rss|feed|(?:[\w-]+:)?rdf|channel|(?:atom|a):feed)[\s>]", re.IGNORECASE)
_FEED = re.compile(_START.pattern.encode(), re.IGNORECASE)
_PAGE = re.compile(rb"<(?:!doctype\s+html|html|head|body)[\s>]", re.IGNORECASE)
_PICTURE = re.compile(r"""<img\b[^<>]{0,400}?\ssrc\s*=\s*["']([^"'<>]{1,2000})["']""", re.IGNORECASE)
HEAD, MOST_TAGS = 4096, 400_000
_PUBLISHED, _UPDATED = ("published", "created", "dc_date", "date"), ("updated", "modified")


def looks_like(head: str, _content_type: str) -> bool:
    return bool(_START.search(head)) and "<html" not in head[:200].lower()


def parse(document: Document) -> Reading:
    """
    The entries of a feed, in its order.

    Raises:
        SourceError: it is no feed; says so when it is a web page.
    """
    if _PAGE.search(document.body[:HEAD]) and not _FEED.search(document.body[:HEAD]):
        raise SourceError(
            f"{document.source} is a web page, not a feed: add it with kind page, or look on it for its feed's address."
        )
    if document.body.count(b"<") > MOST_TAGS:  # the parser's time grows with them
        raise SourceError(
            f"{document.source} holds more than {MOST_TAGS:,} tags: ask the publisher for a shorter feed."
        )
    told = feedparser.parse(  # bytes, never a path or address: feedparser would open those
        document.body,
        response_headers={"content-type": document.content_type, "content-location": document.url},
        sanitize_html=False,
        resolve_relative_uris=False,
    )
    if not told.entries and not told.get("version"):
        raise SourceError(f"{document.source} is no feed: check the address, and what it shows in a browser.")
    intake = Intake(document, language=str(told.feed.get("language", "")))
    for entry in told.entries:
        _add(intake, entry)
    return intake.reading()


def _add(intake: Intake, entry: Any) -> None:
    description, body = _texts(entry)
    intake.add(
        headline=str(entry.get("title", "")),
        url=str(entry.get("feedburner_origlink") or entry.get("link") or _enclosed(entry)),
        guid=str(entry.get("id", "")),
        description=description,
        body=body,
        published=_dates(entry, *_PUBLISHED, *_UPDATED),
        updated=_dates(entry, *_UPDATED),
        image=next((address for address in _pictures(entry, body or description) if address), ""),
        author=str(entry.get("author", "")),
        language=next((str(part.get("language") or "") for part in entry.get("content", ())), ""),
        categories=[str(tag.get("label") or tag.get("term") or "") for tag in entry.get("tags", ())],
    )


def _dates(entry: Any, *names: str) -> list[str]:
    """The dates as written; asked of the plain dict, since feedparser gives the publication's date for a missing update."""
    return [str(dict.get(entry, name, "")) for name in names]


def _texts(entry: Any) -> tuple[str, str]:
    """Description and article; feedparser names them by element, publishers by whim: the longer one is the article."""
    said = str(entry.get("summary", ""))
    whole = max((str(part.get("value", "")) for part in entry.get("content", ())), key=len, default="")
    return (whole, said) if len(said) > len(whole) > 0 else (said, whole)


def _enclosed(entry: Any) -> str:
    return next((str(part.get("href", "")) for part in entry.get("enclosures", ())), "")


def _pictures(entry: Any, text: str) -> Iterator[str]:
    """Addresses of the entry's picture, best first."""
    for part in (*entry.get("media_content", ()), *entry.get("enclosures", ())):
        if str(part.get("medium") or part.get("type") or "").startswith("image"):
            yield str(part.get("url") or part.get("href") or "")
    yield from (str(part.get("url", "")) for part in entry.get("media_thumbnail", ()))
    inside = _PICTURE.search(text)
    yield inside[1] if inside else ""
