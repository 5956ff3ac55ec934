"""Signing up over real HTTP: the whole path, who may find out what, who asks, and a program's call."""

import json
import re
import time
from collections import Counter
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import median
from urllib.parse import parse_qs

import pytest

from digest.checkup import signups
from digest.database import reading, writing
from digest.models import SuppressionRow
from digest.web.forms import form_token
from subscribers.addresses import normalise
from subscribers.tokens import address_hash
from tests.front_door import ANA, BEN, hidden, opened, path_in, titles, wish, words
from tests.serving import serving

# the whole path -----------------------------------------------------------------------------------------------------


def test_a_reader_comes_chooses_leaves_and_comes_back(house):
    assert titles(house.sign_up(ANA, zone="America/Lima")) == "Check your mail"
    assert not house.rows("subscriber")

    confirm = house.link(ANA)
    assert ANA in house.client.get(confirm).text
    assert not house.rows("subscriber"), "opening a link confirms nothing"
    assert titles(house.client.post(confirm)) == "You are subscribed"
    (person,) = house.rows("subscriber")
    assert (person.email, person.zone, person.language) == (ANA, "America/Lima", "en")
    assert (wish(house).state, wish(house).consent_source) == ("active", "page http://localhost:8000/d/global")
    assert wish(house).confirmed_at == house.now
    assert re.fullmatch(r"en-[0-9a-f]{16}", wish(house).consent_wording)

    mine = house.link(ANA)
    page = house.client.get(mine)
    assert "a…@example.net" in page.text
    assert ANA not in page.text, "mails are forwarded"
    saved = house.client.post(mine, data={
        "digest": "1", "email.1": "on", "frequency.1": "days", "day.1": ["mon", "thu"], "hour.1": "07:30",
        "language": "es", "zone": "Europe/Madrid", "topic.korea": "more", "topic.asia": "less",
    })  # fmt: skip
    assert saved.status_code == 200
    assert "lunes, jueves" in words(saved.text)
    assert (wish(house).days, wish(house).hour, wish(house).frequency) == ("mon,thu", "07:30", "days")
    assert {row.topic: row.wish for row in house.rows("subscriber_topic")} == {"korea": 1, "asia": -1}
    assert (house.rows("subscriber")[0].language, house.rows("subscriber")[0].zone) == ("es", "Europe/Madrid")

    assert titles(house.client.get(f"{mine}/leave")) == "Darse de baja de Global Morning"
    assert wish(house).state == "active"
    left = house.client.post(f"{mine}/leave")
    assert titles(left) == "Se ha dado de baja de Global Morning"
    assert (wish(house).state, wish(house).left_at) == ("left", house.now)
    house.client.post(f"{mine}/why", data={"why": "often"})
    assert wish(house).left_why == "often"

    house.client.post(f"{mine}/undo")
    assert (wish(house).state, wish(house).left_why) == ("active", "")
    house.client.post(f"{mine}/leave")
    house.later(days=2)
    house.client.post(f"{mine}/undo")
    assert wish(house).state == "left", "a day later it is final"

    house.sign_up(ANA)
    house.client.post(house.link(ANA))
    assert (wish(house).state, wish(house).hour) == ("active", "07:30"), "what was chosen before is still there"


def test_the_confirmation_says_nothing_that_the_signer_up_chose(house):
    house.sign_up(ANA, name="Win a prize at evil.example", language="es", website="")
    house.send()
    (mail,) = house.mails()
    text = mail.get_body(("plain",)).get_content() + mail.get_body(("html",)).get_content()
    assert "evil.example" not in text
    assert ANA not in text
    assert mail["Content-Language"] == "es"


def test_a_welcome_comes_once_with_the_latest_edition_and_by_setting_not_at_all(house, tmp_path):
    house.deliver(house.publish())
    mine = house.subscribe(ANA)
    assert "Ferries return" in house.mails(ANA)[-1].get_body(("plain",)).get_content()
    assert house.client.get(mine).status_code == 200
    confirm = path_in(house.mails(ANA)[0])
    house.client.post(confirm)
    house.send()
    assert len(house.mails(ANA)) == 2
    with opened(tmp_path / "quiet", welcome=False) as quiet:
        quiet.sign_up(ANA)
        assert titles(quiet.client.post(quiet.link(ANA))) == "You are subscribed"
        quiet.send()
        assert len(quiet.mails()) == 1


def test_confirming_twice_is_the_same_as_once(house):
    house.sign_up(ANA)
    confirm = house.link(ANA)
    first = house.client.post(confirm)
    before = house.everything()
    again = house.client.post(confirm)
    assert (again.status_code, again.text) == (200, first.text)
    assert house.client.get(confirm).status_code == 200
    assert house.everything() == before


def test_what_is_asked_for_after_the_page_was_shown_is_not_confirmed_by_it(house):
    house.sign_up(ANA)
    confirm = house.link(ANA)
    shown = re.findall(r'name="digest" value="(\d+)"', house.client.get(confirm).text)
    house.sign_up(ANA, "weekend")
    house.client.post(confirm, data={"digest": shown})
    assert [row.digest_id for row in house.rows("subscription")] == [1]
    assert "The Weekend" in house.client.get(confirm).text


def test_a_confirmation_that_nobody_gave_is_gone_after_a_week(house):
    house.sign_up(ANA)
    confirm = house.link(ANA)
    house.later(days=7)
    assert house.client.get(confirm).status_code == 404
    assert house.client.post(confirm).status_code == 404
    assert not house.rows("subscriber")


# who may find out what ----------------------------------------------------------------------------------------------


def people_of_every_kind(house):
    """Addresses of which we know everything and nothing."""
    for name in ("active", "left", "paused", "suppressed", "bounced"):
        house.subscribe(f"{name}@example.net")
    for name in ("left", "paused"):
        person = next(row for row in house.rows("subscriber") if row.email.startswith(name))
        with house.press.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE subscription SET state = ? WHERE subscriber_id = ?", (name, person.id))
    with writing(house.press.engine) as session:
        for name, why in (("suppressed", "complaint"), ("bounced", "bounce")):
            key = normalise(f"{name}@example.net").key
            session.add(
                SuppressionRow(email_hash=address_hash(house.press.keys.hash_key, key), reason=why, since=house.now)
            )
    house.later(days=1)
    return ("new", "active", "left", "paused", "suppressed", "bounced")


def test_every_address_gets_the_same_answer_in_the_same_time(tmp_path):
    with opened(tmp_path / "home", signup_block=10_000) as house:
        kinds = people_of_every_kind(house)
        answers, times = {}, {kind: [] for kind in kinds}
        for round_ in range(7):
            for kind in kinds:
                token = hidden(house.client.get("/d/global").text, "token")
                house.later(seconds=3)
                email = f"{kind}{round_}@example.net" if kind == "new" else f"{kind}@example.net"
                start = time.perf_counter()
                answer = house.client.post("/d/global", data={"email": email, "token": token})
                times[kind].append(time.perf_counter() - start)
                answers[kind, round_] = (answer.status_code, answer.text.replace(email, ""), sorted(answer.headers))
            house.send()
            house.later(days=1)
        assert len({repr(answer) for answer in answers.values()}) == 1
        middles = {kind: median(seconds) for kind, seconds in times.items()}
        assert max(middles.values()) - min(middles.values()) < 0.025, middles
        asked = Counter(str(mail["To"]) for mail in house.mails() if "Confirm" in mail["Subject"])
        assert asked == {
            "active@example.net": 8, "left@example.net": 8, "paused@example.net": 8,  # to become it, and each day since
            "suppressed@example.net": 1, "bounced@example.net": 1, **{f"new{n}@example.net": 1 for n in range(7)},
        }  # fmt: skip


def test_whoever_asks_again_within_the_day_is_answered_as_before_and_written_to_no_more(house):
    first = house.sign_up(ANA)
    again = house.sign_up("ANA@example.net")
    house.send()
    assert (again.status_code, again.text.lower()) == (first.status_code, first.text.lower())
    assert len(house.mails()) == 1


# who asks -----------------------------------------------------------------------------------------------------------


def test_a_plain_form_on_a_publisher_s_own_page_takes_one_more_press(house):
    site = {"origin": "https://www.example.org"}
    page = house.client.post("/d/global", data={"email": ANA}, headers=site)
    assert page.status_code == 200
    assert "One more press" in words(page.text)
    assert f'value="{ANA}"' in page.text
    house.later(seconds=3)
    house.client.post("/d/global", data={"email": ANA, "token": hidden(page.text, "token")})
    house.client.post(house.link(ANA))
    assert wish(house).consent_source == "page https://www.example.org"


@pytest.mark.parametrize("seconds", [0.0, 1.9, 12 * 3600 + 1])
def test_a_form_that_came_too_fast_or_too_late_is_shown_once_more(house, seconds):
    token = hidden(house.client.get("/d/global").text, "token")
    house.later(seconds=seconds)
    page = house.client.post("/d/global", data={"email": ANA, "token": token})
    assert "One more press" in words(page.text)
    house.send()
    assert not house.mails()
    house.later(seconds=3)
    house.client.post("/d/global", data={"email": ANA, "token": hidden(page.text, "token")})
    assert house.link(ANA)


def test_a_token_of_another_digest_s_form_counts_for_none(house):
    token = form_token(house.press.keys, 2, now=house.now - timedelta(seconds=9))
    assert "One more press" in words(house.client.post("/d/global", data={"email": ANA, "token": token}).text)


def test_who_fills_in_what_nobody_sees_is_told_what_all_are_told_and_nothing_is_kept(house):
    before = house.everything()
    answer = house.sign_up(ANA, website="https://spam.example")
    assert titles(answer) == "Check your mail"
    assert house.everything() == before


def test_a_network_that_asks_too_often_is_told_to_wait_whatever_the_address(tmp_path):
    with opened(tmp_path / "home", signup_block=2) as house:
        answers = [house.sign_up(email) for email in (ANA, BEN, "cleo@example.net", ANA)]
        assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
        assert "from your network" in words(answers[-1].text)


def test_a_flood_is_braked_and_somebody_is_told_once(tmp_path, caplog):
    with opened(tmp_path / "home", signup_block=10_000, signup_brake=5) as house:
        statuses = [house.sign_up(f"r{n}@example.net").status_code for n in range(9)]
        assert statuses == [200] * 5 + [503] * 4
        told = [row for row in house.rows("audit") if row.did == "brake sign-ups"]
        assert len(told) == 1
        assert caplog.text.count("Sign-ups are braked") == 1
        assert "@example.net" not in caplog.text + repr(told)
        assert doctor_on(house) == ("bad", "braked: 5 were asked within the hour")
        house.send()
        assert len(house.mails()) == 5
        house.later(hours=1)
        assert house.sign_up("r9@example.net").status_code == 200
        assert doctor_on(house) == ("warn", "braked 1 times today; 6 wait for their word")
        house.later(days=1)
        assert doctor_on(house)[0] == "good"


def doctor_on(house):
    with reading(house.press.engine) as session:
        found = signups.look(session, house.press.settings, house.now)
    return found.verdict, found.words.partition(",")[0]


def test_a_digest_that_cannot_be_sent_yet_takes_nobody(tmp_path):
    with opened(tmp_path / "home", email_transport="smtp", smtp_servers=("localhost:1",)) as house:
        house.set("digest", from_address="global@newsroom.invalid")
        answer = house.sign_up(ANA)
        assert answer.status_code == 503
        assert not house.rows("signup")


@pytest.mark.parametrize(
    "email", ["", "ana", "ana@", "ana@example", "a na@example.net", "ana@exa\u202emple.net", "<b>@example.net"]
)
def test_what_is_no_address_is_said_beside_the_field(house, email):
    answer = house.sign_up(email)
    assert answer.status_code == 422
    assert 'id="fault-email"' in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert not house.rows("signup")


# a program's call -----------------------------------------------------------------------------------------------------


def test_a_program_asks_for_the_terms_and_then_for_the_digest(house):
    terms = house.client.get("/api/signup/global").json()
    assert terms["wording"].startswith("You agree to receive Global Morning")
    house.later(seconds=terms["not_before_seconds"] + 1)
    asked = {"digest": "global", "email": ANA, "zone": "Asia/Seoul", "token": terms["token"]}
    answer = house.client.post("/api/signup", json=asked)
    assert (answer.status_code, answer.json()["state"]) == (202, "asked")
    house.client.post(house.link(ANA))
    assert (house.rows("subscriber")[0].zone, wish(house).consent_source) == (
        "Asia/Seoul",
        "api http://localhost:8000/d/global",
    )


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"token": "x"}, 409, "token"), ({"email": "nobody"}, 422, "email"), ({"zone": "Mars/Olympus"}, 422, "zone"),
        ({"digest": "none"}, 404, "unknown"), ({"email": 7}, 422, "email"), ({"digest": ["global"]}, 404, "unknown"),
    ],
)  # fmt: skip
def test_a_program_is_told_what_is_wrong_with_its_call(house, change, status, error):
    token = house.client.get("/api/signup/global").json()["token"]
    house.later(seconds=3)
    answer = house.client.post("/api/signup", json={"digest": "global", "email": ANA, "token": token} | change)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert not house.rows("signup")


def test_only_scripts_of_allowed_sites_may_read_the_answer(tmp_path):
    with opened(tmp_path / "home", signup_origins="https://www.example.org") as house:
        for origin, allowed in (("https://www.example.org", "https://www.example.org"), ("https://evil.example", None)):
            for answer in (
                house.client.options("/api/signup", headers={"origin": origin}),
                house.client.get("/api/signup/global", headers={"origin": origin}),
                house.client.post("/api/signup", json={"digest": "global"}, headers={"origin": origin}),
            ):
                assert answer.headers.get("access-control-allow-origin") == allowed
                assert "access-control-allow-credentials" not in answer.headers


@pytest.fixture
def verifier():
    """Where a captcha is verified: it takes one answer. Gives its address and what it was sent."""
    heard = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            said = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
            heard.append(said)
            body = json.dumps({"success": said["response"] == ["right"]}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with serving(server) as port:
        yield f"127.0.0.1:{port}", heard


def test_a_captcha_is_verified_where_the_settings_say_and_fails_closed(tmp_path, verifier):
    place, heard = verifier
    options = {
        "captcha_url": f"http://{place}/verify",
        "captcha_secret": "s3cret",
        "fetch_allow": place,
        "captcha_field": "answer",
    }
    script = "https://captcha.example.org/widget.js"
    with opened(tmp_path / "home", captcha_script=script, **options) as house:
        page = house.client.get("/d/global")
        assert f'<script src="{script}" defer>' in page.text
        assert "script-src 'self' https://captcha.example.org;" in page.headers["content-security-policy"]
        assert house.sign_up(ANA).status_code == 403
        assert house.sign_up(ANA, answer="wrong").status_code == 403
        assert house.sign_up(ANA, answer="right").status_code == 200
        assert heard[-1] == {"secret": ["s3cret"], "response": ["right"]}
        assert "captcha.example.org" not in house.client.get("/m/unknown").headers["content-security-policy"]
    with opened(tmp_path / "other", captcha_url="http://127.0.0.1:9/verify", fetch_allow="127.0.0.1:9") as house:
        assert house.sign_up(ANA, captcha="right").status_code == 403
