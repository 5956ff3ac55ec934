"""DKIM: what we sign is verified by two verifiers that are not ours, and what was changed on the way is not."""

import json
import re
import stat
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from digest.channels import email
from digest.deliveries import deliver
from digest.dkim import DomainSigner, SigningKey, fits, make_key, open_signers, pem, read_keys, record_name
from digest.errors import SettingsError
from digest.links import Links
from digest.settings import read_settings
from digest.transports.smtp import open_transport
from digest.values import DeliveryState, Variant
from tests.dkim_verifiers import by_dkimpy, by_mail_dkim
from tests.dns_stand_in import names
from tests.newsroom import KEYS, NOW, deliveries_of, morning, opened, readers
from tests.ready import run as ready
from tests.ready import words_of
from tests.samples import BASE, sample_digest, sample_edition
from tests.sendgrid_mail import PRINTER, printed, reader
from tests.smtp_stand_in import hand_over

DOMAIN = "news.example.org"
ROOT = Path(__file__).resolve().parents[2]
RSA, ED25519 = make_key("news1", ed25519=False), make_key("news2", ed25519=True)
BOTH = DomainSigner(DOMAIN, (RSA, ED25519))


@pytest.fixture(scope="module")
def published():
    with names() as here:
        for key in (RSA, ED25519):
            here.put(record_name(key.selector, DOMAIN), "TXT", key.record)
        yield here


def signed(message, signer=BOTH):
    return signer.sign(message) + message


def mail(language="en", **fields):
    return email.fill(printed(language), reader(1, **fields))


def unfolded(header):
    return re.sub(rb"\r\n[ \t]+", b" ", header)


# what holds ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "es", "ar"])
def test_both_signatures_of_a_mail_hold_for_two_verifiers(published, tmp_path, language):
    message = signed(mail(language, name="Zoë “the dot” García, jr."))
    assert by_dkimpy(published, message) == [True, True]
    (found,) = by_mail_dkim(published, tmp_path, [message])
    assert found["rsa-sha256"] == "pass"
    assert found["ed25519-sha256"] != "fail", "who cannot verify Ed25519 yet must at least not call it forged"


ODD = {
    "folded, with tabs and many blanks": (
        b"From:  Ana\r\n\t<a@news.example.org>  \r\nSubject: one \t two\r\n  three\r\n \t\r\nTO:b@example.net\r\n", b"hello\r\n"
    ),
    "several of one name": (b"From: a@news.example.org\r\nSubject: one\r\nSubject: two\r\nsubject:\r\n", b"hello\r\n"),
    "an empty body": (b"From: a@news.example.org\r\n", b""),
    "a body of empty lines": (b"From: a@news.example.org\r\n", b"\r\n\r\n\r\n"),
    "no line end at its end": (b"From: a@news.example.org\r\n", b"hello \t there"),
    "empty lines at its end": (b"From: a@news.example.org\r\n", b" hello  \r\n\r\n \r\n\r\n\r\n"),
    "dots and bytes beyond ASCII": (b"From: a@news.example.org\r\n", "..\r\n.\r\n.é日\r\n".encode()),
    "no date": (b"From: a@news.example.org\r\n", b"x\r\n"),
    "a date that is none": (b"From: a@news.example.org\r\nDate: soon\r\n", b"x\r\n"),
}  # fmt: skip


def test_odd_messages_hold_too(published, tmp_path):
    messages = [signed(head + b"\r\n" + body) for head, body in ODD.values()]
    assert [by_dkimpy(published, one) for one in messages] == [[True, True]] * len(ODD)
    received = [one if one.endswith(b"\r\n") else one + b"\r\n" for one in messages]  # no server gets it otherwise
    found = by_mail_dkim(published, tmp_path, received)
    assert {name: one["rsa-sha256"] for name, one in zip(ODD, found, strict=True)} == dict.fromkeys(ODD, "pass")


blanks = st.text(" \t", max_size=3).map(str.encode)
words = st.text("abcXYZ:;=.,<>@0189ü", min_size=1, max_size=12).map(str.encode)
folds = st.sampled_from([b"", b"\r\n ", b"\r\n\t"])


@st.composite
def headers(draw):
    lines = [b"From: a@news.example.org"]
    for _ in range(draw(st.integers(0, 6))):
        name = draw(st.sampled_from([b"Subject", b"to", b"LIST-ID", b"X-Other", b"Reply-To"]))
        value = b"".join(draw(st.lists(st.builds(lambda *p: b"".join(p), words, blanks, folds, words), max_size=4)))
        lines.append(name + draw(st.sampled_from([b":", b": ", b":\t "])) + value + draw(blanks))
    return b"".join(line + b"\r\n" for line in lines)


bodies = st.lists(st.text(" .ab\tü", max_size=8).map(str.encode), max_size=6).map(b"\r\n".join)


@settings(max_examples=150, deadline=None)
@given(head=headers(), body=bodies)
def test_whatever_the_blanks_and_folds_the_signatures_hold(published, head, body):
    assert by_dkimpy(published, signed(head + b"\r\n" + body)) == [True, True]


def test_a_relay_that_folds_headers_anew_breaks_nothing(published, tmp_path):
    message = (
        signed(mail()).replace(b"Subject: Europe pays", b"SUBJECT:\r\n\tEurope   pays").replace(b">, <", b">,\r\n  <")
    )
    assert b"SUBJECT" in message
    assert by_dkimpy(published, message) == [True, True]
    assert by_mail_dkim(published, tmp_path, [message])[0]["rsa-sha256"] == "pass"


def test_blanks_before_a_colon_hold(published, tmp_path):
    """By one verifier: dkimpy cannot read such a line at all."""
    message = signed(b"From : a@news.example.org\r\nSubject\t: one\r\n\r\nhello\r\n")
    assert by_mail_dkim(published, tmp_path, [message])[0]["rsa-sha256"] == "pass"


def test_what_relays_add_in_front_breaks_nothing(published):
    trace = b"Return-Path: <b@example.org>\r\nReceived: by mx.example.net;\r\n Mon, 23 Nov 2026 06:00:01 +0000\r\n"
    assert by_dkimpy(published, trace + signed(mail())) == [True, True]


# what does not ------------------------------------------------------------------------------------------------------

ADDED = [
    b"From: Mallory <m@example.com>", b"To: m@example.com", b"Cc: m@example.com", b"Subject: You have won",
    b"Reply-To: m@example.com", b"Date: Tue, 24 Nov 2026 06:00:00 +0000", b"Message-ID: <x@example.com>",
    b"MIME-Version: 1.0", b"Content-Type: text/html", b"Content-Transfer-Encoding: base64", b"List-Id: <m.example.com>",
    b"List-Unsubscribe: <https://example.com/>", b"List-Unsubscribe-Post: List-Unsubscribe=One-Click",
    b"Feedback-ID: m:m:m:m",
]  # fmt: skip


def test_a_header_that_was_added_on_the_way_breaks_both_signatures(published, tmp_path):
    whole = signed(mail())
    at = whole.index(b"From: ")
    forged = [whole[:at] + line + b"\r\n" + whole[at:] for line in ADDED]
    forged += [whole.replace(b"\r\n\r\n", b"\r\n" + line + b"\r\n\r\n", 1) for line in ADDED]
    assert all(by_dkimpy(published, one) == [False, False] for one in forged)
    found = by_mail_dkim(published, tmp_path, forged)
    assert [one["rsa-sha256"] for one in found] == ["fail"] * len(forged)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (rb"Here is what matters", b"Here is all that matters"),
        (rb"href=\"https://news\.example\.org/m/", b'href="https://news.example.com/m/'),
        (rb"(?m)^Subject: Europe", b"Subject: Asia"),
        (rb"(?m)^List-Unsubscribe: <https://news", b"List-Unsubscribe: <https://gnus"),
        (rb"(?m)^List-Unsubscribe-Post: .*\r\n", b""),
        (rb"(?m)^To: .*\r\n", b""),
        (rb"t=\d+;", b"t=1;"),
    ],
    ids=["text", "link", "subject", "way out", "one click taken away", "to taken away", "time of the signature"],
)
def test_what_was_altered_breaks_both_signatures(published, tmp_path, before, after):
    message = signed(mail())
    forged = re.sub(before, after, message, count=0 if before.startswith(b"t=") else 1)
    assert forged != message
    assert by_dkimpy(published, forged) == [False, False]
    assert by_mail_dkim(published, tmp_path, [forged])[0]["rsa-sha256"] == "fail"


def test_another_s_key_signs_nothing_of_ours(published):
    stranger = DomainSigner(DOMAIN, (SigningKey("news1", make_key("x", ed25519=False).private),))
    assert by_dkimpy(published, signed(mail(), stranger)) == [False]


# the signature itself -----------------------------------------------------------------------------------------------


def test_it_is_the_same_to_the_byte_on_every_attempt_and_its_time_is_the_message_s_own(tmp_path):
    message = mail()
    files = [tmp_path / f"{key.selector}.pem" for key in (RSA, ED25519)]
    for file, key in zip(files, (RSA, ED25519), strict=True):
        file.write_bytes(pem(key))
    chosen = read_settings(tmp_path, dkim_keys=[f"{file.stem}={file}" for file in files])
    first, second = (open_signers(chosen)(DOMAIN).sign(message) for _ in range(2))
    assert first == second == BOTH.sign(message)
    assert re.findall(rb"t=(\d+)", first) == [b"1795413600"] * 2, "Mon, 23 Nov 2026 06:00:00 +0000"


def test_each_signed_header_is_named_once_more_than_it_occurs_and_nothing_limits_the_body():
    tags = dict(
        tag.strip().split(b"=", 1) for tag in unfolded(DomainSigner(DOMAIN, (RSA,)).sign(mail())[15:]).split(b";")
    )
    named = [name.strip() for name in tags[b"h"].split(b":")]
    assert (tags[b"v"], tags[b"a"], tags[b"c"]) == (b"1", b"rsa-sha256", b"relaxed/simple")
    assert (tags[b"d"], tags[b"s"], b"l" in tags) == (b"news.example.org", b"news1", False)
    occurring = [b"from", b"to", b"reply-to", b"subject", b"date", b"message-id", b"mime-version", b"content-type"]
    occurring += [b"list-id", b"list-unsubscribe", b"list-unsubscribe-post", b"feedback-id"]
    assert [named.count(name) for name in occurring] == [2] * len(occurring)
    assert [named.count(name) for name in (b"cc", b"content-transfer-encoding")] == [1, 1]
    assert not {b"received", b"return-path", b"x-auto-response-suppress"} & set(named)


def test_no_line_of_it_is_long():
    lines = BOTH.sign(mail()).split(b"\r\n")
    assert max(map(len, lines)) <= 78
    assert not any(line.endswith(b" ") or not line.strip() for line in lines[:-1])
    assert lines[-1] == b""


# through the transport ----------------------------------------------------------------------------------------------


@pytest.fixture
def post_office():
    """A real server that keeps what it took, by address."""

    class Keeper:
        def __init__(self):
            self.taken = {}

        async def handle_DATA(self, _server, _session, envelope):  # noqa: N802  the name that aiosmtpd calls
            self.taken.setdefault(envelope.rcpt_tos[0], []).append(envelope.original_content)
            return "250 taken"

    class Office(Controller):
        def _trigger_server(self):
            self.port = self.server.sockets[0].getsockname()[1]
            super()._trigger_server()

    server = Office(Keeper(), hostname="127.0.0.1", port=0, enable_SMTPUTF8=True)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def house(tmp_path, post_office):
    """Transports to it that sign with both keys; closed at the end."""
    opened = []
    words = []
    for key in (RSA, ED25519):
        file = tmp_path / f"{key.selector}.pem"
        file.write_bytes(pem(key))
        words.append(f"{key.selector}={file}")

    def open_one(**values):
        servers = f"127.0.0.1:{post_office.port}"
        own = {"smtp_servers": servers, "smtp_security": "none", "smtp_hello": "press.example.org", "dkim_keys": words}
        opened.append(open_transport(read_settings(tmp_path, **{**own, **values}), ""))
        return opened[-1]

    yield open_one
    for transport in opened:
        transport.close()


NAMES = [
    "Ana", "", "García, José", 'Ann "the dot" O\'Neill', "<script>", "Zoë", ".dot in front", "..", "李 小龙", "=?utf-8?q?x?=",
    "A" * 80, "Bj\u00f6rn \u202e evil", "tab\there", "&amp; more", "أحمد",
]  # fmt: skip


@pytest.mark.parametrize("language", ["en", "ar"], ids=["7-bit", "8-bit"])
def test_a_whole_edition_holds_as_it_was_received(published, tmp_path, post_office, house, language):
    digest = sample_digest(language=language, from_name="Ünser, Morgen", wordmark=".dots")
    edition = sample_edition(6, language, digest=digest, intro=".a dot begins this line\n. and this one")
    proof = email.proof(edition, Variant(segment="", language=language), PRINTER, Links(BASE))
    guests = [reader(n, name=name) for n, name in enumerate(NAMES, 1)]
    guests.append(reader(99, address="zoë@bücher.example", name="Zoë"))
    assert hand_over(house(), guests, printed=proof).numbers(DeliveryState.ACCEPTED) == {one.number for one in guests}
    received = {address: copies[0] for address, copies in post_office.handler.taken.items()}
    wide = {not message.isascii() for address, message in received.items() if address.isascii()}
    assert (len(received), wide) == (len(guests), {language == "ar"})
    received = list(received.values())
    assert any(re.search(rb"(?m)^\.", one) for one in received), "a dot stands at the start of a line"
    assert [by_dkimpy(published, one) for one in received] == [[True, True]] * len(guests)
    found = by_mail_dkim(published, tmp_path, received)
    assert [one["rsa-sha256"] for one in found] == ["pass"] * len(guests)


def test_a_second_attempt_by_another_process_is_the_same_message_to_the_byte(post_office, house):
    proof, guests = printed(), [reader(1), reader(2, name="Zoë")]
    for _ in range(2):
        assert hand_over(house(), guests, printed=proof).numbers(DeliveryState.ACCEPTED) == {1, 2}
    assert [len(set(copies)) for copies in post_office.handler.taken.values()] == [1, 1]
    assert [len(copies) for copies in post_office.handler.taken.values()] == [2, 2]


def test_a_signature_that_would_not_speak_for_the_sender_stops_the_run_before_anything_leaves(post_office, house):
    transport = house(dkim_domain="example.com")
    with pytest.raises(SettingsError, match=r"DIGEST_DKIM_DOMAIN is example\.com, .* at news\.example\.org"):
        hand_over(transport, [reader(1)], printed=printed())
    assert post_office.handler.taken == {}


def test_after_a_wrong_signing_domain_was_mended_everybody_gets_the_mail_once(sqlite_engine, post_office, house):
    press = morning(sqlite_engine)
    readers(sqlite_engine, 120)
    mailing = opened(sqlite_engine, press)

    def run(**values):
        by = {"outbox": house(smtp_bounces="bounces@example.org", **values)}
        return deliver(sqlite_engine, by, mailing=mailing, keys=KEYS, lease=60, clock=lambda: NOW)

    with pytest.raises(SettingsError, match="the sender is at no domain"):
        run()
    assert {row.state for row in deliveries_of(sqlite_engine)} <= {"queued", "claimed"}
    assert run(dkim_keys=()).counts == {"accepted": 120}
    assert {len(copies) for copies in post_office.handler.taken.values()} == {1}


# settings -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("domain", "sender", "is_so"),
    [
        ("example.org", "example.org", True),
        ("example.org", "news.example.org", True),
        ("mail.example.org", "example.org", True),
        ("ample.org", "example.org", False),
        ("mail.example.org", "news.example.org", False),
        ("org", "example.org", False),
        ("example.org", "org", False),
        ("example.org", "", False),
    ],
)
def test_a_domain_signs_for_itself_and_for_what_is_above_or_below_it(domain, sender, is_so):
    assert fits(domain, sender) is is_so


def test_the_signing_domain_is_the_setting_s_or_the_sender_s(tmp_path):
    (tmp_path / "k.pem").write_bytes(pem(RSA))
    word = f"news1={tmp_path / 'k.pem'}"
    assert open_signers(read_settings(tmp_path, dkim_keys=word))(DOMAIN).domain == DOMAIN
    other = read_settings(tmp_path, dkim_keys=word, dkim_domain="Bücher.example")
    assert open_signers(other)("news.xn--bcher-kva.example").domain == "xn--bcher-kva.example"


def write_pem(private, password=None):
    lock = BestAvailableEncryption(password) if password else NoEncryption()
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read: No such file"),
        (b"", "no private key in PEM form"),
        (b"-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n", "no private key in PEM form"),
        (write_pem(RSA.private, b"x"), "locked by a passphrase"),
        (write_pem(ec.generate_private_key(ec.SECP256R1())), "neither an RSA key nor an Ed25519 key"),
        (write_pem(rsa.generate_private_key(65537, 1024)), "1024 bits; 2048 to 4096"),
    ],
    ids=["no file", "empty", "nonsense", "locked", "elliptic curve", "short"],
)
def test_a_wrong_key_is_one_line_that_names_the_setting_and_the_file(tmp_path, content, says):
    file = tmp_path / "news1.pem"
    if content is not None:
        file.write_bytes(content)
    chosen = read_settings(tmp_path, smtp_servers="127.0.0.1", dkim_keys=f"news1={file}")
    with pytest.raises(SettingsError) as fault:
        open_transport(chosen, "")
    assert str(fault.value).startswith(f"DIGEST_DKIM_KEYS: {file} ")
    assert says in str(fault.value)
    assert "secret" not in str(fault.value)
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"dkim_keys": "news1"}, "does not read selector=file"),
        ({"dkim_keys": "news1="}, "does not read selector=file"),
        ({"dkim_keys": "new s=x"}, "does not read selector=file"),
        ({"dkim_keys": "News_1=/x"}, "is no selector"),
        ({"dkim_keys": "a=/x,b=/x,c=/x"}, "2 at most"),
        ({"dkim_keys": "{key},{key}"}, "twice"),
        ({"dkim_keys": "{key}", "dkim_domain": "not a domain"}, "DIGEST_DKIM_DOMAIN"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path, values, says):
    (tmp_path / "k.pem").write_bytes(pem(RSA))
    filled = {name: value.replace("{key}", f"news1={tmp_path / 'k.pem'}") for name, value in values.items()}
    with pytest.raises(SettingsError, match=says) as fault:
        open_signers(read_settings(tmp_path, **filled))
    assert "DIGEST_DKIM_" in str(fault.value)


def test_nothing_we_show_of_a_key_holds_it():
    shown = repr(RSA) + repr(BOTH)
    assert "PrivateKey" not in shown
    assert str(RSA.private.private_numbers().d) not in shown


# commands -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def digest(tmp_path):
    def run(*words, **more):
        environment = {"PATH": "/usr/bin:/bin", "NO_COLOR": "1", "COLUMNS": "200", **more}
        return words_of(ready(["--home", "press", *words], cwd=tmp_path, environment=environment))

    (tmp_path / "press").mkdir()
    return run


@pytest.mark.parametrize("how", [(), ("--ed25519",)], ids=["RSA", "Ed25519"])
def test_a_new_key_signs_mail_that_holds_once_the_record_it_asks_for_is_published(digest, tmp_path, how):
    made = json.loads(digest("dkim", "new", "autumn", *how, "--json", DIGEST_DKIM_DOMAIN="example.org").stdout)
    file = tmp_path / "press" / "dkim-autumn.pem"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert made["setting"] == f"DIGEST_DKIM_KEYS=autumn={file}"
    (record,) = made["records"]
    assert record["name"] == "autumn._domainkey.example.org"
    chosen = read_settings(tmp_path / "press", dkim_keys=made["setting"].partition("=")[2], dkim_domain="example.org")
    with names() as here:
        message = signed(mail(), open_signers(chosen)(DOMAIN))
        assert by_dkimpy(here, message) == [False]
        here.put(record["name"], "TXT", record["text"])
        assert by_dkimpy(here, message) == [True]
    strings = re.findall('"([^"]*)"', record["zone_line"])
    assert "".join(strings) == record["text"]
    assert max(map(len, strings)) <= 255
    shown = digest("dkim", "show", DIGEST_DKIM_KEYS=f"autumn={file}", DIGEST_DKIM_DOMAIN="example.org")
    assert record["zone_line"] in shown.stdout
    assert "PRIVATE" not in shown.stdout


def test_the_record_is_named_for_every_domain_that_digests_are_sent_from(digest):
    digest("init")
    digest("set", "global", "--from-address", "global@news.example.org")
    digest("init", "--slug", "sport")
    digest("set", "sport", "--from-address", "sport@bücher.example")
    told = json.loads(digest("dkim", "new", "news1", "--json").stdout)["records"]
    assert [one["name"] for one in told] == [
        "news1._domainkey.news.example.org",
        "news1._domainkey.xn--bcher-kva.example",
    ]


def test_a_key_in_use_is_never_written_over(digest, tmp_path):
    assert digest("dkim", "new", "news1").returncode == 0
    file = tmp_path / "press" / "dkim-news1.pem"
    before = file.read_bytes()
    again = digest("dkim", "new", "news1")
    assert (again.returncode, file.read_bytes()) == (2, before)
    assert "is there already" in again.stderr
    known = digest("dkim", "new", "news1", "--out", tmp_path / "other.pem", DIGEST_DKIM_KEYS=f"news1={file}")
    assert known.returncode == 2
    assert not (tmp_path / "other.pem").exists()
    second = digest("dkim", "new", "news2", "--out", tmp_path / "other.pem", DIGEST_DKIM_KEYS=f"news1={file}")
    assert f"DIGEST_DKIM_KEYS=news1={file},news2={tmp_path / 'other.pem'}" in second.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("dkim", "new", "News_1"), "is no selector"),
        (("dkim", "new", "n", "--out", "missing/n.pem"), "cannot be written"),
        (("dkim", "new", "n", "--out", "a b.pem"), "without blanks"),
        (("dkim", "show"), "digest dkim new"),
    ],
)
def test_a_wrong_word_is_one_line(digest, words, says):
    done = digest(*words)
    assert done.returncode in {2, 4}
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_keys_are_read_in_their_order(tmp_path):
    for key in (RSA, ED25519):
        (tmp_path / f"{key.selector}.pem").write_bytes(pem(key))
    words = f"news2={tmp_path / 'news2.pem'}, news1={tmp_path / 'news1.pem'}"
    found = read_keys(read_settings(tmp_path, dkim_keys=words))
    assert [(key.selector, key.kind, key.record) for key in found] == [
        ("news2", "ed25519", ED25519.record),
        ("news1", "rsa", RSA.record),
    ]
