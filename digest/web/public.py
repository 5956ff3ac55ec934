"""Readers' pages: sign-up, what a link in a mail opens, and the editions themselves. No script is needed for any of them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from fastapi import APIRouter

from digest.database import people_first
from digest.press import Press
from digest.web import confirming, joining, managing, moving, own_data, parting, reading
from digest.web.pages import Pages


def router(press: Press, clock: Callable[[], datetime]) -> APIRouter:
    """All of them. What they write goes before what a sending process writes."""
    pages, whole = Pages(replace(press, engine=people_first(press.engine)), clock), APIRouter()
    for part in (joining, confirming, managing, parting, moving, own_data, reading):
        whole.include_router(part.routes(pages))
    return whole
