"""Logging in where mail leaves, by SMTP and by a provider, and sending nothing."""

import logging
import socket
from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest

from digest.checkup import house
from digest.settings import Settings
from tests.authority import Authority
from tests.examined import DOMAIN, PASSWORD, RSA, WEBHOOK, of, verdicts
from tests.sendgrid_stand_in import KEY, SILENT, Says
from tests.smtp_stand_in import stand_in


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.mark.parametrize(
    ("host", "until", "password", "says"),
    [
        ("127.0.0.1", 1, "wrong", "refuses the login"),
        ("127.0.0.1", -1, PASSWORD, "certificate has expired"),
        ("mail.example.org", 1, PASSWORD, "is refused"),
    ],
    ids=["wrong password", "expired", "another's certificate"],
)
def test_a_server_that_does_not_let_us_in_is_one_line(asked, sending, authority, host, until, password, says):
    context = authority.server(host, until=datetime.now(UTC) + timedelta(days=until))
    with stand_in(tls=context, passwords={"press": PASSWORD}) as server:
        own = {"smtp_servers": f"127.0.0.1:{server.port}", "smtp_security": "starttls", "smtp_ca": authority.file}
        found = asked(**{**sending, **own, "smtp_user": "press", "smtp_password": password})
        assert server.taken == []
    ((_, verdict, words),) = of(found, "smtp")
    assert (verdict, says in words, "\n" in words) == ("bad", True, False), words
    assert not any(password in words for _, _, words in found if password == PASSWORD)


def test_the_second_server_is_asked_too_and_each_is_told_by_itself(asked, sending):
    servers = f"{sending['smtp_servers']},127.0.0.1:1"
    found = of(asked(**{**sending, "smtp_servers": servers}), "smtp")
    assert [verdict for _, verdict, _ in found] == ["good", "bad"]
    assert "127.0.0.1:1 failed while connecting: " in found[1][2]


def test_a_server_that_says_nothing_is_told_in_time(asked, sending):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        began = monotonic()
        found = asked(**{**sending, "smtp_servers": f"127.0.0.1:{mute.getsockname()[1]}"})
        assert monotonic() - began < 5
    ((_, verdict, words),) = of(found, "smtp")
    assert (verdict, "did not let us in within" in words) == ("bad", True)


@pytest.mark.parametrize("offline", [False, True])
@pytest.mark.parametrize(("name", "value"), [("smtp_servers", ""), ("smtp_rates", "fast"), ("smtp_bounces", "nobody")])
def test_a_setting_of_smtp_that_cannot_be_read_is_told_once(asked, sending, offline, name, value):
    found = [words for _, verdict, words in asked(offline=offline, **{**sending, name: value}) if verdict == "bad"]
    assert len(found) == 1
    assert f"DIGEST_{name.upper()} is" in found[0]


def test_a_key_that_may_send_is_well_and_what_is_published_leads_to_sendgrid(asked, by_sendgrid):
    there, settings = by_sendgrid
    found = asked(**settings)
    assert of(found, "sendgrid", "dkim", "dmarc", "clock") == [
        ("clock", "good", "2026-11-25 06:00:00 UTC, as by sendgrid's clock"),
        ("sendgrid", "good", f"{there.host} lets us in, and the key may send mail"),
        ("dkim", "good", f"s1._domainkey.{DOMAIN} leads to SendGrid's key"),
        ("dkim", "good", f"s2._domainkey.{DOMAIN} leads to SendGrid's key"),
        ("dmarc", "good", f"{DOMAIN}: p=reject by _dmarc.{DOMAIN}"),
    ]
    assert there.asked == [], "nothing was sent"


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (Says(200, {"scopes": ["stats.read", "2fa_required"]}), "may not send mail (mail.send is not among its 2"),
        (Says(200, {"scopes": None}), "may not send mail"),
        (Says(403, {"errors": [{"message": "access forbidden", "field": None}]}), "refuses this account"),
        (Says(500), "no clear answer (500)"),
        (Says(302, headers={"Location": "http://127.0.0.1:1/"}), "refuses this request"),
        (SILENT, "no answer"),
    ],
    ids=["not to send", "nonsense", "forbidden", "broken", "elsewhere", "silent"],
)
def test_a_key_or_a_way_that_will_not_do_is_one_line(asked, by_sendgrid, said, says):
    there, settings = by_sendgrid
    there.lined_up.append(said)
    ((_, verdict, words),) = of(asked(**settings), "sendgrid")
    assert (verdict, says in words, "\n" in words) == ("bad", True, False), words


def test_the_key_is_in_no_finding_and_in_no_log(asked, by_sendgrid, caplog):
    _, settings = by_sendgrid
    caplog.set_level(logging.DEBUG)
    right = asked(**settings)
    wrong = asked(**{**settings, "sendgrid_key": "SG.another-secret"})
    assert verdicts(right, "sendgrid") == ["good"]
    assert verdicts(wrong, "sendgrid") == ["bad"]
    for secret in (KEY, "SG.another-secret"):
        assert secret not in caplog.text
        assert not any(secret in words for _, _, words in right + wrong)


def test_a_domain_that_is_not_authenticated_at_sendgrid_is_told(asked, by_sendgrid, zone):
    _, settings = by_sendgrid
    del zone.records[f"s2._domainkey.{DOMAIN}"]
    assert verdicts(asked(**settings), "dkim") == ["good", "bad"]
    del zone.records[f"s1._domainkey.{DOMAIN}"]
    ((_, verdict, words),) = of(asked(**settings), "dkim")
    assert (verdict, "Sender Authentication" in words) == ("bad", True)
    zone.put("m1._domainkey.example.org", "TXT", RSA.record)
    assert verdicts(asked(**settings), "dkim") == ["good"], "and an authenticated parent signs for it"


def test_an_alias_that_leads_to_no_key_is_told(asked, by_sendgrid, zone):
    _, settings = by_sendgrid
    del zone.records["s1.domainkey.u1.wl1.sendgrid.net"]
    found = of(asked(**settings), "dkim")
    assert [verdict for _, verdict, _ in found] == ["bad", "good"]
    assert "leads to no key" in found[0][2]


def test_with_sendgrid_no_spf_of_one_s_own_is_needed_and_a_wrong_one_is_told(asked, by_sendgrid, zone):
    _, settings = by_sendgrid
    zone.put(DOMAIN, "TXT", "nothing of spf")
    assert verdicts(asked(**settings), "spf") == ["good"]
    zone.put(DOMAIN, "TXT", "v=spf1 +all")
    assert verdicts(asked(**settings), "spf") == ["bad"]


def test_a_sandbox_in_which_nobody_gets_mail_is_told(asked, by_sendgrid):
    _, settings = by_sendgrid
    found = of(asked(**settings, sendgrid_sandbox="true"), "sendgrid")
    assert [verdict for _, verdict, _ in found] == ["warn", "good"]


@pytest.mark.parametrize(("key", "told"), [("", True), (WEBHOOK.setting, False)])
def test_events_that_nobody_could_verify_are_told(home, key, told):
    settings = Settings(home=home, email_transport="sendgrid", sendgrid_key=KEY, sendgrid_webhook_key=key)
    assert any("DIGEST_SENDGRID_WEBHOOK_KEY is empty" in one.words for one in house.look(settings)) is told


@pytest.mark.parametrize(
    ("address", "verdict"),
    [
        ("https://news.example.org", "good"),
        ("http://news.example.org", "bad"),
        ("https://localhost:8000", "bad"),
        ("https://10.0.0.7", "bad"),
        ("https://press.local", "bad"),
    ],
)
def test_readers_links_must_lead_somewhere_when_mail_leaves(asked, sending, address, verdict):
    found = asked(offline=True, **{**sending, "base_url": address})
    assert verdicts(found, "base address") == [verdict]
    calm = asked(offline=True, **{**sending, "base_url": address, "email_transport": "outbox"})
    assert verdicts(calm, "base address") == ["good"]
