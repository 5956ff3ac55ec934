"""What a reader may have and end by the 15-minute link, over real HTTP: all that is held of them, and every byte of it erased."""

import json
from datetime import timedelta

import pytest

from digest import persons
from digest.commands import exchange
from digest.deliveries import claim, mark
from digest.upkeep import unscrubbed, upkeep
from subscribers.tokens import address_hash
from tests.front_door import opened, words

WILHELMINA = "Wilhelmina.Quist@example.net"
OTHER = "Ottoline@example.net"
TRACES = (b"ilhelmina", b"ILHELMINA", b"ttoline")


@pytest.fixture
def house(tmp_path):
    with opened(tmp_path / "home") as here:
        yield here


def own_page(house, email=WILHELMINA):
    """A reader's 15-minute page, after sign-up, welcome and an edition."""
    mine = house.subscribe(email)
    house.client.post(f"{mine}/access")
    return mine, house.link(email)


def everything_on_disk(house):
    files = [file for file in house.press.settings.home.rglob("*") if file.is_file()]
    return b"".join(file.read_bytes() for file in files)


def test_all_that_is_held_is_handed_out_as_a_file_that_nobody_keeps(house):
    house.deliver(house.publish())
    mine, own = own_page(house)
    house.sign_up(WILHELMINA, "weekend")
    house.client.post(mine, data={"digest": "1", "email.1": "on", "topic.korea": "more"})
    answer = house.client.post(f"{own}/data")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-disposition"] == 'attachment; filename="my-data.json"'
    assert answer.headers["cache-control"] == "no-store"
    found = answer.json()
    assert (found["email"], found["topics"]) == (WILHELMINA, ["korea"])
    assert [one["digest"] for one in found["subscriptions"]] == ["global"]
    assert [one["digest"] for one in found["signups"]] == ["weekend"], "what they asked for and did not confirm"
    assert {one["kind"] for one in found["service"]} == {"confirm", "welcome", "access"}
    versions = {one["consent_wording"] for one in found["subscriptions"]} | {found["signups"][0]["wording"]}
    assert found["wordings"].keys() == versions
    assert "You agree to receive Global Morning" in " ".join(found["wordings"].values())
    hashed = address_hash(house.press.keys.hash_key, WILHELMINA.lower()).hex()
    assert hashed not in json.dumps({**found, "audit": []})


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/data"), ("HEAD", "/data"), ("GET", "/erase"), ("HEAD", "/erase")]
)
def test_looking_changes_nothing_and_hands_out_nothing(house, method, path):
    _, own = own_page(house)
    before = house.everything()
    for _ in range(20):
        answer = house.client.request(method, own + path)
        assert answer.status_code == (405 if path == "/data" else 200)
        assert b"subscriptions" not in answer.content or path == "/erase"
    assert house.everything() == before


@pytest.mark.parametrize("path", ["/data", "/erase"])
def test_only_the_link_mailed_just_now_opens_it(house, path):
    mine, own = own_page(house)
    unknown = house.client.get("/m/unknown")
    before = house.everything()
    token = mine.rpartition("/")[2]
    for way in (f"/own/{token}", mine, f"/own/{token[:-1]}", "/own/nonsense"):
        for answer in (house.client.post(way + path), house.client.get(way + path)):
            assert answer.status_code in {404, 405}
            assert WILHELMINA not in answer.text
    house.later(minutes=15, seconds=1)
    answer = house.client.post(own + path)
    assert (answer.status_code, answer.text) == (404, unknown.text)
    assert house.everything() == before


def test_the_page_says_what_happens_and_one_press_does_it(house):
    _, own = own_page(house)
    assert f'href="{own}/erase"' in house.client.get(own).text
    page = house.client.get(f"{own}/erase")
    assert page.text.count("<button") == 1
    for said in (WILHELMINA, "cannot be undone", "Global Morning", "code made from your address"):
        assert said in words(page.text)
    assert "The Weekend" not in words(page.text), "they never asked for it"
    done = house.client.post(f"{own}/erase")
    assert done.status_code == 200
    assert "You are erased" in words(done.text)
    assert WILHELMINA not in done.text
    assert not house.rows("subscriber")
    assert [row.reason for row in house.rows("suppression")] == ["erased"]
    (line,) = [row for row in house.rows("audit") if row.did == "erase"]
    assert line.who == "the reader"
    assert house.client.post(f"{own}/erase").status_code == 404, "pressed once more there is nobody"


def test_afterwards_no_byte_is_left_in_database_or_outbox_and_they_stay_suppressed(house):
    """Sign-ups, confirmations, welcomes, an address they gave up, an edition, a sign-up that waits: all of it goes."""
    house.deliver(house.publish())
    for n in range(30):  # among others, and with pages of the database split
        house.press.services.proof_id("confirm", 1, "en", now=house.now)
        house.later(minutes=61 if n % 15 == 0 else 0)
        house.sign_up(f"reader{n}@example.net")
    mine, own = own_page(house, OTHER)
    house.client.post(f"{own}/address", data={"email": WILHELMINA})
    house.client.post(house.link(WILHELMINA))
    house.later(days=8)
    upkeep(house.press, now=house.now)  # the rows that led to the first messages are swept away
    house.sign_up(WILHELMINA.upper(), "weekend")
    house.client.post(f"{mine}/access")
    own = house.link(WILHELMINA)
    before = everything_on_disk(house)
    assert all(trace in before for trace in TRACES), "the test sees what it looks for"

    assert house.client.post(f"{own}/erase").status_code == 200
    with house.press.engine.connect() as connection:
        assert len(unscrubbed(connection)) == 1
    assert upkeep(house.press, now=house.now).scrubbed
    after = everything_on_disk(house)
    assert [trace for trace in TRACES if trace in after] == []
    assert b"reader7@example.net" in after
    house.later(days=1)
    house.sign_up(WILHELMINA)
    house.send()
    assert not house.mails(WILHELMINA)


def test_nobody_is_erased_while_a_message_to_them_is_leaving_and_they_are_told_so(house):
    mine, own = own_page(house)
    house.client.post(f"{mine}/access")
    batch = claim(house.press.engine, owner="w", now=house.now, lease=60, transports=["outbox"], keys=house.press.keys)
    mark(house.press.engine, batch, [1], now=house.now)
    answer = house.client.post(f"{own}/erase")
    assert (answer.status_code, len(house.rows("subscriber"))) == (503, 1)
    assert "Nothing was erased: try again in a minute" in words(answer.text)
    house.now += timedelta(minutes=2)
    assert house.client.post(f"{own}/erase").status_code == 200


def test_the_mail_with_the_link_says_what_it_can_do(house):
    own_page(house)
    (mail,) = [mail for mail in house.mails() if "15-minute" in mail["Subject"]]
    for kind in ("plain", "html"):
        assert "download all that we hold about you, or have it erased" in mail.get_body((kind,)).get_content().replace(
            "\n", " "
        )


def test_on_a_screen_of_the_house_the_address_is_masked_in_every_list(house):
    own_page(house)
    house.sign_up(WILHELMINA, "weekend")
    found = persons.everything_of(house.press, WILHELMINA, now=house.now)
    assert WILHELMINA in persons.written({"signups": found["signups"]})
    assert WILHELMINA in persons.written({"service": found["service"]})
    assert "ilhelmina" not in persons.written(exchange._masked(found))
