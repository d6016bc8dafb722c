"""The spectrogram, against that of transformers."""

from __future__ import annotations

import numpy as np
import pytest

from services.stt.log_mel import log_mel
from tests.support.speech import LONELY, speak


@pytest.mark.parametrize("bands", [80, 128])
@pytest.mark.parametrize("seconds", [8, 30])
def test_it_is_that_of_whisper(bands, seconds):
    from transformers import WhisperFeatureExtractor

    sound = speak(LONELY)
    extractor = WhisperFeatureExtractor(feature_size=bands, chunk_length=seconds)
    expected = extractor(sound, sampling_rate=16_000, return_tensors="np")["input_features"][0]
    ours = log_mel(sound, seconds * 16_000, bands)
    assert ours.shape == expected.shape == (bands, seconds * 100)
    assert ours.dtype == np.float32
    assert np.abs(ours - expected).max() < 1e-3


def test_sound_is_cut_or_padded_to_the_window():
    sound = np.random.default_rng(1).normal(0, 0.1, 20_000).astype(np.float32)
    assert log_mel(sound, 16_000, 80).shape == (80, 100)
    assert np.array_equal(log_mel(sound, 16_000, 80), log_mel(sound[:16_000], 16_000, 80))
    padded = np.concatenate((sound, np.zeros(12_000, np.float32)))
    assert np.array_equal(log_mel(sound, 32_000, 80), log_mel(padded, 32_000, 80))


def test_silence_has_one_value():
    assert np.ptp(log_mel(np.zeros(0, np.float32), 16_000, 80)) == 0.0
