"""Emotion from text, with the classifier that ships."""

from __future__ import annotations

import json
import shutil
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from oviya.errors import CheckpointError
from oviya.model.checkpoint import read_card, shipped_checkpoint
from services.emotion.affect import centre, load_affects
from services.emotion.prosody.catalogue import Catalogue
from services.emotion.words.lexicon import DATA, load_lexicon
from services.emotion.words.lexicon_detector import LexiconDetector
from services.emotion.words.text_detector import ClassifierDetector
from services.emotion.words.text_features import MAX_CHARS, key_of, letters_of, phrases_of, words_of
from services.emotion.words.text_model import TextModel
from tests.support.faulty_data import copy_with_fault

NAMES = {emotion.name for emotion in Catalogue.load()}
AFFECTS = load_affects()
MODEL = shipped_checkpoint("emotion")
MAX_MEGABYTES = 12


@pytest.fixture(scope="module")
def model() -> TextModel:
    return TextModel.load(MODEL)


@pytest.fixture(scope="module")
def detector(model) -> ClassifierDetector:
    return ClassifierDetector(model, LexiconDetector(load_lexicon(NAMES)), NAMES)


def first(judgement) -> str:
    return max(judgement.shares, key=lambda name: judgement.shares[name])


@pytest.mark.parametrize(
    ("text", "emotion"),
    [
        ("i feel so sad today", "melancholic"),
        ("what should i do when i feel sad and lonely", "lonely"),
        ("i am so happy today", "joyful_excited"),
        ("I CAN'T WAIT for christmas!!", "excited"),
        ("i cant wait for christmas", "excited"),
        ("i am worried sick about my son", "concerned_anxious"),
        ("there is a spider and i am terrified", "fearful"),
        ("i hate it", "angry_firm"),
        ("thank you so much for listening", "grateful"),
        ("i'm so proud of my daughter", "proud"),
        ("i haven't slept all week", "tired"),
        ("that is disgusting", "disgusted"),
        ("phew, what a relief", "relieved"),
        ("haha that's hilarious", "amused"),
        ("my mother died last week", "melancholic"),
        ("i love you", "affectionate"),
        ("soooo booored", "bored"),
        ("😭", "melancholic"),
        ("❤️", "affectionate"),
        ("the train leaves at five", "neutral"),
        ("i have something to tell you about today", "neutral"),
    ],
)
def test_the_first_emotion_is_the_one_that_the_words_show(detector, text, emotion):
    assert first(detector.judge(text)) == emotion


@pytest.mark.parametrize("text", ["i am not happy", "i'm not happy", "im not happy", "i am not at all happy"])
def test_who_denies_joy_is_not_joyful(detector, text):
    judgement = detector.judge(text)
    assert first(judgement) == "disappointed"
    assert centre(judgement.shares, AFFECTS).valence < -0.2
    assert "joy is denied" in judgement.notes


@pytest.mark.parametrize("text", ["i am not sad", "i'm not angry with you", "i am not afraid"])
def test_who_denies_pain_is_not_in_pain(detector, text):
    assert centre(detector.judge(text).shares, AFFECTS).valence > 0


@pytest.mark.parametrize("text", ["no, i am happy", "i have never been so happy", "i'm not sure but i am so happy"])
def test_a_denial_reaches_neither_back_nor_far(detector, text):
    assert first(detector.judge(text)) == "joyful_excited"


@pytest.mark.parametrize(
    "text",
    ["", "   ", "\u200b\u200b\ufeff", "ქართული ენა", "今日はとても悲しい", "مرحبا كيف حالك", "\x00\x01", "\ud800"],
)
def test_what_cannot_be_read_is_neutral_and_a_guess(detector, text):
    judgement = detector.judge(text)
    assert judgement.shares == {"neutral": 1.0}
    assert judgement.confidence == 0


def test_invisible_characters_change_nothing(detector):
    plain = detector.judge("i am so happy today")
    hidden = detector.judge("i\u200b am\u2060 so h\u200dap\u200bpy to\u00adday\ufeff")
    assert hidden == plain


def test_full_width_and_curly_letters_are_read(detector):
    assert detector.judge("I\u2019m so happy") == detector.judge("I'm so happy")
    assert first(detector.judge("\uff29 \uff41\uff4d \uff53\uff4f \uff48\uff41\uff50\uff50\uff59")) == "joyful_excited"


def test_a_hundred_kilobytes_are_judged_by_their_end(detector):
    ending = "i am so happy today "
    long = detector.judge("i hate it i love it " * 5000 + ending * (MAX_CHARS // len(ending)))
    assert first(long) == "joyful_excited"
    for text in (
        "a" * 100_000,
        "!" * 100_000,
        "not " * 25_000,
        "😭" * 100_000,
        "\u200b" * 100_000,
        "i am not " * 11_000,
    ):
        judgement = detector.judge(text)
        assert sum(judgement.shares.values()) == pytest.approx(1)
        assert all(share >= 0 for share in judgement.shares.values())
        assert set(judgement.shares) <= NAMES
        assert 0 <= judgement.confidence <= 1.0001


def test_the_same_text_gives_the_same_scores(model):
    text = "I don't know, it was nice but I am tired of it :("
    np.testing.assert_array_equal(model.score(text).probabilities, TextModel.load(MODEL).score(text).probabilities)


def test_features_are_words_pairs_triples_and_letters():
    words = words_of("I don\u2019t KNOOOOW!!! :(")
    assert words == ["i", "don't", "knoow", "!!", ":", "("]
    assert list(phrases_of(["so", "sad"])) == ["so", "sad", "< so", "so sad", "sad >"]
    assert list(letters_of(["hi"], (2, 3))) == ["#_h", "#hi", "#i_", "#_hi", "#hi_"]
    assert key_of("sad") == zlib.crc32(b"sad")


def test_the_card_says_what_it_is_and_the_weights_are_small():
    card = read_card(MODEL)
    assert (card.name, card.trained, card.license) == ("oviya-emotion", True, "Apache-2.0")
    assert "macro-F1" in (MODEL / "README.md").read_text("utf-8")
    assert sum(file.stat().st_size for file in MODEL.iterdir()) < MAX_MEGABYTES * 1e6


@pytest.fixture
def copied(tmp_path) -> Path:
    return shutil.copytree(MODEL, tmp_path / "model")


def test_a_damaged_model_is_refused_in_one_line(copied):
    weights = copied / "weights.npz"
    whole = weights.read_bytes()
    for damaged in (whole[:1000], whole[: len(whole) // 2], b"", b"not a model"):
        weights.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"weights\.npz"):
            TextModel.load(copied)
    weights.unlink()
    with pytest.raises(CheckpointError, match="no such file"):
        TextModel.load(copied)
    with pytest.raises(CheckpointError, match="no such checkpoint folder"):
        TextModel.load(copied / "nowhere")


def test_a_model_of_other_labels_is_refused(copied, detector):
    config = json.loads((copied / "config.json").read_text("utf-8"))
    (copied / "config.json").write_text(json.dumps({"labels": config["labels"][:-1]}), "utf-8")
    with pytest.raises(CheckpointError, match="27 labels"):
        TextModel.load(copied)
    renamed = ["bliss", *config["labels"][1:]]
    (copied / "config.json").write_text(json.dumps({"labels": renamed}), "utf-8")
    with pytest.raises(ValueError, match="bliss"):
        ClassifierDetector(TextModel.load(copied), LexiconDetector(load_lexicon(NAMES)), NAMES)


def test_a_missing_array_is_refused(copied):
    weights = copied / "weights.npz"
    with zipfile.ZipFile(weights) as archive:
        kept = {name: archive.read(name) for name in archive.namelist() if name != "word_keys.npy"}
    with zipfile.ZipFile(weights, "w") as archive:
        for name, data in kept.items():
            archive.writestr(name, data)
    with pytest.raises(CheckpointError, match="word_keys"):
        TextModel.load(copied)


def test_a_label_without_an_emotion_is_refused(tmp_path, model):
    folder = copy_with_fault(DATA, tmp_path, "labels.tsv", "joy\tjoyful_excited", "joy\tjoyous")
    with pytest.raises(ValueError, match="joyous"):
        ClassifierDetector(model, LexiconDetector(load_lexicon(NAMES)), NAMES, folder)
