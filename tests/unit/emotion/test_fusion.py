"""Fusion of words and voice, smoothing over turns, and the tone that answers."""

from __future__ import annotations

import csv

import pytest

from services.emotion.affect import load_affects
from services.emotion.fusion import KEPT, MAX_STEP, NO_MOOD, Estimate, fuse, smooth
from services.emotion.policy import Policy
from services.emotion.prosody.catalogue import Catalogue
from services.emotion.words.lexicon import DATA

NAMES = {emotion.name for emotion in Catalogue.load()}
AFFECTS = load_affects()
PLAIN = Estimate({"neutral": 0.9, "curious": 0.1}, 0.9)
SAD_VOICE = Estimate({"melancholic": 0.7, "neutral": 0.2, "tired": 0.1}, 0.5)


def felt(words: Estimate | None, voice: Estimate | None = None, before=NO_MOOD):
    return smooth(fuse(words, voice), before, AFFECTS)


def test_a_sad_voice_is_heard_behind_plain_words():
    feeling = felt(PLAIN, SAD_VOICE)
    assert feeling.emotions[0][0] == "melancholic"
    assert feeling.affect.valence < -0.3


def test_strong_words_outweigh_an_unsure_voice():
    feeling = felt(
        Estimate({"joyful_excited": 0.9, "neutral": 0.1}, 0.9), Estimate({"melancholic": 0.5, "neutral": 0.5}, 0.15)
    )
    assert feeling.emotions[0][0] == "joyful_excited"
    assert "melancholic" not in dict(feeling.emotions)  # nobody is joyful and sad at once: it is doubt


def test_two_feelings_that_go_together_are_both_felt():
    feeling = felt(Estimate({"melancholic": 0.5, "lonely": 0.4, "neutral": 0.1}, 0.8))
    assert [name for name, _ in feeling.emotions[:2]] == ["melancholic", "lonely"]


def test_without_words_and_voice_it_is_neutral_and_a_guess():
    feeling = felt(None)
    assert feeling.emotions == (("neutral", 1.0),)
    assert feeling.confidence == 0


def test_kin_speak_for_one_another():
    side = Estimate({"neutral": 0.4, "melancholic": 0.3, "lonely": 0.3}, 0.5)
    assert felt(side).emotions[0][0] in ("melancholic", "lonely")
    apart = Estimate({"neutral": 0.4, "melancholic": 0.3, "joyful_excited": 0.3}, 0.5)
    assert felt(apart).emotions[0][0] == "neutral"


def test_no_mood_jumps_from_grief_to_joy():
    grief = felt(Estimate({"melancholic": 0.95, "neutral": 0.05}, 0.9))
    joy = Estimate({"joyful_excited": 0.95, "neutral": 0.05}, 0.9)
    first = felt(joy, before=grief.mood)
    assert first.affect.distance(grief.affect) <= MAX_STEP + 1e-9
    assert first.affect.valence < 0.4
    second = felt(joy, before=first.mood)
    assert second.affect.distance(first.affect) <= MAX_STEP + 1e-9
    assert second.emotions[0][0] == "joyful_excited"
    assert second.affect.valence > 0.6


def test_a_part_of_the_mood_stays_and_fades():
    mood = felt(Estimate({"melancholic": 0.9, "neutral": 0.1}, 0.9)).mood
    lasting = []
    for _ in range(4):
        feeling = felt(PLAIN, before=mood)
        mood = feeling.mood
        lasting.append(mood.shares.get("melancholic", 0.0))
    assert lasting[0] == pytest.approx(0.9 * 0.9 * KEPT)
    assert lasting == sorted(lasting, reverse=True)
    assert lasting[-1] < 0.01


def test_every_feeling_gets_an_answer_that_is_no_echo_of_pain():
    policy = Policy(NAMES)
    for feeling, row in policy.rows.items():
        assert AFFECTS[row.support].valence >= 0 or feeling == "wistful"
        if AFFECTS[feeling].valence < -0.3 and AFFECTS[feeling].arousal > 0.3:  # anger, fear: answered calmly
            for answer in (row.mirror, row.support, row.ask):
                assert AFFECTS[answer].arousal < AFFECTS[feeling].arousal


def test_the_stronger_the_feeling_the_more_is_shown():
    policy = Policy(NAMES)
    shown = [policy.answer([("melancholic", 1.0)], intensity).intensity for intensity in (0.0, 0.5, 1.0)]
    assert 0 < shown[0] < shown[1] < shown[2] <= 1


def test_a_second_feeling_is_mixed_into_the_answer():
    policy = Policy(NAMES)
    alone = policy.answer([("joyful_excited", 0.8), ("nervous", 0.1)], 0.8)
    assert (alone.blend, alone.blend_share) == ("", 0.0)
    both = policy.answer([("joyful_excited", 0.5), ("nervous", 0.4)], 0.8)
    assert both.mirror == "joyful_excited"
    assert both.blend == "reassuring"
    assert 0.4 < both.blend_share <= 0.5
    assert "nervous" in both.reason


def test_every_label_of_the_classifier_has_an_emotion():
    with (DATA / "labels.tsv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    assert len({row["label"] for row in rows}) == 28
    assert {row["emotion"] for row in rows} <= NAMES
    assert all(row["why"] for row in rows)
