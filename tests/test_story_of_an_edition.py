"""
The story of an edition, from a page to readers' files, on both databases, with nothing pretended.

It reads as the product's own manual: a home is set up, a page of the Global section is gathered, the edition is picked,
worded, approved and delivered once to each reader, and a second run gives nobody a second copy.
"""

import json
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest

from digest import contents, deliveries, desk, digests, press
from digest.app import found
from digest.database import reading, writing
from digest.deliveries.stamps import Stamps
from digest.errors import NotReadyError, TransitionError
from digest.gathering import add_source, gather
from digest.handover import opened_transports
from digest.models import EditionRow, SuppressionRow
from digest.preview import preview
from digest.schedule import Watch
from digest.values import EditionState
from subscribers.addresses import normalise
from subscribers.exchange import import_csv
from subscribers.tokens import address_hash

NOW = datetime(2025, 3, 6, 6, 30, tzinfo=UTC)
SENDER = {
    "from_name": "The Daily Example", "from_address": "global@news.example.org", "reply_to": "editors@news.example.org",
    "postal_address": "1 Press Street, 28001 Madrid", "zone": "Europe/Madrid",
}  # fmt: skip
SEED = Path(__file__).resolve().parents[2] / "shared" / "seed" / "page.txt"
PAGE = """
Global

Ferries return to the northern strait after eleven years

Share
Share

Two ferries crossed the northern strait on Tuesday for the first time in eleven years, carrying 420 passengers and a
cargo of seed potatoes. Both governments called the crossing a test.

A regular service is to begin in May if the harbour at Lumen is dredged in time, the transport ministry said.

Share
Related Articles
Global

Dredgers reach Lumen harbour two weeks early

The first two of five dredgers arrived on Monday and will begin work as soon as...

Global

Fishermen ask for a say in the timetable of the new ferries

Some two hundred boats use the strait every day, and their owners say that...
"""
READERS = """email,name,language,channels
ana@example.net,Ana Núñez,es,email;push
ben@example.net,Ben,en,email
cleo@example.net,,en,email
dan@example.net,Dan,en,email
"""


@pytest.fixture
def house(database_url, tmp_path):
    return found(tmp_path / "home", slug="global", fields=SENDER, now=NOW, database=database_url)


@pytest.fixture
def page(tmp_path):
    file = tmp_path / "page.txt"
    file.write_text(PAGE, encoding="utf-8")
    return file


def gathered(house, page):
    add_source(house.engine, house.settings, location=str(page), now=NOW)
    (report,) = gather(house.engine, house.settings, now=NOW)
    return report


def with_readers(house, tmp_path):
    file = tmp_path / "readers.csv"
    file.write_text(READERS, encoding="utf-8")
    return import_csv(
        house.engine, file, digest_id=1, keys=house.keys, consent="web form, 2025", now=NOW, channels=("email",)
    )


def morning(house, page, tmp_path, **options):
    gathered(house, page)
    with_readers(house, tmp_path)
    return press.assemble(house, "global", day=NOW.date(), now=NOW, **options)


def deliver(house, edition):
    return press.deliver(house, edition, now=lambda: NOW)


def files(house, ending):
    return sorted(house.settings.outbox_folder.rglob(f"*{ending}"))


def mails(house):
    found = [message_from_bytes(file.read_bytes(), policy=default) for file in files(house, ".eml")]
    return {str(mail["To"].addresses[0].addr_spec): mail for mail in found}


def test_a_page_becomes_one_mail_for_each_reader_and_nobody_gets_a_second(house, page, tmp_path):
    report = gathered(house, page)
    assert (report.found, report.new) == (3, 3)
    assert with_readers(house, tmp_path).accepted == 4

    edition = press.assemble(house, "global", day=NOW.date(), now=NOW)
    assert edition.state == EditionState.DRAFT
    with writing(house.engine) as session:
        hash_of_dan = address_hash(house.keys.hash_key, normalise("dan@example.net").key)
        session.add(SuppressionRow(email_hash=hash_of_dan, reason="complaint", since=NOW))
    edition = press.approve(house, edition, who="eva", now=NOW)

    balance = deliver(house, edition)
    assert balance.done, balance.words
    assert set(mails(house)) == {"ana@example.net", "ben@example.net", "cleo@example.net"}
    assert len(files(house, ".json")) == 1
    with reading(house.engine) as session:
        assert session.get(EditionRow, edition.id).state == EditionState.SENT

    before = {file: file.stat().st_mtime_ns for file in files(house, ".eml")}
    assert press.assemble(house, "global", day=NOW.date(), now=NOW).id == edition.id
    with reading(house.engine) as session:
        deliver(house, session.get(EditionRow, edition.id))
    assert {file: file.stat().st_mtime_ns for file in files(house, ".eml")} == before


def test_a_mail_says_what_it_must_in_the_readers_language(house, page, tmp_path):
    deliver(house, press.approve(house, morning(house, page, tmp_path), who="eva", now=NOW))
    ana, ben = mails(house)["ana@example.net"], mails(house)["ben@example.net"]
    assert ana["From"].addresses[0].addr_spec == "global@news.example.org"
    assert ana["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert ana["List-Unsubscribe"].count("https://") + ana["List-Unsubscribe"].count("http://") == 1
    assert [part.get_content_type() for part in ana.iter_parts()] == ["text/plain", "text/html"]
    html = ana.get_body(("html",)).get_content()
    assert 'lang="es"' in html
    assert "Ana" in html
    assert 'lang="en"' in ben.get_body(("html",)).get_content()
    assert "Ferries return to the northern strait" in ben.get_body(("plain",)).get_content()
    assert "1 Press Street" in ben.get_body(("plain",)).get_content()
    assert ana["Message-ID"] != ben["Message-ID"]


def test_no_share_word_and_no_cut_teaser_reaches_a_reader(house, page, tmp_path):
    deliver(house, press.approve(house, morning(house, page, tmp_path), who="eva", now=NOW))
    text = mails(house)["ben@example.net"].get_body(("plain",)).get_content()
    assert "Dredgers reach Lumen harbour two weeks early" in text
    for cut in ("begin work as soon as", "their owners say that", "..."):
        assert cut not in text


def test_a_story_that_came_as_text_alone_leads_to_its_place_on_the_editions_page(house, page, tmp_path):
    deliver(house, press.approve(house, morning(house, page, tmp_path), who="eva", now=NOW))
    text = mails(house)["ben@example.net"].get_body(("plain",)).get_content()
    assert "http://localhost:8000/e/global/2025-03-06?utm_source=global-digest&utm_campaign=morning#s1" in text
    assert not [line for line in text.splitlines() if line.startswith("?")]


def test_an_editors_wording_is_what_readers_get_and_the_story_stays_as_told(house, page, tmp_path):
    edition = morning(house, page, tmp_path)
    with writing(house.engine) as session:
        row = session.get(EditionRow, edition.id)
        desk.reword(session, row, 1, {"headline": "Ferries are back & full", "kicker": "The north"}, who="eva", now=NOW)
        desk.retitle(session, row, {"subject": "Ferries are back"}, who="eva", now=NOW)
    deliver(house, press.approve(house, row, who="eva", now=NOW))
    mail = mails(house)["ben@example.net"]
    assert mail["Subject"] == "Ferries are back"
    assert "Ferries are back &amp; full" in mail.get_body(("html",)).get_content()
    again = preview(house, row, channel="email", now=NOW)
    assert "The north" in again.html


def test_what_was_changed_after_it_was_read_is_not_approved(house, page, tmp_path):
    edition = morning(house, page, tmp_path)
    with writing(house.engine) as session:
        desk.reword(session, session.get(EditionRow, edition.id), 1, {"headline": "Other"}, who="ola", now=NOW)
    with pytest.raises(TransitionError, match="changed the edition just now"):
        press.approve(house, edition, who="eva", now=NOW)


def test_nothing_leaves_without_an_approval(house, page, tmp_path):
    edition = morning(house, page, tmp_path)
    with pytest.raises(TransitionError):
        deliver(house, edition)
    assert not files(house, ".eml")


def test_at_the_deadline_the_pick_is_sent_or_held_as_the_digest_says(house, page, tmp_path):
    edition = morning(house, page, tmp_path)
    after = edition.deadline_at + timedelta(minutes=1)
    assert (
        press.apply_deadline(house, edition, now=edition.deadline_at - timedelta(minutes=1)).state == EditionState.DRAFT
    )
    held = press.apply_deadline(house, edition, now=after)
    assert (held.state, held.reason) == (EditionState.HELD, "The deadline passed and nobody had approved it.")

    with writing(house.engine) as session:
        digests.digest_named(session, "global").fallback = "send"
    tomorrow = NOW + timedelta(days=1)
    edition = press.assemble(house, "global", day=tomorrow.date(), now=NOW)
    sent = press.apply_deadline(house, edition, now=edition.deadline_at)
    assert (sent.state, sent.approved_by) == (EditionState.APPROVED, "the deadline's fallback")


def test_what_an_earlier_edition_told_is_not_told_again(house, page, tmp_path):
    deliver(house, press.approve(house, morning(house, page, tmp_path), who="eva", now=NOW))
    tomorrow = NOW + timedelta(hours=20)
    edition = press.assemble(house, "global", day=NOW.date() + timedelta(days=1), now=tomorrow)
    assert edition.state == EditionState.SKIPPED
    with reading(house.engine) as session:
        left_out = contents.content_of(session, edition)["left_out"]
    assert len(left_out) == 3
    assert all("2025" in story["why_not"] or "March" in story["why_not"] for story in left_out)


def test_every_act_is_written_down(house, page, tmp_path):
    edition = press.approve(house, morning(house, page, tmp_path), who="eva", now=NOW)
    deliver(house, edition)
    with reading(house.engine) as session:
        assert [(row.who, row.did) for row in desk.audit_of(session, edition)] == [
            ("the press", "assemble"), ("eva", "approve"), ("the press", "send"), ("the press", "finish"),
        ]  # fmt: skip


def test_the_same_stories_and_the_same_clock_give_the_same_edition(tmp_path, page):
    hashes = set()
    for name in ("one", "two"):
        house = found(tmp_path / name, slug="global", fields=SENDER, now=NOW)
        hashes.add(morning(house, page, tmp_path).content_hash)
    assert len(hashes) == 1


@pytest.mark.skipif(not SEED.exists(), reason="the publisher's page is not beside this checkout")
def test_the_publishers_own_page_tells_all_eight_stories_and_nothing_that_was_cut(house, tmp_path):
    with_readers(house, tmp_path)
    report = gathered(house, SEED)
    assert report.found == 8
    edition = press.approve(house, press.assemble(house, "global", day=NOW.date(), now=NOW), who="eva", now=NOW)
    deliver(house, edition)
    lines = [line.strip() for line in SEED.read_text(encoding="utf-8").splitlines() if line.strip()]
    cards = lines[lines.index("Related Articles") + 1 :]
    headlines = [lines[1], *cards[1::3]]
    cut = [teaser.removesuffix("...").strip()[-30:] for teaser in cards[2::3]]
    with reading(house.engine) as session:
        slots = contents.content_of(session, edition)["slots"]
    assert {slot["headline"] for slot in slots} == set(headlines)
    everything = (
        json.dumps(slots, ensure_ascii=False)
        + "".join(part.get_content() for mail in mails(house).values() for part in mail.iter_parts())
        + "".join(file.read_text(encoding="utf-8") for file in [*files(house, ".json"), *files(house, ".html")])
    )
    for headline in headlines:
        assert headline in everything
    for words in [end for end in cut if end]:
        assert words not in everything


def look(house, at, said):
    """One look of the watch at what is to leave."""
    watch = Watch(house, said.append, lambda: at)
    watch.send()
    watch.end()


def test_the_watch_keeps_deadlines_and_delivers_and_one_fault_stops_nobody_else(house, page, tmp_path):
    with writing(house.engine) as session:
        digests.digest_named(session, "global").fallback = "send"
    edition = morning(house, page, tmp_path)
    with writing(house.engine) as session:  # an older edition that cannot be delivered: it has no proofs and no stories
        session.add(
            EditionRow(digest_id=1, local_date=NOW.date() - timedelta(days=1), state="approved", version=1, deadline_at=NOW, created_at=NOW)
        )  # fmt: skip
    said = []
    look(house, edition.deadline_at, said)
    assert len(mails(house)) == 4
    with reading(house.engine) as session:
        assert session.get(EditionRow, edition.id).state == EditionState.SENT
    assert any("approved by the deadline's fallback" in line for line in said)
    said.clear()
    look(house, edition.deadline_at, said)
    assert len(mails(house)) == 4


def test_an_editor_who_acted_a_moment_ago_is_not_overruled_by_the_deadline(house, page, tmp_path):
    with writing(house.engine) as session:
        digests.digest_named(session, "global").fallback = "send"
    seen_before = morning(house, page, tmp_path)
    press.move_edition(house, seen_before, "hold", who="eva", now=NOW)
    after = press.apply_deadline(house, seen_before, now=seen_before.deadline_at)
    assert (after.state, after.approved_by) == (EditionState.HELD, "")


def test_an_edition_that_was_held_after_its_approval_is_not_sent(house, page, tmp_path):
    approved = press.approve(house, morning(house, page, tmp_path), who="eva", now=NOW)
    press.move_edition(house, approved, "hold", who="eva", now=NOW)
    with pytest.raises(TransitionError, match="held"):
        deliver(house, approved)
    assert not files(house, ".eml")


def test_a_pick_that_nobody_sent_for_days_is_held_and_not_sent_as_news(house, page, tmp_path):
    with writing(house.engine) as session:
        digests.digest_named(session, "global").fallback = "send"
    edition = morning(house, page, tmp_path)
    after = press.apply_deadline(house, edition, now=edition.deadline_at + timedelta(days=5))
    assert after.state == EditionState.HELD
    assert "too long ago" in after.reason


def test_an_approved_edition_does_not_leave_when_its_day_is_over(house, page, tmp_path):
    edition = press.approve(house, morning(house, page, tmp_path), who="eva", now=NOW)
    with pytest.raises(NotReadyError, match="not news any more"):
        press.deliver(house, edition, now=lambda: NOW + timedelta(days=3))
    assert not files(house, ".eml")


def test_stories_of_an_edition_cancelled_on_its_way_are_told_to_nobody_twice(house, page, tmp_path):
    edition = press.approve(house, morning(house, page, tmp_path), who="eva", now=NOW)
    press._begin(house, edition, NOW)
    mailing = press._open(house, edition, NOW)
    with opened_transports(house.engine, house.settings) as transports:
        deliveries.deliver(
            house.engine, transports(mailing), mailing=mailing, keys=house.keys, lease=60, clock=lambda: NOW,
            stop=lambda: deliveries.balance_of(house.engine, mailing).handed > 0,
        )  # fmt: skip
    assert press.move_edition(house, edition, "cancel", who="eva", now=NOW).state == EditionState.CANCELLED
    assert files(house, ".eml")
    tomorrow = press.assemble(house, "global", day=NOW.date() + timedelta(days=1), now=NOW + timedelta(hours=20))
    assert tomorrow.state == EditionState.SKIPPED


def test_keys_are_added_to_a_settings_file_without_touching_its_last_line(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / ".env").write_text("DIGEST_BASE_URL=https://news.example.org")
    assert found(home, slug="global", fields=SENDER, now=NOW).settings.base_url == "https://news.example.org"
    assert (home / ".env").stat().st_mode & 0o077 == 0


def test_a_house_whose_database_came_back_from_a_backup_sends_nothing_until_a_person_decides(house, page, tmp_path):
    edition = press.approve(house, morning(house, page, tmp_path), who="eva", now=NOW)
    later = Stamps(house.stamps)
    later.keep(later.next())  # something left that this database knows nothing of
    later.close()
    with pytest.raises(NotReadyError, match="restored from an older copy"):
        press.deliver(house, edition, now=lambda: NOW)
    assert not files(house, ".eml")
    deliveries.after_restore(house.engine)
    assert press.deliver(house, edition, now=lambda: NOW).done
    assert files(house, ".eml")


def test_a_refused_account_pauses_the_edition_with_the_reason(house, page, tmp_path):
    edition = press.approve(house, morning(house, page, tmp_path), who="eva", now=NOW)
    press._begin(house, edition, NOW)
    deliveries.pause(
        house.engine, press._open(house, edition, NOW), now=NOW, reason="The server refuses: wrong password."
    )
    press.follow_mailings(house, NOW)
    with reading(house.engine) as session:
        after = session.get_one(EditionRow, edition.id)
    assert (after.state, after.reason) == (EditionState.PAUSED, "The server refuses: wrong password.")
    resumed = press.move_edition(house, after, "resume", who="eva", now=NOW)
    assert press.deliver(house, resumed, now=lambda: NOW).done
