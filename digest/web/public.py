"""Readers' pages: sign-up, what a link in a mail opens, and the editions themselves. No script is needed for any of them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from fastapi import APIRouter

from digest.database import people_first
from digest.press import Press
from digest.web import joining, managing, own_data, reading
from digest.web.pages import Pages


def router(press: Press, clock: Callable[[], datetime], *, honoured: frozenset[str] = managing.HONOURED) -> APIRouter:
    """All of them. `honoured` are the wishes that a page offers. What they write goes before what a sending process writes."""
    pages, whole = Pages(replace(press, engine=people_first(press.engine)), clock), APIRouter()
    whole.include_router(joining.routes(pages))
    whole.include_router(managing.routes(pages, honoured))
    whole.include_router(own_data.routes(pages, honoured))
    whole.include_router(reading.routes(pages))
    return whole
