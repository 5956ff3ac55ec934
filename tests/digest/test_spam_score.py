"""SpamAssassin's own rules, offline: no better forecast of an inbox, but a gate that never moves."""

import os
import re
import shutil
import subprocess

import pytest

from digest.channels import email
from digest.links import Links
from digest.paths import template_folders
from digest.render import Printer
from digest.values import Recipient, Variant
from tests.samples import BASE, sample_edition

HIGHEST = -1.0
COMMAND = ["spamassassin", "-L", "-t", "--cf=use_bayes 0", "--cf=dns_available no"]


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "es", "ar"])
@pytest.mark.parametrize("look", ["full", "standard", "brief"])
@pytest.mark.parametrize("tracked", [False, True])
def test_a_mail_is_scored_as_a_wanted_one(look, language, tracked):
    if not shutil.which(COMMAND[0]):
        if os.environ.get("CI"):
            pytest.fail("spamassassin is not installed: apt-get install spamassassin")
        pytest.skip("spamassassin is not installed")
    variant = Variant(segment="", language=language, look=look)
    proof = email.proof(
        sample_edition(language=language), variant, Printer(template_folders()), Links(BASE, tracked=tracked)
    )
    reader = Recipient(
        number=1, delivery_id="d" * 40, address="ana@example.net", name="Ana García", token="T" * 28,
        date="Thu, 06 Mar 2025 06:00:00 +0000", trail="R" * 24,
    )  # fmt: skip
    done = subprocess.run(COMMAND, input=email.fill(proof, reader), capture_output=True, timeout=120, check=True)
    score, report = _score(done.stdout.decode("utf-8", "replace"))
    assert score <= HIGHEST, report


def _score(said: str) -> tuple[float, str]:
    report = said.partition("Content analysis details:")[2]
    found = re.search(r"\((-?\d+\.\d+) points", report)
    assert found, said[-2000:]
    return float(found[1]), report
