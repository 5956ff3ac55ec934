"""What is wrong is told once by each way, and its end once, through restarts, faults of the ways and hours of flapping."""

import hashlib
import hmac
import json
import stat
import threading
from datetime import timedelta
from email import message_from_bytes, policy
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlmodel import select

from digest import alarms, causes
from digest.alarms import Alarm, aged, beat, hush, is_well, look, taken, tried, try_out, watch_over
from digest.causes import Cause, Trouble
from digest.database import reading, writing
from digest.errors import NotReadyError, SettingsError
from digest.models import AlarmRow, SenderRow
from digest.posting import deliver_services
from digest.press import Press
from digest.settings import Settings, read_settings
from tests.newsroom import KEYS, NOW, founded
from tests.receiver import receiver
from tests.sinks.running import sink

SECRET = "a secret of the webhook"
MINUTE = timedelta(minutes=1)
CALM = timedelta(minutes=10)
CAUSE = Cause(name="disk", title="A disk is full", mend="Make room.", check=lambda _: iter(()))
TROUBLE = Trouble(subject="the outbox", words="only 0.1 GB free")


@pytest.fixture
def hook():
    with receiver() as here:
        yield here


@pytest.fixture
def house(engine, tmp_path):
    founded(engine)
    return Press(settings=Settings(home=tmp_path), engine=engine, keys=KEYS)


def with_ways(house, **ways):
    given = {"alarm_disk": 1, **ways}
    settings = Settings.model_validate({**house.settings.model_dump(), **given})
    return Press(settings=settings, engine=house.engine, keys=KEYS)


def by_hook(house, hook, **more):
    given = {"alarm_webhook": hook.url("/alarms"), "alarm_secret": SecretStr(SECRET), "fetch_allow": (hook.host,)}
    return with_ways(house, **given, **more)


def restore(house, at=NOW):
    """Something that is wrong until a person says otherwise."""
    with writing(house.engine) as session:
        row = session.get(SenderRow, 1) or SenderRow(id=1)
        row.restored_at = at
        session.add(row)


def told(hook):
    return [json.loads(body) for _, _, _, body in hook.heard]


def states(hook):
    return [(one["cause"], one["state"]) for one in told(hook)]


# how an alarm ages ----------------------------------------------------------------------------------------------------


def live(minutes, *, ways=("log", "webhook"), cause=CAUSE, fails=lambda _minute: False, quiet=lambda _minute: False):
    """What was told at which minute, by a history of minutes in which the trouble is there or not."""
    alarm, heard = None, []
    for number, there in enumerate(minutes):
        now = NOW + number * MINUTE
        alarm = aged(alarm, TROUBLE if there else None, cause, now=now, calm=CALM)
        if alarm is None:
            continue
        alarm, due = taken(alarm, cause, now=now, quiet=quiet(number), by=ways)
        phase = "began" if alarm.is_on else "ended"
        for way in due:
            well = way == "log" or not fails(number)
            alarm = tried(alarm, way, phase, well=well, now=now)
            if well:
                heard.append((number, way, phase))
    return [(number, phase) for number, way, phase in heard if way == ways[-1]]


def test_it_is_told_once_and_its_end_once_when_it_has_been_gone_for_the_quiet_time():
    assert live([False] * 3 + [True] * 60 + [False] * 60) == [(3, "began"), (73, "ended")]


def test_what_is_gone_for_a_moment_goes_on():
    assert live([True] * 5 + [False] * 9 + [True] * 5 + [False] * 30) == [(0, "began"), (29, "ended")]


def test_it_is_told_anew_when_it_comes_back_after_its_end_and_then_has_to_be_gone_for_longer():
    history = [True] + [False] * 30 + [True] + [False] * 60
    assert live(history) == [(0, "began"), (11, "ended"), (31, "began"), (52, "ended")]


def test_a_cause_that_must_last_is_not_told_when_it_does_not():
    slow = Cause(name="disk", title="t", mend="m", check=CAUSE.check, after=timedelta(minutes=10))
    assert live([True] * 9 + [False] * 30, cause=slow) == []
    assert live([True] * 20, cause=slow) == [(10, "began")]


def test_of_a_cause_without_an_end_only_the_beginning_is_told():
    once = Cause(name="missed", title="t", mend="m", check=CAUSE.check, ends=False)
    assert live([True] * 9 + [False] * 90, cause=once) == [(0, "began")]


def test_a_way_that_fails_is_tried_again_and_each_is_told_once():
    assert live([True] * 100, fails=lambda minute: minute < 5) == [(7, "began")], "after 1, 2 and 4 minutes"
    assert live([True] * 100, ways=("log",)) == [(0, "began")]


def test_while_it_is_quiet_nothing_is_told_and_afterwards_what_is_still_wrong():
    assert live([True] * 60, quiet=lambda minute: minute < 30) == [(30, "began")]
    assert live([True] * 20 + [False] * 40, quiet=lambda minute: minute < 30) == []


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 90)), max_size=60), st.sets(st.integers(0, 1440)))
def test_whatever_comes_and_goes_is_told_in_turns_and_a_few_times_a_day(runs, failing):
    minutes = [there for there, length in runs for _ in range(length)][:1440]
    heard = live(minutes, fails=lambda minute: minute in failing)
    phases = [phase for _, phase in heard]
    assert all(one != other for one, other in pairwise(phases)), "never the same twice in a row"
    assert phases.count("began") <= 10
    if not failing:
        assert phases[:1] in ([], ["began"])


def test_flapping_all_day_is_told_a_few_times():
    heard = live(([True] + [False] * 11) * 120)
    assert sum(phase == "began" for _, phase in heard) == 2


# one look -------------------------------------------------------------------------------------------------------------


def test_an_alarm_is_told_once_by_every_look_and_every_process_and_so_is_its_end(house, hook):
    here = by_hook(house, hook)
    restore(here)
    assert [one.way for one in look(here, NOW)] == ["log", "webhook"]
    for minute in range(1, 5):
        again = Press(settings=here.settings, engine=here.engine, keys=KEYS)  # as after a restart
        assert look(again, NOW + minute * MINUTE) == []
    restore(here, None)
    for minute in range(5, 40):
        look(here, NOW + minute * MINUTE)
    assert states(hook) == [("restored", "began"), ("restored", "ended")]
    began, ended = told(hook)
    assert began["words"] == "it is an older copy of itself, noticed at 06:00 UTC: nothing leaves"
    assert (ended["since"], ended["until"]) == (NOW.isoformat(), (NOW + 5 * MINUTE).isoformat())
    assert began["id"] != ended["id"]


def test_the_webhook_can_tell_that_it_is_our_word(house, hook):
    here = by_hook(house, hook)
    restore(here)
    look(here, NOW)
    ((method, path, headers, body),) = hook.heard
    mac = hmac.new(SECRET.encode(), headers["x-digest-timestamp"].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert (method, path, headers["x-digest-signature"]) == ("POST", "/alarms", f"v1={mac}")
    assert headers["x-digest-timestamp"] == str(int(NOW.timestamp()))
    assert headers["x-digest-id"] == json.loads(body)["id"]
    assert SECRET.encode() not in body


def test_a_webhook_that_fails_is_tried_again_while_the_other_ways_tell(house, hook, tmp_path):
    page = script(tmp_path, f"cat >> {tmp_path}/paged")
    here = by_hook(house, hook, alarm_command=str(page))
    hook.answers = [500, 302, 404]
    restore(here)
    heard = [[(one.way, one.well) for one in look(here, NOW + minute * MINUTE)] for minute in range(12)]
    assert heard[0] == [("log", True), ("webhook", False), ("command", True)]
    assert [(minute, *one) for minute, all_ in enumerate(heard) for one in all_ if minute] == [
        (1, "webhook", False), (3, "webhook", False), (7, "webhook", True),
    ]  # fmt: skip
    assert (tmp_path / "paged").read_text().count("The database was restored") == 1
    assert len({headers["x-digest-id"] for _, _, headers, _ in hook.heard}) == 1


def test_a_webhook_on_a_private_address_is_refused_unless_it_is_allowed(house, hook):
    here = with_ways(house, alarm_webhook=hook.url("/"), alarm_secret=SecretStr(SECRET))
    restore(here)
    (_, by_webhook) = look(here, NOW)
    assert not by_webhook.well
    assert "DIGEST_FETCH_ALLOW" in by_webhook.words
    assert not hook.heard


def script(folder, words):
    file = folder / "page me.sh"
    file.write_text(f"#!/bin/sh\n{words}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return f"'{file}'"


def test_a_command_is_told_in_words_and_surroundings_that_hold_none_of_ours(house, tmp_path, monkeypatch):
    monkeypatch.setenv("DIGEST_HASH_KEY", "f" * 64)
    command = script(tmp_path, f'echo "$1" > "{tmp_path}/said"; cat >> "{tmp_path}/said"; env > "{tmp_path}/around"')
    here = with_ways(house, alarm_command=f"{command} '$(id) ; rm'")
    restore(here)
    look(here, NOW)
    said, around = (tmp_path / "said").read_text(), (tmp_path / "around").read_text()
    assert said.splitlines()[0] == "$(id) ; rm", "no shell read it"
    assert "The database was restored: the database: it is an older copy" in said
    assert "DIGEST_ALARM_STATE=began\n" in around
    assert "DIGEST_ALARM_CAUSE=restored\n" in around
    assert "DIGEST_HASH_KEY" not in around


@pytest.mark.parametrize(("does", "says"), [("exit 3", "code 3"), ("sleep 60 & sleep 60", "longer than 0.5 seconds")])
def test_a_command_that_fails_or_hangs_is_told_as_such(house, tmp_path, monkeypatch, does, says):
    monkeypatch.setattr("digest.ways.SECONDS", 0.5)
    (told_so,) = try_out(with_ways(house, alarm_command=script(tmp_path, does)), NOW)
    assert not told_so.well
    assert says in told_so.words


def test_a_command_that_is_not_there_is_told_as_such(house):
    (told_so,) = try_out(with_ways(house, alarm_command="/nowhere/page-me"), NOW)
    assert "cannot be run: No such file" in told_so.words


# by mail --------------------------------------------------------------------------------------------------------------


def test_an_alarm_leaves_by_mail_through_the_ledger_and_a_real_server(house, tmp_path, monkeypatch):
    monkeypatch.setattr(causes, "CAUSES", [Cause(name="held", title="", mend="", check=full)])
    with sink("smtp", tmp_path / "book") as server:
        here = with_ways(
            house, alarm_email=("Ana@example.org", "ana@EXAMPLE.org", "ben@example.org"), email_transport="smtp",
            smtp_servers=(f"127.0.0.1:{server.port}",), smtp_security="none", alarm_disk=500,
        )  # fmt: skip
        assert [one.way for one in look(here, NOW)] == ["log", "email"]
        assert look(here, NOW + MINUTE) == []
        deliver_services(here, now=lambda: NOW + MINUTE)
        deliver_services(here, now=lambda: NOW + MINUTE)
        assert {address.lower(): number for address, number in server.copies.items()} == {
            "ana@example.org": 1, "ben@example.org": 1,
        }  # fmt: skip


def full(_view):
    yield TROUBLE


def test_what_it_says(house, monkeypatch):
    monkeypatch.setattr(causes, "CAUSES", [Cause(name="held", title="", mend="", check=full)])
    here = with_ways(house, alarm_email=("ana@example.org",))
    look(here, NOW)
    deliver_services(here, now=lambda: NOW)
    (file,) = here.settings.outbox_folder.rglob("*.eml")
    mail = message_from_bytes(file.read_bytes(), policy=policy.default)
    assert mail["Subject"] == "Alarm: The deadline passed without an approval (the outbox)"
    text = mail.get_body(("plain",)).get_content()
    assert "the outbox: only 0.1 GB free." in text
    assert "Read it with digest preview, then digest approve" in text
    assert "Since 2026-11-23 06:00 UTC." in text


def test_while_nothing_may_leave_the_other_ways_still_tell(house, hook):
    here = by_hook(house, hook, alarm_email=("ana@example.org",))
    restore(here)
    look(here, NOW)
    assert states(hook) == [("restored", "began")]
    with pytest.raises(NotReadyError):
        deliver_services(here, now=lambda: NOW)


# faults ---------------------------------------------------------------------------------------------------------------


def broken(_view):
    yield TROUBLE
    raise ZeroDivisionError("reader1@example.net")


def test_a_check_that_breaks_stops_no_other_ends_nothing_and_is_told_itself(house, hook, monkeypatch, caplog):
    here = by_hook(house, hook)
    monkeypatch.setattr(causes, "CAUSES", [Cause(name="held", title="", mend="", check=full)])
    look(here, NOW)
    monkeypatch.setattr(causes, "CAUSES", [Cause(name="held", title="", mend="", check=broken), alarms.ALL["restored"]])
    restore(here)
    seen = watch_over(here, NOW + MINUTE)
    assert seen.failed == ("held",)
    assert sorted(states(hook)) == [("held", "began"), ("look", "began"), ("restored", "began")]
    for minute in range(2, 40):
        look(here, NOW + minute * MINUTE)
    assert ("held", "ended") not in states(hook), "nobody has seen that it is over"
    assert "example.net" not in caplog.text
    assert not is_well(here, seen, NOW)


def test_a_database_that_refuses_makes_a_look_that_failed_and_no_fault(house, monkeypatch):
    here = with_ways(house)
    restore(here)
    monkeypatch.setattr(alarms, "_keep", lambda *_: 1 / 0)
    assert look(here, NOW) == []
    assert watch_over(here, NOW).failed == ("alarms",)


def test_of_many_looks_at_once_one_tells(house, hook):
    here = by_hook(house, hook)
    restore(here)
    threads = [threading.Thread(target=look, args=(here, NOW)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert states(hook) == [("restored", "began")]
    with reading(here.engine) as session:
        assert len(session.exec(select(AlarmRow)).all()) == 1


def killed(_session, *, way, **_):
    if way == "webhook":
        raise KeyboardInterrupt


def test_killed_between_telling_and_writing_down_it_is_told_again_under_the_same_id(house, hook, monkeypatch):
    here = by_hook(house, hook)
    restore(here)
    with monkeypatch.context() as patched:
        patched.setattr(alarms, "_record", killed)
        with pytest.raises(KeyboardInterrupt):
            look(here, NOW)
    assert look(here, NOW + MINUTE) == [], "whoever has it in hand may live"
    for minute in range(2, 20):
        look(here, NOW + minute * MINUTE)
    assert states(hook) == [("restored", "began")] * 2
    assert len({headers["x-digest-id"] for _, _, headers, _ in hook.heard}) == 1


def test_what_is_told_holds_no_address(house, hook, monkeypatch):
    def talkative(_view):
        yield Trouble(
            subject="global", words="550 <reader1@example.net> is unknown, token AbCdEfGh1234567890AbCdEfGh12"
        )

    monkeypatch.setattr(causes, "CAUSES", [Cause(name="held", title="t", mend="m", check=talkative)])
    look(by_hook(house, hook), NOW)
    assert told(hook)[0]["words"] == "550 <***> is unknown, token ***"


def test_a_look_that_finds_nothing_new_writes_nothing(house, monkeypatch):
    here = with_ways(house)
    restore(here)
    look(here, NOW)
    monkeypatch.setattr(alarms, "writing", None)
    assert watch_over(here, NOW + MINUTE).failed == ()


def test_quiet_by_a_person_s_word(house, hook):
    here = by_hook(house, hook)
    hush(here, "restored", NOW + timedelta(hours=2), by="ana")
    restore(here)
    assert look(here, NOW) == []
    assert [one.state for one in look(here, NOW + timedelta(hours=2))] == ["began", "began"]


# the heart --------------------------------------------------------------------------------------------------------------


def test_the_heart_beats_while_all_is_well_and_not_while_a_look_fails(house, hook, monkeypatch):
    here = with_ways(house, heartbeat_url=hook.url("/ping"), fetch_allow=(hook.host,))
    assert is_well(here, watch_over(here, NOW), NOW)
    assert beat(here)
    assert hook.heard[0][:2] == ("GET", "/ping")
    hook.answers = [500]
    assert not beat(here)
    assert not beat(with_ways(house))
    monkeypatch.setattr(causes, "CAUSES", [Cause(name="held", title="", mend="", check=broken)])
    assert not is_well(here, watch_over(here, NOW), NOW)


@pytest.mark.parametrize(("cause", "well"), [("late", False), ("stalled", False), ("clock", False), ("disk", True)])
def test_it_does_not_beat_while_who_should_be_at_work_may_be_dead(house, monkeypatch, cause, well):
    monkeypatch.setattr(causes, "CAUSES", [Cause(name=cause, title="t", mend="m", check=full)])
    here = with_ways(house)
    look(here, NOW)
    assert is_well(here, watch_over(here, NOW + 5 * MINUTE), NOW + 5 * MINUTE) is well


# settings -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("DIGEST_ALARM_EMAIL", "ana@example.org, ben", "'ben' is no address"),
        ("DIGEST_ALARM_WEBHOOK", "ftp://x/y", "a whole address"),
        ("DIGEST_ALARM_WEBHOOK", "https://x.example/y", "DIGEST_ALARM_SECRET"),
        ("DIGEST_ALARM_COMMAND", "page-me now", "/usr/local/bin/page-me"),
        ("DIGEST_ALARM_COMMAND", "/bin/page 'me", "cannot be read"),
        ("DIGEST_HEARTBEAT_URL", "watcher", "a whole address"),
        ("DIGEST_METRICS_FROM", "everybody", "'everybody'"),
    ],
)
def test_wrong_ways_are_refused_in_words(monkeypatch, name, value, says):
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name.removesuffix("_WEBHOOK")) as caught:
        read_settings()
    assert says in str(caught.value)


def test_an_alarm_value_and_its_row_have_the_same_fields():
    assert set(Alarm.__dataclass_fields__) == set(AlarmRow.model_fields) - {"id"}
