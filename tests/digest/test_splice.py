"""A compiled message filled for a reader is what a mail program reads back, whoever the reader is."""

import email
import subprocess
import sys
from email import policy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digest import splice
from digest.blanks import (
    FILLS,
    PLAIN_FIELDS,
    BlankError,
    Marks,
    _shown,
    is_plain,
    mailbox,
    tracked_values,
    unstructured,
)
from digest.splice import compile_message, fill, pack, stuffed, unpack
from digest.values import Blank, Compiled, Recipient
from subscribers.addresses import header_value

MARKS = Marks.for_content("an edition")
TEXT = (
    "Good morning{comma_name}.\nLine\n.a dot first\n\n"
    + "word " * 80
    + "\nhttps://n.example/m/{token}/leave\nto {address}.\n"
)
HTML = (
    "<!DOCTYPE html>\n<p>Good morning{comma_name}. " + "long words in one line " * 60 + "{comma_name}</p>\n.dot\n"
    '<a href="https://n.example/m/{token}/leave">é – 東</a> {address}\n'
)
NAMES = st.text(max_size=120) | st.sampled_from(
    ["Ana", "", ".", "=20", "José", "李小龍", 'A "B" <c@d>', "x" * 200, "\u202eevil", "A, B"]
)


def marked(text: str) -> str:
    for field in ("comma_name", "token", "address"):
        text = text.replace(f"{{{field}}}", MARKS.mark(field))
    return text


def compiled(text: str = TEXT, html: str = HTML) -> Compiled:
    headers = [
        ("From", mailbox("Mañana, S.A.", "news@bücher.example")),
        ("To", header_value(MARKS.mark("mailbox"))),
        ("Subject", unstructured("Año nuevo: " * 15)),
        ("Date", header_value(MARKS.mark("date"))),
        ("Message-ID", header_value(f"<{MARKS.mark('delivery_id')}@n.example>")),
        ("List-Unsubscribe", header_value(f"<https://n.example/m/{MARKS.mark('token')}/leave>")),
    ]
    return compile_message(headers, marked(text), marked(html), MARKS)


def reader(name: str = "Ana", address: str = "ana@example.net") -> Recipient:
    return Recipient(
        number=1,
        delivery_id="d" * 40,
        address=address,
        name=name,
        token="T" * 28,
        date="Thu, 06 Mar 2025 06:00:00 +0000",
    )


def read(raw: bytes) -> tuple[email.message.EmailMessage, str, str]:
    message = email.message_from_bytes(raw, policy=policy.default)
    text, html = (message.get_body((kind,)).get_content().replace("\r\n", "\n") for kind in ("plain", "html"))
    return message, text, html


WHOLE = compiled()


@given(NAMES)
def test_every_name_comes_out_as_it_should_and_no_header_is_added(name):
    raw = fill(WHOLE, reader(name))
    message, text, html = read(raw)
    shown = _shown(name)
    greeting = f"Good morning{', ' + shown if shown else ''}."
    assert text.startswith(greeting)
    assert "<c@d>" not in html
    assert message.keys() == [
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "List-Unsubscribe",
        "MIME-Version",
        "Content-Type",
    ]
    assert not [*message.defects, *(fault for part in message.walk() for fault in part.defects)]
    assert [address.addr_spec for address in message["To"].addresses] == ["ana@example.net"]
    assert raw.isascii()
    assert max(len(line) for line in raw.split(b"\r\n")) < 998
    assert b"\n" not in raw.replace(b"\r\n", b"")


@given(NAMES)
def test_dots_are_stuffed_once_and_unstuffing_gives_the_file_back(name):
    sent = fill(stuffed(WHOLE), reader(name))
    assert all(line.startswith(b"..") for line in sent.split(b"\r\n") if line.startswith(b"."))
    assert sent.replace(b"\r\n..", b"\r\n.") == fill(WHOLE, reader(name))


@given(
    NAMES,
    st.sampled_from(
        [
            "ana@example.net",
            "o'neil+news@example.net",
            ".dot@example.net",
            "ana@bücher.example",
            "a" * 64 + "@" + "b" * 60 + ".example",
        ]
    ),
)
def test_the_text_part_keeps_to_76_signs_a_line_and_decodes_to_what_was_written(name, address):
    raw = fill(WHOLE, reader(name, address))
    encoded = raw.split(b"quoted-printable\r\n\r\n")[1].split(b"\r\n--=_")[0]
    assert max(len(line) for line in encoded.split(b"\r\n")) <= 78
    text = read(raw)[1]
    assert text.endswith(f"https://n.example/m/{'T' * 28}/leave\nto {address}.\n")
    assert "\n.a dot first\n" in text


ADDRESSES = st.from_regex(r"[A-Za-z.+_'-]{1,70}@[a-z.-]{1,40}", fullmatch=True) | st.sampled_from(
    ["ana@example.net", "ANA@Example.net", "a" * 60 + "@n.example", ".ana@example.net", "ana@xn--bcher-kva.example"]
)


@given(st.from_regex(r"[A-Za-z0-9 ]{0,62}", fullmatch=True) | NAMES, ADDRESSES)
def test_the_short_way_for_plain_readers_says_what_the_careful_way_says(name, address):
    one = reader(name, address)
    plain = dict(zip(PLAIN_FIELDS, tracked_values(one) or (), strict=False))
    assert bool(plain) == is_plain(one)
    for blank, fill_one in FILLS.items() if plain else ():
        assert plain[blank.field] == fill_one(one), blank


def test_an_everyday_reader_goes_the_short_way_and_one_who_needs_escaping_does_not():
    assert is_plain(reader("Ana Garcia 2", "ana.garcia+news@mail.example.net"))
    assert is_plain(reader("", "ana@example.net"))
    for name, address in (("O'Neil", "a@b.example"), ("Ana", "o'neil@b.example"), ("A  B", "a@b.example")):
        assert not is_plain(reader(name, address))


def test_the_parts_are_text_first_and_headers_decode():
    message, _, html = read(fill(WHOLE, reader("Ana García")))
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert message["Subject"] == ("Año nuevo: " * 15).strip()
    assert message["From"].addresses[0].display_name == "Mañana, S.A."
    assert message["From"].addresses[0].addr_spec == "news@xn--bcher-kva.example"
    assert message["To"].addresses[0].display_name == "Ana García"
    assert message["Message-ID"] == f"<{'d' * 40}@n.example>"
    assert "Good morning, Ana Garc&#237;a." in html


def test_a_script_that_is_mostly_not_latin_leaves_as_8_bit():
    raw = fill(
        compiled("صباح الخير{comma_name}\n{token}\n", "<p>صباح الخير{comma_name} {token}</p>"), reader("ليلى & <b>")
    )
    _, text, html = read(raw)
    assert b"Content-Transfer-Encoding: 8bit" in raw
    assert "صباح الخير, ليلى & <b>" in text
    assert "صباح الخير, ليلى &amp; &lt;b&gt;" in html


def test_a_story_cannot_hold_a_mark():
    forged = Marks.for_content("another edition").mark("token")
    message = compiled(TEXT + forged, HTML)
    assert forged in read(fill(message, reader()))[1]


def test_a_blank_that_has_no_filling_is_refused():
    with pytest.raises(BlankError, match="secret"):
        compile_message([], MARKS.mark("secret"), "<p>", MARKS)
    with pytest.raises(BlankError, match="print the edition again"):
        splice.checked([b"a", Blank("token", "raw")], 2)


def test_a_line_that_cannot_be_folded_is_refused_in_words():
    with pytest.raises(BlankError, match="cannot be folded"):
        compiled(html="x" * 2000)


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=30) | st.sampled_from(sorted(FILLS, key=repr)), max_size=20))
def test_what_is_packed_is_unpacked(pieces):
    made = splice.checked(pieces, sum(isinstance(piece, Blank) for piece in pieces))
    again = unpack(pack(made))
    assert again == made
    assert fill(again, reader()) == fill(made, reader())


@pytest.mark.parametrize(
    "harm",
    [lambda b: b[:-1], lambda b: b"", lambda b: b"{}\n", lambda b: b.replace(b"[1,", b"[9,", 1), lambda b: b"\xff" + b],
)
def test_a_damaged_proof_is_refused_and_never_sent(harm):
    with pytest.raises(BlankError, match="print the edition again"):
        unpack(harm(pack(WHOLE)))


def test_two_messages_are_never_mixed_up_however_many_are_filled():
    many = [compiled(text=f"{n} {{token}}\n") for n in range(200)]
    assert all(read(fill(one, reader()))[1].startswith(f"{n} ") for n, one in enumerate(many))


def test_filling_loads_neither_templates_nor_premailer():
    code = "import sys, digest.splice, digest.channels.email; print([m for m in ('jinja2', 'premailer', 'sqlmodel', 'cssutils') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
