"""Segmenting a stream of tokens: each segment as early as it is safe, and no text lost."""

from __future__ import annotations

import random

import pytest

from oviya.text.segmenter import Segmenter


def cut(text: str, step: int = 4, **limits) -> list[str]:
    """The segments of `text`, pushed `step` characters at a time."""
    segmenter = Segmenter(**limits)
    pieces = [piece for at in range(0, len(text), step) for piece in segmenter.push(text[at : at + step])]
    return [piece.text for piece in [*pieces, *segmenter.flush()]]


@pytest.mark.parametrize("step", [1, 3, 4, 1000])
@pytest.mark.parametrize(
    "pieces",
    [
        ["Hello there.", "How are you?", "I am fine!"],
        ["Dr. Smith paid Mrs. Jones 3.5 dollars.", "Then he left."],
        ["Wait... what did you say?", "Ok."],
        ['"Really?" he said.', '"Go.', 'Then stop."', "And he left."],
        ["We met at 5 p.m. on Monday.", "It was J. R. Tolkien, e.g. as a boy."],
        ["He came at 5 p.m.", "Then he left."],
        ["The U.S. is big.", "So is No. 5 on the list.", "No.", "Not now."],
        ["1. First item", "2. Second item", "Done"],
        ["\u4f60\u597d\u3002", "\u518d\u89c1\uff01"],
        ["[calm_supportive] I hear you.", "[curious] What happened?"],
    ],
)
def test_sentences_end_where_readers_expect_it(pieces, step):
    text = "\n".join(pieces) if pieces[0].startswith("1.") else " ".join(pieces)
    assert cut(text, step, first_clause_chars=0) == pieces


@pytest.mark.parametrize(
    ("tokens", "leaves"),
    [
        (["I", " hear", " you", "."], True),  # a plain word: nothing that follows changes it
        (["What", " happened", "?"], True),
        (["It", " costs", " 3", "."], False),  # 3.5
        (["See", " Dr", "."], False),
        (["We", " met", " at", " 5", " p.m", "."], False),
        (["Ask", " anna@example", "."], False),
        (["He", " said", ' "Go', "."], False),  # a closing quote, and perhaps: he said
        (["Well", "..."], False),  # may go on
    ],
)
def test_a_sentence_is_returned_at_its_stop_if_that_is_certain(tokens, leaves):
    segmenter = Segmenter()
    pieces = [piece for token in tokens for piece in segmenter.push(token)]
    assert bool(pieces) == leaves
    rest = segmenter.flush()
    assert " ".join(piece.text for piece in [*pieces, *rest]) == "".join(tokens)


def test_text_after_an_early_stop_is_neither_lost_nor_misread():
    # "example." has left when ".com" turns out to follow
    assert cut("Look at example.com now.", 1) == ["Look at example.", "dot com now."]
    assert cut("Really?!? Yes.", 1) == ["Really?", "Yes."]
    assert cut("**I am here.** Are you?", 1) == ["**I am here.", "Are you?"]


def test_only_the_first_clause_is_returned_early():
    text = "I am so sorry to hear that you are alone tonight, because nights are long, are they not, my friend?"
    assert cut(text, first_clause_chars=40) == [
        "I am so sorry to hear that you are alone tonight,",
        "because nights are long, are they not, my friend?",
    ]
    assert cut(text, first_clause_chars=0) == [text]
    tagged = Segmenter(first_clause_chars=20)
    assert not tagged.push("[concerned_anxious] Oh no, ")  # the tag does not count
    pieces = Segmenter(first_clause_chars=10).push("[joy] You have done it again, well done. ")
    assert [piece.starts_sentence for piece in pieces] == [True, False]
    assert cut("It cost 1,000,000 dollars in all, they say.", first_clause_chars=5)[0].endswith("in all,")


def test_ten_thousand_words_without_a_full_stop_are_segmented_as_they_arrive():
    segmenter, pieces, longest_wait, waiting = Segmenter(max_chars=200), [], 0, 0
    tokens = [f" word{number}" for number in range(10_000)]
    for token in tokens:
        waiting += len(token)
        if new := segmenter.push(token):
            pieces += new
            longest_wait, waiting = max(longest_wait, waiting), 0
    pieces += segmenter.flush()
    assert " ".join(piece.text for piece in pieces) == "".join(tokens).strip()
    assert max(len(piece.text) for piece in pieces) <= 200
    assert longest_wait <= 220
    assert [piece.starts_sentence for piece in pieces] == [True] + [False] * (len(pieces) - 1)


def test_an_endless_word_is_cut():
    pieces = cut("x" * 10_000, 7, max_chars=100)
    assert "".join(pieces) == "x" * 10_000
    assert max(map(len, pieces)) <= 100


def test_no_text_is_lost():
    source = random.Random(7)
    alphabet = [
        "a",
        "B ",
        "3",
        ".",
        "?",
        "!",
        "\u2026",
        ", ",
        '"',
        "(",
        ")",
        "\n",
        " ",
        "Dr",
        " e.g",
        "\u3002",
        "-",
        ":",
    ]
    for _ in range(300):
        text = "".join(source.choices(alphabet, k=source.randint(1, 120)))
        pieces = cut(text, source.randint(1, 9), max_chars=40, first_clause_chars=10)
        kept = [c for piece in pieces for c in piece.replace("dot ", "") if c.isalnum()]
        assert kept == [c for c in text if c.isalnum()], text
        assert all(len(piece) <= 45 for piece in pieces)
