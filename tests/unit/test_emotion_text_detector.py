"""Emotion from text: the lexicon and its rules."""

from __future__ import annotations

import shutil

import pytest

from services.emotion.catalogue import DATA, Catalogue
from services.emotion.lexicon import load_lexicon
from services.emotion.text_detector import TOP, LexiconDetector
from services.emotion.tokens import tokenize

NAMES = {emotion.name for emotion in Catalogue.load()}


@pytest.fixture(scope="module")
def detector() -> LexiconDetector:
    return LexiconDetector(load_lexicon(NAMES))


def first(judgement) -> str:
    return judgement.emotions[0][0]


@pytest.mark.parametrize(
    ("text", "emotion"),
    [
        ("what should i do when i feel sad and lonely", "melancholic"),
        ("i am so happy today", "joyful_excited"),
        ("I CAN'T WAIT for christmas!!", "excited"),
        ("i cant wait for christmas", "excited"),
        ("nobody cares about me", "lonely"),
        ("i am worried sick about my son", "concerned_anxious"),
        ("there is a spider and i am terrified", "fearful"),
        ("i am furious with my boss", "angry_firm"),
        ("nothing works and i am fed up", "frustrated"),
        ("thank you so much for listening", "grateful"),
        ("i'm so proud of my daughter", "proud"),
        ("i haven't slept all week", "tired"),
        ("it's all my fault", "guilty"),
        ("that is disgusting", "disgusted"),
        ("phew, what a relief", "relieved"),
        ("haha that's hilarious", "amused"),
        ("I wonder how the stars were made", "curious"),
        ("😭", "melancholic"),
        ("❤️", "affectionate"),
        ("👍🏽", "encouraging"),
        ("i got the job :)", "joyful_excited"),
        ("i love you", "affectionate"),
        ("soooo booored", "bored"),
    ],
)
def test_the_first_emotion_is_the_one_that_the_words_show(detector, text, emotion):
    assert first(detector.judge(text)) == emotion


@pytest.mark.parametrize("text", ["i am not happy", "i'm not happy", "im not happy", "i am not at all happy"])
def test_negation_turns_a_feeling_round(detector, text):
    judgement = detector.judge(text)
    assert judgement.valence < -0.2
    assert first(judgement) == "melancholic"


def test_negation_reaches_neither_back_nor_over_a_comma(detector):
    assert detector.judge("no, i am happy").valence > 0.3
    assert detector.judge("i am happy, not sad").valence > 0.3


def test_never_so_is_more_not_less(detector):
    assert detector.judge("i have never been so happy").valence > detector.judge("i am happy").valence * 0.99
    assert first(detector.judge("I've never been this sad in my life!")) == "melancholic"


@pytest.mark.parametrize(
    ("weaker", "stronger"),
    [
        ("the film was sad", "the film was very sad"),
        ("the film was slightly sad", "the film was sad"),
        ("he is sad", "he is SAD"),
        ("it was funny", "it was funny!!"),
        ("it is about being sad", "i feel sad"),
    ],
)
def test_intensity_raises_the_score(detector, weaker, stronger):
    low, high = detector.judge(weaker), detector.judge(stronger)
    assert first(low) == first(high)
    assert high.emotions[0][1] > low.emotions[0][1]


def test_what_follows_but_counts_more(detector):
    assert first(detector.judge("i was happy but now i am tired")) == "tired"
    assert first(detector.judge("i was tired but now i am happy")) == "joyful_excited"


def test_arousal_tells_excited_from_content_and_furious_from_sad(detector):
    for roused, drowsy in [("i am so excited", "i am at peace"), ("i am furious", "i am depressed")]:
        assert detector.judge(roused).arousal > 0.4
        assert detector.judge(drowsy).arousal < 0


@pytest.mark.parametrize("text", ["", "   ", "the train leaves at five", "....", "12345", "ქართული", "\u200b\u200b"])
def test_where_nothing_is_found_it_is_neutral_and_a_guess(detector, text):
    judgement = detector.judge(text)
    assert judgement.emotions == (("neutral", 1.0),)
    assert (judgement.valence, judgement.arousal, judgement.confidence) == (0, 0, 0)


def test_judgements_keep_their_ranges_on_long_and_strange_text(detector):
    long = "i hate it i love it wow thanks i am bored and scared sorry proud yuck " * 120
    for text in (
        long[:8192],
        "a" * 8192,
        "!" * 8192,
        "not " * 2048,
        "😭" * 8192,
        "\x00\ud7ff\ufffd",
        "so " * 500 + "sad",
    ):
        judgement = detector.judge(text)
        assert 1 <= len(judgement.emotions) <= TOP
        scores = [score for _, score in judgement.emotions]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)
        assert sum(scores) <= 1.0001
        assert {name for name, _ in judgement.emotions} <= NAMES
        assert -1 <= judgement.valence <= 1
        assert -1 <= judgement.arousal <= 1
        assert 0 <= judgement.confidence <= 1


def test_tokens_write_contractions_out():
    assert [token.text for token in tokenize("I\u2019m NOT happy :) can't")] == [
        "i",
        "am",
        "not",
        "happy",
        ":)",
        "can",
        "not",
    ]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('"overjoyed"', '"Overjoyed"', "Overjoyed"),
        ('"overjoyed"', '"ov*"', r"ov\*"),
        ('"overjoyed"', '"furious"', "furious"),
        ("[dreamy]", "[dreamlike]", "dreamlike"),
        ('negated = "bored"', 'negated = "flat"', "flat"),
        ("valence = 0.85", "valence = 8.5", "within"),
        ("strong = ", "strongest = ", "strongest"),
    ],
)
def test_a_faulty_lexicon_is_refused_by_name(tmp_path, old, new, complaint):
    folder = shutil.copytree(DATA, tmp_path / "data")
    table = folder / "lexicon.toml"
    text = table.read_text("utf-8")
    assert old in text
    table.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(ValueError, match=complaint):
        load_lexicon(NAMES, folder)
