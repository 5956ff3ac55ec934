"""The edition's own page: the same for everyone, whole without a script, ready to be shared and printed."""

from lxml import html as lxml_html

from digest.channels import web
from digest.links import Links
from digest.paths import template_folders
from digest.render import Printer
from digest.values import EditionKind, Recipient, Variant
from tests.samples import BASE, sample_edition

PRINTER = Printer(template_folders())
READER = Recipient(number=1, delivery_id="d", address="ana@example.net", name="Ana", token="T" * 28, date="")


def page(edition=None, language="en"):
    proof = web.proof(
        edition or sample_edition(language=language), Variant(segment="", language=language), PRINTER, Links(BASE)
    )
    return lxml_html.document_fromstring(proof.html), proof


def test_the_page_is_the_same_whoever_reads_it():
    _, proof = page()
    assert proof.compiled.blanks == 0
    assert web.fill(proof, READER).decode() == proof.html
    assert "blank-" not in proof.html


def test_every_story_has_its_place_its_heading_and_its_ways_to_share():
    tree, _ = page()
    articles = tree.xpath("//main//article")
    assert [article.get("id") for article in articles] == [f"s{n}" for n in range(1, 11)]
    assert len(tree.xpath("//h1")) == 1
    assert all(len(article.xpath(".//h2")) == 1 for article in articles)
    assert all(len(article.xpath(".//li/a")) == 5 for article in articles)
    assert [box.get("value") for box in tree.xpath("//details/input[@readonly]")] == [
        slot.url for slot in sample_edition().slots
    ]


def test_the_page_runs_no_script_and_loads_nothing_but_the_lead_s_picture():
    tree, proof = page()
    assert not tree.xpath("//script | //link[@rel='stylesheet'] | //iframe | //@onclick")
    assert tree.xpath("//img/@src") == ["https://images.example.org/2025/lead.jpg"]
    assert "url(" not in proof.html


def test_a_shared_page_says_what_it_is():
    tree, _ = page()
    found = {meta.get("property"): meta.get("content") for meta in tree.xpath("//meta[@property]")}
    assert found["og:title"] == "Europe pays for its own defence; Kyiv offers a truce"
    assert found["og:url"] == f"{BASE}/e/global/2025-03-06"
    assert found["og:image"] == "https://images.example.org/2025/lead.jpg"
    assert found["og:locale"] == "en"
    assert tree.xpath("//link[@rel='canonical']/@href") == [found["og:url"]]


def test_a_story_in_another_language_says_so():
    tree, _ = page(language="es")
    assert tree.get("lang") == "es"
    assert tree.xpath("//article[@id='s3']/h2/@lang") == ["en"]
    assert not tree.xpath("//article[@id='s1']/h2/@lang")
    assert "jueves 6 de marzo de 2025" in tree.text_content()


def test_a_correction_says_it_is_one():
    tree, _ = page(sample_edition(2, kind=EditionKind.CORRECTION))
    assert tree.xpath("//header//p/text()")[0] == "Correction"
