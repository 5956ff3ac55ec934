"""A house whose sender is ready, the DNS that speaks for it, and the ways it sends by."""

import os
import shutil
from pathlib import Path

import pytest

from digest import app
from digest.checkup import examine
from digest.dkim import pem
from tests.dns_stand_in import names
from tests.examined import DOMAIN, NOW, RSA, SENDER, WEBHOOK
from tests.sendgrid_stand_in import KEY
from tests.sendgrid_stand_in import stand_in as sendgrid
from tests.smtp_stand_in import stand_in


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """A home with one digest that is ready to be sent; tests work on copies."""
    home = tmp_path_factory.mktemp("doctor") / "press"
    app.found(home, slug="global", fields={"name": "Global", **SENDER}, now=NOW).engine.dispose()
    return home


@pytest.fixture
def home(prepared, tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("DIGEST_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(prepared, tmp_path / "press")
    return Path("press")


@pytest.fixture
def asked(home, monkeypatch):
    """Ask the doctor, with settings; findings as (what, verdict, words)."""

    def ask(*, offline=False, now=NOW, **settings):
        for name, value in settings.items():
            monkeypatch.setenv(f"DIGEST_{name.upper()}", str(value))
        return [(one.what, one.verdict, one.words) for one in examine(home, now=now, offline=offline)]

    return ask


@pytest.fixture
def zone():
    """A DNS that says all that should be said of the sender."""
    with names() as here:
        here.put(DOMAIN, "TXT", "v=spf1 include:relay.example.net ~all", "some-verification=1")
        here.put("relay.example.net", "TXT", "v=spf1 ip4:192.0.2.1 -all")
        here.put(DOMAIN, "MX", "10 mx.example.org.")
        here.put("example.org", "A", "192.0.2.2")
        here.put(f"news1._domainkey.{DOMAIN}", "TXT", RSA.record)
        here.put(f"_dmarc.{DOMAIN}", "TXT", f"v=DMARC1; p=reject; rua=mailto:dmarc@{DOMAIN}")
        yield here


@pytest.fixture
def sending(home, zone, tmp_path):
    """The settings of a house that sends by SMTP, signed, with a server that lets it in."""
    file = tmp_path / "news1.pem"
    file.write_bytes(pem(RSA))
    file.chmod(0o600)
    with stand_in() as server:
        yield {
            "email_transport": "smtp", "smtp_servers": f"127.0.0.1:{server.port}", "smtp_security": "none",
            "smtp_hello": "press.example.org", "dkim_keys": f"news1={file}", "dns_server": zone.server,
            "base_url": "https://news.example.org",
        }  # fmt: skip


@pytest.fixture
def by_sendgrid(home, zone):
    for selector in ("s1", "s2"):
        zone.put(f"{selector}._domainkey.{DOMAIN}", "CNAME", f"{selector}.domainkey.u1.wl1.sendgrid.net.")
        zone.put(f"{selector}.domainkey.u1.wl1.sendgrid.net", "TXT", RSA.record)
    with sendgrid() as there:
        yield there, {
            "email_transport": "sendgrid", "sendgrid_key": KEY, "sendgrid_host": there.host, "dns_server": zone.server,
            "base_url": "https://news.example.org", "sendgrid_webhook_key": WEBHOOK.setting,
        }  # fmt: skip
