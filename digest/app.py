"""Builds everything once: settings, keys, engine, links, printer and transports, handed to the press as one value."""

import os
import secrets
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlmodel import select

from digest.database import REVISION, migrate, open_engine, reading, revision_of, writing
from digest.digests import NOWHERE, UNSET
from digest.errors import NotFoundError, SettingsError
from digest.models import DigestRow, SubscriberRow
from digest.press import Press
from digest.settings import Settings, read_settings
from subscribers.tokens import Keys

PALETTE = {
    "ink": "#1b1d22", "soft": "#5d5a52", "line": "#e6e1d6", "sheet": "#fffdf9", "ground": "#f4f1ea", "accent": "#a3281b",
}  # fmt: skip


def open_press(home: Path | None = None, **values: Any) -> Press:
    """
    The press over an existing home.

    Raises:
        NotFoundError: nothing was set up there; says the command that does it.
        SettingsError: a setting is wrong.
    """
    settings = read_settings(home, **values)
    if settings.database_url.startswith("sqlite") and not settings.sqlite_file.exists():
        raise NotFoundError(f"Nothing is set up in {settings.home}: run digest --home {settings.home} init")
    press = build(settings)
    stands_at = revision_of(press.engine)
    if stands_at != REVISION:
        state = "has no tables yet" if not stands_at else f"stands at {stands_at}, this version needs {REVISION}"
        raise NotFoundError(f"The database {state}: run digest --home {settings.home} init")
    return press


def build(settings: Settings) -> Press:
    return Press(settings=settings, engine=open_engine(settings.database_url), keys=read_keys(settings))


def read_keys(settings: Settings) -> Keys:
    """
    Raises:
        SettingsError: a key is missing or malformed; says how to make one, and never what it held.
    """
    make = "run digest init, or make one with: openssl rand -hex 32"
    try:
        hash_key = bytes.fromhex(settings.hash_key.get_secret_value())
        pairs = (
            part.split(":", 1) for part in settings.token_keys.get_secret_value().replace(" ", "").split(",") if part
        )
        token_keys = {int(version): bytes.fromhex(key) for version, key in pairs}
    except ValueError:
        raise SettingsError(f"DIGEST_HASH_KEY or DIGEST_TOKEN_KEYS is not hexadecimal (1:ab12...): {make}.") from None
    if len(hash_key) < 16 or not token_keys or any(len(key) < 16 for key in token_keys.values()):  # noqa: PLR2004
        raise SettingsError(f"DIGEST_HASH_KEY and DIGEST_TOKEN_KEYS need at least 32 hexadecimal digits each: {make}.")
    try:
        return Keys(hash_key=hash_key, token_keys=token_keys, current=max(token_keys))
    except ValueError as error:
        raise SettingsError(f"DIGEST_HASH_KEY or DIGEST_TOKEN_KEYS is wrong: {error} {make.capitalize()}.") from None


def found(home: Path | None, *, slug: str, fields: Mapping[str, Any], now: datetime, **values: Any) -> Press:
    """Set up a home: its folder, its keys, its tables, the starting topics, and a digest where there is none of that name."""
    from digest.stories import save_topics
    from digest.topics import DEFAULT_TOPICS

    settings = read_settings(home, **values)
    _make_folder(settings)
    if not settings.hash_key.get_secret_value() or not settings.token_keys.get_secret_value():
        _demand_no_readers(settings)
        _write_keys(settings.home / ".env", settings)
        settings = read_settings(home, **values)
    press = build(settings)
    migrate(press.engine)
    with writing(press.engine) as session:
        if session.exec(select(DigestRow).where(DigestRow.slug == slug)).first() is None:
            name = fields.get("name", slug)
            session.add(DigestRow(slug=slug, **{**STARTING, "wordmark": name, **fields}, created_at=now))
    save_topics(press.engine, DEFAULT_TOPICS)
    return press


STARTING: Mapping[str, Any] = {
    "name": "Global Morning",
    "from_name": "Global Morning",
    "from_address": f"global@{NOWHERE}",
    "reply_to": f"editors@{NOWHERE}",
    "postal_address": f"{UNSET} (the publisher's name, street and city)",
    "colours": PALETTE,
    "channels": ["email", "push"],
    "share": ["whatsapp", "telegram", "facebook", "x", "email", "copy"],
    "utm": {"source": "global-digest", "campaign": "morning"},
}


def _demand_no_readers(settings: Settings) -> None:
    """
    Raises:
        SettingsError: there are readers already, whose suppressions and links hang on the keys that are missing.
    """
    if settings.database_url.startswith("sqlite") and not settings.sqlite_file.exists():
        return
    engine = open_engine(settings.database_url)
    if revision_of(engine):
        with reading(engine) as session:
            if session.exec(select(SubscriberRow.id)).first() is not None:
                raise SettingsError(
                    f"DIGEST_HASH_KEY and DIGEST_TOKEN_KEYS are missing, but there are readers: restore {settings.home / '.env'} "
                    "from your backup. New keys would forget every suppression and break the links in mails already sent."
                )


def _make_folder(settings: Settings) -> None:
    try:
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)  # it will hold readers' addresses
        settings.outbox_folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"DIGEST_HOME: {settings.home} cannot be made: {error.strerror}.") from None


def _write_keys(file: Path, settings: Settings) -> None:
    """Keys for this home alone, readable by their owner alone. The hash key is never changed: suppressions hang on it."""
    lines = []
    if not settings.hash_key.get_secret_value():
        lines.append(f"DIGEST_HASH_KEY={secrets.token_hex(32)}")
    if not settings.token_keys.get_secret_value():
        lines.append(f"DIGEST_TOKEN_KEYS=1:{secrets.token_hex(32)}")
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.fchmod(handle, 0o600)  # also where the file was there before
    with os.fdopen(handle, "a", encoding="utf-8") as out:
        before = file.read_bytes()
        out.write(("" if not before or before.endswith(b"\n") else "\n") + "\n".join(lines) + "\n")
        out.flush()
        os.fsync(out.fileno())
