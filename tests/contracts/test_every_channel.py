"""What holds for every channel, found by its folder: a new one is held to it as soon as its file is there."""

import pytest

from digest.links import Links
from digest.parts import load_part, part_names
from digest.paths import template_folders
from digest.render import Printer
from digest.splice import pack, unpack
from digest.values import Proof, Recipient, Variant
from tests.samples import BASE, sample_edition

PRINTER = Printer(template_folders())
READER = Recipient(
    number=1,
    delivery_id="d" * 40,
    address="ana@example.net",
    name="Ana",
    token="T" * 28,
    date="Thu, 06 Mar 2025 06:00:00 +0000",
)

pytestmark = pytest.mark.parametrize("name", part_names("channels"))


def printed(name: str, n: int = 8, language: str = "en") -> Proof:
    return load_part("channels", name).proof(
        sample_edition(n, language), Variant(segment="s", language=language), PRINTER, Links(BASE)
    )


def test_a_proof_names_its_channel_and_variant(name):
    proof = printed(name)
    assert (proof.channel, proof.variant.segment) == (name, "s")
    assert proof.subject == sample_edition().subject
    assert len(proof.content_hash) == 64


def test_the_same_edition_prints_the_same_bytes(name):
    assert printed(name) == printed(name)
    assert printed(name, 7).content_hash != printed(name, 8).content_hash


def test_a_stored_proof_fills_as_the_fresh_one_does(name):
    proof = printed(name)
    channel = load_part("channels", name)
    stored = Proof(
        **{field: getattr(proof, field) for field in Proof.__dataclass_fields__}
        | {"compiled": unpack(pack(proof.compiled))}
    )
    assert channel.fill(stored, READER) == channel.fill(proof, READER)


@pytest.mark.parametrize("language", ["en", "es", "ar"])
def test_a_filled_message_has_no_mark_left(name, language):
    assert b"blank-" not in load_part("channels", name).fill(printed(name, language=language), READER)


@pytest.mark.parametrize("n", [1, 2, 10])
def test_an_edition_of_any_length_prints(name, n):
    assert load_part("channels", name).fill(printed(name, n), READER)
