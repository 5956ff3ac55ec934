"""Turns what a source says of an article into a Story: the rules that hold for every kind of source."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import unquote, urljoin, urlsplit

from digest.dates import read_date
from digest.text import LONGEST_TEASER, cut_at_word, is_cut, paragraphs, plain, teaser_of, words
from digest.values import Document, Reading, Story

AHEAD = timedelta(minutes=10)  # clocks differ by this much in good faith
LONGEST_HEADLINE, LONGEST_URL, LONGEST_BODY = 500, 2000, 100_000
NEWEST = 2000  # stories of one reading; the newest are kept

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*")
_LINE_ENDS = re.compile(r"[\t\r\n]+")
_MAILBOX = re.compile(r"^\S+@\S+\s*\((.+)\)$|\s*<?\S+@\S+>?")
# path segments that say how a site is built, not what the story is about
_BUILDING_NAMES = """
    article articles articulo articulos noticia noticias story stories news archive archives amp index content post posts
    blog live video videos gallery html php www web home rss feed feeds page pages item print
"""
_NO_SECTION = frozenset(_BUILDING_NAMES.split())
_SEGMENT = re.compile(r"[^\W\d_]{3,}(?:[-_][^\W\d_]{2,}){0,2}")


@dataclass(slots=True)
class Intake:
    """
    Collects the stories of one document. `add` takes every field as the source wrote it, markup and all.

    Notes in words say what was mended or left out; equal ones are counted, not repeated.
    """

    document: Document
    language: str = ""
    base: str = ""  # what relative links lean on, where it is not the document's own address
    stories: list[Story] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)

    def add(
        self,
        *,
        headline: str,
        url: str = "",
        guid: str = "",
        description: str = "",
        body: str = "",
        published: Sequence[str] = (),
        updated: Sequence[str] = (),
        section: str = "",
        image: str = "",
        image_alt: str = "",
        author: str = "",
        language: str = "",
        categories: Iterable[str] = (),
    ) -> None:
        """
        Add a story; one without headline takes its first words or its address's last, and is noted where it has neither.

        Args:
            description: what the source puts under the headline, as markup or text.
            body: the article, as markup or as text whose paragraphs are separated by line ends.
            published, updated: dates as written, best first; the first that can be read counts.
        """
        said, whole = plain(description), paragraphs(body)[:LONGEST_BODY]
        if not whole and len(said) > LONGEST_TEASER and not is_cut(said):
            whole = paragraphs(description)[:LONGEST_BODY]  # a feed that puts the article where its description belongs
        where = self.address(url)
        title = plain(headline) or cut_at_word(said or plain(body[:2000]), 100) or _last_words(where)
        if not title:
            self.notes["without headline or text (not kept)"] += 1
        teaser = teaser_of(said, headline=title, body=whole)
        self.stories.append(
            Story(
                guid=plain(guid)[:500],
                source=self.document.source,
                headline=cut_at_word(title, LONGEST_HEADLINE),
                url=where,
                section=cut_at_word(plain(section), 80),
                teaser=teaser,
                body=whole,
                published_at=self._time(published),
                updated_at=self._time(updated, noted=False),  # one story, one note
                image=self.address(image),
                image_alt=cut_at_word(plain(image_alt), 500),
                author=cut_at_word(_MAILBOX.sub(lambda box: box[1] or "", plain(author)), 200),
                language=language_tag(language) or language_tag(self.language) or self.document.language,
                categories=tuple(dict.fromkeys(cut_at_word(word, 80) for word in map(plain, categories) if word))[:40],
                position=len(self.stories),
                stub=not (teaser or whole),
                cut_teaser=cut_at_word(said, 1000) if is_cut(said) else "",
            )
        )

    def reading(self) -> Reading:
        """The stories in page order, the newest where there are too many, and the notes."""
        kept = self.stories
        if len(kept) > NEWEST:
            by_age = sorted(kept, key=lambda story: (story.published_at is None, story.position))
            dated = sorted(
                by_age, key=lambda story: story.published_at.timestamp() if story.published_at else 0, reverse=True
            )
            kept = sorted(dated[:NEWEST], key=lambda story: story.position)
            self.notes[f"older than the newest {NEWEST} left out"] = len(self.stories) - NEWEST
        notes = tuple(f"{count} {'story' if count == 1 else 'stories'} {words}" for words, count in self.notes.items())
        return Reading(stories=tuple(kept), notes=notes)

    def address(self, link: str) -> str:
        """A link as an absolute http(s) address; empty, with a note, for javascript:, data: and the like."""
        absolute = safe_address(link, self.base or self.document.url)
        if link.strip() and not absolute:
            self.notes["with a link that cannot be opened (it is left out)"] += 1
        return absolute

    def _time(self, written: Sequence[str], *, noted: bool = True) -> datetime | None:
        """The first of the dates that can be read, never ahead of now."""
        for raw in written:
            moment = read_date(plain(raw)) if raw else None
            if moment is None:
                continue
            if moment <= self.document.now + AHEAD:
                return moment
            self.notes["dated in the future (read as now)"] += noted
            return self.document.now
        if noted and any(raw and raw.strip() for raw in written):
            self.notes["with a date that cannot be read without guessing (it is left out)"] += 1
        return None


def safe_address(link: str, base: str = "") -> str:
    """An absolute http(s) address without credentials, or an empty string."""
    try:
        absolute = urljoin(base, plain(_LINE_ENDS.sub("", link)).replace(" ", "%20")) if link else ""
        parts = urlsplit(absolute)
        good = (
            parts.scheme in {"http", "https"}
            and parts.hostname
            and "@" not in parts.netloc
            and len(absolute) <= LONGEST_URL
        )
    except ValueError:
        return ""
    return absolute if good else ""


def language_tag(stated: str) -> str:
    """A language as BCP 47 writes it (`en-US`), or an empty string."""
    tag = stated.strip()
    return tag.replace("_", "-")[:16] if _LANGUAGE.fullmatch(tag) else ""


def section_of(story: Story, *, default: str = "", wanted: Sequence[str] = ()) -> str:
    """
    The section a story belongs to.

    A section that some digest wants, where the story's label, address or categories name it; else the label, the
    source's own section, the first telling part of the address (/global/...), the first category.
    """
    path = _path_words(story.url)
    named = [story.section, default, *path, *story.categories]
    by_key = {section_key(section): section for section in wanted}
    for name in named:
        if section_key(name) in by_key:
            return by_key[section_key(name)]
    return next((name for name in named if name), "")


def section_key(section: str) -> str:
    """A section's name for comparing: "Global", "GLOBAL " and "global" are one."""
    return " ".join(section.casefold().split())[:80]


def _last_words(url: str) -> str:
    """What the last part of an address says, where it says anything."""
    return " ".join(words(unquote(urlsplit(url).path).rstrip("/").rsplit("/", 1)[-1])).capitalize() if url else ""


def _path_words(url: str) -> list[str]:
    """What the folders of an address may say of its section; the last part is the article's own."""
    folders = unquote(urlsplit(url).path).strip("/").split("/")[:-1] if url else []
    return [
        " ".join(words(part.replace("_", "-"))).capitalize()
        for part in folders[:3]
        if _SEGMENT.fullmatch(part) and part.lower() not in _NO_SECTION
    ]
