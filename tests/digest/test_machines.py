"""Who opened and clicked: people and machines told apart, the same in whatever order things were seen."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.machines import AN_OPEN, LONGEST_AGENT, SOON, Sight, judged, mark_of

LEFT = 1000.0
LATER = LEFT + 3600

PEOPLE = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0 Safari/537.36 Edg/141.0",
    "Mozilla/4.0 (compatible; ms-office; MSOffice 16)",
    "Mozilla/5.0 (Linux; Android 12; CUBOT KINGKONG) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0 Mobile Safari/537.36",
]
BOTS = [
    "", "   ", "curl/8.5", "python-requests/2.32", "Go-http-client/1.1", "Mozilla/5.0 (compatible; Googlebot/2.1)",
    "Mozilla/5.0 (Windows NT 10.0) HeadlessChrome/141.0", "Barracuda Sentinel (EE)", "WhatsApp/2.24", "TelegramBot (like TwitterBot)",
    "Slackbot-LinkExpanding 1.0", "facebookexternalhit/1.1", "Microsoft Office Existence Discovery", "Google-Safety",
]  # fmt: skip
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"


@pytest.mark.parametrize("agent", PEOPLE)
def test_what_people_use_has_no_mark(agent):
    assert mark_of({"user-agent": agent}) == ""


@pytest.mark.parametrize("agent", BOTS)
def test_known_programs_have_one(agent):
    assert mark_of({"user-agent": agent}) == "bot"


@pytest.mark.parametrize(
    ("headers", "mark"),
    [
        ({}, "bot"), ({"user-agent": "Mozilla/5.0"}, "apple"), ({"user-agent": GMAIL}, "proxy"),
        ({"user-agent": "YahooMailProxy; https://help.yahoo.com"}, "proxy"),
        ({"user-agent": PEOPLE[0], "sec-purpose": "prefetch;prerender"}, "ahead"),
        ({"user-agent": PEOPLE[0], "purpose": "prefetch"}, "ahead"),
    ],
)  # fmt: skip
def test_proxies_and_what_is_fetched_ahead_are_known(headers, mark):
    assert mark_of(headers) == mark


@given(st.text(max_size=2000), st.text(max_size=300))
def test_whatever_a_header_says_it_is_read_within_bounds(agent, purpose):
    assert mark_of({"user-agent": agent, "sec-purpose": purpose}) in {"", "bot", "apple", "proxy", "ahead"}
    assert mark_of({"user-agent": "x" * LONGEST_AGENT + "curl"}) == "", "nothing beyond is looked at"


# judging ------------------------------------------------------------------------------------------------------------


def whys(*sights: Sight, delivered: float | None = LEFT) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    for deed in judged(sights, delivered=delivered):
        found.setdefault(deed.link, set()).add(deed.why)
    return found


def clicks(*links: int, at: float, apart: float = 0.5) -> list[Sight]:
    return [Sight(link, at + n * apart) for n, link in enumerate(links)]


def test_one_open_and_one_click_are_a_person_s():
    assert whys(Sight(AN_OPEN, LATER), Sight(2, LATER + 5)) == {AN_OPEN: {""}, 2: {""}}


def test_a_few_tabs_opened_at_once_an_hour_later_are_a_person_s():
    assert whys(*clicks(1, 2, 3, 4, 5, at=LATER)) == {link: {""} for link in range(1, 6)}


@pytest.mark.parametrize(
    ("links", "at", "delivered"),
    [([1, 2, 3], LEFT + 20, LEFT), ([1, 2, 3], LATER, None), ([1, 2, 3, 4, 5, 6], LATER, LEFT)],
)
def test_many_links_within_seconds_are_a_scanner_s(links, at, delivered):
    assert whys(*clicks(*links, at=at), delivered=delivered) == {link: {"burst"} for link in links}


def test_a_click_right_after_delivery_is_no_person_s():
    assert whys(Sight(1, LEFT + 2)) == {1: {"soon"}}
    assert whys(Sight(1, LEFT + 6)) == {1: {""}}


def test_the_link_that_nobody_sees_condemns_the_whole_visit():
    seen = [Sight(AN_OPEN, LATER), Sight(1, LATER + 1), Sight(9, LATER + 2, trap=True)]
    assert whys(*seen) == {AN_OPEN: {"trap"}, 1: {"trap"}, 9: {"trap"}}


def test_a_head_is_never_counted_and_gives_away_the_get_of_the_same_link():
    assert whys(Sight(1, LATER, head=True)) == {}
    assert whys(Sight(1, LATER, head=True), Sight(1, LATER + 1), Sight(2, LATER + 9)) == {1: {"head"}, 2: {""}}


def test_a_mail_site_s_proxy_opens_for_a_person_but_not_right_after_delivery():
    assert whys(Sight(AN_OPEN, LEFT + SOON - 1, mark="proxy")) == {AN_OPEN: {"ahead"}}
    assert whys(Sight(AN_OPEN, LEFT + SOON + 1, mark="proxy")) == {AN_OPEN: {""}}
    assert whys(Sight(AN_OPEN, LATER, mark="proxy"), delivered=None) == {AN_OPEN: {"ahead"}}


@pytest.mark.parametrize("mark", ["bot", "apple", "ahead", "told"])
def test_a_marked_open_is_a_machine_s_and_a_person_s_beside_it_is_still_a_person_s(mark):
    assert whys(Sight(AN_OPEN, LATER, mark=mark), Sight(AN_OPEN, LATER + 9)) == {AN_OPEN: {mark, ""}}


SIGHTS = st.lists(
    st.builds(
        Sight, link=st.integers(-1, 8), at=st.floats(LEFT - 10, LATER).map(lambda at: round(at, 1)),
        mark=st.sampled_from(["", "", "", "bot", "apple", "proxy", "told"]), head=st.booleans(), trap=st.just(False),
    ) | st.builds(Sight, link=st.just(9), at=st.floats(LEFT, LATER), trap=st.just(True)),
    max_size=40,
)  # fmt: skip


@given(SIGHTS, st.none() | st.just(LEFT), st.randoms())
def test_order_and_repetition_change_nothing(sights, delivered, chance: random.Random):
    again = sights + chance.sample(sights, len(sights) // 2)
    chance.shuffle(again)
    assert judged(again, delivered=delivered) == judged(sights, delivered=delivered)


@given(SIGHTS, st.none() | st.just(LEFT))
def test_each_thing_counts_once_for_people_and_once_for_machines(sights, delivered):
    deeds = judged(sights, delivered=delivered)
    assert len({(deed.link, bool(deed.why)) for deed in deeds}) == len(deeds)
    assert {deed.link for deed in deeds} == {one.link for one in sights if not one.head}
    if any(one.trap for one in sights):
        assert all(deed.why for deed in deeds)
