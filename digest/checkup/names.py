"""What DNS says: each question asked once, many at a time, and nobody waited for longer than was agreed."""

import asyncio
from collections.abc import Mapping
from ipaddress import ip_address
from time import monotonic
from typing import Any

from dns.asyncresolver import Resolver
from dns.exception import DNSException
from dns.resolver import NXDOMAIN, LifetimeTimeout, NoAnswer, NoNameservers, NoResolverConfiguration

from digest.errors import SettingsError
from digest.smtp.opening import read_server

ONE_SERVER, ONE_QUESTION = 1.0, 2.0  # seconds
AT_ONCE = 100  # questions
PORT = 53

Answer = tuple[str, ...] | None
"""The records' texts; none where there are none; None where nobody answered."""


class Names:
    """
    Asks `server` (the system's where empty) until a moment of the monotonic clock.

    Raises:
        SettingsError: there is no such server.
    """

    def __init__(self, server: str, until: float) -> None:
        self.answered, self.silent = 0, list[str]()
        self._until, self._away = until, False
        self._resolver = _resolver(server)
        self._resolver.timeout = ONE_SERVER
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._asked: dict[tuple[str, str], asyncio.Task[Answer]] = {}

    @property
    def servers(self) -> str:
        return ", ".join(map(str, self._resolver.nameservers))

    async def ask(self, name: str, kind: str) -> Answer:
        """Such as ask("news.example.org", "MX"): each record as a zone file has it, a TXT record as its whole text."""
        question = name.lower(), kind
        if question not in self._asked:
            self._asked[question] = asyncio.ensure_future(self._ask(*question))
        return await self._asked[question]

    async def _ask(self, name: str, kind: str) -> Answer:
        try:
            async with self._turns:
                if self._away and not self.answered:  # one long wait is enough to know that nobody is there
                    self.silent.append(name)
                    return None
                lifetime = max(0.01, min(ONE_QUESTION, self._until - monotonic()))
                answer = await self._resolver.resolve(f"{name}.", kind, lifetime=lifetime)
        except (LifetimeTimeout, NoNameservers, OSError) as fault:
            self._away = self._away or isinstance(fault, LifetimeTimeout)
            self.silent.append(name)
            return None
        except (NXDOMAIN, NoAnswer):
            self.answered += 1
            return ()
        except DNSException:  # a name that cannot be: too long, or with an empty part
            return ()
        self.answered += 1
        return tuple(map(_text, answer))


def _resolver(server: str) -> Resolver:
    try:
        if not server:
            return Resolver()
        place = read_server(server, PORT)
        resolver = Resolver(configure=False)
        resolver.nameservers, resolver.port = [str(ip_address(place.host))], place.port
    except NoResolverConfiguration:
        raise SettingsError("This machine names no DNS server (/etc/resolv.conf): set DIGEST_DNS_SERVER.") from None
    except ValueError:
        raise SettingsError(
            f"DIGEST_DNS_SERVER is wrong: {server!r} is no address; write one such as 192.0.2.53 or [::1]:5353."
        ) from None
    return resolver


def _text(record: Any) -> str:
    if hasattr(record, "strings"):
        return b"".join(record.strings).decode("utf-8", "replace")
    return str(record.to_text())


def tags(text: str) -> Mapping[str, str]:
    """The tags of a record such as "v=DMARC1; p=none", blanks around them dropped; the first of two of one name."""
    pairs = (part.partition("=") for part in text.split(";") if "=" in part)
    found: dict[str, str] = {}
    for name, _, value in pairs:
        found.setdefault(name.strip().lower(), value.strip())
    return found
