"""What a story is about."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.topics import DEFAULT_TOPICS, topic_finder, topics_of
from digest.values import Story, Topic

FISH = Topic(slug="fish", labels={"en": "Fish", "es": "Pesca"}, words=("Herring", "North Sea cod"), categories=("Sea",))
SEA = Topic(slug="north-sea", labels={"en": "North Sea"}, words=("UK", "Straße"))


def about(headline="", **fields):
    story = Story(guid="", source="", url="", headline=headline, **fields)
    return topics_of(story, (FISH, SEA))


@pytest.mark.parametrize(
    ("headline", "topics"),
    [
        ("Herring return", ("fish",)),
        ("HERRING RETURN", ("fish",)),
        ("Herrings return", ()),
        ("Pésca is back", ("fish",)),
        ("North Sea cod is back", ("fish",)),
        ("North Sea: cod is back", ("fish",)),
        ("North Sea drilling ends", ("north-sea",)),
        ("A strasse by the harbour", ("north-sea",)),
        ("UK votes", ("north-sea",)),
        ("Uk is not written so", ()),
        ("", ()),
    ],
)
def test_whole_words_count_whatever_their_case_and_abbreviations_only_as_written(headline, topics):
    assert about(headline) == topics


def test_us_is_a_country_only_in_capitals():
    story = Story(guid="", source="", url="", headline="They told us everything")
    assert "united-states" not in topics_of(story, DEFAULT_TOPICS)
    for headline in ("US raises tariffs", "U.S. raises tariffs", "EE.UU. sube los aranceles"):
        story = Story(guid="", source="", url="", headline=headline)
        assert topics_of(story, DEFAULT_TOPICS)[:1] == ("united-states",)


def test_the_topic_of_the_headline_comes_before_that_of_the_teaser():
    assert about("North Sea drilling ends", teaser="Herring, herring and more, says the Institute.") == (
        "north-sea",
        "fish",
    )


def test_the_publishers_category_decides_where_the_words_say_little():
    assert about("A vote by the water", categories=("SEA",)) == ("fish",)
    assert about("North Sea drilling ends", categories=("Pesca",)) == ("fish", "north-sea")


def test_a_word_in_passing_in_the_body_is_no_topic_but_one_that_returns_is():
    assert about("A vote", body="Someone mentioned herring once.") == ()
    assert about("A vote", body="Herring. " * 4) == ("fish",)


def test_a_cut_teaser_helps_to_tell_the_topic_though_no_reader_sees_it():
    assert about("A vote", cut_teaser="The herring fleet of the...") == ("fish",)


def test_equal_topics_come_in_the_order_the_text_names_them():
    assert about("Herring against North Sea rules") == ("fish", "north-sea")
    assert about("North Sea rules against herring") == ("north-sea", "fish")


@given(st.text(max_size=200), st.text(max_size=400))
def test_any_text_is_read_and_names_only_topics_of_the_table(headline, body):
    found = about(headline, body=body)
    assert set(found) <= {"fish", "north-sea"}
    assert len(set(found)) == len(found)


def test_a_table_without_words_finds_nothing_and_breaks_nothing():
    assert (
        topics_of(Story(guid="", source="", url="", headline="Herring"), (Topic(slug="x", labels={}, words=("…",)),))
        == ()
    )


@pytest.mark.parametrize(
    ("headline", "topic"),
    [
        ("Kyiv rebuilds its oldest bridge", "ukraine"),
        ("Ucrania reconstruye su puente más antiguo", "ukraine"),
        ("North Koreans cross the river", "korea"),
        ("Latin American writers meet", "latin-america"),
        ("El Papa Francisco recibe a los pescadores", "vatican"),
        ("South Sudan opens a school", "africa"),
        ("La Unión Europea aprueba la norma", "europe"),
        ("Israelí y palestino comparten premio", "middle-east"),
    ],
)
def test_the_starting_table_knows_the_news_in_english_and_spanish(headline, topic):
    assert topic_finder(DEFAULT_TOPICS)(Story(guid="", source="", url="", headline=headline))[0] == topic


def test_the_starting_table_has_each_topic_once_with_a_label_in_both_languages():
    assert len({topic.slug for topic in DEFAULT_TOPICS}) == len(DEFAULT_TOPICS)
    assert all(topic.labels.get("en") and topic.labels.get("es") for topic in DEFAULT_TOPICS)
    named = [(word.casefold(), topic.slug) for topic in DEFAULT_TOPICS for word in topic.words]
    assert len({word for word, _ in named}) == len({*named}), "a word leads to two topics"
