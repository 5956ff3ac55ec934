"""Tokens open for their purpose and their keys, and for nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscribers.tokens import Keys, address_hash, open_, sign

OLD, NEW = b"o" * 32, b"n" * 32
KEYS = Keys(hash_key=b"h" * 32, token_keys={1: OLD, 2: NEW}, current=2)


@given(st.binary(max_size=64))
def test_a_token_gives_back_what_was_signed(payload):
    token = sign(KEYS, "delivery", payload)
    assert open_(KEYS, "delivery", token) == payload
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_a_token_is_good_for_its_purpose_alone():
    assert open_(KEYS, "erase", sign(KEYS, "leave", b"7")) is None


def test_a_token_of_a_rotated_key_still_opens_and_one_of_a_dropped_key_does_not():
    before = sign(Keys(b"h" * 32, {1: OLD}, 1), "leave", b"7")
    assert open_(KEYS, "leave", before) == b"7"
    assert open_(Keys(b"h" * 32, {2: NEW}, 2), "leave", before) is None


@given(st.binary(max_size=20), st.integers(0, 200), st.sampled_from("ABab01-_"))
def test_a_token_with_one_sign_changed_does_not_open(payload, at, sign_):
    token = sign(KEYS, "leave", payload)
    at %= len(token)
    changed = token[:at] + sign_ + token[at + 1 :]
    assert changed == token or open_(KEYS, "leave", changed) is None


@given(st.text(max_size=60))
def test_no_text_breaks_the_opening(text):
    assert open_(KEYS, "leave", text) is None


@pytest.mark.parametrize("spelling", ["{}=", "{} ", "{}\n", " {}", "{}A", "+{}", "/{}"])
def test_a_token_has_one_spelling(spelling):
    assert open_(KEYS, "leave", spelling.format(sign(KEYS, "leave", b"12345678"))) is None


def test_a_cut_token_does_not_open():
    token = sign(KEYS, "leave", b"12345678")
    assert all(open_(KEYS, "leave", token[:size]) is None for size in range(len(token)))


def test_an_address_is_known_by_a_hash_that_hangs_on_the_key():
    assert len(address_hash(OLD, "ana@example.net")) == 16
    assert address_hash(OLD, "ana@example.net") == address_hash(OLD, "ana@example.net")
    assert address_hash(OLD, "ana@example.net") != address_hash(NEW, "ana@example.net")


@pytest.mark.parametrize(
    ("hash_key", "token_keys", "current"),
    [
        (b"short", {1: OLD}, 1),
        (OLD, {1: b"short"}, 1),
        (OLD, {1: OLD}, 2),
        (OLD, {256: OLD}, 256),
        (b"x" * 65, {1: OLD}, 1),
    ],
)
def test_keys_that_cannot_protect_are_refused(hash_key, token_keys, current):
    with pytest.raises(ValueError, match=r"key|keys"):
        Keys(hash_key, token_keys, current)
