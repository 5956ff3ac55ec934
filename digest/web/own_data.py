"""What the law gives readers, by the link mailed to them just now: all that is held of them in one file, or its end."""

from dataclasses import dataclass

from fastapi import APIRouter, Request
from sqlmodel import Session, select
from starlette.responses import Response

from digest import persons
from digest.database import reading
from digest.errors import NotFoundError, NotReadyError
from digest.languages import message
from digest.models import DigestRow
from digest.values import ServiceKind
from digest.web.forms import Form
from digest.web.pages import Pages
from digest.web.readers import Reader, ReaderPages, routed
from subscribers import preferences

FILE = "my-data.json"
IN_HAND = message("A message to you is leaving at this very moment. Nothing was erased: try again in a minute.")
THEMSELVES = "the reader"


def routes(pages: Pages) -> APIRouter:
    """The paths below `/own/...`: their token opens for 15 minutes, and looking at them changes nothing."""
    desk = OwnData(pages)
    return routed(
        {"/own/{token}/erase": desk.look_at_erasing},
        {"/own/{token}/data": desk.download, "/own/{token}/erase": desk.erase},
    )


@dataclass(frozen=True)
class OwnData(ReaderPages):
    """What the paths do, for who holds the link and nobody else."""

    def download(self, request: Request, token: str, _form: Form) -> Response:
        """Handed out by POST, so that no link scanner and no history of a browser gets it."""
        reader = self._owner(request, token)
        if reader is None:
            return self.pages.unknown(request)
        found = persons.everything_of(self.pages.press, reader.email, now=self.pages.clock())
        headers = {"content-disposition": f'attachment; filename="{FILE}"', "cache-control": "no-store"}
        return Response(persons.written(found), media_type="application/json", headers=headers)

    def look_at_erasing(self, request: Request, token: str) -> Response:
        with reading(self.pages.press.engine) as session:
            reader = self._reader(session, request, token, ServiceKind.ACCESS)
            if reader is None:
                return self.pages.unknown(request)
            own = self.pages.here(self.pages.press.links.own(token))
            return self._show(
                "erase", reader, email=reader.email, action=f"{own}/erase", back=own, names=_living(session, reader)
            )  # fmt: skip

    def erase(self, request: Request, token: str, _form: Form) -> Response:
        reader = self._owner(request, token)
        if reader is None:
            return self.pages.unknown(request)
        try:
            persons.erase(self.pages.press, reader.email, who=THEMSELVES, now=self.pages.clock())
        except NotFoundError:  # pressed twice: the other press was first
            return self.pages.unknown(request)
        except NotReadyError:
            said = self.pages.words(reader.language).gettext(IN_HAND)
            again = f"{self.pages.here(self.pages.press.links.own(token))}/erase"
            return self._show("closed", reader, status=503, said=said, action=again)
        return self._show("erased", reader)

    def _owner(self, request: Request, token: str) -> Reader | None:
        with reading(self.pages.press.engine) as session:
            return self._reader(session, request, token, ServiceKind.ACCESS)


def _living(session: Session, reader: Reader) -> list[str]:
    """The digests that still come to them, by name."""
    wishes = preferences.wishes_of(session.connection(), reader.id)
    living = {number for number, wish in wishes.digests.items() if wish.lives} if wishes else set()
    return [row.name for row in session.exec(select(DigestRow).order_by(DigestRow.name)) if row.id in living]
