"""The table of written and spoken text, as a whole and token by token."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from oviya.text.segmenter import Segmenter
from oviya.text.sentences import Verbalizer, split_into_sentences
from oviya.text.speakable import speakable

TABLE = Path(__file__).with_name("spoken.tsv")
ROWS = [
    tuple(line.split("\t"))
    for line in TABLE.read_text("utf-8").splitlines()
    if "\t" in line and not line.startswith("# ")
]


def words(text: str) -> list[str]:
    """The spoken words, without punctuation and capitals."""
    return re.findall(r"[^\W_]+", text.lower())


def streamed(parts: list[str]) -> str:
    """The spoken form of a text that arrives in `parts`."""
    segmenter, verbalizer = Segmenter(max_chars=240, first_clause_chars=0), Verbalizer()
    pieces = [piece for part in parts for piece in segmenter.push(part)] + segmenter.flush()
    said = [verbalizer.add(piece.text) for piece in pieces] + [verbalizer.finish()]
    return " ".join(sentence.spoken for sentence in said if sentence)


def test_the_table_is_long_and_has_no_row_twice():
    assert len(ROWS) >= 300
    assert len({row[0] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize(("text", "spoken"), ROWS)
def test_spoken(text, spoken):
    assert speakable(text) == spoken


@pytest.mark.parametrize("text", [row[0] for row in ROWS])
def test_the_same_is_said_however_the_tokens_are_split(text):
    whole = words(" ".join(said.spoken for said in split_into_sentences(text, 240)))
    for at in range(1, len(text)):
        assert words(streamed([text[:at], text[at:]])) == whole, (text[:at], text[at:])
    assert words(streamed(list(text))) == whole


def test_the_tokens_of_a_public_report_make_two_sentences():
    segmenter = Segmenter()
    tokens = ["I", " am", " fine", ".", "How", " are", " you", "?"]
    pieces = [piece for token in tokens for piece in segmenter.push(token)] + segmenter.flush()
    assert [piece.text for piece in pieces] == ["I am fine.", "How are you?"]
    assert streamed(["Look at example", ".", "com", " now", "."]) == "Look at example. dot com now."
