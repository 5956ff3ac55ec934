"""Keyed hashes and purpose-bound signed tokens: what a link may carry about a person, and nothing that names them."""

import hmac
from binascii import Error, a2b_base64, b2a_base64
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

MAC_BYTES = 12
KEY_BYTES = range(16, 65)
VERSIONS = range(256)
_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")


@dataclass(frozen=True, slots=True)
class Keys:
    """
    The secrets of one installation.

    `hash_key` names erased addresses for ever and is never rotated. `token_keys` by version (0 to 255): `current` signs,
    every other one still opens, so that the links in mails already sent go on working.

    Raises:
        ValueError: a key is shorter than 16 or longer than 64 bytes, or `current` is not among the versions.
    """

    hash_key: bytes
    token_keys: Mapping[int, bytes]
    current: int

    def __post_init__(self) -> None:
        if not all(len(key) in KEY_BYTES for key in (self.hash_key, *self.token_keys.values())):
            raise ValueError("A key has 16 to 64 bytes.")
        if self.current not in self.token_keys or not all(version in VERSIONS for version in self.token_keys):
            raise ValueError("Token keys have versions 0 to 255, and the current one is among them.")


def address_hash(key: bytes, email_key: str) -> bytes:
    """The 16 bytes an address is known by once its letters may no longer be kept. `email_key` as in addresses.Address."""
    return blake2b(email_key.encode(), key=key, digest_size=16, person=b"address").digest()


def sign(keys: Keys, purpose: str, payload: bytes) -> str:
    """A url-safe token of version, payload and a 12-byte mac, good for `purpose` (at most 16 ASCII letters) alone."""
    body = keys.current.to_bytes(1, "big") + payload
    whole = body + _mac(keys.token_keys[keys.current], purpose, body)
    return b2a_base64(whole, newline=False).translate(_TO_URL).rstrip(b"=").decode()


def open_(keys: Keys, purpose: str, token: str) -> bytes | None:
    """The payload of a token signed for `purpose` by any key still held; None for every other string, whatever is wrong."""
    body = _decode(token)
    if len(body) <= MAC_BYTES or (key := keys.token_keys.get(body[0])) is None:
        return None
    body, mac = body[:-MAC_BYTES], body[-MAC_BYTES:]
    return body[1:] if hmac.compare_digest(mac, _mac(key, purpose, body)) else None


def _mac(key: bytes, purpose: str, body: bytes) -> bytes:
    return blake2b(body, key=key, digest_size=MAC_BYTES, person=purpose.encode()).digest()


def _decode(token: str) -> bytes:
    """The bytes of a token in its one canonical spelling, else b"": two spellings of one token would be two links."""
    if not token.isascii() or "+" in token or "/" in token:
        return b""
    written = token.encode()
    try:
        body = a2b_base64((written + b"=" * (-len(written) % 4)).translate(_FROM_URL), strict_mode=True)
    except Error:
        return b""
    again = b2a_base64(body, newline=False).translate(_TO_URL).rstrip(b"=")
    return body if again == written else b""
