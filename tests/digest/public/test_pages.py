"""Every page: its language and style, the editions themselves, and input that means harm."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from digest.web.forms import MOST_BYTES
from tests.answering import answering
from tests.front_door import ANA, House, hidden

# languages, styles, editions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "accepts", "lang"),
    [
        ("/d/global", "", "en"),
        ("/d/global", "es-MX,es;q=0.9", "es"),
        ("/d/global?language=es", "en", "es"),
        ("/d/global?language=xx", "fi", "en"),
        ("/m/unknown", "es", "es"),
    ],
)
def test_a_page_speaks_the_language_that_is_asked_for(house, path, accepts, lang):
    assert f'<html lang="{lang}" dir="ltr">' in house.client.get(path, headers={"accept-language": accepts}).text


def test_the_form_s_language_becomes_the_reader_s(house):
    page = house.client.get("/d/global?language=es").text
    house.later(seconds=3)
    house.client.post(
        "/d/global", data={"email": ANA, "token": hidden(page, "token"), "language": hidden(page, "language")}
    )
    house.send()
    assert house.mails(ANA)[0]["Subject"] == "Confirme su suscripción a Global Morning"


def test_no_page_holds_a_script_or_a_style_of_its_own(house):
    mine = house.subscribe(ANA)
    house.client.post(f"{mine}/access")
    for path in ("/d/global", mine, f"{mine}/pause", f"{mine}/leave", house.link(ANA), "/m/unknown"):
        answer = house.client.get(path)
        assert "<style" not in answer.text
        assert " style=" not in answer.text
        assert not re.search(r"<script(?! src=)", answer.text)
        assert not re.search(r"\son\w+=", answer.text)
        assert "style-src 'self'; script-src 'self'" in answer.headers["content-security-policy"]


def test_a_stylesheet_has_its_content_s_name_is_kept_for_ever_and_known_by_every_process(house):
    house.set("digest", colours={"accent": "#00507a"})
    name = re.search(r'href="(/style/readers-[0-9a-f]{16}\.css)"', house.client.get("/d/global").text)[1]
    with answering(House(house.press, now=house.now).app()) as other:
        answer = other.get(name)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert "immutable" in answer.headers["cache-control"]
    assert "--accent: #00507a" in answer.text
    assert house.client.get("/style/readers-0000000000000000.css").status_code == 404
    assert house.client.get("/style/../settings.py").status_code == 404


def test_an_edition_is_read_as_it_was_approved_once_it_has_begun_to_leave(house):
    house.subscribe(ANA)
    edition = house.publish()
    path = f"/e/global/{edition.local_date}"
    assert house.client.get(path).status_code == 404, "a draft is the editors'"
    house.deliver(edition)
    answer = house.client.get(path)
    assert answer.status_code == 200
    (web,) = [row for row in house.rows("proof") if row.channel == "web"]
    assert answer.text == web.html
    assert "'sha256-" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    again = house.client.get(path, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    for wrong in (
        "2020-01-01",
        "2026-13-99",
        "nonsense",
        f"{edition.local_date}-weekly",
        f"{edition.local_date}-breaking-x",
    ):
        assert house.client.get(f"/e/global/{wrong}").status_code == 404
    assert house.client.get(f"/e/weekend/{edition.local_date}").status_code == 404


# hostile input --------------------------------------------------------------------------------------------------------


hostile = st.text(max_size=200) | st.sampled_from(
    [
        "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a\r\nSet-Cookie: x=1", "\u202eevil\u202c", "\x00", "{{ 7*7 }}",
        "' OR 1=1 --", "../../etc/passwd", "ana@example.net\nbcc:x@example.net", "Ａｎａ＠example.net", "𝕒@example.net", "%(digest)s", "\ud7ff",
    ]
)  # fmt: skip
fields = st.sampled_from(
    [
        "email",
        "zone",
        "language",
        "website",
        "token",
        "digest",
        "email.1",
        "hour.1",
        "day.1",
        "topic.asia",
        "until",
        "day",
        "why",
        "List-Unsubscribe",
    ]
)
SEEN = st.sampled_from(
    ["/d/global", "/api/signup", "/m/{}", "/m/{}/pause", "/m/{}/why", "/m/{}/undo", "/own/{}", "/own/{}/address"]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=SEEN, form=st.dictionaries(fields, hostile, max_size=6))
def test_no_form_field_breaks_a_page_or_comes_back_as_anything_but_text(guest, path, form):
    house, tokens = guest
    path = path.format(tokens[path.split("/")[1]]) if "{}" in path else path
    form = {name: value.encode("utf-8", "replace").decode() for name, value in form.items()}
    sent = {"json": form} if path == "/api/signup" else {"data": form}
    answer = house.client.post(path, **sent)
    assert answer.status_code in {200, 404, 409, 422, 429}, answer.text
    assert "set-cookie" not in answer.headers
    assert "<script>alert" not in answer.text
    assert "<img src=x" not in answer.text
    assert "49" not in re.findall(r'value="([^"]*)"', answer.text)


@pytest.fixture
def guest(house):
    mine = house.subscribe(ANA)
    house.client.post(f"{mine}/access")
    own = house.link(ANA)
    return house, {"m": mine.rpartition("/")[2], "own": own.rpartition("/")[2]}


@pytest.mark.parametrize("path", ["/d/global", "/api/signup", "/confirm/x", "/m/x", "/m/x/leave"])
def test_ten_megabytes_are_not_read(house, path):
    answer = house.client.post(
        path, content=b"email=" + b"a" * 10_000_000, headers={"content-type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code == 413
    assert len(answer.content) < 200 < MOST_BYTES


@pytest.mark.parametrize(
    "body",
    [b"email=ana%E9@example.net", b"email=\xe9\xff", b"email=%ff%fe%00", "email=ana@exämple.net".encode("utf-16")],
)
def test_the_wrong_charset_is_no_address_and_no_fault(house, body):
    answer = house.client.post(
        "/d/global", content=body, headers={"content-type": "application/x-www-form-urlencoded; charset=utf-7"}
    )
    assert answer.status_code == 422
    assert not house.rows("signup")


def test_a_host_header_makes_no_link(house):
    page = house.client.get("/d/global", headers={"host": "evil.example"})
    assert "evil.example" not in page.text + str(page.headers)
    house.subscribe(ANA)
    assert all("evil.example" not in str(mail) for mail in house.mails())
