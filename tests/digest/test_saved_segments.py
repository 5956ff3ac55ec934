"""Saved segments: kept only where they and those that ask for them can be read, and an edition keeps the readers it had."""

from dataclasses import dataclass
from datetime import timedelta

import pytest
from sqlalchemy import event
from sqlmodel import SQLModel, select

from digest import proofs, segments
from digest.app import found
from digest.checkup import examine
from digest.database import reading, writing
from digest.deliveries import balance_of, claim, mark, record
from digest.errors import NotFoundError, NotReadyError
from digest.models import AuditRow, DigestRow
from digest.segments import InUseError, RuleError
from digest.settings import Settings
from digest.values import DeliveryState, Receipt
from subscribers.segments import Names, TrackingError
from tests.newsroom import KEYS, NOW, deliveries_of, morning, opened, readers, set_wish, suppress

OFF = Settings(_env_file=None)
PERSONAL = Settings(_env_file=None, tracking="personal")
PEOPLE = SQLModel.metadata.tables["subscriber"]


@dataclass
class House:
    """A database with a digest, and segments saved in it as a person would."""

    engine: object

    def save(self, name, rule, description="", settings=OFF):
        with writing(self.engine) as session:
            segments.save(session, name, rule, description, who="ola", now=NOW, settings=settings)

    def remove(self, name):
        with writing(self.engine) as session:
            segments.remove(session, name, who="ola", now=NOW)

    def rules(self):
        with reading(self.engine) as session:
            return {row.name: row.rule for row in segments.saved(session)}

    def set_digest(self, *names):
        with writing(self.engine) as session:
            session.exec(select(DigestRow)).one().segments = list(names)


@pytest.fixture
def house(engine):
    morning(engine)
    return House(engine)


def test_a_segment_is_saved_changed_and_its_description_kept(house):
    house.save("payers", 'plan = "paid"', "those who pay")
    house.save("payers", 'plan in ("paid", "trial")')
    with reading(house.engine) as session:
        row = segments.named(session, "payers")
    assert (row.rule, row.description) == ('plan in ("paid", "trial")', "those who pay")


@pytest.mark.parametrize("name", ["", " payers", "a,b", 'the "best"', "it's", "a\nb", "x" * 81])
def test_a_name_that_a_rule_or_a_digest_could_not_say_is_refused(house, name):
    with pytest.raises(NotFoundError, match="no quotes and no commas"):
        house.save(name, "everyone")
    assert house.rules() == {}


def test_a_rule_that_cannot_be_read_is_not_saved(house):
    house.save("payers", 'plan = "paid"')
    with pytest.raises(RuleError, match=r"Column 1: there is no field 'plam'\. Did you mean plan\?") as told:
        house.save("payers", 'plam = "x"')
    assert (told.value.exit_code, told.value.fault.column) == (2, 1)
    assert house.rules() == {"payers": 'plan = "paid"'}


def test_a_segment_may_not_lead_back_to_itself(house):
    house.save("a", "everyone")
    house.save("b", 'segment("a")')
    with pytest.raises(RuleError, match='cannot ask for itself: "a" → "b" → "a"'):
        house.save("a", 'not segment("b")')
    with pytest.raises(RuleError, match='cannot ask for itself: "new" → "new"'):
        house.save("new", 'segment("new")')


def test_a_change_that_others_could_not_follow_is_refused(house):
    house.save("s5", "everyone")
    for number in range(4, 0, -1):
        house.save(f"s{number}", f'segment("s{number + 1}")')
    house.save("deep", "everyone")
    with pytest.raises(RuleError, match=r'With this rule, segment "s1" could not be read\. .*at most 5 deep'):
        house.save("s5", 'segment("deep")')
    assert house.rules()["s5"] == "everyone"


def test_a_segment_that_could_not_be_read_before_holds_nobody_up(house):
    house.save("quiet", "never opened", settings=PERSONAL)
    house.save("payers", 'plan = "paid"', settings=OFF)
    assert set(house.rules()) == {"quiet", "payers"}


def test_what_is_in_use_stays_and_its_users_are_named(house):
    house.save("payers", 'plan = "paid"')
    house.save("evening", 'segment("payers") and language = "es"')
    house.set_digest("payers", "evening")
    with pytest.raises(InUseError, match='in use by the digest global, the segment "evening"') as told:
        house.remove("payers")
    assert told.value.exit_code == 3
    house.set_digest("evening")
    with pytest.raises(InUseError, match='in use by the segment "evening"'):
        house.remove("payers")
    house.set_digest()
    house.remove("evening")
    house.remove("payers")
    assert house.rules() == {}
    with pytest.raises(NotFoundError, match="There is no segment 'payers'"):
        house.remove("payers")


def test_who_changed_a_segment_is_written_down(house):
    house.save("payers", 'plan = "paid"')
    house.save("payers", 'plan = "trial"')
    house.remove("payers")
    with reading(house.engine) as session:
        rows = session.exec(select(AuditRow).where(AuditRow.subject == "segment").order_by(AuditRow.id)).all()
    assert [(row.who, row.did, row.detail["rule"]) for row in rows] == [
        ("ola", "segment add", 'plan = "paid"'), ("ola", "segment add", 'plan = "trial"'),
        ("ola", "segment remove", 'plan = "trial"'),
    ]  # fmt: skip


# tracking -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tracking", ["off", "aggregate"])
def test_a_rule_on_opens_is_not_saved_unless_tracking_is_personal(house, tracking):
    with pytest.raises(RuleError, match="DIGEST_TRACKING=personal") as told:
        house.save(
            "quiet", "tracked and not opened within 90 days", settings=Settings(_env_file=None, tracking=tracking)
        )
    assert isinstance(told.value.fault, TrackingError)
    house.save("quiet", "tracked and not opened within 90 days", settings=PERSONAL)


def test_an_edition_to_a_segment_that_cannot_be_read_any_more_does_not_leave(house):
    house.save("quiet", "never opened", settings=PERSONAL)
    house.set_digest("quiet")
    with reading(house.engine) as session:
        digest = session.exec(select(DigestRow)).one()
        digest.channels = ["email"]
        assert [one.rule for one in proofs.wanted(session, digest, PERSONAL, now=NOW)] == ["never opened"]
        with pytest.raises(
            NotReadyError, match=r"Segment 'quiet' cannot be read\. Column 7: .*DIGEST_TRACKING=personal"
        ):
            proofs.wanted(session, digest, OFF, now=NOW)


def test_the_doctor_names_a_segment_that_cannot_be_read(tmp_path, monkeypatch):
    for name in Settings.model_fields:
        monkeypatch.delenv(f"DIGEST_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)
    press = found(tmp_path / "home", slug="global", fields={}, now=NOW)
    House(press.engine).save("quiet", "never opened", settings=PERSONAL)
    found_out = {finding.what: finding for finding in examine(tmp_path / "home", now=NOW)}
    assert found_out["segment"].verdict == "warn"
    assert "quiet cannot be read: Column 7" in found_out["segment"].words


# an edition keeps the readers it had ----------------------------------------------------------------------------------


def take(engine, now=NOW):
    return claim(engine, owner="me", now=now, lease=60, transports=["outbox"], keys=KEYS)


def hand_over(engine, batch):
    mark(engine, batch, [one.number for one in batch.recipients], now=NOW)
    record(
        engine, batch, [Receipt(number=one.number, state=DeliveryState.ACCEPTED) for one in batch.recipients], now=NOW
    )
    return {one.address for one in batch.recipients}


def test_members_are_settled_at_the_fill_whatever_rules_and_readers_become(engine):
    """A run that is broken off and resumed goes to the same readers, but for those who left or may not be reached."""
    house = morning(engine, [("email", "payers", "en")])
    payers, others = readers(engine, 120, plan="paid"), readers(engine, 40, plan="free")
    names = Names(segments={"paid": 'plan = "paid"'})
    share = house.share("email", "payers", "en", 'segment("paid") and joined within 2 months')
    mailing = opened(engine, house, [share], names=names)
    assert {row.subscriber_id for row in deliveries_of(engine)} == set(payers)
    first = hand_over(engine, take(engine))

    with engine.begin() as connection:  # everybody changes sides, and everybody joined long ago
        paid = PEOPLE.c.id.in_(payers)
        connection.execute(PEOPLE.update().where(paid).values(plan=None, joined_at=NOW - timedelta(days=900)))
        connection.execute(PEOPLE.update().where(~paid).values(plan="paid"))
    latecomers = readers(engine, 10, plan="paid")
    left, bounced = payers[-1], payers[-2]
    set_wish(engine, left, state="left")
    suppress(engine, bounced)
    other_rule = house.share("email", "payers", "en", 'plan = "free"')
    assert opened(engine, house, [other_rule], names=Names(segments={"paid": 'plan = "free"'})) == mailing

    rest = hand_over(engine, take(engine)) | hand_over(engine, take(engine))
    assert take(engine) is None
    assert first.isdisjoint(rest)
    assert first | rest == {f"reader{number}@example.net" for number in payers} - {
        f"reader{left}@example.net", f"reader{bounced}@example.net",
    }  # fmt: skip
    assert not {row.subscriber_id for row in deliveries_of(engine)} & {*others, *latecomers}
    assert balance_of(engine, mailing).candidates == 120


def test_a_rule_may_ask_for_segments_and_digests_at_the_fill(engine):
    house = morning(engine, [("email", "s", "en")])
    (spain,), _ = readers(engine, 1, country="ES"), readers(engine, 3)
    names = Names(segments={"spain": 'country = "ES"'}, digests={"global": house.digest})
    opened(engine, house, [house.share("email", "s", "en", 'segment("spain") and reads "global"')], names=names)
    assert [row.subscriber_id for row in deliveries_of(engine)] == [spain]


def test_a_fill_asks_other_tables_for_each_batch_alone(sqlite_engine):
    """What a rule asks of other tables is looked up reader by reader: a list made anew for each batch would be quadratic."""
    house = morning(sqlite_engine, [("email", "s", "en")])
    readers(sqlite_engine, 400)
    rule = 'not topics has "x" and reads "global" and not opened within 3 days and not clicked at least 2 times'
    statements = []
    with sqlite_engine.connect() as connection:
        event.listen(
            sqlite_engine, "before_cursor_execute", lambda c, cursor, sql, given, *rest: statements.append((sql, given))
        )
        names = Names(digests={"global": house.digest}, personal=True)
        opened(sqlite_engine, house, [house.share("email", "s", "en", rule)], names=names)
        fills = [(sql, given) for sql, given in statements if sql.startswith("INSERT INTO delivery")]
        assert len(fills) == 9
        plan = "\n".join(row[3] for row in connection.exec_driver_sql("EXPLAIN QUERY PLAN " + fills[0][0], fills[0][1]))
    assert plan.count("CORRELATED SCALAR SUBQUERY") >= 4
    assert "LIST SUBQUERY" not in plan
    assert "SCAN activity" not in plan
    assert "SCAN wish" not in plan
