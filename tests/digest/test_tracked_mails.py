"""Tracked mails in the three modes, over HTTP: what they hold, where their links lead, and that looking changes nothing."""

import re
from contextlib import contextmanager
from email.message import EmailMessage

import pytest

from digest import persons
from digest import press as line
from digest.delivery_ids import OWN_TRAIL, PREVIEW_TRAIL, PURPOSE, TRAIL, delivery_token
from digest.press import Press
from digest.preview import preview
from digest.web.following import PIXEL
from digest.web.site import build
from tests.answering import answering
from tests.front_door import House, opened, paths_in, words

STORY = "https://example.org/1?utm_source=global-digest&utm_campaign=morning"
PERSON = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.0"}
COUNTED = {"tally", "deed", "activity"}


@contextmanager
def house_in(home, mode, **settings):
    """A house whose whole site answers."""
    with opened(home, tracking=mode, **settings) as house, site_of(house, mode) as client:
        house.client = client
        yield house


@contextmanager
def site_of(house: House, mode: str):
    """The site of the same house as it runs under another mode."""
    press = Press(
        settings=house.press.settings.model_copy(update={"tracking": mode}),
        engine=house.press.engine,
        keys=house.press.keys,
    )
    house.press = press
    house.site = build(press, clock=house.clock)
    with answering(house.site) as client:
        client.headers.update(PERSON)
        client.follow_redirects = False
        house.client = client
        yield client


def agree(house: House, email: str) -> None:
    house.set("subscriber", tracked_since=None)
    with house.press.engine.begin() as connection:
        connection.exec_driver_sql(
            f"UPDATE subscriber SET tracked_since = '{house.now:%Y-%m-%d %H:%M:%S}' WHERE email = '{email}'"
        )


def edition_mails(house: House, *emails: str) -> list[EmailMessage]:
    """The edition as each of them got it."""
    house.deliver(house.publish())
    house.later(minutes=10)
    return [next(mail for mail in reversed(house.mails(email)) if "Ferries" in mail["Subject"]) for email in emails]


def trails(mail: EmailMessage) -> set[str]:
    return {path.split("/")[2] for path in paths_in(mail) if path.startswith("/t/")}


def counted(house: House) -> dict:
    house.site.state.counting.settle(everything=True)
    return {(row.kind, row.link, row.machine): row.number for row in house.rows("tally")}


def html_of(mail: EmailMessage) -> str:
    return mail.get_body(("html",)).get_content()


# what a mail holds --------------------------------------------------------------------------------------------------


def test_off_nothing_is_in_the_mail_and_nothing_answers(home):
    with house_in(home, "off") as house:
        house.subscribe("ana@example.net")
        (mail,) = edition_mails(house, "ana@example.net")
        assert not trails(mail)
        assert "<img" not in html_of(mail)
        assert STORY.replace("&", "&amp;") in html_of(mail)
        unknown = house.client.get("/e/nothing/2026-01-01")
        mailing = delivery_token(house.press.keys, 1, 1)
        for path in (f"/t/{mailing}/seen.gif", f"/t/{mailing}/1", "/t/x/0", "/t/x/seen.gif"):
            answer = house.client.get(path)
            assert (answer.status_code, answer.text) == (404, unknown.text)


def test_aggregate_every_reader_has_the_same_links_and_none_of_them_is_a_reader_s(home):
    with house_in(home, "aggregate") as house:
        for email in ("ana@example.net", "ben@example.net"):
            house.subscribe(email)
        agree(house, "ana@example.net")
        ana, ben = edition_mails(house, "ana@example.net", "ben@example.net")
        assert trails(ana) == trails(ben) == {delivery_token(house.press.keys, 1, 1, TRAIL)}


def test_personal_only_who_agreed_has_links_of_their_own(home):
    with house_in(home, "personal") as house:
        for email in ("ana@example.net", "ben@example.net", "eva@example.net"):
            house.subscribe(email)
        agree(house, "ben@example.net")
        ana, ben, eva = edition_mails(house, "ana@example.net", "ben@example.net", "eva@example.net")
        mailing = house.rows("mailing")[-1]
        assert mailing.tracking == "personal"
        assert trails(ana) == trails(eva) == {delivery_token(house.press.keys, 1, 1, TRAIL)}
        number = next(
            row.number for row in house.rows("delivery") if row.mailing_id == mailing.id and row.subscriber_id == 2
        )
        assert trails(ben) == {delivery_token(house.press.keys, mailing.id, number, OWN_TRAIL)}


@pytest.mark.parametrize("mode", ["aggregate", "personal"])
def test_both_parts_have_the_same_tracked_links_and_sharing_and_leaving_are_never_tracked(home, mode):
    with house_in(home, mode) as house:
        house.subscribe("ana@example.net")
        (mail,) = edition_mails(house, "ana@example.net")
        html, text = html_of(mail), mail.get_body(("plain",)).get_content()
        links = {kind: set(re.findall(r"/t/[\w-]+/\d+", part)) for kind, part in (("html", html), ("text", text))}
        (trap,) = links["html"] - links["text"]
        assert links["text"] < links["html"]
        assert (
            f'<a href="http://localhost:8000{trap}" aria-hidden="true" tabindex="-1" style="display:none;mso-hide:all"></a>'
            in html
        )
        assert html.count("seen.gif") == 1
        assert "wa.me/?text=https://example.org/1" in html
        assert all("/t/" not in path for path in paths_in(mail) if path.startswith(("/m/", "/e/")))
        for name in ("List-Unsubscribe", "List-Archive"):
            assert "/t/" not in mail[name]
        assert set(re.findall(r"/m/([\w-]+)", html)).isdisjoint(trails(mail))


# where links lead ---------------------------------------------------------------------------------------------------


@pytest.fixture
def here(home):
    with house_in(home, "personal") as house:
        house.subscribe("ana@example.net")
        agree(house, "ana@example.net")
        (house.mail,) = edition_mails(house, "ana@example.net")
        (house.trail,) = trails(house.mail)
        yield house


def test_a_link_leads_where_it_was_printed_to_lead(here):
    page = "http://localhost:8000/e/global/2026-11-25"
    for number, url in ((0, page), (1, STORY), (2, page)):
        answer = here.client.get(f"/t/{here.trail}/{number}?url=https://evil.example", headers={"host": "evil.example"})
        assert (answer.status_code, answer.headers["location"]) == (302, url)
        assert answer.headers["cache-control"] == "no-store"


def test_the_pixel_is_a_picture_that_is_not_kept(here):
    answer = here.client.get(f"/t/{here.trail}/seen.gif")
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, PIXEL, "image/gif")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"


def test_whatever_is_no_link_of_that_edition_is_answered_as_unknown(here):
    unknown = here.client.get("/e/nothing/2026-01-01")
    own = delivery_token(here.press.keys, here.rows("mailing")[-1].id, 1)  # what opens the preferences
    wrong = [
        f"/t/{here.trail}/{number}" for number in ("3", "9999", "-1", "01x", "99999999999999999999", "https:", "%2e%2e", "٣")
    ] + [
        f"/t/{trail}/{rest}"
        for trail in (here.trail[:-1], here.trail.swapcase(), "A" * 24, own, delivery_token(here.press.keys, 77, 1, TRAIL),
                      delivery_token(here.press.keys, 77, 1, OWN_TRAIL), here.trail + "=")
        for rest in ("1", "seen.gif")
    ]  # fmt: skip
    for path in wrong:
        answer = here.client.get(path)
        assert (answer.status_code, answer.text) == (404, unknown.text), path


def test_a_trail_opens_no_page_of_a_reader(here):
    for purpose in (TRAIL, OWN_TRAIL, PREVIEW_TRAIL):
        token = delivery_token(here.press.keys, here.rows("mailing")[-1].id, 1, purpose)
        assert here.client.get(f"/m/{token}").status_code == 404
        assert here.client.post(f"/m/{token}/leave").status_code == 404
    assert PURPOSE not in {TRAIL, OWN_TRAIL, PREVIEW_TRAIL}


@pytest.mark.parametrize("mode", ["off", "aggregate"])
def test_a_click_in_an_old_mail_works_whatever_the_mode_is_now(here, mode):
    with site_of(here, mode) as client:
        assert client.get(f"/t/{here.trail}/1").headers["location"] == STORY
        assert client.get(f"/t/{here.trail}/seen.gif").status_code == (404 if mode == "off" else 200)
        assert counted(here) == ({} if mode == "off" else {("clicked", 1, False): 1, ("opened", -1, False): 1})
        assert here.rows("deed") == here.rows("activity") == []


def test_twenty_looks_at_every_link_of_a_mail_change_nothing_about_its_reader(here):
    before = here.everything()
    for path in paths_in(here.mail):
        for _ in range(20):
            assert here.client.head(path).status_code in {200, 302}
            assert here.client.get(path).status_code in {200, 302}
            here.later(seconds=1)
    counted(here)
    after = here.everything()
    assert {name for name in after if after[name] != before[name]} <= COUNTED
    assert not [row for row in after["deed"] if not row.machine], "who asks for everything is a machine"


# counting over HTTP -------------------------------------------------------------------------------------------------


def test_a_person_s_open_and_click_are_counted_and_a_head_is_not(here):
    assert here.client.head(f"/t/{here.trail}/0").status_code == 302
    here.client.get(f"/t/{here.trail}/seen.gif")
    here.later(seconds=7)
    here.client.get(f"/t/{here.trail}/1")
    assert counted(here) == {("opened", -1, False): 1, ("clicked", 1, False): 1}
    assert [(row.subscriber_id, row.kind, row.machine) for row in here.rows("deed")] == [
        (1, "opened", False),
        (1, "clicked", False),
    ]
    assert {(row.kind, row.number) for row in here.rows("activity")} == {("opened", 1), ("clicked", 1)}


def test_machines_are_counted_apart_and_never_as_activity(here):
    here.client.get(f"/t/{here.trail}/seen.gif", headers={"user-agent": "Mozilla/5.0"})  # Apple's proxy
    here.later(minutes=2)
    here.site.state.counting.settle()
    here.client.get(f"/t/{here.trail}/2")  # the link that nobody sees
    here.client.get(f"/t/{here.trail}/1")
    assert counted(here) == {("opened", -1, True): 1, ("clicked", 1, True): 1, ("clicked", 2, True): 1}
    assert {row.why for row in here.rows("deed")} == {"apple", "trap"}
    assert here.rows("activity") == []


def test_what_is_quiet_is_written_down_and_what_goes_on_is_waited_for(here):
    counting = here.site.state.counting
    here.client.get(f"/t/{here.trail}/seen.gif")
    assert (counting.settle(), here.rows("tally")) == (0, [])
    here.later(seconds=11)
    assert counting.settle() == 1
    assert counting.settle() == 0


def test_hostile_headers_are_neither_kept_nor_a_fault(here):
    for agent in ("<script>alert(1)</script>" * 1000, "\xff\xfe", "x" * 30_000, "ana@example.net"):
        assert here.client.get(f"/t/{here.trail}/1", headers={"user-agent": agent.encode("latin-1")}).status_code == 302
    counted(here)
    kept = repr([here.rows("deed"), here.rows("tally")])
    assert "script" not in kept
    assert "ana@example.net" not in kept


def test_a_person_is_handed_what_was_kept_of_them_and_erased_with_it(here):
    here.client.get(f"/t/{here.trail}/1")
    counts = counted(here)
    held = persons.everything_of(here.press, "ana@example.net", now=here.now)
    assert [(row["kind"], row["link"], row["machine"]) for row in held["deed"]] == [("clicked", 1, False)]
    assert [(row["kind"], row["number"]) for row in held["activity"]] == [("clicked", 1)]
    persons.erase(here.press, "ana@example.net", who="eva", now=here.now)
    assert here.rows("deed") == here.rows("activity") == here.rows("tracking_consent") == []
    here.later(minutes=2)
    assert here.client.get(f"/t/{here.trail}/1").headers["location"] == STORY, "somebody may have the mail still"
    assert counted(here) == {what: number + 1 for what, number in counts.items()}
    assert here.rows("deed") == here.rows("activity") == []


# a preview, and a mode that changes ---------------------------------------------------------------------------------


def test_links_of_a_preview_lead_on_and_are_never_counted(here):
    edition = here.rows("edition")[-1]
    with line.reading(here.press.engine) as session:
        row = session.get(line.EditionRow, edition.id)
    shown = preview(here.press, row, channel="email", now=here.now)
    path = re.search(r"http://localhost:8000(/t/[\w-]+/)seen.gif", shown.html)[1]
    assert here.client.get(f"{path}1").headers["location"] == STORY
    assert here.client.get(f"{path}seen.gif").status_code == 200
    assert counted(here) == {}


@pytest.mark.parametrize(("approved_in", "sent_in"), [("off", "aggregate"), ("personal", "off"), ("off", "personal")])
def test_a_mode_that_changes_between_approval_and_sending_is_the_one_of_sending(home, approved_in, sent_in):
    with house_in(home, approved_in) as house:
        house.subscribe("ana@example.net")
        edition = house.publish()
        with site_of(house, sent_in):
            house.deliver(edition)
            mail = house.mails("ana@example.net")[-1]
            assert bool(trails(mail)) == (sent_in != "off")
            for path in (path for path in paths_in(mail) if path.startswith("/t/")):
                assert house.client.get(path).status_code in {200, 302}


def test_an_edition_on_its_way_keeps_its_links_when_tracking_is_switched_off(here):
    """Proofs that have left are never printed anew: a message is the same on every attempt."""
    before = {row.id: row.content_hash for row in here.rows("proof")}
    with site_of(here, "off"):
        with line.reading(here.press.engine) as session:
            edition = session.get(line.EditionRow, here.rows("edition")[-1].id)
        line.print_proofs(here.press, edition, now=here.now)
        assert {row.id: row.content_hash for row in here.rows("proof")} == before


# consent ------------------------------------------------------------------------------------------------------------


def test_the_confirmation_asks_and_keeps_what_was_agreed_to(home):
    with house_in(home, "personal") as house:
        house.sign_up("ana@example.net")
        path = house.link("ana@example.net")
        page = house.client.get(path).text
        assert 'name="tracked" value="on">' in page
        assert "I agree that Global Morning keeps which of its mails I open" in words(page)
        house.client.post(path, data={"digest": "1", "tracked": "on"})
        (person,), (consent,) = house.rows("subscriber"), house.rows("tracking_consent")
        assert person.tracked_since == house.now
        assert (consent.subscriber_id, consent.source, consent.at) == (person.id, "confirmation page", house.now)
        kept = next(row.words for row in house.rows("wording") if row.version == consent.wording)
        assert kept.startswith("I agree that Global Morning keeps")
        assert len(consent.proof) == 32


def test_who_ticks_nothing_does_not_agree(home):
    with house_in(home, "personal") as house:
        house.subscribe("ana@example.net")
        assert house.rows("tracking_consent") == []
        assert house.rows("subscriber")[0].tracked_since is None


@pytest.mark.parametrize("mode", ["off", "aggregate"])
def test_nobody_is_asked_in_another_mode_and_a_form_that_says_so_changes_nothing(home, mode):
    with house_in(home, mode) as house:
        house.sign_up("ana@example.net")
        path = house.link("ana@example.net")
        assert "tracked" not in house.client.get(path).text
        house.client.post(path, data={"digest": "1", "tracked": "on"})
        own = own_page(house, "ana@example.net")
        assert "tracked" not in house.client.get(own).text
        house.client.post(own, data={"shown": "tracking", "tracked": "on"})
        assert house.rows("tracking_consent") == []
        assert house.rows("subscriber")[0].tracked_since is None


def own_page(house: House, email: str) -> str:
    preferences = house.link(email)
    house.client.post(f"{preferences}/access")
    return house.link(email)


def test_a_reader_agrees_on_their_own_page_and_takes_it_back_by_any_link(home):
    with house_in(home, "personal") as house:
        preferences = house.subscribe("ana@example.net")
        assert "tracked" not in house.client.get(preferences).text
        house.client.post(preferences, data={"shown": "tracking", "tracked": "on"})
        assert house.rows("tracking_consent") == [], "a mail may have been forwarded: its link cannot agree"
        own = own_page(house, "ana@example.net")
        saved = house.client.post(own, data={"shown": "tracking", "tracked": "on"})
        assert "You agree that we count what you open and click." in words(saved.text)
        (consent,) = house.rows("tracking_consent")
        assert consent.source == "own page"
        (mail,) = edition_mails(house, "ana@example.net")
        (trail,) = trails(mail)
        house.client.get(f"/t/{trail}/1")
        counted(house)
        assert house.rows("deed")
        assert house.rows("activity")
        assert "checked" in house.client.get(preferences).text.partition('name="tracked"')[2].partition(">")[0]
        back = house.client.post(preferences, data={"shown": "tracking"})
        assert "what was counted of you is gone" in words(back.text)
        assert house.rows("deed") == house.rows("activity") == house.rows("tracking_consent") == []
        house.later(minutes=2)
        house.client.get(f"/t/{trail}/1")
        assert counted(house)["clicked", 1, False] == 2
        assert house.rows("deed") == house.rows("activity") == []


def test_a_reader_who_agreed_can_take_it_back_when_tracking_is_off(here):
    with site_of(here, "off"):
        path = next(path for path in paths_in(here.mail) if path.startswith("/m/") and path.count("/") == 2)
        assert 'name="tracked"' in here.client.get(path).text
        here.client.post(path, data={"shown": "tracking"})
        assert here.rows("subscriber")[0].tracked_since is None


def test_the_page_speaks_spanish(home):
    with house_in(home, "personal") as house:
        house.sign_up("ana@example.net")
        assert "Acepto que Global Morning guarde" in words(
            house.client.get(f"{house.link('ana@example.net')}?language=es").text
        )
