"""Frame counts, pacing and silence of all rows, as columns: a batch of thousands of rows takes a few numpy calls.

Letters in shapes: N rows of a batch, Q codebooks.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from services.csm.model.config import FRAME_S

GATHER_S = 0.02
"""A row that is due waits up to this long for others to become due, so that they share a batch; a quarter of its lead
if that is less."""


class Rows:
    """Columns of all rows.  Not thread-safe.

    Args:
        rows: how many.
        codebooks: Q.
        max_frames: longest piece.
        silence_frames: frames after which a row counts as silent; 0: never.
    """

    def __init__(self, rows: int, codebooks: int, max_frames: int, silence_frames: int) -> None:
        self.epoch = np.zeros(rows, np.int64)
        """Increases when a row stops decoding: a frame that was scheduled before belongs to no one."""
        self.frames = np.zeros(rows, np.int64)
        """Frames of the request."""
        self._piece_frames = np.zeros(rows, np.int64)
        self._remaining = np.zeros(rows, np.int64)
        self._decoding = np.zeros(rows, bool)
        self._lead = np.zeros(rows)
        self._gather = np.zeros(rows)
        self._first_at = np.zeros(rows)
        self._due_at = np.zeros(rows)
        # The operating system backs zeros with memory only once they are written.
        self._codes = np.zeros((rows, max_frames, codebooks), np.int32)
        self._recent = np.zeros((rows, silence_frames), np.int32)

    def start(self, row: int, lead_s: float) -> None:
        """Starts a request that runs at most `lead_s` ahead of real time; infinite: unpaced."""
        self.frames[row] = 0
        self._lead[row], self._gather[row] = lead_s, min(GATHER_S, lead_s / 4)
        self._due_at[row] = -math.inf

    def start_piece(self, row: int, max_frames: int) -> None:
        """Lets a row decode up to `max_frames`."""
        self._piece_frames[row], self._remaining[row] = 0, max_frames
        self._decoding[row] = True

    def stop(self, row: int) -> None:
        """Stops a row, and discards the frame that may be in flight."""
        self._decoding[row] = False
        self.epoch[row] += 1

    def is_decoding(self, row: int) -> bool:
        """Whether the row has a piece to decode."""
        return bool(self._decoding[row])

    @property
    def any_decoding(self) -> bool:
        """Whether any row has a piece to decode."""
        return bool(self._decoding.any())

    def due(self, now: float) -> NDArray[np.int64]:
        """Rows whose next frame may be made, ascending."""
        return np.flatnonzero(self._decoding & (self._due_at <= now))

    def wake_at(self) -> float:
        """When the next batch should start at the latest; infinite if no row is decoding."""
        if not self.any_decoding:
            return math.inf
        return float((self._due_at + self._gather)[self._decoding].min())

    def update(self, rows: NDArray[np.int64], codes: NDArray[np.int64], now: float) -> tuple[NDArray[np.bool_], ...]:
        """Adds a frame (N, Q) to `rows`.

        Returns:
            Which rows have reached their longest piece, and which have been silent for too long: (N,) each.
        """
        self._codes[rows, self._piece_frames[rows]] = codes
        silent = np.zeros(len(rows), bool)
        if span := self._recent.shape[1]:
            # Silence keeps the first codebook, the semantic one, at one or two codes; speech does not.
            self._recent[rows, self._piece_frames[rows] % span] = codes[:, 0]
            recent = self._recent[rows]
            low, high = recent.min(axis=1, keepdims=True), recent.max(axis=1, keepdims=True)
            silent = ((recent == low) | (recent == high)).all(axis=1) & (self._piece_frames[rows] + 1 >= span)
        first = rows[self.frames[rows] == 0]
        self._first_at[first] = now
        self._piece_frames[rows] += 1
        self.frames[rows] += 1
        self._remaining[rows] -= 1
        self._due_at[rows] = self._first_at[rows] + self.frames[rows] * FRAME_S - self._lead[rows]
        return self._remaining[rows] == 0, silent

    def piece_frames(self, row: int) -> NDArray[np.int64]:
        """The frames of the current piece, (T, Q)."""
        return self._codes[row, : self._piece_frames[row]].astype(np.int64)
