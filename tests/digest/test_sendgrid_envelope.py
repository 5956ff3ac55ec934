"""What SendGrid is told: the edition's own words, one part for each reader, and nothing that it would refuse late."""

import json
from email import message_from_bytes
from email.policy import default
from html import unescape
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digest.blanks import BlankError, Marks, mailbox, unstructured
from digest.channels import email
from digest.errors import ContentError
from digest.sendgrid.checks import (
    MOST_ARGUMENTS,
    MOST_BYTES,
    MOST_READERS,
    MOST_SUBSTITUTED,
    RESERVED,
    Slip,
    apart,
    demand_letter,
    demand_reader,
    fault_of,
)
from digest.sendgrid.envelope import NOT_OURS, Letter, _plain
from digest.splice import compile_message
from digest.tagged import _absent_from
from subscribers.addresses import header_value, normalise
from tests.samples import BASE, sample_edition
from tests.sendgrid_mail import people, printed, reader
from tests.sendgrid_stand_in import breach, headers_to, mail_to

PROOFS = {language: printed(language) for language in ("en", "es", "ar")}
LETTER = Letter(PROOFS["en"].compiled)
CONTRACT = Path(__file__).resolve().parents[2] / "../shared/contracts/sendgrid-mail-v3.openapi.json"


def body_for(*guests, letter=LETTER):
    return json.loads(letter.request([letter.slip(guest) for guest in guests]))


# the mail -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", PROOFS)
@pytest.mark.parametrize(("name", "address"), [('Zoë "Z" <b>&', "zoe+news@example.net"), ("Ana", "ana@example.net")])
def test_what_sendgrid_mails_is_what_every_other_transport_hands_over(language, name, address):
    proof, one = PROOFS[language], reader(7, name=name, address=address)
    body = body_for(one, letter=Letter(proof.compiled))
    text, html = mail_to(body, one.address)
    assert (folded(text), folded(html)) == tuple(map(folded, parts_of(email.fill(proof, one))))
    assert "<b>" not in html.split("<body")[1]
    assert not [tag for tag in body["personalizations"][0]["substitutions"] if tag in text + html]


@pytest.mark.parametrize("name", ["Ana", 'Zoë "Z" <b>&'])
def test_a_tracked_mail_is_the_same_there_too_for_one_more_value_of_each_reader(name):
    proof, one = printed(tracked=True), reader(7, name=name, trail="Tr-_" * 6)
    body = body_for(one, letter=Letter(proof.compiled))
    text, html = mail_to(body, one.address)
    assert (folded(text), folded(html)) == tuple(map(folded, parts_of(email.fill(proof, one))))
    assert html.count(f"/t/{one.trail}/") == proof.html.count("/t/") > 4
    values = [
        body_for(one, letter=Letter(each.compiled))["personalizations"][0]["substitutions"]
        for each in (proof, printed())
    ]
    assert len(values[0]) == len(values[1]) + 1
    assert (
        body["tracking_settings"]["click_tracking"]["enable"]
        is body["tracking_settings"]["open_tracking"]["enable"]
        is False
    )


def folded(text):
    """Lines may be folded elsewhere, and a page may name a character by its number."""
    return " ".join(unescape(text).split())


def parts_of(message):
    whole = message_from_bytes(message, policy=default)
    return whole.get_body(("plain",)).get_content(), whole.get_body(("html",)).get_content()


def test_the_envelope_is_the_digests_own_and_each_reader_has_their_way_out():
    proof = printed("es", from_name="Ñoticias, Global", from_address="global@news.example.org")
    body = body_for(reader(1), reader(2), letter=Letter(proof.compiled))
    assert body["from"] == {"email": "global@news.example.org", "name": "Ñoticias, Global"}
    assert body["reply_to"] == {"email": "editors@news.example.org"}
    assert body["subject"] == sample_edition(4, "es").subject
    for number, one in enumerate(body["personalizations"], start=1):
        guest = reader(number)
        headers = headers_to(body, guest.address)
        assert headers["List-Unsubscribe"] == (
            f"<{BASE}/m/{guest.token}/leave>, <mailto:editors@news.example.org?subject=leave%20{guest.token}>"
        )
        assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert headers["Auto-Submitted"] == "auto-generated"
        assert not {name.lower() for name in headers} & NOT_OURS
        assert one["custom_args"] == {"delivery": f"{number:040x}"}


def test_what_is_the_same_for_all_is_said_once():
    body = body_for(*people(3))
    assert [list(one["headers"]) for one in body["personalizations"]] == [["List-Unsubscribe"]] * 3
    tags = {tag for one in body["personalizations"] for tag in one["substitutions"]}
    assert 3 <= len(tags) <= 6
    assert max(map(len, tags)) <= 12


def test_nothing_is_tracked_and_no_address_stands_where_sendgrid_keeps_it():
    body = body_for(reader(1))
    assert {name: part["enable"] for name, part in body["tracking_settings"].items()} == dict.fromkeys(
        ("click_tracking", "open_tracking", "subscription_tracking", "ganalytics"), False
    )
    assert "categories" not in body
    assert "reader1" not in json.dumps(body["personalizations"][0]["custom_args"])


NAMES = st.text(max_size=80) | st.from_regex(r"[A-Za-z0-9 ]{0,62}", fullmatch=True)


@given(names=st.lists(NAMES, min_size=1, max_size=5))
def test_no_name_breaks_a_request_or_a_rule(names):
    guests = [reader(number, name=name) for number, name in enumerate(names, start=1)]
    body = body_for(*guests)
    assert breach(body) is None
    for guest, one in zip(guests, body["personalizations"], strict=True):
        text, html = mail_to(body, guest.address)
        assert not [tag for tag in one["substitutions"] if tag in text + html]
        assert text.startswith(parts_of(email.fill(PROOFS["en"], guest))[0][:40].replace("\r\n", "\n"))


ADDRESSES = st.from_regex(r"[A-Za-z.+_'-]{1,66}@[A-Za-z.-]{1,20}\.[a-z]{1,4}", fullmatch=True) | st.sampled_from(
    ["ana@example.net", "ana@xn--a.example", "ana@localhost", "ana@-x.example", "a@b..example", "ANA@Example.NET"]
)
OPAQUE = st.sampled_from(["t" * 28, "a-b_c", 'a"b', "a\\b", "", "\n", "é", "t" * 200])


@settings(max_examples=300)
@given(name=NAMES, address=ADDRESSES, token=OPAQUE, delivery_id=OPAQUE)
def test_the_short_way_for_plain_readers_says_what_the_careful_way_says(name, address, token, delivery_id):
    one = reader(1, name=name, address=address, token=token, delivery_id=delivery_id)
    try:
        normalise(address)
    except ValueError:
        with pytest.raises(ValueError):
            LETTER.slip(one)
        return
    if _plain(one):
        _, values = LETTER._carefully(one)
        careful = LETTER.slip(one)._replace(values=values)
        assert json.loads(LETTER.request([LETTER.slip(one)])) == json.loads(LETTER.request([careful]))


def test_everyday_readers_go_the_short_way():
    assert all(_plain(one) for one in people(100))
    assert _plain(reader(1, name="", address="Ana.Garcia+news@mail.example.net"))
    assert _plain(reader(1, name="Zoë O'Neill"))


@pytest.mark.parametrize(
    "changes",
    [
        {"address": "no at sign"}, {"address": "ana@exa mple.net"}, {"address": "ana@localhost"},
        {"address": "ana@-x.example"}, {"token": "t" * 10_001}, {"token": "\udc80"}, {"delivery_id": "d" * 10_000},
    ],
)  # fmt: skip
def test_who_cannot_be_addressed_or_filled_is_refused_before_anything_leaves(changes):
    with pytest.raises(ValueError):
        LETTER.slip(reader(1, **changes))


def test_a_name_that_sendgrid_would_take_apart_is_shown_without_those_signs():
    (one,) = body_for(reader(1, name='Ruiz, Ana; "A" <a@b>: c'))["personalizations"]
    assert one["to"] == [{"email": "reader1@example.net", "name": "Ruiz Ana A a b c"}]


def test_addresses_are_written_as_they_are_reached():
    (one,) = body_for(reader(1, address="José@Bücher.example"))["personalizations"]
    assert one["to"][0]["email"] == "José@xn--bcher-kva.example"


def test_a_tag_stands_nowhere_in_the_message_but_in_its_place():
    content = "a story " * 50
    forged = content + _absent_from(content)
    assert _absent_from(forged) not in forged
    assert _absent_from(content) == _absent_from(content)


def test_a_header_that_no_reader_can_fill_is_refused():
    marks = Marks("0123456789abcdef")
    with pytest.raises(BlankError, match="print the edition again"):
        Letter(compiled(marks, extra=[("X-Who", header_value(marks.mark("mailbox")))]))


def compiled(marks, *, subject="News", text="Good morning\n", html="<p>Good morning</p>", extra=()):
    headers = [
        ("From", mailbox("Global", "global@news.example.org")), ("Reply-To", mailbox("", "editors@news.example.org")),
        ("Subject", unstructured(subject)), *extra,
    ]  # fmt: skip
    return compile_message(headers, text, html, marks)


# what it refuses late -----------------------------------------------------------------------------------------------

COMMON = {
    "from": {"email": "global@news.example.org", "name": "Global"}, "subject": "News", "headers": {"List-Id": "<a.b>"},
    "content": [{"type": "text/plain", "value": "a"}, {"type": "text/html", "value": "<p>a"}],
}  # fmt: skip


def test_a_sound_letter_passes():
    demand_letter(COMMON, ["List-Unsubscribe"])


@pytest.mark.parametrize(
    ("change", "personal", "words"),
    [
        ({"content": COMMON["content"][::-1]}, [], "its parts are text/html, text/plain"),
        ({"content": COMMON["content"][:1]}, [], "its parts are text/plain"),
        ({"content": [COMMON["content"][0], {"type": "text/html", "value": " \n"}]}, [], "a part of it is empty"),
        ({"content": [COMMON["content"][0], {"type": "text/html", "value": "x" * MOST_BYTES}]}, [], "larger than"),
        ({"subject": " "}, [], "no subject"),
        ({"from": {"email": ""}}, [], "no sender"),
        ({"headers": {"Reply-To": "x"}}, [], "it sets reply-to"),
        ({}, ["X-SG-EID"], "it sets x-sg-eid"),
        ({"headers": {"List-Id": "<a.b>\r\nBcc: x"}}, [], "breaks its line"),
    ],
)
def test_what_sendgrid_would_refuse_of_a_message_is_refused_here(change, personal, words):
    with pytest.raises(ContentError, match=words) as caught:
        demand_letter({**COMMON, **change}, personal)
    assert "\n" not in str(caught.value)


def test_a_message_without_a_subject_never_becomes_a_letter():
    with pytest.raises(ContentError, match="no subject"):
        Letter(compiled(Marks("0123456789abcdef"), subject=""))


def test_our_own_headers_never_meet_the_reserved_ones():
    assert RESERVED <= NOT_OURS
    for proof in PROOFS.values():
        assert not {name.lower() for name in body_for(reader(1), letter=Letter(proof.compiled))["headers"]} & RESERVED


@pytest.mark.parametrize("most", [MOST_SUBSTITUTED, MOST_ARGUMENTS])
def test_one_readers_values_may_not_be_too_long(most):
    value = {"tag": "x" * (most - len('"tag":"",'))}
    demand_reader(value, value)
    over = {"tag": value["tag"] + "x"}
    with pytest.raises(ValueError, match="substitutions"):
        demand_reader(over, value)
    with pytest.raises(ValueError, match="arguments"):
        demand_reader(value, over)


def slips(*keys):
    return [Slip(number, f"{number:x}", key, ()) for number, key in enumerate(keys)]


@pytest.mark.parametrize(
    ("group", "size", "words"),
    [
        (slips("a", "b"), MOST_BYTES, ""),
        (slips("a", "b"), MOST_BYTES + 1, "more than SendGrid takes"),
        (slips("a", "b", "a"), 100, "twice"),
        (slips(*map(str, range(MOST_READERS))), 100, ""),
        (slips(*map(str, range(MOST_READERS + 1))), 100, "1001 readers"),
        ([], 100, "0 readers"),
    ],
)
def test_what_sendgrid_would_refuse_of_a_request_is_refused_here(group, size, words):
    fault = fault_of(group, size)
    assert words in fault
    assert bool(words) == bool(fault)


@given(st.lists(st.sampled_from("abcdefg"), max_size=60), st.integers(1, 12))
def test_groups_hold_everyone_once_and_no_address_twice(keys, most):
    groups = apart(slips(*keys), most)
    assert sorted(slip.number for group in groups for slip in group) == list(range(len(keys)))
    assert all(fault_of(group, 1) == "" and len(group) <= most for group in groups)


# the contract -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def contract():
    if not CONTRACT.exists():
        pytest.skip("the OpenAPI file is not beside the checkout")
    return json.loads(CONTRACT.read_text())


def faults(schema, value, contract, where="body"):
    """What a value breaks of the part of JSON Schema that the file uses; a name the file does not know is a fault too."""
    if "$ref" in schema:
        names = schema["$ref"].removeprefix("#/").split("/")
        found = contract
        for name in names:
            found = found[name]
        return faults(found, value, contract, where)
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    if not isinstance(value, kinds[schema["type"]]):
        return [f"{where} is no {schema['type']}"]
    found = []
    if isinstance(value, dict):
        found += [f"{where}.{name} is missing" for name in schema.get("required", ()) if name not in value]
        known, others = schema.get("properties", {}), schema.get("additionalProperties")
        for name, item in value.items():
            if name in known or others:
                found += faults(known.get(name, others), item, contract, f"{where}.{name}")
            elif known:
                found.append(f"{where}.{name} is unknown")
    elif len(value) > schema.get("maxItems", schema.get("maxLength", 10**9)) if not isinstance(value, int) else False:
        found.append(f"{where} is too long")
    elif isinstance(value, str) and len(value) < schema.get("minLength", 0):
        found.append(f"{where} is empty")
    elif isinstance(value, list):
        for at, item in enumerate(value):
            found += faults(schema.get("items", {}), item, contract, f"{where}.{at}")
    return found


def test_every_request_is_what_the_contract_describes(contract):
    schema = contract["components"]["requestBodies"]["PostMailSend"]["content"]["application/json"]["schema"]
    sandboxed = Letter(PROOFS["ar"].compiled, sandbox=True)
    whole, trial = body_for(*people(1000)), body_for(reader(1, name=""), reader(2, name="ليلى"), letter=sandboxed)
    assert [faults(schema, body, contract) for body in (whole, trial)] == [[], []]
    assert trial["mail_settings"]["sandbox_mode"]["enable"]
    wrong = {"personalizations": [{"to": [{"name": 3}]}] * 1001, "subject": "", "custom_args": {}, "colour": "red"}
    said = " ".join(faults(schema, wrong, contract))
    assert all(word in said for word in ("too long", "from is missing", "empty", "custom_args", "colour"))
    said = " ".join(faults(schema, {**wrong, "personalizations": [{"to": [{"name": 3}]}]}, contract))
    assert "email is missing" in said
    assert "name is no string" in said


def test_the_contract_reserves_the_headers_that_we_hold_back(contract):
    schema = contract["components"]["requestBodies"]["PostMailSend"]["content"]["application/json"]["schema"]
    said = schema["properties"]["headers"]["description"].lower()
    assert all(f"`{name}`" in said for name in RESERVED)
