"""The command that reads what came back by mail."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from digest import bounces
from digest.app import open_press
from digest.bounces import Returned
from digest.commands.screen import number, say, show_json, show_table
from digest.consequences import policy_of
from digest.delivery_ids import read_delivery_id, read_delivery_token
from digest.events import Heard, hear
from digest.mailboxes import messages
from digest.press import Press

BLOCK = 200  # messages that are heard in one transaction


def read(home: Path | None, place: str, *, dry_run: bool, as_json: bool) -> None:
    """Every message counted: what it is, and what was done with it or why it was left."""
    house = open_press(home)
    counts: Counter[tuple[str, str]] = Counter()
    suppressed = left = 0
    mail = _returned(house, place)
    while block := list(islice(mail, BLOCK)):
        heard = _hear(house, block, dry_run=dry_run)
        outcomes = iter(heard.outcomes)
        counts.update((one.what, str(next(outcomes)) if one.event else f"left: {one.why}") for one in block)
        suppressed, left = suppressed + heard.suppressed, left + heard.left
    _show(counts, suppressed, left, dry_run=dry_run, as_json=as_json)


def _returned(house: Press, place: str) -> Iterator[Returned]:
    def is_id(text: str) -> bool:
        return read_delivery_id(house.keys.hash_key, text) is not None

    def is_token(text: str) -> bool:
        return read_delivery_token(house.keys, text) is not None

    for raw in messages(place):
        yield (
            Returned("other", why="it cannot be read")
            if raw is None
            else bounces.read(raw, is_id=is_id, is_token=is_token)
        )


def _hear(house: Press, block: list[Returned], *, dry_run: bool) -> Heard:
    return hear(
        house.engine, [one.event for one in block if one.event], keys=house.keys, provider="mail",
        policy=policy_of(house.settings), now=datetime.now(UTC), dry_run=dry_run,
    )  # fmt: skip


def _show(counts: Counter[tuple[str, str]], suppressed: int, left: int, *, dry_run: bool, as_json: bool) -> None:
    rows = [(what, outcome, count) for (what, outcome), count in sorted(counts.items())]
    if as_json:
        outcomes = [dict(zip(("what", "outcome", "messages"), row, strict=True)) for row in rows]
        show_json({
            "messages": counts.total(), "outcomes": outcomes, "suppressed": suppressed, "left": left, "dry_run": dry_run,
        })  # fmt: skip
        return
    if rows:
        show_table("", ("what", "what became of it", "messages"), rows, right=("messages",))
    say(
        f"Messages read: {number(counts.total())}. Addresses suppressed: {number(suppressed)}. "
        f"Readers taken off a digest: {number(left)}.",
        style="bold",
    )
    if dry_run:
        say("All that only as it would be: nothing was changed.")
