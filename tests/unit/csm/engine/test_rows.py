"""Rows: who is due, and when an answer has gone on for too long."""

from __future__ import annotations

import math

import numpy as np

from services.csm.engine.rows import GATHER_S, Rows
from services.csm.model.config import FRAME_S

Q = 4


def make_rows(silence_frames: int = 0) -> Rows:
    return Rows(6, Q, max_frames=200, silence_frames=silence_frames)


def frame(*rows: int, first: int = 1) -> np.ndarray:
    return np.array([[first + row, 1, 2, 3] for row in rows])


def test_only_armed_rows_are_due():
    rows = make_rows()
    assert rows.wake_at() == math.inf
    for row in (4, 1):
        rows.start(row, math.inf)
    rows.start_piece(4, 10)
    assert rows.due(0.0).tolist() == [4]
    rows.start_piece(1, 10)
    assert rows.due(0.0).tolist() == [1, 4]
    epoch = rows.epoch[4]
    rows.stop(4)
    assert rows.due(0.0).tolist() == [1]
    assert rows.epoch[4] != epoch, "a frame on its way is nobody's"


def test_a_paced_row_is_due_by_its_own_clock_and_an_unpaced_one_always():
    rows, lead_s = make_rows(), 0.24
    rows.start(0, lead_s)
    rows.start(1, math.inf)
    for row in (0, 1):
        rows.start_piece(row, 100)
    start = 100.0
    for made in range(1, 6):
        # Three frames of 80 ms fill its lead; the fourth is due just now.
        assert rows.due(start + 1e-6).tolist() == ([0, 1] if made <= 4 else [1])
        rows.update(np.array([0, 1]), frame(0, 1), start)
    due_at = start + 5 * FRAME_S - lead_s
    assert rows.due(due_at - 0.001).tolist() == [1]
    assert rows.due(due_at + 0.001).tolist() == [0, 1]
    rows.stop(1)
    assert abs(rows.wake_at() - (due_at + GATHER_S)) < 1e-9, "it waits a little for others to be due"


def test_pacing_goes_on_from_piece_to_piece():
    rows = make_rows()
    rows.start(2, 0.08)
    rows.start_piece(2, 5)
    rows.update(np.array([2]), frame(2), 50.0)
    rows.stop(2)
    rows.start_piece(2, 5)
    assert rows.due(50.0).tolist() == [2]
    rows.update(np.array([2]), frame(2), 50.0)
    assert rows.frames[2] == 2
    assert len(rows.piece_frames(2)) == 1, "the piece has one frame"
    assert rows.due(50.0 + 0.07).tolist() == []
    assert rows.due(50.0 + 0.09).tolist() == [2]


def test_the_last_frame_of_the_longest_piece_is_reported():
    rows = make_rows()
    for row, most in ((0, 2), (3, 3)):
        rows.start(row, math.inf)
        rows.start_piece(row, most)
    both = np.array([0, 3])
    assert rows.update(both, frame(0, 3), 0.0)[0].tolist() == [False, False]
    assert rows.update(both, frame(0, 3, first=5), 0.0)[0].tolist() == [True, False]
    np.testing.assert_array_equal(rows.piece_frames(3), [[4, 1, 2, 3], [8, 1, 2, 3]])


def silent_after(firsts: list[int], silence_frames: int) -> int | None:
    """After how many frames with these codes in the first codebook a row counts as silent."""
    rows = make_rows(silence_frames)
    rows.start(1, math.inf)
    rows.start_piece(1, 1000)
    for i, first in enumerate(firsts):
        _, silent = rows.update(np.array([1]), np.array([[first, i, i, i]]), 0.0)
        if silent[0]:
            return i + 1
    return None


def test_silence_is_the_semantic_codebook_at_a_code_or_two():
    speech = [3, 9, 4, 4, 7, 1, 2]
    assert silent_after(speech * 20, 10) is None
    assert silent_after([5] * 30, 10) == 10
    assert silent_after(speech + [5, 6] * 20, 10) == len(speech) + 10
    assert silent_after(([5] * 8 + speech) * 9, 10) is None, "a pause is no silence"
    assert silent_after([5, 6, 7] * 20, 10) is None
    assert silent_after([5] * 100, 0) is None, "0 turns it off"


def test_a_new_piece_is_not_silent_for_what_the_last_one_was():
    rows = make_rows(10)
    rows.start(1, math.inf)
    for _ in range(2):
        rows.start_piece(1, 1000)
        silent = [bool(rows.update(np.array([1]), np.array([[5, 0, 0, 0]]), 0.0)[1][0]) for _ in range(10)]
        assert silent == [False] * 9 + [True]
        rows.stop(1)
