"""Sign-up and its confirmation: a page, a form from anywhere, a program's call; one guard for all of them."""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from sqlmodel import Session, col, select
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from digest import digests
from digest.database import reading, writing
from digest.errors import NotReadyError
from digest.handover import outbox_only
from digest.languages import Words, message
from digest.models import AuditRow, DigestRow, EditionRow, MailingRow
from digest.values import Digest, ServiceKind
from digest.web.captcha import passes
from digest.web.forms import OLDEST, YOUNGEST, Form, FormBody, JsonBody, first, form_token, read_form_token
from digest.web.guard import POLICY
from digest.web.pages import Pages, zone_choices
from subscribers import signup
from subscribers.addresses import Address, normalise
from subscribers.signup import Asked, Limits, Wording
from subscribers.zones import zones

log = logging.getLogger(__name__)
BEAT = 0.1  # seconds
"""Answers to a sign-up leave on this beat after it came, so that their time says nothing of what was found."""

WORDING = message(
    "You agree to receive %(digest)s by email at this address. You can leave at any time, with one click."
)
UNREADABLE = message("That is no address that mail can be sent to.")
NO_ZONE = message("There is no such time zone.")
BRAKED = message("More people than usual ask for it at the moment. Please try again in an hour.")
BLOCKED = message("Too many have asked from your network within the hour. Please try again later.")
NOT_READY = message("This newsletter does not take subscribers yet.")
NO_PERSON = message("We could not see that a person is asking. Please try again.")
REFUSALS = {"block": (429, BLOCKED), "brake": (503, BRAKED), "ready": (503, NOT_READY), "captcha": (403, NO_PERSON)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """The digest that somebody stands before, and how they are spoken to."""

    id: int
    digest: Digest
    zone: str
    words: Words
    latest: str

    @property
    def wording(self) -> Wording:
        said = self.words.gettext(WORDING) % {"digest": self.digest.name}
        return Wording.of(said, self.words.language)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What became of a sign-up that came in: asked, once more by a person, wrong in a field, or refused for a reason."""

    state: Literal["asked", "again", "wrong", "refused"]
    faults: dict[str, str]
    reason: str = ""


def routes(pages: Pages) -> APIRouter:
    """The paths of signing up."""
    router, joining = APIRouter(), Joining(pages)

    @router.api_route("/d/{slug}", methods=["GET", "HEAD"])
    def page(request: Request, slug: str) -> Response:
        return joining.page(request, slug)

    @router.post("/d/{slug}")
    async def sign_up(request: Request, slug: str, form: FormBody) -> Response:
        return await _on_the_beat(joining.sign_up, request, slug, form)

    @router.api_route("/api/signup/{slug}", methods=["GET", "HEAD"])
    def terms(request: Request, slug: str) -> Response:
        return joining.terms(request, slug)

    @router.post("/api/signup")
    async def call(request: Request, form: JsonBody) -> Response:
        return await _on_the_beat(joining.call, request, first(form, "digest"), form)

    @router.options("/api/signup")
    def may_call(request: Request) -> Response:
        return Response(status_code=204, headers=joining.leave_to(request))

    return router


async def _on_the_beat(handle: Any, *given: Any) -> Response:
    came = time.monotonic()
    answer: Response = await run_in_threadpool(handle, *given)
    await asyncio.sleep(-(time.monotonic() - came) % BEAT)
    return answer


@dataclass(frozen=True)
class Joining:
    """What the paths do. Everything a form may set is named here; what else it holds is not looked at."""

    pages: Pages

    def door(self, request: Request, slug: str, language: str = "") -> Door | None:
        with reading(self.pages.press.engine) as session:
            row = session.exec(select(DigestRow).where(DigestRow.slug == slug)).first()
            if row is None:
                return None
            spoken = self.pages.words(language or self.pages.asked_language(request, row.language))
            return Door(
                id=cast("int", row.id), digest=digests.digest_value(row), zone=row.zone, words=spoken,
                latest=latest_page(self.pages, session, row),
            )  # fmt: skip

    # the page and its form --------------------------------------------------------------------------------------------

    def page(self, request: Request, slug: str) -> Response:
        door = self.door(request, slug)
        return self._form(door, {}, "") if door else self.pages.unknown(request)

    def sign_up(self, request: Request, slug: str, form: Form) -> Response:
        door = self.door(request, slug, self._language(form))
        if door is None:
            return self.pages.unknown(request)
        heard = self._hear(request, door, form)
        if heard.state == "refused":
            status, said = REFUSALS[heard.reason]
            return self.pages.show(
                "closed", door.words.language, door.digest, status=status, said=door.words.gettext(said),
                action=self._action(door),
            )  # fmt: skip
        if heard.state == "asked":
            return self.pages.show(
                "check", door.words.language, door.digest, email=first(form, "email").strip(), action=self._action(door)
            )
        return self._form(door, form, _origin(request, self.pages), heard=heard)

    def _language(self, form: Form) -> str:
        """The language of the page that the form stood on, if we speak it."""
        said = first(form, "language")
        return said if said in dict(self.pages.languages) else ""

    def _action(self, door: Door) -> str:
        return self.pages.here(self.pages.press.links.sign_up(door.digest.slug))

    def _form(self, door: Door, form: Form, origin: str, *, heard: Heard | None = None) -> Response:
        press = self.pages.press
        faults = {name: door.words.gettext(said) for name, said in heard.faults.items()} if heard else {}
        page = self.pages.show(
            "signup", door.words.language, door.digest, status=422 if faults else 200, faults=faults,
            again="person" if heard and heard.state == "again" else "", action=self._action(door),
            email=first(form, "email")[:320], zone=first(form, "zone"), zones=zone_choices(), newsroom_zone=door.zone,
            token=form_token(press.keys, door.id, now=self.pages.clock(), origin=origin), wording=door.wording.words,
            script=self.pages.script(), captcha_script=press.settings.captcha_script, latest=door.latest,
            canonical=press.links.sign_up(door.digest.slug),
        )  # fmt: skip
        if press.settings.captcha_script:
            page.headers["content-security-policy"] = _with_captcha(press.settings.captcha_script)
        return page

    # a program's call -------------------------------------------------------------------------------------------------

    def terms(self, request: Request, slug: str) -> Response:
        """What a program must know first: the words to be agreed to, and the token that its call must bring back."""
        door = self.door(request, slug)
        if door is None:
            return JSONResponse({"error": "unknown", "message": "There is no such digest."}, 404)
        token = form_token(self.pages.press.keys, door.id, now=self.pages.clock(), origin=_origin(request, self.pages))
        told = {
            "digest": slug,
            "name": door.digest.name,
            "wording": door.wording.words,
            "language": door.words.language,
        }
        return JSONResponse(
            {**told, "token": token, "not_before_seconds": YOUNGEST, "not_after_seconds": OLDEST},
            headers=self.leave_to(request),
        )

    def call(self, request: Request, slug: str, form: Form) -> Response:
        door = self.door(request, slug, self._language(form))
        if door is None:
            return JSONResponse({"error": "unknown", "message": "There is no such digest."}, 404)
        heard = self._hear(request, door, form, by="api")
        status, error, said = 202, "", door.words.gettext(message("Check your mail"))
        if heard.state == "refused":
            status, said = REFUSALS[heard.reason]
            error, said = heard.reason, door.words.gettext(said)
        elif heard.state == "again":
            status, error = 409, "token"
            said = "Ask GET /api/signup/DIGEST for a token, and send it back within its time."
        elif heard.state == "wrong":
            status, (error, said) = 422, next(iter(heard.faults.items()))
            said = door.words.gettext(said)
        body = {"state": heard.state, "message": said, **({"error": error} if error else {})}
        return JSONResponse(body, status, headers=self.leave_to(request))

    def leave_to(self, request: Request) -> dict[str, str]:
        """The headers by which a browser lets a script of an allowed site read the answer."""
        origin = request.headers.get("origin", "")
        if origin not in self.pages.press.settings.signup_origins:
            return {"vary": "origin"}
        return {
            "access-control-allow-origin": origin, "access-control-allow-headers": "content-type", "vary": "origin",
            "access-control-allow-methods": "GET, POST", "cross-origin-resource-policy": "cross-origin",
        }  # fmt: skip

    # one guard for both -----------------------------------------------------------------------------------------------

    def _hear(self, request: Request, door: Door, form: Form, *, by: str = "page") -> Heard:
        press, now = self.pages.press, self.pages.clock()
        if first(form, "website"):  # nobody sees that field; who fills it in is told what all are told
            return Heard(state="asked", faults={})
        address, faults = _read_address(first(form, "email")), {}
        if address is None:
            faults["email"] = UNREADABLE
        if (zone := first(form, "zone")) and zone not in zones():
            faults["zone"] = NO_ZONE
        if faults or address is None:
            return Heard(state="wrong", faults=faults)
        made = read_form_token(press.keys, first(form, "token"), door.id, now=now)
        if made is None or not YOUNGEST <= made[0] <= OLDEST:
            return Heard(state="again", faults={})
        if not self._ready(door):
            return Heard(state="refused", faults={}, reason="ready")
        if not passes(press.settings, first(form, press.settings.captcha_field)):
            return Heard(state="refused", faults={}, reason="captcha")
        source = f"{by} {made[1] or press.links.sign_up(door.digest.slug)}"
        asked = Asked(
            address=address, digest_id=door.id, language=door.words.language, zone=zone or door.zone, source=source,
            wording=door.wording, block=signup.block_of(request.client.host if request.client else ""),
        )  # fmt: skip
        answer = self._ask(asked)
        return Heard(state="refused" if answer.refused else "asked", faults={}, reason=answer.refused)

    def _ready(self, door: Door) -> bool:
        press = self.pages.press
        try:
            with reading(press.engine) as session:
                digests.demand_ready(session.get_one(DigestRow, door.id), outbox_only=outbox_only(press.settings))
        except NotReadyError as error:
            log.warning("Nobody can sign up: %s", error)
            return False
        return True

    def _ask(self, asked: Asked) -> signup.Answer:
        press, now = self.pages.press, self.pages.clock()
        limits = Limits(block=press.settings.signup_block, brake=press.settings.signup_brake)
        proof = press.services.proof_id(ServiceKind.CONFIRM, asked.digest_id, asked.language, now=now)
        with writing(press.engine) as session:
            answer = signup.ask(session.connection(), asked, keys=press.keys, limits=limits, now=now)
            if answer.wanted is not None:
                press.services.open(session, answer.wanted, proof, now=now)
            if answer.tripped:
                detail = {"an hour": limits.brake, "from": asked.source}
                session.add(
                    AuditRow(
                        at=now,
                        who="the press",
                        did="brake sign-ups",
                        subject="digest",
                        subject_id=asked.digest_id,
                        detail=detail,
                    )
                )
        if answer.tripped:
            log.error(
                "Sign-ups are braked: more than %d mailboxes were asked within the hour. Nobody new is written to until it "
                "is over. If they are true, raise DIGEST_SIGNUP_BRAKE.", limits.brake,
            )  # fmt: skip
        return answer


def latest_page(pages: Pages, session: Session, digest: DigestRow) -> str:
    """Where the newest edition that has left is read; empty while none has."""
    query = (
        select(EditionRow)
        .join(MailingRow, col(MailingRow.edition_id) == EditionRow.id)
        .where(EditionRow.digest_id == digest.id)
        .order_by(col(EditionRow.local_date).desc(), col(EditionRow.id).desc())
    )
    row = session.exec(query).first()
    if row is None:
        return ""
    return pages.here(pages.press.links.edition(digest.slug, row.local_date, row.kind, row.name))


def _read_address(text: str) -> Address | None:
    try:
        return normalise(text) if "\ufffd" not in text else None
    except ValueError:
        return None


def _origin(request: Request, pages: Pages) -> str:
    """The site whose form led here, as its browser says; empty for our own."""
    said = request.headers.get("origin", "")
    ours = urlsplit(pages.press.settings.base_url)
    return said if urlsplit(said).netloc not in {"", ours.netloc} and said.isprintable() else ""


def _with_captcha(script: str) -> str:
    site = "{0.scheme}://{0.netloc}".format(urlsplit(script))
    widened = POLICY.replace("script-src 'self'", f"script-src 'self' {site}")
    return widened.replace("connect-src 'self'", f"connect-src 'self' {site}") + f"; frame-src {site}"
