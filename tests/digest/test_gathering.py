import gzip
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlmodel import col, select

from digest.database import reading, writing
from digest.errors import NotFoundError, SettingsError, SourceError
from digest.gathering import SourceReport, add_source, check_source, gather
from digest.models import DigestRow, SourceRow, StoryRow
from digest.settings import Settings

NOW = datetime(2025, 3, 7, 6, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
SEED = Path(__file__).parents[2] / "../shared/seed/page.txt"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, fetch_allow=("127.0.0.1",), fetch_seconds=3)


def entry(title: str, link: str = "", **values: str) -> str:
    inside = "".join(
        f"<{name}>{value}</{name}>" for name, value in {"pubDate": "Thu, 06 Mar 2025 10:00:00 GMT", **values}.items()
    )
    return f"<item><title>{title}</title><link>{link or '/global/' + title.lower().replace(' ', '-')}</link>{inside}</item>"


def feed(*entries: str) -> bytes:
    return f'<rss version="2.0"><channel>{"".join(entries)}</channel></rss>'.encode()


def stories(engine: Engine) -> Sequence[StoryRow]:
    with reading(engine) as session:
        return session.exec(select(StoryRow).order_by(col(StoryRow.id))).all()


def source(engine: Engine, name: str = "127.0.0.1") -> SourceRow:
    with reading(engine) as session:
        return session.exec(select(SourceRow).where(col(SourceRow.name) == name)).one()


def only(reports: list[SourceReport]) -> SourceReport:
    (report,) = reports
    return report


def test_a_feed_is_kept_once_however_often_it_is_read(engine, settings, site) -> None:
    url = site.put("/feed", feed(entry("Harbour opens"), entry("Storm warning")), headers={"ETag": '"1"'})
    add_source(engine, settings, location=url, now=NOW)
    told: list[SourceReport] = []
    first = only(gather(engine, settings, now=NOW, told=told.append))
    assert (first.state, first.found, first.new, first.words) == ("new", 2, 2, "2 stories, 2 new")
    assert told == [first]
    again = only(gather(engine, settings, now=LATER))
    assert (again.state, again.new, again.found) == ("unchanged", 0, 2)
    site.put("/feed", feed(entry("Harbour opens"), entry("Storm warning"), entry("Fish prices fall")))
    third = only(gather(engine, settings, now=LATER))
    assert (third.found, third.new, third.changed) == (3, 1, 0)
    assert [(row.headline, row.section_key, row.position) for row in stories(engine)] == [
        ("Harbour opens", "global", 0), ("Storm warning", "global", 1), ("Fish prices fall", "global", 2),
    ]  # fmt: skip


def test_the_next_look_asks_only_for_what_changed(engine, settings, site) -> None:
    stamp = "Thu, 06 Mar 2025 10:00:00 GMT"
    url = site.put("/feed", feed(entry("Harbour opens")), headers={"ETag": '"1"', "Last-Modified": stamp})
    add_source(engine, settings, location=url, now=NOW)
    gather(engine, settings, now=NOW)
    site.put("/feed", status=304, length=0)
    for _ in range(2):
        assert only(gather(engine, settings, now=LATER)).state == "unchanged"
        asked = site.asked[-1][1]
        assert (asked["if-none-match"], asked["if-modified-since"]) == ('"1"', stamp)


def test_a_story_that_changed_is_changed_in_its_row(engine, settings, site) -> None:
    url = site.put(
        "/feed",
        feed(
            entry("Harbour opens", "/global/harbour", description="The harbour opens again on Monday, the port says.")
        ),
    )
    add_source(engine, settings, location=url, now=NOW)
    gather(engine, settings, now=NOW)
    site.put(
        "/feed",
        feed(
            entry(
                "Harbour opens late",
                "/global/harbour?utm_source=rss",
                description="The harbour opens again on Tuesday, the port says.",
                pubDate="Fri, 07 Mar 2025 05:00:00 GMT",
            )
        ),
    )
    assert only(gather(engine, settings, now=LATER)).changed == 1
    (row,) = stories(engine)
    assert (row.headline, row.seen_at, row.changed_at) == ("Harbour opens late", NOW, LATER)
    assert row.published_at == datetime(2025, 3, 6, 10, tzinfo=UTC)


def test_a_guid_that_changes_at_every_reading_makes_no_second_story(engine, settings, site) -> None:
    url = site.put("/feed", feed(entry("Harbour opens", guid="a1")))
    add_source(engine, settings, location=url, now=NOW)
    gather(engine, settings, now=NOW)
    site.put("/feed", feed(entry("Harbour opens", guid="b2")))
    gather(engine, settings, now=LATER)
    assert len(stories(engine)) == 1


def test_a_story_whose_address_changed_is_known_by_its_guid(engine, settings, site) -> None:
    url = site.put("/feed", feed(entry("Harbour opens", "/global/one", guid="a1")))
    add_source(engine, settings, location=url, now=NOW)
    gather(engine, settings, now=NOW)
    site.put("/feed", feed(entry("Harbour opens on Monday", "/global/two", guid="a1")))
    assert only(gather(engine, settings, now=LATER)).new == 0
    assert [row.headline for row in stories(engine)] == ["Harbour opens on Monday"]


def test_numbers_in_place_of_guids_do_not_mix_stories_up(engine, settings, site) -> None:
    url = site.put("/feed", feed(entry("Harbour opens", guid="1")))
    add_source(engine, settings, location=url, now=NOW)
    gather(engine, settings, now=NOW)
    site.put(
        "/feed",
        feed(
            entry("Storm warning", guid="1", pubDate="Fri, 07 Mar 2025 04:00:00 GMT"), entry("Harbour opens", guid="2")
        ),
    )
    gather(engine, settings, now=LATER)
    assert [row.headline for row in stories(engine)] == ["Harbour opens", "Storm warning"]


def test_a_headline_that_comes_back_soon_is_the_same_story_and_later_another(engine, settings, site) -> None:
    url = site.put("/feed", feed(entry("The day in pictures", "/a")))
    add_source(engine, settings, location=url, now=NOW)
    gather(engine, settings, now=NOW)
    site.put("/feed", feed(entry("The Day in Pictures!", "/b")))
    gather(engine, settings, now=LATER)
    assert len(stories(engine)) == 1
    site.put("/feed", feed(entry("The day in pictures", "/c", pubDate="Mon, 10 Mar 2025 10:00:00 GMT")))
    gather(engine, settings, now=NOW + timedelta(days=4))
    assert len(stories(engine)) == 2


PAGE = "Global\n\nA storm is on its way to us\n\n{}\n\nRelated Articles\nGlobal\n\nHarbour opens again on Monday\n\nThe harbour opens...\n"
STORM = "A storm is on its way to the western coast, the weather office said on Thursday evening."


def test_a_card_becomes_whole_when_its_story_comes_and_never_a_card_again(
    engine, settings, site, tmp_path: Path
) -> None:
    page = tmp_path / "page.txt"
    page.write_text(PAGE.format(STORM))
    add_source(engine, settings, location=str(page), name="page", publisher="Coast", now=NOW)
    gather(engine, settings, now=NOW)
    assert [(row.stub, row.teaser == "") for row in stories(engine)] == [(False, False), (True, True)]
    whole = feed(
        entry("Harbour opens again on Monday", description="After six months the harbour opens again, the port says.")
    )
    add_source(engine, settings, location=site.put("/feed", whole), name="feed", publisher="Coast", now=NOW)
    gather(engine, settings, now=LATER)
    page.write_text(PAGE.format(STORM + " Stay at home."))
    gather(engine, settings, now=LATER)
    storm, harbour = stories(engine)
    assert (harbour.stub, harbour.url) == (False, site.url("/global/harbour-opens-again-on-monday"))
    assert harbour.teaser == "After six months the harbour opens again, the port says."
    assert storm.body.endswith("home.")


def test_two_sources_that_tell_the_same_address_make_one_story(engine, settings, site) -> None:
    for name, words in (
        ("one", "The harbour opens again on Monday, the port says."),
        ("two", "Ships are coming back to the northern harbour soon."),
    ):
        url = site.put(f"/{name}", feed(entry("Harbour " + name, "https://coast.example/harbour", description=words)))
        add_source(engine, settings, location=url, name=name, now=NOW)
    one, two = gather(engine, settings, now=NOW)
    assert (one.new, two.new, two.duplicates) == (1, 0, 1)
    assert stories(engine)[0].headline == "Harbour one"


def test_the_section_that_a_digest_wants_is_found_in_address_or_category(engine, settings, site) -> None:
    with writing(engine) as session:
        session.add(DigestRow(slug="g", name="G", section="Global", created_at=NOW))
    entries = (
        entry("One", "https://coast.example/GLOBAL/2025/one"), entry("Two", "https://coast.example/two", category="global"),
        entry("Three", "https://coast.example/middle-east/three"), entry("Four", "https://coast.example/four"),
    )  # fmt: skip
    add_source(engine, settings, location=site.put("/feed", feed(*entries)), now=NOW)
    gather(engine, settings, now=NOW)
    assert [row.section for row in stories(engine)] == ["Global", "Global", "Middle east", ""]


def test_one_source_that_fails_stops_no_other(engine, settings, site) -> None:
    for name in ("a", "b", "c"):
        add_source(engine, settings, location=site.put(f"/{name}", feed(entry(f"Story of {name}"))), name=name, now=NOW)
    site.put("/a", b"<!doctype html><html><p>Back soon</p></html>")
    site.put("/b", b"", status=500)
    a, b, c = gather(engine, settings, now=NOW)
    assert (a.state, b.state, c.state) == ("failed", "failed", "new")
    assert "is a web page, not a feed" in a.words
    assert "answers with an error (500)" in b.words
    row = source(engine, "b")
    assert (row.failures, row.error, row.last_good_at, row.last_tried_at) == (1, b.words, None, NOW)


def test_failures_rest_longer_each_time_and_one_success_forgets_them(engine, settings, site) -> None:
    good = feed(entry("Harbour opens"))
    add_source(engine, settings, location=site.put("/feed", good), now=NOW)
    site.put("/feed", status=500)
    clock, rests = NOW, []
    for _ in range(8):
        gather(engine, settings, now=clock)
        rests.append((source(engine).retry_at - clock) / timedelta(minutes=1))
        clock = source(engine).retry_at
    assert rests == [10, 20, 40, 80, 160, 320, 360, 360]
    asked = len(site.asked)
    report = only(gather(engine, settings, now=clock - timedelta(minutes=1)))
    assert (report.state, len(site.asked)) == ("resting", asked)
    assert "digest source enable" in report.words
    site.put("/feed", good)
    gather(engine, settings, now=clock)
    row = source(engine)
    assert (row.failures, row.error, row.retry_at, row.last_good_at) == (0, "", None, clock)


@pytest.mark.parametrize(
    ("asked_for", "minutes"),
    [
        ("7200", 120),
        ("Fri, 07 Mar 2025 09:00:00 GMT", 180),
        ("9999999", 1440),
        ("soon", 10),
        ("-5", 10),
        ("Thu, 06 Mar 2025 09:00:00 GMT", 10),
    ],
)
def test_a_busy_server_is_left_alone_as_long_as_it_asks(engine, settings, site, asked_for: str, minutes: int) -> None:
    add_source(engine, settings, location=site.put("/feed", feed(entry("Harbour opens"))), now=NOW)
    site.put("/feed", status=429, headers={"Retry-After": asked_for})
    assert "is busy (429)" in only(gather(engine, settings, now=NOW)).words
    assert source(engine).retry_at == NOW + timedelta(minutes=minutes)


def test_a_source_that_is_gone_is_switched_off_and_its_stories_stay(engine, settings, site) -> None:
    add_source(engine, settings, location=site.put("/feed", feed(entry("Harbour opens"))), now=NOW)
    gather(engine, settings, now=NOW)
    site.put("/feed", status=410)
    assert only(gather(engine, settings, now=LATER)).state == "off"
    assert gather(engine, settings, now=LATER) == []
    assert "gone for good (410)" in only(gather(engine, settings, now=LATER, names=["127.0.0.1"])).words
    assert len(stories(engine)) == 1


def test_a_source_that_moved_for_good_is_followed(engine, settings, site) -> None:
    add_source(engine, settings, location=site.put("/old", feed(entry("Harbour opens"))), now=NOW)
    site.put("/new", feed(entry("Harbour opens"), entry("Storm warning")))
    site.put("/old", status=301, headers={"Location": "/new"})
    assert "moved for good" in only(gather(engine, settings, now=NOW)).words
    assert source(engine).location == site.url("/new")


def test_a_flood_of_old_stories_is_pointed_out(engine, settings, site) -> None:
    add_source(engine, settings, location=site.put("/feed", feed(entry("Harbour opens"))), now=NOW)
    gather(engine, settings, now=NOW)
    site.put("/feed", feed(*(entry(f"Old story {n}", pubDate="Mon, 06 Jan 2025 10:00:00 GMT") for n in range(60))))
    report = only(gather(engine, settings, now=LATER))
    assert report.new == 60
    assert "may have moved" in report.words


def test_an_entry_without_any_words_is_not_kept(engine, settings, site) -> None:
    add_source(
        engine, settings, location=site.put("/feed", feed("<item><link/></item>", entry("Harbour opens"))), now=NOW
    )
    assert only(gather(engine, settings, now=NOW)).found == 1
    assert [row.headline for row in stories(engine)] == ["Harbour opens"]


def test_a_packed_sitemap_and_a_json_feed_are_found_out_and_read(engine, settings, site) -> None:
    sitemap = b'<urlset xmlns:n="x"><url><loc>https://coast.example/a</loc><n:news><n:title>Harbour opens</n:title></n:news></url></urlset>'
    maps = add_source(engine, settings, location=site.put("/map.xml.gz", gzip.compress(sitemap)), now=NOW)
    json = add_source(
        engine,
        settings,
        location=site.put(
            "/feed.json", b'{"version": "https://jsonfeed.org/version/1", "items": [{"id": "1", "title": "Storm"}]}'
        ),
        now=NOW,
    )
    assert (maps.kind, json.kind, maps.name, json.name) == ("sitemap", "jsonfeed", "127.0.0.1", "127.0.0.1-2")
    gather(engine, settings, now=NOW)
    assert {row.headline for row in stories(engine)} == {"Harbour opens", "Storm"}


@pytest.mark.skipif(not SEED.is_file(), reason="the publisher's page is not beside this checkout")
def test_the_publishers_page_gives_eight_stories(engine, settings) -> None:
    row = add_source(engine, settings, location=str(SEED), now=NOW)
    assert (row.kind, Path(row.location).is_absolute(), ".." in row.location) == ("text", True, False)
    assert only(gather(engine, settings, now=NOW)).new == 8
    assert {row.section for row in stories(engine)} == {"Global"}


def test_adding_a_place_again_gives_the_source_we_have(engine, settings, site) -> None:
    url = site.put("/feed", feed(entry("Harbour opens")))
    first = add_source(engine, settings, location=url, name="coast", now=NOW)
    assert add_source(engine, settings, location=f" {url} ", now=LATER).id == first.id
    with pytest.raises(SourceError, match="a source named coast already"):
        add_source(engine, settings, location=site.put("/other", feed(entry("x"))), name="coast", now=NOW)


@pytest.mark.parametrize(
    ("place", "kind", "error", "words"),
    [
        ("/no/such/file", "", SourceError, "No such file"),
        ("http://127.0.0.1:1/feed", "", SourceError, "Connection refused"),
        ("/feed", "gopher", SettingsError, "no source named 'gopher'"),
        ("/feed", "jsonfeed", SourceError, "no JSON Feed"),
        ("/none", "", SourceError, r"has nothing at this address \(404\)"),
    ],
)
def test_a_place_that_cannot_be_read_is_not_added(
    engine, settings, site, place: str, kind: str, error: type[Exception], words: str
) -> None:
    site.put("/feed", feed(entry("Harbour opens")))
    location = site.url(place) if place in {"/feed", "/none"} else place
    with pytest.raises(error, match=words):
        add_source(engine, settings, location=location, kind=kind, now=NOW)
    assert gather(engine, settings, now=NOW) == []


def test_a_check_keeps_nothing(engine, settings, site) -> None:
    url = site.put("/feed", feed(entry("Harbour opens")))
    kind, found = check_source(engine, settings, url, now=NOW)
    assert (kind, [story.headline for story in found.stories]) == ("rss", ["Harbour opens"])
    add_source(engine, settings, location=url, name="coast", now=NOW)
    assert check_source(engine, settings, "coast", now=NOW)[0] == "rss"
    assert list(stories(engine)) == []
    with pytest.raises(NotFoundError, match="'costa' is no source we have"):
        check_source(engine, settings, "costa", now=NOW)


def test_a_name_that_nobody_has_is_told_with_those_there_are(engine, settings, site) -> None:
    add_source(engine, settings, location=site.put("/feed", feed(entry("x"))), name="coast", now=NOW)
    with pytest.raises(NotFoundError, match=r"no source named costa. There is coast"):
        gather(engine, settings, now=NOW, names=["costa"])
