"""The lexicon: signs, and feelings without a label of the classifier."""

from __future__ import annotations

import csv
import tomllib

import pytest

from services.emotion.prosody.catalogue import Catalogue
from services.emotion.words.lexicon import DATA, load_lexicon
from services.emotion.words.lexicon_detector import LexiconDetector
from services.emotion.words.tokens import tokenize
from tests.support.faulty_data import copy_with_fault

NAMES = {emotion.name for emotion in Catalogue.load()}


@pytest.fixture(scope="module")
def detector() -> LexiconDetector:
    return LexiconDetector(load_lexicon(NAMES))


def first(shares: dict[str, float]) -> str:
    return max(shares, key=lambda name: shares[name], default="")


@pytest.mark.parametrize(
    ("text", "emotion"),
    [
        ("nobody cares about me", "lonely"),
        ("i am worried sick about my son", "concerned_anxious"),
        ("i haven't slept all week", "tired"),
        ("soooo booored", "bored"),
        ("i feel so nostalgic", "nostalgic"),
        ("😭", "melancholic"),
        ("❤️", "affectionate"),
        ("👍🏽", "encouraging"),
        ("see you :)", "joyful_excited"),
        ("i was calm but now i am tired", "tired"),
        ("i was tired but now i am calm", "calm_supportive"),
    ],
)
def test_the_first_feeling_is_the_one_that_the_words_show(detector, text, emotion):
    assert first(detector.judge(text)) == emotion


@pytest.mark.parametrize("text", ["i am not tired", "i'm not tired", "im not tired", "i am not at all tired"])
def test_negation_takes_a_feeling_back(detector, text):
    assert "tired" not in detector.judge(text)


def test_negation_reaches_neither_back_nor_over_a_comma(detector):
    assert first(detector.judge("no, i am tired")) == "tired"
    assert first(detector.judge("i am tired, not bored")) == "tired"
    assert first(detector.judge("i've never been this tired in my life")) == "tired"


@pytest.mark.parametrize(
    ("weaker", "stronger"),
    [
        ("he is tired", "he is very tired"),
        ("he is slightly tired", "he is tired"),
        ("he is tired", "he is TIRED"),
        ("it was tiring and i was bored", "it was tiring and i was bored!!"),
        ("it is about being tired", "i feel tired"),
    ],
)
def test_intensity_raises_the_share(detector, weaker, stronger):
    assert sum(detector.judge(stronger).values()) > sum(detector.judge(weaker).values())


@pytest.mark.parametrize("text", ["", "   ", "the train leaves at five", "....", "12345", "ქართული", "\u200b\u200b"])
def test_where_nothing_is_found_there_is_nothing(detector, text):
    assert detector.judge(text) == {}


def test_shares_keep_their_range_on_long_and_strange_text(detector):
    long = "i am bored and tired and lonely 😭 yuck " * 300
    for text in (long, "a" * 8192, "!" * 8192, "not " * 2048, "😭" * 8192, "\x00\ud7ff\ufffd", "so " * 500 + "bored"):
        shares = detector.judge(text)
        assert all(0 < share < 1 for share in shares.values())
        assert sum(shares.values()) < 1
        assert set(shares) <= NAMES


def test_words_stand_only_for_feelings_without_a_label():
    with (DATA / "labels.tsv").open(encoding="utf-8") as lines:
        reached = {row["emotion"] for row in csv.DictReader(lines, delimiter="\t")}
    tables = tomllib.loads((DATA / "lexicon.toml").read_text("utf-8"))
    for emotion in reached & set(tables):
        for phrases in tables[emotion].values():
            assert [phrase for phrase in phrases if len(phrase) > 4] == [], emotion


def test_tokens_write_contractions_out():
    words = [token.text for token in tokenize("I\u2019m NOT happy :) can't")]
    assert words == ["i", "am", "not", "happy", ":)", "can", "not"]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('"insomnia"', '"Insomnia"', "Insomnia"),
        ('"insomnia"', '"in*"', r"in\*"),
        ('"insomnia"', '"lonely"', "lonely"),
        ("[dreamy]", "[dreamlike]", "dreamlike"),
        ('negated = "curious"', 'negated = "flat"', "flat"),
        ("strong = ", "strongest = ", "strongest"),
    ],
)
def test_a_faulty_lexicon_is_refused_by_name(tmp_path, old, new, complaint):
    folder = copy_with_fault(DATA, tmp_path, "lexicon.toml", old, new)
    with pytest.raises(ValueError, match=complaint):
        load_lexicon(NAMES, folder)
