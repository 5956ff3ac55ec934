"""What a file of readers is found out to be, and its lines: no database here."""

import codecs
import gzip
import io
import json
import tracemalloc
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from subscribers.fields import BadFieldError, checked, moment
from subscribers.files import ImportRefusedError, TextFile
from subscribers.sheets import LONGEST_LINE, MOST_LINES, Hints, Refused, Sheet


@pytest.fixture
def file(tmp_path):
    def write(content, name="readers.csv", encoding="utf-8"):
        place = tmp_path / name
        place.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return place

    return write


def read(place, **hints):
    """The sheet, its readers by line, and its refused lines by line."""
    found = TextFile.of(place, encoding=hints.get("encoding", ""))
    sheet = Sheet.of(found, Hints(**hints), digests=["global"])
    with found.opened() as text:
        entries = list(sheet.entries(text))
    readers = {line: entry for line, _, entry in entries if not isinstance(entry, Refused)}
    return sheet, readers, {line: entry for line, _, entry in entries if isinstance(entry, Refused)}


def emails(readers):
    return {line: one["email"] for line, one in readers.items()}


# encodings and packing ----------------------------------------------------------------------------------------------

PEOPLE = "email,name\nana@example.net,Ana Núñez\nzoe@example.net,Zoë\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (PEOPLE.encode(), "UTF-8"),
        (PEOPLE.encode("utf-8-sig"), "UTF-8 with a byte order mark"),
        (PEOPLE.encode("utf-16"), "UTF-16"),
        (codecs.BOM_UTF16_BE + PEOPLE.encode("utf-16-be"), "UTF-16"),
        (PEOPLE.encode("utf-16-le"), "UTF-16 without a mark"),
        (PEOPLE.encode("utf-16-be"), "UTF-16 without a mark"),
        (PEOPLE.encode("utf-32"), "UTF-32"),
        (PEOPLE.encode("cp1252"), "Windows-1252"),
        (gzip.compress(PEOPLE.encode("cp1252")), "Windows-1252, packed with gzip"),
        (gzip.compress(PEOPLE.encode("utf-16")), "UTF-16, packed with gzip"),
        (gzip.compress(PEOPLE.encode()[:20]) + gzip.compress(PEOPLE.encode()[20:]), "UTF-8, packed with gzip"),
    ],
    ids=range(11),
)
def test_the_encoding_is_found_out_and_said(file, content, words):
    place = file(content)
    _, readers, refused = read(place)
    assert {one["email"]: one["name"] for one in readers.values()} == {
        "ana@example.net": "Ana Núñez", "zoe@example.net": "Zoë",
    }  # fmt: skip
    assert refused == {}
    assert TextFile.of(place).words == words


def test_a_packed_copy_is_the_same_file(file):
    plain, packed = file(PEOPLE, "a.csv"), file(gzip.compress(PEOPLE.encode()), "b.csv")
    assert TextFile.of(plain).content_hash == TextFile.of(packed).content_hash
    assert TextFile.of(file(PEOPLE + "\n", "c.csv")).content_hash != TextFile.of(plain).content_hash


def test_characters_that_a_chunk_cuts_in_two_are_still_utf_8(file, monkeypatch):
    monkeypatch.setattr("subscribers.files.CHUNK", 3)
    assert TextFile.of(file(PEOPLE)).encoding == "utf-8"
    assert TextFile.of(file(PEOPLE.encode("cp1252"))).encoding == "cp1252"


def test_a_line_that_is_not_utf_8_is_refused_where_the_rest_is(file):
    place = file(PEOPLE.encode() + "bad@example.net,Zoë\n".encode("cp1252") + b"last@example.net,Last\n")
    _, readers, refused = read(place)
    assert sorted(readers) == [2, 3, 5]
    assert (refused[4].column, refused[4].reason) == ("", "the line holds bytes that are no text in UTF-8")


def test_a_byte_that_windows_never_gave_a_letter_costs_its_line(file):
    _, readers, refused = read(file(b"email,name\nana@example.net,N\xfa\xf1ez\nbad@example.net,\x81\n"))
    assert (readers[2]["name"], list(refused)) == ("Núñez", [3])


def test_a_persons_word_on_the_encoding_wins(file):
    place = file("email,name\nana@example.net,Núñez\n".encode("mac-roman"))
    _, readers, _ = read(place, encoding="mac_roman")
    assert readers[2]["name"] == "Núñez"
    with pytest.raises(ImportRefusedError, match="no encoding 'klingon'"):
        TextFile.of(place, encoding="klingon")


# dividers, headings, lines ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("divider", "words"), [(",", "comma"), (";", "semicolon"), ("\t", "tab"), ("|", "pipe")])
def test_the_divider_is_found_out_and_said(file, divider, words):
    lines = [["name", "email", "plan"], ["Ana, Ben; and | co", "ana@example.net", "x"]]
    content = "\n".join(divider.join(f'"{cell}"' for cell in line) for line in lines)
    sheet, readers, _ = read(file(content))
    assert readers[2]["name"] == "Ana, Ben; and | co"
    assert sheet.words == f"divided by {words}s, with headings"


def test_other_dividers_in_the_headings_do_not_mislead(file):
    _, readers, _ = read(file("name,first,middle,last;email\nAna;ana@example.net\n"))
    assert emails(readers) == {2: "ana@example.net"}


def test_excels_own_hint_is_taken(file):
    _, readers, _ = read(file("sep=;\nemail;name\nana@example.net;A, B\n"))
    assert (readers[3]["email"], readers[3]["name"]) == ("ana@example.net", "A, B")


def test_every_kind_of_line_end_in_one_file(file):
    _, readers, refused = read(
        file(b"email\nana@example.net\r\nben@example.net\rcarl@example.net\n\r\n\rdora@example.net")
    )
    assert list(emails(readers).values()) == [
        "ana@example.net",
        "ben@example.net",
        "carl@example.net",
        "dora@example.net",
    ]
    assert refused == {}


def test_a_quoted_cell_may_go_over_several_lines(file):
    content = 'email,name,plan\nana@example.net,"Ana\nof ""Lima""\n\nPeru",paid\nben@example.net,Ben,\n'
    _, readers, refused = read(file(content))
    assert (readers[2]["name"], readers[2]["plan"]) == ('Ana of "Lima" Peru', "paid")
    assert (emails(readers), refused) == ({2: "ana@example.net", 6: "ben@example.net"}, {})


@pytest.mark.parametrize(
    ("middle", "column"),
    [
        ('ana@example.net,"Ana', ""),
        ('ana@example.net,"Ana""', ""),
        ('"ana@example.net,Ana', ""),
        ('"', ""),
        ('ana@example.net,"Ana" and so on', ""),
    ],
)
@pytest.mark.parametrize("after", ['ben@example.net,"Ben, Jr."', "ben@example.net,Ben", '"ben@example.net","Ben"'])
def test_a_quote_that_is_never_closed_costs_its_own_line(file, middle, column, after):
    content = f"email,name\n{middle}\n{after}\n" + "".join(f"r{n}@example.net,R\n" for n in range(MOST_LINES + 9))
    _, readers, refused = read(file(content))
    assert list(refused) == [2]
    assert refused[2].reason == "a quote is opened and not closed, or closed inside a field"
    assert list(readers) == list(range(3, MOST_LINES + 13))


def test_a_line_without_end_is_refused_and_takes_no_memory(file):
    place = file(b"email\nana@example.net\n" + b"x" * 40_000_000 + b"\nben@example.net\n")
    tracemalloc.start()
    _, readers, refused = read(place)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (emails(readers), list(refused)) == ({2: "ana@example.net", 4: "ben@example.net"}, [3])
    assert "longer than 20000 characters" in refused[3].reason
    assert peak < 10_000_000


def test_a_nul_byte_is_refused_by_line_and_column(file):
    _, readers, refused = read(file("email,name\nana@example.net,A\0na\nben@example.net,Ben\n"))
    assert (list(readers), refused[2].column, refused[2].reason) == ([3], "name", "holds a NUL byte")


def test_lines_of_nothing_but_dividers_are_passed_over(file):
    _, readers, refused = read(file("email,name,plan\n,,\n\nana@example.net,,,,,\n , ,\n"))
    assert (emails(readers), refused) == ({4: "ana@example.net"}, {})


def test_headings_go_by_other_names_too(file):
    content = "E-Mail Address;First Name;LAST_NAME;Time Zone;Lang\nana@example.net;Ana;Núñez;Europe/Madrid;es\n"
    _, readers, _ = read(file(content))
    (ana,) = readers.values()
    assert (ana["name"], ana["zone"], ana["language"]) == ("Ana Núñez", "Europe/Madrid", "es")


def test_a_person_says_what_a_heading_is(file):
    place = file("Correo=1,Apodo,Nota\nana@example.net,Ana,vip\n")
    with pytest.raises(ImportRefusedError, match=r"its columns are Correo=1, Apodo, Nota.*--map 'HEADING=email'"):
        read(place)
    sheet, readers, _ = read(place, maps={"correo=1": "email", "Apodo": "name", "Nota": "attr.Note"})
    (ana,) = readers.values()
    assert (ana["email"], ana["name"], ana["attributes"]) == ("ana@example.net", "Ana", {"note": "vip"})
    assert sheet.ignored == ()


@pytest.mark.parametrize(
    ("maps", "says"),
    [({"Nowhere": "email"}, "no column 'nowhere'"), ({"Name": "nickname"}, "no field 'nickname'"),
     ({"Name": "email"}, "two columns for email. Leave one out: --map 'Name='")],
)  # fmt: skip
def test_a_map_that_leads_nowhere_is_refused(file, maps, says):
    with pytest.raises(ImportRefusedError, match=says):
        read(file("email,Name\nana@example.net,Ana\n"), maps=maps)


def test_of_two_columns_for_one_field_one_is_left_out(file):
    place = file("email,name,Full name\nana@example.net,Ana,Ana Núñez\n")
    with pytest.raises(ImportRefusedError, match="two columns for name"):
        read(place)
    _, readers, _ = read(place, maps={"name": ""})
    assert readers[2]["name"] == "Ana Núñez"


def test_unknown_columns_are_named_and_only_wanted_as_attributes(file):
    place = file("email,Shoe Size,,Plan\nana@example.net,38,x,paid\n")
    sheet, readers, _ = read(place)
    assert sheet.ignored == ("Shoe Size", "")
    assert "attributes" not in readers[2]
    sheet, readers, _ = read(place, attributes=True)
    assert (readers[2]["attributes"], sheet.ignored) == ({"shoe_size": "38"}, ("",))


def test_a_file_without_headings_says_so_and_its_columns_are_named(file):
    place = file("ana@example.net;Ana;x\nben@example.net;Ben;y\n")
    with pytest.raises(ImportRefusedError, match=r"no headings.*its 3 columns: --columns email,name,-") as told:
        read(place)
    assert "ana" not in str(told.value), "nobody's address on a screen"
    sheet, readers, _ = read(place, columns=("email", "name", "-"))
    assert (readers[1]["name"], readers[2]["name"]) == ("Ana", "Ben")
    assert sheet.words == "divided by semicolons, without headings"


def test_addresses_alone_need_neither_headings_nor_columns(file):
    sheet, readers, _ = read(file("\nana@example.net\nben@example.net\n"))
    assert emails(readers) == {2: "ana@example.net", 3: "ben@example.net"}
    assert not sheet.headed


def test_columns_named_for_a_file_that_has_headings_do_not_make_a_reader_of_them(file):
    _, readers, refused = read(file("email,name\nana@example.net,Ana\n"), columns=("email", "name"))
    assert (list(readers), refused) == ([2], {})


@pytest.mark.parametrize("columns", [("name", "plan"), ("email", "email"), ("email", "nickname")])
def test_columns_must_name_one_address_and_known_fields(file, columns):
    with pytest.raises(ImportRefusedError):
        read(file("ana@example.net,Ana\n"), columns=columns)


# other programs' exports --------------------------------------------------------------------------------------------

LISTMONK = """uuid,email,name,attributes,status,created_at,updated_at
1f,ana@example.net,Ana,"{""city"": ""Lima"", ""tea"": true, ""projects"": 3, ""stack"": {""languages"": [""go"", ""lua""]}}",enabled,2023-04-06 11:12:13.123456 +0000 UTC,x
2f,ben@example.net,Ben,{},disabled,2023-04-06 11:12:13 +0000 +0000,x
3f,carl@example.net,Carl,{},blocklisted,2023-04-06 11:12:13 +0000 UTC,x
4f,dora@example.net,Dora,"{""a"": ",enabled,2023-04-06 11:12:13 +0000 UTC,x
"""


def test_listmonks_export_is_recognised(file):
    sheet, readers, refused = read(file(LISTMONK))
    assert sheet.words.endswith("listmonk's export")
    ana, ben, carl = (readers[line] for line in (2, 3, 4))
    assert ana["attributes"] == {"city": "Lima", "tea": True, "projects": 3, "stack.languages": "go;lua"}
    assert ana["joined_at"] == datetime(2023, 4, 6, 11, 12, 13, 123456, tzinfo=UTC)
    assert [one.get("status") for one in (ana, ben, carl)] == ["active", "left", None]
    assert carl["suppressed"] == "blocklisted"
    assert (refused[5].column, refused[5].reason) == ("attributes", "it is no JSON that can be read")


MAILCHIMP = (
    '"Email Address","First Name","Last Name",Address,MEMBER_RATING,OPTIN_TIME,OPTIN_IP,CONFIRM_TIME,CONFIRM_IP,LATITUDE,'
    "LONGITUDE,GMTOFF,DSTOFF,TIMEZONE,CC,REGION,LAST_CHANGED,LEID,EUID,NOTES,TAGS{more}\n"
    'ana@example.net,Ana,Núñez,"1 Main\nStreet, Lima",2,"2021-03-04 10:11:12",192.0.2.1,"2021-03-04 10:12:12",192.0.2.1,-12,'
    '-77,-5,-5,America/Lima,PE,LMA,"2021-03-05 00:00:00",1,ab,called,"""VIP"",""News, daily"""{values}\n'
)


@pytest.mark.parametrize(
    ("name", "more", "values", "standing"),
    [
        ("subscribed_email_audience_export_1.csv", "", "", {}),
        ("audience.csv", ",UNSUB_TIME,UNSUB_REASON", ",2022-01-02 03:04:05,busy", {"status": "left"}),
        ("audience.csv", ",UNSUB_TIME,UNSUB_REASON", ",,", {"status": "left"}),
        ("unsubscribed_members_export_1.csv", "", "", {"status": "left"}),
        ("audience.csv", ",CLEAN_TIME,CLEAN_CAMPAIGN_TITLE", ",2022-01-02 03:04:05,x", {"suppressed": "bounce"}),
        ("cleaned_members_export_1.csv", "", "", {"suppressed": "bounce"}),
    ],
)
def test_mailchimps_export_is_recognised_and_who_left_or_bounced_never_comes_in_active(
    file, name, more, values, standing
):
    sheet, readers, refused = read(file(MAILCHIMP.format(more=more, values=values), name), attributes=True)
    (ana,) = readers.values()
    assert "Mailchimp" in sheet.words
    assert {key: ana[key] for key in ("status", "suppressed") if key in ana} == standing
    assert (ana["name"], ana["country"], ana["zone"]) == ("Ana Núñez", "PE", "America/Lima")
    assert ana["consent_at"] == datetime(2021, 3, 4, 10, 11, 12, tzinfo=UTC)
    assert ana["confirmed_at"] == datetime(2021, 3, 4, 10, 12, 12, tzinfo=UTC)
    assert ana["attributes"]["tags"] == "VIP;News, daily"
    assert not {"optin_ip", "latitude", "address", "notes"} & set(ana["attributes"]), "places and notes are left behind"
    assert refused == {}


def test_mailchimps_people_who_never_subscribed_are_not_taken(file):
    with pytest.raises(ImportRefusedError, match="who never asked is not imported"):
        read(file(MAILCHIMP.format(more="", values=""), "nonsubscribed_email_audience_export_1.csv"))


@pytest.mark.parametrize(
    ("status", "becomes"),
    [("Subscribed", {"status": "active"}), ("opted_out", {"status": "left"}), ("unconfirmed", {"status": "pending"}),
     ("Blacklisted", {"suppressed": "blocklisted"}), ("spam", {"suppressed": "complaint"})],
)  # fmt: skip
def test_a_column_of_statuses_is_believed(file, status, becomes):
    _, readers, _ = read(file(f"email,status\nana@example.net,{status}\n"))
    assert becomes.items() <= readers[2].items()


def test_a_status_nobody_knows_is_refused_rather_than_taken_for_active(file):
    place = file("email,status\nana@example.net,gold\n")
    assert "leave the column out with --map" in read(place)[2][2].reason
    assert read(place, maps={"status": ""})[1][2]["email"] == "ana@example.net"


def test_a_whole_file_may_be_of_people_who_left_or_worse(file):
    place = file(
        "email,status\nana@example.net,\nben@example.net,active\ncarl@example.net,blocked\ndora@example.net,left\n"
    )
    left = [(one.get("status"), one.get("suppressed")) for one in read(place, standing="unsubscribed")[1].values()]
    assert [one[0] for one in left if not one[1]] == ["left", "left", "left"]
    assert [one[1] for one in left if one[1]] == ["blocklisted"]
    cleaned = read(place, standing="cleaned")[1].values()
    assert [one["suppressed"] for one in cleaned] == ["bounce", "bounce", "blocklisted", "bounce"]
    active = read(place, standing="active")[1].values()
    assert [one.get("status") for one in active if "suppressed" not in one] == [None, "active", "left"], (
        "nobody gets better"
    )


# single fields ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "is_"),
    [
        ("2025-03-31", datetime(2025, 3, 31, tzinfo=UTC)),
        ("2025-03-31T09:00:00Z", datetime(2025, 3, 31, 9, tzinfo=UTC)),
        ("2025-03-31 09:00", datetime(2025, 3, 31, 9, tzinfo=UTC)),
        ("2025-03-31T09:00:00+02:00", datetime(2025, 3, 31, 7, tzinfo=UTC)),
        ("2025-03-31 09:00:00.123456789 +0200 CEST", datetime(2025, 3, 31, 7, 0, 0, 123456, tzinfo=UTC)),
    ],
)
def test_dates_are_read(written, is_):
    assert moment(written) == is_


@pytest.mark.parametrize("written", ["31/03/2025", "2025-02-30", "2025-03-31 25:00", "soon", "0001-01-01T00:00+14:00"])
def test_dates_in_other_orders_or_of_no_calendar_are_refused(written):
    with pytest.raises(ValueError, match="is no d"):
        moment(written)


@pytest.mark.parametrize(
    "cell",
    ["[" * 9_000, "{" * 9_000, "[1, 2]", '"text"', "9" * 5_000, "nothing", '{"a": 1e999999}', '{"a": "\\ud800"}',
     '{"a\\u0000b": "\\u0000"}', json.dumps({"k" * 100: "v"}), '{"a": {"b": {"c": [{"d": 1}, null, true]}}}'],
)  # fmt: skip
def test_json_of_any_kind_is_read_or_refused(cell):
    try:
        kept = checked({"email": "ana@example.net", "attributes": cell})["attributes"]
    except BadFieldError as error:
        fault = error
        kept = {}
    else:
        fault = None
    assert fault is None or fault.column == "attributes"
    assert all(not isinstance(value, str) or value.isprintable() for value in kept.values())
    json.dumps(kept, ensure_ascii=False, allow_nan=False).encode("utf-8")


@pytest.mark.parametrize(
    ("cell", "says"),
    [("{}", "no JSON list"), ("[1]", "no JSON list"), ('[{"digest": "global"}]', "needs its channel"),
     ('[{"digest": "global", "channel": "email", "state": "happy"}]', "no state"),
     ('[{"digest": "global", "channel": "email", "state": "left", "id": 1}]', "has no 'id'"),
     ('[{"digest": "sport", "channel": "email", "state": "left"}]', "no digest 'sport' here")],
)  # fmt: skip
def test_subscriptions_that_make_no_sense_are_refused(file, cell, says):
    quoted = '"' + cell.replace('"', '""') + '"'
    _, readers, refused = read(file(f"email,subscriptions\nana@example.net,{quoted}\n"))
    assert (readers, refused[2].column) == ({}, "subscriptions")
    assert says in refused[2].reason


# anything -----------------------------------------------------------------------------------------------------------

pieces = st.sampled_from([
    b"email", b"name", b"ana@example.net", b",", b";", b"\t", b"|", b'"', b"\n", b"\r\n", b"\r", b"\0", b"\xff", b"\xc3\xb1",
    b"\xf1", b"=1+1", b"'", b"{", b"status", b"left", b"\xef\xbb\xbf", b"\xff\xfe", b"\x1f\x8b", b"PK\x03\x04", b"sep=;",
])  # fmt: skip
contents = st.one_of(
    st.binary(max_size=200),
    st.lists(pieces, max_size=40).map(b"".join),
    st.lists(pieces, max_size=40).map(lambda parts: b"email,name\n" + b"".join(parts)),
    st.lists(pieces, max_size=30).map(lambda parts: gzip.compress(b"email\n" + b"".join(parts))),
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(contents, st.booleans())
@example(b"\xff\xfee", False)
@example(b"email\n\x1c", False)
def test_any_bytes_are_read_refused_by_line_or_refused_as_a_whole(tmp_path, content, attributes):
    place = tmp_path / "readers.csv"
    place.write_bytes(content)
    try:
        _, readers, refused = read(place, attributes=attributes)
    except ImportRefusedError as error:
        words, readers, refused = str(error), {}, {}
    else:
        words = ""
    assert "\n" not in words
    for reader in readers.values():
        assert "@" in reader["email"]
        str(reader).encode("utf-8"), str(reader.get("attributes", "")).encode("utf-8")
    assert all(one.reason and one.line > 0 for one in refused.values())


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(pieces.filter(lambda piece: piece not in {b"\x1f\x8b", b"\xff\xfe"}), max_size=25).map(b"".join))
def test_whatever_stands_between_two_good_lines_both_are_read(tmp_path, middle):
    place = tmp_path / "readers.csv"
    good = [f"r{n}@example.net,Núñez,b,c" for n in range(30)]
    place.write_bytes(
        "\n".join(["email,name,topics,plan", *good, ""]).encode() + middle + b"\nlast@example.net,Z,b,c\n"
    )
    _, readers, _ = read(place)
    assert {"r0@example.net", "r29@example.net", "last@example.net"} <= set(emails(readers).values())


def test_a_record_is_never_longer_than_a_line_may_be(file):
    content = 'email,name\nana@example.net,"' + "x\n" * (LONGEST_LINE // 2) + '"\nben@example.net,Ben\n'
    _, readers, refused = read(file(content))
    assert list(emails(readers).values()) == ["ben@example.net"]
    assert refused[2].reason.startswith("a quote is opened")


def test_lines_are_read_from_a_stream_not_from_memory(file):
    """A sheet asks for lines by `readline` alone, with a limit each time."""

    class Counted(io.StringIO):
        asked = []  # noqa: RUF012

        def readline(self, size=-1):
            self.asked.append(size)
            return super().readline(size)

    sheet = Sheet.of(TextFile.of(file("email\nana@example.net\n")), Hints())
    text = Counted("email\n" + "r@example.net\n" * 10)
    assert len(list(sheet.entries(text))) == 10
    assert set(text.asked) == {LONGEST_LINE}
