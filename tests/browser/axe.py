"""axe-core's word on a page that is open in Chromium."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path


@cache
def _source() -> str:
    import axe_playwright_python

    return next(Path(axe_playwright_python.__file__).parent.rglob("axe.min.js")).read_text(encoding="utf-8")


def violations(page, only: Sequence[str] = ()) -> list[str]:
    """What the page breaks, in words: of the rules with one of those tags, or of every rule."""
    page.evaluate(_source())
    options = {"runOnly": {"type": "tag", "values": list(only)}} if only else {}
    found = page.evaluate("options => axe.run(document, options)", options)["violations"]
    return [f"{fault['id']}: {fault['nodes'][0]['html']}" for fault in found]


def wanted_width(page) -> int:
    """How wide the page wants to be."""
    return page.evaluate("document.documentElement.scrollWidth")
