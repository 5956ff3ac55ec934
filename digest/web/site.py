"""The web application: every part included by name, behind one guard."""

from collections.abc import Callable, Sequence

from fastapi import APIRouter, FastAPI
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from digest.press import Press
from digest.web import following, health, hooks, public
from digest.web.counting import Counting
from digest.web.guard import Clock, Guard

PARTS: Sequence[Callable[[Press, Clock], APIRouter]] = (health.router, public.router, following.router, hooks.router)
"""The `router` of each part, in the order that a path is looked for."""


def build(press: Press, *, clock: Clock) -> FastAPI:
    """
    The application over a press. It builds its links from the base URL alone; the Host header is never asked.

    A client is who is connected, or who a proxy of the setting `trusted_proxies` says is: `request.client.host`.
    """
    app = FastAPI(
        title="Global Digest",
        docs_url=None, redoc_url=None, openapi_url=None,
        redirect_slashes=False,  # such a redirect is built from the Host header
    )  # fmt: skip
    app.state.counting = Counting(press, clock)
    app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(press.settings.trusted_proxies))
    app.add_middleware(Guard)  # last, and so outermost

    for router in PARTS:
        app.include_router(router(press, clock))
    return app
