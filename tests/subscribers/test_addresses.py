"""Addresses are read strictly, compared loosely, and nothing ends a header line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscribers.addresses import header_value, normalise


@pytest.mark.parametrize(
    ("given_", "mailbox", "key"),
    [
        ("Ana.B@Example.ORG", "Ana.B@example.org", "ana.b@example.org"),
        ("  ana@example.org\t", "ana@example.org", "ana@example.org"),
        ("ana+news@example.org", "ana+news@example.org", "ana+news@example.org"),
        ("o'neil@sub.example.co", "o'neil@sub.example.co", "o'neil@sub.example.co"),
        ("a@Bücher.example", "a@xn--bcher-kva.example", "a@xn--bcher-kva.example"),
        ("a@faß.de", "a@xn--fa-hia.de", "a@xn--fa-hia.de"),
        ("a@XN--BCHER-KVA.example", "a@xn--bcher-kva.example", "a@xn--bcher-kva.example"),
        ("İzmir@example.org", "İzmir@example.org", "İzmir@example.org"),
    ],
)
def test_the_domain_is_idna_2008_the_local_part_is_kept_and_only_ascii_is_lowered(given_, mailbox, key):
    address = normalise(given_)
    assert (address.mailbox, address.key) == (mailbox, key)
    assert address.given == given_.strip()


@pytest.mark.parametrize(
    "given_",
    [
        "", "@", "ana", "ana@", "@example.org", "ana@localhost", "ana@192.0.2.1", "ana@[192.0.2.1]", "a b@example.org", "ana@exa mple.org",
        "ana@example.org\r\nBcc: eve@example.org", "ana\0@example.org", "ana\u2028@example.org", "ana@-x.org", "ana@x_y.org", "ana@x..org",
        "ana@example.org.", "ana@example.org,eve@example.org", "<ana@example.org>", '"ana"@example.org', "a@b@example.org", "a(b)@example.org",
        "a" * 65 + "@example.org", "a@" + "b" * 64 + ".org", "a@" + "abcdefgh." * 30 + "org", "ana@☃️⃣.example",
    ],
)  # fmt: skip
def test_an_address_no_mail_could_go_to_is_refused_in_words(given_):
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        normalise(given_)


@given(st.text(max_size=80))
def test_whatever_is_read_is_one_address_on_one_line(text):
    try:
        address = normalise(text)
    except ValueError:
        return
    assert address.mailbox.count("@") == 1
    assert not set(address.mailbox) & set(" \r\n\0,;<>")
    assert normalise(address.mailbox).key == address.key


@given(st.text(max_size=80))
def test_a_header_value_stays_on_its_line(text):
    value = header_value(text)
    assert not set(value) & set("\r\n\0\x0b\x0c\x85\u2028\u2029")
    assert value == value.strip()
    value.encode()


def test_a_header_value_keeps_its_words():
    assert header_value("Morning\r\nBcc: eve@example.org") == "Morning Bcc: eve@example.org"
    assert header_value("Mañana – 東京") == "Mañana – 東京"
