"""SendGrid's own client, with what it lacks: an end to waiting, a way that is kept open, and silence about secrets."""

import logging
from http.client import HTTPException
from typing import Any
from urllib.request import Request

from python_http_client.client import Client
from sendgrid import SendGridAPIClient

from digest.reaching import Reply, Way
from digest.sendgrid.answers import Answer, Scopes, read, read_scopes

JSON = "application/json; charset=utf-8"  # by its plain name the client would encode again what is encoded
LOGGERS = ("sendgrid", "python_http_client", "python_http_client.client")


class Endpoint:
    """Mail Send at `host`, such as "https://api.sendgrid.com". `patience` is how many seconds to wait for an answer."""

    def __init__(self, key: str, host: str, *, patience: float) -> None:
        for name in LOGGERS:
            logging.getLogger(name).setLevel(logging.WARNING)  # at DEBUG they write down the key and every address
        self._way = Way(host, patience)
        self._api = SendGridAPIClient(key, host=host)
        self._client = _Client(self._api, self._way, "mail", "send")

    def post(self, body: str) -> Answer:
        """
        One request. Threads may post at the same time.

        Raises:
            UnreachableError: nothing has left.
        """
        try:
            response = self._client.post(request_body=_Body(body))
        except (OSError, HTTPException) as error:
            return Answer(0, f"no answer: {type(error).__name__}")
        return read(response.status_code, response.headers, response.body)

    def scopes(self) -> tuple[Answer, Scopes]:
        """
        What the key may do. Nothing is sent.

        Raises:
            UnreachableError: nothing has left.
        """
        try:
            response = _Client(self._api, self._way, "scopes").get()
        except (OSError, HTTPException) as error:
            return Answer(0, f"no answer: {type(error).__name__}"), Scopes()
        answer = read(response.status_code, response.headers, response.body)
        return answer, read_scopes(response.headers, response.body)

    def close(self) -> None:
        self._way.close()


class _Client(Client):  # type: ignore[misc]  # it ships no types
    """The package's client at one path below /v3: the headers and the key are its own, the way is ours."""

    def __init__(self, api: SendGridAPIClient, way: Way, *path: str) -> None:
        headers = {**api.client.request_headers, "Content-Type": JSON}
        super().__init__(host=api.host, request_headers=headers, version=3, url_path=list(path))
        self._way = way

    def _make_request(self, _opener: Any, request: Request, **_: Any) -> "_Response":
        headers = dict(request.header_items())
        return _Response(self._way.exchange(request.get_method(), request.selector, headers, request.data))  # type: ignore[arg-type]


class _Body:
    """A request's text, for a client that asks it to encode itself."""

    def __init__(self, text: str) -> None:
        self._text = text

    def encode(self, encoding: str) -> "_Sealed":
        return _Sealed(self._text.encode(encoding))


class _Sealed(bytes):
    """
    A body that shows nothing of itself.

    The client writes it out for its log even where nobody reads that: at four times the price of all the rest.
    """

    def __str__(self) -> str:
        return f"({len(self)} bytes)"

    __repr__ = __str__


class _Response:
    """A reply as the package reads it; whatever its status, it is an answer and no exception."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    def getcode(self) -> int:
        return self._reply.status

    def info(self) -> Any:
        return self._reply.headers

    def read(self) -> bytes:
        return self._reply.body
