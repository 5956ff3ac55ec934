"""Google News sitemaps: addresses with headline and date. A plain sitemap has no headlines, an index has no articles."""

import re

from lxml import etree

from digest.errors import SourceError
from digest.intake import Intake
from digest.values import Document, Reading

_START = re.compile(r"<(?:[\w-]+:)?(?:urlset|sitemapindex)[\s>]", re.IGNORECASE)
SHOWN = 3  # maps of an index that the error names


def looks_like(head: str, _content_type: str) -> bool:
    return bool(_START.search(head))


def parse(document: Document) -> Reading:
    """
    The articles of a news sitemap, in its order.

    Raises:
        SourceError: it is no sitemap, or an index of sitemaps (names some), or has addresses without any headline.
    """
    root = _root(document)
    if _name(root) == "sitemapindex":
        maps = ", ".join(_under(entry, "loc") for entry in list(root)[:SHOWN])
        raise SourceError(f"{document.source} is an index of sitemaps: add the news sitemap it lists, such as {maps}.")
    intake = Intake(document)
    for entry in root:
        if _name(entry) == "url":
            _add(intake, entry)
    if len(root) and not intake.stories:
        raise SourceError(
            f"{document.source} is a plain sitemap without headlines: add the publisher's news sitemap or feed."
        )
    return intake.reading()


def _root(document: Document) -> etree._Element:
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, recover=True, huge_tree=False, remove_comments=True
    )
    try:
        root: etree._Element | None = etree.fromstring(document.body.lstrip(), parser)
    except (etree.XMLSyntaxError, ValueError):
        root = None
    if root is None or _name(root) not in {"urlset", "sitemapindex"}:
        raise SourceError(f"{document.source} is no sitemap: check the address, and what it shows in a browser.")
    return root


def _add(intake: Intake, entry: etree._Element) -> None:
    headline = _under(entry, "title")
    if not headline:
        intake.notes["without headline left out: only news sitemaps give one"] += 1
        return
    where = _under(entry, "loc")
    intake.add(
        headline=headline,
        url=where,
        guid=where,
        published=[_under(entry, "publication_date"), _under(entry, "lastmod")],
        updated=[_under(entry, "lastmod")],
        language=_under(entry, "language"),
        image=_within(entry, "image", "loc"),
        categories=_under(entry, "keywords").split(","),
    )


def _name(element: etree._Element) -> str:
    return element.tag.rsplit("}", 1)[-1].lower() if isinstance(element.tag, str) else ""


def _under(entry: etree._Element, name: str) -> str:
    """The text of the first such element of an address: its own before those of its pictures and videos."""
    groups = [entry, *(child for child in entry if _name(child) == "news")]
    named = (
        child for group in groups for child in group.iter() if _name(child) == name and not _pictured(child, entry)
    )
    return next((str(child.text).strip() for child in named if child.text), "")


def _pictured(element: etree._Element, entry: etree._Element) -> bool:
    return any(_name(above) in {"image", "video"} for above in element.iterancestors() if above is not entry)


def _within(entry: etree._Element, group: str, name: str) -> str:
    parts = (part for child in entry if _name(child) == group for part in child if _name(part) == name)
    return next((str(part.text).strip() for part in parts if part.text), "")
