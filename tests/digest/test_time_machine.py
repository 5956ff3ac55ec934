"""The time machine: what was sent is printed again byte for byte, and a morning is run through with nothing at stake."""

import re
from datetime import UTC, date, datetime

import pytest
from sqlalchemy import select

from digest import press, rehearsal, replaying
from digest.database import open_engine, reading, writing
from digest.delivery_ids import read_delivery_token
from digest.errors import NotFoundError
from digest.models import EditionRow
from digest.values import EditionState
from subscribers.erasure import pointing_at_subscribers
from subscribers.models import SubscriberRow, TrackingConsentRow
from tests.mornings import moment, newsroom, write_feed

NOW = datetime(2025, 3, 10, 5, 30, tzinfo=UTC)


@pytest.fixture
def room(migrated_url, tmp_path):
    room = newsroom(tmp_path / "home", migrated_url, NOW)
    room.schedule(at="07:00", zone="Europe/Madrid", fallback="hold")
    return room


@pytest.fixture
def sent(room):
    with room.watch() as duty:
        room.at("06:00")
        room.look(duty)
        press.approve(room.press, room.editions[0], who="ana", now=room.now)
        room.at("07:00")
        room.look(duty)
    assert room.states == ["10 daily sent"]
    return room


def files(folder, pattern="*.eml"):
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob(pattern)}


def test_a_replay_writes_the_same_bytes_again(sent, tmp_path):
    done = replaying.replay(sent.press, sent.editions[0], tmp_path / "again")
    assert (done.written, done.unknown) == (2, 0)
    assert files(tmp_path / "again") == files(sent.press.settings.outbox_folder)
    assert replaying.message_of(sent.press, sent.editions[0], 1) in files(tmp_path / "again").values()


def test_what_went_to_an_address_that_is_not_known_any_more_is_counted(sent, tmp_path):
    with writing(sent.press.engine) as session:
        person = session.get(SubscriberRow, 1)
        person.email_hash = b"another address "
    done = replaying.replay(sent.press, sent.editions[0], tmp_path / "again")
    assert (done.written, done.unknown) == (1, 1)
    with pytest.raises(NotFoundError, match="not known here any more"):
        replaying.message_of(sent.press, sent.editions[0], 1)
    with pytest.raises(NotFoundError, match="no delivery 9"):
        replaying.message_of(sent.press, sent.editions[0], 9)


def test_an_edition_that_was_never_released_cannot_be_replayed(room, tmp_path):
    with room.watch() as duty:
        room.at("06:00")
        room.look(duty)
    with pytest.raises(NotFoundError, match="never released"):
        replaying.replay(room.press, room.editions[0], tmp_path / "again")


def test_a_rehearsal_runs_the_day_and_leaves_the_house_as_it_was(room, tmp_path):
    write_feed(room.source, moment("06:00", 20))
    before = [str(row) for row in room.stations], room.editions, room.mails()
    run = rehearsal.rehearse(room.press, "global", date(2025, 3, 30), tmp_path / "copy", gathers=True)
    assert run.edition.state == EditionState.SENT
    told = {words: f"{act.at:%H:%M}" for act in run.acts for words in ("released", "handed over") if words in act.words}
    assert told == {"released": "04:58", "handed over": "05:00"}  # clocks went forward that night
    assert "2 of 2" in run.books
    assert len(files(tmp_path / "copy" / "outbox")) == 2
    assert ([str(row) for row in room.stations], room.editions, room.mails()) == before


def test_a_rehearsal_of_a_day_that_was_sent_sends_it_anew_to_its_own_outbox(sent, tmp_path):
    run = rehearsal.rehearse(sent.press, "global", date(2025, 3, 10), tmp_path / "copy", clock="09:30", readers=1)
    assert run.edition.due_at == datetime(2025, 3, 10, 8, 30, tzinfo=UTC)
    assert "1 of 1" in run.books
    assert len(sent.mails()) == 2


def test_the_links_of_a_rehearsal_lead_to_nobody_in_the_house(sent, tmp_path):
    write_feed(sent.source, moment("06:00", 1))
    rehearsal.rehearse(sent.press, "global", date(2025, 3, 11), tmp_path / "copy", gathers=True)
    real, rehearsed = (
        {token.decode() for mail in files(folder).values() for token in tokens(mail)}
        for folder in (sent.press.settings.outbox_folder, tmp_path / "copy" / "outbox")
    )
    assert sorted({read_delivery_token(sent.press.keys, token) for token in real}) == [(1, 1), (1, 2)]
    assert len(rehearsed) == 2
    assert {read_delivery_token(sent.press.keys, token) for token in rehearsed} == {None}


def tokens(mail):
    """What stands for a reader in a mail's links, as it is laid out there or folded."""
    return set(re.findall(rb"/m/([\w-]+)/leave", mail.replace(b"=\r\n", b"")))


def test_a_rehearsal_sends_no_other_edition_of_the_house(room, tmp_path):
    room.at("06:00")
    with room.watch() as duty:
        room.look(duty)
    press.approve(room.press, room.editions[0], who="ana", now=room.now)
    with writing(room.press.engine) as session:
        session.get(EditionRow, 1).state = EditionState.SENDING  # as a kill leaves it, before its mailing is opened
    write_feed(room.source, moment("06:00", 1))
    run = rehearsal.rehearse(room.press, "global", date(2025, 3, 11), tmp_path / "copy", gathers=True)
    assert run.edition.state == EditionState.SENT
    assert {file.parts[1] for file in files(tmp_path / "copy" / "outbox")} == {"2025-03-11"}


def test_a_rehearsal_copies_nothing_of_readers_beyond_the_first(room, tmp_path):
    with writing(room.press.engine) as session:
        for number in (1, 2):
            agreed = TrackingConsentRow(subscriber_id=number, at=NOW, source="page", wording="1", proof="x")
            session.add(agreed)
    rehearsal.rehearse(room.press, "global", date(2025, 3, 11), tmp_path / "copy", readers=1)
    copy = open_engine(f"sqlite:///{tmp_path / 'copy' / 'digest.sqlite'}")
    with reading(copy) as session:
        for table, whose in pointing_at_subscribers():
            assert set(session.connection().execute(select(whose).select_from(table)).scalars()) <= {1}, table.name
        assert session.get(TrackingConsentRow, 1)


def test_a_rehearsal_says_when_a_day_would_have_no_edition(room, tmp_path):
    room.change("leave_out", dates={"2025-03-12": "a strike"})
    run = rehearsal.rehearse(room.press, "global", date(2025, 3, 12), tmp_path / "copy", gathers=True)
    assert run.missing == "a strike"
    assert run.acts


def test_a_rehearsal_needs_an_empty_folder_and_a_cadence(room, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter").write_text("mine")
    with pytest.raises(NotFoundError, match="empty"):
        rehearsal.rehearse(room.press, "global", date(2025, 3, 12), tmp_path / "full")
    with pytest.raises(NotFoundError, match="no weekly cadence"):
        rehearsal.rehearse(room.press, "global", date(2025, 3, 12), tmp_path / "copy", kind="weekly")
