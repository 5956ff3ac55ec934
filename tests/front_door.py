"""A house with two digests whose readers' pages answer on loopback, a clock that tests turn, and the mails it wrote."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from html import unescape

import httpx
from fastapi import FastAPI
from sqlmodel import SQLModel

from digest import press as line
from digest.app import PALETTE, found
from digest.database import writing
from digest.models import CadenceRow, DigestRow, EditionRow, EditionVersionRow, SourceRow, StoryRow
from digest.posting import deliver_services
from digest.press import Press
from digest.values import EditionState
from digest.web import public
from digest.web.guard import Guard
from tests.answering import answering
from tests.laid import lay

NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)
SENDER = {
    "from_name": "Global Morning", "from_address": "global@news.example.org", "reply_to": "editors@news.example.org",
    "postal_address": "The Daily Example, 1 Press Street, 28001 Madrid", "zone": "Europe/Madrid",
}  # fmt: skip
ONE_CLICK = {"List-Unsubscribe": "One-Click"}
ANA, BEN = "ana@example.net", "ben@example.net"


@dataclass
class House:
    """The press, its application, a client of it, and what time it is there."""

    press: Press
    client: httpx.Client = None
    now: datetime = NOW

    def clock(self) -> datetime:
        return self.now

    def later(self, **time: float) -> None:
        self.now += timedelta(**time)

    def app(self) -> FastAPI:
        app = FastAPI(redirect_slashes=False)
        app.add_middleware(Guard)
        app.include_router(public.router(self.press, self.clock))
        return app

    # what leaves ------------------------------------------------------------------------------------------------------

    def send(self) -> None:
        deliver_services(self.press, now=self.clock)

    def mails(self, to: str = "") -> list[EmailMessage]:
        """All that left, in order."""
        files = sorted(
            self.press.settings.outbox_folder.glob("[!.]*/**/*.eml"), key=lambda file: file.stat().st_mtime_ns
        )
        found = [message_from_bytes(file.read_bytes(), policy=policy.default) for file in files]
        return [mail for mail in found if to in {"", mail["To"].addresses[0].addr_spec}]

    def link(self, to: str = "") -> str:
        """Send what waits; the path of the one link that the newest mail is about."""
        self.send()
        return path_in(self.mails(to)[-1])

    # what a reader does -----------------------------------------------------------------------------------------------

    def sign_up(self, email: str, digest: str = "global", **fields: str) -> httpx.Response:
        token = hidden(self.client.get(f"/d/{digest}").text, "token")
        self.later(seconds=3)
        return self.client.post(f"/d/{digest}", data={"email": email, "token": token, **fields})

    def subscribe(self, email: str, digest: str = "global", **fields: str) -> str:
        """From the page to the welcome; the path of the reader's preferences."""
        assert self.sign_up(email, digest, **fields).status_code == 200
        assert self.client.post(self.link(email)).status_code == 200
        return self.link(email)

    def publish(
        self, headline: str = "Ferries return to the northern strait", topics: Sequence[str] = ("",)
    ) -> EditionRow:
        """An edition, approved: one story for each of the topics, the first with that headline."""
        return line.approve(self.press, self.draft(headline, topics), who="eva", now=self.now)

    def draft(self, headline: str, topics: Sequence[str]) -> EditionRow:
        headlines = [headline, *(f"Story {n} of {topic}" for n, topic in enumerate(topics[1:], start=2))]
        with writing(self.press.engine) as session:
            source = SourceRow(name="desk", kind="text", location="/desk", added_at=self.now)
            session.add(source)
            session.flush()
            stories = [
                StoryRow(
                    source_id=source.id, key=f"k{n}", headline_key=f"h{n}", headline=words, url=f"https://example.org/{n}",
                    seen_at=self.now, changed_at=self.now, content_hash="c",
                )
                for n, words in enumerate(headlines, start=1)
            ]  # fmt: skip
            edition = EditionRow(
                digest_id=1, local_date=self.now.date(), state=EditionState.DRAFT, version=1, subject=headline,
                deadline_at=self.now, created_at=self.now, content_hash="e",
            )  # fmt: skip
            session.add_all([*stories, edition])
            session.flush()
            slots = [
                {
                    "position": n, "story": story.id, "kicker": "", "labels": {}, "headline": story.headline, "teaser": "",
                    "url": story.url, "language": "en", "minutes": 1, "image": "", "image_alt": "", "topic": topic,
                    "update": False, "source": "desk", "reasons": [], "score": 1.0, "signals": [], "pinned": False,
                    "published_at": None,
                }
                for n, (story, topic) in enumerate(zip(stories, topics, strict=True), start=1)
            ]  # fmt: skip
            content = {"subject": headline, "preheader": "", "intro": "", "slots": slots, "left_out": [], "notes": []}
            session.add(
                EditionVersionRow(
                    edition_id=edition.id, number=1, content=content, content_hash="e", by="eva", at=self.now
                )
            )
        return edition

    def deliver(self, edition: EditionRow) -> None:
        line.deliver(self.press, edition, now=self.clock)

    # what is on record ------------------------------------------------------------------------------------------------

    def rows(self, table: str) -> list:
        with self.press.engine.begin() as connection:
            return list(connection.execute(SQLModel.metadata.tables[table].select()))

    def everything(self) -> dict[str, list]:
        """Every row of every table."""
        return {name: self.rows(name) for name in SQLModel.metadata.tables}

    def set(self, table: str, **values: object) -> None:
        with self.press.engine.begin() as connection:
            connection.execute(SQLModel.metadata.tables[table].update().values(**values))


@contextmanager
def opened(home, **settings: object) -> Iterator[House]:
    """A house whose digests offer all wishes, and a client of it."""
    lay(home / "digest.sqlite")
    press = found(home, slug="global", fields={**SENDER, "section": "Global"}, now=NOW, **settings)
    with writing(press.engine) as session:
        fields = {**SENDER, "from_name": "The Weekend", "section": "Culture", "colours": PALETTE}
        session.add(
            DigestRow(
                slug="weekend", name="The Weekend", wordmark="The Weekend", channels=["email"], created_at=NOW, **fields
            )
        )
        session.flush()
        moment = {"since": NOW, "updated_at": NOW}
        for digest in (1, 2):  # so that all wishes are offered, and what is published leaves at once
            daily = CadenceRow(digest_id=digest, at="00:00", **moment)
            session.add_all([daily, CadenceRow(digest_id=digest, kind="weekly", local=True, **moment)])
    house = House(press)
    with answering(house.app()) as client:
        house.client = client
        yield house
    press.engine.dispose()


def path_in(mail: EmailMessage) -> str:
    """The path of the first link of ours in a mail's text."""
    text = mail.get_body(("plain",)).get_content()
    return re.search(r"http://localhost:8000(/(?:confirm|m|own|address)/[\w-]+)", text)[1]


def paths_in(mail: EmailMessage) -> list[str]:
    """The paths of every link of ours in a mail, in both parts and the headers."""
    parts = [unescape(mail.get_body((kind,)).get_content()) for kind in ("plain", "html")]
    found = re.findall(r"http://localhost:8000(/[^\s\"<>#]*)", " ".join([*parts, str(mail["List-Unsubscribe"])]))
    return sorted(set(found))


def hidden(page: str, name: str) -> str:
    """The value of a hidden field."""
    return unescape(re.search(rf'<input type="hidden" name="{name}" value="([^"]*)"', page)[1])


def words(page: str) -> str:
    """A page as it is read."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page.partition("<body>")[2])).split())


def wish(house, digest=1):
    """The one subscription there is to that digest."""
    (one,) = [row for row in house.rows("subscription") if row.digest_id == digest]
    return one


def titles(answer):
    return re.search(r"<title>([^<]*) ·", answer.text)[1]
