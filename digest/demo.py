"""A sample newsroom with today's dates, and two hundred readers for it; everything else in the demo is the real line."""

import csv
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from email.utils import format_datetime
from itertools import product
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

SAMPLE = Path(__file__).resolve().parent / "sample" / "newsroom.json"
READERS = 200
ZONES = ("Europe/Madrid", "America/New_York", "America/Mexico_City", "Asia/Seoul")
FIRST = (
    "Ana",
    "Luis",
    "Marta",
    "Jon",
    "Núria",
    "Grace",
    "Ibrahim",
    "Hye-jin",
    "Olga",
    "Tomás",
    "Priya",
    "Søren",
    "Chloé",
    "Kwame",
)
LAST = (
    "García",
    "Miller",
    "Kim",
    "O’Neill",
    "Núñez",
    "Okafor",
    "Lindqvist",
    "Tanaka",
    "Rossi",
    "Haddad",
    "Novak",
    "Silva",
    "Petit",
)
TOPICS = ("korea", "ukraine", "europe", "climate", "africa", "latin-america", "vatican", "economy")
SEGMENTS = {
    "korea-watchers": ('topics has "korea"', "Readers who asked for Korea"),
    "madrid-desk": ('zone = "Europe/Madrid"', "Readers on the newsroom's own time"),
    "everyone-else": ("everyone", "All other readers"),
}
SENDER = {
    "from_name": "The Daily Example",
    "from_address": "global@news.example.org",
    "reply_to": "editors@news.example.org",
    "postal_address": "The Daily Example, 1 Press Street, 28001 Madrid",
    "wordmark": "Global Morning",
}


def write_newsroom(folder: Path, now: datetime) -> list[tuple[str, Path, float]]:
    """Two sources as files, their stories dated back from `now`: (name, file, trust) of each."""
    sample = json.loads(SAMPLE.read_text(encoding="utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    writers = {"rss": (_rss, "xml"), "jsonfeed": (_json_feed, "json")}
    written = []
    for source in sample["sources"]:
        write, ending = writers[source["kind"]]
        stories = [
            _dated(story, source["site"], now) for story in sample["stories"] if story["source"] == source["name"]
        ]
        file = folder / f"{source['name']}.{ending}"
        file.write_text(write(source, stories), encoding="utf-8")
        written.append((source["name"], file, source["trust"]))
    return written


def _dated(story: dict[str, Any], site: str, now: datetime) -> dict[str, Any]:
    at = now - timedelta(hours=story["hours_ago"])
    url = f"{site}/{story['section'].lower()}/{at:%Y/%m/%d}/{story['slug']}"
    return {**story, "at": at, "url": url, "html": "".join(f"<p>{escape(words)}</p>" for words in story["body"])}


def _rss(source: dict[str, Any], stories: list[dict[str, Any]]) -> str:
    items = "".join(
        f"<item><title>{escape(story['headline'])}</title><link>{story['url']}</link><guid>{story['url']}</guid>"
        f"<pubDate>{format_datetime(story['at'])}</pubDate><dc:creator>{escape(story['author'])}</dc:creator>"
        + "".join(f"<category>{escape(name)}</category>" for name in (story["section"], *story["categories"]))
        + f"<description>{escape(story['teaser'])}</description>"
        f"<content:encoded>{escape(story['html'])}</content:encoded></item>\n"
        for story in stories
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/" '
        'xmlns:content="http://purl.org/rss/1.0/modules/content/"><channel>'
        f"<title>{escape(source['title'])}</title><link>{source['site']}</link><language>en</language>\n{items}</channel></rss>\n"
    )


def _json_feed(source: dict[str, Any], stories: list[dict[str, Any]]) -> str:
    items = [
        {
            "id": story["url"], "url": story["url"], "title": story["headline"], "summary": story["teaser"],
            "content_html": story["html"], "date_published": story["at"].isoformat(),
            "authors": [{"name": story["author"]}], "tags": [story["section"], *story["categories"]],
        }
        for story in stories
    ]  # fmt: skip
    feed = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": source["title"],
        "home_page_url": source["site"],
        "language": "en",
        "items": items,
    }
    return json.dumps(feed, ensure_ascii=False, indent=2)


def write_readers(file: Path) -> Path:
    """Two hundred readers as a newsroom's CSV export: two languages, four time zones, one in three with push."""
    with file.open("w", encoding="utf-8", newline="") as out:
        table = csv.writer(out)
        table.writerow(("email", "name", "language", "zone", "topics", "channels"))
        table.writerows(_readers())
    return file


def _readers() -> Iterator[tuple[str, ...]]:
    names = [f"{first} {last}" for last, first in product(LAST, FIRST)]
    for number in range(READERS):
        name = names[(number * 37) % len(names)] if number % 10 else ""  # some people give no name
        zone = ZONES[number % len(ZONES)]
        language = "es" if zone in {"Europe/Madrid", "America/Mexico_City"} and number // 4 % 3 else "en"
        topics = ";".join(sorted({TOPICS[number % len(TOPICS)], TOPICS[(number * 5 + 2) % len(TOPICS)]}))
        yield (
            f"reader{number + 1:03d}@example.net",
            name,
            language,
            zone,
            topics,
            "email;push" if number % 3 == 0 else "email",
        )
