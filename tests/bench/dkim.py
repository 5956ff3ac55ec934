"""What a signature costs: ours beside dkimpy's and beside the bare signature, of one 50 KB message, in alternation."""

from base64 import b64encode
from collections.abc import Callable, Iterable
from statistics import median
from time import process_time

import dkim
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from digest.channels import email
from digest.dkim import SIGNED, DomainSigner, SigningKey, make_key, pem
from tests.bench.figure import Figure
from tests.sendgrid_mail import printed, reader

GROUP = "press"
BYTES = 50_000  # of the message
ROUNDS = 7
OURS, THEIRS = 300, 20  # signatures in one round
DOMAIN = "news.example.org"


def figures() -> Iterable[Figure]:
    message = padded(email.fill(printed(stories=10), reader(1)))
    keys = rsa, ed25519 = make_key("news1", ed25519=False), make_key("news2", ed25519=True)
    signers = [DomainSigner(DOMAIN, chosen).sign for chosen in ((rsa,), (ed25519,), keys)]
    timed = [(sign, OURS) for sign in (*signers, *(key.sign for key in keys))]
    timed += [(by_dkimpy(key), THEIRS) for key in keys]
    rounds = [[cpu(sign, message, times) for sign, times in timed] for _ in range(ROUNDS)]
    one, other, both, *beside = (median(at) for at in zip(*rounds, strict=True))
    yield from compared("RSA-2048", one, beside[0], beside[2], most=1.3, least=15)
    yield from compared("Ed25519", other, beside[1], beside[3], most=2, least=5)
    yield Figure("DKIM with both keys, 50 KB", both, "us of CPU", "one and the other", both <= one + other)


def compared(name: str, ours: float, bare: float, theirs: float, *, most: float, least: float) -> Iterable[Figure]:
    yield Figure(f"DKIM by {name}, 50 KB", ours, "us of CPU", "see its ratios", ok=True)
    ratio = ours / bare
    yield Figure(f"DKIM by {name} to the bare signature", ratio, "ratio", f"{most:g} or less", ratio <= most)
    ratio = theirs / ours
    yield Figure(f"DKIM by {name}: dkimpy's cost to ours", ratio, "ratio", f"{least:g} or more", ratio >= least)


def padded(message: bytes) -> bytes:
    """As long as an edition gets: more of its own lines before the end."""
    line = b"<p>What a long edition says more than this one, in lines of no special length.</p>\r\n"
    at = message.rindex(b"\r\n--")
    return message[: at + 2] + line * ((BYTES - len(message)) // len(line)) + message[at + 2 :]


def by_dkimpy(key: SigningKey) -> Callable[[bytes], bytes]:
    if key.kind == "rsa":
        private = pem(key)
    else:
        private = b64encode(key.private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()))
    how = {"canonicalize": (b"relaxed", b"simple"), "signature_algorithm": f"{key.kind}-sha256".encode()}

    def sign(message: bytes) -> bytes:
        return dkim.sign(message, key.selector.encode(), DOMAIN.encode(), private, include_headers=list(SIGNED), **how)

    return sign


def cpu(sign: Callable[[bytes], bytes], message: bytes, times: int) -> float:
    """Microseconds of this process for each signature."""
    start = process_time()
    for _ in range(times):
        sign(message)
    return (process_time() - start) / times * 1e6
