"""The only way out: fetches an address that anybody may see, from the very machine that was checked, within bounds."""

import http.client
import ipaddress
import os
import socket
import ssl
import stat
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, quote, urlencode, urljoin, urlsplit

import idna

from digest import __version__
from digest.errors import SourceError
from digest.unpacking import CHUNK, bounded, unpacked_again

AGENT = f"GlobalDigest/{__version__} (news reader)"
ACCEPT = "application/rss+xml, application/atom+xml, application/feed+json, application/xml;q=0.9, text/html;q=0.9, */*;q=0.5"
MOVED, MOVED_FOR_GOOD = frozenset({301, 302, 303, 307, 308}), frozenset({301, 308})
NOT_MODIFIED = 304
_URL_SAFE = "/:?#[]@!$&'()*+,;=%~-._"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one exchange: seconds in all, redirects included; bytes once unpacked; redirects."""

    seconds: float = 10.0
    bytes: int = 5_000_000
    redirects: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """
    An answer, whatever its status. `body` is unpacked; header names are in lower case.

    `permanent_url` is where the address has moved for good (301, 308), else empty.
    """

    status: int
    url: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    permanent_url: str = ""

    @property
    def not_modified(self) -> bool:
        return self.status == NOT_MODIFIED


def fetch(
    url: str, *, limits: Limits | None = None, allow: Sequence[str] = (), etag: str = "", last_modified: str = ""
) -> Fetched:
    """
    GET an http(s) address on public machines, following redirects, each checked as the first.

    Args:
        allow: hosts (`news.lan`) or hosts with port (`127.0.0.1:8080`) that may be private; by the operator's settings.
        etag, last_modified: as the last answer gave them, for a conditional request.

    Raises:
        SourceError: the address may not be fetched, cannot be reached, is too slow, or answers too much.
    """
    limits = limits or Limits()
    deadline, permanent, for_good = time.monotonic() + limits.seconds, "", True
    asked = {"if-none-match": etag, "if-modified-since": last_modified}
    for _ in range(limits.redirects + 1):
        target = _target(url)
        answer = _exchange(target, limits, allow, deadline, {name: value for name, value in asked.items() if value})
        onward = answer.headers.get("location", "")
        if answer.status not in MOVED or not onward:
            return Fetched(
                status=answer.status, url=url, body=answer.body, headers=answer.headers, permanent_url=permanent
            )
        try:
            url = urljoin(url, onward)
        except ValueError:
            raise SourceError(f"{url} redirects to what is no web address: ask its publisher.") from None
        for_good = for_good and answer.status in MOVED_FOR_GOOD
        permanent = url if for_good else permanent
    raise SourceError(f"{url} redirects more than {limits.redirects} times: give the address where it ends.")


def post(url: str, form: Mapping[str, str], *, limits: Limits | None = None, allow: Sequence[str] = ()) -> Fetched:
    """
    POST a form's fields to an address that `fetch` would get. A redirect is not followed: it would carry them elsewhere.

    Raises:
        SourceError: as `fetch`.
    """
    asked = {"content-type": "application/x-www-form-urlencoded"}
    return hand(url, urlencode(form).encode(), asked, limits=limits, allow=allow)


def hand(
    url: str, body: bytes, headers: Mapping[str, str], *, limits: Limits | None = None, allow: Sequence[str] = ()
) -> Fetched:
    """
    POST a body to an address that `fetch` would get. As with `post`, a redirect is not followed.

    Raises:
        SourceError: as `fetch`.
    """
    limits = limits or Limits()
    return _exchange(_target(url), limits, allow, time.monotonic() + limits.seconds, headers, body)


def read_file(path: Path, *, limits: Limits | None = None) -> Fetched:
    """
    A local file under the same bounds, unpacked if it is gzip.

    Raises:
        SourceError: there is no such file, it is no ordinary file, or it is too big.
    """
    limits = limits or Limits()
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not keep us waiting
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise SourceError(f"{path} is no ordinary file: give a page or a feed.")
            body = b"".join(bounded(iter(lambda: file.read(CHUNK), b""), "", str(path), limits.bytes))
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}): check the path and its permissions.") from None
    return Fetched(status=200, url="", body=unpacked_again(body, str(path), limits.bytes))


# Whom we talk to ------------------------------------------------------------------------------------------------------


def _target(url: str) -> SplitResult:
    """The address, ASCII only."""
    if "@" in url.partition("//")[2].partition("/")[0]:
        raise SourceError("The address holds a user name: passwords in addresses are not sent; leave it out.")
    try:
        parts = urlsplit(quote(url, safe=_URL_SAFE))
        host, port = urlsplit(url).hostname or "", parts.port
        if not host.isascii():
            host = idna.encode(host, uts46=True).decode()
    except (ValueError, UnicodeError):
        raise SourceError(f"{url} is no web address: use one such as https://example.org/feed.xml.") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise SourceError(f"{url} is no web address: only http and https are fetched.")
    if "@" in parts.netloc:
        raise SourceError(
            f"The address at {host} holds a user name: passwords in addresses are not sent; leave it out."
        )
    bracketed = f"[{host}]" if ":" in host else host
    return parts._replace(netloc=f"{bracketed}:{port}" if port else bracketed, fragment="")


def _addresses(target: SplitResult, allow: Sequence[str], seconds: float) -> list[str]:
    """The numeric addresses of a host, all of them public unless the operator allows the host by name."""
    host, port = target.hostname or "", _port(target)
    found = _resolve(host, port, seconds)
    if {host, f"{host}:{port}"} & {name.lower() for name in allow}:
        return found
    private = [address for address in found if not is_public(address)]
    if private:
        raise SourceError(
            f"{host} is at {private[0]}, which is not a public address, so it was not fetched. "
            f"If it is yours, name it in DIGEST_FETCH_ALLOW={host}:{port}"
        )
    return found


def _resolve(host: str, port: int, seconds: float) -> list[str]:
    """In a thread of its own, as the system's resolver knows no time limit."""
    found: list[str] = []
    fault: list[OSError] = []

    def ask() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.extend(dict.fromkeys(str(answer[4][0]) for answer in answers))
        except (OSError, UnicodeError) as error:
            fault.append(error if isinstance(error, OSError) else OSError(str(error)))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(max(seconds, 0))
    if fault or not found:
        raise SourceError(f"{host} is not found by the name service: check the address and the network.")
    return found


def is_public(address: str) -> bool:
    """Whether an IP address is one anybody may see; addresses that carry another inside are judged by that one."""
    try:
        ip = ipaddress.ip_address(address.split("%", 1)[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo and ip.teredo[1]) or _nat64(ip)
        if inner:
            return is_public(str(inner))
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_loopback or ip.is_link_local)


def _nat64(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in ipaddress.ip_network("64:ff9b::/96") else None


def _port(target: SplitResult) -> int:
    return target.port or (443 if target.scheme == "https" else 80)


# One exchange ---------------------------------------------------------------------------------------------------------


class _Connection(http.client.HTTPConnection):
    """HTTP over a socket that is already connected, to the address that was checked."""

    def __init__(self, host: str, port: int, ready: socket.socket) -> None:
        super().__init__(host, port)
        self.sock = ready

    def connect(self) -> None:
        raise OSError("closed")  # never again by name


def _exchange(
    target: SplitResult, limits: Limits, allow: Sequence[str], deadline: float, asked: Mapping[str, str],
    body: bytes | None = None,
) -> Fetched:  # fmt: skip
    name = target.netloc
    with _in_words(name, limits, deadline), _connected(target, limits, allow, deadline) as sock:
        connection = _Connection(target.hostname or "", _port(target), sock)
        path = (target.path or "/") + (f"?{target.query}" if target.query else "")
        headers = {"host": name, "user-agent": AGENT, "accept": ACCEPT, "accept-encoding": "gzip, deflate", **asked}
        headers["connection"] = "close"
        connection.request("GET" if body is None else "POST", path, body, headers)
        response = connection.getresponse()
        told = {key.lower(): value for key, value in response.getheaders()}
        if response.status in MOVED or response.status == NOT_MODIFIED:
            return Fetched(status=response.status, url="", headers=told)
        pieces = bounded(iter(lambda: response.read1(CHUNK), b""), told.get("content-encoding", ""), name, limits.bytes)
        said = b"".join(pieces)
        if response.length:
            raise SourceError(f"{name} broke off its answer: it is tried again later.")
        return Fetched(status=response.status, url="", headers=told, body=unpacked_again(said, name, limits.bytes))


@contextmanager
def _connected(target: SplitResult, limits: Limits, allow: Sequence[str], deadline: float) -> Iterator[socket.socket]:
    """A socket to a checked address that a watchdog ends at the deadline, however slowly the other side drips."""
    raw = _dial(_addresses(target, allow, deadline - time.monotonic()), _port(target), deadline)
    watched = raw.dup()
    watchdog = threading.Timer(max(deadline - time.monotonic(), 0), _hang_up, (watched,))
    watchdog.daemon = True
    watchdog.start()
    try:
        raw.settimeout(limits.seconds)
        sock = raw
        if target.scheme == "https":
            sock = ssl.create_default_context().wrap_socket(raw, server_hostname=target.hostname)
        with sock:
            yield sock
    finally:
        watchdog.cancel()
        raw.close()
        watched.close()


def _dial(addresses: Sequence[str], port: int, deadline: float) -> socket.socket:
    fault: OSError = TimeoutError()
    for address in addresses:
        try:
            return socket.create_connection((address, port), timeout=max(deadline - time.monotonic(), 0.001))
        except OSError as error:
            fault = error
    raise fault


def _hang_up(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it was closed already


@contextmanager
def _in_words(name: str, limits: Limits, deadline: float) -> Iterator[None]:
    """One sentence for whatever goes wrong. After the deadline nothing counts: a line hung up looks like an answer's end."""
    late = f"{name} took longer than {limits.seconds:g} seconds: it is tried again later."
    try:
        yield
    except (SourceError, OSError, http.client.HTTPException, ValueError) as error:
        if time.monotonic() >= deadline or isinstance(error, TimeoutError):
            raise SourceError(late) from None
        raise SourceError(_told(name, error)) from None
    if time.monotonic() >= deadline:
        raise SourceError(late)


def _told(name: str, error: Exception) -> str:
    if isinstance(error, SourceError):
        return str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{name} shows a certificate that is not valid ({error.verify_message}): it was not read."
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"{name} cannot be read ({said}): check the address, it is tried again later."
