"""What anybody may read: an edition that has left, and the files that pages name."""

import base64
import hashlib
import re
from datetime import date

from fastapi import APIRouter, Request
from sqlmodel import Session, col, select
from starlette.responses import HTMLResponse, Response

from digest.database import reading
from digest.models import DigestRow, EditionRow, MailingRow, ProofRow
from digest.render import KEPT_STYLE
from digest.values import EditionKind
from digest.web.guard import POLICY
from digest.web.pages import Pages

A_WHILE = "public, max-age=300"
_NAMED = re.compile(r"(\d{4}-\d{2}-\d{2})(?:-(weekly|breaking|correction))?(?:-(.{1,80}))?")


def routes(pages: Pages) -> APIRouter:
    """The paths of editions and of stylesheets."""
    router = APIRouter()

    @router.api_route("/e/{slug}/{named}", methods=["GET", "HEAD"])
    def edition(request: Request, slug: str, named: str) -> Response:
        with reading(pages.press.engine) as session:
            found = _page_of(session, slug, named)
        if found is None:
            return pages.unknown(request)
        tag = f'"{found.content_hash}"'
        headers = {"cache-control": A_WHILE, "etag": tag, "content-security-policy": _policy(found.html)}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return HTMLResponse(found.html, headers=headers)

    @router.api_route("/style/{name}", methods=["GET", "HEAD"])
    def asset(request: Request, name: str) -> Response:
        return pages.asset(name) or pages.unknown(request)

    return router


def _page_of(session: Session, slug: str, named: str) -> ProofRow | None:
    """The newest web proof of an edition whose mailing has begun: drafts are nobody's but the editors'."""
    parts = _NAMED.fullmatch(named)
    try:
        day = date.fromisoformat(parts[1]) if parts else None
    except ValueError:
        day = None
    if parts is None or day is None:
        return None
    query = (
        select(ProofRow)
        .join(EditionRow, col(EditionRow.id) == ProofRow.edition_id)
        .join(DigestRow, col(DigestRow.id) == EditionRow.digest_id)
        .join(MailingRow, col(MailingRow.edition_id) == EditionRow.id)
        .where(DigestRow.slug == slug, EditionRow.local_date == day, EditionRow.kind == (parts[2] or EditionKind.DAILY))
        .where(EditionRow.name == (parts[3] or ""), ProofRow.channel == "web", ProofRow.version == EditionRow.version)
    )
    return session.exec(query).first()


def _policy(html: str) -> str:
    """An edition's page is kept as it was approved, with its style inside: that very style is allowed, and pictures."""
    hashes = [base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() for style in KEPT_STYLE.findall(html)]
    allowed = " ".join(f"'sha256-{one}'" for one in hashes) or "'none'"
    return (
        POLICY.replace("style-src 'self'", f"style-src {allowed}")
        .replace("script-src 'self'", "script-src 'none'")
        .replace("img-src 'self'", "img-src 'self' https:")
    )
