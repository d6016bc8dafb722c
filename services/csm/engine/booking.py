"""What passes between the scheduler and the engine's thread: prompts on their way, frames, what they brought."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.csm.engine.stream import FrameStream, Item


@dataclass(eq=False)
class Job:
    """A prompt on its way into a row's pages; `at` is the next position to run."""

    stream: FrameStream
    row: int
    pages: list[int]
    at: int
    began_at: float
    begun: bool = False


@dataclass(frozen=True)
class Flight:
    """A frame that is being made."""

    rows: NDArray[np.int64]
    epochs: NDArray[np.int64]
    launched_at: float


@dataclass
class Booked:
    """What a frame brought: a row of `codes` (N, Q) for each of `streams`, then the ends."""

    streams: list[FrameStream] = field(default_factory=list)
    codes: NDArray[np.int64] | None = None
    ends: list[tuple[FrameStream, Item]] = field(default_factory=list)

    def items(self) -> Iterator[tuple[FrameStream, Item]]:
        """All of it, frames first.  Frames are copies, so that a slow reader holds no more than its own."""
        if self.codes is not None:
            for stream, codes in zip(self.streams, self.codes[:, None], strict=True):
                yield stream, codes.copy()
        yield from self.ends
