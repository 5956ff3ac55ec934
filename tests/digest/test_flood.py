"""
Scripted sign-ups over real HTTP, from everywhere, in every spelling, by the form and by the program's door.

Two thousand, for they take minutes; ten thousand with SIGN_UPS=10000 before pytest.
"""

import asyncio
import json
import logging
import os
import re
from collections import Counter
from urllib.parse import urlencode

import pytest

from digest.checkup import signups
from digest.database import reading
from digest.web.site import build
from tests.answering import answering
from tests.front_door import hidden, opened

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
MANY = int(os.environ.get("SIGN_UPS", "2000"))
AT_ONCE, HOURS = 15, 4  # as many at once as there are connections to the database
MAILBOXES, BLOCKS = MANY * 3 // 10, 900
BLOCK, BRAKE = 20, 100  # an hour


def email_of(number: int) -> str:
    """Each mailbox in several spellings: it is one by its letters, large or small."""
    name = f"Reader{number % MAILBOXES}@Example{number % 7}.net"
    return (name, name.lower(), name.upper(), f" {name} ")[number // MAILBOXES % 4]


async def flood(host: str, port: int, token: str, numbers: range) -> Counter[int]:
    """Each sign-up from another network, in a program's own HTTP: a whole client would take longer than the server."""
    statuses: Counter[int] = Counter()
    waiting = iter(numbers)

    async def script() -> None:
        reader, writer = await asyncio.open_connection(host, port)
        for n in waiting:
            writer.write(request(n, token))
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(re.search(rb"content-length: (\d+)", head)[1]))
            statuses[int(head.split()[1])] += 1
        writer.close()

    await asyncio.gather(*(script() for _ in range(AT_ONCE)))
    return statuses


def request(n: int, token: str) -> bytes:
    fields, block = {"email": email_of(n), "token": token, "digest": "global"}, n * 7919 % BLOCKS
    path, kind, body = (
        ("/api/signup", "application/json", json.dumps(fields))
        if n % 2
        else ("/d/global", "application/x-www-form-urlencoded", urlencode(fields))
    )
    head = (
        f"POST {path} HTTP/1.1\r\nhost: news.example.org\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n"
        f"x-forwarded-for: 10.{block // 250}.{block % 250}.{n % 250 + 1}\r\n\r\n"
    )
    return f"{head}{body}".encode()


def test_one_confirmation_for_each_mailbox_and_day_the_brake_trips_and_ops_are_told(tmp_path, caplog):
    with (
        opened(tmp_path / "home", signup_block=BLOCK, signup_brake=BRAKE, trusted_proxies="127.0.0.1") as house,
        answering(build(house.press, clock=house.clock)) as client,
        caplog.at_level(logging.ERROR),
    ):
        statuses: Counter[int] = Counter()
        share = MANY // HOURS
        for hour in range(HOURS):
            token = hidden(client.get("/d/global").text, "token")
            house.later(seconds=3)
            statuses += asyncio.run(
                flood(client.base_url.host, client.base_url.port, token, range(hour * share, (hour + 1) * share))
            )
            house.later(hours=1)
            told = [row for row in house.rows("audit") if row.did == "brake sign-ups"]
            assert len(told) == hour + 1, "once an hour, and no more"
        assert sum(statuses.values()) == MANY
        assert statuses.keys() == {200, 202, 503} or statuses.keys() == {200, 202, 429, 503}, statuses
        house.later(hours=-1)
        with reading(house.press.engine) as session:
            found = signups.look(session, house.press.settings, house.now)
        assert found.verdict == "bad", "digest doctor ends with exit code 1"
        assert "braked" in found.words
        assert caplog.text.count("Sign-ups are braked") == HOURS
        assert "example" not in caplog.text.lower().replace("global@news.example.org", "")

        wanted = Counter(row.email.lower() for row in house.rows("service"))
        assert max(wanted.values()) == 1, "all of it was within one day"
        assert len(wanted) == BRAKE * HOURS
        assert not house.rows("subscriber")
        house.send()
        to = Counter(mail["To"].addresses[0].addr_spec.lower() for mail in house.mails())
        assert (max(to.values()), sum(to.values())) == (1, BRAKE * HOURS)
