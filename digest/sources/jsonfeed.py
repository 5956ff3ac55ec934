"""JSON Feed 1.0 and 1.1."""

import json
import re
from typing import Any

from digest.errors import SourceError
from digest.intake import Intake
from digest.text import decoded
from digest.values import Document, Reading

_VERSION = re.compile(r"jsonfeed\.org\W+version")


def looks_like(head: str, content_type: str) -> bool:
    return head.startswith("{") and (bool(_VERSION.search(head)) or '"items"' in head or "feed+json" in content_type)


def parse(document: Document) -> Reading:
    """
    The items of a JSON Feed, in its order.

    Raises:
        SourceError: it is not JSON, or JSON of another kind.
    """
    feed = _read(document)
    intake = Intake(document, language=_text(feed.get("language")))
    for item in feed["items"]:
        if isinstance(item, dict):
            _add(intake, item, _dicts(feed.get("authors") or feed.get("author")))
    return intake.reading()


def _read(document: Document) -> dict[str, Any]:
    try:
        feed = json.loads(decoded(document.body, document.content_type).lstrip("\ufeff"))
    except (ValueError, RecursionError) as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply, or damaged"
        raise SourceError(f"{document.source} is no JSON Feed ({why}): check the address.") from None
    if not isinstance(feed, dict) or not isinstance(feed.get("items"), list):
        raise SourceError(f"{document.source} is JSON, but no JSON Feed: it has no list of items.")
    return feed


def _add(intake: Intake, item: dict[str, Any], house: list[dict[str, Any]]) -> None:
    authors = _dicts(item.get("authors") or item.get("author")) or house
    intake.add(
        headline=_text(item.get("title")),
        url=_text(item.get("url")) or _text(item.get("external_url")),
        guid=_text(item.get("id")),
        description=_text(item.get("summary")),
        body=_text(item.get("content_html")) or _text(item.get("content_text")),
        published=[_text(item.get("date_published"))],
        updated=[_text(item.get("date_modified"))],
        image=_text(item.get("image")) or _text(item.get("banner_image")),
        author=", ".join(name for name in (_text(author.get("name")) for author in authors) if name),
        language=_text(item.get("language")),
        categories=[_text(tag) for tag in item.get("tags") or () if isinstance(item.get("tags"), list)],
    )


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [part for part in (value if isinstance(value, list) else [value]) if isinstance(part, dict)]


def _text(value: Any) -> str:
    """Text or number as text; anything else says nothing here."""
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
