"""Splitting text into sentences, as they are written and as they are spoken."""

from __future__ import annotations

import random
import time

import pytest

from oviya.text.sentences import SpokenText, is_speakable, split_into_sentences, split_sentence, with_end


def texts(text: str, max_chars: int = 200) -> list[str]:
    return [said.text for said in split_into_sentences(text, max_chars)]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Hello.", ["Hello."]),
        ("Hello. How are you? Fine!", ["Hello.", "How are you?", "Fine!"]),
        ("Dr. Smith met Mrs. Jones. They talked.", ["Dr. Smith met Mrs. Jones.", "They talked."]),
        ("Gov. Newsom met the U.S. Army. 1. First.", ["Gov. Newsom met the U.S. Army.", "1. First."]),
        ("He lives in the U.S. They left.", ["He lives in the U.S.", "They left."]),
        ("Sen. Warren and Rep. Lee met Gen. Kim. Then they left.", ["Sen. Warren and Rep. Lee met Gen. Kim.",
        "Then they left."]),
        ("It costs 3.50 or 1,000.25 today. Yes.", ["It costs 3.50 or 1,000.25 today.", "Yes."]),
        ("J. R. R. Tolkien wrote. J.R.R. Tolkien read.", ["J. R. R. Tolkien wrote.", "J.R.R. Tolkien read."]),
        ("So do I. Then we agree.", ["So do I.", "Then we agree."]),
        ("Bring fruit, e.g. apples. Thanks.", ["Bring fruit, e.g. apples.", "Thanks."]),
        ("No. It is No. 5 in the list.", ["No.", "It is No. 5 in the list."]),
        ("Wait... what? Oh\u2026 well.", ["Wait... what?", "Oh\u2026 well."]),
        ('"Really?" he asked. "Yes!" "Good."', ['"Really?" he asked.', '"Yes!"', '"Good."']),
        ("One line\nstill the same. Next", ["One line still the same.", "Next"]),
        ("A title\n\nA text.", ["A title", "A text."]),
        ("See example.com for v1.2.3 now.", ["See example.com for v1.2.3 now."]),
        ("What?! No!!! Yes.", ["What?!", "No!!!", "Yes."]),
        ("I am fine.How are you?", ["I am fine.", "How are you?"]),
        ("(See Fig. 3.) Next one.", ["(See Fig. 3.)", "Next one."]),
        ("He left at 5 p.m. Then she came at 6 p.m. Monday.", ["He left at 5 p.m.", "Then she came at 6 p.m. Monday."]),
        ("Apple Inc. Tim Cook said. The cat sat. Anna laughed.",
         ["Apple Inc. Tim Cook said.", "The cat sat.", "Anna laughed."]),
        ("1. Mix it.\n2. Bake it.\nDone.", ["1. Mix it.", "2. Bake it.", "Done."]),
        ("!!! ... ??", []),
        ("Hm. --- ***", ["Hm."]),
        ("\u4eca\u65e5\u306f\u3002\u5143\u6c17\u3067\u3059\u304b\uff1f\u306f\u3044",
         ["\u4eca\u65e5\u306f\u3002", "\u5143\u6c17\u3067\u3059\u304b\uff1f", "\u306f\u3044"]),
        ("\u300c\u4f60\u597d\u3002\u300d\u4ed6\u8bf4\u3002", ["\u300c\u4f60\u597d\u3002\u300d", "\u4ed6\u8bf4\u3002"]),
        ("\u0645\u0631\u062d\u0628\u0627\u061f \u0646\u0639\u0645.", ["\u0645\u0631\u062d\u0628\u0627\u061f",
        "\u0646\u0639\u0645."]),
        ("\u0928\u092e\u0938\u094d\u0924\u0947\u0964 \u0939\u093e\u0901\u0964",
         ["\u0928\u092e\u0938\u094d\u0924\u0947\u0964", "\u0939\u093e\u0901\u0964"]),
        ("a\x00b\x1b[31m c\u200bd\ufeff.", ["ab[31m cd."]),
        ("", []),
    ],
)  # fmt: skip
def test_sentences(text, sentences):
    assert texts(text) == sentences


def test_a_sentence_is_kept_as_written_and_as_said():
    assert list(split_into_sentences("See example.com. It costs \u20ac9.99! \U0001f389", 200)) == [
        SpokenText("See example.com.", "See example dot com."),
        SpokenText("It costs \u20ac9.99! \U0001f389", "It costs nine euros and ninety-nine cents!"),
    ]
    [bold] = split_into_sentences("**Bold** *smiles* [docs](https://x.com)", 200)
    assert bold == SpokenText("Bold docs", "Bold docs")


def test_emoji_are_said_where_there_is_nothing_else():
    assert list(split_into_sentences("\U0001f44d", 200)) == [SpokenText("\U0001f44d", "thumbs up")]
    assert list(split_into_sentences("\U0001f44d\n\U0001f389", 200)) == [
        SpokenText("\U0001f44d \U0001f389", "thumbs up, party popper")
    ]
    [great] = split_into_sentences("\U0001f44d\nGreat.\n\U0001f389", 200)
    assert great == SpokenText("\U0001f44d Great.", "Great.")
    assert [text for text in ("?", "...", " ", "", "<|im_end|>", "---", "*nods*") if is_speakable(text)] == []
    assert all(map(is_speakable, ("a", "7", "\U0001f44d", ":)", "\u4f60", "\u20ac5")))


def test_a_known_spoken_form_is_used():
    assert split_sentence("It costs $5.", 200, "It costs five bucks.") == [
        SpokenText("It costs $5.", "It costs five bucks.")
    ]
    assert split_sentence("It costs $5.", 200) == [SpokenText("It costs $5.", "It costs five dollars.")]
    assert len(split_sentence("word " * 100, 100, "word")) == 5


def test_long_sentences_are_cut_at_clauses_then_words_then_anywhere():
    clause = "when the rain had stopped and the sun came out again, " * 4
    pieces = texts(clause.strip(), 120)
    assert all(piece.endswith(",") for piece in pieces)
    assert " ".join(pieces) == clause.strip()
    assert texts("word " * 10, 12) == ["word word"] * 5
    assert texts("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]


def test_a_cut_keeps_numbers_with_their_units():
    text = "The price of all of these things together comes to 9,99 \u20ac"
    for limit in range(30, len(text)):
        assert texts(text, limit)[-1].endswith("9,99 \u20ac")


def test_nothing_is_lost_and_nothing_is_too_long():
    source = random.Random(5)
    alphabet = [*"ab .,!?\n-;'\"3", "Dr. ", "e.g. ", "\u2026 "]
    for _ in range(300):
        text = "".join(source.choices(alphabet, k=source.randint(0, 200)))
        pieces = texts(text, 40)
        assert all(0 < len(piece) <= 45 for piece in pieces)
        letters = [character for character in "".join(pieces) if character.isalpha()]
        assert letters == [character for character in text if character.isalpha()], text


def test_time_is_linear_in_the_length():
    def cpu_s(sentences: int) -> float:
        text = "A sentence with some words, and a clause. " * sentences
        started = time.process_time()
        assert len(texts(text, 240)) == sentences
        return time.process_time() - started

    short, long = min(cpu_s(200) for _ in range(3)), cpu_s(2_000)
    assert long < 40 * short


@pytest.mark.parametrize(
    ("spoken", "ended"),
    [
        ("hello", "hello."),
        ("Hello.", "Hello."),
        ("you?", "you?"),
        ("one,", "one,"),
        ('he said "yes"', 'he said "yes"'),
        ("", ""),
    ],
)
def test_a_sentence_without_an_end_gets_a_full_stop(spoken, ended):
    assert with_end(spoken) == ended
