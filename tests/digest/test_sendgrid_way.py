"""The way to SendGrid: connections that are kept open, that never say a thing twice, and that trust nobody else."""

import socket
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from digest.errors import UnreachableError
from digest.reaching import Way
from digest.values import DeliveryState
from tests.sendgrid_mail import people, printed, reader, states
from tests.sendgrid_stand_in import RESETS, Ours, Says, stand_in

PROOF = printed()


@pytest.fixture
def there():
    with stand_in() as server:
        yield server


def hand(transport, guests):
    return list(transport.send(PROOF, guests, Ours()))


# kept connections ---------------------------------------------------------------------------------------------------


def test_one_connection_serves_many_requests(there):
    transport = there.transport(sendgrid_requests=10)
    hand(transport, people(100))
    hand(transport, people(100))
    assert (len(there.asked), there.connections) == (20, 1)


def test_a_connection_that_was_closed_meanwhile_is_replaced_and_nobody_gets_two_copies(there):
    there.lined_up.extend([Says(202, taken=True, then_closes=True)] * 9)
    transport = there.transport()
    for number in range(1, 11):
        assert states(hand(transport, [reader(number)])) == {number: DeliveryState.ACCEPTED}
        time.sleep(0.02)  # its closing has arrived
    assert there.connections == 10
    assert set(there.copies.values()) == {1}


def test_a_reset_on_a_kept_connection_leaves_doubt_and_is_not_said_again(there):
    there.lined_up.extend([Says(202, taken=True), RESETS])
    transport = there.transport()
    hand(transport, [reader(1)])
    assert states(hand(transport, [reader(2)])) == {2: DeliveryState.AMBIGUOUS}
    assert states(hand(transport, [reader(3)])) == {3: DeliveryState.ACCEPTED}
    assert (len(there.asked), there.connections) == (3, 2)


@pytest.fixture
def rude():
    """A server whose answers a test writes itself: for each connection in turn, what it does with it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        doings, over = [], threading.Event()

        def serve():
            for doing in doings:
                connection, _ = server.accept()
                with connection:
                    doing(connection)

        thread = threading.Thread(target=serve, daemon=True)
        yield f"http://127.0.0.1:{server.getsockname()[1]}", doings, thread.start
        over.set()
    thread.join(10)


def whole(connection):
    heard = b""
    while not heard.endswith(b"}"):
        heard += connection.recv(1 << 20)
    return heard


def says(answer):
    def do(connection):
        whole(connection)
        connection.sendall(answer)

    return do


def cuts_short(connection):
    connection.recv(1000)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # a reset


def test_a_request_that_never_left_whole_was_not_taken(rude):
    address, doings, start = rude
    doings.append(cuts_short)
    start()
    way = Way(address, 10)
    with pytest.raises(UnreachableError, match="broke off"):
        way.exchange("POST", "/", {}, b"{" + b" " * 30_000_000 + b"}")
    way.close()


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 20", b"nonsense\r\n\r\n"],
)
def test_half_an_answer_is_no_answer(rude, answer):
    address, doings, start = rude
    doings.append(says(answer))
    start()
    way = Way(address, 10)
    with pytest.raises(Exception) as caught:
        way.exchange("POST", "/", {}, b"{}")
    assert not isinstance(caught.value, UnreachableError)
    way.close()


def test_an_answer_whose_body_is_cut_short_still_says_its_status_and_its_connection_is_not_kept(rude):
    address, doings, start = rude
    cut = says(b"HTTP/1.1 202 Accepted\r\nContent-Length: 9\r\n\r\nhalf")
    doings.extend([cut, cut])
    start()
    way = Way(address, 10)
    assert [way.exchange("POST", "/", {}, b"{}")[::2] for _ in range(2)] == [(202, b"half")] * 2
    way.close()


def test_what_a_server_says_unasked_is_never_taken_for_the_answer_to_the_next_request(rude):
    address, doings, start = rude
    ok = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
    doings.extend([says(ok + b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"), says(ok)])
    start()
    way = Way(address, 10)
    assert way.exchange("POST", "/", {}, b"{}").status == 202
    time.sleep(0.05)
    assert way.exchange("POST", "/", {}, b"{}").status == 202
    way.close()


def test_an_endless_answer_is_cut_off(rude):
    address, doings, start = rude
    doings.append(says(b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 1_500_000))
    start()
    way = Way(address, 10)
    assert len(way.exchange("POST", "/", {}, b"{}").body) == 1_000_000
    way.close()


# whom it trusts -----------------------------------------------------------------------------------------------------


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
        assert states(hand(server.transport(), people(2)))[1] == DeliveryState.ACCEPTED
        (tmp_path / "nobody.pem").touch()
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nobody.pem"))
        stranger = server.transport()
        with pytest.raises(UnreachableError, match="certificate"):
            hand(stranger, people(2))
        assert stranger.prove(PROOF, reader(1)) is False
        assert len(server.asked) == 1


def test_a_proxy_in_the_environment_is_not_told_the_key(there, monkeypatch):
    with stand_in() as proxy:
        monkeypatch.setenv("http_proxy", proxy.host)
        assert states(hand(there.transport(), people(1))) == {1: DeliveryState.ACCEPTED}
        assert (len(there.asked), proxy.asked) == (1, [])
