"""Wishes: a form changes what its page showed and nothing else, and what is saved is what is said to be."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import SQLModel

from digest.database import writing
from digest.models import DigestRow
from subscribers import preferences
from subscribers.addresses import normalise
from subscribers.models import DAYS
from subscribers.preferences import FIELDS, HOURS, Change, Offer, Wish, Wishes, changes, read
from tests.newsroom import NOW, morning, readers, set_wish

TABLE = SQLModel.metadata.tables
MAIL = Wish(channels={"email": True})
BEFORE = Wishes(
    language="en",
    zone="Europe/Madrid",
    digests={1: MAIL, 2: Wish(channels={"email": False, "push": True})},
    topics={"korea": 1},
)
CONSENT = {
    "consent_at": NOW,
    "consent_source": "own page",
    "consent_wording": "w",
    "consent_proof": "p",
    "confirmed_at": NOW,
}


ALL = dict.fromkeys(BEFORE.digests, Offer())


def heard(form, *, fields=FIELDS, before=BEFORE, **options):
    form = {name: value if isinstance(value, list) else [value] for name, value in form.items()}
    return read(
        form, before, fields=fields, languages=("en", "es"), topics=("korea", "asia"), **{"offers": ALL, **options}
    )


# a form -------------------------------------------------------------------------------------------------------------


def test_an_empty_form_changes_nothing():
    assert heard({}) == (BEFORE, {})


def test_a_form_sets_what_its_page_listed():
    form = {
        "digest": "1", "email.1": "on", "frequency.1": "days", "day.1": ["mon", "thu"], "hour.1": "07:30",
        "language": "es", "zone": "America/Lima", "topic.korea": "less", "topic.asia": "more",
    }  # fmt: skip
    after, faults = heard(form)
    assert not faults
    assert after == Wishes(
        language="es", zone="America/Lima", topics={"korea": -1, "asia": 1},
        digests={**BEFORE.digests, 1: replace(MAIL, frequency="days", days=frozenset({"mon", "thu"}), hour="07:30")},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("before", "form", "may_join", "after"),
    [
        (False, {"shown": "tracking", "tracked": "on"}, True, True),
        (
            False,
            {"shown": "tracking", "tracked": "on"},
            False,
            False,
        ),  # a link that may have been forwarded cannot agree
        (False, {"tracked": "on"}, True, False),  # the page did not ask
        (True, {"shown": "tracking"}, False, False),
        (True, {"shown": "tracking"}, True, False),
        (True, {"language": "es"}, True, True),
        (True, {"shown": "tracking", "tracked": "on"}, False, True),
    ],
)
def test_to_agree_takes_more_than_to_take_it_back(before, form, may_join, after):
    given_ = replace(BEFORE, tracked=before)
    assert heard(form, before=given_, may_join=may_join)[0].tracked is after
    assert heard(form, before=given_, may_join=may_join, fields=FIELDS - {"tracking"})[0].tracked is before


def test_a_box_that_is_not_ticked_is_off_but_only_of_digests_that_the_page_listed():
    after, _ = heard({"digest": "1"})
    assert after.digests[1].channels == {"email": False}
    assert after.digests[2] == BEFORE.digests[2]


def test_a_link_from_a_mail_switches_nothing_on():
    after, _ = heard(
        {"digest": ["1", "2", "3"], "email.1": "on", "email.2": "on", "email.3": "on", "push.1": "on", "push.2": "on"}
    )
    assert after == BEFORE


def test_a_link_mailed_anew_switches_mail_on_and_a_device_that_is_known():
    before = replace(BEFORE, digests={1: Wish(channels={"email": False, "push": False}), 2: Wish()})
    form = {"digest": ["1", "2"], "email.1": "on", "push.1": "on", "email.2": "on", "push.2": "on"}
    after, _ = heard(form, before=before, may_join=True)
    assert after.digests == {1: Wish(channels={"email": True, "push": True}), 2: Wish(channels={"email": True})}


@pytest.mark.parametrize(
    ("form", "field", "why"),
    [
        ({"zone": "Mars/Olympus"}, "zone", "unknown"),
        ({"zone": "europe/madrid"}, "zone", "unknown"),
        ({"zone": "../../etc/passwd"}, "zone", "unknown"),
        ({"language": "tlh"}, "language", "unknown"),
        ({"digest": "1", "email.1": "on", "frequency.1": "hourly"}, "frequency.1", "unknown"),
        ({"digest": "1", "email.1": "on", "frequency.1": "days"}, "day.1", "missing"),
        ({"digest": "1", "email.1": "on", "frequency.1": "days", "day.1": ["1"]}, "day.1", "unknown"),
        ({"digest": "1", "email.1": "on", "hour.1": "07:15"}, "hour.1", "unknown"),
        ({"digest": "1", "email.1": "on", "hour.1": "24:00"}, "hour.1", "unknown"),
        ({"topic.korea": "love"}, "topic.korea", "unknown"),
    ],
)
def test_what_cannot_be_read_is_named_by_its_field_and_the_good_beside_it_is_kept(form, field, why):
    after, faults = heard({"topic.asia": "more", **form})
    assert faults == {field: why}
    assert after.topics["asia"] == 1


def test_a_language_that_is_no_longer_spoken_may_stay():
    before = replace(BEFORE, language="fi")
    assert heard({"language": "fi"}, before=before) == (before, {})


def test_a_field_that_the_page_does_not_offer_cannot_be_set():
    form = {
        "digest": "1",
        "email.1": "on",
        "frequency.1": "weekly",
        "hour.1": "07:30",
        "topic.asia": "more",
        "zone": "Asia/Seoul",
    }
    after, faults = heard(form, fields={"channels", "zone"})
    assert (after, faults) == (replace(BEFORE, zone="Asia/Seoul"), {})


texts = st.text(max_size=20) | st.sampled_from(
    ["1", "2", "on", "days", "mon", "07:30", "es", "more", "-1", "١", "1" * 40, "\r\nX: y"]
)
names = st.sampled_from(
    [
        "digest",
        "email.1",
        "push.1",
        "push.2",
        "frequency.1",
        "day.1",
        "hour.2",
        "language",
        "zone",
        "topic.korea",
        "email",
        "id",
    ]
) | st.text(max_size=20)


@given(st.dictionaries(names, st.lists(texts, max_size=3), max_size=12), st.booleans())
def test_whatever_a_form_holds_wishes_stay_wishes(form, may_join):
    after, _ = read(
        form, BEFORE, fields=FIELDS, languages=("en", "es"), topics=("korea", "asia"), offers=ALL, may_join=may_join
    )
    assert after.language in {"en", "es"}
    assert after.zone in preferences.zones()
    assert after.topics.keys() <= {"korea", "asia"}
    assert set(after.topics.values()) <= {1, -1}
    assert after.digests.keys() == BEFORE.digests.keys()
    for digest, wish in after.digests.items():
        assert wish.frequency in preferences.FREQUENCIES
        assert wish.days <= set(DAYS)
        assert wish.hour in {"", *HOURS}
        assert may_join or all(BEFORE.digests[digest].channels[name] for name, on in wish.channels.items() if on)


# comparing and saving -----------------------------------------------------------------------------------------------


def test_changes_name_what_differs_and_nothing_else():
    after = replace(
        BEFORE,
        zone="Asia/Seoul",
        topics={},
        digests={**BEFORE.digests, 1: Wish(channels={"email": False}, hour="09:00")},
    )
    assert changes(BEFORE, after) == [
        Change(what="email", digest=1, before=True, after=False),
        Change(what="hour", digest=1, before="", after="09:00"),
        Change(what="topics", before={"korea": 1}, after={}),
        Change(what="zone", before="Europe/Madrid", after="Asia/Seoul"),
    ]
    assert changes(BEFORE, BEFORE) == []


def test_days_count_only_where_they_are_chosen():
    one = replace(BEFORE, digests={1: replace(MAIL, days=frozenset({"mon"}))})
    assert changes(replace(BEFORE, digests={1: MAIL}), one) == []


@pytest.fixture
def ana(engine):
    morning(engine)
    with writing(engine) as session:
        session.add(DigestRow(slug="weekend", name="Weekend", created_at=NOW))
    return readers(engine, 1, zone="Europe/Madrid", channels=("email", "push"))[0]


def saved(engine, who, after):
    with writing(engine) as session:
        connection = session.connection()
        before = preferences.wishes_of(connection, who)
        digests = {1: Wish(), 2: Wish(), **before.digests}
        before = replace(before, digests=digests)
        preferences.save(connection, who, before, after(before), consent=CONSENT, now=NOW)
        return preferences.wishes_of(connection, who)


def test_what_is_saved_is_what_is_read_again(engine, ana):
    def wish(before):
        rhythm = Wish(
            channels={"email": True, "push": False}, frequency="days", days=frozenset({"sun", "mon"}), hour="06:30"
        )
        return replace(
            before, language="es", zone="Asia/Seoul", topics={"asia": -1}, digests={**before.digests, 1: rhythm}
        )

    after = saved(engine, ana, wish)
    assert after == Wishes(
        language="es", zone="Asia/Seoul", topics={"asia": -1},
        digests={1: Wish(channels={"email": True, "push": False}, frequency="days", days=frozenset({"mon", "sun"}), hour="06:30")},
    )  # fmt: skip
    with engine.begin() as connection:
        rows = connection.execute(TABLE["subscription"].select()).all()
    assert {row.channel: (row.state, row.left_at) for row in rows} == {"email": ("active", None), "push": ("left", NOW)}
    assert {row.days for row in rows} == {"mon,sun"}


def test_topics_are_added_turned_and_dropped(engine, ana):
    for wish in ({"asia": 1, "korea": -1}, {"asia": -1}, {}, {"korea": 1}):
        assert saved(engine, ana, lambda before, wish=wish: replace(before, topics=wish)).topics == wish


def test_a_digest_that_is_joined_has_its_consent(engine, ana):
    after = saved(engine, ana, lambda before: replace(before, digests={**before.digests, 2: MAIL}))
    assert after.digests[2] == MAIL
    row = TABLE["subscription"]
    with engine.begin() as connection:
        one = connection.execute(row.select().where(row.c.digest_id == 2)).one()
    assert (one.state, one.consent_source, one.consent_proof, one.confirmed_at) == ("active", "own page", "p", NOW)


def test_a_channel_that_was_left_comes_back_with_its_consent(engine, ana):
    set_wish(engine, ana, state="left", left_at=NOW, left_why="much")
    after = saved(
        engine,
        ana,
        lambda before: replace(before, digests={**before.digests, 1: Wish(channels={"email": True, "push": True})}),
    )
    assert after.digests[1].channels == {"email": True, "push": True}
    with engine.begin() as connection:
        rows = connection.execute(TABLE["subscription"].select()).all()
    assert {(row.state, row.left_at, row.left_why, row.consent_proof) for row in rows} == {("active", None, "", "p")}


def test_nobody_who_is_gone_wishes_anything(engine, ana):
    with writing(engine) as session:
        assert preferences.wishes_of(session.connection(), ana + 1) is None


def test_a_new_address_takes_the_old_one_s_place_unless_it_is_somebody_s(engine, ana):
    readers(engine, 1)
    with writing(engine) as session:
        connection = session.connection()
        assert preferences.move(connection, ana, normalise("New@Example.net"), b"n" * 16, now=NOW)
        assert not preferences.move(connection, ana, normalise("reader2@example.net"), b"m" * 16, now=NOW)
        assert preferences.move(connection, ana, normalise("new@example.net"), b"n" * 16, now=NOW), (
            "its own, in other letters"
        )
        person = connection.execute(TABLE["subscriber"].select().where(TABLE["subscriber"].c.id == ana)).one()
    assert (person.email, person.email_key, person.email_hash) == ("new@example.net", "new@example.net", b"n" * 16)
