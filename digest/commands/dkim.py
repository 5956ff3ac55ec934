"""Commands for DKIM: make a key, and show what has to be published for those there are."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from digest import app, digests, dkim
from digest.commands.screen import say, show_json
from digest.database import reading
from digest.dkim import SigningKey
from digest.errors import NotFoundError, SettingsError, StorageError
from digest.settings import Settings, read_settings

ANY = "YOUR-DOMAIN"


def new(home: Path | None, selector: str, *, ed25519: bool, out: Path | None, as_json: bool) -> None:
    settings = read_settings(home)
    dkim.demand_selector(selector, "SELECTOR")
    before = list(dkim.key_files(settings))
    if selector in {known for known, _ in before}:
        raise SettingsError(f"The selector {selector} has a key already (DIGEST_DKIM_KEYS): a new key has a new one.")
    file = (out or settings.home / f"dkim-{selector}.pem").absolute()
    if set(str(file)) & set(" ,\t"):
        raise SettingsError(
            f"{file} could not be named in DIGEST_DKIM_KEYS: choose an --out without blanks and commas."
        )
    key = dkim.make_key(selector, ed25519=ed25519)
    _write(file, dkim.pem(key))
    setting = f"DIGEST_DKIM_KEYS={','.join(f'{name}={place}' for name, place in [*before, (selector, file)])}"
    told = _records([key], _domains(home, settings))
    if as_json:
        show_json({"file": file, "setting": setting, "records": told})
        return
    say(f"The private key is in {file}, and only its owner can read it.")
    _publish(told)
    say(
        f"When it is published, set this line in {settings.home / '.env'}; digest doctor compares the two:\n\n  {setting}\n"
    )


def show(home: Path | None, *, as_json: bool) -> None:
    settings = read_settings(home)
    keys = dkim.read_keys(settings)
    if not keys and not as_json:
        raise NotFoundError("No key signs (DIGEST_DKIM_KEYS is empty): make one with digest dkim new news1.")
    told = _records(keys, _domains(home, settings))
    if as_json:
        show_json(told)
    else:
        _publish(told)


def _write(file: Path, content: bytes) -> None:
    """
    A file of ours alone.

    Raises:
        SettingsError: there is one of that name. A key that is in use must not be lost.
        StorageError: it cannot be written.
    """
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
    except FileExistsError:
        raise SettingsError(f"{file} is there already, and is left as it is: name another with --out.") from None
    except OSError as fault:
        raise StorageError(f"{file} cannot be written: {fault.strerror}.") from None


def _domains(home: Path | None, settings: Settings) -> Sequence[str]:
    """Where the records belong: the signing domain, else every digest's own; ANY where none is known yet."""
    own = dkim.read_domain(settings)
    if own:
        return [own]
    try:
        with reading(app.open_press(home).engine) as session:
            return digests.sender_domains(session) or [ANY]
    except (NotFoundError, SettingsError):  # a key may be made before the house is set up
        return [ANY]


def _records(keys: Iterable[SigningKey], domains: Sequence[str]) -> list[dict[str, Any]]:
    return [_record(dkim.record_name(key.selector, domain), key.record) for key in keys for domain in domains]


def _record(name: str, text: str) -> dict[str, Any]:
    return {"name": name, "type": "TXT", "text": text, "zone_line": dkim.zone_line(name, text)}


def _publish(told: Sequence[dict[str, Any]]) -> None:
    for record in told:
        say("\nPublish this TXT record:")
        say(f"  name   {record['name']}\n  text   {record['text']}")
        say(f"Or, as a zone file has it:\n  {record['zone_line']}\n")
