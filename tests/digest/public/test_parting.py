"""Leaving and pausing over real HTTP: by one click of a provider's, by a person, and back again."""

import http.client
import re

import pytest

from tests.front_door import ANA, ONE_CLICK, path_in, wish, words


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
