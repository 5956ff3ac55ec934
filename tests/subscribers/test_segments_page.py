"""The page on segments: every example is read, and every refusal says what the page says."""

import re
from pathlib import Path

import pytest

from subscribers.grammar import FIELDS, STARTS
from subscribers.plain_words import clauses
from subscribers.segments import Names, SegmentError, TrackingError, compile_rule
from tests.crowd import DIGESTS, NOW

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "segments.md").read_text(encoding="utf-8")
NAMES = Names(
    segments={"quiet readers": "tracked and not opened within 90 days", "newcomers": "joined within 1 week", "pilot": "sample 10 percent"},
    digests=DIGESTS, personal=True,
)  # fmt: skip


def blocks(kind):
    return [
        line
        for block in re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]


EXAMPLES = blocks("segment")


@pytest.mark.parametrize(
    "rule", [*EXAMPLES, *re.findall(r"^digest segments (?:test|add \S+) '(.*?)'", PAGE, re.MULTILINE)]
)
def test_every_example_is_read_and_put_in_words(rule):
    compile_rule(rule, now=NOW, names=NAMES)
    assert clauses(rule, now=NOW, names=NAMES)


def test_there_is_an_example_of_every_field_and_word():
    everything = " ".join(EXAMPLES)
    for word in (*(name.removesuffix("NAME") for name in FIELDS), *STARTS):
        assert word in everything, word


@pytest.mark.parametrize("line", blocks("refused"))
def test_what_is_refused_is_refused_in_those_words(line):
    rule, says = (part.strip() for part in line.split("|"))
    with pytest.raises(SegmentError) as told:
        compile_rule(rule, now=NOW, names=NAMES)
    assert str(told.value).startswith(says)


def test_the_words_that_need_personal_tracking_are_those_under_their_heading():
    (section,) = re.findall(r"## Opens and clicks\n(.*?)\n## ", PAGE, re.DOTALL)
    (examples,) = re.findall(r"```segment\n(.*?)```", section, re.DOTALL)
    for rule in examples.splitlines():
        with pytest.raises(TrackingError):
            compile_rule(rule, now=NOW, names=Names(digests=DIGESTS))
