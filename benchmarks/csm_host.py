"""A device that computes nothing but takes as long as a GPU, to measure the host side of the CSM engine."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.csm_load import percentiles
from services.csm.device.contract import PromptChunk, RowStart
from services.csm.model.config import CsmConfig


class NullDevice:
    """A `FrameDevice` that returns random codes.

    Args:
        config: for the shape of its frames.
        rows, pages: see `FrameDevice`.
        frame_s, row_s, position_s: time of a frame, of each of its rows, and of a position of a prompt.
    """

    def __init__(
        self, config: CsmConfig, rows: int, pages: int, *, frame_s: float, row_s: float, position_s: float
    ) -> None:
        self.rows, self.pages = rows, pages
        self.prefill_s: float | None = 0.0
        self.between: list[float] = []
        """Seconds from the codes of each frame to the next launch; the device is idle meanwhile, except for prompts."""
        self._frame_s, self._row_s, self._position_s = frame_s, row_s, position_s
        self._noise = np.random.default_rng(4).integers(1, config.codebook_size, (rows + 997, config.codebooks))
        self._fed, self._frames, self._collected_at = 0, 0, 0.0
        self._launched: tuple[NDArray[np.int64], float] | None = None
        self._ready_at = 0.0

    def begin(self, starts: Sequence[RowStart]) -> None:
        pass

    def prefill(self, chunks: Sequence[PromptChunk]) -> None:
        positions = sum(chunk.stop - chunk.start for chunk in chunks)
        self._fed += positions
        self._ready_at = max(self._ready_at, time.perf_counter()) + positions * self._position_s

    def launch(self, rows: NDArray[np.int64]) -> None:
        now = time.perf_counter()
        if self._collected_at:
            self.between.append(now - self._collected_at)
        self._ready_at = max(self._ready_at, now) + self._frame_s + len(rows) * self._row_s
        self._launched = rows, self._ready_at

    def collect(self) -> NDArray[np.int64]:
        assert self._launched is not None, "collect before launch"
        (rows, ready_at), self._launched = self._launched, None
        time.sleep(max(0.0, ready_at - time.perf_counter()))
        self.prefill_s, self._fed = self._fed * self._position_s, 0
        self._frames = (self._frames + 1) % 997
        self._collected_at = time.perf_counter()
        return self._noise[self._frames + rows]

    def works(self) -> bool:
        return True

    def close(self) -> None:
        pass

    def figures(self) -> dict[str, float]:
        """Percentiles of all frames so far."""
        return {f"between_{key}": value for key, value in percentiles(self.between).items()}
