"""What readers see is in their language, whole, and dates read as they are spoken."""

import io
from datetime import date
from pathlib import Path

import pytest
from babel.messages import extract, mofile, pofile
from jinja2.ext import babel_extract

from digest.languages import MONTHS, WEEKDAYS, direction, languages, same_language, words
from digest.paths import template_folders

HOUSE = Path(__file__).parents[2]
TEMPLATES = HOUSE / "templates"
FOLDERS = template_folders()
CATALOGUES = sorted(TEMPLATES.glob("locale/*/LC_MESSAGES/digest.po"))


def messages_in_use() -> set[str | tuple[str, ...]]:
    rows = []
    for file in [*TEMPLATES.rglob("*.html"), *TEMPLATES.rglob("*.txt")]:
        keywords = {"_": None, "ngettext": (1, 2)}
        rows += babel_extract(io.BytesIO(file.read_bytes()), keywords, [], {"trim_blocks": "true"})
    for file in (HOUSE / "digest").rglob("*.py"):
        rows += extract.extract_python(io.BytesIO(file.read_bytes()), {"message": None}, [], {})
    return {_said(row[2]) for row in rows if row[1] in {"_", "ngettext", "message"} and any(_texts(row[2]))}


def _said(texts) -> str | tuple[str, ...]:
    said = tuple(text for text in _texts(texts) if text)
    return said[0] if len(said) == 1 else said


def read_catalogue(file: Path):
    with file.open("rb") as source:
        return pofile.read_po(source, locale=file.parent.parent.name)


@pytest.mark.parametrize("file", CATALOGUES, ids=lambda file: file.parent.parent.name)
def test_a_catalogue_says_all_that_readers_see_and_nothing_more(file):
    translated = {message.id for message in read_catalogue(file) if message.id and all(_texts(message.string))}
    assert translated == messages_in_use()


def _texts(string) -> tuple[str, ...]:
    return string if isinstance(string, tuple) else (string,)


@pytest.mark.parametrize("file", CATALOGUES, ids=lambda file: file.parent.parent.name)
def test_a_translation_keeps_every_placeholder(file):
    catalogue = read_catalogue(file)
    faults = [str(error) for message in catalogue for error in message.check(catalogue)]
    assert not faults


@pytest.mark.parametrize("file", CATALOGUES, ids=lambda file: file.parent.parent.name)
def test_the_compiled_catalogue_is_what_the_written_one_compiles_to(file):
    compiled = io.BytesIO()
    mofile.write_mo(compiled, read_catalogue(file))
    assert compiled.getvalue() == file.with_suffix(".mo").read_bytes(), "run make catalogues"


def test_dates_are_spoken():
    assert words("en", FOLDERS).date(date(2025, 3, 6)) == "Thursday 6 March 2025"
    assert words("es", FOLDERS).date(date(2025, 3, 6)) == "jueves 6 de marzo de 2025"
    assert words("es-MX", FOLDERS).date(date(2026, 1, 1)) == "jueves 1 de enero de 2026"


def test_every_day_and_month_has_its_own_word_in_spanish():
    spanish = words("es", FOLDERS)
    assert len({spanish.gettext(name) for name in (*WEEKDAYS, *MONTHS)}) == 19


def test_a_language_without_a_catalogue_is_spoken_to_in_english():
    assert words("fi", FOLDERS).language == "en"
    assert words("fi", FOLDERS).gettext("Pause") == "Pause"
    assert languages() == {"en", "es"}


def test_a_publisher_s_own_catalogue_comes_first(tmp_path):
    place = tmp_path / "locale" / "es" / "LC_MESSAGES"
    place.mkdir(parents=True)
    catalogue = read_catalogue(TEMPLATES / "locale/es/LC_MESSAGES/digest.po")
    catalogue["Pause"].string = "Descansar"
    with (place / "digest.mo").open("wb") as target:
        mofile.write_mo(target, catalogue)
    assert words("es", (tmp_path, *FOLDERS)).gettext("Pause") == "Descansar"


@pytest.mark.parametrize(
    ("language", "expected"),
    [("ar", "rtl"), ("he-IL", "rtl"), ("fa_IR", "rtl"), ("en", "ltr"), ("", "ltr"), ("ku-Arab", "rtl"), ("ku", "ltr")],
)
def test_scripts_run_their_way(language, expected):
    assert direction(language) == expected


def test_a_language_that_is_not_stated_is_not_another():
    assert same_language("", "es")
    assert same_language("es-MX", "es_ES")
    assert not same_language("es", "en")
