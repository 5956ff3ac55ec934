"""What DNS says of a sender, and which record would say it right: who may send, who signs, what receivers are told."""

import re
from pathlib import Path
from time import monotonic

import pytest

from digest.checkup import senders
from digest.checkup.names import Names
from digest.checkup.storage import Sender
from digest.dkim import pem
from digest.settings import Settings
from tests.examined import DOMAIN, ED25519, OTHER, RSA, of, publish, verdicts

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
