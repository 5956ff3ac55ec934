"""What a delivery is known by outside leads back to it, and to nobody else's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.delivery_ids import (
    LENGTH,
    TOKEN_LENGTH,
    delivery_id,
    delivery_ids,
    delivery_token,
    delivery_tokens,
    read_delivery_id,
    read_delivery_token,
)
from subscribers.tokens import Keys, sign

WORDS = st.integers(0, 2**32 - 1)
OLD, NEW, OTHER = b"o" * 32, b"n" * 32, b"x" * 32
KEYS = Keys(b"h" * 32, {1: OLD, 2: NEW}, 2)


@given(WORDS, WORDS, WORDS, st.binary(min_size=16, max_size=64))
def test_an_id_leads_back_to_its_row_and_to_nobody_elses(mailing, number, opened, key):
    text, other = delivery_ids(key, [number, number ^ 1], mailing=mailing, opened=opened)
    assert len(text) == LENGTH
    assert text == delivery_id(key, mailing=mailing, number=number, opened=opened)
    assert read_delivery_id(key, text) == (mailing, number, opened)
    assert read_delivery_id(key, other) == (mailing, number ^ 1, opened)
    assert read_delivery_id(b"another key of ours", text) is None
    assert read_delivery_id(key, ("0" if text[0] != "0" else "1") + text[1:]) is None


def test_ids_of_a_database_begun_anew_are_others():
    assert delivery_id(OLD, mailing=1, number=1, opened=1) != delivery_id(OLD, mailing=1, number=1, opened=2)


@pytest.mark.parametrize("text", ["", "zz", "00", "0" * 32, "0" * 34, "é", "٠" * 32, "00 " * 16])
def test_a_made_up_id_leads_nowhere(text):
    assert read_delivery_id(b"k" * 32, text) is None


@given(WORDS, WORDS)
def test_a_token_leads_back_to_its_delivery(mailing, number):
    token, other = delivery_tokens(KEYS, [number, number ^ 1], mailing=mailing)
    assert len(token) == TOKEN_LENGTH
    assert token == delivery_token(KEYS, mailing, number) != other
    assert read_delivery_token(KEYS, token) == (mailing, number)


@given(WORDS, WORDS, st.integers(0, TOKEN_LENGTH - 1), st.characters())
def test_a_token_with_one_other_sign_leads_nowhere(mailing, number, at, sign_there):
    token = delivery_token(KEYS, mailing, number)
    changed = token[:at] + sign_there + token[at + 1 :]
    assert changed == token or read_delivery_token(KEYS, changed) is None


@given(st.text(max_size=40))
def test_no_text_makes_the_reader_of_tokens_fail(text):
    assert read_delivery_token(KEYS, text) is None


def test_links_in_mails_already_sent_work_after_the_keys_were_rotated():
    before = Keys(b"h" * 32, {1: OLD}, 1)
    token = delivery_token(before, 7, 8)
    assert read_delivery_token(KEYS, token) == (7, 8)
    assert read_delivery_token(Keys(b"h" * 32, {2: NEW}, 2), token) is None
    assert read_delivery_token(Keys(b"h" * 32, {1: OTHER}, 1), token) is None


def test_a_token_made_for_anything_else_and_an_id_are_no_delivery_s_token():
    assert read_delivery_token(KEYS, sign(KEYS, "erase", b"12345678")) is None
    assert read_delivery_token(KEYS, sign(KEYS, "delivery", b"12345678")) is None
    same = Keys(OLD, {0: OLD}, 0)
    sealed = delivery_id(OLD, mailing=7, number=8, opened=0)
    assert read_delivery_token(same, sealed[:TOKEN_LENGTH]) is None
