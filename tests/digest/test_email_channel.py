"""An edition as readers get it by email: its headers, both its parts, its size, and what it will not do."""

import re
from dataclasses import replace
from email import message_from_bytes, policy
from email.utils import parsedate_to_datetime
from html import unescape

import pytest
from lxml import html as lxml_html

from digest.channels import email
from digest.context import image_allowed
from digest.errors import NotReadyError, TemplateMissingError
from digest.links import Links
from digest.paths import template_folders
from digest.render import Printer
from digest.splice import fill, stuffed
from digest.values import Blank, Edition, EditionKind, Proof, Recipient, Variant
from tests.samples import BASE, sample_digest, sample_edition

PRINTER = Printer(template_folders())
LINKS = Links(BASE)
LOOKS = ("full", "standard", "brief")


def variant(look: str = "standard", language: str = "en") -> Variant:
    return Variant(segment="", language=language, look=look)


def printed(edition: Edition | None = None, look: str = "standard", language: str = "en") -> Proof:
    return email.proof(edition or sample_edition(language=language), variant(look, language), PRINTER, LINKS)


def reader(**changes) -> Recipient:
    fields = {
        "number": 7,
        "delivery_id": "d" * 40,
        "address": "ana@example.net",
        "name": "Ana",
        "token": "T" * 28,
        "date": "Thu, 06 Mar 2025 06:00:00 +0000",
    }
    return Recipient(**{**fields, **changes})


def received(proof: Proof, **changes):
    return message_from_bytes(email.fill(proof, reader(**changes)), policy=policy.default)


def parts(message) -> tuple[str, str]:
    return tuple(message.get_body((kind,)).get_content() for kind in ("plain", "html"))


STANDARD = printed()


def test_the_headers_say_who_sends_why_and_how_to_leave():
    message = received(STANDARD)
    assert message["From"] == "Global Morning <global@news.example.org>"
    assert message["Reply-To"] == "editors@news.example.org"
    assert message["To"] == "Ana <ana@example.net>"
    assert message["Message-ID"] == f"<{'d' * 40}@news.example.org>"
    assert parsedate_to_datetime(message["Date"]).isoformat() == "2025-03-06T06:00:00+00:00"
    leave = f"{BASE}/m/{'T' * 28}/leave"
    assert message["List-Unsubscribe"] == f"<{leave}>, <mailto:editors@news.example.org?subject=leave%20{'T' * 28}>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["List-Id"] == "<global.news.example.org>"
    assert message["Feedback-ID"] == "20250306:global:daily:news-example-org"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Precedence"] == "bulk"
    assert message["X-Auto-Response-Suppress"] == "OOF, AutoReply"
    assert all(len(message.get_all(name)) == 1 for name in message)


def test_the_same_delivery_has_the_same_bytes_and_another_differs_only_in_its_blanks():
    assert email.fill(STANDARD, reader()) == email.fill(printed(), reader())
    other = email.fill(STANDARD, reader(name="Bea", address="bea@example.net", token="U" * 28, delivery_id="e" * 40))
    mended = (
        other.replace(b"U" * 28, b"T" * 28)
        .replace(b"e" * 40, b"d" * 40)
        .replace(b"Bea", b"Ana")
        .replace(b"bea@", b"ana@")
    )
    assert mended == email.fill(STANDARD, reader())


@pytest.mark.parametrize("look", LOOKS)
def test_both_parts_lead_to_the_same_places(look):
    text, page = parts(received(printed(look=look)))
    tree = lxml_html.fromstring(page)
    in_page = {value for name in ("href", "src") for value in tree.xpath(f"//@{name}")}
    in_text = set(re.findall(r"(?:https?://|mailto:)\S+", text))
    assert in_page == in_text
    assert f"{BASE}/m/{'T' * 28}/leave" in in_text


@pytest.mark.parametrize("look", LOOKS)
def test_a_tracked_mail_differs_by_its_links_alone_and_is_under_24_kb(look):
    edition = sample_edition()
    plain, tracked = (email.proof(edition, variant(look), PRINTER, Links(BASE, tracked=on)) for on in (False, True))
    assert tracked.links == (*plain.links, edition.web_url), "and one link that nobody sees"
    mail = parts(received(tracked, trail="R" * 24))
    for part, tracked_part in zip(parts(received(plain)), mail, strict=True):
        led = re.sub(f"{BASE}/t/R{{24}}/([0-9]+)", lambda link: tracked.links[int(link[1])], tracked_part)
        without = re.sub(r'<a href="[^"]*" aria-hidden="true"[^>]*></a><img [^>]*seen.gif[^>]*>', "", led)
        assert without.replace("&amp;", "&").split() == part.replace("&amp;", "&").split()
    assert len(mail[1].encode()) < 24_000
    assert fields_of(tracked) - fields_of(plain) == {"trail"}


def fields_of(proof: Proof) -> set[str]:
    return {piece.field for piece in proof.compiled.pieces if isinstance(piece, Blank)}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("language", ["en", "es", "ar"])
def test_a_ten_story_mail_is_under_24_kb_and_is_built_as_mail_programs_need_it(look, language):
    _, page = parts(received(printed(look=look, language=language)))
    assert len(page.encode()) < 24_000
    tree = lxml_html.fromstring(page)
    assert page.startswith("<!DOCTYPE html>")
    assert len(tree.xpath("//h1")) == 1
    assert len(tree.xpath("//h2")) == 10
    assert tree.get("lang") == ("es" if language == "es" else "en")
    assert tree.xpath("//title")[0].text
    assert {table.get("role") for table in tree.xpath("//table")} == {"presentation"}
    assert all(image.get("alt") and image.get("width") and image.get("height") for image in tree.xpath("//img"))
    assert len(tree.xpath("//img")) == (0 if look == "brief" else 1)


def test_the_looks_differ_in_how_much_they_tell():
    teasers = [slot.teaser for slot in sample_edition().slots]
    told = {
        look: sum(teaser in unescape(parts(received(printed(look=look)))[1]).replace("\n", " ") for teaser in teasers)
        for look in LOOKS
    }
    assert told == {"full": 10, "standard": 4, "brief": 0}


def test_a_reader_without_a_name_is_greeted_all_the_same():
    for name, greeting in (
        ("Ana", "Good morning, Ana. Europe"),
        ("", "Good morning. Europe"),
        ("<script>", "Good morning, &lt;script&gt;. Europe"),
    ):
        text, page = parts(received(STANDARD, name=name))
        assert greeting in page
        assert unescape(greeting) in text
    assert "Hello, Ana." in parts(received(printed(sample_edition(kind=EditionKind.WEEKLY))))[0]


def test_spanish_readers_get_spanish_and_a_story_in_english_says_so():
    text, page = parts(received(printed(language="es")))
    page = unescape(page)
    assert "jueves 6 de marzo de 2025" in page
    assert "Darse de baja" in page
    assert "Darse de baja: https" in text
    assert '<h2 lang="en"' in page
    assert "Unsubscribe" not in text + page


def test_hostile_words_stay_words():
    slot = replace(
        sample_edition(1).slots[0],
        headline='"><script>alert(1)</script>{{ 7*7 }}',
        kicker="<b>",
        url='https://x.example/"onclick="a',
    )
    page = printed(sample_edition(1, slots=(slot,), subject="One\r\nBcc: eve@example.org", preheader="<i>")).html
    tree = lxml_html.fromstring(page)
    assert not tree.xpath("//script | //b | //i | //@onclick")
    assert "{{ 7*7 }}" in tree.xpath("//h2")[0].text_content()
    message = received(printed(sample_edition(1, slots=(slot,), subject="One\r\nBcc: eve@example.org")))
    assert message["Bcc"] is None
    assert message["Subject"] == "One Bcc: eve@example.org"


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://images.example.org/a.jpg", True),
        ("https://eu.images.example.org/a.jpg", True),
        ("http://images.example.org/a.jpg", False),
        ("https://evilimages.example.org/a.jpg", False),
        ("https://images.example.org.evil.example/a.jpg", False),
        ("https://images.example.org@evil.example/a.jpg", False),
        ("data:image/png;base64,AA", False),
        ("https://[broken/a.jpg", False),
        ("", False),
    ],
)
def test_a_picture_comes_only_from_a_host_that_is_allowed(url, allowed):
    assert image_allowed(url, ("images.example.org",)) is allowed
    edition = sample_edition(2)
    edition = replace(edition, slots=(replace(edition.slots[0], image=url), edition.slots[1]))
    assert ("<img" in printed(edition).html) is allowed


def test_an_address_too_long_for_a_mail_leads_to_its_place_on_the_page():
    edition = sample_edition(2)
    slot = replace(edition.slots[0], url="https://x.example/" + "a" * 1500)
    page = printed(replace(edition, slots=(slot, edition.slots[1]))).html
    assert "aaaa" not in page
    assert f'href="{edition.web_url}#s1"' in page


def test_no_reader_s_token_is_in_a_share_link():
    _, page = parts(received(printed(look="full")))
    with_token = {href for href in lxml_html.fromstring(page).xpath("//@href") if "T" * 28 in href}
    assert with_token == {f"{BASE}/m/{'T' * 28}{end}" for end in ("", "/leave", "/pause")}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("language", ["en", "ar"])
def test_every_line_can_travel(look, language):
    proof = printed(look=look, language=language)
    raw = email.fill(proof, reader(name="李" * 200))
    assert max(len(line) for line in raw.split(b"\r\n")) < 998
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert fill(stuffed(proof.compiled), reader()).replace(b"\r\n..", b"\r\n.") == email.fill(proof, reader())


def test_a_look_that_hides_the_way_out_is_refused(tmp_path):
    (tmp_path / "email").mkdir()
    (tmp_path / "email" / "sly.html").write_text(
        "<!DOCTYPE html>\n<html><body><p>Words</p></body></html>", encoding="utf-8"
    )
    with pytest.raises(NotReadyError, match=r"email/sly\.html shows no way to leave"):
        email.proof(sample_edition(), variant("sly"), Printer((tmp_path, *template_folders())), LINKS)


def test_a_look_nobody_made_is_named_with_those_there_are():
    with pytest.raises(TemplateMissingError, match=r"email/loud\.html.*email/standard\.html"):
        printed(look="loud")


def test_colours_of_the_digest_are_worn_and_unreadable_ones_refused():
    edition = sample_edition(digest=sample_digest(colours={"accent": "#00539b"}))
    assert "#00539b" in printed(edition).html
    with pytest.raises(NotReadyError, match="contrast"):
        printed(sample_edition(digest=sample_digest(colours={"soft": "#cccccc"})))


@pytest.mark.parametrize(("size", "verdict"), [(24_000, "ok"), (60_001, "warn"), (80_001, "refuse")])
def test_an_editor_hears_when_a_mail_grows_too_long(size, verdict):
    assert email.size_verdict("x" * size) == verdict


def test_a_right_to_left_language_with_a_catalogue_turns_the_whole_page(tmp_path):
    from babel.messages import mofile, pofile

    place = tmp_path / "locale" / "ar" / "LC_MESSAGES"
    place.mkdir(parents=True)
    with (
        (template_folders()[0] / "locale/es/LC_MESSAGES/digest.po").open("rb") as spanish,
        (place / "digest.mo").open("wb") as target,
    ):
        mofile.write_mo(target, pofile.read_po(spanish, locale="ar"))
    printer = Printer((tmp_path, *template_folders()))
    page = email.proof(sample_edition(4, "ar"), variant(language="ar"), printer, LINKS).html
    assert '<html lang="ar" dir="rtl"' in page
    assert 'lang="en" dir="ltr"' in page
    assert not re.search(r"(text-align|float)\s*:\s*(left|right)|(?<!padding-left:20px!important;padding-)right:", page)
