"""SendGrid by real HTTP on loopback: what is asked, what every kind of answer becomes, and that nobody gets two copies."""

import json
import logging
import signal
import ssl
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default
from email.utils import format_datetime
from html import unescape
from ipaddress import ip_address
from multiprocessing import get_context
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import SQLModel

from digest.channels import email
from digest.deliveries import deliver
from digest.errors import SettingsError, TransportError, UnreachableError
from digest.links import Links
from digest.paths import template_folders
from digest.render import Printer
from digest.settings import read_settings
from digest.splice import pack
from digest.transports.sendgrid import MANY, NOT_OURS, open_transport
from digest.values import DeliveryState, Recipient, Variant
from tests.newsroom import KEYS, deliveries_of, morning, opened, readers
from tests.samples import BASE, sample_digest, sample_edition
from tests.sendgrid_stand_in import KEY, RESETS, SILENT, Says, addresses, breach, mail_to, refuses, stand_in, work

PRINTER = Printer(template_folders())
CONTRACT = Path(__file__).resolve().parents[2] / "../shared/contracts/sendgrid-mail-v3.openapi.json"
CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.sendgrid_stand_in"])


def printed(language="en", **digest):
    edition = sample_edition(4, language, digest=sample_digest(language=language, **digest))
    return email.proof(edition, Variant(segment="", language=language), PRINTER, Links(BASE))


PROOF = printed()


def reader(number, **changes):
    fields = {
        "number": number, "delivery_id": f"{number:040x}", "address": f"reader{number}@example.net", "name": "Ana",
        "token": f"token{number:023d}", "date": "Mon, 23 Nov 2026 06:00:00 +0000",
    }  # fmt: skip
    return Recipient(**{**fields, **changes})


def people(count):
    return [reader(number) for number in range(1, count + 1)]


def states(receipts):
    return {receipt.number: receipt.state for receipt in receipts}


@pytest.fixture
def there():
    with stand_in() as server:
        yield server


# what is asked ------------------------------------------------------------------------------------------------------


def test_a_batch_leaves_in_requests_of_at_most_so_many_and_all_is_accepted_by_its_message_id(there):
    receipts = list(there.transport(sendgrid_requests=50).send(PROOF, people(120), set))
    assert states(receipts) == dict.fromkeys(range(1, 121), DeliveryState.ACCEPTED)
    assert [len(body["personalizations"]) for body in there.asked] == [50, 50, 20]
    assert [receipts[at].detail for at in (0, 50, 100)] == ["m1", "m2", "m3"]
    assert there.headers[0]["content-type"] == "application/json; charset=utf-8"


def test_what_is_no_longer_ours_is_left_out_of_the_request(there):
    asked = []
    receipts = list(there.transport().send(PROOF, people(4), lambda numbers: asked.append(list(numbers)) or {1, 4}))
    assert asked == [[1, 2, 3, 4]]
    assert sorted(states(receipts)) == [1, 4]
    assert addresses(there.asked[0]) == ["reader1@example.net", "reader4@example.net"]


@pytest.mark.parametrize("language", ["en", "es", "ar"])
def test_what_sendgrid_mails_is_what_every_other_transport_hands_over(there, language):
    proof = printed(language)
    one = reader(7, name='Zoë "Z" <b>&', address="zoe+news@example.net")
    list(there.transport().send(proof, [one], set))
    text, html = mail_to(there.asked[0], one.address)
    assert (folded(text), folded(html)) == tuple(map(folded, parts_of(email.fill(proof, one))))
    assert "blank-" not in text + html
    assert "<b>" not in html.split("<body")[1]


def folded(text):
    """Lines may be folded elsewhere, and a page may name a character by its number."""
    return " ".join(unescape(text).split())


def parts_of(message):
    whole = message_from_bytes(message, policy=default)
    return whole.get_body(("plain",)).get_content(), whole.get_body(("html",)).get_content()


def test_the_envelope_is_the_digests_own_and_each_reader_has_their_way_out(there):
    digest = {"from_name": "Ñoticias, Global", "from_address": "global@news.example.org"}
    list(there.transport().send(printed("es", **digest), [reader(1), reader(2)], set))
    body = there.asked[0]
    assert body["from"] == {"email": "global@news.example.org", "name": "Ñoticias, Global"}
    assert body["reply_to"] == {"email": "editors@news.example.org"}
    assert body["subject"] == sample_edition(4, "es").subject
    for number, one in enumerate(body["personalizations"], start=1):
        token = reader(number).token
        assert one["headers"]["List-Unsubscribe"] == (
            f"<{BASE}/m/{token}/leave>, <mailto:editors@news.example.org?subject=leave%20{token}>"
        )
        assert one["headers"]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert one["headers"]["Auto-Submitted"] == "auto-generated"
        assert not {name.lower() for name in one["headers"]} & NOT_OURS
        assert one["custom_args"] == {"delivery": f"{number:040x}"}


def test_nothing_is_tracked_and_no_address_stands_where_sendgrid_keeps_it(there):
    list(there.transport().send(PROOF, [reader(1)], set))
    body = there.asked[0]
    assert {name: part["enable"] for name, part in body["tracking_settings"].items()} == dict.fromkeys(
        ("click_tracking", "open_tracking", "subscription_tracking", "ganalytics"), False
    )
    assert "categories" not in body
    assert "reader1" not in json.dumps(body["personalizations"][0]["custom_args"])


def test_an_address_asked_for_twice_is_split_over_two_requests(there):
    twice = [reader(1), reader(2, address="READER1@example.net"), reader(3)]
    assert set(states(there.transport().send(PROOF, twice, set)).values()) == {DeliveryState.ACCEPTED}
    assert [len(body["personalizations"]) for body in there.asked] == [2, 1]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.text(max_size=80), min_size=1, max_size=5))
def test_no_name_breaks_a_request_or_a_rule(there, names):
    there.asked.clear()
    guests = [reader(number, name=name) for number, name in enumerate(names, start=1)]
    assert set(states(there.transport().send(PROOF, guests, set)).values()) == {DeliveryState.ACCEPTED}
    assert breach(there.asked[0]) is None
    for guest in guests:
        text, html = mail_to(there.asked[0], guest.address)
        assert "blank-" not in text + html


def test_who_cannot_be_addressed_is_failed_here_and_stops_nobody(there):
    odd = [
        reader(1, address="no at sign"),
        reader(2),
        reader(3, address="ana@exa mple.net"),
        reader(4, token="t" * 9000),
    ]
    receipts = list(there.transport().send(PROOF, odd, set))
    failed, taken = DeliveryState.FAILED, DeliveryState.ACCEPTED
    assert states(receipts) == {1: failed, 2: taken, 3: failed, 4: failed}
    assert all(receipt.permanent for receipt in receipts if receipt.state == failed)
    assert len(there.asked) == 1


# the contract -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def contract():
    if not CONTRACT.exists():
        pytest.skip("the OpenAPI file is not beside the checkout")
    return json.loads(CONTRACT.read_text())


def faults(schema, value, contract, where="body"):
    """What a value breaks of the part of JSON Schema that the file uses; a name the file does not know is a fault too."""
    if "$ref" in schema:
        names = schema["$ref"].removeprefix("#/").split("/")
        found = contract
        for name in names:
            found = found[name]
        return faults(found, value, contract, where)
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    if not isinstance(value, kinds[schema["type"]]):
        return [f"{where} is no {schema['type']}"]
    found = []
    if isinstance(value, dict):
        found += [f"{where}.{name} is missing" for name in schema.get("required", ()) if name not in value]
        known, others = schema.get("properties", {}), schema.get("additionalProperties")
        for name, item in value.items():
            if name in known or others:
                found += faults(known.get(name, others), item, contract, f"{where}.{name}")
            elif known:
                found.append(f"{where}.{name} is unknown")
    elif len(value) > schema.get("maxItems", schema.get("maxLength", 10**9)) if not isinstance(value, int) else False:
        found.append(f"{where} is too long")
    elif isinstance(value, str) and len(value) < schema.get("minLength", 0):
        found.append(f"{where} is empty")
    elif isinstance(value, list):
        for at, item in enumerate(value):
            found += faults(schema.get("items", {}), item, contract, f"{where}.{at}")
    return found


def test_every_request_is_what_the_contract_describes(there, contract):
    schema = contract["components"]["requestBodies"]["PostMailSend"]["content"]["application/json"]["schema"]
    list(there.transport(sendgrid_requests=1000).send(PROOF, people(1000), set))
    list(there.transport(sendgrid_sandbox=True).send(printed("ar"), [reader(1, name="")], set))
    assert [faults(schema, body, contract) for body in there.asked] == [[], []]
    wrong = {"personalizations": [{"to": [{"name": 3}]}] * 1001, "subject": "", "custom_args": {}, "colour": "red"}
    said = " ".join(faults(schema, wrong, contract))
    assert all(word in said for word in ("too long", "from is missing", "empty", "custom_args", "colour"))
    said = " ".join(faults(schema, {**wrong, "personalizations": [{"to": [{"name": 3}]}]}, contract))
    assert "email is missing" in said
    assert "name is no string" in said


# what each answer becomes -------------------------------------------------------------------------------------------


def test_in_the_sandbox_200_is_the_answer_and_nothing_leaves(there):
    assert states(there.transport(sendgrid_sandbox=True).send(PROOF, people(2), set)) == {
        1: DeliveryState.ACCEPTED,
        2: DeliveryState.ACCEPTED,
    }
    assert there.copies == {}


@pytest.mark.parametrize("said", [Says(500), Says(502), Says(503), Says(200), RESETS, SILENT])
def test_without_a_clear_answer_it_is_ambiguous_and_is_not_asked_again(there, said):
    there.lined_up.append(said)
    transport = there.transport(lease=2)
    receipts = list(transport.send(PROOF, people(3), set))
    assert states(receipts) == dict.fromkeys((1, 2, 3), DeliveryState.AMBIGUOUS)
    assert len(there.asked) == 1
    assert transport.prove(PROOF, reader(1)) is None


def test_two_unclear_answers_in_a_row_stop_the_run_before_more_is_in_doubt(there):
    there.lined_up.extend([Says(503)] * 5)
    transport, receipts = there.transport(sendgrid_requests=10), []
    with pytest.raises(TransportError, match="2 times in a row"):
        receipts.extend(iter(transport.send(PROOF, people(50), set)))
    assert len(there.asked) == 2


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "17"}, 17.0),
        ({"Retry-After": "soon"}, None),
        ({}, None),
        ({"Retry-After": "999999"}, 3600.0),
        ({"Date": format_datetime(datetime(2026, 11, 23, 6, 0, tzinfo=UTC)), "X-RateLimit-Reset": "1795413630"}, 30.0),
    ],
)
def test_too_many_requests_defers_as_long_as_sendgrid_says_and_asks_no_more_meanwhile(there, headers, seconds):
    there.lined_up.append(Says(429, headers=headers))
    transport = there.transport(sendgrid_requests=2)
    receipts = list(transport.send(PROOF, people(6), set))
    assert set(states(receipts).values()) == {DeliveryState.DEFERRED}
    assert receipts[0].retry_after == seconds
    assert len(there.asked) == 1
    assert list(states(transport.send(PROOF, [reader(9)], set)).values()) == [DeliveryState.DEFERRED]
    assert len(there.asked) == 1


def test_readers_whom_the_refusal_names_are_failed_and_the_others_asked_once_more(there):
    bad = {"reader3@example.net", "reader8@example.net"}

    def judge(body):
        named = [at for at, address in enumerate(addresses(body)) if address in bad]
        return (
            refuses(*(("Does not contain a valid address.", f"personalizations.{at}.to") for at in named))
            if named
            else None
        )

    there.judge = judge
    receipts = list(there.transport().send(PROOF, people(40), set))
    assert {number for number, state in states(receipts).items() if state == DeliveryState.FAILED} == {3, 8}
    assert Counter(states(receipts).values()) == {DeliveryState.FAILED: 2, DeliveryState.ACCEPTED: 38}
    assert len(there.asked) == 2
    assert set(there.copies.values()) == {1}


@pytest.mark.parametrize("status", [400, 413])
def test_a_refusal_that_names_nobody_is_halved_until_the_bad_one_is_alone(there, status):
    there.judge = lambda body: Says(status) if "reader23@example.net" in addresses(body) else None
    receipts = list(there.transport().send(PROOF, people(40), set))
    assert {number for number, state in states(receipts).items() if state == DeliveryState.FAILED} == {23}
    assert len(there.copies) == 39
    assert set(there.copies.values()) == {1}
    assert len(there.asked) <= 13


def test_a_refusal_of_the_message_itself_fails_nobody(there):
    there.judge = lambda _: refuses(("The subject is required.", "subject"))
    transport = there.transport()
    with pytest.raises(TransportError, match="The subject is required") as caught:
        list(transport.send(PROOF, people(30), set))
    assert "\n" not in str(caught.value)
    assert len(there.asked) == 1
    assert {transport.prove(PROOF, one) for one in people(30)} == {False}


@pytest.mark.parametrize("named", [True, False])
def test_when_nearly_all_are_refused_the_fault_is_not_theirs(there, named):
    def judge(body):
        places = range(len(body["personalizations"]))
        return refuses(*((("no", f"personalizations.{at}.to") for at in places) if named else [("no", None)]))

    there.judge = judge
    transport = there.transport()
    with pytest.raises(TransportError, match="the message itself"):
        list(transport.send(PROOF, people(200), set))
    assert len(there.asked) < 4 * MANY
    assert {transport.prove(PROOF, one) for one in people(200)} == {False}


def test_past_half_the_lease_a_refused_request_is_not_divided_any_more(there):
    def judge(_):
        time.sleep(1.1)
        return Says(400)

    there.judge = judge
    transport = replace(there.transport(), within=1.0)
    assert set(states(transport.send(PROOF, people(8), set)).values()) == {DeliveryState.DEFERRED}
    assert len(there.asked) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 302])
def test_a_fault_of_the_account_or_the_address_is_said_and_nothing_is_lost(there, status):
    there.lined_up.append(Says(status, headers={"Location": there.host + "/elsewhere"}))
    transport = there.transport(sendgrid_requests=10)
    with pytest.raises(TransportError, match=r"DIGEST_SENDGRID_(KEY|HOST)") as caught:
        list(transport.send(PROOF, people(30), set))
    assert KEY not in str(caught.value)
    assert len(there.asked) == 1
    assert transport.prove(PROOF, reader(1)) is False


def test_a_wrong_key_is_an_account_fault(there):
    with pytest.raises(TransportError, match="invalid, expired, or revoked"):
        list(there.transport(sendgrid_key="SG.other").send(PROOF, people(1), set))


def test_a_server_that_was_never_reached_took_nothing(there):
    gone = there.transport()
    with stand_in() as closed:
        nobody = closed.transport()
    for transport in (
        nobody,
        replace(gone, endpoint=there.transport(sendgrid_host="https://no-such-host.invalid").endpoint),
    ):
        with pytest.raises(UnreachableError, match="cannot be reached"):
            list(transport.send(PROOF, people(2), set))
        assert transport.prove(PROOF, reader(1)) is False


@pytest.fixture
def identity(tmp_path, monkeypatch):
    """A certificate for 127.0.0.1 that this machine trusts for the length of a test."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now, host = datetime.now(UTC), x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    paper = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(1), now + timedelta(1))
    certificate = paper.add_extension(host, critical=True).sign(key, hashes.SHA256())
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (tmp_path / "both.pem").write_bytes(pem + key.private_bytes(serialization.Encoding.PEM, *plain))
    (tmp_path / "trusted.pem").write_bytes(pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")
    return context


def test_by_tls_a_trusted_server_is_asked_and_another_is_never_told_anything(identity, monkeypatch, tmp_path):
    with stand_in(identity) as server:
        assert states(server.transport().send(PROOF, people(2), set))[1] == DeliveryState.ACCEPTED
        (tmp_path / "nobody.pem").touch()
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nobody.pem"))
        stranger = server.transport()
        with pytest.raises(UnreachableError, match="certificate"):
            list(stranger.send(PROOF, people(2), set))
        assert stranger.prove(PROOF, reader(1)) is False
        assert len(server.asked) == 1


def test_a_proxy_in_the_environment_is_not_told_the_key(there, monkeypatch):
    with stand_in() as proxy:
        monkeypatch.setenv("http_proxy", proxy.host)
        assert states(there.transport().send(PROOF, people(1), set)) == {1: DeliveryState.ACCEPTED}
        assert (len(there.asked), proxy.asked) == (1, [])


def test_the_providers_words_are_kept_without_the_address_they_may_hold(there):
    there.judge = lambda body: refuses(("We found <reader1@example.net> twice", "personalizations.0.to"))
    (receipt,) = there.transport().send(PROOF, people(1), set)
    assert receipt.detail == "400 We found (address) twice"


# settings and secrets -----------------------------------------------------------------------------------------------


def test_without_a_key_it_says_which_setting_is_missing():
    with pytest.raises(SettingsError, match="DIGEST_SENDGRID_KEY"):
        open_transport(read_settings(), "global/2026-11-23")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KEY", "SG.two words"),
        ("KEY", "SG.line\nend"),
        ("HOST", "http://api.sendgrid.com"),
        ("HOST", "ftp://x"),
        ("REQUESTS", "1001"),
    ],
)
def test_a_setting_that_would_fail_late_is_refused_at_once_and_the_key_is_never_repeated(monkeypatch, name, value):
    monkeypatch.setenv(f"DIGEST_SENDGRID_{name}", value)
    with pytest.raises(SettingsError, match=f"DIGEST_SENDGRID_{name}") as caught:
        read_settings()
    assert "SG." not in str(caught.value)


def test_neither_key_nor_addresses_are_logged_even_when_everything_is(there, caplog):
    logging.getLogger("python_http_client").setLevel(logging.DEBUG)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("tests").debug("the log is on")
        there.lined_up.extend([Says(202), refuses(("no", "personalizations.0.to")), Says(503)])
        transport = there.transport()
        for _ in range(3):
            list(transport.send(PROOF, people(1), set))
    assert "the log is on" in caplog.text
    assert KEY not in caplog.text
    assert "reader1" not in caplog.text


# with the ledger ----------------------------------------------------------------------------------------------------


@pytest.fixture
def mailing(engine):
    house = morning(engine)
    readers(engine, 120)
    table = SQLModel.metadata.tables["proof"]
    with engine.begin() as connection:
        connection.execute(table.update().values(compiled=pack(PROOF.compiled), html=PROOF.html, text=PROOF.text))
    share = replace(house.share(), transport="sendgrid")
    return opened(
        engine, house, shares=[share], now=datetime.now(UTC), expires_at=datetime.now(UTC) + timedelta(hours=9)
    )


def run(engine, there, mailing, **changes):
    return deliver(
        engine, {"sendgrid": there.transport(**changes)}, mailing=mailing, keys=KEYS, lease=30.0,
        clock=lambda: datetime.now(UTC),
    )  # fmt: skip


def test_a_mailing_goes_out_once_and_a_second_run_sends_nothing(engine, there, mailing):
    assert run(engine, there, mailing).counts == {"accepted": 120}
    assert run(engine, there, mailing).done
    assert len(there.copies) == 120
    assert set(there.copies.values()) == {1}
    sent = {one["custom_args"]["delivery"] for body in there.taken for one in body["personalizations"]}
    assert len(sent) == 120


@pytest.mark.parametrize("fault", [Says(401), Says(403), Says(404), refuses(("The subject is required.", "subject"))])
def test_a_fault_of_ours_puts_everything_back_and_burns_no_attempt(engine, there, mailing, fault):
    there.lined_up.append(fault)
    with pytest.raises(TransportError):
        run(engine, there, mailing)
    assert Counter((row.state, row.attempt) for row in deliveries_of(engine)) == {("queued", 0): 120}
    assert run(engine, there, mailing).counts == {"accepted": 120}
    assert set(there.copies.values()) == {1}


def test_a_server_out_of_reach_leaves_everything_queued(engine, there, mailing):
    with stand_in() as closed:
        nobody = closed
    with pytest.raises(UnreachableError):
        run(engine, nobody, mailing)
    assert {row.state for row in deliveries_of(engine)} == {"queued"}
    assert run(engine, there, mailing).counts == {"accepted": 120}


def test_what_was_answered_unclearly_stays_unconfirmed_and_is_never_sent_again(engine, there, mailing):
    there.lined_up.extend([Says(503, taken=True), Says(202, taken=True)])
    balance = run(engine, there, mailing)
    assert (balance.counts, balance.unconfirmed) == ({"ambiguous": 50, "accepted": 70}, 50)
    run(engine, there, mailing)
    assert set(there.copies.values()) == {1}


@pytest.mark.parametrize(("most", "doubtful"), [(500, 50), (20, 10)])
def test_a_kill_during_a_request_leaves_it_unconfirmed_and_nobody_gets_a_second_copy(
    engine, there, mailing, most, doubtful
):
    before = 0 if most == 500 else 2  # requests that are answered before the one that hangs
    there.lined_up.extend([Says(202, taken=True)] * before + [SILENT])
    url = engine.url.render_as_string(hide_password=False)
    worker = CONTEXT.Process(target=work, args=(url, there.host, mailing, 30.0, most))
    worker.start()
    for _ in range(600):
        if len(there.asked) > before:
            break
        time.sleep(0.05)
    worker.kill()
    worker.join(20)
    assert worker.exitcode == -signal.SIGKILL
    assert len(there.copies) == 50

    balance = run(engine, there, mailing, sendgrid_requests=most)
    assert balance.counts == {"ambiguous": doubtful, "accepted": 120 - doubtful}
    assert (len(there.copies), set(there.copies.values())) == (120, {1})
    assert run(engine, there, mailing).counts == balance.counts
