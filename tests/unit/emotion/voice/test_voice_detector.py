"""Emotion from the voice: features, baseline and judgement."""

from __future__ import annotations

import numpy as np
import pytest

from services.emotion.prosody.catalogue import Catalogue
from services.emotion.voice.baseline import DATA, MEMORY, NO_BASELINE, Baseline, FeatureTable
from services.emotion.voice.syllables import count_syllables
from services.emotion.voice.voice_detector import AcousticDetector
from services.emotion.voice.voice_features import NAMES, RATE_HZ, measure
from tests.support.faulty_data import copy_with_fault
from tests.support.speech import silence, speak
from tests.support.styled_speech import STYLES, speak_in

EMOTIONS = {emotion.name for emotion in Catalogue.load()}
TEXT = "we had soup for lunch and then went back to work"
EARLIER = ("the shop on the corner opens at eight", "i took the bus to the office today", "my train was late again")


@pytest.fixture(scope="module")
def detector() -> AcousticDetector:
    return AcousticDetector(EMOTIONS)


@pytest.fixture(scope="module")
def baseline(detector) -> Baseline:
    learned = NO_BASELINE
    for text in EARLIER:
        _, learned = detector.judge(speak_in("neutral", text), learned, text)
    return learned


def vowel(f0_hz: float, seconds: float = 1.0) -> np.ndarray:
    """A steady voice: harmonics that fall by 12 dB an octave."""
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    waves = [np.sin(2 * np.pi * f0_hz * k * times) / k**2 for k in range(1, 20)]
    return (0.2 * np.sum(waves, axis=0)).astype(np.float32)


@pytest.mark.parametrize("f0_hz", [75.0, 110.0, 163.0, 220.0, 310.0])
def test_pitch_is_that_of_the_voice(f0_hz):
    measured = measure(vowel(f0_hz))
    assert measured is not None
    assert measured.features.f0_mean == pytest.approx(12 * np.log2(f0_hz / 100), abs=0.1)
    assert measured.voiced_s == pytest.approx(1.0, abs=0.05)


def test_a_rising_voice_has_a_rising_slope():
    times = np.arange(RATE_HZ) / RATE_HZ
    semitones = 4 * times  # from 150 Hz
    phase = 2 * np.pi * np.cumsum(150 * 2 ** (semitones / 12)) / RATE_HZ
    measured = measure((0.3 * np.sin(phase) + 0.1 * np.sin(2 * phase)).astype(np.float32))
    assert measured is not None
    assert measured.features.f0_slope == pytest.approx(4.0, abs=0.3)


def test_level_and_pace_and_pauses_are_what_was_done_to_the_sound():
    sound = speak(TEXT)
    plain, quiet = measure(sound), measure(sound * np.float32(0.5))
    assert plain is not None
    assert quiet is not None
    assert quiet.features.level - plain.features.level == pytest.approx(-6.02, abs=0.05)
    assert quiet.features.f0_mean == pytest.approx(plain.features.f0_mean, abs=0.05)
    syllables = count_syllables(TEXT)
    given, halting = measure(sound, syllables), measure(np.concatenate([sound, silence(0.5), sound]), 2 * syllables)
    assert given is not None
    assert halting is not None
    assert halting.features.pauses > given.features.pauses + 0.05
    assert halting.features.rate == pytest.approx(given.features.rate, abs=0.15)


@pytest.mark.parametrize(
    ("text", "count"),
    [("make asked makes", 3), ("table wanted boxes", 6), ("", 0), ("the train leaves at five", 5), ("ქართული", 0)],
)
def test_syllables_are_counted(text, count):
    assert count_syllables(text) == count


@pytest.mark.parametrize(
    "sound",
    [
        np.zeros(0),
        np.zeros(10),
        np.zeros(RATE_HZ),
        np.full(RATE_HZ, np.nan),
        np.full(RATE_HZ, np.inf),
        np.full(RATE_HZ, 0.5),
        np.random.default_rng(0).normal(0, 0.2, 3 * RATE_HZ),
        1e-4 * vowel(150.0),
    ],
    ids=["nothing", "10 samples", "silence", "nan", "infinity", "offset", "noise", "far below -60 dBFS"],
)
def test_where_there_is_no_voice_there_is_no_judgement(detector, baseline, sound):
    judgement, after = detector.judge(sound.astype(np.float32), baseline)
    assert judgement is None
    assert after == baseline


def test_clipped_noisy_broken_and_endless_speech_keeps_the_ranges(detector, baseline):
    speech = speak(TEXT)
    noise = np.random.default_rng(1).normal(0, 0.02, len(speech))
    broken = speech.copy()
    broken[1000:1100] = np.nan
    for sound in (np.clip(40 * speech, -1, 1), speech + noise, broken, np.tile(speech, 40)):
        judgement, after = detector.judge(sound.astype(np.float32), baseline)
        assert judgement is not None
        assert -1 <= judgement.affect.valence <= 1
        assert -1 <= judgement.affect.arousal <= 1
        assert 0 <= judgement.confidence <= 1
        assert sum(judgement.shares.values()) == pytest.approx(1)
        assert np.all(np.isfinite(after.means))


@pytest.mark.parametrize("style", ["sad", "calm", "joyful", "firm"])
def test_valence_and_arousal_have_the_sign_of_the_tone(detector, baseline, style):
    judgement, _ = detector.judge(speak_in(style, TEXT), baseline, TEXT)
    assert judgement is not None
    assert np.sign(judgement.affect.valence) == STYLES[style].valence
    assert np.sign(judgement.affect.arousal) == STYLES[style].arousal


def test_a_judgement_says_what_it_rests_on(detector, baseline):
    judgement, _ = detector.judge(speak_in("sad", TEXT), baseline, TEXT)
    assert judgement is not None
    assert any(note.startswith("loudness") and note.endswith("quieter") for note in judgement.notes)


def test_the_same_sound_is_judged_against_the_speaker_and_not_against_all(detector, baseline):
    """A speaker who always sounds like this is not judged as sad."""
    always = NO_BASELINE
    for text in EARLIER:
        _, always = detector.judge(speak_in("sad", text), always, text)
    against_other, _ = detector.judge(speak_in("sad", TEXT), baseline, TEXT)
    against_own, _ = detector.judge(speak_in("sad", TEXT), always, TEXT)
    assert against_other is not None
    assert against_own is not None
    assert against_own.affect.valence > against_other.affect.valence + 0.3


def test_the_first_utterance_is_judged_with_less_confidence(detector, baseline):
    first, _ = detector.judge(speak_in("joyful", TEXT), NO_BASELINE, TEXT)
    later, _ = detector.judge(speak_in("joyful", TEXT), baseline, TEXT)
    assert first is not None
    assert later is not None
    assert first.confidence < later.confidence


def test_a_baseline_learns_forgets_and_is_restored():
    table = FeatureTable.load()
    values = table.prior + table.between
    baseline = NO_BASELINE
    for _ in range(100):
        baseline = baseline.learned(values, 1.0)
    assert baseline.weight == MEMORY
    expected, spread = baseline.usual(table)
    assert np.all(np.abs(expected - values) < 0.2 * table.between)
    assert np.all(spread < NO_BASELINE.usual(table)[1])
    assert Baseline.restored(baseline.means, baseline.weight) == baseline
    assert Baseline.restored((), 0.0) == NO_BASELINE
    nan = (float("nan"), *baseline.means[1:])
    for means, weight in (((1.0,), 1.0), (nan, 1.0), (baseline.means, 0.0), (baseline.means, 1e9)):
        with pytest.raises(ValueError, match=r"features|finite"):
            Baseline.restored(means, weight)


@pytest.mark.parametrize(
    ("table", "old", "new", "complaint"),
    [
        ("voice-features.tsv", "f0_mean\t", "f0_median\t", "f0_me"),
        ("voice-features.tsv", "\t4.5\t", "\t0\t", "positive"),
        ("vocal-expressions.tsv", "melancholic", "gloomy", "gloomy"),
        ("vocal-expressions.tsv", "neutral\tneutral", "plain\tneutral", "neutral"),
    ],
)
def test_a_faulty_table_is_refused_by_name(tmp_path, table, old, new, complaint):
    folder = copy_with_fault(DATA, tmp_path, table, old, new)
    with pytest.raises(ValueError, match=complaint):
        AcousticDetector(EMOTIONS, folder)


def test_every_feature_is_described():
    assert len(NAMES) == len(FeatureTable.load().prior)
