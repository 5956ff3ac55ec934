"""Replies of a server: the same whatever chunks they come in, and safe to write down."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.smtp.replies import LONGEST, Replies, Reply, ReplyError, said

LINES = st.lists(
    st.binary(max_size=40).map(lambda b: b.replace(b"\r", b"").replace(b"\n", b"")), min_size=1, max_size=4
)
REPLIES = st.lists(st.tuples(st.integers(200, 599), LINES), max_size=6)


def spoken(replies, end=b"\r\n"):
    said_so = b""
    for code, lines in replies:
        for at, line in enumerate(lines, 1):
            said_so += b"%d%b%b%b" % (code, b" " if at == len(lines) else b"-", line, end)
    return said_so


@given(REPLIES, st.lists(st.integers(0, 400), max_size=8), st.sampled_from([b"\r\n", b"\n"]))
def test_replies_are_the_same_in_any_chunks(replies, cuts, end):
    stream = spoken(replies, end)
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    parser, found = Replies(), []
    for start, stop in pairwise(places):
        found += parser.feed(stream[start:stop])
    assert found == [Reply(code, b"\n".join(lines)) for code, lines in replies]


@given(st.binary(max_size=200))
def test_whatever_a_server_sends_is_replies_or_one_clear_error(junk):
    try:
        found = Replies().feed(junk)
    except ReplyError:
        return
    assert all(200 <= reply.code < 600 for reply in found)


@pytest.mark.parametrize(
    "junk",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"99 no\r\n",
        b"600 no\r\n",
        b"250x\r\n",
        b"\r\n",
        b"2 0\r\n",
        b"250 " + b"x" * LONGEST + b"\r\n",
    ],
)
def test_what_is_no_smtp_is_an_error(junk):
    with pytest.raises(ReplyError):
        Replies().feed(junk)


def test_a_line_or_a_reply_without_end_is_an_error_before_it_fills_the_memory():
    parser = Replies()
    with pytest.raises(ReplyError, match="without end"):  # noqa: PT012  any of the lines may be the last straw
        for _ in range(100):
            parser.feed(b"250 " + b"x" * 1000)
    parser = Replies()
    with pytest.raises(ReplyError, match="without end"):  # noqa: PT012  any of the lines may be the last straw
        for _ in range(1000):
            parser.feed(b"250-more\r\n")


def test_a_code_alone_on_its_line_is_a_reply():
    assert Replies().feed(b"250\r\n354\n") == [Reply(250, b""), Reply(354, b"")]


def test_what_was_begun_before_encryption_can_be_forgotten():
    parser = Replies()
    parser.feed(b"250-inject")
    parser.forget()
    assert parser.feed(b"250 own\r\n") == [Reply(250, b"own")]


def test_words_for_the_books_hold_no_addresses_no_secrets_and_no_control_characters():
    reply = Reply(550, b"5.1.1 <ana@example.net> unknown\n\x1b[31mhunter2 \xe2\x80\xae\xff" + b"y" * 500)
    words = said(reply, ("hunter2",))
    assert words.startswith("550 5.1.1 (address) unknown [31m(hidden) ")
    assert len(words) <= 200
    assert words.isprintable()


@given(st.integers(200, 599), st.binary(max_size=300))
def test_words_are_always_one_printable_line_without_an_at_sign(code, text):
    words = said(Reply(code, text))
    assert words.isprintable()
    assert "@" not in words
