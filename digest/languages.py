"""The languages of what readers see: gettext catalogues beside the templates, English where there is none."""

import gettext
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from digest.paths import template_folders

DOMAIN = "digest"
RIGHT_TO_LEFT = frozenset({"ar", "arc", "ckb", "dv", "fa", "he", "ku-arab", "ps", "sd", "syr", "ug", "ur", "yi"})


def message(text: str) -> str:
    """Marks a text for the catalogues where it is named; it is translated where it is used."""
    return text


WEEKDAYS = (
    message("Monday"), message("Tuesday"), message("Wednesday"), message("Thursday"), message("Friday"), message("Saturday"), message("Sunday"),
)  # fmt: skip
MONTHS = (
    message("January"), message("February"), message("March"), message("April"), message("May"), message("June"),
    message("July"), message("August"), message("September"), message("October"), message("November"), message("December"),
)  # fmt: skip
DATE = message("%(weekday)s %(day)d %(month)s %(year)d")


def primary(language: str) -> str:
    """The language without script and country: "es" of "es-MX"."""
    return language.replace("_", "-").partition("-")[0].casefold()


def same_language(one: str, other: str) -> bool:
    """Whether a reader of one reads the other; an unstated language counts as the same."""
    return not one or not other or primary(one) == primary(other)


def direction(language: str) -> str:
    """ "rtl" or "ltr", as HTML's dir wants it."""
    whole = language.replace("_", "-").casefold()
    return "rtl" if whole in RIGHT_TO_LEFT or primary(whole) in RIGHT_TO_LEFT else "ltr"


@dataclass(frozen=True, slots=True)
class Words:
    """One language's words. `language` is the catalogue that was found, "en" when none was."""

    language: str
    catalogue: gettext.NullTranslations

    def gettext(self, text: str) -> str:
        return self.catalogue.gettext(text)

    def ngettext(self, singular: str, plural: str, number: int) -> str:
        return self.catalogue.ngettext(singular, plural, number)

    def date(self, day: date) -> str:
        """A date in words: "Thursday 6 March 2025", "jueves 6 de marzo de 2025"."""
        return self.gettext(DATE) % {
            "weekday": self.gettext(WEEKDAYS[day.weekday()]),
            "day": day.day,
            "month": self.gettext(MONTHS[day.month - 1]),
            "year": day.year,
        }


def languages(folders: Sequence[Path] | None = None) -> frozenset[str]:
    """The languages that readers can be written to: English, and every one with a catalogue beside our templates."""
    files = (file for folder in folders or template_folders() for file in (folder / "locale").glob("*/*/digest.mo"))
    return frozenset({"en", *(file.parent.parent.name for file in files)})


def words(language: str, folders: Sequence[Path]) -> Words:
    """The words of a language: of its country's catalogue, else its own, from the first template folder that has one."""
    whole = language.replace("-", "_")
    for code in dict.fromkeys((whole, primary(whole))):
        for folder in folders:
            if gettext.find(DOMAIN, folder / "locale", [code]):
                return Words(code, gettext.translation(DOMAIN, folder / "locale", [code]))
    return Words("en", gettext.NullTranslations())
