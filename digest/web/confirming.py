"""The mailbox's word: what was asked for is shown to whoever holds it, and becomes true when they press the button."""

from dataclasses import dataclass, replace
from datetime import timedelta

from fastapi import APIRouter, Request
from sqlmodel import Session, col, select
from starlette.responses import Response

from digest import digests
from digest.bearers import Bearer, bearer_of, use
from digest.database import reading, writing
from digest.delivery_ids import delivery_token
from digest.models import DigestRow, ServiceRow, SubscriberRow
from digest.values import Digest, ServiceKind
from digest.web.agreeing import PERSONAL, kept_consent, tracking_wording
from digest.web.forms import Form, first
from digest.web.joining import latest_page
from digest.web.pages import Pages
from digest.web.readers import routed
from subscribers import consents, signup
from subscribers.signup import MessageWanted, Wording


def routes(pages: Pages) -> APIRouter:
    """The paths of `/confirm/...`."""
    desk = Confirming(pages)
    return routed({"/confirm/{token}": desk.asked}, {"/confirm/{token}": desk.confirm})


@dataclass(frozen=True)
class Confirming:
    """What the paths do."""

    pages: Pages

    @property
    def _kept(self) -> timedelta:
        return timedelta(days=self.pages.press.settings.signup_days)

    def asked(self, request: Request, token: str) -> Response:
        press = self.pages.press
        with reading(press.engine) as session:
            bearer = bearer_of(session.connection(), press.keys, token, purpose=ServiceKind.CONFIRM)
            now, kept = self.pages.clock(), self._kept
            waiting = signup.pending(session.connection(), bearer.email_hash, now=now, kept=kept) if bearer else []
            rows = [session.get_one(DigestRow, one) for one in waiting]
        if bearer is None or not (waiting or bearer.subscriber):
            return self.pages.unknown(request)
        if not waiting:
            return self._welcome(request, bearer)
        digest = next((row for row in rows if row.id == bearer.digest), rows[0])
        language = self.pages.asked_language(request, digest.language)
        shown = digests.digest_value(digest)
        return self.pages.show(
            "confirm", language, shown, email=bearer.email, digests=rows,
            tracking=self._tracking(shown, language).words if press.settings.tracking == PERSONAL else "",
            action=self.pages.here(press.links.confirm(token)),
        )  # fmt: skip

    def confirm(self, request: Request, token: str, form: Form) -> Response:
        """What the page showed becomes true, and nothing that was asked for since."""
        press, now = self.pages.press, self.pages.clock()
        with reading(press.engine) as session:
            bearer = bearer_of(session.connection(), press.keys, token, purpose=ServiceKind.CONFIRM)
        if bearer is None:
            return self.pages.unknown(request)
        shown = {int(one) for one in form.get("digest", []) if one.isascii() and one.isdecimal() and len(one) < 10}  # noqa: PLR2004
        language = self.pages.asked_language(request, "")
        welcome = self._welcome_proof(bearer, language)
        with writing(press.engine) as session:
            connection = session.connection()
            wanted = shown or {bearer.digest}
            made = signup.confirm(
                connection, bearer.email_hash, wanted, proof=bearer.proof, now=now, kept=self._kept
            )  # fmt: skip
            if made is not None:
                use(connection, bearer, subscriber=made.subscriber_id, now=now)
                if press.settings.tracking == PERSONAL and first(form, "tracked") == "on":
                    self._agree(session, bearer, made.subscriber_id, language)
                bearer = replace(bearer, subscriber=made.subscriber_id)
                if welcome is not None:
                    person = session.get_one(SubscriberRow, made.subscriber_id)
                    press.services.open(session, _welcome_to(person, bearer.digest), welcome, now=now)
        if made is None and not bearer.subscriber:
            return self.pages.unknown(request)
        return self._welcome(request, bearer)

    def _tracking(self, digest: Digest, language: str) -> Wording:
        return tracking_wording(self.pages, digest, self.pages.words(language))

    def _agree(self, session: Session, bearer: Bearer, subscriber: int, language: str) -> None:
        """Whoever holds the mailbox agrees to be counted. A form that anybody can fill in for them does not ask that."""
        digest, now = session.get_one(DigestRow, bearer.digest), self.pages.clock()
        wording = self._tracking(digests.digest_value(digest), language or digest.language)
        consent = kept_consent(session, wording, source="confirmation page", proof=bearer.proof, now=now)
        consents.agree(session.connection(), subscriber, consent, now=now)

    def _welcome_proof(self, bearer: Bearer, language: str) -> int | None:
        press = self.pages.press
        if not press.settings.welcome:
            return None
        with reading(press.engine) as session:
            spoken = language or session.get_one(DigestRow, bearer.digest).language
        return press.services.proof_id(ServiceKind.WELCOME, bearer.digest, spoken, now=self.pages.clock())

    def _welcome(self, request: Request, bearer: Bearer) -> Response:
        press = self.pages.press
        with reading(press.engine) as session:
            row = session.get_one(DigestRow, bearer.digest)
            person = session.get(SubscriberRow, bearer.subscriber)
            latest = latest_page(self.pages, session, row)
            query = select(ServiceRow.mailing_id).where(
                ServiceRow.subscriber_id == bearer.subscriber, ServiceRow.kind == ServiceKind.WELCOME
            )
            mailing = session.exec(query.order_by(col(ServiceRow.mailing_id).desc())).first()
        if person is None:
            return self.pages.unknown(request)
        token = delivery_token(press.keys, mailing, 1) if mailing is not None else ""
        link = self.pages.here(press.links.preferences(token)) if token else ""
        return self.pages.show(
            "welcome", self.pages.asked_language(request, person.language), digests.digest_value(row),
            email=person.email, names=row.name, latest=latest, preferences=link,
        )  # fmt: skip


def _welcome_to(person: SubscriberRow, digest: int) -> MessageWanted:
    return MessageWanted(
        kind=ServiceKind.WELCOME, email=person.email, email_hash=person.email_hash, digest_id=digest,
        language=person.language, subscriber_id=person.id,
    )  # fmt: skip
