"""Channels become one without losing what they hold."""

from __future__ import annotations

import numpy as np
import pytest

from oviya.audio.channels import Downmix
from tests.support.speech import SAD, speak

SPEECH = speak(SAD).astype(np.float64)
QUIET = np.zeros_like(SPEECH)
NOISE = np.random.default_rng(0).normal(0, 0.001, len(SPEECH))


def level(samples):
    return float(np.sqrt(np.mean(np.square(samples - np.mean(samples)))))


def loudness(samples):
    """Relative to the speech, in dB."""
    return 20 * np.log10(level(samples) / level(SPEECH) + 1e-9)


def delayed(samples, count):
    return np.concatenate((np.zeros(count), samples[:-count]))


BROKEN, INFINITE = SPEECH.copy(), SPEECH.copy()
BROKEN[100] = np.nan
INFINITE[-1] = np.inf
CASES = {
    "mono": [SPEECH],
    "in phase": [SPEECH, SPEECH],
    "out of phase": [SPEECH, -SPEECH],
    "out of phase, unequal": [SPEECH, -0.5 * SPEECH],
    "out of phase, in noise": [SPEECH + NOISE, -SPEECH + NOISE[::-1]],
    "out of phase, with offsets": [SPEECH + 0.3, 0.2 - SPEECH],
    "a silent left": [QUIET, SPEECH],
    "a silent right": [SPEECH, QUIET],
    "a silent channel with an offset": [QUIET + 0.9, SPEECH],
    "a channel of hiss": [NOISE, SPEECH],
    "one comes half a period late": [SPEECH, delayed(SPEECH, 40)],
    "a broken channel": [BROKEN, SPEECH],
    "an infinite channel": [SPEECH, INFINITE],
    "a broken channel and an inverted one": [SPEECH, BROKEN, -SPEECH],
    "5.1, in the centre alone": [NOISE, NOISE[::-1], SPEECH, QUIET, QUIET, QUIET],
    "5.1, in front": [SPEECH, SPEECH, 0.7 * SPEECH, QUIET, 0.1 * SPEECH, 0.1 * SPEECH],
    "first-order ambisonics, from behind": [SPEECH, -0.7 * SPEECH, 0.1 * SPEECH, -0.7 * SPEECH],
    "eight microphones": [delayed(SPEECH, 3 * number + 1) for number in range(8)],
    "pairs that cancel": [SPEECH, -SPEECH, SPEECH, -SPEECH],
}


def mix_down(samples):
    return Downmix(len(samples)).push(samples)


@pytest.mark.parametrize("channels", CASES.values(), ids=CASES.keys())
def test_speech_stays_within_six_decibels_of_what_it_was(channels):
    mixed = mix_down(np.stack(channels))
    assert (mixed.dtype, mixed.shape) == (np.float32, SPEECH.shape)
    assert np.isfinite(mixed).all()
    assert -6.5 <= loudness(mixed) <= 1.0


def test_two_speakers_on_two_channels_are_both_heard():
    other = speak("thank you very much", voice="rms").astype(np.float64)
    left = np.concatenate((SPEECH, np.zeros(len(other))))
    right = np.concatenate((np.zeros(len(SPEECH)), 0.1 * other))  # 20 dB weaker
    mixed = mix_down(np.stack((left, right)))
    assert loudness(mixed[: len(SPEECH)]) > -6.5
    assert level(mixed[len(SPEECH) + 8_000 :]) > 0.3 * level(0.1 * other[8_000:])


def test_channels_in_phase_are_averaged_exactly():
    np.testing.assert_allclose(mix_down(np.stack((SPEECH, 0.5 * SPEECH))), 0.75 * SPEECH, atol=1e-6)


def test_phase_that_turns_over_in_the_middle_is_followed():
    half = len(SPEECH) // 2
    other = np.concatenate((SPEECH[:half], -SPEECH[half:]))
    mixed = mix_down(np.stack((SPEECH, other)))
    assert loudness(mixed[half + 16_000 :]) > -7 + loudness(SPEECH[half + 16_000 :])
    assert np.abs(np.diff(mixed)).max() <= 2 * np.abs(np.diff(SPEECH)).max()


def test_pieces_of_any_size_are_mixed():
    stereo = np.stack((SPEECH, -SPEECH))
    mix = Downmix(2)
    mixed = np.concatenate([mix.push(stereo[:, start : start + 320]) for start in range(0, len(SPEECH), 320)])
    assert loudness(mixed) > -1.0
    assert mix.push(np.zeros((2, 0))).shape == (0,)


def test_silence_stays_silence():
    assert not mix_down(np.zeros((6, 1000))).any()
    assert mix_down(np.zeros((2, 0))).shape == (0,)


@pytest.mark.parametrize("channels", [[BROKEN], [BROKEN, INFINITE]])
def test_sound_without_a_usable_channel_is_refused(channels):
    with pytest.raises(ValueError, match="finite"):
        mix_down(np.stack(channels))


def test_another_number_of_channels_is_refused():
    with pytest.raises(ValueError, match="shape"):
        Downmix(2).push(np.zeros((3, 10)))
    with pytest.raises(ValueError, match="at least one"):
        Downmix(0)
