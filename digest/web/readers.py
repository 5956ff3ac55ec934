"""Whose page it is: the reader behind a token, for how long it opens, and how their pages are shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast
from urllib.parse import quote

from fastapi import APIRouter, Request
from sqlmodel import Session, select
from starlette.responses import Response

from digest import digests
from digest.bearers import Bearer, bearer_of
from digest.delivery_ids import PURPOSE
from digest.models import DigestRow, SubscriberRow
from digest.values import Digest, ServiceKind
from digest.web.forms import FormBody
from digest.web.pages import Pages
from subscribers import preferences
from subscribers.addresses import masked

OWN_OPENS = timedelta(minutes=15)
ADDRESS_OPENS = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Whose link it is, which digest is meant, and what the page may show."""

    bearer: Bearer
    token: str
    id: int
    email: str
    language: str
    zone: str
    digest_id: int
    digest: Digest


def routed(looks: Mapping[str, Any], acts: Mapping[str, Any]) -> APIRouter:
    """The paths of looks, which change nothing, and of acts, which are asked for by POST. Each has its token in it."""
    router = APIRouter()
    for path, look in looks.items():
        router.add_api_route(path, _looking(look), methods=["GET", "HEAD"])
    for path, act in acts.items():
        router.add_api_route(path, _acting(act), methods=["POST"])
    return router


def _looking(look: Any) -> Any:
    def handle(request: Request, token: str) -> Response:
        return cast("Response", look(request, token))

    return handle


def _acting(act: Any) -> Any:
    def handle(request: Request, token: str, form: FormBody) -> Response:
        return cast("Response", act(request, token, form))

    return handle


@dataclass(frozen=True)
class ReaderPages:
    """What every page of a reader begins with. Looks only read; acts write in one transaction."""

    pages: Pages

    def _reader(self, session: Session, request: Request, token: str, purpose: str = PURPOSE) -> Reader | None:
        """Whose page this is. `?digest=` means another of the same person's digests than the one the mail was of."""
        press = self.pages.press
        bearer = bearer_of(session.connection(), press.keys, token, purpose=purpose)
        person = session.get(SubscriberRow, bearer.subscriber) if bearer and bearer.subscriber else None
        if bearer is None or person is None or self._is_over(bearer, purpose):
            return None
        if purpose == ServiceKind.ACCESS and bearer.email_hash != person.email_hash:
            return None  # it was mailed to an address that is theirs no longer
        row = session.get(DigestRow, bearer.digest)
        if named := request.query_params.get("digest", ""):
            wishes = preferences.wishes_of(session.connection(), bearer.subscriber or 0)
            row = session.exec(select(DigestRow).where(DigestRow.slug == named)).first()
            row = row if row and wishes and row.id in wishes.digests else None
        if row is None:
            return None
        return Reader(
            bearer=bearer, token=token, id=bearer.subscriber or 0, email=person.email, language=person.language,
            zone=person.zone, digest_id=row.id or 0, digest=digests.digest_value(row),
        )  # fmt: skip

    def _is_over(self, bearer: Bearer, purpose: str) -> bool:
        opens = {ServiceKind.ACCESS.value: OWN_OPENS, ServiceKind.ADDRESS.value: ADDRESS_OPENS}.get(purpose)
        return opens is not None and self.pages.clock() - bearer.opened_at > opens

    def _path(self, reader: Reader, *parts: str) -> str:
        """A page of the same reader and digest."""
        path = "/".join([self.pages.here(self.pages.press.links.preferences(reader.token)), *parts])
        return path if reader.digest_id == reader.bearer.digest else f"{path}?digest={quote(reader.digest.slug)}"

    def _show(self, name: str, reader: Reader, *, status: int = 200, **names: Any) -> Response:
        return self.pages.show(
            name, reader.language, reader.digest, status=status, **{"email": masked(reader.email), **names}
        )
