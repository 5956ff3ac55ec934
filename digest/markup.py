"""What an HTML page says: of itself in JSON-LD and meta tags, and by its markup in cards and paragraphs. Pure."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lxml import html
from lxml.etree import ParserError, XMLSyntaxError, _Element

from digest.text import plain, words

DEEPEST = 8  # nesting of JSON-LD that is followed
SHORTEST_PARAGRAPH, SHORTEST_HEADLINE = 30, 15  # characters
LABEL = 40
_SPAM = re.compile(
    r"^\s*(?:<!--|//\s*<!\[CDATA\[|<!\[CDATA\[|/\*.{0,20}?\*/)+|(?:-->|//\s*\]\]>|\]\]>|/\*.{0,20}?\*/|;)+\s*$"
)
_ASIDE = frozenset(
    {"nav", "footer", "aside", "form", "figure", "figcaption", "button", "noscript", "template", "dialog"}
)
_FRAME = frozenset({"nav", "footer", "form", "noscript", "template", "dialog"})
_LABELLED = re.compile(
    r"kicker|eyebrow|label|categor|section|rubric|antet|volanta|cintillo|topic|\btag\b", re.IGNORECASE
)
_SUMMARY = re.compile(
    r"summary|teaser|excerpt|standfirst|dek\b|descripti|entradilla|bajada|abstract|intro|lead", re.IGNORECASE
)
_RELATED_BOX = re.compile(
    r"related|recommend|relacionad|more-(?:stories|news|from)|read-(?:more|next|also)|te-puede|similar", re.IGNORECASE
)
_RELATED_WORDS = re.compile(
    r"(?:related|recommended|more (?:from|stories|news|in|on)|read (?:next|also)|you (?:may|might) also|(?:artículos|noticias|notas) "
    r"relacionad|relacionad|(?:también )?te puede interesar|lee también|más noticias)",
    re.IGNORECASE,
)
_UNWANTED_BOX = re.compile(
    r"comment|share|social|newsletter|promo|related|recommend|sidebar|advert|cookie|byline|caption|breadcrumb",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A story as a page shows it among others; every field as it stands there."""

    headline: str
    url: str
    teaser: str = ""
    section: str = ""
    dated: str = ""
    image: str = ""
    image_alt: str = ""


def read_html(text: str) -> html.HtmlElement | None:
    """A page as a tree; None where there is no element in it."""
    parser = html.HTMLParser(encoding="utf-8", huge_tree=False, no_network=True)
    try:
        root = html.document_fromstring(text.replace("\0", "").encode("utf-8", "replace"), parser=parser)
    except (ParserError, XMLSyntaxError, ValueError):
        return None
    return root if isinstance(root, html.HtmlElement) else None


def text_of(element: _Element) -> str:
    return plain(" ".join(str(part) for part in element.itertext(tag=None)) if isinstance(element.tag, str) else "")


# What the page says of itself -------------------------------------------------------------------------------------------


def meta(root: html.HtmlElement) -> dict[str, str]:
    """The meta tags by name or property in lower case, the first of each; `canonical` and `title` among them."""
    found: dict[str, str] = {}
    for tag in root.iter("meta"):
        name = tag.get("property") or tag.get("name") or tag.get("itemprop") or ""
        if name and tag.get("content"):
            found.setdefault(name.lower(), str(tag.get("content")))
    for tag in root.iter("link"):
        if (tag.get("rel") or "").lower() == "canonical" and tag.get("href"):
            found.setdefault("canonical", str(tag.get("href")))
    title = next(root.iter("title"), None)
    return {**found, "title": text_of(title) if title is not None else ""}


def tags_of(root: html.HtmlElement, name: str) -> list[str]:
    """Every content of a meta tag that may stand several times, such as article:tag."""
    return [str(tag.get("content")) for tag in root.iter("meta") if tag.get("property") == name and tag.get("content")]


def linked_data(root: html.HtmlElement) -> list[dict[str, Any]]:
    """The objects of all JSON-LD blocks, @graph and main entities unfolded; a block that is damaged is passed over."""
    found: list[dict[str, Any]] = []
    for script in root.iter("script"):
        if "ld+json" in (script.get("type") or "").lower():
            try:
                found.extend(_unfolded(json.loads(_SPAM.sub("", script.text or ""), strict=False), DEEPEST))
            except (ValueError, RecursionError):
                continue
    return found


def _unfolded(value: Any, depth: int) -> Iterator[dict[str, Any]]:
    if depth and isinstance(value, list):
        for part in value:
            yield from _unfolded(part, depth - 1)
    elif depth and isinstance(value, dict):
        yield value
        for name in ("@graph", "mainEntity", "mainEntityOfPage"):
            yield from _unfolded(value.get(name), depth - 1)


def types_of(node: Mapping[str, Any]) -> list[str]:
    """The types of a JSON-LD object, in lower case without their address."""
    stated = node.get("@type")
    return [str(name).rsplit("/", 1)[-1].lower() for name in (stated if isinstance(stated, list) else [stated]) if name]


def said(value: Any, *names: str) -> str:
    """A JSON-LD value as text: itself, or the first of `names` of an object, or the first of a list that says something."""
    if isinstance(value, list):
        return next((text for text in (said(part, *names) for part in value) if text), "")
    if isinstance(value, dict):
        return next((text for text in (said(value.get(name)) for name in names) if text), "")
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


# Its paragraphs -------------------------------------------------------------------------------------------------------


def article_body(root: html.HtmlElement) -> str:
    """The paragraphs of the part of a page that holds most of them, separated by line ends; share lines and links left out."""
    weights: Counter[_Element] = Counter()
    for paragraph in root.iter("p"):
        size = len(text_of(paragraph))
        above = list(paragraph.iterancestors())[:2]
        if size >= SHORTEST_PARAGRAPH and not _is_apart(paragraph, None):
            for box, share in zip(above, (1.0, 0.5), strict=False):
                weights[box] += int(size * share)  # the one above gathers what is split over several boxes
    if not weights:
        return ""
    best = max(weights, key=lambda box: weights[box])
    parts = (
        part
        for part in best.iter("p", "h2", "h3", "li", "blockquote")
        if not _is_apart(part, best) and not _holds(part, "p")
    )
    return "\n".join(text for text in (text_of(part) for part in parts if not _is_links(part)) if text)


def _is_apart(element: _Element, within: _Element | None) -> bool:
    """Whether an element lies in a box that is beside the article: navigation, comments, promotion."""
    for box in element.iterancestors():
        if box is within:
            return False
        name = f"{box.get('class') or ''} {box.get('id') or ''}"
        if box.tag in _ASIDE or (box.tag not in {"body", "html", "main", "article"} and _UNWANTED_BOX.search(name)):
            return True
    return False


def _holds(element: _Element, tag: str) -> bool:
    return element.tag != tag and next(element.iter(tag), None) is not None


def _is_links(element: _Element) -> bool:
    linked = sum(len(text_of(link)) for link in element.iter("a"))
    return linked > 0.6 * len(text_of(element))


# Its cards ------------------------------------------------------------------------------------------------------------


def cards(root: html.HtmlElement, *, related_only: bool) -> list[Card]:
    """
    The stories a page lists, in its order: headings that are links with what stands around them, else long links.

    Args:
        related_only: only those in a part named as related; for a page that has an article of its own.
    """
    headings = [(heading, link) for heading, link in _headings(root) if not related_only or _is_related(heading)]
    around: Counter[_Element] = Counter(box for heading, _ in headings for box in heading.iterancestors())
    found = [_card(heading, link, _box(heading, around)) for heading, link in headings]
    if not found and not related_only:
        found = [Card(headline=text_of(link), url=str(link.get("href"))) for link in _long_links(root)]
    return list({card.url: card for card in reversed(found)}.values())[::-1]


def _headings(root: html.HtmlElement) -> Iterator[tuple[_Element, _Element]]:
    for heading in root.iter("h1", "h2", "h3", "h4", "h5"):
        inside = next((link for link in heading.iter("a") if link.get("href")), None)
        link = inside if inside is not None else next((a for a in heading.iterancestors("a") if a.get("href")), None)
        text = text_of(heading)
        if link is not None and len(text) >= SHORTEST_HEADLINE and len(words(text)) > 2 and not _is_framed(heading):  # noqa: PLR2004
            yield heading, link


def _is_framed(element: _Element) -> bool:
    return any(box.tag in _FRAME for box in element.iterancestors())


def _is_related(heading: _Element) -> bool:
    for box in heading.iterancestors():
        name = f"{box.get('class') or ''} {box.get('id') or ''}"
        if box.tag in {"body", "html"}:
            return False
        first = next((part for part in box.iter("h2", "h3", "h4", "strong") if part is not heading), None)
        if _RELATED_BOX.search(name) or (first is not None and _RELATED_WORDS.match(text_of(first))):
            return True
    return False


def _box(heading: _Element, around: Counter[_Element]) -> _Element:
    """The largest part of the page that holds this one heading of all."""
    box = heading
    for above in heading.iterancestors():
        if around[above] > 1 or above.tag in {"body", "main", "html"}:
            break
        box = above
    return box


def _card(heading: _Element, link: _Element, box: _Element) -> Card:
    headline = text_of(heading)
    picture = next((image for image in box.iter("img") if _source(image)), None)
    time = next(box.iter("time"), None)
    return Card(
        headline=headline,
        url=str(link.get("href")),
        teaser=next(
            (text for text in _teasers(box, heading) if len(text) >= SHORTEST_PARAGRAPH and text != headline), ""
        ),
        section=next((text for text in _labels(box, heading) if text), ""),
        dated="" if time is None else time.get("datetime") or text_of(time),
        image="" if picture is None else _source(picture),
        image_alt="" if picture is None else str(picture.get("alt") or ""),
    )


def _teasers(box: _Element, heading: _Element) -> Iterator[str]:
    apart = {heading, *heading.iterdescendants(), *heading.iterancestors()}
    for part in box.iter("p", "div", "span"):
        if part not in apart and (part.tag == "p" or _SUMMARY.search(part.get("class") or "")):
            yield text_of(part)


def _labels(box: _Element, heading: _Element) -> Iterator[str]:
    inside = set(heading.iterdescendants())
    for part in box.iter("a", "span", "p", "div"):
        text = (
            text_of(part) if part not in inside and _LABELLED.search(part.get("class") or part.get("rel") or "") else ""
        )
        yield text if len(text) <= LABEL else ""


def _source(image: _Element) -> str:
    """An image's address, not the placeholder that stands in until a reader scrolls there."""
    named = (image.get(name) or "" for name in ("src", "data-src", "data-lazy-src", "data-original"))
    return next((source for source in named if source and not source.startswith("data:")), "")


def _long_links(root: html.HtmlElement) -> Iterator[_Element]:
    for link in root.iter("a"):
        text = text_of(link)
        if link.get("href") and len(words(text)) > 4 and len(text) >= SHORTEST_PARAGRAPH and not _is_framed(link):  # noqa: PLR2004
            yield link
