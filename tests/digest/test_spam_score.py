"""SpamAssassin's own rules, offline: no better forecast of an inbox, but a gate that never moves."""

import os
import re
import shutil
import subprocess
from itertools import product

import pytest

from digest.channels import email
from digest.links import Links
from digest.paths import template_folders
from digest.render import Printer
from digest.values import Recipient, Variant
from tests.samples import BASE, sample_edition

HIGHEST = -1.0
COMMAND = ["spamassassin", "-L", "-t", "--cf=use_bayes 0", "--cf=dns_available no"]


KINDS = list(product(["full", "standard", "brief"], ["en", "es", "ar"], [False, True]))


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What it says of a mail of each kind; it is started once, for it reads its rules for longer than the mails."""
    if not shutil.which(COMMAND[0]):
        if os.environ.get("CI"):
            pytest.fail("spamassassin is not installed: apt-get install spamassassin")
        pytest.skip("spamassassin is not installed")
    folder = tmp_path_factory.mktemp("mails")
    files = [folder / f"{number:02}.eml" for number in range(len(KINDS))]
    for number, (file, kind) in enumerate(zip(files, KINDS, strict=True)):
        file.write_bytes(mail(number, *kind))
    done = subprocess.run([*COMMAND, *files], capture_output=True, timeout=170, check=True)
    output = done.stdout.decode("utf-8", "replace")
    told = re.split(r"(?m)^Message-ID: <d{38}(\d\d)@.*$", output)[1:]
    return {KINDS[int(number)]: words for number, words in zip(told[::2], told[1::2], strict=True)}


def mail(number, look, language, tracked):
    variant = Variant(segment="", language=language, look=look)
    proof = email.proof(
        sample_edition(language=language), variant, Printer(template_folders()), Links(BASE, tracked=tracked)
    )
    reader = Recipient(
        number=1, delivery_id=f"{'d' * 38}{number:02}", address="ana@example.net", name="Ana García", token="T" * 28,
        date="Thu, 06 Mar 2025 06:00:00 +0000", trail="R" * 24,
    )  # fmt: skip
    return email.fill(proof, reader)


@pytest.mark.slow
@pytest.mark.parametrize(("look", "language", "tracked"), KINDS)
def test_a_mail_is_scored_as_a_wanted_one(said, look, language, tracked):
    score, report = _score(said[look, language, tracked])
    assert score <= HIGHEST, report


def _score(said: str) -> tuple[float, str]:
    (report,) = said.split("Content analysis details:")[1:]
    found = re.search(r"\((-?\d+\.\d+) points", report)
    assert found, said[-2000:]
    return float(found[1]), report
