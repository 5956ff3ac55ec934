"""
DKIM (RFC 6376, RFC 8463): the sender's domain vouches for a message. Header fields relaxed, the body as it is.

A signature depends on the message and the key alone: its time is the message's own Date. So a second attempt has the
bytes of the first.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import mktime_tz, parsedate_tz
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from digest.errors import SettingsError
from digest.settings import Settings
from subscribers.addresses import ascii_domain

SIGNED = (
    b"from", b"to", b"cc", b"reply-to", b"subject", b"date", b"message-id", b"in-reply-to", b"references",
    b"mime-version", b"content-type", b"content-transfer-encoding", b"list-id", b"list-unsubscribe",
    b"list-unsubscribe-post", b"list-archive", b"feedback-id",
)  # fmt: skip
"""Each is named once more than it occurs, so that none can be added on the way: what a reader or a button would act on."""

LEAST_BITS, MOST_BITS = 2048, 4096  # of RSA: below it is weak, above it verifiers need not follow (RFC 8301)
MOST_KEYS = 2
LINE = 72  # characters of a signature's value on one line
STRING = 255  # characters of one string in a TXT record
SELECTOR = re.compile(r"(?=.{1,60}\Z)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")


# signing ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SigningKey:
    """A private key under its selector, and the record that has to be published for it."""

    selector: str
    private: RSAPrivateKey | Ed25519PrivateKey = field(repr=False)

    @property
    def kind(self) -> str:
        """As it is called in a record."""
        return "rsa" if isinstance(self.private, RSAPrivateKey) else "ed25519"

    @property
    def record(self) -> str:
        public = self.private.public_key()
        if isinstance(self.private, RSAPrivateKey):
            shown = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        else:
            shown = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return f"v=DKIM1; k={self.kind}; p={b64encode(shown).decode()}"

    def sign(self, data: bytes) -> bytes:
        if isinstance(self.private, RSAPrivateKey):
            return self.private.sign(data, PKCS1v15(), SHA256())
        return self.private.sign(sha256(data).digest())


@dataclass(frozen=True)
class DomainSigner:
    """Signs for one domain with every key it has, each in a signature of its own."""

    domain: str
    keys: Sequence[SigningKey]

    def sign(self, message: bytes) -> bytes:
        """The header lines that go in front of the message, whose lines end with CRLF and whose dots are not stuffed."""
        head, _, body = message.partition(b"\r\n\r\n")
        fields = _fields(head)
        signed = b"".join(b"%b\r\n" % value for name in SIGNED for value in reversed(fields.get(name, ())))
        bound = b"%b bh=%b;\r\n h=%b;\r\n b=" % (_time(fields), _body_hash(body), _named(fields))
        return b"".join(self._signature(key, signed, bound) for key in self.keys)

    def _signature(self, key: SigningKey, signed: bytes, bound: bytes) -> bytes:
        who = f"DKIM-Signature: v=1; a={key.kind}-sha256; c=relaxed/simple;\r\n d={self.domain}; s={key.selector};\r\n "
        open_end = who.encode() + bound
        value = b64encode(key.sign(signed + _relaxed(_unfolded(open_end))[1]))
        return open_end + b"\r\n ".join(value[at : at + LINE] for at in range(0, len(value), LINE)) + b"\r\n"


def _fields(head: bytes) -> dict[bytes, list[bytes]]:
    """Every header field in its relaxed form, by name, in the order they stand."""
    fields: dict[bytes, list[bytes]] = {}
    for line in _unfolded(head).split(b"\r\n"):
        name, value = _relaxed(line)
        fields.setdefault(name, []).append(value)
    return fields


def _unfolded(head: bytes) -> bytes:
    return head.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ").replace(b"\t", b" ")


def _relaxed(line: bytes) -> tuple[bytes, bytes]:
    """The name of an unfolded field, and the field with one blank for many, and none at its ends or its colon."""
    name, _, value = line.partition(b":")
    name = name.rstrip(b" ").lower()
    if b"  " in value:
        value = b" ".join(filter(None, value.split(b" ")))
    return name, b"%b:%b" % (name, value.strip(b" "))


def _body_hash(body: bytes) -> bytes:
    """Of the body as it is, but for empty lines at its end."""
    end = len(body)
    while body.endswith(b"\r\n", 0, end):
        end -= 2
    digest = sha256(memoryview(body)[:end])
    digest.update(b"\r\n")
    return b64encode(digest.digest())


def _named(fields: Mapping[bytes, Sequence[bytes]]) -> bytes:
    return _folded_names(tuple(len(fields.get(name, ())) for name in SIGNED))


@lru_cache(maxsize=64)
def _folded_names(counts: Sequence[int]) -> bytes:
    """The fields that are signed, by how often each occurs, on lines that no relay would break."""
    lines = [b""]
    for name in (name for name, count in zip(SIGNED, counts, strict=True) for _ in range(count + 1)):
        if len(lines[-1]) + len(name) > LINE:
            lines.append(b"")
        lines[-1] += name + b":"
    return b"\r\n ".join(lines).removesuffix(b":")


def _time(fields: Mapping[bytes, Sequence[bytes]]) -> bytes:
    dates = fields.get(b"date", ())
    return _time_of(dates[0]) if dates else b""


@lru_cache(maxsize=64)
def _time_of(date: bytes) -> bytes:
    """The tag for the moment that a Date field names; nothing where it names none."""
    parsed = parsedate_tz(date.partition(b":")[2].decode("ascii", "replace"))
    return b"t=%d;" % mktime_tz(parsed) if parsed else b""


# settings -----------------------------------------------------------------------------------------------------------


def open_signers(settings: Settings) -> Callable[[str], DomainSigner]:
    """
    Who signs, given the domain in From. The keys are read once, here.

    Raises:
        SettingsError: a key or the domain in the settings is wrong; later, the domain in From is not ours to sign for.
    """
    keys = read_keys(settings)
    own = read_domain(settings)

    def signer_for(sender: str) -> DomainSigner:
        if not fits(own or sender, sender):
            raise SettingsError(
                f"DIGEST_DKIM_DOMAIN is {own}, and the sender is at {sender or 'no domain'}: such a signature counts for "
                "nothing. Name the sender's own domain or one above or below it, or leave it empty."
            )
        return DomainSigner(own or sender, keys)

    return signer_for


def fits(domain: str, sender: str) -> bool:
    """Whether a signature by a domain speaks for a sender: it is theirs, or one is part of the other."""
    return "." in domain and (f".{sender}".endswith(f".{domain}") or (domain.endswith(f".{sender}") and "." in sender))


def read_domain(settings: Settings) -> str:
    """
    The signing domain in ASCII; empty where it is the sender's.

    Raises:
        SettingsError: it is no domain.
    """
    try:
        return ascii_domain(settings.dkim_domain) if settings.dkim_domain else ""
    except ValueError as fault:
        raise SettingsError(f"DIGEST_DKIM_DOMAIN is wrong: {fault}.") from None


def key_files(settings: Settings) -> Iterator[tuple[str, Path]]:
    """
    (selector, file) of each key in the settings.

    Raises:
        SettingsError: that is not how they are written.
    """
    if len(settings.dkim_keys) > MOST_KEYS:
        raise SettingsError(
            f"DIGEST_DKIM_KEYS names {len(settings.dkim_keys)} keys: {MOST_KEYS} at most sign a message."
        )
    for word in settings.dkim_keys:
        selector, equals, file = word.partition("=")
        if not (equals and file):
            raise SettingsError(f"DIGEST_DKIM_KEYS is wrong: {word!r} does not read selector=file.")
        yield demand_selector(selector, "DIGEST_DKIM_KEYS"), Path(file)


def read_keys(settings: Settings) -> tuple[SigningKey, ...]:
    """
    The keys that the settings name.

    Raises:
        SettingsError: one line that names the file, and never what is in it.
    """
    keys = tuple(SigningKey(selector, _read_key(file)) for selector, file in key_files(settings))
    if len({key.selector for key in keys}) < len(keys):
        raise SettingsError(f"DIGEST_DKIM_KEYS names the selector {keys[0].selector} twice: each key has its own.")
    return keys


def demand_selector(selector: str, where: str) -> str:
    """
    Raises:
        SettingsError: no record could be published under it.
    """
    if not SELECTOR.fullmatch(selector):
        raise SettingsError(
            f"{where}: {selector!r} is no selector; use small letters, digits and hyphens, such as news1."
        )
    return selector


def _read_key(file: Path) -> RSAPrivateKey | Ed25519PrivateKey:
    wrong = f"DIGEST_DKIM_KEYS: {file}"
    try:
        private = load_pem_private_key(file.read_bytes(), None)
    except OSError as fault:
        raise SettingsError(f"{wrong} cannot be read: {fault.strerror}.") from None
    except TypeError:
        raise SettingsError(
            f"{wrong} is locked by a passphrase: write the key without one, readable by us alone."
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise SettingsError(f"{wrong} holds no private key in PEM form: make one with digest dkim new.") from None
    if isinstance(private, Ed25519PrivateKey):
        return private
    if not isinstance(private, RSAPrivateKey):
        raise SettingsError(f"{wrong} is neither an RSA key nor an Ed25519 key: make one with digest dkim new.")
    if not LEAST_BITS <= private.key_size <= MOST_BITS:
        raise SettingsError(
            f"{wrong} is an RSA key of {private.key_size} bits; {LEAST_BITS} to {MOST_BITS} are verified everywhere: make "
            "one with digest dkim new."
        )
    return private


# keys and records ---------------------------------------------------------------------------------------------------


def make_key(selector: str, *, ed25519: bool) -> SigningKey:
    private = Ed25519PrivateKey.generate() if ed25519 else generate_private_key(65537, LEAST_BITS)
    return SigningKey(selector, private)


def pem(key: SigningKey) -> bytes:
    """The private key as its file holds it."""
    return key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def record_name(selector: str, domain: str) -> str:
    return f"{selector}._domainkey.{domain}"


def zone_line(name: str, text: str) -> str:
    """A TXT record as a zone file has it, its text in strings that DNS can carry."""
    strings = (f'"{text[at : at + STRING]}"' for at in range(0, len(text), STRING))
    return f"{name}. IN TXT ( {' '.join(strings)} )"
