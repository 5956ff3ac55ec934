"""Feeds read, and the text of collected pages found, against feedparser and trafilatura in the same run."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import feedparser

from digest.sources import page, rss
from digest.values import Document
from tests.bench.figure import Figure
from tests.digest.test_page import PAGES, collected, f1

GROUP = "morning"
FEEDS = Path(__file__).parents[2] / "../shared/data/feeds/real"


def figures() -> Iterator[Figure]:
    if FEEDS.is_dir():
        yield from _feeds([file.read_bytes() for file in sorted(FEEDS.iterdir())])
    if PAGES.is_dir():
        yield from _pages()


def _feeds(bodies: list[bytes]) -> Iterator[Figure]:
    ours, seconds = _timed(lambda: sum(len(rss.parse(_document(body)).stories) for body in bodies))
    theirs, base = _timed(lambda: sum(len(feedparser.parse(body).entries) for body in bodies))
    yield Figure("stories of 127 real feeds", ours, "stories", f">= {theirs} of feedparser", ours >= theirs)
    yield Figure(
        "reading them, against feedparser's own defaults", seconds / base, "of its CPU", "<= 1", seconds <= base
    )


def _pages() -> Iterator[Figure]:
    try:
        from trafilatura import extract
    except ImportError:
        return
    pages = list(collected())
    ours = f1((page.parse(_document(body, url)).stories[0].body, true) for url, true, body in pages)
    theirs = f1((extract(body, fast=True, include_comments=False) or "", true) for _, true, body in pages)
    yield Figure("F1 of the text of 127 pages", ours, "F1", f">= {theirs:.4f} of trafilatura", ours >= theirs)


def _timed(work: Callable[[], int]) -> tuple[int, float]:
    start = time.process_time()
    return work(), time.process_time() - start


def _document(body: bytes, url: str = "https://example.org/") -> Document:
    return Document(body=body, source="bench", now=datetime.now(UTC), url=url)
