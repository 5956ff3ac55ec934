"""How the house stands: the same for people, programs and Prometheus; who may ask; and nothing of any reader."""

import json
import re
from datetime import date, timedelta

import pytest
from sqlalchemy import text
from sqlmodel import SQLModel

from digest.alarms import look
from digest.commands import screen, status
from digest.database import writing
from digest.models import AlarmRow, CadenceRow, LeaderRow, SourceRow, StationRow
from digest.press import Press
from digest.settings import Settings
from digest.standing import metrics, standing
from digest.web.site import build
from tests.answering import answering
from tests.newsroom import KEYS, NOW, morning, opened, readers

TABLE = SQLModel.metadata.tables
MINUTE = timedelta(minutes=1)
LINE = re.compile(
    r'digest_[a-z_]+(\{[a-z]+="(?:[^"\\\n]|\\\\|\\"|\\n)*"(,[a-z]+="(?:[^"\\\n]|\\\\|\\"|\\n)*")*\})? -?[0-9.e+]+'
)


@pytest.fixture
def house(engine, tmp_path):
    """An edition of today that is being sent to 600 readers, 200 of them in the last minute; a day to come."""
    here = morning(engine)
    readers(engine, 600)
    opened(engine, here)
    with writing(engine) as session:
        session.execute(TABLE["edition"].update().values(state="sending", due_at=NOW))
        batch = TABLE["batch"].c
        done = TABLE["batch"].update().where(batch.last_number <= 200)
        session.execute(done.values(state="done", stamp=int((NOW + MINUTE).timestamp() * 1e6)))
        session.add(CadenceRow(digest_id=1, since=NOW, updated_at=NOW))
        session.add(LeaderRow(owner="x", seen_at=NOW.timestamp() + 50))
        for hours, name in ((23, "gather"), (24, "assemble")):
            session.add(
                StationRow(digest_id=1, kind="daily", local_date=date(2026, 11, 24), station=name, due_at=NOW + timedelta(hours=hours))
            )  # fmt: skip
        session.add(AlarmRow(cause="held", subject='a "b"\\\n', since=NOW, words="w"))
        session.add(
            SourceRow(name="s", kind="rss", location="https://s.example/", added_at=NOW, failures=1, last_tried_at=NOW)
        )
    return Press(settings=Settings(home=tmp_path), engine=engine, keys=KEYS)


def test_it_says_how_far_today_s_edition_is_and_what_comes_next(house):
    here = standing(house, NOW + MINUTE)
    (edition,) = here.editions
    assert (edition.candidates, edition.handed, edition.left) == (600, 200, 400)
    assert edition.rate == pytest.approx(200 / 60)
    assert edition.seconds_left == pytest.approx(120)
    (due,) = here.due
    assert (due.digest, due.station, due.due_at) == ("global", "gather", NOW + timedelta(hours=23))
    assert (here.leader_needed, here.leader_age) == (True, 10)
    assert (here.sources, here.sources_failing, here.gathered_at) == (1, 1, NOW)
    assert [one.cause for one in here.alarms] == ["held"]
    assert here.disks[0].free > 0


def test_an_edition_that_is_done_has_all_of_it_handed(house):
    with writing(house.engine) as session:
        session.execute(TABLE["mailing"].update().values(state="done"))
        session.execute(TABLE["edition"].update().values(state="sent"))
    (edition,) = standing(house, NOW + timedelta(hours=1)).editions
    assert (edition.handed, edition.left, edition.rate, edition.seconds_left) == (600, 0, 0, None)
    assert standing(house, NOW + timedelta(days=3)).editions == []


def test_prometheus_can_read_it_and_its_labels_are_few(house):
    said = metrics(standing(house, NOW + MINUTE))
    names = set()
    for line in said.splitlines():
        if line.startswith("#"):
            names.add(line.split()[2])
            continue
        assert LINE.fullmatch(line), line
        assert re.match(r"\w+", line)[0] in names, "described before it is given"
    assert said.endswith("\n")
    assert 'digest_deliveries{digest="global",what="left"} 400\n' in said
    assert 'digest_alarms{cause="held"} 1\n' in said
    assert 'digest_alarms{cause="disk"} 0\n' in said
    assert 'digest_next_station_seconds{digest="global",kind="daily",station="gather"} 82740\n' in said
    assert "digest_leader_age_seconds 10\n" in said
    assert len(said.splitlines()) < 120
    assert '"b"' not in said, "a subject is no label: there may be any number of them"


def test_nothing_of_it_names_a_reader(house):
    with writing(house.engine) as session:
        session.execute(TABLE["mailing"].update().values(reason="reader1@example.net", state="paused"))
        session.execute(TABLE["edition"].update().values(state="paused"))
        session.execute(TABLE["alarm"].delete())
    look(house, NOW + MINUTE)
    here = standing(house, NOW + MINUTE)
    assert {one.cause for one in here.alarms} >= {"paused"}
    assert "@" not in metrics(here) + repr(here.alarms)


# on the screen --------------------------------------------------------------------------------------------------------


def test_on_one_screen(house, monkeypatch, capsys):
    monkeypatch.setattr(status, "open_press", lambda _: house)
    monkeypatch.setattr(status, "datetime", At)
    monkeypatch.setattr(screen.console, "width", 200)
    status.show(None, as_json=False)
    said = capsys.readouterr().out
    assert len(said.splitlines()) < 24
    for words in (
        "held:", "200 of 600, 3 a second, 2 min 0 s left", "Next of global: gather of 2026-11-24", "seen 10 s ago",
        "Sources: 1, 1 failing, last read 1 min ago", "deadline 06:00, due 06:00",
    ):  # fmt: skip
        assert words in said
    status.show(None, as_json=True)
    shown = json.loads(capsys.readouterr().out)
    assert shown["editions"][0]["handed"] == 200
    assert shown["alarms"][0]["cause"] == "held"


class At:
    @staticmethod
    def now(_zone):
        return NOW + MINUTE


# over HTTP ------------------------------------------------------------------------------------------------------------


def ask(house, path, *, at=NOW + MINUTE, headers=None, **settings):
    given = Settings.model_validate({**house.settings.model_dump(), **settings})
    press = Press(settings=given, engine=house.engine, keys=KEYS)
    with answering(build(press, clock=lambda: at)) as client:
        return client.get(path, headers=headers)


def test_we_live_whatever_the_database_does_and_are_ready_only_with_it(house):
    assert ask(house, "/readyz").text == "good\n"
    with house.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    answer = ask(house, "/readyz")
    assert (answer.status_code, answer.text) == (503, "Not ready: the database is not at this version's tables.\n")
    with house.engine.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    assert ask(house, "/readyz").status_code == 503
    assert ask(house, "/healthz").text == "good\n"


def test_it_is_ready_while_somebody_runs_the_day_or_nobody_has_to(house):
    late = NOW + 5 * MINUTE
    assert ask(house, "/readyz", at=late).text == "Not ready: nobody runs the day.\n"
    with writing(house.engine) as session:
        session.execute(TABLE["cadence"].update().values(paused_at=NOW))
    assert ask(house, "/readyz", at=late).status_code == 200


def test_the_numbers_are_for_this_machine_and_named_networks_alone(house):
    answer = ask(house, "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "digest_deliveries" in answer.text
    assert ask(house, "/metrics", metrics_from="10.0.0.0/8").status_code == 404


@pytest.mark.parametrize("header", ["x-forwarded-for", "x-real-ip", "forwarded", "via"])
def test_behind_a_proxy_that_nobody_trusts_nobody_reads_the_numbers(house, header):
    assert ask(house, "/metrics", headers={header: "127.0.0.1"}).status_code == 404


def test_behind_a_trusted_proxy_the_client_counts(house):
    said = {"x-forwarded-for": "10.1.2.3"}
    trusted = {"trusted_proxies": "127.0.0.1", "metrics_from": "10.0.0.0/8"}
    assert ask(house, "/metrics", headers=said, **trusted).status_code == 200
    assert ask(house, "/metrics", headers={"x-forwarded-for": "192.0.2.1"}, **trusted).status_code == 404
    assert ask(house, "/metrics", headers=said, trusted_proxies="127.0.0.1").status_code == 404
