"""How readers' pages are made: a template in the reader's language, the digest's colours in a stylesheet of its own name."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request
from sqlmodel import select
from starlette.responses import HTMLResponse, Response

from digest.database import reading
from digest.digests import digest_value
from digest.errors import NotReadyError
from digest.languages import Words, direction, languages, primary, words
from digest.models import DigestRow
from digest.palette import palette
from digest.press import Press
from digest.values import Digest
from subscribers.zones import zones

ENDONYMS = {"en": "English", "es": "Español"}
REGIONS = (
    "Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific",
)  # fmt: skip
FOR_EVER = "public, max-age=31536000, immutable"
HOUSE = "Global Digest"
KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


@dataclass
class Pages:
    """Prints the pages of one press. What a page is made of besides its words is served by `asset`."""

    press: Press
    clock: Callable[[], datetime]
    _names: dict[Any, str] = field(default_factory=dict)
    _assets: dict[str, bytes] = field(default_factory=dict)

    def show(
        self, name: str, language: str, digest: Digest | None = None, *, status: int = 200, **names: Any
    ) -> HTMLResponse:
        """A page of `templates/web`, in that language; without a digest it is the house's."""
        spoken = self.words(language)
        known = {
            "language": spoken.language, "dir": direction(spoken.language), "digest": digest,
            "house": digest.name if digest else HOUSE, "wordmark": digest.wordmark if digest else HOUSE,
            "postal_address": digest.postal_address if digest else "", "languages": self.languages,
            "stylesheet": self._asset("readers.css", digest), "icon": self._asset("icon.svg"), "faults": {}, **names,
        }  # fmt: skip
        return HTMLResponse(self.press.printer.page(f"web/{name}.html", spoken, known), status)

    def unknown(self, request: Request) -> HTMLResponse:
        """The one answer to every link that opens nothing, whatever the reason."""
        return self.show("unknown", self.asked_language(request, "en"), status=404)

    def here(self, address: str) -> str:
        """An address of ours as a page names it: without the host, under which the page was found already."""
        return urlsplit(address).path

    # languages ------------------------------------------------------------------------------------------------------

    def words(self, language: str) -> Words:
        return words(language, self.press.printer.folders)

    @property
    def languages(self) -> list[tuple[str, str]]:
        """Those that a reader can be written to: code, and the name that its speakers give it."""
        return [(code, ENDONYMS.get(code, code)) for code in sorted(languages(self.press.printer.folders))]

    def asked_language(self, request: Request, otherwise: str) -> str:
        """The page's `?language=`, else the first that the browser asks for and we speak."""
        known = [code for code, _ in self.languages]
        accepted = [part.partition(";")[0].strip() for part in request.headers.get("accept-language", "").split(",")]
        for one in (request.query_params.get("language", ""), *accepted[:10]):
            if one and primary(one) in known:
                return primary(one)
        return otherwise

    # stylesheets and the like -----------------------------------------------------------------------------------------

    def script(self) -> str:
        """Where the one script is: it fills in the time zone that the browser reports."""
        return self._asset("zone.js")

    def asset(self, name: str) -> Response | None:
        """A file that a page names; its name holds its content's hash, so that it may be kept for ever."""
        if name not in self._assets:
            self._make_all()  # another process printed the page, or this one has been started anew
        body = self._assets.get(name)
        if body is None:
            return None
        return Response(body, media_type=KINDS[name.rpartition(".")[2]], headers={"cache-control": FOR_EVER})

    def _make_all(self) -> None:
        with reading(self.press.engine) as session:
            digests = [digest_value(row) for row in session.exec(select(DigestRow))]
        for one in (None, *digests):
            self._asset("readers.css", one)
        self.script()
        self._asset("icon.svg")

    def _asset(self, name: str, digest: Digest | None = None) -> str:
        key = name, tuple(sorted(digest.colours.items())) if digest else ()
        if key not in self._names:
            body = self.press.printer.page(
                f"web/{name}", self.words("en"), {"colours": _colours(dict(key[1]))}
            ).encode()
            stem, _, kind = name.rpartition(".")
            self._names[key] = f"{stem}-{hashlib.sha256(body).hexdigest()[:16]}.{kind}"
            self._assets[self._names[key]] = body
        return self.here(f"{self.press.settings.base_url}/style/{self._names[key]}")


def _colours(own: dict[str, str]) -> dict[str, str]:
    """A digest's colours; ours where words in its own could not be read."""
    try:
        return palette(own)
    except NotReadyError:
        return palette({})


@cache
def zone_choices() -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """Every zone of a place, by region: ("Europe", (("Europe/Madrid", "Madrid"), ...))."""
    by_region: dict[str, list[tuple[str, str]]] = {region: [] for region in REGIONS}
    for zone in sorted(zones()):
        region, _, place = zone.partition("/")
        if region in by_region:
            by_region[region].append((zone, place.replace("_", " ").replace("/", ", ")))
    return (*((region, tuple(places)) for region, places in by_region.items()), ("UTC", (("UTC", "UTC"),)))
