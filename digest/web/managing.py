"""What readers do by the links in their mails: preferences, a pause, leaving; and by one mailed anew, what only they may."""

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, cast
from urllib.parse import quote
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from sqlmodel import Session, col, select
from starlette.responses import PlainTextResponse, Response

from digest import records, waves
from digest.bearers import Bearer, bearer_of, use
from digest.database import reading, writing
from digest.deliveries import traces
from digest.delivery_ids import PURPOSE
from digest.languages import Words, message
from digest.models import DigestRow, SubscriberRow, TopicRow
from digest.press import Press
from digest.values import Digest, ServiceKind
from digest.web.agreeing import PERSONAL, kept_consent, tracking_wording
from digest.web.forms import Form, FormBody, first
from digest.web.pages import Pages, zone_choices
from subscribers import leaving, preferences, signup
from subscribers.addresses import masked, normalise
from subscribers.leaving import Standing
from subscribers.models import DAYS
from subscribers.preferences import FIELDS, HOURS, Change, Offer, Wish, Wishes
from subscribers.signup import MessageWanted
from subscribers.tokens import address_hash

OWN_OPENS = timedelta(minutes=15)
ADDRESS_OPENS = timedelta(hours=24)
MAILS_A_DAY = 3

CHANNELS = {"email": message("By email"), "push": message("As a notification")}
FREQUENCIES = {
    "every": message("Every edition"), "weekdays": message("Monday to Friday"), "days": message("On days I choose"),
    "weekly": message("Once a week, the best of it"),
}  # fmt: skip
DAY_NAMES = {
    "mon": message("Monday"), "tue": message("Tuesday"), "wed": message("Wednesday"), "thu": message("Thursday"),
    "fri": message("Friday"), "sat": message("Saturday"), "sun": message("Sunday"),
}  # fmt: skip
TOPIC_WISHES = {"more": message("More"), "": message("As it comes"), "less": message("Less")}
REASONS = {
    "often": message("It came too often"), "much": message("It was too much to read"),
    "dull": message("It was not about what matters to me"), "other": message("Another reason"),
}  # fmt: skip
PAUSES = {7: message("A week"), 14: message("Two weeks"), 30: message("A month")}
FAULTS = {
    "unknown": message("That is not one of the choices."), "missing": message("Choose at least one day."),
    "address": message("That is no address that mail can be sent to."),
    "day": message("Choose a day after today, within a year."),
}  # fmt: skip
SAID = {
    ("email", False): message("%(digest)s no longer comes by email; that holds at once, also for an edition on its way."),
    ("email", True): message("%(digest)s comes by email, from the next edition."),
    ("push", False): message("%(digest)s no longer comes as a notification; that holds at once."),
    ("push", True): message("%(digest)s comes as a notification, from the next edition."),
}  # fmt: skip
OFTEN = message("How often %(digest)s comes: %(often)s. From the next edition.")
HOUR = message("%(digest)s comes at %(hour)s, where you are. From the next edition.")
NO_HOUR = message("%(digest)s comes at its usual time, where you are. From the next edition.")
LANGUAGE = message("We write to you in this language: %(language)s. From the next edition.")
ZONE = message("Your time zone is %(zone)s.")
TOPICS = message("Your topics are kept, and count from the next edition.")
PAUSED = message("Paused until %(day)s. That holds at once.")
UNDONE = message("You are subscribed as before.")
RESUMED = message("It comes again, from the next edition.")
TRACKED = {
    True: message("You agree that we count what you open and click. From the next edition."),
    False: message("We no longer count what you open and click, and what was counted of you is gone."),
}
ACCESS_SENT = message("We write to %(address)s. The link in that mail opens for 15 minutes.")
ADDRESS_SENT = message(
    "We write to %(address)s. Once you press the button in that mail, it is your address; until then, nothing changes."
)


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


def routes(pages: Pages) -> APIRouter:
    """The paths of `/m/...`, `/own/...` and `/address/...`. A token in the path is leave enough: nobody can guess one."""
    router, desk = APIRouter(), Managing(pages)
    looks = [
        ("/m/{token}", desk.look), ("/m/{token}/pause", desk.look_at_pause), ("/m/{token}/leave", desk.look_at_leaving),
        ("/own/{token}", desk.look_at_own),
        ("/address/{token}", desk.look_at_address),
    ]  # fmt: skip
    acts = [
        ("/m/{token}", desk.save), ("/m/{token}/pause", desk.pause), ("/m/{token}/resume", desk.resume),
        ("/m/{token}/leave", desk.leave), ("/m/{token}/undo", desk.undo), ("/m/{token}/why", desk.why),
        ("/m/{token}/access", desk.send_access), ("/own/{token}", desk.save_own), ("/own/{token}/address", desk.move),
        ("/address/{token}", desk.confirm_address),
    ]  # fmt: skip
    for path, look in looks:
        router.add_api_route(path, looking(look), methods=["GET", "HEAD"])
    for path, act in acts:
        router.add_api_route(path, acting(act), methods=["POST"])
    return router


def looking(look: Any) -> Any:
    def handle(request: Request, token: str) -> Response:
        return cast("Response", look(request, token))

    return handle


def acting(act: Any) -> Any:
    def handle(request: Request, token: str, form: FormBody) -> Response:
        return cast("Response", act(request, token, form))

    return handle


@dataclass(frozen=True)
class Managing:
    """What the paths do. Looks only read; acts write in one transaction."""

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
            zone=person.zone, digest_id=row.id or 0, digest=records.digest_value(row),
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

    # preferences ------------------------------------------------------------------------------------------------------

    def look(self, request: Request, token: str) -> Response:
        with reading(self.pages.press.engine) as session:
            reader = self._reader(session, request, token)
            return self._preferences(session, reader) if reader else self.pages.unknown(request)

    def save(self, request: Request, token: str, form: Form) -> Response:
        with writing(self.pages.press.engine) as session:
            reader = self._reader(session, request, token)
            return self._save(session, reader, form) if reader else self.pages.unknown(request)

    def look_at_own(self, request: Request, token: str) -> Response:
        with reading(self.pages.press.engine) as session:
            reader = self._reader(session, request, token, ServiceKind.ACCESS)
            return self._preferences(session, reader, own=True) if reader else self.pages.unknown(request)

    def save_own(self, request: Request, token: str, form: Form) -> Response:
        with writing(self.pages.press.engine) as session:
            reader = self._reader(session, request, token, ServiceKind.ACCESS)
            return self._save(session, reader, form, own=True) if reader else self.pages.unknown(request)

    def _save(self, session: Session, reader: Reader, form: Form, *, own: bool = False) -> Response:
        connection, now = session.connection(), self.pages.clock()
        names = {row.id or 0: row.name for row in session.exec(select(DigestRow))}
        before = self._wishes(session, reader, names if own else {})
        after, faults = preferences.read(
            form, before, fields=_fields(self.pages.press, tracked=before.tracked, own=own),
            languages=dict(self.pages.languages), topics=_topics(session), offers=waves.offers(session), may_join=own,
        )  # fmt: skip
        if faults:
            return self._preferences(session, reader, wishes=after, faults=faults, own=own)
        consent = self._consent(session, reader, now) if own else {}
        tracking = self._tracking(session, reader, now) if own and after.tracked else None
        changed = preferences.save(
            connection, reader.id, before, after, consent=consent, tracking=tracking, now=now
        )  # fmt: skip
        reader = replace(reader, language=after.language, zone=after.zone)
        spoken = self.pages.words(reader.language)
        saved = [_told(change, names, spoken, dict(self.pages.languages)) for change in changed]
        return self._preferences(session, reader, saved=saved, own=own)

    def _consent(self, session: Session, reader: Reader, now: datetime) -> dict[str, Any]:
        wording = _own_wording(self.pages.words(reader.language))
        signup.keep_wording(session.connection(), wording, now=now)
        return {
            "consent_at": now, "consent_source": "own page", "consent_wording": wording.version,
            "consent_proof": reader.bearer.proof, "confirmed_at": now,
        }  # fmt: skip

    def _tracking(self, session: Session, reader: Reader, now: datetime) -> dict[str, Any]:
        wording = tracking_wording(self.pages, reader.digest, self.pages.words(reader.language))
        return kept_consent(session, wording, source="own page", proof=reader.bearer.proof, now=now)

    def _wishes(self, session: Session, reader: Reader, others: Mapping[int, str]) -> Wishes:
        """The person's; on their own page with every digest there is, so that they may ask for it."""
        wishes = cast("Wishes", preferences.wishes_of(session.connection(), reader.id))
        return replace(wishes, digests={**dict.fromkeys(others, Wish()), **wishes.digests})

    def _preferences(
        self, session: Session, reader: Reader, *, wishes: Wishes | None = None, saved: list[str] | None = None,
        faults: Mapping[str, str] | None = None, own: bool = False, **names: Any,
    ) -> Response:  # fmt: skip
        rows = session.exec(select(DigestRow).order_by(DigestRow.name)).all()
        shown = wishes or self._wishes(session, reader, {row.id or 0: row.name for row in rows} if own else {})
        spoken = self.pages.words(reader.language)
        offers = waves.offers(session)
        views = [
            self._digest(session, reader, row, shown.digests[row.id or 0], offers[row.id or 0], spoken, own=own)
            for row in rows if row.id in shown.digests and (own or shown.digests[row.id or 0].lives)
        ]  # fmt: skip
        tracked = shown.tracked if wishes is None else self._wishes(session, reader, {}).tracked
        press, path, topics = self.pages.press, self._path, _topic_views(session, shown, spoken)
        known = {
            "saved": saved, "faults": {name: spoken.gettext(FAULTS[said]) for name, said in (faults or {}).items()},
            "own": own, "fields": _fields(self.pages.press, tracked=tracked, own=own), "tracked": shown.tracked,
            "tracking": tracking_wording(self.pages, reader.digest, spoken).words, "digests": views, "hours": HOURS,
            "days": _said(DAY_NAMES, spoken),
            "topic_wishes": _said(TOPIC_WISHES, spoken), "topics": topics, "chosen_topics": _chosen(topics, spoken),
            "open_topics": any(name.startswith("topic.") for name in faults or {}),
            "chosen_language": shown.language, "zone": shown.zone, "zones": _with(shown.zone),
            "action": self.pages.here(press.links.own(reader.token)) if own else path(reader), "new_email": "",
            "access": path(reader, "access"), "wording": _own_wording(spoken).words,
            "below": self.pages.here(press.links.own(reader.token)),
            **names,
        }  # fmt: skip
        address = {"email": reader.email} if own else {}
        status = 422 if known["faults"] else 200
        return self._show("own" if own else "preferences", reader, status=status, **known, **address)

    def _digest(
        self, session: Session, reader: Reader, row: DigestRow, wish: Wish, offer: Offer, spoken: Words, *, own: bool
    ) -> dict[str, Any]:  # fmt: skip
        standing = leaving.standing_with(session.connection(), reader.id, row.id or 0, now=self.pages.clock())
        offered = {"email": False, **wish.channels} if own else {name: on for name, on in wish.channels.items() if on}
        there = replace(reader, digest_id=row.id or 0, digest=records.digest_value(row))
        return {
            "id": row.id, "name": row.name, "lives": wish.lives, "frequency": wish.frequency, "days": wish.days,
            "hour": wish.hour, "usual": offer.usual, "frequencies": _frequencies(offer, wish, spoken), "rests": standing.state == "paused", "paused": _day(standing.paused_until, reader, spoken),
            "since": _day(standing.since, reader, spoken) if standing.state == "active" else "",
            "pause": "" if own else self._path(there, "pause"), "leave": "" if own else self._path(there, "leave"),
            "channels": [(name, spoken.gettext(CHANNELS[name]), on) for name, on in offered.items()],
        }  # fmt: skip

    # a pause ----------------------------------------------------------------------------------------------------------

    def look_at_pause(self, request: Request, token: str) -> Response:
        with reading(self.pages.press.engine) as session:
            reader = self._reader(session, request, token)
            return self._pausing(session, reader) if reader else self.pages.unknown(request)

    def pause(self, request: Request, token: str, form: Form) -> Response:
        with writing(self.pages.press.engine) as session:
            reader = self._reader(session, request, token)
            if reader is None:
                return self.pages.unknown(request)
            try:
                until = leaving.pause_ends(self._until(reader, form), reader.zone, now=self.pages.clock())
            except ValueError:
                return self._pausing(session, reader, form=form, fault="day")
            if not leaving.pause(session.connection(), reader.id, reader.digest_id, until):
                return self._left(session, reader)
            spoken = self.pages.words(reader.language)
            return self._pausing(session, reader, done=spoken.gettext(PAUSED) % {"day": spoken.date(until.date())})

    def resume(self, request: Request, token: str, _form: Form) -> Response:
        with writing(self.pages.press.engine) as session:
            reader = self._reader(session, request, token)
            if reader is None:
                return self.pages.unknown(request)
            leaving.resume(session.connection(), reader.id, reader.digest_id)
            done = self.pages.words(reader.language).gettext(RESUMED)
            return self._pausing(session, reader, done=done)

    def _until(self, reader: Reader, form: Form) -> date:
        """
        The day that the form names.

        Raises:
            ValueError: it names none.
        """
        days = {str(days): days for days in PAUSES}.get(first(form, "until"))
        if days is not None:
            return self._today(reader) + timedelta(days=days)
        return date.fromisoformat(first(form, "day"))

    def _today(self, reader: Reader) -> date:
        return self.pages.clock().astimezone(ZoneInfo(reader.zone)).date()

    def _pausing(
        self, session: Session, reader: Reader, *, done: str = "", form: Form | None = None, fault: str = ""
    ) -> Response:
        standing = leaving.standing_with(session.connection(), reader.id, reader.digest_id, now=self.pages.clock())
        if standing.state in {"", "left"}:
            return self._left(session, reader)
        spoken, today = self.pages.words(reader.language), self._today(reader)
        if not done and (day := _day(standing.paused_until, reader, spoken)):
            done = spoken.gettext(PAUSED) % {"day": day}
        choices = [
            (str(days), spoken.gettext(label), spoken.date(today + timedelta(days=days)))
            for days, label in PAUSES.items()
        ]
        return self._show(
            "pause", reader, status=422 if fault else 200, done="" if fault else done,
            faults={"day": spoken.gettext(FAULTS[fault])} if fault else {},
            action=self._path(reader, "pause"), choices=choices, chosen=first(form or {}, "until") or "7",
            earliest=today + timedelta(days=1), latest_day=today + leaving.LONGEST_PAUSE, day=first(form or {}, "day")[:10],
            resume=self._path(reader, "resume") if standing.state == "paused" else "",
            preferences=self._path(reader), leave=self._path(reader, "leave"),
        )  # fmt: skip

    # leaving ----------------------------------------------------------------------------------------------------------

    def look_at_leaving(self, request: Request, token: str) -> Response:
        with reading(self.pages.press.engine) as session:
            reader = self._reader(session, request, token)
            if reader is None:
                return self.pages.unknown(request)
            if self._standing(session, reader).state in {"", "left"}:
                return self._left(session, reader)
            return self._show(
                "leave", reader, action=self._path(reader, "leave"), pause=self._path(reader, "pause"),
                preferences=self._path(reader),
            )  # fmt: skip

    def leave(self, request: Request, token: str, form: Form) -> Response:
        """For a person, who sees a page; and for a mail provider, who wants 200 and nothing else (RFC 8058), however often."""
        with writing(self.pages.press.engine) as session:
            reader = self._reader(session, request, token)
            if reader is None:
                return self.pages.unknown(request)
            leaving.leave(session.connection(), reader.id, reader.digest_id, now=self.pages.clock())
            if first(form, "List-Unsubscribe") == "One-Click":
                return PlainTextResponse("Left.\n")
            return self._left(session, reader)

    def undo(self, request: Request, token: str, _form: Form) -> Response:
        with writing(self.pages.press.engine) as session:
            reader = self._reader(session, request, token)
            if reader is None:
                return self.pages.unknown(request)
            back = leaving.undo(session.connection(), reader.id, reader.digest_id, now=self.pages.clock())
            if not back and self._standing(session, reader).state == "left":
                return self._left(session, reader)
            return self._preferences(session, reader, saved=[self.pages.words(reader.language).gettext(UNDONE)])

    def why(self, request: Request, token: str, form: Form) -> Response:
        with writing(self.pages.press.engine) as session:
            reader = self._reader(session, request, token)
            if reader is None:
                return self.pages.unknown(request)
            said, now = first(form, "why"), self.pages.clock()
            leaving.say_why(session.connection(), reader.id, reader.digest_id, said, now=now)
            return self._left(session, reader, thanks=said in leaving.WHY)

    def _standing(self, session: Session, reader: Reader) -> Standing:
        return leaving.standing_with(session.connection(), reader.id, reader.digest_id, now=self.pages.clock())

    def _left(self, session: Session, reader: Reader, *, thanks: bool = False) -> Response:
        may_undo = self._standing(session, reader).can_undo(self.pages.clock())
        return self._show(
            "left", reader, thanks=thanks, undo=self._path(reader, "undo") if may_undo else "",
            why=self._path(reader, "why") if may_undo else "",
            reasons=_said(REASONS, self.pages.words(reader.language)), preferences=self._path(reader),
            sign_up=self.pages.here(self.pages.press.links.sign_up(reader.digest.slug)),
        )  # fmt: skip

    # what needs a link mailed anew ------------------------------------------------------------------------------------

    def send_access(self, request: Request, token: str, _form: Form) -> Response:
        with reading(self.pages.press.engine) as session:
            reader = self._reader(session, request, token)
        if reader is None:
            return self.pages.unknown(request)
        self._mail(reader, ServiceKind.ACCESS, reader.email)
        said = self.pages.words(reader.language).gettext(ACCESS_SENT) % {"address": masked(reader.email)}
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
        said = self.pages.words(reader.language).gettext(ADDRESS_SENT) % {"address": address.mailbox}
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


# words --------------------------------------------------------------------------------------------------------------


def _said(labels: Mapping[str, str], spoken: Words) -> list[tuple[str, str]]:
    return [(value, spoken.gettext(label)) for value, label in labels.items()]


def _frequencies(offer: Offer, wish: Wish, spoken: Words) -> list[tuple[str, str]]:
    """Those on offer, and the one that is chosen, if there is any choice."""
    shown = {*offer.frequencies, wish.frequency} if offer.rhythm else set()
    return [(value, label) for value, label in _said(FREQUENCIES, spoken) if value in shown]


def _day(at: datetime | None, reader: Reader, spoken: Words) -> str:
    """The day of a moment, where the reader is; empty for none."""
    return spoken.date(at.astimezone(ZoneInfo(reader.zone)).date()) if at is not None else ""


def _own_wording(spoken: Words) -> signup.Wording:
    agreed = message(
        "You agree to receive by email, at this address, what you tick here. You can leave at any time, with one click."
    )
    return signup.Wording.of(spoken.gettext(agreed), spoken.language)


def _fields(press: Press, *, tracked: bool, own: bool) -> frozenset[str]:
    """
    The wishes that a page offers. Whoever agreed to be tracked may take that back by any link and in any mode; to agree
    takes a mode that asks for it, and a link that nobody can have been forwarded.
    """
    offered = tracked or (own and press.settings.tracking == PERSONAL)
    return FIELDS if offered else FIELDS - {"tracking"}


def _told(change: Change, names: Mapping[int, str], spoken: Words, endonyms: Mapping[str, str]) -> str:
    """One saved change as its reader is told it, with when it takes effect."""
    of = {"digest": names.get(change.digest or 0, "")}
    if change.what in CHANNELS:
        return spoken.gettext(SAID[change.what, change.after]) % of
    if change.what == "frequency":
        often, days = change.after
        said = ", ".join(spoken.gettext(DAY_NAMES[day]) for day in days) or spoken.gettext(FREQUENCIES[often])
        return spoken.gettext(OFTEN) % {**of, "often": said}
    if change.what == "hour":
        return spoken.gettext(HOUR if change.after else NO_HOUR) % {**of, "hour": change.after}
    if change.what == "tracked":
        return spoken.gettext(TRACKED[change.after])
    if change.what == "language":
        return spoken.gettext(LANGUAGE) % {"language": endonyms.get(change.after, change.after)}
    return spoken.gettext(ZONE) % {"zone": change.after} if change.what == "zone" else spoken.gettext(TOPICS)


def _topics(session: Session) -> list[str]:
    return list(session.exec(select(TopicRow.slug).order_by(TopicRow.slug)))


def _topic_views(session: Session, wishes: Wishes, spoken: Words) -> list[dict[str, str]]:
    rows = session.exec(select(TopicRow).order_by(col(TopicRow.id)))
    words = {1: "more", -1: "less"}
    views = [
        {
            "slug": row.slug, "label": records.label_in(row.labels, spoken.language) or row.slug,
            "wish": words.get(wishes.topics.get(row.slug, 0), ""),
        }
        for row in rows
    ]  # fmt: skip
    return sorted(views, key=lambda view: unicodedata.normalize("NFKD", view["label"]).casefold())


def _chosen(topics: list[dict[str, str]], spoken: Words) -> str:
    """What was chosen of the topics, in one line: "More: Korea. Less: Economy, Asia."; empty for nothing."""
    said = {wish: ", ".join(view["label"] for view in topics if view["wish"] == wish) for wish in ("more", "less")}
    return " ".join(f"{spoken.gettext(TOPIC_WISHES[wish])}: {labels}." for wish, labels in said.items() if labels)


def _with(zone: str) -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
    """The zones to choose from, the one that is set among them whatever it is called."""
    if not any(zone == one for _, places in zone_choices() for one, _ in places):
        yield "", ((zone, zone),)
    yield from zone_choices()


assert set(DAY_NAMES) == set(DAYS)
