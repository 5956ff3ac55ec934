"""What takes a link mailed anew: a reader's own page, and another address of theirs."""

from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import Response

from digest.bearers import use
from digest.database import reading, writing
from digest.deliveries import traces
from digest.values import ServiceKind
from digest.web import saying
from digest.web.forms import Form, first
from digest.web.managing import Managing
from digest.web.pages import Pages
from digest.web.readers import Reader, routed
from subscribers import preferences, signup
from subscribers.addresses import masked, normalise
from subscribers.signup import MessageWanted
from subscribers.tokens import address_hash

MAILS_A_DAY = 3


def routes(pages: Pages) -> APIRouter:
    """The way to their own page, and to a new address."""
    desk = Moving(pages)
    return routed(
        {"/address/{token}": desk.look_at_address},
        {
            "/m/{token}/access": desk.send_access,
            "/own/{token}/address": desk.move,
            "/address/{token}": desk.confirm_address,
        },
    )


@dataclass(frozen=True)
class Moving(Managing):
    """What the paths do."""

    def send_access(self, request: Request, token: str, _form: Form) -> Response:
        with reading(self.pages.press.engine) as session:
            reader = self._reader(session, request, token)
        if reader is None:
            return self.pages.unknown(request)
        self._mail(reader, ServiceKind.ACCESS, reader.email)
        said = self.pages.words(reader.language).gettext(saying.ACCESS_SENT) % {"address": masked(reader.email)}
        return self._show("asked", reader, said=said, back=self._path(reader))

    def move(self, request: Request, token: str, form: Form) -> Response:
        """Write to the new address. What is said does not depend on whose it is."""
        with reading(self.pages.press.engine) as session:
            reader = self._reader(session, request, token, ServiceKind.ACCESS)
            if reader is None:
                return self.pages.unknown(request)
            try:
                address = normalise(first(form, "email"))
            except ValueError:
                return self._preferences(
                    session, reader, faults={"email": "address"}, own=True, new_email=first(form, "email")[:320]
                )
        self._mail(reader, ServiceKind.ADDRESS, address.mailbox)
        said = self.pages.words(reader.language).gettext(saying.ADDRESS_SENT) % {"address": address.mailbox}
        return self._show("asked", reader, said=said, back=self.pages.here(self.pages.press.links.own(token)))

    def _mail(self, reader: Reader, kind: ServiceKind, email: str) -> None:
        """Open the message, unless this person, or that mailbox, has had enough of its kind for today."""
        press, now, key = self.pages.press, self.pages.clock(), normalise(email).key
        wanted = MessageWanted(
            kind=kind, email=email, email_hash=address_hash(press.keys.hash_key, key), digest_id=reader.digest_id,
            language=reader.language, subscriber_id=reader.id,
        )  # fmt: skip
        proof = press.services.proof_id(kind, reader.digest_id, reader.language, now=now)
        with writing(press.engine) as session:
            whom = dict.fromkeys((normalise(reader.email).key, key))
            may = [
                signup.may_write(session.connection(), press.keys, kind, one, most=MAILS_A_DAY, now=now) for one in whom
            ]
            if all(may):
                press.services.open(session, wanted, proof, now=now)

    def look_at_address(self, request: Request, token: str) -> Response:
        with reading(self.pages.press.engine) as session:
            reader = self._reader(session, request, token, ServiceKind.ADDRESS)
        if reader is None:
            return self.pages.unknown(request)
        if reader.bearer.used_at is not None:
            return self._show("moved", reader, email=reader.bearer.email, taken=False)
        action = self.pages.here(self.pages.press.links.address(token))
        return self._show("address", reader, email=reader.bearer.email, action=action)

    def confirm_address(self, request: Request, token: str, _form: Form) -> Response:
        now = self.pages.clock()
        with writing(self.pages.press.engine) as session:
            reader = self._reader(session, request, token, ServiceKind.ADDRESS)
            if reader is None:
                return self.pages.unknown(request)
            bearer, moved = reader.bearer, True
            if bearer.used_at is None:
                before = address_hash(self.pages.press.keys.hash_key, normalise(reader.email).key)
                traces.adopt(session.connection(), reader.id, before)
                address = normalise(bearer.email)
                moved = preferences.move(session.connection(), reader.id, address, bearer.email_hash, now=now)
            if moved and bearer.used_at is None:
                use(session.connection(), bearer, subscriber=reader.id, now=now)
            return self._show("moved", reader, status=200 if moved else 409, email=bearer.email, taken=not moved)
