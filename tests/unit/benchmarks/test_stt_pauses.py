"""The operating points of a score that tells ends of turns from pauses."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.stt_pauses import operating_points


def test_a_perfect_score_cuts_nothing_off_and_needs_no_timeout():
    points = operating_points(ends=[1.0] * 50, pauses=[0.0] * 50)
    assert points.ends_at_cut == 1.0
    assert points.cut_at_budget == pytest.approx(0.01)  # those longer than the longest timeout
    assert points.delay_at_cut_s == pytest.approx(0.2)


def test_a_score_that_tells_nothing_is_as_good_as_silence_alone():
    points = operating_points(ends=[0.5] * 50, pauses=[0.5] * 50)
    assert points.cut_at_budget == pytest.approx(0.556)  # the pauses that are longer than 300 ms
    assert points.delay_at_cut_s == pytest.approx(1.6)  # one pause in twenty is longer


def test_the_better_the_score_the_fewer_are_cut_off():
    draw = np.random.default_rng(0)
    pauses = draw.normal(0, 1, 400)
    found = [operating_points(list(pauses + distance), list(pauses)) for distance in (1.0, 2.0, 3.0)]
    cut = [points.cut_at_budget for points in found]
    delays_s = [points.delay_at_cut_s for points in found]
    assert cut == sorted(cut, reverse=True)
    assert delays_s == sorted(delays_s, reverse=True)
    assert delays_s[-1] < delays_s[0]
