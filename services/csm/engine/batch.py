"""What the scheduler and the engine's thread exchange: prefills, batches and their output."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.csm.engine.sequence import Sequence
from services.csm.request.request import GenerationEnd

Item = NDArray[np.int64] | GenerationEnd | Exception
"""A frame (1, Q), the end, or a failure; nothing follows the last two."""

Output = tuple[Sequence, Item]


@dataclass(eq=False)
class Prefill:
    """A prompt that is run into the pages of its sequence.

    Attributes:
        sequence: whose prompt.
        position: the next position to run.
        started_at: when the sequence got its pages.
        row_started: whether the device has been given the row.
    """

    sequence: Sequence
    position: int
    started_at: float
    row_started: bool = False


@dataclass(frozen=True)
class Batch:
    """One frame of several rows.

    Attributes:
        rows: (N,), ascending.
        epochs: (N,), of each row when it was scheduled; see `Rows.epoch`.
        scheduled_at: when.
    """

    rows: NDArray[np.int64]
    epochs: NDArray[np.int64]
    scheduled_at: float


@dataclass
class BatchOutput:
    """What a batch produced: a row of `codes` (N, Q) for each of `sequences`, then the ends."""

    sequences: list[Sequence]
    codes: NDArray[np.int64]
    ends: list[Output] = field(default_factory=list)

    def items(self) -> Iterator[Output]:
        """Frames first, then ends.  Frames are copies, so that a slow reader keeps only its own in memory."""
        for sequence, codes in zip(self.sequences, self.codes[:, None], strict=True):
            yield sequence, codes.copy()
        yield from self.ends
