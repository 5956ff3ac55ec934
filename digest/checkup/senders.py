"""What DNS says of each digest's sender: who may send for it, who signs, and where answers and bounces go."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

from digest.checkup import dmarc, signatures, spf
from digest.checkup.finding import Finding
from digest.checkup.names import Names
from digest.checkup.storage import Sender
from digest.errors import SettingsError
from digest.settings import Settings
from subscribers.addresses import normalise


def look(settings: Settings, senders: Sequence[Sender], until: float) -> list[Finding]:
    """
    Each domain once, until a moment of the monotonic clock.

    While all goes to the outbox nothing has to be published yet, so nothing is worse than a warning.
    """
    if not senders:
        return []
    findings = asyncio.run(_look(settings, senders, until))
    if settings.email_transport == "outbox":
        return [replace(one, verdict="warn") if one.verdict == "bad" else one for one in findings]
    return findings


async def _look(settings: Settings, senders: Sequence[Sender], until: float) -> list[Finding]:
    try:
        names = Names(settings.dns_server, until)
    except SettingsError as error:
        return [Finding("dns", "bad", str(error))]
    domains = sorted({sender.domain for sender in senders})
    bounces = _bounces(settings)
    homes = {sender.replies for sender in senders} - {""}
    if settings.email_transport == "smtp":
        homes |= {bounces} if bounces else set(domains)
    found = await asyncio.gather(
        *(_domain(names, domain, bounces or domain, settings) for domain in domains),
        *(_mailboxes(names, home) for home in sorted(homes)),
    )
    if names.silent and not names.answered:
        return [Finding("dns", "bad", f"{names.servers} answers nothing: look at the network and at DIGEST_DNS_SERVER")]
    return [*_silence(names), *(finding for findings in found for finding in findings)]


def _bounces(settings: Settings) -> str:
    """The domain that bounces go to; empty where it is each sender's own, or cannot be read, which is told elsewhere."""
    if settings.email_transport == "smtp" and settings.smtp_bounces:
        with suppress(ValueError):
            return normalise(settings.smtp_bounces).mailbox.rpartition("@")[2]
    return ""


def _silence(names: Names) -> Iterable[Finding]:
    if names.silent:
        missing = ", ".join(sorted(set(names.silent)))
        yield Finding("dns", "warn", f"no answer about {missing}: look at who serves those names, and ask again")


async def _domain(names: Names, domain: str, envelope: str, settings: Settings) -> list[Finding]:
    may_send, (signed, signing) = await asyncio.gather(
        spf.look(names, envelope, settings), signatures.look(names, domain, settings)
    )
    own = settings.email_transport != "sendgrid"  # by SendGrid, bounces go to a name of its own below the domain
    policy = await dmarc.look(names, domain, signing=signing, envelope=envelope if own else "")
    return [*may_send, *signed, *policy]


async def _mailboxes(names: Names, domain: str) -> list[Finding]:
    """Whether a domain takes mail: by MX, or by its own address where it has none."""
    servers, *addresses = await asyncio.gather(*(names.ask(domain, kind) for kind in ("MX", "A", "AAAA")))
    hosts = [server.split()[-1].rstrip(".") for server in servers or ()]
    if hosts == [""]:
        return [Finding("mx", "bad", f"{domain} says that it takes no mail (MX 0 .): name another address")]
    if hosts or any(addresses):
        return [Finding("mx", "good", f"{domain} takes mail{' at ' if hosts else ''}{', '.join(sorted(hosts))}")]
    if None in (servers, *addresses):
        return []
    wanted = f"{domain}. IN MX 10 YOUR-MAIL-SERVER."
    return [Finding("mx", "bad", f"{domain} takes no mail, so answers and bounces go nowhere: publish {wanted}")]
