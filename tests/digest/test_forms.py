"""What browsers and programs send is read within bounds, and a form's token says for which page and since when."""

import asyncio
from datetime import timedelta

import pytest
from fastapi import HTTPException, Request
from hypothesis import given
from hypothesis import strategies as st

from digest.web.forms import MOST_BYTES, MOST_FIELDS, first, form_of, form_token, json_of, read_form_token
from subscribers.tokens import sign
from tests.newsroom import KEYS, NOW

URLENCODED = "application/x-www-form-urlencoded"


def request(body: bytes, kind: str = URLENCODED) -> Request:
    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-type", kind.encode("latin-1", "replace"))]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive)


def form(body: bytes, kind: str = URLENCODED):
    return asyncio.run(form_of(request(body, kind)))


def multipart(*fields, boundary="b0"):
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in fields]
    return "".join([*parts, f"--{boundary}--\r\n"]).encode(), f"multipart/form-data; boundary={boundary}"


def test_a_form_keeps_every_value_of_a_name_and_empty_ones_too():
    assert form(b"day=mon&day=tue&hour=&email=ana%2Bx%40example.net") == {
        "day": ["mon", "tue"], "hour": [""], "email": ["ana+x@example.net"],
    }  # fmt: skip


def test_the_same_form_in_parts_is_the_same_form():
    body, kind = multipart(("List-Unsubscribe", "One-Click"), ("name", "Núñez"))
    assert form(body, kind) == {"List-Unsubscribe": ["One-Click"], "name": ["Núñez"]}


@pytest.mark.parametrize("body", [b"", b"&&&", b"=", b"%", b"\xff\xfe=\x00", b"a" * 100, b"email=%ff%fe"])
def test_what_is_hardly_a_form_is_hardly_anything(body):
    read = form(body)
    assert all(isinstance(value, str) for values in read.values() for value in values)


def test_more_fields_than_any_form_of_ours_are_not_read():
    assert form(b"&".join(b"a=%d" % n for n in range(MOST_FIELDS + 1))) == {}
    body, kind = multipart(*[("a", "") for _ in range(MOST_FIELDS + 5)], boundary="b")
    assert len(form(body[:MOST_BYTES], kind).get("a", [])) <= MOST_FIELDS


def test_a_body_larger_than_any_form_of_ours_is_refused():
    with pytest.raises(HTTPException) as refused:
        form(b"email=" + b"a" * MOST_BYTES)
    assert refused.value.status_code == 413


@given(
    st.binary(max_size=300),
    st.sampled_from([URLENCODED, "multipart/form-data; boundary=b", "multipart/form-data", "text/plain"]),
)
def test_no_bytes_break_the_reading_of_a_form(body, kind):
    assert isinstance(form(body, kind), dict)


@given(st.binary(max_size=200) | st.sampled_from([b"[]", b"[" * 9000, b'{"a": 1, "b": "x"}', b"null", b'"x"']))
def test_no_bytes_break_the_reading_of_a_program_s_call(body):
    read = asyncio.run(json_of(request(body, "application/json")))
    assert all(isinstance(first(read, name), str) for name in read)


# tokens -------------------------------------------------------------------------------------------------------------


def test_a_token_tells_its_age_and_the_site_that_led_there():
    token = form_token(KEYS, 1, now=NOW, origin="https://www.example.org")
    age, origin = read_form_token(KEYS, token, 1, now=NOW + timedelta(seconds=5))
    assert (round(age, 1), origin) == (5.0, "https://www.example.org")


def test_a_token_of_another_digest_s_page_or_purpose_is_none():
    token = form_token(KEYS, 1, now=NOW)
    assert read_form_token(KEYS, token, 2, now=NOW) is None
    assert read_form_token(KEYS, sign(KEYS, "delivery", b"0" * 10), 1, now=NOW) is None
    assert read_form_token(KEYS, sign(KEYS, "form", b"short"), 1, now=NOW) is None
    assert read_form_token(KEYS, "", 1, now=NOW) is None


@given(st.text(max_size=300))
def test_a_site_s_name_is_kept_as_far_as_it_fits(origin):
    token = form_token(KEYS, 1, now=NOW, origin=origin.encode("utf-8", "replace").decode())
    assert read_form_token(KEYS, token, 1, now=NOW) is not None
