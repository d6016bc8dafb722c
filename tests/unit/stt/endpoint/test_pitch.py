"""The pitch at the end of a turn relative to the rest of the turn."""

from __future__ import annotations

import numpy as np
import pytest

from services.stt.endpoint.pitch import MIN_FRAMES, PitchTrack
from services.stt.endpoint.vad import WINDOW_SAMPLES

RATE_HZ = 16_000


def voice(*pitches_hz, window_count=10, noise=0.0):
    """A buzz with fourteen overtones, `window_count` windows at each pitch; shape (windows, WINDOW_SAMPLES)."""
    hz = np.repeat(np.array(pitches_hz, float), window_count * WINDOW_SAMPLES)
    phase = 2 * np.pi * np.cumsum(hz) / RATE_HZ
    sound = sum(np.sin(k * phase) / k for k in range(1, 15)) * 0.1
    sound += np.random.default_rng(0).normal(0, noise, len(phase))
    return np.asarray(sound, np.float32).reshape(-1, WINDOW_SAMPLES)


def fall(windows):
    track = PitchTrack()
    for window in windows:
        track.push(window)
    return track.fall()


@pytest.mark.parametrize("hz", [90.0, 120.0, 210.0, 310.0])
@pytest.mark.parametrize("noise", [0.0, 0.015])
@pytest.mark.parametrize("semitones", [-4.0, 0.0, 3.0])
def test_the_fall_of_the_end_is_measured_in_semitones(hz, noise, semitones):
    windows = voice(hz, hz, hz * 2 ** (-semitones / 12), noise=noise)
    assert fall(windows) == pytest.approx(semitones, abs=0.5)


def test_level_and_offset_change_nothing():
    windows = voice(150.0, 150.0, 120.0)
    assert fall(0.01 * windows + 0.1) == pytest.approx(fall(windows), abs=0.1)


def test_noise_silence_and_a_short_voice_have_no_fall():
    noise = np.random.default_rng(1).normal(0, 0.1, (60, WINDOW_SAMPLES)).astype(np.float32)
    assert fall(noise) is None
    assert fall(np.zeros((60, WINDOW_SAMPLES), np.float32)) is None
    assert fall(voice(150.0, window_count=MIN_FRAMES)) is None  # the first window makes no frame alone


def test_a_new_turn_knows_nothing_of_the_last():
    track = PitchTrack()
    for window in voice(300.0):
        track.push(window)
    track.begin()
    assert track.fall() is None
    for window in voice(100.0, window_count=20):
        track.push(window)
    assert track.fall() == pytest.approx(0.0, abs=0.2)
