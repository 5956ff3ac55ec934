"""Whether we live, whether we may be asked, and in numbers how we are doing. Nothing of it names a reader."""

from ipaddress import ip_address, ip_network

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import PlainTextResponse

from digest.press import Press
from digest.standing import metrics, standing, unready
from digest.web.guard import RETRY, Clock

VIA_A_PROXY = ("x-forwarded-for", "x-real-ip", "forwarded", "via")
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


def router(press: Press, clock: Clock) -> APIRouter:
    networks = [ip_network(word) for word in press.settings.metrics_from]
    routes = APIRouter()

    @routes.get("/healthz", response_class=PlainTextResponse)
    def healthz() -> str:
        return "good\n"

    @routes.get("/readyz", response_class=PlainTextResponse)
    def readyz() -> PlainTextResponse:
        why = unready(press, clock())
        return PlainTextResponse(f"Not ready: {why}.\n", 503, headers=RETRY) if why else PlainTextResponse("good\n")

    @routes.get("/metrics")
    def read_metrics(request: Request) -> PlainTextResponse:
        if not may_read(request):
            raise HTTPException(404)
        return PlainTextResponse(metrics(standing(press, clock())), media_type=PROMETHEUS)

    def may_read(request: Request) -> bool:
        """By who is connected. Behind a proxy that nobody trusts everybody looks like that proxy, so nobody may."""
        try:
            client = ip_address(request.client.host if request.client else "")
        except ValueError:
            return False
        relayed = any(name in request.headers for name in VIA_A_PROXY)
        return not (relayed and client.is_loopback) and any(client in network for network in networks)

    return routes
