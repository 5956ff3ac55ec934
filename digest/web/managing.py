"""Readers' preferences, by the links in their mails; and by one mailed anew, what only they may set."""

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, cast

from fastapi import APIRouter, Request
from sqlmodel import Session, col, select
from starlette.responses import Response

from digest import contents, digests, waves
from digest.database import reading, writing
from digest.languages import Words
from digest.models import DigestRow, TopicRow
from digest.press import Press
from digest.values import ServiceKind
from digest.web import saying
from digest.web.agreeing import PERSONAL, kept_consent, tracking_wording
from digest.web.forms import Form
from digest.web.pages import Pages, zone_choices
from digest.web.readers import Reader, ReaderPages, routed
from subscribers import leaving, preferences, signup
from subscribers.preferences import FIELDS, HOURS, Offer, Wish, Wishes


def routes(pages: Pages) -> APIRouter:
    """Preferences, by any link of a reader's, and on their own page. A token in the path is leave enough: nobody can guess one."""
    desk = Managing(pages)
    return routed(
        {"/m/{token}": desk.look, "/own/{token}": desk.look_at_own},
        {"/m/{token}": desk.save, "/own/{token}": desk.save_own},
    )


@dataclass(frozen=True)
class Managing(ReaderPages):
    """What the paths do, and the page that others come back to."""

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
            languages=dict(self.pages.languages), topics=_topics(session), offers=waves.offers(session, self.pages.clock()), may_join=own,
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
        saved = [saying.told(change, names, spoken, dict(self.pages.languages)) for change in changed]
        return self._preferences(session, reader, saved=saved, own=own)

    def _consent(self, session: Session, reader: Reader, now: datetime) -> dict[str, Any]:
        wording = saying.own_wording(self.pages.words(reader.language))
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
        offers = waves.offers(session, self.pages.clock())
        views = [
            self._digest(session, reader, row, shown.digests[row.id or 0], offers[row.id or 0], spoken, own=own)
            for row in rows if row.id in shown.digests and (own or shown.digests[row.id or 0].lives)
        ]  # fmt: skip
        tracked = shown.tracked if wishes is None else self._wishes(session, reader, {}).tracked
        press, path, topics = self.pages.press, self._path, _topic_views(session, shown, spoken)
        known = {
            "saved": saved, "faults": {name: spoken.gettext(saying.FAULTS[said]) for name, said in (faults or {}).items()},
            "own": own, "fields": _fields(self.pages.press, tracked=tracked, own=own), "tracked": shown.tracked,
            "tracking": tracking_wording(self.pages, reader.digest, spoken).words, "digests": views, "hours": HOURS,
            "days": saying.choices(saying.DAY_NAMES, spoken),
            "topic_wishes": saying.choices(saying.TOPIC_WISHES, spoken), "topics": topics, "chosen_topics": saying.chosen(topics, spoken),
            "open_topics": any(name.startswith("topic.") for name in faults or {}),
            "chosen_language": shown.language, "zone": shown.zone, "zones": _with(shown.zone),
            "action": self.pages.here(press.links.own(reader.token)) if own else path(reader), "new_email": "",
            "access": path(reader, "access"), "wording": saying.own_wording(spoken).words,
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
        there = replace(reader, digest_id=row.id or 0, digest=digests.digest_value(row))
        return {
            "id": row.id, "name": row.name, "lives": wish.lives, "frequency": wish.frequency, "days": wish.days,
            "hour": wish.hour, "usual": offer.usual, "frequencies": saying.frequencies(offer, wish, spoken),
            "waits": wish.lives and offer.rhythm and wish.frequency == "weekly" and not offer.weekly,
            "rests": standing.state == "paused", "paused": saying.day_of(standing.paused_until, reader.zone, spoken),
            "since": saying.day_of(standing.since, reader.zone, spoken) if standing.state == "active" else "",
            "pause": "" if own else self._path(there, "pause"), "leave": "" if own else self._path(there, "leave"),
            "channels": [(name, spoken.gettext(saying.CHANNELS[name]), on) for name, on in offered.items()],
        }  # fmt: skip


def _fields(press: Press, *, tracked: bool, own: bool) -> frozenset[str]:
    """
    The wishes that a page offers. Whoever agreed to be tracked may take that back by any link and in any mode; to agree
    takes a mode that asks for it, and a link that nobody can have been forwarded.
    """
    offered = tracked or (own and press.settings.tracking == PERSONAL)
    return FIELDS if offered else FIELDS - {"tracking"}


def _topics(session: Session) -> list[str]:
    return list(session.exec(select(TopicRow.slug).order_by(TopicRow.slug)))


def _topic_views(session: Session, wishes: Wishes, spoken: Words) -> list[dict[str, str]]:
    rows = session.exec(select(TopicRow).order_by(col(TopicRow.id)))
    words = {1: "more", -1: "less"}
    views = [
        {
            "slug": row.slug, "label": contents.label_in(row.labels, spoken.language) or row.slug,
            "wish": words.get(wishes.topics.get(row.slug, 0), ""),
        }
        for row in rows
    ]  # fmt: skip
    return sorted(views, key=lambda view: unicodedata.normalize("NFKD", view["label"]).casefold())


def _with(zone: str) -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
    """The zones to choose from, the one that is set among them whatever it is called."""
    if not any(zone == one for _, places in zone_choices() for one, _ in places):
        yield "", ((zone, zone),)
    yield from zone_choices()
