"""What a link in a mail may do and what it may not: preferences, the link mailed anew, another address."""

import re

import pytest
from sqlmodel import delete

from digest.database import writing
from digest.delivery_ids import TOKEN_LENGTH, delivery_token
from digest.models import CadenceRow
from digest.web.moving import MAILS_A_DAY
from subscribers.tokens import address_hash
from tests.front_door import ANA, BEN, NOW, ONE_CLICK, paths_in, titles, wish, words


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
    in_vain = "It does not come once a week at the moment"
    assert in_vain not in house.client.get(mine).text
    with writing(house.press.engine) as session:
        session.exec(delete(CadenceRow))
    page = house.client.get(mine).text
    assert '<option value="weekly" selected>' in page
    assert in_vain in page
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
