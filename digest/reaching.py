"""
The way to a provider's API: connections that are kept open, and an honest word on what has left.

A provider that was never reached took nothing, and neither did one that never had the last byte of a request. After that
byte nobody can know. No proxy is taken from the environment and no redirect is followed: either would carry the key to
another address.
"""

import ssl
from collections import deque
from collections.abc import Mapping
from email.message import Message
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from select import POLLIN, poll
from time import monotonic
from typing import NamedTuple
from urllib.parse import urlsplit

from digest.errors import UnreachableError

CONNECT = 10.0  # seconds for name, connection and TLS; the way's own patience is for the answer
KEPT = 30.0  # seconds that an unused connection is trusted; load balancers close theirs after 60 or more
MOST_SAID = 1_000_000  # bytes of an answer; what is longer is no API's


class Reply(NamedTuple):
    """What came back, read to its end."""

    status: int
    headers: Message
    body: bytes


class Way:
    """
    Connections to one address such as "https://api.sendgrid.com", as many as are in use at once.

    Threads may share it: each exchange has a connection to itself. `patience` is how many seconds to wait for an answer.
    """

    def __init__(self, address: str, patience: float) -> None:
        parts = urlsplit(address)
        self._host, self._port, self._patience = parts.hostname or "", parts.port, patience
        self._trust = ssl.create_default_context() if parts.scheme == "https" else None
        self._idle: deque[tuple[float, HTTPConnection]] = deque()

    def exchange(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Reply:
        """
        Say it once, and hear the answer.

        A kept connection that the other side has closed meanwhile is replaced; nothing is ever said twice.

        Raises:
            UnreachableError: the whole of it never left, so nothing was taken.
            OSError, HTTPException: it left, and no answer can be read: nobody can know.
        """
        connection = self._said(method, path, headers, body)
        try:
            answer = connection.getresponse()
            reply = Reply(answer.status, answer.headers, answer.read(MOST_SAID))
        except BaseException:
            connection.close()
            raise
        self._keep(connection, answer)
        return reply

    def close(self) -> None:
        """Close what is not in use; the rest closes when its exchange is over."""
        self._patience = 0.0
        while self._idle:
            self._idle.popleft()[1].close()

    def _said(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> HTTPConnection:
        """A connection over which the request has left to its last byte."""
        while True:
            kept = self._kept()
            connection = kept or self._connected()
            try:
                connection.request(method, path, body, dict(headers))
            except (OSError, HTTPException) as error:
                connection.close()
                if not kept:
                    raise self._unreachable(error, "broke off before the request had left") from None
            except BaseException:
                connection.close()
                raise
            else:
                return connection

    def _connected(self) -> HTTPConnection:
        connection = (
            HTTPSConnection(self._host, self._port, timeout=CONNECT, context=self._trust)
            if self._trust
            else HTTPConnection(self._host, self._port, timeout=CONNECT)
        )
        try:
            connection.connect()
        except (OSError, HTTPException) as error:
            connection.close()
            raise self._unreachable(error, "cannot be reached") from None
        connection.sock.settimeout(self._patience)
        return connection

    def _kept(self) -> HTTPConnection | None:
        """The connection used last, if the other side has said nothing since: it would only say that it closes."""
        while self._idle:
            try:
                since, connection = self._idle.pop()
            except IndexError:  # another thread was quicker
                return None
            if monotonic() - since < KEPT and _is_quiet(connection):
                return connection
            connection.close()
        return None

    def _keep(self, connection: HTTPConnection, answer: HTTPResponse) -> None:
        if self._patience and answer.isclosed() and connection.sock is not None:
            self._idle.append((monotonic(), connection))
        else:
            connection.close()

    def _unreachable(self, error: Exception, what: str) -> UnreachableError:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return UnreachableError(
            f"{self._host} {what}: {why}. It took nothing and all is queued again: check the network and the host in the "
            "settings, then run the same command again."
        )


def _is_quiet(connection: HTTPConnection) -> bool:
    look = poll()
    look.register(connection.sock, POLLIN)
    return not look.poll(0)
