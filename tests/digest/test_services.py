"""Service messages: written for nobody's words, printed once, first in the queue, in doubt sent once more, soon forgotten."""

import re
from datetime import timedelta
from email import message_from_bytes, policy
from html import unescape

import pytest
from sqlalchemy import event, func, select
from sqlmodel import SQLModel
from sqlmodel import select as rows

from digest import deliveries
from digest.bearers import bearer_of
from digest.channels.email import fill
from digest.consequences import Policy
from digest.database import reading, writing
from digest.deliveries import claim, deliver, due_services, resend_services, settle
from digest.deliveries.services import LEAVES_WITHIN
from digest.delivery_ids import TOKEN_LENGTH, delivery_id, delivery_token, purpose_of
from digest.errors import AccountError
from digest.events import hear
from digest.handover import opened_transports
from digest.links import Links
from digest.models import ServiceRow, SuppressionRow
from digest.paths import template_folders
from digest.posting import deliver_services
from digest.press import Press
from digest.render import Printer
from digest.retention import swept
from digest.services import Services, proof
from digest.settings import Settings
from digest.values import TO_READERS, DeliveryState, Event, EventKind, MailingState, Receipt, Recipient, ServiceKind
from subscribers.signup import KEPT, MessageWanted
from subscribers.tokens import address_hash
from tests.newsroom import KEYS, NOW, deliveries_of, morning, opened, readers
from tests.samples import BASE, sample_digest, sample_edition

TABLE = SQLModel.metadata.tables
LINKS, PRINTER = Links(BASE), Printer(template_folders())
ANA = address_hash(KEYS.hash_key, "ana@example.net")
READER = Recipient(
    number=1,
    delivery_id="d",
    address="ana@example.net",
    name="",
    token="T" * TOKEN_LENGTH,
    date="Thu, 06 Mar 2025 06:00:00 +0000",
)
TO = {"confirm": "/confirm/", "welcome": "/m/", "access": "/own/", "address": "/address/"}


@pytest.fixture
def house(engine, tmp_path):
    morning(engine)
    with writing(engine) as session:
        digest = TABLE["digest"]
        session.execute(
            digest.update().values(from_address="g@news.example.org", reply_to="e@news.example.org", wordmark="Global")
        )
    return Press(settings=Settings(home=tmp_path), engine=engine, keys=KEYS)


def wanted(kind=ServiceKind.CONFIRM, email="ana@example.net", subscriber=None):
    return MessageWanted(
        kind=kind, email=email, email_hash=address_hash(KEYS.hash_key, email), digest_id=1, language="en",
        subscriber_id=subscriber,
    )  # fmt: skip


def post(house, *messages, now=NOW):
    """Open them; their mailings."""
    found = []
    for one in messages or [wanted()]:
        printed = house.services.proof_id(one.kind, 1, one.language, now=now)
        with writing(house.engine) as session:
            found.append(house.services.open(session, one, printed, now=now))
    return found


def send(house, now=NOW):
    return deliver_services(house, now=lambda: now)


def mails(house):
    files = sorted(house.settings.outbox_folder.rglob("*.eml"))
    return [message_from_bytes(file.read_bytes(), policy=policy.default) for file in files]


def states(house):
    return [row.state for row in deliveries_of(house.engine)]


def mailing_states(house):
    with house.engine.begin() as connection:
        return list(connection.execute(select(TABLE["mailing"].c.state).order_by(TABLE["mailing"].c.id)).scalars())


# what they say ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize("kind", TO_READERS)
def test_each_kind_is_written_in_both_parts_around_its_one_link(kind, language):
    printed = proof(kind, sample_digest(), language, PRINTER, LINKS, latest=sample_edition(3, language=language))
    mail = message_from_bytes(fill(printed, READER), policy=policy.default)
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    text, html = (mail.get_body((part,)).get_content() for part in ("plain", "html"))
    link = f"{BASE}{TO[kind]}{'T' * TOKEN_LENGTH}"
    assert link in text
    assert f'href="{link}"' in html
    assert set(re.findall(r"https://news\.example\.org/\S+(?=\s)", text)) >= set(
        re.findall(r'href="([^"]+)"', unescape(html))
    )
    assert "The Daily Example, 1 Press Street" in text
    assert mail["Content-Language"] == language
    assert mail["Auto-Submitted"] == "auto-generated"
    assert "Precedence" not in mail
    assert max(len(line) for line in fill(printed, READER).split(b"\r\n")) < 998
    assert "\n\n\n" not in text.replace("\r\n", "\n")


def test_only_a_welcome_can_be_left_for_only_it_goes_to_a_subscriber():
    ways = {}
    for kind in TO_READERS:
        printed = proof(kind, sample_digest(), "en", PRINTER, LINKS)
        ways[kind] = message_from_bytes(fill(printed, READER), policy=policy.default)["List-Unsubscribe-Post"]
    assert ways == {**dict.fromkeys(TO_READERS), ServiceKind.WELCOME: "List-Unsubscribe=One-Click"}


def test_a_welcome_shows_the_latest_edition_with_its_stories_and_none_when_there_is_none():
    edition = sample_edition(4)
    with_it = proof(ServiceKind.WELCOME, sample_digest(), "en", PRINTER, LINKS, latest=edition)
    assert all(slot.headline in with_it.text for slot in edition.slots)
    assert edition.web_url in with_it.html
    assert "latest" not in proof(ServiceKind.WELCOME, sample_digest(), "en", PRINTER, LINKS).text


def test_a_message_is_printed_once_whoever_prints_it(house):
    first = house.services.proof_id("confirm", 1, "en", now=NOW)
    other = Services(house.engine, lambda: PRINTER, house.links, "outbox")
    assert other.proof_id("confirm", 1, "en", now=NOW) == first
    assert other.proof_id("confirm", 1, "es", now=NOW) != first
    with writing(house.engine) as session:
        session.execute(TABLE["digest"].update().values(postal_address="2 Press Street"))
    assert other.proof_id("confirm", 1, "en", now=NOW) != first, "a message says what is true today"


# how they leave -----------------------------------------------------------------------------------------------------


def test_a_message_leaves_once_and_its_books_are_closed(house):
    (mailing,) = post(house)
    assert send(house) == 1
    (mail,) = mails(house)
    assert mail["To"] == "ana@example.net"
    assert send(house) == 0
    assert len(mails(house)) == 1
    balance = deliveries.balance_of(house.engine, mailing)
    assert (balance.state, balance.handed, balance.balanced) == (MailingState.DONE, 1, True)
    assert next(house.settings.outbox_folder.rglob("*.eml")).parts[-5:-2] == ("global", "2026-11-23-service", "email")


def test_its_link_opens_for_what_it_is_for_and_nothing_else(house):
    post(house, *[wanted(kind) for kind in TO_READERS])
    send(house)
    links = [
        re.search(rf"/(confirm|m|own|address)/([\w-]{{{TOKEN_LENGTH}}})(?=\s)", mail.get_body(("plain",)).get_content())
        for mail in mails(house)
    ]
    purposes = {purpose_of(kind) for kind in TO_READERS}
    opened_by = {}
    with reading(house.engine) as session:
        for link in links:
            opens = [one for one in purposes if bearer_of(session.connection(), KEYS, link[2], purpose=one)]
            opened_by[link[1]] = opens
    assert opened_by == {"confirm": ["confirm"], "m": ["token"], "own": ["access"], "address": ["address"]}


def test_service_messages_are_claimed_before_an_edition_that_was_there_first(house):
    readers(house.engine, 120)
    edition = opened(house.engine, morning_of(house))
    (mailing,) = post(house)
    order = []
    while batch := claim(house.engine, owner="me", now=NOW, lease=60, transports=["outbox"], keys=KEYS):
        order.append(batch.mailing_id)
    assert order == [mailing, edition, edition, edition]


def morning_of(house):
    """The approved edition of the fixture, as tests.newsroom has it."""
    from tests.newsroom import Morning

    with reading(house.engine) as session:
        proofs = session.execute(select(TABLE["proof"].c.id).where(TABLE["proof"].c.edition_id == 1)).scalars().all()
    return Morning(digest=1, edition=1, proofs={("email", "", "en"): proofs[0]})


def test_a_run_for_service_messages_takes_nothing_of_an_edition(house):
    readers(house.engine, 60)
    opened(house.engine, morning_of(house))
    post(house)
    assert send(house) == 1
    assert states(house).count("queued") == 60
    assert len(mails(house)) == 1


def test_a_process_that_sends_an_edition_hands_over_service_messages_on_its_way(sqlite_engine, tmp_path):
    morning(sqlite_engine)
    with writing(sqlite_engine) as session:
        session.execute(
            TABLE["digest"]
            .update()
            .values(from_address="g@news.example.org", reply_to="e@news.example.org", wordmark="G")
        )
    house = Press(settings=Settings(home=tmp_path), engine=sqlite_engine, keys=KEYS)
    readers(sqlite_engine, 60)
    edition = opened(sqlite_engine, morning_of(house))
    post(house)
    with opened_transports(house.engine, house.settings) as transports:
        deliver(
            sqlite_engine,
            transports(edition),
            mailing=edition,
            keys=KEYS,
            lease=60,
            clock=lambda: NOW,
            others=transports,
        )
    assert len(mails(house)) == 61
    assert due_services(sqlite_engine, now=NOW), "its books are still to be closed"
    send(house)
    assert mailing_states(house) == [MailingState.DONE, MailingState.DONE]
    assert len(mails(house)) == 61


def test_a_suppressed_address_gets_no_service_message_either(house):
    (mailing,) = post(house)
    with writing(house.engine) as session:
        session.add(SuppressionRow(email_hash=ANA, reason="complaint", since=NOW))
    send(house)
    assert states(house) == [DeliveryState.SUPPRESSED]
    assert not mails(house)
    assert settle(house.engine, mailing, now=NOW).done


def test_what_was_forgotten_meanwhile_is_not_sent(house):
    post(house)
    with writing(house.engine) as session:
        session.execute(TABLE["service"].delete())
    send(house)
    assert states(house) == [DeliveryState.CANCELLED]
    assert not mails(house)


@pytest.mark.parametrize("kind", TO_READERS)
def test_what_could_not_leave_in_time_expires(house, kind):
    post(house, wanted(kind))
    send(house, now=NOW + LEAVES_WITHIN[kind])
    assert states(house) == [DeliveryState.EXPIRED]
    assert not mails(house)


class Wire:
    """A transport that answers as it is told."""

    appetite = 1

    def __init__(self, answer):
        self.answer, self.handed = answer, []

    def send(self, _proof, recipients, mark):
        for one in recipients:
            if mark([one.number]):
                self.handed.append(one)
                if isinstance(self.answer, Exception):
                    raise self.answer
                yield Receipt(number=one.number, state=self.answer)

    def prove(self, _proof, _recipient):
        return None


def hand(house, mailing, wire, now=NOW):
    return deliver(
        house.engine, {"outbox": wire}, mailing=mailing, keys=KEYS, lease=60, clock=lambda: now, kinds=["service"]
    )


def test_in_doubt_it_is_sent_once_more_under_the_same_identity_and_then_shown_as_unconfirmed(house):
    (mailing,) = post(house)
    wire = Wire(DeliveryState.AMBIGUOUS)
    hand(house, mailing, wire)
    assert resend_services(house.engine, now=NOW) == 1
    hand(house, mailing, wire)
    assert resend_services(house.engine, now=NOW) == 0
    hand(house, mailing, wire)
    assert len(wire.handed) == 2
    assert len(set(wire.handed)) == 1
    assert states(house) == [DeliveryState.AMBIGUOUS]


def test_a_refused_account_keeps_it_waiting_for_an_account_that_is_not(house, monkeypatch):
    post(house)
    monkeypatch.setattr("digest.transports.outbox.open_transport", lambda *_: Closing(AccountError("Wrong key.")))
    with pytest.raises(AccountError):
        send(house)
    assert mailing_states(house) == [MailingState.SENDING]


class Closing(Wire):
    def send(self, _proof, _recipients, _mark):
        yield from ()
        raise self.answer

    def close(self):
        return


def test_a_message_that_is_put_off_is_due_again_in_its_time(house):
    (mailing,) = post(house)
    hand(house, mailing, Wire(DeliveryState.DEFERRED))
    assert not due_services(house.engine, now=NOW)
    later = NOW + timedelta(minutes=6)
    assert due_services(house.engine, now=later) == [mailing]
    assert send(house, now=later) == 1
    assert len(mails(house)) == 1


# what comes back ----------------------------------------------------------------------------------------------------


def test_a_welcome_can_be_left_by_mail_and_what_a_server_says_of_a_confirmation_counts(house):
    (ana,) = readers(house.engine, 1)
    welcome, confirm = post(house, wanted(ServiceKind.WELCOME, subscriber=ana), wanted(email="ben@example.net"))
    send(house)
    told = [
        Event(delivery_token(KEYS, welcome, 1), EventKind.LEFT, NOW.timestamp() + 60),
        Event(
            delivery_id(KEYS.hash_key, mailing=confirm, number=1, opened=int(NOW.timestamp())),
            EventKind.BOUNCED,
            0.0,
            True,
        ),
    ]
    heard = hear(house.engine, told, keys=KEYS, policy=Policy(5, 30), provider="bounces", now=NOW + timedelta(hours=1))
    assert (heard.left, heard.suppressed) == (1, 1)
    with reading(house.engine) as session:
        assert session.scalar(select(TABLE["subscription"].c.state)) == "left"
        held = session.scalars(select(TABLE["suppression"].c.email_hash)).all()
    assert held == [address_hash(KEYS.hash_key, "ben@example.net")]


# what is kept -------------------------------------------------------------------------------------------------------


def test_after_a_week_their_addresses_are_gone_and_only_a_welcome_s_link_still_leads_somewhere(house):
    (ana,) = readers(house.engine, 1)
    made = post(house, *[wanted(kind, subscriber=ana) for kind in TO_READERS])
    send(house)
    swept(house.engine, house.settings, now=NOW + KEPT - timedelta(seconds=1))
    with reading(house.engine) as session:
        assert session.scalar(select(func.count()).select_from(TABLE["service"])) == 4
    swept(house.engine, house.settings, now=NOW + KEPT)
    with reading(house.engine) as session:
        (left,) = session.exec(rows(ServiceRow)).all()
        assert (left.kind, left.email) == ("welcome", "")
        alive = [
            kind for kind, mailing in zip(TO_READERS, made, strict=True)
            if bearer_of(session.connection(), KEYS, delivery_token(KEYS, mailing, 1, purpose_of(kind)), purpose=purpose_of(kind))
        ]  # fmt: skip
    assert alive == [ServiceKind.WELCOME]


def test_a_bearer_knows_whose_and_which_and_by_which_message(house):
    (ana,) = readers(house.engine, 1)
    (mailing,) = post(house, wanted(ServiceKind.ACCESS, subscriber=ana))
    token = delivery_token(KEYS, mailing, 1, "access")
    with reading(house.engine) as session:
        one = bearer_of(session.connection(), KEYS, token, purpose="access")
    assert (one.subscriber, one.digest, one.opened_at, one.email) == (ana, 1, NOW, "ana@example.net")
    assert re.fullmatch(r"[0-9a-f]{32}", one.proof)


def test_a_token_to_a_number_that_was_never_given_opens_nothing(house):
    (mailing,) = post(house)
    with reading(house.engine) as session:
        for number in (0, 2, 2**32 - 1):
            token = delivery_token(KEYS, mailing, number, "confirm")
            assert bearer_of(session.connection(), KEYS, token, purpose="confirm") is None
        assert bearer_of(session.connection(), KEYS, delivery_token(KEYS, 77, 1, "confirm"), purpose="confirm") is None


def test_looking_each_second_for_service_messages_reads_through_no_large_table(engine):
    """The books of every mailing and delivery there ever was stay; what waits is found by an index."""
    morning(engine)
    asked = []

    def note(*given):
        asked.append(given[2:4])

    event.listen(engine, "before_cursor_execute", note)
    due_services(engine, now=NOW)
    resend_services(engine, now=NOW)
    event.remove(engine, "before_cursor_execute", note)
    queries = [one for one in asked if one[0].startswith("SELECT")]
    assert len(queries) == 2
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            explain, scans = (
                "EXPLAIN QUERY PLAN",
                r"SCAN (?:mailing|delivery|batch|service)(?! USING INDEX ix_delivery_ambiguous)",
            )
        else:  # it reads through tables as small as these, unless it is told to use any index it can
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            explain, scans = "EXPLAIN", r"Seq Scan on (?:mailing|delivery|batch|service)\b"
        plans = [
            "\n".join(str(row[-1]) for row in connection.exec_driver_sql(f"{explain} {q}", given))
            for q, given in queries
        ]
    assert [re.findall(scans, plan) for plan in plans] == [[], []]
    assert "ix_mailing_kind" in plans[0]
    assert "ix_delivery_ambiguous" in plans[1]
