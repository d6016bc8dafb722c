"""What is played in a short gap."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from services.gateway.transport.webrtc.concealment import HOLD_S, JOIN_S, MAX_CONCEALED_S, Concealment

RATE_HZ = 48_000
STEP = 960


def vowel(f0_hz, seconds=0.5):
    """A harmonic sound like a vowel."""
    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    partials = np.array([np.sin(2 * np.pi * f0_hz * k * time + k) / k for k in range(1, 12)])
    return (0.2 * partials.sum(axis=0)).astype(np.float32)


def level(samples):
    return float(np.sqrt(np.mean(np.square(samples))))


@pytest.mark.parametrize("f0_hz", [80, 131, 220, 303, 400])
def test_a_voiced_sound_goes_on_with_its_period(f0_hz):
    sound = vowel(f0_hz)
    cut = round(0.3 * RATE_HZ) + 77
    concealment = Concealment(RATE_HZ)
    concealment.push(sound[:cut])
    made = concealment.conceal(round(HOLD_S * RATE_HZ))
    truth = sound[cut : cut + len(made)]
    assert level(made - truth) < 0.35 * level(truth)
    assert abs(made[0] - sound[cut - 1]) <= 1.5 * np.abs(np.diff(sound)).max()


def test_it_decays_to_silence():
    concealment = Concealment(RATE_HZ)
    concealment.push(vowel(120))
    made = np.concatenate([concealment.conceal(STEP) for _ in range(5)])
    levels = [level(made[start : start + 480]) for start in range(0, len(made), 480)]
    assert levels[0] > 0.8 * level(vowel(120))
    assert all(later < earlier for earlier, later in pairwise(levels[1:7]))
    assert not made[round(MAX_CONCEALED_S * RATE_HZ) :].any()
    assert not concealment.audible


def test_noise_is_not_made_into_a_hum():
    rng = np.random.default_rng(1)
    concealment = Concealment(RATE_HZ)
    concealment.push(rng.normal(0, 0.1, RATE_HZ).astype(np.float32))
    made = concealment.conceal(round(HOLD_S * RATE_HZ))
    assert 0.05 < level(made) < 0.2
    spectrum = np.abs(np.fft.rfft(made * np.hanning(len(made))))
    assert spectrum.max() < 8 * np.median(spectrum)


@pytest.mark.parametrize("gap_s", [0.005, 0.020, 0.050, 0.2])
def test_the_sound_after_a_gap_joins_without_a_click(gap_s):
    sound = vowel(150)
    concealment = Concealment(RATE_HZ)
    before = concealment.push(sound[:15_000])
    gap = concealment.conceal(round(gap_s * RATE_HZ))
    after = concealment.push(sound[15_000:])
    joined = np.concatenate((before, gap, after))
    assert np.abs(np.diff(joined)).max() < 2 * np.abs(np.diff(sound)).max()
    assert np.array_equal(after[round(JOIN_S * RATE_HZ) :], sound[15_000 + round(JOIN_S * RATE_HZ) :])


def test_silence_and_nothing_stay_silent():
    assert not Concealment(RATE_HZ).conceal(STEP).any()
    concealment = Concealment(RATE_HZ)
    concealment.push(np.zeros(STEP, np.float32))
    assert not concealment.conceal(STEP).any()
    concealment.push(vowel(100))
    concealment.reset()
    assert not concealment.conceal(STEP).any()


def test_sound_passes_unchanged_where_there_is_no_gap():
    sound = vowel(150)
    concealment = Concealment(RATE_HZ)
    assert np.array_equal(np.concatenate([concealment.push(sound[:777]), concealment.push(sound[777:])]), sound)
