"""The measures that the browser tests trust."""

from __future__ import annotations

import numpy as np
import pytest

from tests.e2e.test_browser import MIN_LIKENESS
from tests.support.signal_checks import band_share, likeness, sounding
from tests.support.speech import silence, speak

RATE_HZ = 16_000
FIRST, SECOND = "it sounds like you feel sad and lonely", "what would help you most right now"


def test_likeness_finds_speech_that_a_jitter_buffer_stretched():
    said = speak(FIRST)
    middle = len(said) // 2
    stretched = np.concatenate((silence(0.5), said[:middle], silence(0.12), said[middle:], silence(0.5)))
    assert likeness(said, said, RATE_HZ) == pytest.approx(1, abs=0.01)
    assert likeness(said, stretched, RATE_HZ) > MIN_LIKENESS


@pytest.mark.parametrize("heard", [[SECOND], [FIRST], [SECOND, FIRST], [FIRST, FIRST]])
def test_likeness_misses_speech_that_is_not_there(heard):
    expected = np.concatenate((speak(FIRST), speak(SECOND)))
    assert likeness(expected, np.concatenate([speak(text) for text in heard]), RATE_HZ) < MIN_LIKENESS


def test_sounding_finds_the_ends_and_refuses_silence():
    tone = np.sin(np.arange(RATE_HZ) / 10).astype(np.float32)
    assert sounding(np.concatenate((silence(1), tone, silence(2))), RATE_HZ) == pytest.approx((1, 2), abs=0.02)
    with pytest.raises(AssertionError, match="silence"):
        sounding(silence(1), RATE_HZ)


def test_band_share_tells_speech_from_noise():
    noise = np.random.default_rng(0).standard_normal(48_000).astype(np.float32)
    assert band_share(speak(FIRST, 48_000), 48_000, 100, 8_000) > 0.95
    assert band_share(noise, 48_000, 100, 8_000) == pytest.approx(7_900 / 24_000, abs=0.02)
