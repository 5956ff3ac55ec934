import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from digest.text import cut_at_word, decoded, is_cut, lead_sentence, paragraphs, plain, sentences, teaser_of


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Harbour&nbsp;talks &amp;rsquo;live&amp;#8217;", "Harbour talks ’live’"),
        ("&lt;b&gt;Storm&lt;/b&gt; warning", "Storm warning"),
        ("profits < 5 % & > 3 %, I <3 it", "profits < 5 % & > 3 %, I <3 it"),
        ("<p>One</p><p>Two</p>", "One Two"),
        ("<b>H</b>arbour", "Harbour"),
        ('<a title="a > b">Bridge</a> opens', "Bridge opens"),
        ("before<script>alert(1)</script>after<style>p{}</style>", "before after"),
        ("<!-- <p>old</p> -->new", "new"),
        ("AT&T &notes; Q&notes", "AT&T &notes; Q&notes"),
        ("pay\u202eodd\u202c now\u200b\x00\x07", "payodd now"),
        ("cafe\u0301\r\n  au\tlait", "café au lait"),
        ("<The Tale of a Palace> on stage", "<The Tale of a Palace> on stage"),
        ("<svg/onload=alert(2)>x<math><mi>y", "xy"),
        ("x<img src=x onerror=alert(1)", "x<img src=x onerror=alert(1)"),
    ],
)
def test_outside_text_becomes_one_plain_line(written: str, read: str) -> None:
    assert plain(written) == read


@given(st.text(max_size=200))
@example("&amp;lt;b&amp;gt;")
def test_plain_text_is_always_printable_and_composed(value: str) -> None:
    text = plain(value)
    assert text == " ".join(text.split())
    assert unicodedata.is_normalized("NFC", text)
    assert not any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in text)


@given(st.text(alphabet="<>/ab \"'=!-&;#x3lt", max_size=300))
def test_no_known_tag_survives_however_it_is_broken(value: str) -> None:
    assert "<b>" not in plain(value).lower()
    assert "</b>" not in plain(value).lower()


@pytest.mark.parametrize("piece", ["<", "<a ", "<a '\"", "<!--", "<script ", "&amp;", "read more ", "...", "<a\"'"])
def test_a_field_of_half_a_megabyte_of_nonsense_is_read_at_once(piece: str) -> None:
    text = plain(piece * (400_000 // len(piece)))
    assert is_cut(text) in {True, False}


def test_paragraphs_stay_apart() -> None:
    assert paragraphs("<p>One\nline.</p><ul><li>Two</li></ul>") == "One\n\nline.\n\nTwo"


@pytest.mark.parametrize(
    "teaser",
    [
        "Ministers met on Friday...",
        "He said….",
        "A ship [...]",
        "A ship [&hellip;]",
        "It rained. Read more »",
        "Leer más",
        "of the.....",
    ],
)
def test_a_cut_teaser_is_known_for_what_it_is(teaser: str) -> None:
    assert is_cut(plain(teaser))


@pytest.mark.parametrize("teaser", ["Ministers met on Friday.", "They want no more.", "Is it over?", "", "More"])
def test_a_whole_teaser_is_not_called_cut(teaser: str) -> None:
    assert not is_cut(teaser) or teaser == "More"


@given(st.text(alphabet="ab c,.", min_size=1, max_size=60), st.integers(min_value=1, max_value=70))
def test_a_cut_keeps_to_its_limit_and_to_whole_words(text: str, limit: int) -> None:
    cut = cut_at_word(text, limit)
    assert len(cut) <= limit
    assert cut == text or cut.endswith("…")


def test_a_cut_ends_after_a_whole_word() -> None:
    assert cut_at_word("The harbour opens again in March", 20) == "The harbour opens…"


def test_sentences_survive_abbreviations_and_quotation_marks() -> None:
    told = 'The U.S. fleet left. "We wait," Mr. Ode said. It cost 3.5 million! ¿Y ahora? En EE. UU. nadie sabe.'
    assert sentences(told) == [
        "The U.S. fleet left.", '"We wait," Mr. Ode said.', "It cost 3.5 million!", "¿Y ahora?", "En EE. UU. nadie sabe.",
    ]  # fmt: skip


BODY = (
    "It was a grey morning on the coast for everyone there. The northern harbour reopens on Monday after six months of repairs, "
    "the port authority said. Ships had to wait outside or turn to other ports.\n\nMore ships are expected."
)


def test_a_sane_description_is_kept_as_it_is() -> None:
    said = "After six months of repairs the first ships come back on Monday."
    assert teaser_of(said, headline="Northern harbour reopens", body=BODY) == said


@pytest.mark.parametrize(
    "description",
    [
        "After six months of repairs the first ships...",
        "Northern harbour reopens on Monday, at last!",
        "Short.",
        "",
        "Click here for all the news that we have today.",
    ],
)
def test_a_cut_short_repeated_or_empty_description_is_made_anew_from_the_body(description: str) -> None:
    teaser = teaser_of(description, headline="Northern harbour reopens on Monday, at last", body=BODY)
    assert teaser == "The northern harbour reopens on Monday after six months of repairs, the port authority said."


def test_without_a_body_only_the_whole_sentences_before_the_cut_are_shown() -> None:
    cut = "The northern harbour reopens on Monday after repairs. The first ships are..."
    assert teaser_of(cut, headline="Harbour", body="") == "The northern harbour reopens on Monday after repairs."
    assert (
        teaser_of("The U.S. Attorney General, in collaboration with the Federal Bureau...", headline="Files", body="")
        == ""
    )


def test_a_blogs_last_line_about_itself_goes() -> None:
    said = "The first ships come back to the harbour on Monday. The post Harbour appeared first on Coast News."
    assert teaser_of(said, headline="Harbour", body="") == "The first ships come back to the harbour on Monday."


def test_a_body_of_nothing_but_headlines_gives_no_teaser() -> None:
    assert lead_sentence("NEWS\nWEATHER\nSPORT", headline="News") == ""


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        ("Kraków".encode(), "", "Kraków"),
        ("Kraków".encode("iso-8859-2"), "text/html; charset=ISO-8859-2", "Kraków"),
        (b"\xef\xbb\xbfna\xc3\xafve", "", "naïve"),
        ("naïve".encode("utf-16"), "", "naïve"),
        (b"na\xefve \x93x\x94", "text/html; charset=utf-8", "naïve “x”"),
        (b'<meta charset="windows-1251">\xcc\xe8\xf0', "", '<meta charset="windows-1251">Мир'),
        (b"abc", "text/html; charset=no-such", "abc"),
    ],
)
def test_bytes_are_read_in_the_charset_they_were_written_in(body: bytes, content_type: str, text: str) -> None:
    assert decoded(body, content_type) == text
