"""Readers who chose once a week while no weekly edition appears: they get nothing, keep their wish, and everybody who can help knows."""

import json
import re
from datetime import timedelta
from time import monotonic

import pytest

from digest.checkup import storage
from digest.commands import schedule
from digest.database import reading, writing
from digest.models import SubscriptionRow
from digest.unserved import unserved, unserved_words
from digest.waves import offers
from subscribers.models import SuppressionRow
from tests.mornings import MINUTE, moment, newsroom

SUNDAY = moment("12:00", -1)
SAID = "1 reader chose to get global once a week, and no weekly edition appears: they get nothing."


@pytest.fixture
def room(database_url, tmp_path):
    """Ana gets it every day, Ben once a week, on Sundays."""
    return ready(newsroom(tmp_path / "home", database_url, SUNDAY))


def ready(room):
    room.schedule(at="07:00", zone="Europe/Madrid", fallback="send")
    room.schedule(kind="weekly", at="08:00", days="sun", fallback="send")
    with writing(room.press.engine) as session:
        session.get(SubscriptionRow, 2).frequency = "weekly"
    return room


def waiting(room):
    with reading(room.press.engine) as session:
        return dict(unserved(session, room.now))


def change(room, what, **options):
    room.change(what, kind="weekly", **options)


def test_while_the_weekly_edition_appears_nobody_waits_in_vain(room):
    assert waiting(room) == {}
    change(room, "leave_out", dates={"2025-03-16": "a strike"})
    assert waiting(room) == {}, "another Sunday comes"


@pytest.mark.parametrize("end", ["remove", "pause", "ends"])
def test_when_it_ends_they_are_counted_until_it_comes_again(room, end):
    if end == "ends":
        room.schedule(kind="weekly", ends_on="2025-03-16")
        assert waiting(room) == {}
        room.now = moment("09:00", 6)
    else:
        change(room, end)
    assert waiting(room) == {1: 1}
    with reading(room.press.engine) as session:
        assert unserved_words(session, room.now)["global"].startswith(SAID)
        assert not offers(session, room.now)[1].weekly, "nobody else is offered what does not come"
    if end == "pause":
        change(room, "resume")
    else:
        room.schedule(kind="weekly", at="08:00", days="sun", ends_on="")
    assert waiting(room) == {}


def test_nobody_is_sent_another_rhythm_for_want_of_theirs(room):
    change(room, "remove")
    room.at("05:55", day=6)
    with room.watch() as duty:
        room.until(duty, "08:10", day=6, step=15 * MINUTE)
    assert room.mails() == ["2025-03-16 ana@example.net"]
    with reading(room.press.engine) as session:
        assert session.get(SubscriptionRow, 2).frequency == "weekly"


@pytest.mark.parametrize("gone", ["left", "resting", "suppressed", "another rhythm"])
def test_who_would_get_nothing_anyhow_is_not_counted(room, gone):
    change(room, "remove")
    with writing(room.press.engine) as session:
        wish = session.get(SubscriptionRow, 2)
        if gone == "left":
            wish.state = "left"
        elif gone == "resting":
            wish.state, wish.paused_until = "paused", room.now + timedelta(days=9)
        elif gone == "another rhythm":
            wish.frequency = "weekdays"
        else:
            hashed = session.exec(SubscriptionRow.metadata.tables["subscriber"].select()).all()[1].email_hash
            session.add(SuppressionRow(email_hash=hashed, reason="asked", since=room.now))
    assert waiting(room) == {}


# who does it, and who looks -----------------------------------------------------------------------------------------


@pytest.fixture
def house(tmp_path):
    home = tmp_path / "home"
    return ready(newsroom(home, "", SUNDAY)), home


def test_the_command_that_ends_it_says_how_many_and_so_does_whoever_looks(house, capsys):
    room, home = house
    schedule.show(home, "global", kind="daily", as_json=False)
    schedule.show_all(home, as_json=False)
    assert SAID not in told(capsys)
    for what in ("pause", "remove"):
        schedule.change(home, "global", what, kind="weekly", by="ops")
        assert SAID in told(capsys)
    schedule.show(home, "global", kind="daily", as_json=False)
    assert SAID in told(capsys)
    schedule.show_all(home, as_json=False)
    assert SAID in told(capsys)
    schedule.show_all(home, as_json=True)
    assert [row["weekly_readers_without"] for row in json.loads(capsys.readouterr().out)] == [1]
    schedule.add(
        home, "global", {"at": "09:00", "ends_on": "2025-03-20"}, kind="weekly", blackout=None, by="ops", as_json=False
    )
    assert SAID in told(capsys)
    found = storage.look(home, now=room.now, until=monotonic() + 10).findings
    assert [one.verdict for one in found if one.words.startswith(SAID)] == []
    found = storage.look(home, now=moment("12:00", 30), until=monotonic() + 10).findings
    assert [one.verdict for one in found if one.words.startswith(SAID)] == ["warn"]


def told(capsys):
    return re.sub(r"\s+", " ", capsys.readouterr().out)
