"""The fill: who gets a delivery, of which proof, in which state; all of it or nothing, and once."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event
from sqlmodel import select

from digest.database import reading, writing
from digest.deliveries import balance_of, open_mailing
from digest.errors import NotReadyError, StorageError
from digest.models import BatchRow, EditionRow, MailingRow
from tests.newsroom import DEADLINE, NOW, deliveries_of, morning, opened, readers, set_wish, suppress

EN, ES = ("email", "", "en"), ("email", "", "es")


def states(engine):
    return {row.subscriber_id: (row.state, row.reason) for row in deliveries_of(engine)}


def test_every_reader_gets_one_delivery_and_batches_hold_stretches_of_numbers(engine):
    house = morning(engine)
    ids = readers(engine, 120)
    opened(engine, house)
    rows = deliveries_of(engine)
    assert [row.number for row in rows] == list(range(1, 121))
    assert [row.subscriber_id for row in rows] == ids
    assert {row.month for row in rows} == {202611}
    with reading(engine) as session:
        rows = session.exec(select(BatchRow).order_by(BatchRow.id))
        spans = [(batch.first_number, batch.last_number, batch.state) for batch in rows]
    assert spans == [(1, 50, "ready"), (51, 100, "ready"), (101, 120, "ready")]
    assert balance_of(engine, 1).candidates == 120


def test_paused_and_suppressed_readers_have_rows_too_and_those_who_left_have_none(engine):
    house = morning(engine)
    wants, paused, back, left, unconfirmed, bounced = readers(engine, 6)
    set_wish(engine, paused, state="paused", paused_until=DEADLINE)
    set_wish(engine, back, state="paused", paused_until=NOW)
    set_wish(engine, left, state="left")
    set_wish(engine, unconfirmed, state="pending")
    suppress(engine, bounced)
    opened(engine, house)
    assert states(engine) == {
        wants: ("queued", ""),
        back: ("queued", ""),
        paused: ("skipped", "paused"),
        bounced: ("suppressed", "suppressed"),
    }


def test_no_address_is_kept_with_a_delivery(engine):
    house = morning(engine, [EN, ("push", "", "en")])
    (one,) = readers(engine, 1, channels=("email", "push"))
    opened(engine, house, [house.share(), house.share("push")])
    email, push = deliveries_of(engine)
    assert (len(email.target), int(email.target, 16) > 0) == (32, True)
    assert push.target == f"device-{one}"


def test_several_devices_of_a_reader_each_get_the_push(engine):
    house = morning(engine, [("push", "", "en")])
    ids = readers(engine, 55, channels=("push",))
    with engine.begin() as connection:
        wishes = MailingRow.metadata.tables["subscription"]
        more = [
            {"subscriber_id": one, "digest_id": 1, "channel": "push", "device": f"second-{one}", "state": "active",
             "consent_source": "", "consent_wording": ""} for one in ids
        ]  # fmt: skip
        connection.execute(wishes.insert(), more)
    opened(engine, house, [house.share("push")])
    assert len({row.target for row in deliveries_of(engine)}) == 110


def test_opening_again_changes_nothing(engine):
    house = morning(engine)
    readers(engine, 3)
    first = opened(engine, house)
    readers(engine, 3)
    assert opened(engine, house) == first
    assert len(deliveries_of(engine)) == 3


def test_the_first_segment_whose_rule_a_reader_meets_decides(engine):
    spain, rest = ("email", "spain", "en"), ("email", "rest", "en")
    house = morning(engine, [spain, rest])
    both, only, neither = (
        readers(engine, 1, country="ES", plan="paid")[0],
        readers(engine, 1, plan="paid")[0],
        readers(engine, 1)[0],
    )
    opened(
        engine, house, [house.share(*spain, 'country = "ES"'), house.share(*rest, 'plan = "paid" or country = "ES"')]
    )
    chosen = {row.subscriber_id: row.proof_id for row in deliveries_of(engine)}
    assert chosen == {both: house.proofs[spain], only: house.proofs[rest]}
    assert neither not in chosen


def test_a_reader_gets_their_language_or_the_digests_own(engine):
    house = morning(engine, [ES, EN])
    wanted = {"es": ES, "es-MX": ES, "ES": ES, "en": EN, "ar": EN, "est": EN, "": EN}
    ids = {readers(engine, 1, language=language)[0]: proof for language, proof in wanted.items()}
    opened(engine, house, [house.share(*ES), house.share(*EN)])
    chosen = {row.subscriber_id: row.proof_id for row in deliveries_of(engine)}
    assert chosen == {one: house.proofs[proof] for one, proof in ids.items()}


def test_a_region_that_is_printed_goes_before_its_language(engine):
    mexico = ("email", "", "es-MX")
    house = morning(engine, [ES, mexico, EN])
    ids = [readers(engine, 1, language=language)[0] for language in ("es", "es-AR", "es-MX", "en")]
    opened(engine, house, [house.share(*ES), house.share(*mexico), house.share(*EN)])
    chosen = {row.subscriber_id: row.proof_id for row in deliveries_of(engine)}
    assert [chosen[one] for one in ids] == [house.proofs[key] for key in (ES, ES, mexico, EN)]


RULES = ('language = "es"', 'plan = "paid"', 'not plan = "paid"', 'country in ("ES", "MX")', "")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(RULES), min_size=1, max_size=3),
    st.lists(
        st.tuples(
            st.sampled_from(["en", "es", "es-MX", "pt"]),
            st.sampled_from([None, "paid", "x"]),
            st.sampled_from([None, "ES"]),
        ),
        max_size=12,
    ),
    st.lists(st.sampled_from(["en", "es", "es-MX"]), min_size=1, max_size=3, unique=True),
)
def test_whatever_the_rules_and_languages_the_parts_never_overlap_and_leave_nobody_out(
    sqlite_engine, rules, people, printed
):
    engine = sqlite_engine
    with engine.begin() as connection:
        for table in ("delivery", "batch", "mailing", "proof", "edition", "subscription", "subscriber", "digest"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
    variants = [("email", f"s{n}", language) for n in range(len(rules)) for language in printed]
    house = morning(engine, variants)
    for language, plan, country in people:
        readers(engine, 1, digest=house.digest, language=language, plan=plan, country=country)
    shares = [house.share(*key, rules[int(key[1][1:])]) for key in variants]
    mailing = opened(engine, house, shares)
    let_in = len(deliveries_of(engine))
    assert balance_of(engine, mailing).candidates == let_in
    if "" in rules or {'plan = "paid"', 'not plan = "paid"'} <= set(rules):
        assert let_in == len(people)


def test_an_edition_that_nobody_approved_is_not_filled(engine):
    house = morning(engine)
    with writing(engine) as session:
        session.get(EditionRow, house.edition).state = "draft"
    with pytest.raises(NotReadyError, match="draft; approve it"):
        opened(engine, house)


def test_a_version_that_was_not_the_approved_one_is_not_filled(engine):
    house = morning(engine)
    with pytest.raises(NotReadyError, match="Version 7 was printed, but version 1 is approved"):
        open_mailing(
            engine, edition_id=house.edition, version=7, digest_id=1, shares=[house.share()], now=NOW, expires_at=DEADLINE
        )  # fmt: skip


def test_a_rule_that_cannot_be_read_names_its_segment(engine):
    house = morning(engine)
    with pytest.raises(NotReadyError, match=r"Segment '' cannot be read. Column 1"):
        opened(engine, house, [house.share(rule='contry = "ES"')])


def test_a_failure_in_the_middle_leaves_no_trace(sqlite_engine):
    house = morning(sqlite_engine)
    readers(sqlite_engine, 200)
    inserts = []

    def fail_at_the_third(conn, cursor, statement, *rest):
        if statement.startswith("INSERT INTO delivery"):
            inserts.append(statement)
            if len(inserts) == 3:
                cursor.execute("SELECT * FROM a_table_that_is_not_there")

    event.listen(sqlite_engine, "before_cursor_execute", fail_at_the_third)
    with pytest.raises(StorageError):
        opened(sqlite_engine, house)
    event.remove(sqlite_engine, "before_cursor_execute", fail_at_the_third)
    assert deliveries_of(sqlite_engine) == []
    opened(sqlite_engine, house)
    assert len(deliveries_of(sqlite_engine)) == 200
