"""A section or article page in HTML: what it says of itself in JSON-LD first, then OpenGraph, then its own markup."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from lxml import html

from digest.errors import SourceError
from digest.intake import Intake, safe_address
from digest.markup import Card, article_body, cards, linked_data, meta, read_html, said, tags_of, text_of, types_of
from digest.text import decoded, is_cut, paragraphs, plain, words
from digest.values import Document, Reading

_START = re.compile(r"<(?:!doctype\s+html|html|head|body|div|main|article|section|p|h1|table)[\s>]", re.IGNORECASE)
_OTHER = re.compile(r"<(?:rss|feed|(?:\w+:)?rdf|urlset|sitemapindex|channel)[\s>]", re.IGNORECASE)
_ARTICLE = ("article", "posting", "report")
SHORTEST_BODY = 250  # characters; JSON-LD's articleBody is often just the first lines
PLAIN_ARTICLE = 800  # characters of connected paragraphs that make a page an article which does not call itself one
SHORTEST_ARTICLE = 150  # characters of text that make a story of a page which lists none
LABEL = 40

Node = Mapping[str, Any]


def looks_like(head: str, _content_type: str) -> bool:
    return bool(_START.search(head)) and not _OTHER.search(head[:1000])


def parse(document: Document) -> Reading:
    """
    An article page's story and then its related cards, or a section page's cards, in page order.

    Raises:
        SourceError: no story can be found on it.
    """
    text = decoded(document.body, document.content_type)
    root = read_html(text)
    if root is None:
        raise SourceError(f"{document.source} is no web page: check the address, and what it shows in a browser.")
    data, facts = linked_data(root), meta(root)
    base = (
        safe_address(next((str(tag.get("href") or "") for tag in root.iter("base")), ""), document.url) or document.url
    )
    here = facts["here"] = _here(facts, base)
    intake = Intake(document, language=root.get("lang") or facts.get("og:locale", ""), base=base or here)
    main = _main(data, facts, root, here)
    if main is not None:
        _add_article(intake, main, facts, root, text, here)
    _add_cards(
        intake, [*_listed(data, main), *cards(root, related_only=main is not None)], _page_label(root, main), here
    )
    if not intake.stories and len(_extracted(text) or article_body(root)) >= SHORTEST_ARTICLE:
        _add_article(intake, {}, facts, root, text, here)  # a page that says nothing of itself and lists nothing
    if not intake.stories:
        raise SourceError(
            f"{document.source} is a page on which no story was found: give a section's page, an article or a feed."
        )
    return intake.reading()


def _here(facts: Mapping[str, str], url: str) -> str:
    """The page's own address as it states it, unless that is merely the site's front page."""
    stated = safe_address(facts.get("canonical") or facts.get("og:url") or "", url)
    return stated if stated.rstrip("/").count("/") > 2 else url or stated  # noqa: PLR2004 - of https://host/path


# An article -----------------------------------------------------------------------------------------------------------


def _main(data: Sequence[Node], facts: Mapping[str, str], root: html.HtmlElement, here: str) -> Node | None:
    """The article that the page is, as JSON-LD describes it (or empty where only its meta tags or paragraphs do)."""
    told = [node for node in data if _is_article(node) and said(node.get("headline") or node.get("name"))]
    calls_itself = facts.get("og:type", "").lower() == "article" or "article:published_time" in facts
    own = [node for node in told if here and here in {_address(node), said(node.get("mainEntityOfPage"), "@id", "url")}]
    if own or (told and (len(told) == 1 or calls_itself)):
        return (own or told)[0]
    if told:
        return None
    has_text = next(root.iter("h1"), None) is not None and len(article_body(root)) >= PLAIN_ARTICLE
    return {} if calls_itself or has_text else None


def _is_article(node: Node) -> bool:
    named = any(name.endswith(_ARTICLE) for name in types_of(node))
    return named or bool(said(node.get("headline")) and node.get("datePublished"))


def _address(node: Node) -> str:
    return said(node.get("url"), "@id", "url") or said(node.get("mainEntityOfPage"), "@id", "url")


def _add_article(
    intake: Intake, node: Node, facts: Mapping[str, str], root: html.HtmlElement, text: str, here: str
) -> None:
    sections = _split(node.get("articleSection")) or _split(facts.get("article:section", ""))
    intake.add(
        headline=_headline(node, facts, root),
        url=here or _address(node),
        guid=here,
        description=_description(node, facts),
        body=_body(node, root, text),
        published=[
            said(node.get("datePublished")),
            *_dates(facts, "published"),
            said(node.get("dateCreated")),
            _shown_time(root),
        ],
        updated=[said(node.get("dateModified")), *_dates(facts, "modified")],
        section=sections[0] if sections else "",
        image=said(node.get("image"), "url", "contentUrl", "@id") or facts.get("og:image", ""),
        image_alt=facts.get("og:image:alt", ""),
        author=said(node.get("author"), "name") or facts.get("author", ""),
        language=said(node.get("inLanguage"), "alternateName", "name"),
        categories=[*sections[1:], *_split(node.get("keywords")), *tags_of(root, "article:tag")],
    )


def _headline(node: Node, facts: Mapping[str, str], root: html.HtmlElement) -> str:
    """JSON-LD's, unless that is cut where the page's own big line goes on."""
    big = next((text for text in (text_of(line) for line in root.iter("h1")) if text), "")
    stated = plain(said(node.get("headline") or node.get("name")))
    titled = _without_site(plain(facts.get("og:title") or facts.get("twitter:title") or ""), facts)
    title = _without_site(facts["title"], facts)
    if stated and is_cut(stated) and words(big or titled)[: len(words(stated)) - 1] == words(stated)[:-1]:
        return big or titled
    return stated or titled or (big if big and big.casefold() in facts["title"].casefold() else title or big)


def _without_site(title: str, facts: Mapping[str, str]) -> str:
    """A title without the " | Site" that many hang on it: the site's stated name, or one that is in its address."""
    start, mark, site = next((parts for m in "|–—·-" if (parts := title.rpartition(f" {m} "))[1]), (title, "", ""))
    host = urlsplit(facts.get("here", "")).hostname or ""
    named = words(site) and (
        words(site) == words(facts.get("og:site_name", "")) or "".join(words(site)) in host.replace("-", "")
    )
    return start.strip() if mark and named and start.strip() else title


def _description(node: Node, facts: Mapping[str, str]) -> str:
    stated = (said(node.get("description")), *(facts.get(name, "") for name in ("og:description", "description")))
    usable = [text for text in stated if plain(text)]
    return next((text for text in usable if not is_cut(plain(text))), usable[0] if usable else "")


def _dates(facts: Mapping[str, str], which: str) -> list[str]:
    names = (f"article:{which}_time", f"date{which}", f"og:{which}_time", "date" if which == "published" else "lastmod")
    return [facts.get(name, "") for name in names]


def _shown_time(root: html.HtmlElement) -> str:
    return next((str(tag.get("datetime")) for tag in root.iter("time") if tag.get("datetime")), "")


def _split(value: Any) -> list[str]:
    """Words that JSON-LD gives as a list or with commas between."""
    parts = value if isinstance(value, list) else said(value).split(",")
    return [text for text in (plain(said(part, "name")) for part in parts) if text]


def _body(node: Node, root: html.HtmlElement, text: str) -> str:
    """The article's text: JSON-LD's where it is whole, else trafilatura's where the extra is installed, else our own reading."""
    stated = paragraphs(said(node.get("articleBody")))
    if len(stated) >= SHORTEST_BODY and not is_cut(stated):
        return stated
    return _extracted(text) or article_body(root)


def _extracted(text: str) -> str:
    try:
        from trafilatura import extract  # the extra [extract]
    except ImportError:
        return ""
    return extract(text, fast=True, include_comments=False) or ""


# Cards ----------------------------------------------------------------------------------------------------------------


def _listed(data: Sequence[Node], main: Node | None) -> list[Card]:
    """The stories of a section page that its JSON-LD lists."""
    if main is not None:
        return []
    lists = [part for node in data if "itemlist" in types_of(node) for part in node.get("itemListElement") or ()]
    entries = (part["item"] if isinstance(part.get("item"), dict) else part for part in lists if isinstance(part, dict))
    nodes: list[Node] = [*(node for node in entries if isinstance(node, dict)), *filter(_is_article, data)]
    return [card for card in map(_described, nodes) if card.headline and card.url]


def _described(node: Node) -> Card:
    return Card(
        headline=said(node.get("headline") or node.get("name")),
        url=_address(node) or said(node.get("item")),
        teaser=said(node.get("description")),
        section=next(iter(_split(node.get("articleSection"))), ""),
        dated=said(node.get("datePublished")),
        image=said(node.get("image"), "url", "contentUrl"),
    )


def _page_label(root: html.HtmlElement, main: Node | None) -> str:
    """The section's name where its page says it big; an article's page does not."""
    big = next((text for text in (text_of(line) for line in root.iter("h1")) if text), "") if main is None else ""
    return big if len(big) <= LABEL else ""


def _add_cards(intake: Intake, found: Sequence[Card], label: str, here: str) -> None:
    """Each address once, in page order, with the fullest of what was said of it."""
    known: set[str] = {here}
    for card in found:
        address = safe_address(card.url.partition("#")[0], intake.base)
        if address and address not in known:
            known.add(address)
            intake.add(
                headline=card.headline,
                url=address,
                guid=address,
                description=card.teaser,
                published=[card.dated],
                section=card.section or label,
                image=card.image,
                image_alt=card.image_alt,
            )
