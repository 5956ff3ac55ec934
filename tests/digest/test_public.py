"""Readers' pages over real HTTP: the whole path, what a link may and may not do, and what nobody can find out or break."""

import http.client
import json
import re
import threading
import time
from collections import Counter
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import median
from urllib.parse import parse_qs

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import delete

from digest.checkup import signups
from digest.database import reading, writing
from digest.delivery_ids import TOKEN_LENGTH, delivery_token
from digest.models import CadenceRow, SuppressionRow
from digest.web.forms import MOST_BYTES, form_token
from digest.web.moving import MAILS_A_DAY
from subscribers.addresses import normalise
from subscribers.tokens import address_hash
from tests.answering import answering
from tests.front_door import NOW, ONE_CLICK, House, hidden, opened, path_in, paths_in, words

ANA, BEN = "ana@example.net", "ben@example.net"


@pytest.fixture
def house(tmp_path):
    with opened(tmp_path / "home") as here:
        yield here


def wish(house, digest=1):
    (one,) = [row for row in house.rows("subscription") if row.digest_id == digest]
    return one


def titles(answer):
    return re.search(r"<title>([^<]*) ·", answer.text)[1]


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


# leaving ------------------------------------------------------------------------------------------------------------


def one_click(house, path, body, kind):
    """A POST by a client without cookies, redirects or any habit of a browser's."""
    url = house.client.base_url
    connection = http.client.HTTPConnection(url.host, url.port, timeout=20)
    try:
        connection.request("POST", path, body, {"content-type": kind})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


PARTS = b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n'


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"List-Unsubscribe=One-Click", "application/x-www-form-urlencoded"),
        (PARTS, 'multipart/form-data; boundary="x"'),
    ],
)
def test_a_provider_s_one_click_needs_nothing_is_told_yes_and_may_come_again(house, body, kind):
    house.subscribe(ANA)
    (header,) = re.findall(r"<http://localhost:8000(/[^>]+)>", house.mails(ANA)[-1]["List-Unsubscribe"])
    status, headers, _ = one_click(house, header, body, kind)
    assert (status, headers["location"], headers["set-cookie"]) == (200, None, None)
    before = house.everything()
    assert wish(house).state == "left"
    house.later(hours=5)
    assert one_click(house, header, body, kind)[0] == 200
    assert house.everything() == before


def test_leaving_takes_effect_before_the_next_claim(house):
    paths = [house.subscribe(f"r{n}@example.net") for n in range(3)]
    edition = house.publish()
    house.client.post(f"{paths[1]}/leave", data=ONE_CLICK)
    house.deliver(edition)
    got = {mail["To"].addresses[0].addr_spec for mail in house.mails() if "Ferries" in mail["Subject"]}
    assert got == {"r0@example.net", "r2@example.net"}


def test_an_edition_s_own_link_leaves_works_after_sixty_days_and_for_its_digest_alone(house):
    house.subscribe(ANA)
    house.later(days=1)
    house.subscribe(ANA, "weekend")
    house.deliver(house.publish())
    mine = path_in(house.mails(ANA)[-1])
    house.later(days=60)
    assert house.client.post(f"{mine}/leave", data=ONE_CLICK).status_code == 200
    assert {row.digest_id: row.state for row in house.rows("subscription")} == {1: "left", 2: "active"}


def test_a_pause_holds_until_its_day_and_then_ends_by_itself(house):
    mine = house.subscribe(ANA, zone="Europe/Madrid")
    assert house.client.get(f"{mine}/pause").status_code == 200
    done = house.client.post(f"{mine}/pause", data={"until": "day", "day": "2026-12-01"})
    assert "Paused until Tuesday 1 December 2026" in words(done.text)
    assert wish(house).paused_until.isoformat() == "2026-11-30T23:00:00+00:00"
    house.deliver(house.publish())
    assert not [mail for mail in house.mails(ANA) if "Ferries" in mail["Subject"]]
    house.client.post(f"{mine}/resume")
    assert wish(house).state == "active"
    house.client.post(f"{mine}/pause", data={"until": "14"})
    assert wish(house).paused_until.date().isoformat() == "2026-12-08"
    house.later(days=15)
    assert "Resting" not in house.client.get(mine).text


@pytest.mark.parametrize(
    "day", ["", "tomorrow", "2026-11-25", "1999-01-01", "9999-12-31", "2026-13-01", "\r\nX: y", "٢٠٢٦-١٢-٠١"]
)
def test_a_day_that_is_none_pauses_nothing_and_says_so(house, day):
    mine = house.subscribe(ANA)
    answer = house.client.post(f"{mine}/pause", data={"until": "day", "day": day})
    assert answer.status_code == 422
    assert "Choose a day after today" in words(answer.text)
    assert wish(house).state == "active"


# what a link may do -------------------------------------------------------------------------------------------------


def test_twenty_looks_at_every_link_in_every_mail_change_nothing(house):
    mine = house.subscribe(ANA)
    house.client.post(f"{mine}/access")
    own = house.link(ANA)
    house.client.post(f"{own}/address", data={"email": "new@example.net"})
    house.sign_up(BEN)
    house.send()
    house.deliver(house.publish())
    paths = {path for mail in house.mails() for path in paths_in(mail)}
    assert {path.split("/")[1] for path in paths} == {"confirm", "m", "own", "address", "d", "e"}
    before = house.everything()
    for path in sorted(paths):
        for _ in range(20):
            look, head = house.client.get(path), house.client.head(path)
            assert (look.status_code, head.status_code) == (200, 200), path
            assert head.content == b""
            assert head.headers["content-type"] == look.headers["content-type"]
    assert house.everything() == before


WAYS = (
    ("GET", "/m/{}"), ("POST", "/m/{}"), ("GET", "/m/{}/pause"), ("POST", "/m/{}/pause"), ("POST", "/m/{}/resume"),
    ("GET", "/m/{}/leave"), ("POST", "/m/{}/leave"), ("POST", "/m/{}/undo"), ("POST", "/m/{}/why"), ("POST", "/m/{}/access"),
    ("GET", "/own/{}"), ("POST", "/own/{}"), ("POST", "/own/{}/address"), ("POST", "/own/{}/data"), ("GET", "/own/{}/erase"),
    ("POST", "/own/{}/erase"), ("GET", "/confirm/{}"), ("POST", "/confirm/{}"),
    ("GET", "/address/{}"), ("POST", "/address/{}"),
)  # fmt: skip
OWN_WAYS = {"token": "/m/", "access": "/own/", "confirm": "/confirm/", "address": "/address/"}


def test_tokens_forged_cut_and_swapped_get_the_same_page_as_unknown_ones_and_change_nothing(house):
    mine = house.subscribe(ANA)
    house.client.post(f"{mine}/access")
    own = house.link(ANA)
    house.client.post(f"{own}/address", data={"email": "new@example.net"})
    address = house.link("new@example.net")
    house.sign_up(BEN)
    confirm, ben = house.link(BEN), ""
    house.later(days=1)
    ben = house.subscribe("cleo@example.net").rpartition("/")[2]
    house.later(days=-1)
    tokens = {"token": mine, "access": own, "confirm": confirm, "address": address}
    tokens = {purpose: path.rpartition("/")[2] for purpose, path in tokens.items()}
    ana = tokens["token"]
    spoiled = {
        "made up": "A" * TOKEN_LENGTH, "nothing like it": "nonsense", "cut": ana[:-1], "longer": ana + "A", "in other letters": ana.swapcase(),
        "another's body with her mac": ben[:12] + ana[12:], "of nobody": delivery_token(house.press.keys, 999, 1),
    }  # fmt: skip
    before = house.everything()
    unknown = house.client.get("/m/unknown")
    assert unknown.status_code == 404
    tried = 0
    for method, way in WAYS:
        others = {p: token for p, token in tokens.items() if not way.startswith(OWN_WAYS[p])}
        for what, token in (spoiled | others).items():
            answer = house.client.request(
                method,
                way.format(token),
                data={"email.1": "on", "digest": "1", "until": "7"} if method == "POST" else None,
            )
            assert (answer.status_code, answer.text) == (404, unknown.text), (method, way, what)
            tried += 1
    assert tried > 150
    assert house.everything() == before


def test_a_link_leads_to_no_digest_that_its_reader_never_asked_for(house):
    mine = house.subscribe(ANA)
    for path in ("", "/pause", "/leave"):
        assert house.client.get(f"{mine}{path}?digest=weekend").status_code == 404
        assert house.client.get(f"{mine}{path}?digest=nonsense").status_code == 404
    assert house.client.post(f"{mine}/leave?digest=weekend", data=ONE_CLICK).status_code == 404
    house.later(days=1)
    house.subscribe(ANA, "weekend")
    assert house.client.post(f"{mine}/leave?digest=weekend").status_code == 200
    assert {row.digest_id: row.state for row in house.rows("subscription")} == {1: "active", 2: "left"}


def test_a_forwarded_mail_cannot_join_move_or_see_the_address(house):
    mine = house.subscribe(ANA)
    house.client.post(mine, data={"digest": ["1", "2"], "email.1": "on", "email.2": "on", "email": "thief@example.net"})
    assert [row.digest_id for row in house.rows("subscription")] == [1]
    for path in ("", "/pause", "/leave"):
        assert ANA not in house.client.get(f"{mine}{path}").text
    assert ANA not in house.client.post(f"{mine}/access").text
    assert house.client.post(f"{mine}/address", data={"email": "thief@example.net"}).status_code in {404, 405}
    assert house.rows("subscriber")[0].email == ANA


def test_the_link_mailed_anew_joins_and_opens_for_fifteen_minutes(house):
    mine = house.subscribe(ANA)
    assert titles(house.client.post(f"{mine}/access")) == "Check your mail"
    own = house.link(ANA)
    assert ANA in house.client.get(own).text
    house.client.post(own, data={"digest": ["1", "2"], "email.1": "on", "email.2": "on"})
    joined = wish(house, 2)
    assert (joined.state, joined.consent_source, joined.confirmed_at) == ("active", "own page", house.now)
    assert joined.consent_wording in {row.version for row in house.rows("wording")}
    house.later(minutes=15, seconds=1)
    assert house.client.get(own).status_code == 404
    assert house.client.post(own, data={"digest": "1"}).status_code == 404
    assert wish(house, 1).state == "active"


def test_such_a_link_is_mailed_three_times_a_day_and_the_page_does_not_say_when_it_is_not(house):
    mine = house.subscribe(ANA)
    pages = {house.client.post(f"{mine}/access").text for _ in range(MAILS_A_DAY + 2)}
    house.send()
    assert len(pages) == 1
    assert len([mail for mail in house.mails(ANA) if "15-minute" in mail["Subject"]]) == MAILS_A_DAY


def test_an_address_changes_once_both_ends_have_said_so(house):
    mine = house.subscribe(ANA)
    house.client.post(f"{mine}/access")
    own = house.link(ANA)
    house.client.post(f"{own}/address", data={"email": "Ana.New@example.net"})
    address = house.link("Ana.New@example.net")
    assert house.client.get(address).status_code == 200
    assert house.rows("subscriber")[0].email == ANA
    assert titles(house.client.post(address)) == "Your address"
    (person,) = house.rows("subscriber")
    assert (person.email, person.email_key) == ("Ana.New@example.net", "ana.new@example.net")
    assert person.email_hash == address_hash(house.press.keys.hash_key, "ana.new@example.net")
    assert house.client.get(own).status_code == 404, "whoever reads the old mailbox has no key any more"
    assert house.client.post(own, data={"digest": "1"}).status_code == 404
    before = house.everything()
    assert house.client.post(address).status_code == 200
    assert house.everything() == before
    house.deliver(house.publish())
    assert [mail["To"] for mail in house.mails() if "Ferries" in mail["Subject"]] == ["Ana.New@example.net"]


def test_an_address_that_somebody_has_is_asked_like_any_other_and_not_taken_over(house):
    mine = house.subscribe(ANA)
    house.later(days=1)
    house.subscribe(BEN)
    house.client.post(f"{mine}/access")
    own = house.link(ANA)
    told = [
        words(house.client.post(f"{own}/address", data={"email": email}).text) for email in (BEN, "new@example.net")
    ]
    assert told[0].replace(BEN, "") == told[1].replace("new@example.net", "")
    answer = house.client.post(house.link(BEN))
    assert answer.status_code == 409
    assert {row.email for row in house.rows("subscriber")} == {ANA, BEN}


def test_a_new_address_has_a_day_to_say_so(house):
    mine = house.subscribe(ANA)
    house.client.post(f"{mine}/access")
    house.client.post(f"{house.link(ANA)}/address", data={"email": "new@example.net"})
    address = house.link("new@example.net")
    house.later(hours=24, seconds=1)
    assert house.client.post(address).status_code == 404
    assert house.client.post(f"{mine}/leave", data=ONE_CLICK).status_code == 200


@pytest.mark.parametrize(
    "email", ["", "no address", "a@b", "ana@example.net\r\nBcc: x@example.net", "x" * 400 + "@example.net"]
)
def test_what_is_no_address_moves_nobody(house, email):
    mine = house.subscribe(ANA)
    house.client.post(f"{mine}/access")
    answer = house.client.post(f"{house.link(ANA)}/address", data={"email": email})
    assert answer.status_code == 422
    assert "no address that mail can be sent to" in words(answer.text)


def test_the_links_of_who_is_gone_open_nothing(house):
    mine = house.subscribe(ANA)
    with house.press.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM subscriber")
    unknown = house.client.get("/m/unknown")
    for path in (mine, f"{mine}/leave", f"{mine}/pause"):
        assert (house.client.get(path).status_code, house.client.get(path).text) == (404, unknown.text)
    assert house.client.post(f"{mine}/leave", data=ONE_CLICK).status_code == 404


@pytest.mark.parametrize(
    ("cadences", "offered"),
    [
        ([], {"every", "weekdays", "days"}),
        ([("daily", False)], {"every", "weekdays", "days"}),
        ([("daily", True)], {"every", "weekdays", "days", "hour"}),
        ([("daily", False), ("weekly", False)], {"every", "weekdays", "days", "weekly"}),
        ([("daily", True), ("weekly", True)], {"every", "weekdays", "days", "weekly", "hour"}),
        ([("weekly", False)], set()),  # it comes once a week to everybody: there is nothing to choose
        ([("weekly", True)], {"hour"}),
    ],
)
def test_a_digest_offers_the_days_and_hours_that_its_cadences_can_keep(house, cadences, offered):
    mine = house.subscribe(ANA)
    with writing(house.press.engine) as session:
        session.exec(delete(CadenceRow))
        for kind, local in cadences:
            session.add(CadenceRow(digest_id=1, kind=kind, local=local, at="08:15", since=NOW, updated_at=NOW))
    page = house.client.get(mine).text
    choices = re.search(r'<select id="frequency\.1".*?</select>', page, re.DOTALL)
    found = set(re.findall(r'value="(\w+)"', choices.group())) if choices else set()
    assert found | ({"hour"} if 'name="hour.1"' in page else set()) == offered
    assert ("The usual time, 08:15" in page) is ("hour" in offered)
    for often in ("every", "weekdays", "weekly"):
        form = {"digest": "1", "email.1": "on", "frequency.1": often, "hour.1": "07:30"}
        assert house.client.post(mine, data=form).status_code == (
            422 if offered - {"hour"} and often not in offered else 200
        )
        assert (wish(house).frequency == often) is (often in offered or often == "every")
        assert wish(house).hour == ("07:30" if "hour" in offered else "")


def test_a_wish_that_is_no_longer_offered_is_still_shown_as_what_it_is(house):
    mine = house.subscribe(ANA)
    house.client.post(mine, data={"digest": "1", "email.1": "on", "frequency.1": "weekly"})
    with writing(house.press.engine) as session:
        session.exec(delete(CadenceRow))
    assert '<option value="weekly" selected>' in house.client.get(mine).text
    assert house.client.post(mine, data={"digest": "1", "email.1": "on", "frequency.1": "weekly"}).status_code == 200


def test_a_wrong_wish_is_named_beside_its_field_and_the_good_ones_stay_in_the_form(house):
    mine = house.subscribe(ANA)
    answer = house.client.post(
        mine, data={"digest": "1", "email.1": "on", "zone": "Mars/Olympus", "topic.asia": "more"}
    )
    assert answer.status_code == 422
    assert 'id="fault-zone"' in answer.text
    assert re.search(r'name="topic.asia" value="more" checked', answer.text)
    assert house.rows("subscriber")[0].zone != "Mars/Olympus"
    assert not house.rows("subscriber_topic")


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
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}", heard
    server.shutdown()
    server.server_close()


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
