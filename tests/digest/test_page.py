import gzip
import json
import re
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from digest.dates import read_date
from digest.errors import SourceError
from digest.markup import article_body, linked_data, read_html, said
from digest.sources.page import parse
from digest.text import decoded, plain
from digest.values import Document, Reading

NOW = datetime(2025, 3, 7, 6, 0, tzinfo=UTC)
PAGES = Path(__file__).parents[2] / "../shared/data/pages"
beside = pytest.mark.skipif(not PAGES.is_dir(), reason="the collected pages are not beside this checkout")

LEAD = "After six months of repairs the northern harbour opens again on Monday, the port authority said."
MORE = (
    "More ships are expected in spring, when the second pier is ready and the new cranes have been tested by the port."
)


def read(html: str, url: str = "https://coast.example/global/harbour") -> Reading:
    return parse(Document(body=html.encode(), source="coast", now=NOW, url=url))


def article(head: str = "", data: object = None, related: str = "") -> Reading:
    script = f'<script type="application/ld+json">{json.dumps(data)}</script>' if data is not None else ""
    return read(
        f"<!doctype html><html lang=en><head><title>Harbour opens | Coast</title>{head}{script}</head><body><nav><a href=/>Home of the Coast news</a></nav>"
        f"<main><article><h1>Harbour opens</h1><p>{LEAD}</p><p>{MORE}</p></article>{related}</main><footer><p>All about us and our people here</p></footer></body></html>"
    )


def test_what_a_page_says_of_itself_in_json_ld_comes_first() -> None:
    story = article(
        '<meta property="og:title" content="Another title"><link rel=canonical href="https://coast.example/global/harbour-opens">',
        {
            "@graph": [
                {"@type": "WebSite", "name": "Coast"},
                {
                    "@type": ["NewsArticle"],
                    "headline": "Harbour opens &amp; ships return",
                    "datePublished": "2025-03-06T10:00:00+01:00",
                    "dateModified": "2025-03-06T11:00:00Z",
                    "description": "After six months of repairs the first ships come back on Monday.",
                    "author": [{"@type": "Person", "name": "Ana Ruiz"}],
                    "image": {"url": "/harbour.jpg"},
                    "articleSection": ["Global", "Ports"],
                    "keywords": "harbour, ships",
                },
            ]
        },
    ).stories[0]
    assert story.headline == "Harbour opens & ships return"
    assert story.url == "https://coast.example/global/harbour-opens"
    assert (story.published_at, story.updated_at) == (
        datetime(2025, 3, 6, 9, tzinfo=UTC),
        datetime(2025, 3, 6, 11, tzinfo=UTC),
    )
    assert (story.section, story.author, story.image) == ("Global", "Ana Ruiz", "https://coast.example/harbour.jpg")
    assert story.categories == ("Ports", "harbour", "ships")
    assert story.teaser == "After six months of repairs the first ships come back on Monday."
    assert story.body == f"{LEAD}\n\n{MORE}" or story.body.endswith(MORE)


def test_without_json_ld_the_meta_tags_speak_and_without_these_the_page() -> None:
    tagged = article(
        '<meta property="og:type" content="article"><meta property="og:title" content="Harbour opens | Coast"><meta property="og:site_name" content="Coast">'
        '<meta property="article:published_time" content="2025-03-06T09:00:00Z"><meta property="article:section" content="Global">'
        '<meta property="article:tag" content="Ports"><meta property="og:image" content="/a.jpg"><meta property="og:image:alt" content="A ship">'
    ).stories[0]
    assert (tagged.headline, tagged.section, tagged.categories) == ("Harbour opens", "Global", ("Ports",))
    assert (tagged.image, tagged.image_alt) == ("https://coast.example/a.jpg", "A ship")
    assert tagged.published_at == datetime(2025, 3, 6, 9, tzinfo=UTC)
    bare = article().stories[0]
    assert bare.headline == "Harbour opens"
    assert LEAD in bare.body
    assert bare.teaser


def test_a_headline_that_json_ld_cuts_is_taken_from_the_page() -> None:
    assert article(data={"@type": "NewsArticle", "headline": "Harbour..."}).stories[0].headline == "Harbour opens"


@pytest.mark.parametrize(
    "data",
    [
        "{",
        "<!-- [1, 2] -->",
        '{"@type": "NewsArticle", "headline": {"a": [[[[1]]]]}, "author": 3}',
        "[" * 5000,
        "null",
        '{"@graph": "x"}',
    ],
)
def test_damaged_json_ld_is_passed_over(data: str) -> None:
    page = f"<html><head><script type='application/ld+json'>{data}</script></head><body><h1>Harbour opens again</h1><p>{(LEAD + ' ' + MORE) * 5}</p></body></html>"
    assert read(page).stories[0].headline == "Harbour opens again"


def test_related_cards_of_an_article_are_stubs_and_no_part_of_its_body() -> None:
    story, *cards = article(
        data={"@type": "NewsArticle", "headline": "Harbour opens"},
        related='<section class="related-articles"><h2>Related Articles</h2><div><span class="category">World</span><h3><a href="/world/storm">Storm warning for the coast</a></h3>'
        '<p>A storm is expected to reach the coast...</p></div><div><h3><a href="/world/fish?utm_source=x">Fish prices fall once more</a></h3></div></section>',
    ).stories
    assert [(card.headline, card.section, card.stub, card.teaser) for card in cards] == [
        ("Storm warning for the coast", "World", True, ""),
        ("Fish prices fall once more", "", True, ""),
    ]
    assert cards[0].cut_teaser == "A storm is expected to reach the coast..."
    assert "Storm" not in story.body
    assert "Home of" not in story.body


SECTION = """<html lang="es"><head><title>Global</title></head><body><header><h1>Global</h1></header><main>
<div class="list"><article><a href="/global/puerto"><img src="data:x" data-src="/p.jpg" alt="Un barco"><h2>El puerto del norte abre de nuevo</h2></a>
<time datetime="2025-03-06T10:00:00+01:00">ayer</time><p class="teaser">El puerto del norte abre de nuevo el lunes tras seis meses de obras.</p></article>
<article><h2><a href="/global/tormenta">Aviso de tormenta en la costa</a></h2><p>Se espera que la tormenta llegue...</p></article>
<article><span class="kicker">Europa</span><h2><a href="https://coast.example/europa/peces#comments">Bajan los precios del pescado</a></h2></article></div></main>
<footer><h3><a href="/about">About us and our people</a></h3></footer></body></html>"""


def test_a_section_page_gives_its_cards_in_order() -> None:
    port, storm, fish = read(SECTION, "https://coast.example/global").stories
    assert (port.headline, port.section, port.language) == ("El puerto del norte abre de nuevo", "Global", "es")
    assert port.teaser == "El puerto del norte abre de nuevo el lunes tras seis meses de obras."
    assert (port.image, port.image_alt) == ("https://coast.example/p.jpg", "Un barco")
    assert port.published_at == datetime(2025, 3, 6, 9, tzinfo=UTC)
    assert (storm.stub, storm.cut_teaser) == (True, "Se espera que la tormenta llegue...")
    assert (fish.section, fish.url) == ("Europa", "https://coast.example/europa/peces")


def test_a_section_page_that_lists_its_stories_in_json_ld_gives_each_once() -> None:
    listed = [
        {"@type": "ListItem", "position": 1, "url": "/global/puerto", "name": "El puerto abre"},
        {"@type": "ListItem", "item": {"@type": "NewsArticle", "url": "/global/nuevo", "headline": "Un puente nuevo"}},
    ]
    script = (
        f'<script type="application/ld+json">{json.dumps({"@type": "ItemList", "itemListElement": listed})}</script>'
    )
    stories = read(SECTION.replace("</head>", script + "</head>"), "https://coast.example/global").stories
    assert [story.headline for story in stories] == [
        "El puerto abre",
        "Un puente nuevo",
        "Aviso de tormenta en la costa",
        "Bajan los precios del pescado",
    ]


def test_a_page_without_stories_says_so() -> None:
    with pytest.raises(SourceError, match="no story was found"):
        read("<html><body><p>Please log in.</p></body></html>")


# On collected pages -----------------------------------------------------------------------------------------------------


def collected() -> Iterable[tuple[str, str, bytes]]:
    truth = json.loads((PAGES / "ground-truth.json").read_text("utf-8"))
    for name, told in truth.items():
        yield told["url"], told["articleBody"], gzip.decompress((PAGES / "html" / f"{name}.html.gz").read_bytes())


def shingles(text: str) -> Counter[tuple[str, ...]]:
    words = re.findall(r"\w+", text)
    return Counter(tuple(words[n : n + 4]) for n in range(max(1, len(words) - 3))) if words else Counter()


def f1(pairs: Iterable[tuple[str, str]]) -> float:
    """As the benchmark counts it: from the means of precision and recall over pages, in shingles of four words."""
    precisions, recalls = [], []
    for told, true in pairs:
        ours, theirs = shingles(told), shingles(true)
        hits = (ours & theirs).total()
        precisions.append(hits / ours.total() if ours else float(not theirs))
        recalls.append(hits / theirs.total() if theirs else float(not ours))
    precision, recall = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    return 2 * precision * recall / (precision + recall)


@pytest.mark.slow
@beside
def test_the_text_of_articles_is_found_no_worse_than_by_trafilatura_alone() -> None:
    trafilatura = pytest.importorskip("trafilatura", reason="the extra [extract] is not installed")
    pages = list(collected())
    ours = f1(
        (parse(Document(body=body, source="x", now=NOW, url=url)).stories[0].body, true) for url, true, body in pages
    )
    theirs = max(
        f1((trafilatura.extract(body, fast=fast, include_comments=comments) or "", true) for _, true, body in pages)
        for fast, comments in ((False, True), (True, True), (False, False), (True, False))
    )
    assert ours >= theirs > 0.95


@beside
def test_headline_and_date_are_right_wherever_a_page_states_them_in_json_ld() -> None:
    stated = 0
    for url, _, body in collected():
        told = [
            node
            for node in linked_data(read_html(decoded(body)))
            if said(node.get("headline")) and node.get("datePublished")
        ]
        if told:
            stated += 1
            story = parse(Document(body=body, source="x", now=NOW, url=url)).stories[0]
            assert story.headline in {plain(said(node["headline"])) for node in told}, url
            assert story.published_at in {read_date(said(node["datePublished"])) for node in told}, url
    assert stated > 60


@beside
def test_our_own_reading_of_paragraphs_stands_in_where_the_extra_is_not_installed() -> None:
    pairs = [(article_body(read_html(decoded(body))), true) for _, true, body in collected()]
    assert f1(pairs) > 0.8
