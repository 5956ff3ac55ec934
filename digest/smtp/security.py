"""Whom we trust, and who we say we are: certificates and logins. No password goes where others could read it."""

import ssl
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from digest.errors import AccountError
from digest.smtp.replies import Reply, said

Ask = Callable[[bytes], Awaitable[Reply]]
"""Says one line and waits for its answer."""

CHALLENGE = 334
ORDER = ("PLAIN", "LOGIN", "XOAUTH2")


def trust(authorities: Path | None) -> ssl.SSLContext:
    """
    Certificates and host names are verified, by `authorities` alone where that file is given.

    Raises:
        OSError: the file cannot be read, or holds no certificate (ssl.SSLError).
    """
    return ssl.create_default_context(cafile=None if authorities is None else str(authorities))


@dataclass(frozen=True)
class Login:
    """Name, password (with XOAUTH2 the access token) and way: "auto", "plain", "login" or "xoauth2"."""

    user: str = ""
    password: str = field(default="", repr=False)
    way: str = "auto"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no error may repeat, in every form that a server has seen."""
        if not self.password:
            return ()
        spelled = (self.password, f"\0{self.user}\0{self.password}", _bearer(self.user, self.password))
        return (*(_base64(one) for one in reversed(spelled)), self.password)

    async def prove(self, ask: Ask, offered: Sequence[str], *, server: str, private: bool) -> None:
        """
        Log in, when there is a user to log in.

        Raises:
            AccountError: refused, not offered, or the way there is not private.
        """
        if not self.user:
            return
        if not private:
            raise AccountError(
                f"{server} would get the password over a connection that others can read: set DIGEST_SMTP_SECURITY to "
                "starttls or tls, or leave DIGEST_SMTP_USER empty."
            )
        way = self._choose(offered)
        if not way:
            raise AccountError(
                f"{server} offers no login that DIGEST_SMTP_AUTH={self.way} allows (it offers "
                f"{', '.join(offered) or 'none'}): check that setting, the port and DIGEST_SMTP_SECURITY."
            )
        reply = await self._say(ask, way)
        if not reply.good:
            raise AccountError(
                f"{server} refuses the login ({said(reply, self.secrets)}). Nothing was sent: check DIGEST_SMTP_USER "
                "and DIGEST_SMTP_PASSWORD, then resume the edition."
            )

    def _choose(self, offered: Sequence[str]) -> str:
        wanted = ORDER if self.way == "auto" else (self.way.upper(),)
        return next((way for way in wanted if way in offered), "")

    async def _say(self, ask: Ask, way: str) -> Reply:
        if way == "PLAIN":
            return await ask(f"AUTH PLAIN {_base64(f'{chr(0)}{self.user}{chr(0)}{self.password}')}".encode())
        if way == "XOAUTH2":
            reply = await ask(f"AUTH XOAUTH2 {_base64(_bearer(self.user, self.password))}".encode())
            return await ask(b"") if reply.code == CHALLENGE else reply  # the challenge is its error, in base64
        reply = await ask(b"AUTH LOGIN")
        for word in (self.user, self.password):
            if reply.code != CHALLENGE:
                break
            reply = await ask(_base64(word).encode())
        return reply


def is_loopback(host: str) -> bool:
    """Whether a peer's address is this machine's own."""
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _bearer(user: str, token: str) -> str:
    return f"user={user}\1auth=Bearer {token}\1\1"


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()
