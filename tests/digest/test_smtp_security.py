"""Certificates, STARTTLS and logins: whom we trust, and that no password goes where others could read it."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from digest.errors import AccountError, SettingsError, UnreachableError
from digest.settings import read_settings
from digest.smtp.replies import Reply
from digest.smtp.security import Login, is_loopback
from digest.transports.smtp import open_transport, probe
from digest.values import DeliveryState
from tests.authority import Authority
from tests.smtp_stand_in import Notes, hand_over, reader, stand_in

PASSWORD = "open-sesame-1001"
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def settings(tmp_path, authority):
    def read(house, **values):
        values = {"smtp_servers": f"127.0.0.1:{house.port}", "smtp_ca": authority.file, **values}
        return read_settings(tmp_path, smtp_hello="press.example.org", smtp_patience=0.05, **values)

    return read


@pytest.fixture
def opened(settings):
    transports = []

    def open_one(house, **values):
        transports.append(open_transport(settings(house, smtp_connections=2, **values), ""))
        return transports[-1]

    yield open_one
    for transport in transports:
        transport.close()


# encryption ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail_goes_by_a_connection_that_was_verified(opened, authority, security):
    with stand_in(tls=authority.server("127.0.0.1"), implicit=security == "tls") as house:
        notes = hand_over(opened(house, smtp_security=security), [reader(n) for n in range(1, 30)])
        assert notes.numbers(DeliveryState.ACCEPTED) == set(range(1, 30))
        assert set(house.copies.values()) == {1}
        assert all(session.secure for session in house.sessions)


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize(
    ("names", "until", "why"),
    [
        (["127.0.0.1"], NOW - timedelta(days=2), "expired"),
        (["mail.example.org"], NOW + timedelta(days=2), "127.0.0.1"),
    ],
    ids=["expired", "for another host"],
)
def test_a_certificate_that_does_not_hold_is_one_clear_line_and_nothing_is_sent(
    opened, authority, security, names, until, why
):
    with stand_in(
        tls=authority.server(*names, until=until), implicit=security == "tls", passwords={"u": PASSWORD}
    ) as house:
        notes = Notes()
        with pytest.raises(AccountError, match=why) as fault:
            hand_over(opened(house, smtp_security=security, smtp_user="u", smtp_password=PASSWORD), [reader(1)], notes)
        assert str(fault.value).startswith(f"The certificate of 127.0.0.1:{house.port} is refused")
        assert (notes.marks, house.taken) == ([], [])
        assert not any("AUTH" in line for line in house.said)


def test_an_authority_that_the_system_does_not_know_is_refused_without_the_setting(opened, authority):
    with (
        stand_in(tls=authority.server("127.0.0.1")) as house,
        pytest.raises(AccountError, match="certificate"),
    ):
        hand_over(opened(house, smtp_ca=None), [reader(1)])


def test_a_server_without_starttls_is_refused_when_it_is_demanded(opened):
    with stand_in(passwords={"u": PASSWORD}) as house:
        with pytest.raises(AccountError, match="does not offer STARTTLS"):
            hand_over(opened(house, smtp_user="u", smtp_password=PASSWORD), [reader(1)])
        assert not any("AUTH" in line for line in house.said)


def test_what_was_put_in_before_encryption_does_not_count_after_it(opened, authority):
    """A reply smuggled in behind the answer to STARTTLS would otherwise answer our next question."""
    smuggled = "220 go ahead\r\n250-evil.example\r\n250 SIZE 1"

    with stand_in(
        lambda phase, _: smuggled if phase == "starttls" else None, tls=authority.server("127.0.0.1")
    ) as house:
        notes = hand_over(opened(house), [reader(1)])
        assert notes.numbers(DeliveryState.ACCEPTED) == {1}, "a size of 1 would have refused the message"


def test_a_server_that_does_not_speak_tls_is_a_server_that_was_not_reached(opened):
    with stand_in() as house, pytest.raises(UnreachableError, match="failed while connecting"):
        hand_over(opened(house, smtp_security="tls"), [reader(1)])


def test_a_file_of_authorities_that_cannot_be_read_names_its_setting(settings, tmp_path):
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    with stand_in() as house:
        for file in (tmp_path / "missing.pem", empty):
            with pytest.raises(SettingsError, match="DIGEST_SMTP_CA"):
                open_transport(settings(house, smtp_ca=file), "")


# logins -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["auto", "plain", "login", "xoauth2"])
def test_we_log_in_each_way(opened, authority, way):
    with stand_in(tls=authority.server("127.0.0.1"), passwords={"press@example.org": PASSWORD}) as house:
        transport = opened(house, smtp_user="press@example.org", smtp_password=PASSWORD, smtp_auth=way)
        notes = hand_over(transport, [reader(1)])
        assert notes.numbers(DeliveryState.ACCEPTED) == {1}
        assert house.sessions[0].user == "press@example.org"
        used = [line.split()[1] for line in house.said if line.startswith("AUTH")]
        assert used == ["PLAIN" if way == "auto" else way.upper()]


@pytest.mark.parametrize("way", ["plain", "login", "xoauth2"])
def test_a_wrong_password_is_one_clear_line_that_repeats_no_password(opened, authority, way):
    with stand_in(tls=authority.server("127.0.0.1"), passwords={"press": "another"}) as house:
        notes = Notes()
        with pytest.raises(AccountError, match="DIGEST_SMTP_PASSWORD") as fault:
            hand_over(opened(house, smtp_user="press", smtp_password=PASSWORD, smtp_auth=way), [reader(1)], notes)
        assert "535 5.7.8 no" in str(fault.value)
        assert PASSWORD not in str(fault.value)
        assert (notes.receipts, notes.marks) == ({}, [])


def test_a_login_that_is_not_offered_says_what_is(opened, authority):
    with stand_in(tls=authority.server("127.0.0.1")) as house, pytest.raises(AccountError, match="offers none"):
        hand_over(opened(house, smtp_user="press", smtp_password=PASSWORD), [reader(1)])


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [("XOAUTH2 LOGIN PLAIN", "PLAIN"), ("CRAM-MD5 LOGIN", "LOGIN"), ("XOAUTH2 NTLM", "XOAUTH2")],
)
def test_the_best_way_offered_is_taken(offered, chosen):
    said = []

    async def ask(words):
        said.append(words.decode())
        return Reply(334, b"") if words in {b"AUTH LOGIN", b"cHJlc3M="} else Reply(235, b"")

    login = Login("press", PASSWORD)
    asyncio.run(login.prove(ask, offered.split(), server="s:1", private=True))
    assert said[0].split()[1] == chosen


def test_no_password_goes_over_a_connection_that_others_can_read():
    async def ask(_words):
        raise AssertionError("nothing may be said")

    with pytest.raises(AccountError, match="others can read"):
        asyncio.run(Login("press", PASSWORD).prove(ask, ["PLAIN"], server="s:1", private=False))
    assert [is_loopback(peer) for peer in ("127.0.0.1", "::1", "192.0.2.1", "relay.example.org")] == [
        True,
        True,
        False,
        False,
    ]


def test_a_relay_on_this_machine_may_have_the_password_unencrypted(opened):
    with stand_in(passwords={"press": PASSWORD}) as house:
        hand_over(opened(house, smtp_security="none", smtp_user="press", smtp_password=PASSWORD), [reader(1)])
        assert house.sessions[0].user == "press"


def test_nothing_we_show_of_a_login_holds_the_password():
    assert PASSWORD not in repr(Login("press", PASSWORD))


# looking without sending --------------------------------------------------------------------------------------------


def test_a_probe_logs_in_and_sends_nothing(settings, authority):
    with stand_in(tls=authority.server("127.0.0.1"), passwords={"press": PASSWORD}) as house:
        found = probe(settings(house, smtp_user="press", smtp_password=PASSWORD), 10).words
        assert found == (
            f"127.0.0.1:{house.port} lets us in: TLSv1.3, logged in as press, PIPELINING, 8BITMIME, SMTPUTF8, "
            "messages up to 10 MB"
        )
        assert (house.sessions[0].user, house.taken) == ("press", [])
        with pytest.raises(AccountError):
            probe(settings(house, smtp_user="press", smtp_password="wrong"), 10)
