"""The doctor: what is wrong is named with what to change, what is right is said to be so, and nobody is waited for long."""

import json
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import pytest
from sqlmodel import select

from digest import app
from digest.checkup import clock, examine, house, senders, storage
from digest.checkup.names import Names
from digest.checkup.storage import Sender, Stored
from digest.database import open_engine, writing
from digest.dkim import make_key, pem
from digest.models import DigestRow
from digest.settings import Settings
from tests.authority import Authority
from tests.dns_stand_in import names
from tests.newsroom import readers
from tests.sendgrid_events import Signer
from tests.sendgrid_stand_in import KEY, SILENT, Says
from tests.sendgrid_stand_in import stand_in as sendgrid
from tests.smtp_stand_in import stand_in

NOW = datetime(2026, 11, 25, 6, 0, tzinfo=UTC)
DOMAIN = "news.example.org"
ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "open-sesame-1001"
WEBHOOK = Signer()
RSA, OTHER, ED25519 = (
    make_key("news1", ed25519=False),
    make_key("news1", ed25519=False),
    make_key("news2", ed25519=True),
)
SENDER = {
    "from_name": "The Daily Example", "from_address": f"global@{DOMAIN}", "reply_to": "editors@example.org",
    "postal_address": "1 Press Street, Madrid",
}  # fmt: skip


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """A home with one digest that is ready to be sent; tests work on copies."""
    home = tmp_path_factory.mktemp("doctor") / "press"
    app.found(home, slug="global", fields={"name": "Global", **SENDER}, now=NOW).engine.dispose()
    return home


@pytest.fixture
def home(prepared, tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("DIGEST_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(prepared, tmp_path / "press")
    return Path("press")


@pytest.fixture
def asked(home, monkeypatch):
    """Ask the doctor, with settings; findings as (what, verdict, words)."""

    def ask(*, offline=False, now=NOW, **settings):
        for name, value in settings.items():
            monkeypatch.setenv(f"DIGEST_{name.upper()}", str(value))
        return [(one.what, one.verdict, one.words) for one in examine(home, now=now, offline=offline)]

    return ask


@pytest.fixture
def zone():
    """A DNS that says all that should be said of the sender."""
    with names() as here:
        here.put(DOMAIN, "TXT", "v=spf1 include:relay.example.net ~all", "some-verification=1")
        here.put("relay.example.net", "TXT", "v=spf1 ip4:192.0.2.1 -all")
        here.put(DOMAIN, "MX", "10 mx.example.org.")
        here.put("example.org", "A", "192.0.2.2")
        here.put(f"news1._domainkey.{DOMAIN}", "TXT", RSA.record)
        here.put(f"_dmarc.{DOMAIN}", "TXT", f"v=DMARC1; p=reject; rua=mailto:dmarc@{DOMAIN}")
        yield here


@pytest.fixture
def sending(home, zone, tmp_path):
    """The settings of a house that sends by SMTP, signed, with a server that lets it in."""
    file = tmp_path / "news1.pem"
    file.write_bytes(pem(RSA))
    file.chmod(0o600)
    with stand_in() as server:
        yield {
            "email_transport": "smtp", "smtp_servers": f"127.0.0.1:{server.port}", "smtp_security": "none",
            "smtp_hello": "press.example.org", "dkim_keys": f"news1={file}", "dns_server": zone.server,
            "base_url": "https://news.example.org",
        }  # fmt: skip


def of(found, *whats):
    return [one for one in found if one[0] in whats]


def verdicts(found, what):
    return [verdict for _, verdict, _ in of(found, what)]


def publish(zone, words):
    """What a finding asks for, done to the letter; the one blank it may leave is filled in."""
    words = words.replace("ADDRESS-OF-YOUR-RELAY", "192.0.2.1")
    name, text = re.search(r"([\w.-]+)\. IN TXT \( (.*) \)$", words).groups()
    kept = [one for one in zone.records.get(name, {}).get("TXT", []) if not one.lower().startswith(("v=spf1", "v=dm"))]
    zone.put(name, "TXT", *(kept if "_domainkey" not in name else []), "".join(re.findall('"([^"]*)"', text)))


# a house in order ---------------------------------------------------------------------------------------------------


def test_a_house_in_order_has_nothing_to_mend(asked, sending):
    found = asked(**sending)
    can = "not encrypted, no login, PIPELINING, 8BITMIME, SMTPUTF8, messages up to 10 MB"
    assert of(found, "spf", "dkim", "dmarc", "mx", "smtp", "dns") == [
        ("smtp", "good", f"{sending['smtp_servers']} lets us in: {can}"),
        ("spf", "good", f"{DOMAIN}: v=spf1 include:relay.example.net ~all"),
        ("dkim", "good", f"news1._domainkey.{DOMAIN} holds our key"),
        ("dmarc", "good", f"{DOMAIN}: p=reject by _dmarc.{DOMAIN}"),
        ("mx", "good", "example.org takes mail"),
        ("mx", "good", f"{DOMAIN} takes mail at mx.example.org"),
    ]
    assert [one for one in found if one[1] == "bad"] == []
    assert {what for what, _, _ in found} >= {"settings", "base address", "secrets", "dkim key", "templates", "disk",
                                              "database", "digest", "clock", "zones"}  # fmt: skip


def test_offline_nobody_is_asked(asked, sending, zone, home):
    found = asked(offline=True, **sending)
    assert of(found, "spf", "dkim", "dmarc", "mx", "smtp", "dns") == []
    assert verdicts(found, "database") == ["good"]
    assert zone.asked.total() == 0


def test_while_all_goes_to_the_outbox_nothing_need_be_published_yet(asked, zone):
    zone.records.clear()
    found = asked(dns_server=zone.server)
    assert {verdict for _, verdict, _ in of(found, "spf", "dkim", "dmarc", "mx")} == {"warn"}
    assert [one for one in found if one[1] == "bad"] == []


def test_a_house_whose_sender_is_not_set_yet_asks_no_dns(asked, zone, home):
    change(home, from_address="global@newsroom.invalid")
    asked(dns_server=zone.server)
    assert zone.asked.total() == 0


def change(home, **fields):
    engine = open_engine(f"sqlite:///{home / 'digest.sqlite'}")
    with writing(engine) as session:
        row = session.exec(select(DigestRow)).one()
        for name, value in fields.items():
            setattr(row, name, value)
        session.add(row)
    engine.dispose()


# who may send -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("records", "verdict", "says"),
    [
        ([], "bad", "says nowhere who may send for it"),
        (["v=spf1 mx +all"], "bad", "lets everybody send"),
        (["v=spf1 mx all"], "bad", "lets everybody send"),
        (["v=spf1 mx ?all"], "warn", "keeps nobody out"),
        (["v=spf1 mx"], "warn", "keeps nobody out"),
        (["v=spf1 mx -all", "V=SPF1 ip4:192.0.2.7 ~all"], "bad", "has 2 records"),
    ],
)
def test_an_spf_record_that_will_not_do_is_told_with_the_one_to_publish(asked, sending, zone, records, verdict, says):
    zone.put(DOMAIN, "TXT", *records)
    ((_, was, words),) = of(asked(**sending), "spf")
    assert was == verdict
    assert says in words
    publish(zone, words)
    assert verdicts(asked(**sending), "spf") == ["good"], "once it is published all is well"


def test_the_record_to_publish_names_the_servers_that_we_send_by(home, zone):
    zone.put(DOMAIN, "TXT", "nothing of spf")
    servers = ("127.0.0.1:25", "smtp.example.net:2525", "198.51.100.7", "9.9.9.9", "relay")
    settings = Settings(home=home, email_transport="smtp", smtp_servers=servers, dns_server=zone.server)
    words = senders.look(settings, [Sender(DOMAIN, "")], monotonic() + 3)[0].words
    assert '"v=spf1 ip4:ADDRESS-OF-YOUR-RELAY a:smtp.example.net ip4:9.9.9.9 ~all"' in words


@pytest.mark.parametrize("term", ["ip4:300.1.2.3", "ip6:192.0.2.1", "include", "mx4", "all:x", "ip4/192.0.2.1", "+-a"])
def test_a_term_that_no_receiver_can_read_is_named(asked, sending, zone, term):
    zone.put(DOMAIN, "TXT", f"v=spf1 {term} -all")
    ((_, verdict, words),) = of(asked(**sending), "spf")
    assert verdict == "bad"
    assert f"{term} cannot be read" in words


@pytest.mark.parametrize(
    "record",
    ["v=spf1 -all", "v=spf1 a mx:example.org/24 a/24//64 ip4:192.0.2.0/24 ip6:2001:db8::/32 exists:%{i}.x.example.org -all",
     "v=spf1 redirect=relay.example.net", "v=spf1 +a ~mx exp=why.example.org future=1 ~all", "V=SPF1 IP4:192.0.2.1 -ALL"],
)  # fmt: skip
def test_what_the_rules_allow_is_well(asked, sending, zone, record):
    zone.put(DOMAIN, "TXT", record)
    assert verdicts(asked(**sending), "spf") == ["good"]


@pytest.mark.parametrize(("width", "depth", "too_many"), [(9, 1, False), (10, 1, True), (1, 9, False), (1, 10, True)])
def test_look_ups_are_counted_through_all_that_is_included(asked, sending, zone, width, depth, too_many):
    """One for the chain's beginning, one for each of its links, or `width` more at its end."""
    zone.put(DOMAIN, "TXT", "v=spf1 include:c1.example.net -all")
    for at in range(1, depth):
        zone.put(f"c{at}.example.net", "TXT", f"v=spf1 include:c{at + 1}.example.net -all")
    last = " ".join(f"a:a{n}.example.net" for n in range(width))
    zone.put(f"c{depth}.example.net", "TXT", f"v=spf1 {last} ip4:192.0.2.1 -all")
    ((_, verdict, words),) = of(asked(**sending), "spf")
    assert (verdict == "bad") is too_many
    assert ("more than 10" in words) is too_many


def test_an_include_that_leads_in_a_circle_ends(asked, sending, zone):
    zone.put(DOMAIN, "TXT", f"v=spf1 include:{DOMAIN} -all")
    ((_, verdict, words),) = of(asked(**sending), "spf")
    assert (verdict, "more than 10" in words) == ("bad", True)


def test_an_include_of_who_has_none_is_told(asked, sending, zone):
    zone.put(DOMAIN, "TXT", "v=spf1 include:gone.example.net -all")
    ((_, verdict, words),) = of(asked(**sending), "spf")
    assert (verdict, "includes gone.example.net" in words) == ("bad", True)


def test_it_is_the_domain_that_bounces_go_to_whose_spf_is_looked_at(asked, sending, zone):
    zone.put("bounces.example.com", "MX", "10 mx.example.com.")
    found = asked(**sending, smtp_bounces="b@bounces.example.com")
    assert "bounces.example.com says nowhere who may send for it" in of(found, "spf")[0][2]
    assert ("mx", "good", "bounces.example.com takes mail at mx.example.com") in found
    assert any("SPF does not count" in words for _, _, words in of(found, "dmarc"))


# who signs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("records", "verdict", "says"),
    [
        ([], "bad", "is not published"),
        ([OTHER.record], "bad", "another key than ours"),
        ([ED25519.record], "bad", "another key than ours"),
        (["v=DKIM1; k=rsa; p="], "bad", "holds no key"),
        (["v=spf1 -all"], "bad", "holds no key"),
        ([RSA.record, OTHER.record], "bad", "has 2 records"),
        ([f"{RSA.record}; h=sha1"], "bad", "does not let our signatures count"),
        ([RSA.record.replace("DKIM1", "DKIM2")], "bad", "does not let our signatures count"),
        ([f"{RSA.record}; t=s:y"], "warn", "only a test"),
    ],
)
def test_a_key_that_is_published_wrongly_is_told_with_the_record_to_publish(
    asked, sending, zone, records, verdict, says
):
    if records:
        zone.put(f"news1._domainkey.{DOMAIN}", "TXT", *records)
    else:
        del zone.records[f"news1._domainkey.{DOMAIN}"]
    ((_, was, words),) = of(asked(**sending), "dkim")
    assert (was, says in words) == (verdict, True), words
    publish(zone, words)
    assert verdicts(asked(**sending), "dkim") == ["good"]


def test_a_key_is_ours_however_it_was_typed(asked, sending, zone):
    broken = re.sub("(p=.{100})", r"\1  ", RSA.record.replace("v=DKIM1; k=rsa; ", ""))
    zone.put(f"news1._domainkey.{DOMAIN}", "TXT", f"{broken};")
    assert verdicts(asked(**sending), "dkim") == ["good"]


def test_a_key_of_4096_bits_is_read_though_its_record_is_too_long_for_one_packet(asked, sending, zone):
    zone.put(f"news1._domainkey.{DOMAIN}", "TXT", RSA.record + "; n=" + "x" * 1500)
    assert verdicts(asked(**sending), "dkim") == ["good"]
    assert zone.by_tcp >= 1


def test_every_key_is_looked_at_and_ed25519_alone_is_not_enough(asked, sending, zone, tmp_path):
    file = tmp_path / "news2.pem"
    file.write_bytes(pem(ED25519))
    file.chmod(0o640)
    zone.put(f"news2._domainkey.{DOMAIN}", "TXT", ED25519.record)
    both = {**sending, "dkim_keys": f"{sending['dkim_keys']},news2={file}"}
    assert verdicts(asked(**both), "dkim") == ["good", "good"]
    assert ("dkim key", "bad", f"others can read {file}: chmod 600 {file}") in asked(**both)
    alone = asked(**{**sending, "dkim_keys": f"news2={file}"})
    assert verdicts(alone, "dkim") == ["good"]
    assert any(verdict == "warn" and "add an RSA key" in words for _, verdict, words in of(alone, "dkim key"))


@pytest.mark.parametrize(
    ("values", "verdict", "says"),
    [
        ({"dkim_keys": ""}, "warn", "left to your relay"),
        ({"dkim_domain": "example.com"}, "bad", "count for nothing in mail from news.example.org"),
    ],
)
def test_a_setting_that_keeps_us_from_signing_is_told(asked, sending, values, verdict, says):
    ((_, was, words),) = of(asked(**{**sending, **values}), "dkim")
    assert (was, says in words) == (verdict, True), words


def test_a_key_that_cannot_be_read_is_told_without_asking_anybody(asked, sending):
    found = asked(offline=True, **{**sending, "dkim_keys": "news1=missing.pem"})
    assert [one for one in found if one[1] == "bad"] == [
        ("dkim key", "bad", "DIGEST_DKIM_KEYS: missing.pem cannot be read: No such file or directory.")
    ]


# what receivers are told --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("records", "verdict", "says"),
    [
        ([], "bad", "large receivers demand"),
        (["v=DMARC1; rua=mailto:a@example.org"], "bad", "names no policy"),
        (["v=DMARC1; p=sometimes"], "bad", "names no policy"),
        (["v=DMARC1; p=quarantine;"], "warn", "asks for no reports"),
    ],
)
def test_a_dmarc_record_that_will_not_do_is_told_with_the_one_to_publish(asked, sending, zone, records, verdict, says):
    zone.records.pop(f"_dmarc.{DOMAIN}")
    if records:
        zone.put(f"_dmarc.{DOMAIN}", "TXT", *records)
    ((_, was, words),) = of(asked(**sending), "dmarc")
    assert (was, says in words) == (verdict, True), words
    publish(zone, words)
    assert verdicts(asked(**sending), "dmarc") == ["good"]


def test_two_dmarc_records_are_none(asked, sending, zone):
    zone.put(f"_dmarc.{DOMAIN}", "TXT", "v=DMARC1; p=none; rua=mailto:a@example.org", "v=DMARC1; p=reject")
    ((_, verdict, words),) = of(asked(**sending), "dmarc")
    assert (verdict, "none of them counts" in words) == ("bad", True)


def test_the_organisation_s_record_holds_for_what_is_below_it(asked, sending, zone):
    zone.records.pop(f"_dmarc.{DOMAIN}")
    zone.put("_dmarc.example.org", "TXT", "v=DMARC1; p=reject; sp=quarantine; rua=mailto:a@example.org")
    assert of(asked(**sending), "dmarc") == [
        ("dmarc", "good", f"{DOMAIN}: p=quarantine by _dmarc.example.org"),
    ]


def test_a_signature_that_strict_alignment_does_not_count_is_told(asked, sending, zone):
    zone.put(f"_dmarc.{DOMAIN}", "TXT", "v=DMARC1; p=reject; adkim=s; rua=mailto:a@example.org")
    zone.put("news1._domainkey.example.org", "TXT", RSA.record)
    assert verdicts(asked(**sending), "dmarc") == ["good"]
    found = of(asked(**sending, dkim_domain="example.org"), "dmarc")
    assert [verdict for _, verdict, _ in found] == ["good", "bad"]
    assert "DIGEST_DKIM_DOMAIN to news.example.org" in found[1][2]


@pytest.mark.parametrize(
    ("record", "policy", "verdict", "says"),
    [
        ("v=BIMI1; l=https://example.org/logo.svg; a=https://example.org/logo.pem", "reject", "good", "a logo"),
        ("v=BIMI1; l=https://example.org/logo.svg", "quarantine", "good", "without the certificate"),
        ("v=BIMI1; l=https://example.org/logo.svg", "none", "warn", "p=quarantine or p=reject"),
        ("v=BIMI1; l=http://example.org/logo.svg", "reject", "warn", "cannot be read"),
        ("v=BIMI1; l=https://example.org/logo.png", "reject", "warn", "cannot be read"),
        ("v=BIMI1", "reject", "warn", "cannot be read"),
        ("v=BIMI1; l=; a=", "none", "good", "no logo wanted"),
    ],
)
def test_a_logo_is_looked_at_where_there_is_one(asked, sending, zone, record, policy, verdict, says):
    zone.put(f"_dmarc.{DOMAIN}", "TXT", f"v=DMARC1; p={policy}; rua=mailto:a@example.org")
    assert of(asked(**sending), "bimi") == []
    zone.put(f"default._bimi.{DOMAIN}", "TXT", record)
    ((_, was, words),) = of(asked(**sending), "bimi")
    assert (was, says in words) == (verdict, True), words


@pytest.mark.parametrize(
    ("records", "verdict", "says"),
    [
        ({"MX": ["10 mx.example.org.", "5 mx2.example.org."]}, "good", "mx.example.org, mx2.example.org"),
        ({"AAAA": ["2001:db8::1"]}, "good", "takes mail"),
        ({"MX": ["0 ."]}, "bad", "says that it takes no mail"),
        ({"TXT": ["hello"]}, "bad", "publish example.org. IN MX 10"),
    ],
)
def test_where_answers_go_there_must_be_somebody(asked, sending, zone, records, verdict, says):
    zone.records["example.org"] = records
    _, was, words = of(asked(**sending), "mx")[0]
    assert (was, says in words) == (verdict, True), words


# DNS that is not there ----------------------------------------------------------------------------------------------


def test_a_dns_that_does_not_answer_is_one_finding_and_no_hang(asked, sending, zone):
    zone.mute = True
    began = monotonic()
    found = asked(**sending)
    assert monotonic() - began < 5
    assert of(found, "dns", "spf", "dkim", "dmarc", "mx") == [
        ("dns", "bad", "127.0.0.1 answers nothing: look at the network and at DIGEST_DNS_SERVER")
    ]


def test_a_first_answer_that_is_a_refusal_keeps_no_other_question_from_being_asked(asked, sending, zone):
    zone.broken |= set(zone.records) - {f"_dmarc.{DOMAIN}"}
    found = asked(**sending)
    assert [verdict for _, verdict, _ in of(found, "dns", "dmarc", "spf")] == ["warn", "good"]


def test_names_that_nobody_answers_for_are_told_and_hide_nothing_else(asked, sending, zone):
    zone.silent.add(f"_dmarc.{DOMAIN}")
    zone.broken.add("relay.example.net")
    found = asked(**sending)
    ((_, verdict, words),) = of(found, "dns")
    assert verdict == "warn"
    assert f"no answer about _dmarc.{DOMAIN}, relay.example.net" in words
    assert [what for what, _, _ in of(found, "spf", "dkim", "dmarc", "mx")] == ["spf", "dkim", "mx", "mx"]


def test_a_port_where_nobody_listens_is_told_in_time(asked, sending):
    began = monotonic()
    found = asked(**{**sending, "dns_server": "127.0.0.1:1"})
    assert verdicts(found, "dns") == ["bad"]
    assert monotonic() - began < 5


@pytest.mark.parametrize("wrong", ["dns.example.org", "127.0.0.1:x", "127.0.0.1:70000"])
def test_a_dns_server_that_is_no_address_is_named(asked, sending, wrong):
    ((_, verdict, words),) = of(asked(**{**sending, "dns_server": wrong}), "dns")
    assert (verdict, "DIGEST_DNS_SERVER is wrong" in words) == ("bad", True)


def test_the_system_s_dns_is_asked_where_none_is_named():
    file = Path("/etc/resolv.conf")
    known = re.findall(r"(?m)^nameserver\s+(\S+)", file.read_text()) if file.exists() else []
    if not known:
        pytest.skip("this machine names no DNS server")
    assert Names("", 0.0).servers == ", ".join(known)


# the ways out -------------------------------------------------------------------------------------------------------


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


@pytest.fixture
def by_sendgrid(home, zone):
    for selector in ("s1", "s2"):
        zone.put(f"{selector}._domainkey.{DOMAIN}", "CNAME", f"{selector}.domainkey.u1.wl1.sendgrid.net.")
        zone.put(f"{selector}.domainkey.u1.wl1.sendgrid.net", "TXT", RSA.record)
    with sendgrid() as there:
        yield there, {
            "email_transport": "sendgrid", "sendgrid_key": KEY, "sendgrid_host": there.host, "dns_server": zone.server,
            "base_url": "https://news.example.org", "sendgrid_webhook_key": WEBHOOK.setting,
        }  # fmt: skip


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


# clock and zones ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("off", "verdict"), [(3, "good"), (30, "warn"), (-30, "warn"), (3600, "bad"), (-3600, "bad")])
def test_a_clock_that_differs_from_the_provider_s_is_told(asked, by_sendgrid, off, verdict):
    there, settings = by_sendgrid
    there.clock = lambda: datetime.now(UTC) - timedelta(seconds=off)
    ((_, was, words),) = of(asked(**settings), "clock")
    assert was == verdict
    assert verdict == "good" or ("before" if off > 0 else "behind") in words


def test_a_clock_that_was_set_back_behind_the_last_marker_is_told(home, asked):
    engine = open_engine(f"sqlite:///{home / 'digest.sqlite'}")
    stamp = int((NOW + timedelta(hours=1)).timestamp() * 1e6)
    with writing(engine) as session:
        session.connection().exec_driver_sql(
            "INSERT INTO sender (id, owner, lease_until, stamp) VALUES (1, '', 0, ?)", (stamp,)
        )
    engine.dispose()
    ((_, verdict, words),) = of(asked(offline=True), "clock")
    assert (verdict, "set back" in words) == ("bad", True)
    assert verdicts(asked(offline=True, now=NOW + timedelta(hours=2)), "clock") != ["bad"]


@pytest.mark.postgres
def test_the_database_server_s_clock_is_compared_with_ours(asked, postgres_server):
    url = postgres_server.create_migrated()
    found = asked(offline=True, database=url)
    assert verdicts(found, "database") == ["good"]
    assert of(found, "database")[0][2].startswith("PostgreSQL ")
    assert "as by the database's clock" in of(found, "clock")[0][2]


def zones_at(now, *zones):
    return [(one.verdict, one.words) for one in clock.look(now, Stored(zones=zones), {}) if one.what == "zones"]


def test_zone_rules_of_more_than_a_year_ago_are_told_and_newer_ones_are_not():
    ((verdict, words),) = zones_at(datetime(2040, 1, 1, tzinfo=UTC))
    assert (verdict, "more than a year old: upgrade tzdata" in words) == ("warn", True)
    version = re.search(r"\d{4}[a-z]+", words)[0]
    ((verdict, words),) = zones_at(datetime(int(version[:4]), 1, 2, tzinfo=UTC))
    assert (verdict, version in words) == ("good", True)


def test_without_the_system_s_zones_the_package_s_are_looked_at(tmp_path):
    program = (
        "from datetime import UTC, datetime\nfrom digest.checkup import clock\nfrom digest.checkup.storage import Stored\n"
        "print([one.words for one in clock.look(datetime(2026, 1, 1, tzinfo=UTC), Stored(), {})][1])"
    )
    environment = {"PATH": "/usr/bin", "PYTHONPATH": str(ROOT), "PYTHONTZPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert re.search(r"the rules 20\d\d[a-z] in .*tzdata/__init__\.py", done.stdout)


def test_a_digest_in_a_zone_that_is_none_is_told(home, asked):
    change(home, zone="Europe/Madrd")
    ((_, verdict, words),) = of(asked(offline=True), "zones")
    assert verdict == "bad"
    assert "did you mean Europe/Madrid?" in words


# database, disk and secrets -----------------------------------------------------------------------------------------


def test_a_damaged_database_is_told(home, asked):
    file = home / "digest.sqlite"
    engine = open_engine(f"sqlite:///{file}")
    readers(engine, 2000)
    with engine.begin() as connection:
        connection.exec_driver_sql("SELECT 1")
    engine.dispose()
    content = bytearray(file.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 3 * 4096] = os.urandom(3 * 4096)
    file.write_bytes(content)
    ((_, verdict, words),) = of(asked(offline=True), "database")
    assert (verdict, "damaged" in words, "backup" in words) == ("bad", True, True), words


def test_a_file_that_is_no_database_is_told(home, asked):
    (home / "digest.sqlite").write_bytes(b"nothing like a database" * 1000)
    ((_, verdict, words),) = of(asked(offline=True), "database")
    assert (verdict, "damaged" in words) == ("bad", True)


def test_a_database_that_was_never_set_up_is_told_and_hides_nothing_else(home, asked, sending):
    (home / "digest.sqlite").unlink()
    found = asked(**sending)
    assert "run digest" in of(found, "database")[0][2]
    assert verdicts(found, "smtp") == ["good"]


def test_a_database_too_large_to_be_read_through_in_time_is_said_to_be_so(home):
    engine = open_engine(f"sqlite:///{home / 'digest.sqlite'}")
    readers(engine, 5000)
    engine.dispose()
    early, late = (storage.look(home, now=NOW, until=monotonic() + more).findings[0] for more in (0.0, 10.0))
    assert (early.verdict, "PRAGMA quick_check" in early.words) == ("good", True)
    assert (late.verdict, late.words.endswith("whole")) == ("good", True)


@contextmanager
def held(file):
    """Another process that lets nobody near the database."""
    program = (
        f"import sqlite3, sys; one = sqlite3.connect({str(file)!r}, isolation_level=None);"
        "one.execute('PRAGMA locking_mode=EXCLUSIVE'); one.execute('BEGIN EXCLUSIVE'); print('held', flush=True);"
        "sys.stdin.read()"
    )
    other = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline().strip() == b"held"
        yield
    finally:
        other.communicate()


def test_a_database_that_another_process_holds_is_told_in_time(home, asked):
    with held(home / "digest.sqlite"):
        began = monotonic()
        ((_, verdict, words),) = of(asked(offline=True), "database")
        assert monotonic() - began < 5
    assert (verdict, "another process" in words) == ("bad", True)


def test_it_says_whether_anybody_would_hear_of_a_fault_at_night(asked):
    hears = {"alarm_webhook": "https://alarms.example.org/x", "alarm_secret": "a secret of the webhook"}
    assert "DIGEST_ALARM_EMAIL" in of(asked(offline=True), "alarms")[0][2]
    assert "needs what it warns of" in of(asked(offline=True, alarm_email="ana@example.org"), "alarms")[0][2]
    _, verdict, words = of(asked(offline=True, **hears), "alarms")[0]
    assert (verdict, words.startswith("told by email, webhook; DIGEST_HEARTBEAT_URL would")) == ("good", True)
    assert (
        "outside watcher is told"
        in of(asked(offline=True, **hears, heartbeat_url="https://w.example/p"), "alarms")[0][2]
    )


def test_a_full_disk_is_told(asked, small_disk):
    disk, _ = small_disk(1000)
    found = of(asked(offline=True, outbox=disk / "outbox"), "disk")
    assert ("warn", "make room") in {(verdict, words.rpartition(": ")[2]) for _, verdict, words in found}
    assert len(found) == 2, "the database is on another"


def test_keys_that_others_can_read_are_told(home, asked):
    (home / ".env").chmod(0o640)
    Path(".env").write_text("DIGEST_LEASE=30\n")
    Path(".env").chmod(0o600)
    assert [verdict for _, verdict, _ in of(asked(offline=True), "secrets")] == ["good", "bad"]


# all of it, as a command --------------------------------------------------------------------------------------------


def run(tmp_path, *words, program=None, **settings):
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "200"}
    environment |= {f"DIGEST_{name.upper()}": str(value) for name, value in settings.items()}
    command = [sys.executable, *(["-c", program] if program else ["-m", "digest"]), "--home", "press", *words]
    return subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30, check=False
    )


def test_the_exit_code_says_whether_anything_must_be_mended(tmp_path, sending, zone):
    done = run(tmp_path, "doctor", **sending)
    assert (done.returncode, "mend" in done.stdout) == (0, False), done.stdout
    del zone.records[f"_dmarc.{DOMAIN}"]
    done = run(tmp_path, "doctor", "--json", **sending)
    assert done.returncode == 1
    bad = [one for one in json.loads(done.stdout) if one["verdict"] == "bad"]
    assert [one["what"] for one in bad] == ["dmarc"]
    assert run(tmp_path, "doctor", "--offline", **sending).returncode == 0


HANGS = """
import socket, sys, time
def hang(*_, **__): time.sleep(60)
for name in ("getaddrinfo", "getfqdn", "gethostbyaddr"): setattr(socket, name, hang)
from digest.__main__ import main
main()
"""


def test_with_all_networks_dead_the_doctor_is_done_within_seconds(tmp_path, sending, zone):
    """A resolver that hangs, a database that takes the connection and says nothing, a DNS that answers nothing."""
    zone.mute = True
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        own = {"smtp_servers": "smtp.example.org,127.0.0.1:1", "smtp_hello": "", "dns_server": zone.server}
        start = timed(lambda: run(tmp_path, "doctor", "--offline", **sending))[0]
        for database in ("", f"postgresql://nobody@127.0.0.1:{port}/digest"):
            named = {**sending, **own, "database": database}
            seconds, done = timed(lambda: run(tmp_path, "doctor", "--json", program=HANGS, **named))  # noqa: B023
            assert seconds - start < 4.5, "beside the start of Python itself"
            bad = {one["what"] for one in json.loads(done.stdout) if one["verdict"] == "bad"}
            assert bad == ({"smtp", "database"} if database else {"smtp", "dns"})
            assert (done.returncode, done.stderr) == (1, "")


def timed(call):
    began = monotonic()
    done = call()
    return monotonic() - began, done
