"""The contract of a device: rows that run requests, pages of keys and values, one frame a call.

The engine decides which rows run, where the pages of each row are and what of a prompt is already in them.  A device
knows nothing of requests, texts or limits.  `torch_device.py` is the reference implementation, for any device of torch;
`gpu/` is the fast one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from services.csm.request.prompt import Prompt

DepthWeights = Literal["auto", "bfloat16", "int8", "fp8"]
"""Number formats of the depth decoder's weights for a batch of a single row; "auto" is that of the checkpoint."""


@dataclass(frozen=True)
class Sampling:
    """How a request's codes are drawn.

    Attributes:
        temperature: 0 takes the most likely code.
        top_k: codes to draw from, at least 1.
        seed: 0 to 2^64 - 1.
    """

    temperature: float
    top_k: int
    seed: int


@dataclass(frozen=True)
class RowStart:
    """Assigns a row to a request.

    Attributes:
        row: the row.
        sampling: how its codes are drawn; its frames count from 0.
        pages: all pages that it may use, in the order of their positions.  The first ones may already hold a prefix of
            its prompt and be shared with other rows: a shared page is full, so no row writes to it.
    """

    row: int
    sampling: Sampling
    pages: Sequence[int]


@dataclass(frozen=True)
class PromptChunk:
    """Positions `start` to `stop` - 1 of a prompt, to be run into a row's pages, which hold all positions before them.

    `stop` is at most len(prompt) - 1.  The prompt's last position is run by the first frame, so that all frames are
    made by the same program.  `start` may equal `stop`.
    """

    row: int
    prompt: Prompt
    start: int
    stop: int

    @property
    def is_last(self) -> bool:
        """Whether the row is ready to decode after it."""
        return self.stop == len(self.prompt) - 1


class FrameDevice(Protocol):
    """Rows and pages of one model.  Once made, it is used by one thread.

    Calls take effect in order but need not have finished when they return; only `collect` waits.  A failure may be
    raised by any later call, and leaves the content of all rows and pages undefined.
    """

    @property
    def rows(self) -> int:
        """Requests that can run at once."""
        ...

    @property
    def pages(self) -> int:
        """Pages, shared by all rows, numbered from 0."""
        ...

    def begin(self, starts: Sequence[RowStart]) -> None:
        """Assigns rows to requests.  The previous request of a row is dropped, even if its frame is in flight."""
        ...

    def prefill(self, chunks: Sequence[PromptChunk]) -> None:
        """Runs chunks of prompts, each of another row, through the backbone."""
        ...

    def launch(self, rows: NDArray[np.int64]) -> None:
        """Starts the next frame of `rows`: at least one, ascending, and ready to decode.  Other rows do not change.

        Call `collect` before the next launch.
        """
        ...

    def collect(self) -> NDArray[np.int64]:
        """Waits for the launched frame, but not for later calls; returns its codes (len(rows), Q)."""
        ...

    @property
    def prefill_s(self) -> float | None:
        """Device time of the prompts between the last two collected frames, in seconds; None if not measured."""
        ...

    def works(self) -> bool:
        """Whether it can be used again after a failure; False if every further call would fail."""
        ...

    def close(self) -> None:
        """Frees its memory.  Not called once the device does not work any more."""
        ...


@dataclass(frozen=True)
class DeviceOptions:
    """What a device is made of.

    Attributes:
        rows: requests that can run at once.
        pages: pages of keys and values.
        program: "auto" is the fast program on a GPU; "torch" is the plain one anywhere.
        depth_weights: for the fast program's batches of a single row.
    """

    rows: int
    pages: int
    program: Literal["auto", "torch"] = "auto"
    depth_weights: DepthWeights = "auto"
