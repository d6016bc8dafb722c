"""The clock of the caller's microphone."""

from __future__ import annotations

import numpy as np
import pytest

from services.gateway.echo.capture_clock import PLAYING_TOLERANCE_S, SILENT_TOLERANCE_S, CaptureClock

RATE_HZ = 16_000
MESSAGE = 320


def run(clock, seconds, *, begin_s=0.0, samples=0, playing=False, lateness=lambda: 0.0, ppm=0.0):
    """Messages of 20 ms; returns the samples so far."""
    for number in range(1, round(seconds * RATE_HZ / MESSAGE) + 1):
        time_s = begin_s + number * MESSAGE / RATE_HZ * (1 + ppm * 1e-6)
        clock.note_arrival(samples + number * MESSAGE, time_s + lateness(), playing=playing)
    return samples + number * MESSAGE


def origin_s(clock):
    return clock.index(0) / RATE_HZ


def test_asks_for_sound_first():
    with pytest.raises(RuntimeError, match="no sound"):
        CaptureClock(RATE_HZ).index(0)


def test_samples_follow_each_other():
    clock = CaptureClock(RATE_HZ)
    run(clock, 1, begin_s=50)
    assert clock.index(MESSAGE) - clock.index(0) == MESSAGE
    assert origin_s(clock) == pytest.approx(50)


def test_jitter_does_not_move_it():
    clock, rng = CaptureClock(RATE_HZ), np.random.default_rng(0)
    samples = run(clock, 4, lateness=lambda: rng.exponential(0.03))
    before = clock.index(0)
    run(clock, 60, begin_s=4, samples=samples, playing=True, lateness=lambda: rng.exponential(0.03))
    assert clock.index(0) == before
    assert 0 <= origin_s(clock) < SILENT_TOLERANCE_S + 0.005


def test_a_late_first_message_is_corrected():
    clock = CaptureClock(RATE_HZ)
    clock.note_arrival(MESSAGE, 0.5, playing=False)
    run(clock, 1)
    assert origin_s(clock) == pytest.approx(0.0, abs=1e-4)


def test_follows_drift_in_silence():
    clock = CaptureClock(RATE_HZ)
    run(clock, 1200, ppm=100)  # 120 ms in 20 minutes
    assert origin_s(clock) == pytest.approx(0.12, abs=SILENT_TOLERANCE_S + 0.001)


@pytest.mark.parametrize(("lost_s", "moves"), [(PLAYING_TOLERANCE_S / 2, False), (0.5, True)])
def test_sound_that_was_left_out_moves_it_even_while_a_reply_is_played(lost_s, moves):
    clock = CaptureClock(RATE_HZ)
    samples = run(clock, 3, playing=True)
    run(clock, 5, begin_s=3 + lost_s, samples=samples, playing=True)
    assert origin_s(clock) == pytest.approx(lost_s if moves else 0.0, abs=1e-4)
