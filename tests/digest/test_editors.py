"""Editors are told of a draft, of its deadline and of what became of it, each once, in their language and zone."""

import re
import threading
from datetime import date, timedelta
from email import message_from_bytes, policy

import pytest
from sqlmodel import select

from digest import desk, editions
from digest.commands.house import read_field
from digest.database import reading, writing
from digest.deliveries.services import LEAVES_WITHIN
from digest.editors import tell_outcome, tell_ready, tell_reminder
from digest.errors import SettingsError
from digest.models import DigestRow, EditionRow, EditionVersionRow, MailingRow, SubscriptionRow
from digest.posting import deliver_services
from digest.press import Press, apply_deadline
from digest.settings import Settings
from digest.values import EditionState, Fallback, ServiceKind
from tests.newsroom import KEYS, NOW, founded, readers

EDITORS = ["ana@example.org", "ben@example.org"]
DEADLINE = NOW + timedelta(minutes=45)
HEADLINES = ["Rail link opens", "Markets & <rivers> rise"]


@pytest.fixture
def house(engine, tmp_path):
    founded(engine, zone="Europe/Madrid", editors=EDITORS)
    return Press(settings=Settings(home=tmp_path / "a home"), engine=engine, keys=KEYS)


def draft(house, *, headlines=HEADLINES, **fields):
    with writing(house.engine) as session:
        row = EditionRow(
            **{"digest_id": 1, "local_date": date(2026, 11, 23), "deadline_at": DEADLINE, "created_at": NOW, **fields}
        )
        session.add(row)
        session.flush()
        content = {"slots": [{"headline": one} for one in headlines], "left_out": [], "notes": []}
        session.add(
            EditionVersionRow(edition_id=row.id, number=1, content=content, content_hash="c", by="the press", at=NOW)
        )
    return row


def change(house, **fields):
    with writing(house.engine) as session:
        row = session.exec(select(DigestRow)).one()
        for name, value in fields.items():
            setattr(row, name, value)
        session.add(row)


def mails(house, now=NOW):
    deliver_services(house, now=lambda: now)
    files = sorted(house.settings.outbox_folder.rglob("*.eml"), key=lambda file: file.stat().st_mtime_ns)
    return [message_from_bytes(file.read_bytes(), policy=policy.default) for file in files]


def parts(mail):
    return [mail.get_body((part,)).get_content().replace("\r\n", "\n") for part in ("plain", "html")]


def test_the_draft_is_ready_says_when_it_is_due_what_then_and_how_to_act(house):
    edition = draft(house, due_at=DEADLINE + timedelta(minutes=15))
    assert tell_ready(house, edition, NOW) == 2
    got = mails(house)
    assert sorted(mail["To"] for mail in got) == EDITORS
    text, html = parts(got[0])
    assert got[0]["Subject"] == "The draft of Global Morning for Monday 23 November 2026 is ready"
    assert "The deadline is at 07:45 (Europe/Madrid)." in text
    assert "If nobody acts by then, it is held, and nobody gets it." in text
    assert "Its first readers are due at 08:00 (Europe/Madrid)." in text
    assert "1. Rail link opens\n2. Markets & <rivers> rise\n" in text
    assert "Markets &amp; &lt;rivers&gt; rise" in html
    assert f"digest --home '{house.settings.home}' approve global {edition.id}" in text
    assert f"editions move skip {edition.id}" in text
    assert got[0]["Auto-Submitted"] == "auto-generated"
    assert got[0]["List-Unsubscribe"] is None
    assert "\n\n\n" not in text


def test_the_commands_it_names_are_commands(house):
    from typer.testing import CliRunner

    from digest.__main__ import app

    edition = draft(house)
    tell_ready(house, edition, NOW)
    tell_ready(house, draft(house, name="x"), NOW)
    text = parts(mails(house)[0])[0]
    for line in re.findall(r"digest --home '[^']+' (.+)", text):
        words = [word for word in line.split() if not word.isdigit() and word not in {"global", "draft.html", "skip"}]
        words = [word for word in words if word != "--out"]
        shown = CliRunner().invoke(app, [*words, "--help"])
        assert shown.exit_code == 0, line
        assert "EDITION" in shown.output


@pytest.mark.parametrize("fallback", list(Fallback))
def test_each_says_what_happens_if_nobody_acts(house, fallback):
    tell_ready(house, draft(house, fallback=fallback), NOW)
    said = {"send": "it is sent as it stands", "checks": "if its checks pass", "hold": "nobody gets it"}
    assert said[fallback] in parts(mails(house)[0])[0]


def test_in_spanish_whole_and_the_press_s_own_reasons_too(house):
    change(house, language="es")
    edition = draft(house)
    tell_ready(house, edition, NOW)
    apply_deadline(house, edition, now=DEADLINE)
    tell_outcome(house, edition, DEADLINE)
    ready, outcome = [mail for mail in mails(house, DEADLINE) if mail["To"] == EDITORS[0]]
    assert ready["Content-Language"] == "es"
    assert "El plazo termina a las 07:45 (Europe/Madrid)." in parts(ready)[0]
    assert outcome["Subject"] == "Global Morning del lunes 23 de noviembre de 2026 queda retenido"
    assert "El plazo pasó y nadie lo había aprobado." in parts(outcome)[0]
    assert not re.search(r"\b(the|nobody|deadline)\b", parts(ready)[0] + parts(outcome)[0])


@pytest.mark.parametrize(
    ("language", "said"),
    [
        (
            "en",
            "Readers who chose to get Global Morning once a week, and get nothing while no weekly edition appears: 2.",
        ),
        ("es", "Lectores que eligieron recibir Global Morning una vez por semana y no reciben nada mientras"),
    ],
)
def test_readers_who_wait_for_a_weekly_edition_that_does_not_appear_are_told_of(house, language, said):
    change(house, language=language)
    readers(house.engine, 3)
    tell_ready(house, draft(house), NOW)
    with writing(house.engine) as session:
        wishes = SubscriptionRow.metadata.tables["subscription"]
        session.execute(wishes.update().where(wishes.c.id > 1).values(frequency="weekly"))
    tell_ready(house, draft(house, name="x"), NOW)
    texts = [" ".join(parts(mail)[0].split()) for mail in mails(house)]
    assert sorted(said in text for text in texts) == [False, False, True, True], "two editors, two drafts"


def test_each_is_told_once_whatever_is_started_again(house):
    edition = draft(house)
    assert [tell_ready(house, edition, NOW) for _ in range(3)] == [2, 0, 0]
    assert [tell_reminder(house, edition, NOW) for _ in range(2)] == [2, 0]
    assert tell_outcome(house, edition, NOW) == 0, "nothing has become of it"
    apply_deadline(house, edition, now=DEADLINE)
    assert [tell_outcome(house, edition, DEADLINE) for _ in range(2)] == [2, 0]
    again = Press(settings=house.settings, engine=house.engine, keys=KEYS)
    assert tell_outcome(again, edition, DEADLINE) == 0
    with writing(house.engine) as session:
        desk.change(session, desk.locked(session, edition), "skip", who="ana", now=DEADLINE, reason="No news")
    assert tell_outcome(again, edition, DEADLINE) == 2, "that is another event"
    subjects = [mail["Subject"] for mail in mails(house, DEADLINE) if mail["To"] == EDITORS[0]]
    assert [one.split()[-1] for one in subjects] == ["ready", "yet", "held", "skipped"]


def test_of_two_that_tell_at_once_one_does(house):
    edition, told = draft(house), []
    threads = [threading.Thread(target=lambda: told.append(tell_ready(house, edition, NOW))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(told) == [0, 0, 0, 2]


def test_who_has_acted_is_not_reminded_and_nobody_after_the_deadline(house):
    edition = draft(house)
    assert tell_reminder(house, edition, DEADLINE) == 0
    with writing(house.engine) as session:
        desk.change(session, desk.locked(session, edition), "hold", who="ana", now=NOW, reason="waiting for legal")
    assert tell_ready(house, edition, NOW) == tell_reminder(house, edition, NOW) == 0
    assert tell_outcome(house, edition, NOW) == 2
    assert "waiting for legal" in parts(mails(house)[0])[0]


def test_a_digest_without_editors_tells_nobody_until_it_has_some(house):
    change(house, editors=[])
    edition = draft(house)
    assert tell_ready(house, edition, NOW) == 0
    change(house, editors=["ana@example.org", "ANA@example.org"])
    assert tell_ready(house, edition, NOW) == 1, "one mailbox gets one letter"


def test_a_draft_without_stories_says_so(house):
    tell_ready(house, draft(house, headlines=[]), NOW)
    assert "It has no stories." in parts(mails(house)[0])[0]


def test_a_reminder_that_could_not_leave_in_time_does_not_leave_late(house):
    tell_reminder(house, draft(house), NOW)
    assert not mails(house, NOW + LEAVES_WITHIN[ServiceKind.REMINDER])
    with reading(house.engine) as session:
        assert {row.state for row in session.exec(select(MailingRow))} == {"done"}


def test_the_audit_knows_that_they_were_told(house):
    edition = draft(house)
    tell_ready(house, edition, NOW)
    with reading(house.engine) as session:
        (line,) = desk.audit_of(session, edition)
    assert (line.who, line.did, line.detail["editors"]) == (editions.PRESS, "tell editors: ready", 2)
    assert "example.org" not in str(line.detail)
    assert edition.state == EditionState.DRAFT


def test_editors_are_set_as_addresses():
    assert read_field("editors", "Ana@Example.org, ben@bücher.example") == [
        "Ana@example.org",
        "ben@xn--bcher-kva.example",
    ]
    assert read_field("editors", "") == []
    with pytest.raises(SettingsError, match="--editors: an address reads name@domain"):
        read_field("editors", "ana@example.org,ben")
