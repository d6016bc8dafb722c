"""What the host knows of every row, as columns: a frame of thousands of rows is booked by a few numpy calls.

Letters in shapes: N rows of a frame, Q codebooks.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from services.csm.model.config import FRAME_S

GATHER_S = 0.02
"""A row that is due waits up to this long for others to become due, so that one frame is made for all of them; a
quarter of its lead where that is less."""

SILENT_CODES = 2
"""Silence keeps the semantic codebook, the first one, at a code or two; speech changes it several times a second."""


class Rows:
    """Columns of all rows.  Not thread-safe.

    Args:
        rows: how many.
        codebooks: Q.
        longest: most frames of a piece.
        silence_frames: frames after which a row counts as silent; 0 never does.
    """

    def __init__(self, rows: int, codebooks: int, longest: int, silence_frames: int) -> None:
        self.epoch = np.zeros(rows, np.int64)
        """Changes when a row stops stepping: a frame that was launched before it is nobody's."""
        self.made = np.zeros(rows, np.int64)
        """Frames of the request."""
        self._frames = np.zeros(rows, np.int64)  # frames of the piece
        self._left = np.zeros(rows, np.int64)
        self._stepping = np.zeros(rows, bool)
        self._lead = np.zeros(rows)
        self._gather = np.zeros(rows)
        self._first_at = np.zeros(rows)
        self._due_at = np.zeros(rows)
        # Zeros from the system cost nothing until they are written.
        self._log = np.zeros((rows, longest, codebooks), np.int32)
        self._recent = np.zeros((rows, silence_frames), np.int32)

    def claim(self, row: int, lead_s: float) -> None:
        """Gives a row to a request that runs at most `lead_s` ahead of real time; infinite is unpaced."""
        self.made[row] = 0
        self._lead[row], self._gather[row] = lead_s, min(GATHER_S, lead_s / 4)
        self._due_at[row] = -math.inf

    def arm(self, row: int, max_frames: int) -> None:
        """Lets a row step, for at most `max_frames`."""
        self._frames[row], self._left[row] = 0, max_frames
        self._stepping[row] = True

    def halt(self, row: int) -> None:
        """Ends a row's steps, and disowns a frame that is being made."""
        self._stepping[row] = False
        self.epoch[row] += 1

    def is_stepping(self, row: int) -> bool:
        """Whether the row was armed and not halted."""
        return bool(self._stepping[row])

    @property
    def any_stepping(self) -> bool:
        """Whether any row was armed and not halted."""
        return bool(self._stepping.any())

    def due(self, now: float) -> NDArray[np.int64]:
        """Rows that may make a frame, ascending."""
        return np.flatnonzero(self._stepping & (self._due_at <= now))

    def wake_at(self) -> float:
        """When rows that are due should wait no longer; infinite where nobody steps."""
        if not self.any_stepping:
            return math.inf
        return float((self._due_at + self._gather)[self._stepping].min())

    def note(self, rows: NDArray[np.int64], codes: NDArray[np.int64], now: float) -> tuple[NDArray[np.bool_], ...]:
        """Books a frame (N, Q) of `rows` that was made at `now`.

        Returns:
            Which of them have reached their longest answer, and which have been silent for too long: (N,) each.
        """
        self._log[rows, self._frames[rows]] = codes
        silent = np.zeros(len(rows), bool)
        if span := self._recent.shape[1]:
            self._recent[rows, self._frames[rows] % span] = codes[:, 0]
            recent = self._recent[rows]
            low, high = recent.min(axis=1, keepdims=True), recent.max(axis=1, keepdims=True)
            silent = ((recent == low) | (recent == high)).all(axis=1) & (self._frames[rows] + 1 >= span)
        first = rows[self.made[rows] == 0]
        self._first_at[first] = now
        self._frames[rows] += 1
        self.made[rows] += 1
        self._left[rows] -= 1
        self._due_at[rows] = self._first_at[rows] + self.made[rows] * FRAME_S - self._lead[rows]
        return self._left[rows] == 0, silent

    def spoken(self, row: int) -> NDArray[np.int64]:
        """The piece's frames so far, (T, Q)."""
        return self._log[row, : self._frames[row]].astype(np.int64)
