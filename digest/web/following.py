"""
What tracked links of a mail do: lead on to where they were printed to lead, and be counted where that is the setting.

A reader's click works whatever the mode is by now. The picture of one point answers only while something is counted.
"""

import re
from base64 import b64decode
from typing import cast

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from digest import tracking
from digest.machines import AN_OPEN, Sight, mark_of
from digest.press import Press
from digest.tracking import Place
from digest.web.counting import Counting
from digest.web.guard import Clock
from digest.web.pages import Pages

PIXEL = b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")  # one transparent point
FOR_EVERYBODY = {"cross-origin-resource-policy": "cross-origin"}  # a mail is shown on its reader's mail site
NUMBER = re.compile("[0-9]{1,4}")


def router(press: Press, clock: Clock) -> APIRouter:
    """The paths of `/t/...`. Asking for them changes nothing about a reader: it is at most counted."""
    pages, routes = Pages(press, clock), APIRouter()

    @routes.api_route("/t/{trail}/seen.gif", methods=["GET", "HEAD"])
    def seen(request: Request, trail: str) -> Response:
        place = _counting(request).place_of(trail)
        if place is None or press.settings.tracking == tracking.OFF or not _counting(request).leads_of(place):
            return pages.unknown(request)
        _note(request, place, AN_OPEN, clock)
        return Response(PIXEL, media_type="image/gif", headers=FOR_EVERYBODY)

    @routes.api_route("/t/{trail}/{number}", methods=["GET", "HEAD"])
    def follow(request: Request, trail: str, number: str) -> Response:
        place = _counting(request).place_of(trail)
        leads = _counting(request).leads_of(place) if place is not None and NUMBER.fullmatch(number) else {}
        lead = leads.get(int(number)) if leads else None
        if place is None or lead is None:
            return pages.unknown(request)
        _note(request, place, int(number), clock, trap=lead.trap)
        return RedirectResponse(lead.url, 302)

    return routes


def _note(request: Request, place: Place, link: int, clock: Clock, *, trap: bool = False) -> None:
    head = request.method == "HEAD"
    sight = Sight(link, clock().timestamp(), mark=mark_of(request.headers), head=head, trap=trap)
    client = request.client.host if request.client else ""
    _counting(request).note(place, sight, client=client, agent=request.headers.get("user-agent", ""))


def _counting(request: Request) -> Counting:
    return cast("Counting", request.app.state.counting)
