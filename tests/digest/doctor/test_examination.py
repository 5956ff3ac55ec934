"""What `digest doctor` finds, and that it always ends: a house in order, and the command as a whole."""

import json
import socket
import subprocess
import sys
from time import monotonic

from tests.examined import DOMAIN, ROOT, change, of, verdicts

# a house in order ---------------------------------------------------------------------------------------------------


def test_a_house_in_order_has_nothing_to_mend(asked, sending):
    found = asked(**sending)
    can = "not encrypted, no login, PIPELINING, 8BITMIME, SMTPUTF8, messages up to 10 MB"
    assert of(found, "spf", "dkim", "dmarc", "mx", "smtp", "dns") == [
        ("smtp", "good", f"{sending['smtp_servers']} lets us in: {can}"),
        ("spf", "good", f"{DOMAIN}: v=spf1 include:relay.example.net ~all"),
        ("dkim", "good", f"news1._domainkey.{DOMAIN} holds our key"),
        ("dmarc", "good", f"{DOMAIN}: p=reject by _dmarc.{DOMAIN}"),
        ("mx", "good", "example.org takes mail"),
        ("mx", "good", f"{DOMAIN} takes mail at mx.example.org"),
    ]
    assert [one for one in found if one[1] == "bad"] == []
    assert {what for what, _, _ in found} >= {"settings", "base address", "secrets", "dkim key", "templates", "disk",
                                              "database", "digest", "clock", "zones"}  # fmt: skip


def test_offline_nobody_is_asked(asked, sending, zone, home):
    found = asked(offline=True, **sending)
    assert of(found, "spf", "dkim", "dmarc", "mx", "smtp", "dns") == []
    assert verdicts(found, "database") == ["good"]
    assert zone.asked.total() == 0


def test_while_all_goes_to_the_outbox_nothing_need_be_published_yet(asked, zone):
    zone.records.clear()
    found = asked(dns_server=zone.server)
    assert {verdict for _, verdict, _ in of(found, "spf", "dkim", "dmarc", "mx")} == {"warn"}
    assert [one for one in found if one[1] == "bad"] == []


def test_a_house_whose_sender_is_not_set_yet_asks_no_dns(asked, zone, home):
    change(home, from_address="global@newsroom.invalid")
    asked(dns_server=zone.server)
    assert zone.asked.total() == 0


# all of it, as a command --------------------------------------------------------------------------------------------


def run(tmp_path, *words, program=None, **settings):
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "200"}
    environment |= {f"DIGEST_{name.upper()}": str(value) for name, value in settings.items()}
    command = [sys.executable, *(["-c", program] if program else ["-m", "digest"]), "--home", "press", *words]
    return subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30, check=False
    )


def test_the_exit_code_says_whether_anything_must_be_mended(tmp_path, sending, zone):
    done = run(tmp_path, "doctor", **sending)
    assert (done.returncode, "mend" in done.stdout) == (0, False), done.stdout
    del zone.records[f"_dmarc.{DOMAIN}"]
    done = run(tmp_path, "doctor", "--json", **sending)
    assert done.returncode == 1
    bad = [one for one in json.loads(done.stdout) if one["verdict"] == "bad"]
    assert [one["what"] for one in bad] == ["dmarc"]
    assert run(tmp_path, "doctor", "--offline", **sending).returncode == 0


HANGS = """
import socket, sys, time
def hang(*_, **__): time.sleep(60)
for name in ("getaddrinfo", "getfqdn", "gethostbyaddr"): setattr(socket, name, hang)
from digest.__main__ import main
main()
"""


def test_with_all_networks_dead_the_doctor_is_done_within_seconds(tmp_path, sending, zone):
    """A resolver that hangs, a database that takes the connection and says nothing, a DNS that answers nothing."""
    zone.mute = True
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        own = {"smtp_servers": "smtp.example.org,127.0.0.1:1", "smtp_hello": "", "dns_server": zone.server}
        start = timed(lambda: run(tmp_path, "doctor", "--offline", **sending))[0]
        for database in ("", f"postgresql://nobody@127.0.0.1:{port}/digest"):
            named = {**sending, **own, "database": database}
            seconds, done = timed(lambda: run(tmp_path, "doctor", "--json", program=HANGS, **named))  # noqa: B023
            assert seconds - start < 4.5, "beside the start of Python itself"
            bad = {one["what"] for one in json.loads(done.stdout) if one["verdict"] == "bad"}
            assert bad == ({"smtp", "database"} if database else {"smtp", "dns"})
            assert (done.returncode, done.stderr) == (1, "")


def timed(call):
    began = monotonic()
    done = call()
    return monotonic() - began, done
