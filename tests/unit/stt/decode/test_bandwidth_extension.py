"""Bandwidth extension of narrowband sound."""

from __future__ import annotations

import numpy as np
import pytest

from oviya.audio.resample import Resampler
from services.stt.decode.bandwidth_extension import TAPS, BandwidthExtender, image_gain
from tests.support.speech import SAD, speak

DELAY = TAPS // 2


def tone(hz, seconds=1.0):
    return np.sin(2 * np.pi * hz * np.arange(round(16_000 * seconds)) / 16_000).astype(np.float32)


def amplitude(sound, hz):
    """Amplitude of the tone of `hz` in the middle of `sound`."""
    middle = sound[2_000:-2_000]
    n = np.arange(len(middle))
    return 2 * abs(np.mean(middle * np.hanning(len(middle)) * 2 * np.exp(-2j * np.pi * hz * n / 16_000)))


@pytest.mark.parametrize(("rate_hz", "tone_hz", "image_hz"), [(8_000, 1_000, 7_000), (11_025, 4_000, 7_025)])
def test_a_tone_gets_its_mirror_image_and_stays_what_it_is(rate_hz, tone_hz, image_hz):
    extended = BandwidthExtender(rate_hz / 2).push(tone(tone_hz))
    assert amplitude(extended, tone_hz) == pytest.approx(1.0, abs=0.02)
    expected = float(image_gain(np.array(image_hz), rate_hz / 2))
    assert amplitude(extended, image_hz) == pytest.approx(expected, rel=0.05)
    assert 0.2 < expected < 0.8


def test_the_sounds_own_band_is_untouched():
    resampler = Resampler(8_000, 16_000)
    sound = np.concatenate((resampler.push(speak(SAD, 8_000)), resampler.flush()))
    extended = BandwidthExtender(4_000).push(sound)
    spectrum_before = np.abs(np.fft.rfft(sound[:-DELAY]))
    spectrum_after = np.abs(np.fft.rfft(extended[DELAY:]))
    hz = np.fft.rfftfreq(len(sound) - DELAY, 1 / 16_000)
    low, high = hz < 3_500, (hz > 4_500) & (hz < 7_500)
    assert np.linalg.norm((spectrum_after - spectrum_before)[low]) < 0.01 * np.linalg.norm(spectrum_before[low])
    assert np.linalg.norm(spectrum_after[high]) > 20 * np.linalg.norm(spectrum_before[high])


def test_any_chunking_gives_the_same_signal():
    sound = speak(SAD)
    whole = BandwidthExtender(4_000).push(sound)
    extender = BandwidthExtender(4_000)
    parts = [extender.push(sound[start : start + 77]) for start in range(0, len(sound), 77)]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)
