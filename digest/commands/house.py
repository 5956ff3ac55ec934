"""Commands of the house itself: set it up, set a digest, check that all is well."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

from digest import app, checkup, segments
from digest.commands.screen import say, show_json
from digest.database import reading, writing
from digest.digests import MUST_HAVE, digest_named
from digest.errors import SettingsError

COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


def init(home: Path | None, *, name: str, slug: str, section: str, zone: str, language: str) -> None:
    given = {"name": name, "section": section, "zone": zone, "language": language}
    check = {key: read_field(key, value) for key, value in given.items()}
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", slug):
        raise SettingsError(f"{slug!r} is no short name: use small letters, digits and hyphens, such as global.")
    house = app.found(home, slug=slug, fields=check, now=datetime.now(UTC))
    place = house.settings.home
    say(f"{name} is set up in {place}.", style="bold")
    say(
        f"Next:\n  digest --home {place} set {slug} --from-name ... --from-address ... --reply-to ... --postal-address ...\n"
        f"  digest --home {place} run {slug} --source PATH_OR_ADDRESS\n"
        f"  digest --home {place} preview {slug} --out mail.html\n"
        f"  digest --home {place} subscribers import readers.csv --consent 'where they asked for it'"
    )


def set_digest(home: Path | None, slug: str, given: dict[str, Any], *, as_json: bool) -> None:
    fields = {key: read_field(key, value) for key, value in given.items()}
    house = app.open_press(home)
    with writing(house.engine) if fields else reading(house.engine) as session:
        row = digest_named(session, slug)
        for name in fields.get("segments", ()):
            segments.named(session, name)
        for key, value in fields.items():
            setattr(row, key, {**row.colours, **value} if key == "colours" else value)
        session.add(row)
        shown = row.model_dump(exclude={"id"})
    if as_json:
        show_json(shown)
        return
    for key, value in shown.items():
        missing = "   <- needed before anything is sent" if key in MUST_HAVE and not value else ""
        say(f"{key.replace('_', ' '):<16} {value}{missing}")


def read_field(key: str, value: Any) -> Any:
    """
    One field of a digest, from the command line's words.

    Raises:
        SettingsError: names the option and what is allowed.
    """
    option = "--" + key.replace("_", "-")
    if key in {"from_address", "reply_to"}:
        return _address(option, value)
    if key == "zone" and value not in available_timezones():
        raise SettingsError(
            f"{option}: {value!r} is no time zone; use a name such as Europe/Madrid or America/New_York."
        )
    if key == "deadline" and not CLOCK.fullmatch(value):
        raise SettingsError(f"{option}: {value!r} is no time of day; use 24-hour time such as 06:45.")
    if key in ALLOWED and value not in ALLOWED[key]:
        raise SettingsError(f"{option}: {value!r} is not allowed; use {' or '.join(ALLOWED[key])}.")
    if key == "look" and not re.fullmatch(r"[a-z][a-z0-9-]{0,31}", value):
        raise SettingsError(f"{option}: {value!r} is no look; use full, standard or brief, or a template of your own.")
    if key == "editors":
        return [_address(option, word) for word in value.replace(",", " ").split()]
    if key in {"colours", "utm"}:
        return _pairs(option, value, COLOUR if key == "colours" else None)
    if key in {"channels", "segments", "share", "image_hosts"}:
        return _list(option, value, MEMBERS.get(key))
    if key in {"size", "minimum"} and not 1 <= value <= 50:  # noqa: PLR2004
        raise SettingsError(f"{option}: {value} is not allowed; use 1 to 50.")
    return " ".join(value.split()) if isinstance(value, str) else value


ALLOWED = {"fallback": ("send", "checks", "hold"), "short": ("send", "skip")}
MEMBERS = {"channels": ("email", "push"), "share": ("whatsapp", "telegram", "facebook", "x", "email", "copy")}


def _address(option: str, value: str) -> str:
    from subscribers.addresses import normalise

    try:
        return normalise(value).mailbox
    except ValueError as error:
        raise SettingsError(f"{option}: {error}") from None


def _pairs(option: str, value: str, shape: re.Pattern[str] | None) -> dict[str, str]:
    pairs = dict(part.strip().split("=", 1) for part in value.split(",") if "=" in part)
    wrong = [word for word in pairs.values() if shape is not None and not shape.fullmatch(word)]
    if not pairs or wrong:
        example = "accent=#a3281b,ink=#1b1d22" if shape else "source=global-digest,campaign=morning"
        raise SettingsError(f"{option}: {', '.join(wrong) or value!r} cannot be read; write pairs such as {example}.")
    return pairs


def _list(option: str, value: str, allowed: tuple[str, ...] | None) -> list[str]:
    words = [word.strip() for word in value.split(",") if word.strip()]
    unknown = [word for word in words if allowed and word not in allowed]
    if unknown and allowed:
        raise SettingsError(f"{option}: {', '.join(unknown)} is not known; use some of {', '.join(allowed)}.")
    return words


def doctor(home: Path | None, *, offline: bool, as_json: bool) -> None:
    findings = checkup.examine(home, now=datetime.now(UTC), offline=offline)
    if as_json:
        show_json(findings)
    else:
        for finding in findings:
            mark, style = {"good": ("good", "green"), "warn": ("look", "yellow"), "bad": ("mend", "red")}[
                finding.verdict
            ]
            say(f"{mark}  {finding.what:<12} {finding.words}", style=style if finding.verdict != "good" else "")
    if any(finding.verdict == "bad" for finding in findings):
        raise SystemExit(1)
