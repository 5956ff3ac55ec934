"""What a browser or a program sends: a form's fields read within bounds, and the token that says when its page was made."""

import json
from datetime import datetime
from email.parser import BytesParser
from email.policy import HTTP
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Request

from digest.web.guard import body_of
from subscribers.tokens import Keys, open_, sign

MOST_BYTES = 64_000
MOST_FIELDS = 1000
PURPOSE = "form"
YOUNGEST, OLDEST = 2.0, 12 * 3600.0
"""Seconds between a page and its form: faster is no person, slower is a page that was kept to be used again."""

LONGEST_ORIGIN = 120

Form = dict[str, list[str]]


async def form_of(request: Request) -> Form:
    """
    A form's fields, each with its values; empty where nothing can be read. In any of the ways that a form is sent.

    Raises:
        HTTPException: 413, it is larger than any of our forms.
    """
    body = await body_of(request, MOST_BYTES)
    kind = request.headers.get("content-type", "")
    pairs = _parts(body, kind) if kind.lower().startswith("multipart/form-data") else _pairs(body)
    form: Form = {}
    for name, value in pairs[:MOST_FIELDS]:
        form.setdefault(name, []).append(value)
    return form


async def json_of(request: Request) -> Form:
    """The same of a JSON object whose members are texts."""
    try:
        said = json.loads(await body_of(request, MOST_BYTES))
    except (ValueError, RecursionError):
        return {}
    return {name: [value] for name, value in said.items() if isinstance(value, str)} if isinstance(said, dict) else {}


FormBody = Annotated[Form, Depends(form_of)]
JsonBody = Annotated[Form, Depends(json_of)]
"""What a route is handed."""


def first(form: Form, name: str) -> str:
    return form.get(name, [""])[0]


def _pairs(body: bytes) -> list[tuple[str, str]]:
    try:
        text = body.decode("ascii", errors="replace")  # what is not, a browser has escaped
        return parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=MOST_FIELDS)
    except ValueError:
        return []


def _parts(body: bytes, kind: str) -> list[tuple[str, str]]:
    head = b"content-type: " + kind.encode("latin-1", errors="replace") + b"\r\n\r\n"
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    if not message.is_multipart():
        return []
    found = []
    for part in message.iter_parts():
        name, value = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(value, bytes):
            found.append((name, value.decode("utf-8", errors="replace").rstrip("\r\n")))
    return found


# the token of a form ------------------------------------------------------------------------------------------------


def form_token(keys: Keys, digest: int, *, now: datetime, origin: str = "") -> str:
    """What a sign-up's page carries: for which digest and when it was made, and the site whose form led there."""
    made = int(now.timestamp() * 10).to_bytes(6, "big")
    return sign(keys, PURPOSE, digest.to_bytes(4, "big") + made + origin.encode()[:LONGEST_ORIGIN])


def read_form_token(keys: Keys, token: str, digest: int, *, now: datetime) -> tuple[float, str] | None:
    """Its age in seconds and its origin; None for what is no token of this digest's page."""
    payload = open_(keys, PURPOSE, token)
    if payload is None or len(payload) < 10 or int.from_bytes(payload[:4], "big") != digest:  # noqa: PLR2004
        return None
    made = int.from_bytes(payload[4:10], "big") / 10
    return now.timestamp() - made, payload[10:].decode("utf-8", errors="replace")
