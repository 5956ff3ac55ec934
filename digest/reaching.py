"""
The way to a provider's API, for clients built on urllib: it tells "never reached" from "no answer".

A provider that was never reached took nothing; after the connection stands, nobody can know. No proxy is taken from the
environment and no redirect is followed: either would carry the key to another address.
"""

import ssl
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.request import (
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
)

from digest.errors import UnreachableError

CONNECT = 10.0  # seconds for name, connection and TLS; the caller's own timeout is for the answer


def direct_opener() -> OpenerDirector:
    """
    What urllib opens requests with.

    Its `open` raises UnreachableError when the connection never stood, and OSError or HTTPException after that.
    """
    return build_opener(ProxyHandler({}), _Plain(), _Secure(ssl.create_default_context()), _NoRedirect())


class _PlainConnection(HTTPConnection):
    def connect(self) -> None:
        _connect(self, super().connect)


class _SecureConnection(HTTPSConnection):
    def connect(self) -> None:
        _connect(self, super().connect)


def _connect(connection: HTTPConnection, connect: Callable[[], None]) -> None:
    patience, connection.timeout = connection.timeout, CONNECT
    try:
        connect()
    except (OSError, HTTPException) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UnreachableError(
            f"{connection.host} cannot be reached: {why}. Nothing has left and all is queued again: check the network and "
            "the host in the settings, then run the same command again."
        ) from None
    connection.sock.settimeout(patience)


class _Plain(HTTPHandler):
    def http_open(self, request: Request) -> HTTPResponse:
        return self.do_open(_PlainConnection, request)


class _Secure(HTTPSHandler):
    def __init__(self, trust: ssl.SSLContext) -> None:
        super().__init__(context=trust)
        self._trust = trust

    def https_open(self, request: Request) -> HTTPResponse:
        return self.do_open(_SecureConnection, request, context=self._trust)


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None
