"""SendGrid's own client, with what it lacks: an end to waiting, a way that is kept open, and silence about secrets."""

import logging
from http.client import HTTPException
from urllib.parse import urlsplit

from python_http_client.client import Client
from sendgrid import SendGridAPIClient

from digest.reaching import Reply, Way
from digest.sendgrid.answers import Answer, Scopes, read, read_scopes

JSON = "application/json; charset=utf-8"
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
            reply = self._client.post(body)
        except (OSError, HTTPException) as error:
            return Answer(0, f"no answer: {type(error).__name__}")
        return read(*reply)

    def scopes(self) -> tuple[Answer, Scopes]:
        """
        What the key may do. Nothing is sent.

        Raises:
            UnreachableError: nothing has left.
        """
        try:
            reply = _Client(self._api, self._way, "scopes").get()
        except (OSError, HTTPException) as error:
            return Answer(0, f"no answer: {type(error).__name__}"), Scopes()
        return read(*reply), read_scopes(reply.headers, reply.body)

    def close(self) -> None:
        self._way.close()


class _Client(Client):  # type: ignore[misc]  # it ships no types
    """
    The package's client at one path below /v3: the address, the headers and the key are its own, the way is ours.

    Its own `post` puts an opener together for each request, and looks through the environment for proxies: for half a
    thousand readers that is as much work as the network is, and the way would only throw it away.
    """

    def __init__(self, api: SendGridAPIClient, way: Way, *path: str) -> None:
        headers = {**api.client.request_headers, "Content-Type": JSON}
        super().__init__(host=api.host, request_headers=headers, version=3, url_path=list(path))
        self._way, self._path = way, urlsplit(self._build_url(None)).path

    def get(self) -> Reply:
        return self._way.exchange("GET", self._path, self.request_headers, None)

    def post(self, request_body: str) -> Reply:
        return self._way.exchange("POST", self._path, self.request_headers, request_body.encode())
