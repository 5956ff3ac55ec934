"""SendGrid's words for what became of a mail, in ours."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.sendgrid.events import KINDS, read
from digest.values import Event, EventKind
from tests.sendgrid_events import AT, BLOCKED, BOUNCED, FULL, name, told

CONTRACT = Path(__file__).resolve().parents[3] / "shared" / "contracts" / "sendgrid-webhooks-v3.openapi.json"


def heard(*events):
    return read(json.dumps(events).encode())


@pytest.mark.parametrize(
    ("event", "more", "kind", "permanent"),
    [
        ("processed", {}, EventKind.PROCESSED, False),
        ("deferred", {"response": "450 4.2.1 later"}, EventKind.DEFERRED, False),
        ("delivered", {"response": "250 ok"}, EventKind.DELIVERED, False),
        ("bounce", BOUNCED, EventKind.BOUNCED, True),
        ("bounce", BLOCKED, EventKind.BLOCKED, False),
        ("bounce", FULL, EventKind.BOUNCED, False),
        ("bounce", {"type": "expired", "reason": "no answer for 72 hours"}, EventKind.BOUNCED, False),
        ("bounce", {"reason": "of a type that came later", "type": "new"}, EventKind.BOUNCED, False),
        ("bounce", {"type": ["bounce"]}, EventKind.BOUNCED, False),
        ("blocked", {}, EventKind.BLOCKED, False),
        ("dropped", {"reason": "Bounced Address"}, EventKind.DROPPED, True),
        ("dropped", {"reason": "Spam Reporting Address"}, EventKind.DROPPED, True),
        ("dropped", {"reason": "Unsubscribed Address"}, EventKind.DROPPED, True),
        ("dropped", {"reason": "Invalid"}, EventKind.DROPPED, True),
        ("dropped", {"reason": "Invalid SMTPAPI header"}, EventKind.DROPPED, False),
        ("dropped", {"reason": "Spam Content (if Spam Checker app enabled)"}, EventKind.DROPPED, False),
        ("spamreport", {}, EventKind.COMPLAINED, False),
        ("unsubscribe", {}, EventKind.LEFT, True),
        ("group_unsubscribe", {"asm_group_id": 7, "url": "https://u.example/"}, EventKind.LEFT, False),
    ],
)
def test_each_event_is_one_word_of_ours(event, more, kind, permanent):
    (one,) = heard(told(7, event, **more))
    assert (one.delivery, one.kind, one.at, one.permanent) == (name(7), kind, AT, permanent)
    assert one.url == more.get("url", "")


def test_what_the_provider_says_is_kept_without_addresses():
    (one,) = heard(told(1, "bounce", **BOUNCED))
    assert one.reason == "550 5.1.1 (address) no such user here"


@pytest.mark.parametrize(
    "odd",
    [
        told(1, "open"), told(1, "click", url="https://news.example.org/"), told(1, "group_resubscribe"), told(1, ""),
        told(1, "delivered", at=0), told(1, "delivered", at=-5), told(1, "delivered", at=2**40), told(1, "delivered", at="now"),
        told(1, "delivered", at=True), told(1, "delivered", at=None), {"event": "delivered"}, {"event": {"a": 1}}, "delivered", None, 7, [],
    ],
)  # fmt: skip
def test_what_we_do_not_keep_or_cannot_read_is_left_and_the_rest_is_heard(odd):
    left, kept = heard(odd, told(2, "delivered"))
    assert left is None
    assert kept.delivery == name(2)


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b"[", b"\xff\xfe", b"[" * 100_000, b'{"event": "delivered"}'])
def test_what_is_no_list_of_events_is_refused_as_a_whole(body):
    with pytest.raises(ValueError):
        read(body)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(
    st.sampled_from(["event", "timestamp", "delivery", "reason", "type", "url", "response", "bounce_classification"]) | st.text(),
    inner | st.sampled_from(["bounce", "dropped", "delivered", 1e300, float("nan"), float("inf"), 2**31]),
)))  # fmt: skip
def test_whatever_is_told_is_an_event_or_is_left(anything):
    for one in read(json.dumps([anything]).encode()):
        assert one is None or (isinstance(one, Event) and 0 < one.at < 2**32 and one.reason.isprintable())


@pytest.mark.skipif(not CONTRACT.exists(), reason="SendGrid's published description is not here")
def test_every_event_that_a_webhook_can_be_asked_for_is_known_here():
    asked = json.loads(CONTRACT.read_text())["components"]["schemas"]["EventWebhookRequest"]["properties"].keys()
    about_the_hook = {"enabled", "url", "friendly_name", "oauth_client_id", "oauth_client_secret", "oauth_token_url"}
    not_kept = {"open", "click", "group_resubscribe", "account_status_change"}
    told_as = {"spam_report": "spamreport"}
    known = {"bounce", "dropped", *KINDS}
    assert {told_as.get(one, one) for one in asked - about_the_hook} - known <= not_kept
