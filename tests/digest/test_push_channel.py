"""A notification is small, whole, says nothing about its reader, and is never cut where it would mislead."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digest.channels import push
from digest.errors import NotReadyError
from digest.links import Links
from digest.paths import template_folders
from digest.render import Printer
from digest.values import EditionKind, Recipient, Variant
from tests.samples import BASE, sample_edition

PRINTER = Printer(template_folders())
READER = Recipient(number=1, delivery_id="d" * 40, address="device-1", name="Ana", token="T" * 28, date="")


def sent(edition=None, language="en", recipient=READER):
    proof = push.proof(edition or sample_edition(), Variant(segment="", language=language), PRINTER, Links(BASE))
    raw = push.fill(proof, recipient)
    return json.loads(raw), raw


def test_a_notification_is_declarative_and_leads_to_the_edition():
    payload, raw = sent()
    note = payload["notification"]
    assert payload["web_push"] == 8030
    assert payload["mutable"] is False
    assert payload["app_badge"] == 10
    assert note["title"] == "Europe pays for its own defence; Kyiv offers a truce"
    assert note["body"].startswith("Seoul says captured northern soldiers may come south if they ask · ")
    assert note["navigate"] == f"{BASE}/e/global/2025-03-06"
    assert [action["action"] for action in note["actions"]] == ["share", "lead"]
    assert (note["lang"], note["dir"]) == ("en", "ltr")
    assert note["data"] == {"v": 1, "d": "global", "m": "d" * 40}
    assert len(raw) <= 2800


def test_nothing_in_it_names_the_reader():
    _, raw = sent()
    assert b"Ana" not in raw
    assert b"device-1" not in raw
    assert b"T" * 28 not in raw
    other = push.fill(
        push.proof(sample_edition(), Variant(segment="", language="en"), PRINTER, Links(BASE)),
        READER._replace(delivery_id="e" * 40, name="Bea"),
    )
    assert other == raw.replace(b"d" * 40, b"e" * 40)


def test_a_newer_edition_replaces_an_older_one_and_breaking_news_only_its_own_event():
    today, tomorrow = sample_edition(), sample_edition(local_date=sample_edition().local_date.replace(day=7))
    breaking = sample_edition(kind=EditionKind.BREAKING, name="quake")
    tags = [push.topic(edition) for edition in (today, tomorrow, breaking)]
    assert tags[0] == tags[1] != tags[2]
    assert all(len(tag) == 24 for tag in tags)  # at most 32 and never 1 more than a multiple of 4: Apple refuses that


def test_breaking_news_leads_to_its_story():
    note = sent(sample_edition(1, kind=EditionKind.BREAKING, name="quake"))[0]["notification"]
    assert note["title"] == "Leaders back a common defence fund as Kyiv offers a truce…"
    assert note["navigate"].startswith(f"{BASE}/global/2025/03/06/01-")
    assert "utm_medium=push" in note["navigate"]
    assert note["body"].startswith("Twenty-six governments agreed to loosen borrowing rules")


def test_spanish_and_arabic_readers_get_their_own_words():
    assert sent(sample_edition(4, "es"), "es")[0]["notification"]["actions"][0]["title"] == "Compartir"
    note = sent(sample_edition(2, "ar"), "ar")[0]["notification"]
    assert (note["lang"], note["dir"]) == ("ar", "rtl")


@settings(max_examples=40)
@given(
    st.text(alphabet=st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=400),
    st.text(alphabet='東京é😀 a"\\', min_size=1, max_size=400),
    st.integers(0, 2400),
)
def test_whatever_it_says_it_fits_in_one_record_and_its_addresses_are_whole(headline, teaser, length):
    edition = sample_edition(3)
    slots = [replace(slot, headline=headline, teaser=teaser) for slot in edition.slots]
    slots[0] = replace(slots[0], image="https://images.example.org/" + "i" * length)
    payload, raw = sent(replace(edition, subject=headline, slots=tuple(slots)))
    assert len(raw) <= 2800
    note = payload["notification"]
    assert note["navigate"] == edition.web_url
    assert note.get("image", slots[0].image) == slots[0].image


def test_an_address_too_long_for_any_notification_is_refused_in_words():
    with pytest.raises(NotReadyError, match="address is too long"):
        sent(sample_edition(web_url="https://x.example/" + "a" * 2800))


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Short enough", "Short enough"),
        ("Minister resigns over the flood report, and the coalition says it will go on without him", "Minister resigns over the flood report…"),
        ("Parliament in the capital votes at midnight and does not lift the ban on imported grain", "Parliament in the capital votes at midnight and does not lift…"),
        ("The committee of inquiry into the ferry fire found no evidence at all of sabotage by the crew", "The committee of inquiry into the ferry fire found no evidence…"),
        ("The ministry of finance in the capital put the year’s total at 3,500,000 tonnes of wheat", "The ministry of finance in the capital put the year’s total…"),
        ("The delegations that met in the capital on Monday asked for North Korean troops to leave", "The delegations that met in the capital on Monday asked…"),
    ],
)  # fmt: skip
def test_a_cut_ends_at_a_clause_or_a_word_and_not_after_a_not_a_figure_or_half_a_name(text, kept):
    assert push.shorten(text, 50, 65) == kept


@given(st.text(max_size=300), st.integers(20, 80))
def test_a_cut_text_is_the_beginning_of_the_whole_one(text, longest):
    cut = push.shorten(text, longest - 10, longest)
    whole = " ".join(text.split())
    assert len(cut) <= longest
    assert cut == whole or (cut.endswith("…") and whole.startswith(cut[:-1]))
