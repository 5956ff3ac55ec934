"""Templates are found in order, fail in words, and come through premailer whole."""

import re

import jinja2
import pytest

from digest.errors import NotReadyError, TemplateMissingError
from digest.languages import words
from digest.palette import COLOURS, contrast, palette
from digest.paths import template_folders
from digest.render import Printer, TemplateError, inline

ENGLISH = words("en", template_folders())
PAGE = """<!DOCTYPE html>
<html><head><style>p { color: #123456; margin: 0; } .gone { padding: 1px; } img { width: 100%; height: auto; }</style>
<style data-premailer="ignore">@media (prefers-color-scheme:dark){.kept{color:#eeeeee!important}}@supports (color:red){@media print{p{margin:0}}}</style></head>
<body><p class="gone kept">Words</p>
      <img src="https://i.example/a.jpg" width="536" height="302" alt=""></body></html>"""


def test_a_publisher_s_own_template_comes_first_and_ours_is_still_there(tmp_path):
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "edition.html").write_text("ours is {{ name }}", encoding="utf-8")
    printer = Printer((tmp_path, *template_folders()))
    assert printer.page("web/edition.html", ENGLISH, {"name": "<b>"}) == "ours is &lt;b&gt;"
    assert "{% block" not in printer.page("email/_parts.html", ENGLISH, {})


def test_a_missing_template_is_named_with_the_folders_and_what_there_is():
    with pytest.raises(TemplateMissingError, match=r"no template email/fancy\.html in .*templates.*email/brief\.html"):
        Printer(template_folders()).page("email/fancy.html", ENGLISH, {})


@pytest.mark.parametrize(
    ("text", "said"),
    [("{% if %}", "line 1"), ("{{ nobody }}", "'nobody' is undefined"), ("{{ nobody.name }}", "nobody")],
)
def test_a_broken_template_says_where(tmp_path, text, said):
    (tmp_path / "a.html").write_text(text, encoding="utf-8")
    with pytest.raises(TemplateError, match=said):
        Printer((tmp_path,)).page("a.html", ENGLISH, {})


def test_a_text_template_is_not_escaped_and_a_page_is(tmp_path):
    for name in ("a.txt", "a.html"):
        (tmp_path / name).write_text("{{ said }}", encoding="utf-8")
    printer = Printer((tmp_path,))
    assert printer.page("a.txt", ENGLISH, {"said": "A & B"}) == "A & B"
    assert printer.page("a.html", ENGLISH, {"said": "A & B"}) == "A &amp; B"


def test_a_template_is_compiled_once_for_all_printers_and_languages_and_anew_when_it_has_changed(tmp_path, monkeypatch):
    compiled, real = [], jinja2.Environment.compile
    monkeypatch.setattr(
        jinja2.Environment, "compile", lambda *given, **named: compiled.append(1) or real(*given, **named)
    )
    spanish = words("es", template_folders())
    for text in ("{{ _('Share') }} once", "{{ _('Share') }} twice"):
        (tmp_path / "a.html").write_text(text, encoding="utf-8")
        said = [Printer((tmp_path,)).page("a.html", language, {}) for language in (ENGLISH, spanish, ENGLISH)]
        assert said == [text.replace("{{ _('Share') }}", word) for word in ("Share", "Compartir", "Share")]
    assert len(compiled) == 2


def test_the_css_is_put_on_the_elements_and_what_must_stay_stays():
    page = inline(PAGE)
    assert page.startswith("<!DOCTYPE html>")
    assert re.search(r'<p class="kept" style="[^"]*color:#123456', page)
    assert "prefers-color-scheme:dark){.kept{color:#eeeeee!important}}" in page
    assert "@supports" in page
    assert 'width="536"' in page
    assert 'height="302"' in page
    assert "data-premailer" not in page


def test_a_doctype_that_premailer_would_lose_is_noticed():
    with pytest.raises(TemplateError, match="in capitals"):
        inline(PAGE.replace("<!DOCTYPE html>", "<!doctype html>"))


def test_black_on_white_is_21_to_1_and_order_does_not_matter():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
    assert contrast("#ffffff", "#767676") == contrast("#767676", "#ffffff")


def test_our_colours_can_be_read_light_and_dark():
    assert palette({}) == COLOURS


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"accent": "#ffcc00"}, r"accent #ffcc00 on sheet .* contrast of 1\.\d"),
        ({"dark_soft": "#333333"}, "dark_soft"),
        ({"ink": "black"}, "#rrggbb"),
        ({"pink": "#aa0000"}, "pink"),
    ],
)
def test_colours_that_readers_could_not_read_are_refused(own, said):
    with pytest.raises(NotReadyError, match=said):
        palette(own)
