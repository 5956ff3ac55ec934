"""A small web site on loopback, whose pages a test writes as it goes."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.serving import serving


@dataclass
class Page:
    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    drip: float = 0.0  # seconds between two bytes
    length: int | None = None  # what it claims
    chunks: int = 1  # how often the body is sent


@dataclass
class Site:
    """Its pages by path, and what was asked of it."""

    port: int = 0
    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str) -> str:
        return f"http://{self.host}{path}"

    def put(self, path: str, body: bytes = b"", **values: object) -> str:
        self.pages[path] = Page(body, **values)  # type: ignore[arg-type]
        return self.url(path)


@pytest.fixture
def site() -> Iterator[Site]:
    here = Site()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            here.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            page = here.pages.get(self.path, Page(b"nothing here", 404))
            self.send_response(page.status)
            for name, value in page.headers.items():
                self.send_header(name, value)
            self.send_header(
                "content-length", str(len(page.body) * page.chunks if page.length is None else page.length)
            )
            self.end_headers()
            try:
                for _ in range(page.chunks):
                    self._send(page)
            except OSError:
                return

        def _send(self, page: Page) -> None:
            if not page.drip:
                self.wfile.write(page.body)
            for start in range(len(page.body) if page.drip else 0):
                self.wfile.write(page.body[start : start + 1])
                time.sleep(page.drip)

        def log_message(self, *args: object) -> None:
            return

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as here.port:
        yield here
