"""What readers do by the links in their mails who have had enough: a pause, leaving, and why; and coming back."""

from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from sqlmodel import Session
from starlette.responses import PlainTextResponse, Response

from digest.database import reading, writing
from digest.web import saying
from digest.web.forms import Form, first
from digest.web.managing import Managing
from digest.web.pages import Pages
from digest.web.readers import Reader, routed
from subscribers import leaving
from subscribers.leaving import Standing


def routes(pages: Pages) -> APIRouter:
    """A pause, leaving and its undoing, by any link of a reader's."""
    desk = Parting(pages)
    return routed(
        {"/m/{token}/pause": desk.look_at_pause, "/m/{token}/leave": desk.look_at_leaving},
        {
            "/m/{token}/pause": desk.pause,
            "/m/{token}/resume": desk.resume,
            "/m/{token}/leave": desk.leave,
            "/m/{token}/undo": desk.undo,
            "/m/{token}/why": desk.why,
        },
    )


@dataclass(frozen=True)
class Parting(Managing):
    """What the paths do."""

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
            return self._pausing(
                session, reader, done=spoken.gettext(saying.PAUSED) % {"day": spoken.date(until.date())}
            )

    def resume(self, request: Request, token: str, _form: Form) -> Response:
        with writing(self.pages.press.engine) as session:
            reader = self._reader(session, request, token)
            if reader is None:
                return self.pages.unknown(request)
            leaving.resume(session.connection(), reader.id, reader.digest_id)
            done = self.pages.words(reader.language).gettext(saying.RESUMED)
            return self._pausing(session, reader, done=done)

    def _until(self, reader: Reader, form: Form) -> date:
        """
        The day that the form names.

        Raises:
            ValueError: it names none.
        """
        days = {str(days): days for days in saying.PAUSES}.get(first(form, "until"))
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
        if not done and (day := saying.day_of(standing.paused_until, reader.zone, spoken)):
            done = spoken.gettext(saying.PAUSED) % {"day": day}
        choices = [
            (str(days), spoken.gettext(label), spoken.date(today + timedelta(days=days)))
            for days, label in saying.PAUSES.items()
        ]
        return self._show(
            "pause", reader, status=422 if fault else 200, done="" if fault else done,
            faults={"day": spoken.gettext(saying.FAULTS[fault])} if fault else {},
            action=self._path(reader, "pause"), choices=choices, chosen=first(form or {}, "until") or "7",
            earliest=today + timedelta(days=1), latest_day=today + leaving.LONGEST_PAUSE, day=first(form or {}, "day")[:10],
            resume=self._path(reader, "resume") if standing.state == "paused" else "",
            preferences=self._path(reader), leave=self._path(reader, "leave"),
        )  # fmt: skip

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
            return self._preferences(session, reader, saved=[self.pages.words(reader.language).gettext(saying.UNDONE)])

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
            reasons=saying.choices(saying.REASONS, self.pages.words(reader.language)), preferences=self._path(reader),
            sign_up=self.pages.here(self.pages.press.links.sign_up(reader.digest.slug)),
        )  # fmt: skip
