from datetime import UTC, datetime
from pathlib import Path

import pytest

from digest.sources.text import parse
from digest.values import Document, Story

NOW = datetime(2025, 3, 7, 6, 0, tzinfo=UTC)
SEED = Path(__file__).parents[2] / "../shared/seed/page.txt"
LEAD = "After six months of repairs the northern harbour opens again on Monday, the port authority said in a statement."
MORE = "More ships are expected in spring, when the second pier is ready and the new cranes have been tested."


def read(text: str) -> tuple[Story, ...]:
    return parse(Document(body=text.encode(), source="coast", now=NOW)).stories


@pytest.mark.skipif(not SEED.is_file(), reason="the publisher's page is not beside this checkout")
def test_the_publishers_page_gives_its_story_and_all_seven_cards() -> None:
    story, *cards = parse(Document(body=SEED.read_bytes(), source="global", now=NOW)).stories
    assert story.section == "Global"
    assert story.headline.startswith("South Korea will protect")
    assert story.headline.endswith("asylum")
    assert story.teaser.startswith("South Korea is willing")
    assert story.body.count("\n\n") == 7
    assert "Share" not in story.body
    assert "Related" not in story.body
    assert len(cards) == 7
    for card in cards:
        assert (card.section, card.stub, card.teaser, card.body) == ("Global", True, "", "")
        assert card.cut_teaser.endswith("...")


PAGE = f"""World

Northern harbour opens again

By Ana Ruiz
6 March 2025 10:00 CET

Share on Facebook
Tweet
Copy link

{LEAD}

{MORE}

Share

Related stories

World

Storm warning for the western coast

A storm is expected to reach the western coast...

Economy

Fish prices fall for the third month
https://coast.example/fish

Prices fell again in February, the ministry says, as the catch was good.
"""


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_a_page_of_another_publisher_is_read_by_its_shape(ends: str) -> None:
    story, storm, fish = read(PAGE.replace("\n", ends))
    assert (story.section, story.headline, story.author) == ("World", "Northern harbour opens again", "Ana Ruiz")
    assert story.published_at == datetime(2025, 3, 6, 9, tzinfo=UTC)
    assert story.body == f"{LEAD}\n\n{MORE}"
    assert story.teaser == LEAD
    assert (storm.section, storm.headline, storm.stub) == ("World", "Storm warning for the western coast", True)
    assert (fish.section, fish.url, fish.stub) == ("Economy", "https://coast.example/fish", False)
    assert fish.teaser == "Prices fell again in February, the ministry says, as the catch was good."


def test_a_spanish_page_is_read_as_well() -> None:
    story, card = read(
        "Mundo\n\nEl puerto del norte abre de nuevo\n\nCompartir\nCompartir en WhatsApp\n\nEl puerto del norte abre de nuevo el lunes "
        "tras seis meses de obras, según la autoridad portuaria.\n\nCompartir\nNoticias relacionadas\nMundo\n\nAviso de tormenta en la costa oeste\n\n"
        "Se espera que la tormenta llegue a la costa…\n"
    )
    assert (story.section, card.section) == ("Mundo", "Mundo")
    assert (
        story.teaser
        == "El puerto del norte abre de nuevo el lunes tras seis meses de obras, según la autoridad portuaria."
    )
    assert "Compartir" not in story.body
    assert card.headline == "Aviso de tormenta en la costa oeste"
    assert card.stub


def test_cards_are_known_without_a_heading_over_them() -> None:
    story, card = read(
        f"World\n\nNorthern harbour opens again\n\n{LEAD}\n\n{MORE}\n\nWorld\n\nStorm warning for the coast\n\nA storm is expected to...\n"
    )
    assert story.body == f"{LEAD}\n\n{MORE}"
    assert (card.section, card.headline, card.stub) == ("World", "Storm warning for the coast", True)


def test_a_page_without_related_stories_or_label_is_one_story() -> None:
    (story,) = read(f"Northern harbour opens again after six months\n\n{LEAD}\n\n{MORE}\n")
    assert (story.section, story.headline) == ("", "Northern harbour opens again after six months")
    assert not story.stub


def test_a_section_page_of_nothing_but_cards_is_all_stubs() -> None:
    cards = read(
        "".join(f"World\n\nHeadline number {n} of the page\n\nWhat is told there goes on...\n\n" for n in range(4))
    )
    assert [card.headline for card in cards] == [f"Headline number {n} of the page" for n in range(4)]
    assert all(card.stub and card.section == "World" for card in cards)


def test_cards_without_labels_and_teasers_are_kept_apart() -> None:
    _, *cards = read(
        f"World\n\nNorthern harbour opens again\n\n{LEAD}\n\n{MORE}\n\nRelated\n\nStorm warning for the western coast\n\nFish prices fall for the third month\n"
    )
    assert [card.headline for card in cards] == [
        "Storm warning for the western coast",
        "Fish prices fall for the third month",
    ]


def test_lines_wrapped_by_hand_are_paragraphs_again() -> None:
    wrapped = (
        "World\n\nNorthern harbour opens again\n\n"
        + LEAD.replace("harbour opens", "harbour\nopens")
        + "\n\n"
        + MORE.replace("ready ", "ready\n")
        + "\n"
    )
    (story,) = read(wrapped)
    assert story.body == f"{LEAD}\n\n{MORE}"


def test_a_page_from_the_web_gives_its_address_to_its_own_story_alone() -> None:
    story, *cards = parse(
        Document(body=PAGE.encode(), source="coast", now=NOW, url="https://coast.example/harbour.txt")
    ).stories
    assert story.url == "https://coast.example/harbour.txt"
    assert [card.url for card in cards] == ["", "https://coast.example/fish"]
