"""An edition's states, its deadline, and what an approval binds to."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest import editions
from digest.errors import TransitionError
from digest.values import EditionState as S

FINAL = {S.SENT, S.CANCELLED}
DEADLINE = datetime(2025, 3, 6, 5, 45, tzinfo=UTC)


def content(**changes):
    slot = {
        "position": 1, "story": 7, "kicker": "", "labels": {"en": "Korea"}, "headline": "A bridge opens",
        "teaser": "It took nine years.", "url": "https://example.org/a", "language": "en", "minutes": 2, "image": "",
        "image_alt": "", "topic": "korea", "update": False, "score": 0.5, "reasons": ["3 h old"],
    }  # fmt: skip
    return {"subject": "A bridge opens", "preheader": "", "intro": "", "slots": [{**slot, **changes}]}


def test_an_edition_goes_from_draft_to_sent():
    state = S.DRAFT
    for verb, who in (("submit", "ana"), ("approve", "ana"), ("send", editions.PRESS), ("finish", editions.PRESS)):
        state = editions.move(state, verb, who=who)
    assert state == S.SENT


@given(st.sampled_from(list(S)), st.sampled_from(list(editions.MOVES)), st.sampled_from(["ana", editions.PRESS]))
def test_no_move_leaves_a_final_state_and_none_skips_approval(state, verb, who):
    try:
        after = editions.move(state, verb, who=who)
    except TransitionError:
        return
    if verb == "send again":  # what was left unconfirmed, by a person's word, and nothing else leaves a final state
        assert (state, after) == (S.SENT, S.SENDING)
        return
    assert state not in FINAL
    if after == S.SENDING:
        assert state in {S.APPROVED, S.PAUSED}
    if verb in {"send", "finish"}:
        assert who == editions.PRESS


def test_a_refused_move_says_what_can_be_done_now():
    with pytest.raises(TransitionError, match="paused cannot be told to approve; possible now: cancel, resume"):
        editions.move(S.PAUSED, "approve", who="ana")


@pytest.mark.parametrize(
    ("state", "fallback", "minutes", "verb"),
    [
        (S.DRAFT, "send", -1, ""),
        (S.DRAFT, "send", 0, "approve"),
        (S.REVIEW, "hold", 5, "hold"),
        (S.APPROVED, "hold", 5, ""),
        (S.HELD, "send", 5, ""),
        (S.SKIPPED, "send", 5, ""),
    ],
)
def test_the_deadline_acts_only_on_what_no_editor_has_decided(state, fallback, minutes, verb):
    now = DEADLINE + timedelta(minutes=minutes)
    assert editions.at_deadline(state, fallback, deadline=DEADLINE, now=now) == verb


@pytest.mark.parametrize(
    "change", [{"headline": "Other"}, {"teaser": ""}, {"kicker": "Asia"}, {"position": 2}, {"update": True}]
)
def test_the_hash_changes_with_anything_a_reader_would_see(change):
    assert editions.content_hash(content(**change)) != editions.content_hash(content())


def test_the_hash_does_not_change_with_what_readers_never_see():
    assert editions.content_hash(content(score=0.9, reasons=[])) == editions.content_hash(content())
