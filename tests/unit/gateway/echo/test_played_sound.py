"""The reference of echo cancellation: what is played when."""

from __future__ import annotations

import numpy as np
import pytest

from services.gateway.echo.played_sound import FADE_S, PlayedSound
from tests.support.echo_scenes import noise

RATE_HZ = 16_000
AT = 1000.0
START = round(AT * RATE_HZ)


def read(played, start, count):
    sound = played.read(start, count)
    assert sound is not None
    return sound


def ramp(samples):
    return np.arange(1, samples + 1, dtype=np.float32)


def test_nothing_is_played_at_first():
    assert PlayedSound(RATE_HZ).read(START, 160) is None


def test_sound_is_read_when_it_is_played():
    played = PlayedSound(RATE_HZ)
    played.add(ramp(1000), RATE_HZ, AT)
    assert played.read(START - 160, 160) is None
    np.testing.assert_array_equal(read(played, START - 10, 20), [0] * 10 + [*range(1, 11)])
    np.testing.assert_array_equal(read(played, START + 995, 10), [996, 997, 998, 999, 1000, 0, 0, 0, 0, 0])
    assert played.read(START + 1005, 10) is None
    assert played.samples == 0


def test_pieces_join_although_their_times_jitter():
    played = PlayedSound(RATE_HZ)
    sound = ramp(3000)
    for piece in range(3):
        played.add(sound[piece * 1000 : (piece + 1) * 1000], RATE_HZ, AT + piece * 1000 / RATE_HZ + 0.02 * (piece % 2))
    np.testing.assert_array_equal(read(played, START, 3000), sound)


def test_a_pause_between_pieces_stays():
    played = PlayedSound(RATE_HZ)
    played.add(ramp(100), RATE_HZ, AT)
    played.add(ramp(100), RATE_HZ, AT + 700 / RATE_HZ)
    np.testing.assert_array_equal(read(played, START, 800), [*range(1, 101), *[0] * 600, *range(1, 101)])


def test_other_rates_keep_their_time():
    sound = noise(24_000, -20)
    smooth = np.convolve(sound, np.ones(8) / 8, "same").astype(np.float32)
    played, whole = PlayedSound(RATE_HZ), PlayedSound(RATE_HZ)
    whole.add(smooth, 24_000, AT)
    for begin in range(0, 24_000, 1920):
        played.add(smooth[begin : begin + 1920], 24_000, AT + begin / 24_000)
    output = read(played, START, RATE_HZ)
    np.testing.assert_allclose(output, read(whole, START, RATE_HZ), atol=1e-6)
    # Every second sample of 16 kHz falls on every third of 24 kHz.
    assert np.corrcoef(output[::2], smooth[::3])[0, 1] > 0.98


def test_the_end_of_a_resampled_sound_is_not_lost():
    played = PlayedSound(RATE_HZ)
    played.add(np.ones(2400, np.float32), 24_000, AT)
    parts = [read(played, START + begin, 160) for begin in range(0, 1600, 160)]
    assert all(abs(part.mean() - 1) < 0.1 for part in parts)
    assert played.read(START + 1600, 160) is None


def test_a_cut_fades_out():
    played = PlayedSound(RATE_HZ)
    played.add(np.ones(RATE_HZ, np.float32), RATE_HZ, AT)
    played.cut(AT + 0.25)
    output = read(played, START, RATE_HZ)
    cut, end = RATE_HZ // 4, RATE_HZ // 4 + round(FADE_S * RATE_HZ)
    assert (output[:cut] == 1).all()
    assert (np.diff(output[cut:end]) < 0).all()
    assert output[(cut + end) // 2] == pytest.approx(0.5, abs=0.01)
    assert not output[end:].any()


def test_a_cut_in_the_pause_after_a_reply_changes_nothing():
    played = PlayedSound(RATE_HZ)
    played.add(ramp(100), RATE_HZ, AT)
    played.cut(AT + 1)
    np.testing.assert_array_equal(read(played, START, 100), ramp(100))


def test_sound_after_a_cut_replaces_what_was_dropped():
    played = PlayedSound(RATE_HZ)
    played.add(np.ones(RATE_HZ, np.float32), RATE_HZ, AT)
    played.cut(AT + 0.25)
    played.add(np.full(1600, 0.5, np.float32), RATE_HZ, AT + 0.3)
    output = read(played, START, RATE_HZ)
    assert (output[round(0.3 * RATE_HZ) : round(0.3 * RATE_HZ) + 1600] == 0.5).all()
    assert not output[round(0.4 * RATE_HZ) :].any()


def test_sound_that_begins_earlier_than_expected_replaces_the_rest():
    played = PlayedSound(RATE_HZ)
    played.add(np.ones(1000, np.float32), RATE_HZ, AT)
    played.add(np.full(100, 0.5, np.float32), RATE_HZ, AT + 500 / RATE_HZ)
    np.testing.assert_array_equal(read(played, START, 1000), [1] * 500 + [0.5] * 100 + [0] * 400)
