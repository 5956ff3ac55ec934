"""The audience of a digest: who is wanted, who rests, who may not be reached."""

from datetime import timedelta

import pytest

from subscribers.audience import PEOPLE, WISHES, Reach, audience, reach, standing, wishing
from subscribers.segments import SegmentError, compile_rule
from tests.newsroom import NOW, morning, readers, set_wish, suppress


@pytest.fixture
def six(engine):
    morning(engine)
    return readers(engine, 6, channels=("email", "push"), plan=lambda number: "paid" if number % 2 else None)


def count(engine, **options):
    with engine.connect() as connection:
        return reach(connection, 1, options.pop("channel", "email"), now=NOW, **options)


def test_everyone_who_asked_and_has_not_left_is_counted_by_standing(engine, six):
    _, left, waits, rests, back, bounced = six
    set_wish(engine, left, state="left")
    set_wish(engine, waits, state="pending")
    set_wish(engine, rests, state="paused")
    set_wish(engine, back, state="paused", paused_until=NOW)
    suppress(engine, bounced)
    found = count(engine)
    assert found == Reach(wanted=2, paused=1, suppressed=1)
    assert found.candidates == 4


def test_a_pause_ends_at_its_moment(engine, six):
    set_wish(engine, six[0], state="paused", paused_until=NOW + timedelta(seconds=1))
    assert count(engine) == Reach(wanted=5, paused=1)
    with engine.connect() as connection:
        assert reach(connection, 1, "email", now=NOW + timedelta(seconds=1)) == Reach(wanted=6)


def test_a_rule_narrows_it(engine, six):
    assert count(engine, rule='plan = "paid"') == Reach(wanted=3)
    assert count(engine, rule='not plan = "paid"') == Reach(wanted=3)
    assert count(engine, channel="push", rule="everyone") == Reach(wanted=6)
    with pytest.raises(SegmentError):
        count(engine, rule="everybody")


def test_another_digest_and_another_channel_have_their_own_audience(engine, six):
    with engine.connect() as connection:
        connection.execute(WISHES.delete().where(WISHES.c.subscriber_id == six[0], WISHES.c.channel == "push"))
        assert reach(connection, 1, "push", now=NOW).wanted == 5
        assert reach(connection, 2, "email", now=NOW).candidates == 0


def test_the_audience_is_a_query_that_a_rule_is_added_to(engine, six):
    with engine.connect() as connection:
        query = audience(1, "email").where(compile_rule('plan = "paid"', now=NOW))
        assert {row.subscriber_id for row in connection.execute(query)} == set(six[::2])


def test_suppression_wins_over_every_other_standing(engine, six):
    suppress(engine, *six)
    for state in ("active", "paused", "left", "pending"):
        set_wish(engine, six[0], state=state)
        with engine.connect() as connection:
            joined = wishing().with_only_columns(standing(NOW))
            said = connection.execute(joined.where(PEOPLE.c.id == six[0])).scalars()
            assert set(said) == {"suppressed"}
