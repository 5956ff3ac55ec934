"""Two verifiers that are not ours: dkimpy, and Perl's Mail::DKIM. Both ask a DNS server on loopback for the keys."""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import dkim
import pytest
from dns.resolver import NXDOMAIN, NoAnswer, Resolver

from tests.dns_stand_in import Names

PROGRAM = r"""
use strict; use warnings;
use Net::DNS; use Mail::DKIM::Verifier; use Mail::DKIM::DNS;
my $port = shift @ARGV;
Mail::DKIM::DNS::resolver(Net::DNS::Resolver->new(nameservers => ['127.0.0.1'], port => $port, recurse => 1));
for my $file (@ARGV) {
    open(my $in, '<:raw', $file) or die "$file: $!";
    my $dkim = Mail::DKIM::Verifier->new();
    $dkim->PRINT($_) while <$in>;
    $dkim->CLOSE();
    print join(' ', map { $_->algorithm . '=' . $_->result } $dkim->signatures), "\n";
}
"""
NEEDS = "the Debian package libmail-dkim-perl"


def by_dkimpy(names: Names, message: bytes) -> list[bool]:
    """Of each signature, whether it holds."""
    resolver = Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], names.port

    def text_of(name: bytes, timeout: float = 5) -> bytes | None:
        try:
            answer = resolver.resolve(name.decode(), "TXT", lifetime=timeout)
        except (NXDOMAIN, NoAnswer):
            return None
        return b"".join(answer[0].strings)

    count = len(re.findall(rb"(?im)^dkim-signature:", message.partition(b"\r\n\r\n")[0]))
    return [holds(message, at, text_of) for at in range(count)]


def holds(message: bytes, at: int, text_of: object) -> bool:
    try:
        return dkim.DKIM(message).verify(at, dnsfunc=text_of)
    except dkim.DKIMException:
        return False


def by_mail_dkim(names: Names, folder: Path, messages: Sequence[bytes]) -> list[dict[str, str]]:
    """Of each message, what was found for each algorithm that signed it: pass, fail or invalid."""
    demand_mail_dkim()
    files = [folder / f"{at}.eml" for at in range(len(messages))]
    for file, message in zip(files, messages, strict=True):
        file.write_bytes(message)
    command = ["perl", "-e", PROGRAM, str(names.port), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return [dict(word.split("=") for word in line.split()) for line in done.stdout.splitlines()]


@cache
def demand_mail_dkim() -> None:
    asked = ["perl", "-MMail::DKIM::Verifier", "-e", "1"]
    if not shutil.which(asked[0]) or subprocess.run(asked, capture_output=True, check=False).returncode:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"Mail::DKIM is not installed: it is {NEEDS}")
