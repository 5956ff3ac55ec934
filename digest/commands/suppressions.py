"""Commands about addresses nothing may go to: list them, add, take off, import, ask for one."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from digest import desk, persons
from digest.app import open_press
from digest.commands.exchange import SHOWN, file_in_words
from digest.commands.screen import number, say, show_json, show_table, steps
from digest.database import reading, writing
from digest.errors import NotFoundError, SettingsError
from digest.press import Press
from subscribers import suppressions
from subscribers.addresses import masked, normalise
from subscribers.exchange import NAMED
from subscribers.files import TextFile
from subscribers.sheets import Hints, Refused, Sheet
from subscribers.suppressions import REASONS, Why
from subscribers.tokens import address_hash

BLOCK = 5000


def show(home: Path | None, *, reason: str, limit: int, as_json: bool) -> None:
    house = open_press(home)
    with reading(house.engine) as session:
        rows = suppressions.newest(session.connection(), limit=limit, reason=reason)
        tally = suppressions.tally(session.connection())
    if as_json:
        newest = [
            {"hash": one.email_hash.hex(), "reason": one.reason, "since": one.since, "note": one.note} for one in rows
        ]
        show_json({"total": sum(tally.values()), "reasons": tally, "newest": newest})
        return
    show_table("", ("hash", "reason", "since", "note"), [
        (one.email_hash.hex()[:12], one.reason, f"{one.since:%Y-%m-%d}", one.note) for one in rows
    ])  # fmt: skip
    say(", ".join(f"{name}: {number(count)}" for name, count in tally.items()) or "Nobody is suppressed.")


def add(home: Path | None, addresses: Sequence[str], *, reason: str, note: str, by: str) -> None:
    house, now = open_press(home), datetime.now(UTC)
    _demand_reason(reason)
    _demand_no_address(note)
    for address in addresses:
        hashed = _hash_of(house, address)
        with writing(house.engine) as session:
            new = suppressions.suppress(session.connection(), {hashed: Why(reason, note)}, now=now)
            if new:
                persons.audit(session, hashed, who=by, did="suppress", now=now, reason=reason, note=note)
        say(f"{masked(address)}: {'suppressed' if new else 'was suppressed already, and stays so'}.")


def remove(home: Path | None, address: str, *, reason: str, by: str) -> None:
    if not reason.strip():
        raise SettingsError("Say why, for the audit: --reason 'asked for it by phone'.")
    house, now = open_press(home), datetime.now(UTC)
    hashed = _hash_of(house, address)
    _demand_no_address(reason)
    with writing(house.engine) as session:
        was = suppressions.suppression_of(session.connection(), hashed)
        if was is None:
            raise NotFoundError(f"{masked(address)} is not suppressed.")
        suppressions.lift(session.connection(), hashed)
        persons.audit(session, hashed, who=by, did="lift", now=now, reason=reason, was=was.reason)
    say(f"{masked(address)}: mail may go there again, if they asked for any.")


def check(home: Path | None, address: str, *, as_json: bool) -> None:
    house = open_press(home)
    hashed = _hash_of(house, address)
    with reading(house.engine) as session:
        was = suppressions.suppression_of(session.connection(), hashed)
        history = [
            {"at": row.at, "who": row.who, "did": row.did, "reason": row.detail.get("reason", "")}
            for row in persons.history_of(session, house, address)
        ]
    why = None if was is None else {"reason": was.reason, "since": was.since, "note": was.note}
    if as_json:
        show_json({"suppressed": was is not None, "suppression": why, "history": history})
        return
    if was is None:
        say(f"{masked(address)} is not suppressed.")
    else:
        reason = REASONS.get(was.reason, was.reason)
        say(
            f"{masked(address)} is suppressed since {was.since:%Y-%m-%d}: {reason}. {was.note}".rstrip(), style="yellow"
        )
    if history:
        rows = [(f"{one['at']:%Y-%m-%d %H:%M}", one["who"], one["did"], one["reason"]) for one in history]
        show_table("", ("when", "who", "did", "why"), rows)


def import_file(
    home: Path | None, file: Path, *, reason: str, hints: Hints, by: str, as_json: bool, quiet: bool
) -> None:
    """Every address of a file onto the list, whatever else it says of them. Again after a kill, it adds the rest."""
    if not file.is_file():
        raise NotFoundError(f"There is no file {file}.")
    _demand_reason(reason)
    house, now = open_press(home), datetime.now(UTC)
    added = known = wrong = 0
    named: list[Refused] = []
    with steps(quiet=quiet or as_json) as progress, file_in_words(file):
        found = TextFile.of(file, encoding=hints.encoding)
        for addresses, refused, line in _blocks(found, hints):
            wanted = {address_hash(house.keys.hash_key, address): Why(reason, "") for address in addresses}
            with writing(house.engine) as session:
                new = len(suppressions.suppress(session.connection(), wanted, now=now))
            added, known = added + new, known + len(wanted) - new
            wrong += len(refused)
            named += [replace(one, cells=()) for one in refused[: NAMED - len(named)]]
            progress.count("Lines read", line, max(found.lines, line))
    detail = {"file": file.name, "reason": reason, "added": added}
    with writing(house.engine) as session:
        desk.write_down(session, who=by, did="import", subject=persons.AUDITED, subject_id=0, now=now, detail=detail)
    if as_json:
        show_json({"added": added, "known": known, "refused_count": wrong, "refused": named})
        return
    for one in named[:SHOWN]:
        say(f"line {number(one.line)}: {one.reason}", style="yellow")
    say(f"New: {number(added)}, suppressed before: {number(known)}, refused: {number(wrong)}.", style="bold")


def _blocks(file: TextFile, hints: Hints) -> Iterator[tuple[list[str], list[Refused], int]]:
    """Addresses as compared, the lines without one, and how far the file is read; a block at a time."""
    sheet = Sheet.of(file, hints).only("email")
    with file.opened() as text:
        entries = sheet.entries(text)
        while block := list(islice(entries, BLOCK)):
            found = [entry for _, _, entry in block]
            readers: list[dict[str, Any]] = [one for one in found if not isinstance(one, Refused)]
            yield (
                [one["email_key"] for one in readers],
                [one for one in found if isinstance(one, Refused)],
                block[-1][1],
            )


def _hash_of(house: Press, address: str) -> bytes:
    try:
        return address_hash(house.keys.hash_key, normalise(address).key)
    except ValueError as error:
        raise SettingsError(f"{address!r} is no address: {error}.") from None


def _demand_reason(reason: str) -> None:
    if reason not in REASONS:
        words = "; ".join(f"{name} ({meaning})" for name, meaning in REASONS.items())
        raise SettingsError(f"There is no reason {reason!r}: use {words}.")


def _demand_no_address(note: str) -> None:
    try:
        suppressions.demand_no_address(note)
    except ValueError as error:
        raise SettingsError(str(error)) from None
