"""Positions between two frames, by times that are given."""

from __future__ import annotations

import pytest

from services.csm.engine.prefill_budget import GAP_BUDGET_S, MIN_POSITIONS, PrefillBudget

MOST = 4096


def run(budget: PrefillBudget, frame_s: float, position_s: float, frames: int = 60, fixed_s: float = 0.0) -> list[int]:
    """Lets a device of these times run with what the budget says; returns the positions of each gap."""
    taken = []
    for _ in range(frames):
        positions = budget.positions(decoding=True)
        prefill_s = fixed_s + positions * position_s
        budget.update(frame_s + prefill_s, positions, prefill_s)
        taken.append(positions)
    return taken


def test_short_frames_leave_room_for_all():
    assert run(PrefillBudget(MOST), 0.010, 5e-6) == [MOST] * 60


def test_long_frames_leave_what_fits_the_budget():
    positions = run(PrefillBudget(MOST), 0.044, 10e-6)[-1]
    assert 0.044 + positions * 10e-6 == pytest.approx(GAP_BUDGET_S, abs=0.001)


def test_the_fixed_cost_of_a_prefill_counts():
    positions = run(PrefillBudget(MOST), 0.044, 5e-6, fixed_s=0.008)[-1]
    assert 0.044 + 0.008 + positions * 5e-6 == pytest.approx(GAP_BUDGET_S, abs=0.001)


def test_newcomers_progress_whatever_frames_take():
    assert run(PrefillBudget(MOST), 0.2, 10e-6)[-1] == MIN_POSITIONS
    assert run(PrefillBudget(64), 0.2, 10e-6)[-1] == 64


def test_the_whole_budget_is_run_if_no_row_is_decoding():
    budget = PrefillBudget(MOST)
    run(budget, 0.2, 10e-6)
    assert budget.positions(decoding=False) == MOST


def test_it_follows_frames_that_grow_and_shrink():
    budget = PrefillBudget(MOST)
    run(budget, 0.010, 5e-6)
    assert run(budget, 0.060, 5e-6)[-1] < 2500
    assert run(budget, 0.010, 5e-6)[-1] == MOST


def test_unsteady_frames_keep_a_reserve():
    steady, unsteady = PrefillBudget(MOST), PrefillBudget(MOST)
    expected = run(steady, 0.044, 10e-6)[-1]
    for index in range(60):
        positions = unsteady.positions(decoding=True)
        frame_s = 0.044 + (0.004 if index % 2 else -0.004)
        unsteady.update(frame_s + positions * 10e-6, positions, positions * 10e-6)
    assert unsteady.positions(decoding=True) < expected - 500


def test_frames_without_newcomers_teach_nothing_of_positions():
    budget = PrefillBudget(MOST)
    for _ in range(10):
        budget.update(0.060, 0, 0.0)
    assert budget.positions(decoding=True) == MOST
    budget.update(0.060 + MOST * 5e-6, MOST, MOST * 5e-6)
    assert budget.positions(decoding=True) < MOST
