"""Commands about readers: count them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from digest import proofs
from digest.app import open_press
from digest.commands.screen import show_json, show_table
from digest.database import reading
from digest.digests import digest_named
from subscribers import leaving


def count(home: Path | None, digest: str, *, as_json: bool) -> None:
    house = open_press(home)
    with reading(house.engine) as session:
        row = digest_named(session, digest)
        found = proofs.wanted(session, row, house.settings, now=datetime.now(UTC))
    rows = [(one.channel, one.variant.segment or "everyone", one.variant.language, one.readers) for one in found]
    if as_json:
        show_json([dict(zip(("channel", "segment", "language", "readers"), row, strict=True)) for row in rows])
        return
    show_table("", ("channel", "segment", "language", "readers"), rows, right=("readers",))


REASONS = {
    "often": "too often", "much": "too much to read", "dull": "not their matter", "other": "another reason", "": "not said",
}  # fmt: skip


def why(home: Path | None, digest: str, *, as_json: bool) -> None:
    house = open_press(home)
    with reading(house.engine) as session:
        counts = leaving.whys(session.connection(), cast("int", digest_named(session, digest).id))
    if as_json:
        show_json([{"why": word or None, "readers": readers} for word, readers in counts.items()])
        return
    rows = [(REASONS[word], readers) for word, readers in counts.items()]
    show_table("", ("why they left", "readers"), rows, right=("readers",))
