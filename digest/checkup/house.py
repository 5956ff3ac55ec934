"""The house itself: its settings, secrets, templates, and the room on its disks."""

import stat
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from digest.checkup.finding import Finding
from digest.disks import MEGABYTE, disks
from digest.dkim import key_files, read_keys
from digest.errors import DigestError
from digest.parts import load_part
from digest.paths import template_folders
from digest.settings import Settings

OUTBOX = "outbox"
TEMPLATES = ("email/_layout.html", "web/edition.html")
NOWHERE = ("localhost", ".invalid", ".test", ".localhost", ".local", ".internal")  # no reader's machine finds these


def look(settings: Settings) -> Iterator[Finding]:
    yield Finding("settings", "good", f"home {settings.home}, email leaves by {settings.email_transport}")
    yield from _ways_out(settings)
    yield _base_address(settings)
    yield from _secrets(settings)
    yield from _signing_keys(settings)
    yield _templates(settings.templates)
    yield from _disks(settings)
    yield from _ways_of_alarms(settings)


def _ways_out(settings: Settings) -> Iterator[Finding]:
    """Whether each transport's settings can be read; the keys that sign have a look of their own."""
    for name in sorted({settings.email_transport, settings.push_transport} - {OUTBOX}):
        try:
            load_part("transports", name).open_transport(settings.model_copy(update={"dkim_keys": ()}), "").close()
        except DigestError as error:
            yield Finding(name, "bad", str(error))
    if settings.email_transport == "sendgrid":
        yield from _sendgrid(settings)


def _sendgrid(settings: Settings) -> Iterator[Finding]:
    if settings.sendgrid_sandbox:
        yield Finding("sendgrid", "warn", "DIGEST_SENDGRID_SANDBOX is on: requests are checked, and nobody gets mail")
    if not settings.sendgrid_webhook_key:
        yield Finding(
            "sendgrid", "warn",
            "DIGEST_SENDGRID_WEBHOOK_KEY is empty, so its events are refused and a bounce suppresses nobody: turn on the "
            "signed Event Webhook in SendGrid's Mail Settings, and set its verification key",
        )  # fmt: skip


def _base_address(settings: Settings) -> Finding:
    address = urlsplit(settings.base_url)
    if settings.email_transport == OUTBOX or (address.scheme == "https" and _is_public(address.hostname or "")):
        return Finding("base address", "good", settings.base_url)
    return Finding(
        "base address", "bad",
        f"{settings.base_url} is what readers' links begin with, and mail leaves by {settings.email_transport}: set "
        "DIGEST_BASE_URL to the address that they reach this house by, such as https://news.example.org",
    )  # fmt: skip


def _is_public(host: str) -> bool:
    try:
        return ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith(NOWHERE)


# files --------------------------------------------------------------------------------------------------------------


def _secrets(settings: Settings) -> Iterator[Finding]:
    files = dict.fromkeys(file.absolute() for file in (Path(".env"), settings.home / ".env") if file.exists())
    for file in files:
        yield _private("secrets", file)
    if not files:
        yield Finding("secrets", "good", "keys come from the environment")


def _signing_keys(settings: Settings) -> Iterator[Finding]:
    try:
        for _, file in key_files(settings):
            if file.exists():
                yield _private("dkim key", file)
        keys = read_keys(settings)
    except DigestError as error:
        yield Finding("dkim key", "bad", str(error))
        return
    if keys and all(key.kind != "rsa" for key in keys):
        yield Finding("dkim key", "warn", "not everybody verifies Ed25519 yet: add an RSA key with digest dkim new")


def _private(what: str, file: Path) -> Finding:
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        return Finding(what, "bad", f"others can read {file}: chmod 600 {file}")
    return Finding(what, "good", f"{file} is readable by its owner alone")


def _templates(own: Path | None) -> Finding:
    folders = template_folders(own)
    for name in TEMPLATES:
        if not any((folder / name).is_file() for folder in folders):
            return Finding(
                "templates", "bad", f"{name} is in none of {', '.join(map(str, folders))}: reinstall global-digest"
            )
    if own is not None and not own.is_dir():
        return Finding("templates", "bad", f"DIGEST_TEMPLATES names {own}, which is no folder")
    return Finding("templates", "good", f"found in {folders[0]}")


def _disks(settings: Settings) -> Iterator[Finding]:
    for disk in disks(settings):
        for place in disk.closed:
            yield Finding("disk", "bad", f"{place} cannot be written to: check its owner")
        enough = disk.free > settings.alarm_disk * MEGABYTE
        yield (
            Finding("disk", "good", disk.words) if enough else Finding("disk", "warn", f"only {disk.words}: make room")
        )


def _ways_of_alarms(settings: Settings) -> Iterator[Finding]:
    """Whether anybody would hear of a fault at night."""
    if not settings.alarm_ways:
        yield Finding(
            "alarms", "warn", "nobody is told when something goes wrong, but for the log and digest status: set "
            "DIGEST_ALARM_EMAIL, DIGEST_ALARM_WEBHOOK or DIGEST_ALARM_COMMAND, then try it with digest alarms test",
        )  # fmt: skip
        return
    words = f"told by {', '.join(settings.alarm_ways)}"
    if settings.heartbeat_url:
        yield Finding("alarms", "good", f"{words}; and an outside watcher is told that we live")
    elif settings.alarm_ways == ("email",):
        yield Finding(
            "alarms", "warn", f"{words} alone, which needs what it warns of: set a webhook, a command, or "
            "DIGEST_HEARTBEAT_URL, by which an outside watcher notices",
        )  # fmt: skip
    else:
        yield Finding("alarms", "good", f"{words}; DIGEST_HEARTBEAT_URL would tell an outside watcher that we live")
