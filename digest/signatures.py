"""A provider's signature over what it sends us: ECDSA on P-256 with SHA-256, over a timestamp and the body as it came."""

from base64 import b64decode

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

LONGEST = 200  # signs of a signature as it is written


def read_key(text: str) -> EllipticCurvePublicKey:
    """
    A public key as SendGrid shows it: DER, in base64.

    Raises:
        ValueError: it is no such key.
    """
    try:
        key = load_der_public_key(b64decode("".join(text.split()), validate=True))
    except ValueError:
        key = None
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise ValueError("use the verification key as the provider shows it: base64, beginning with MFkw")  # noqa: TRY004
    return key


def is_signed(key: EllipticCurvePublicKey, signature: str, timestamp: str, body: bytes) -> bool:
    """Whether the holder of the key signed this body at this timestamp; False for whatever is no signature at all."""
    if len(signature) > LONGEST:
        return False
    try:
        key.verify(b64decode(signature, validate=True), timestamp.encode() + body, ECDSA(SHA256()))
    except (InvalidSignature, ValueError):  # ValueError: no base64
        return False
    return True
