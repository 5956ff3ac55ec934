import gzip
import os
import ssl
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.egress import Limits, fetch, is_public, post, read_file
from digest.errors import SourceError

MEGABYTE = 1_000_000
QUICK = Limits(seconds=5, bytes=MEGABYTE)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "240.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
        "2002:a9fe:a9fe::1", "not an address", "192.0.2.1", "198.18.0.1",
    ],
)  # fmt: skip
def test_an_address_of_the_inner_network_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"])
def test_an_address_of_the_world_is_public(address: str) -> None:
    assert is_public(address)


@given(st.text(max_size=30))
def test_no_text_is_public_by_accident(address: str) -> None:
    assert is_public(address) in {True, False}


def test_a_page_is_fetched_with_what_the_next_look_needs(site) -> None:
    url = site.put("/feed", b"stories", headers={"ETag": '"7"', "Content-Type": "text/plain"})
    got = fetch(url, allow=[site.host])
    assert (got.status, got.body, got.url) == (200, b"stories", url)
    assert got.headers["etag"] == '"7"'


def test_nothing_but_what_is_needed_is_sent(site, monkeypatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    site.put("/first", headers={"Location": "/second", "Set-Cookie": "a=b"}, status=302)
    site.put("/second", b"x")
    fetch(site.url("/first"), allow=["127.0.0.1"], etag='"7"', last_modified="Wed, 19 Feb 2025 10:00:00 GMT")
    first, second = (headers for _, headers in site.asked)
    assert first["if-none-match"] == '"7"'
    assert first["host"] == site.host
    assert not {"cookie", "authorization", "referer"} & {*first, *second}


def test_an_unchanged_page_costs_no_body(site) -> None:
    got = fetch(site.put("/feed", status=304, length=0), allow=[site.host], etag='"7"')
    assert got.not_modified
    assert got.body == b""


def test_a_host_that_was_not_allowed_is_not_asked(site) -> None:
    with pytest.raises(SourceError, match=r"not a public address.*DIGEST_FETCH_ALLOW=127.0.0.1"):
        fetch(site.put("/feed", b"secret"))
    with pytest.raises(SourceError, match="not a public address"):
        fetch(site.url("/feed"), allow=["example.org", "127.0.0.1:1"])
    assert site.asked == []


def test_a_redirect_into_the_inner_network_is_not_followed(site) -> None:
    site.put("/feed", status=302, headers={"Location": "http://127.0.0.2/secret"})
    with pytest.raises(SourceError, match=r"127\.0\.0\.2 is at 127\.0\.0\.2, which is not a public"):
        fetch(site.url("/feed"), allow=[site.host])


@pytest.mark.parametrize(
    "onward", ["file:///etc/passwd", "ftp://example.org/x", "gopher://example.org", "http://", "//"]
)
def test_a_redirect_out_of_the_web_is_not_followed(site, onward: str) -> None:
    site.put("/feed", status=302, headers={"Location": onward})
    with pytest.raises(SourceError, match=r"no web address|not public|redirects more"):
        fetch(site.url("/feed"), allow=[site.host])


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "feed.xml",
        "http://user:secret@example.org/",
        "http://exa mple.org\r\nX: 1/",
        "http://[::1",
        "data:text/plain,x",
    ],
)
def test_what_is_no_web_address_is_refused_without_a_word_of_a_password(url: str) -> None:
    with pytest.raises(SourceError) as error:
        fetch(url)
    assert "secret" not in str(error.value)


def test_a_line_end_in_an_address_makes_no_second_header(site) -> None:
    site.put("/a%0D%0AX-Bad:%201", b"x")
    fetch(site.url("/a\r\nX-Bad: 1"), allow=[site.host])
    assert "x-bad" not in site.asked[0][1]


def test_five_redirects_are_followed_and_a_sixth_is_not(site) -> None:
    for number in range(7):
        site.put(f"/{number}", status=302, headers={"Location": f"/{number + 1}"})
    site.put("/7", b"there")
    assert fetch(site.url("/2"), allow=[site.host]).body == b"there"
    with pytest.raises(SourceError, match="redirects more than 5 times"):
        fetch(site.url("/1"), allow=[site.host])


def test_only_a_move_for_good_is_remembered(site) -> None:
    site.put("/old", status=301, headers={"Location": "/new"})
    site.put("/new", status=302, headers={"Location": "/today"})
    site.put("/today", b"x")
    got = fetch(site.url("/old"), allow=[site.host])
    assert (got.url, got.permanent_url) == (site.url("/today"), site.url("/new"))
    assert fetch(site.url("/new"), allow=[site.host]).permanent_url == ""


@pytest.mark.parametrize(
    ("packed", "encoding"),
    [
        (gzip.compress(b"stories", mtime=0), "gzip"),
        (gzip.compress(b"sto", mtime=0) + gzip.compress(b"ries", mtime=0), "gzip"),
        (zlib.compress(b"stories"), "deflate"),
        (zlib.compress(b"stories", wbits=-15), "deflate"),
        (gzip.compress(b"stories", mtime=0), ""),
        (gzip.compress(gzip.compress(b"stories", mtime=0), mtime=0), "gzip"),
        (b"stories", "identity"),
    ],
)
def test_a_packed_body_is_unpacked(site, packed: bytes, encoding: str) -> None:
    url = site.put("/feed", packed, headers={"Content-Encoding": encoding} if encoding else {})
    assert fetch(url, allow=[site.host]).body == b"stories"


@pytest.mark.parametrize("encoding", ["br", "gzip"])
def test_a_body_packed_in_another_way_is_refused_in_words(site, encoding: str) -> None:
    url = site.put("/feed", b"not packed at all", headers={"Content-Encoding": encoding})
    with pytest.raises(SourceError, match="packed"):
        fetch(url, allow=[site.host])


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """A gigabyte of nothing in a megabyte."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(MEGABYTE)
    return b"".join([packer.compress(block) for _ in range(1000)] + [packer.flush()])


@pytest.mark.parametrize("headers", [{"Content-Encoding": "gzip"}, {}])
def test_a_gigabyte_in_a_megabyte_ends_in_one_sentence_and_little_memory(
    site, bomb: bytes, headers: dict[str, str]
) -> None:
    url = site.put("/feed", bomb, headers=headers)
    tracemalloc.start()
    with pytest.raises(SourceError, match="more than"):
        fetch(url, allow=[site.host])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * MEGABYTE


def test_an_answer_without_end_is_cut_off_at_the_cap(site) -> None:
    url = site.put("/feed", os.urandom(100_000), chunks=50)
    with pytest.raises(SourceError, match="answers more than 1 MB: raise DIGEST_FETCH_BYTES"):
        fetch(url, allow=[site.host], limits=QUICK)


@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "gzip"}])
def test_a_slow_drip_ends_at_the_time_limit(site, headers: dict[str, str]) -> None:
    url = site.put("/feed", gzip.compress(os.urandom(3000)), drip=0.05, headers=headers)
    with pytest.raises(SourceError, match=r"longer than 0\.4 seconds"):
        fetch(url, allow=[site.host], limits=Limits(seconds=0.4))


def test_headers_that_never_end_end_at_the_time_limit() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            peer, _ = server.accept()
            with peer:
                try:
                    peer.sendall(b"HTTP/1.1 200 OK\r\nX: ")
                    while True:
                        peer.sendall(b"x")
                        time.sleep(0.05)
                except OSError:
                    return

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        port = server.getsockname()[1]
        with pytest.raises(SourceError, match=r"longer than 0\.4 seconds"):
            fetch(f"http://127.0.0.1:{port}/", allow=["127.0.0.1"], limits=Limits(seconds=0.4))
        thread.join(5)


def test_an_answer_that_breaks_off_is_not_taken_for_whole(site) -> None:
    url = site.put("/feed", b"half of it", length=20)
    with pytest.raises(SourceError, match=r"broke off|took longer|cannot be read"):
        fetch(url, allow=[site.host], limits=Limits(seconds=1))


def test_a_closed_port_is_told_in_words() -> None:
    with pytest.raises(SourceError, match=r"127\.0\.0\.1:1 cannot be read \(Connection refused\)"):
        fetch("http://127.0.0.1:1/", allow=["127.0.0.1"])


def test_a_certificate_of_nobody_is_refused(tmp_path: Path) -> None:
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "k", "-out", "c", "-days", "1", "-subj", "/CN=x"],
        cwd=tmp_path, capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("no openssl to make a certificate with")
    server = subprocess.Popen([sys.executable, "-c", SERVE], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        port = int(server.stdout.readline())
        with pytest.raises(SourceError, match="certificate that is not valid"):
            fetch(f"https://127.0.0.1:{port}/", allow=["127.0.0.1"], limits=QUICK)
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


SERVE = f"""
import socket, {ssl.__name__} as tls
context = tls.SSLContext(tls.PROTOCOL_TLS_SERVER); context.load_cert_chain("c", "k")
listening = socket.create_server(("127.0.0.1", 0)); print(listening.getsockname()[1], flush=True)
try: context.wrap_socket(listening.accept()[0], server_side=True)
except OSError: pass
"""


def test_a_file_is_read_under_the_same_caps(tmp_path: Path, bomb: bytes) -> None:
    (tmp_path / "feed").write_bytes(b"stories")
    (tmp_path / "feed.gz").write_bytes(gzip.compress(b"stories", mtime=0))
    (tmp_path / "bomb.gz").write_bytes(bomb)
    (tmp_path / "long").write_bytes(bytes(MEGABYTE + 1))
    assert read_file(tmp_path / "feed").body == read_file(tmp_path / "feed.gz").body == b"stories"
    for name in ("bomb.gz", "long"):
        with pytest.raises(SourceError, match="more than"):
            read_file(tmp_path / name, limits=QUICK)


def test_what_is_no_file_is_told_in_words(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, words in (("pipe", "no ordinary file"), ("none", "No such file"), (".", "Is a directory|no ordinary")):
        with pytest.raises(SourceError, match=words):
            read_file(tmp_path / name)


def test_a_form_is_posted_under_the_same_rules_and_no_redirect_is_followed(site) -> None:
    with pytest.raises(SourceError, match="not a public address"):
        post(site.url("/verify"), {"response": "x"})
    assert not site.asked
    assert (
        post(site.url("/verify"), {"response": "x"}, allow=[site.host], limits=QUICK).status == 501
    )  # it takes no POST
    with pytest.raises(SourceError, match="only http and https"):
        post("file:///etc/passwd", {})
