"""What the engine asks of the device: rows that run requests, pages of keys and values, one frame a call.

The engine decides who runs, where each row's pages are and what of a prompt is already in them; the device knows
nothing of requests, texts or limits.  `torch_device.py` is the plain implementation, for the CPU and as the reference
of any other; `gpu/` is the fast one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from services.csm.request.prompt import Prompt

DepthWeights = Literal["auto", "bfloat16", "int8", "fp8"]
"""Number formats of the depth decoder's weights where a single row makes a frame; "auto" is that of the checkpoint."""


@dataclass(frozen=True)
class Sampling:
    """How a request's codes are drawn.

    Attributes:
        temperature: 0 takes the likeliest code.
        top_k: codes to draw from, at least 1.
        seed: 0 to 2^64 - 1.
    """

    temperature: float
    top_k: int
    seed: int


@dataclass(frozen=True)
class RowStart:
    """A request takes a row.

    Attributes:
        row: which one.
        sampling: how its codes are drawn; its frames count from 0.
        pages: all the pages that it may ever use, in the order of their positions.  The first ones may hold a prefix of
            its prompt already, shared with other rows: a page is shared only when it is full, so nobody writes there.
    """

    row: int
    sampling: Sampling
    pages: Sequence[int]


@dataclass(frozen=True)
class PromptChunk:
    """Positions `start` to `stop` - 1 of a prompt, to be run into a row's pages; what is before them is there.

    `stop` is at most len(prompt) - 1.  Where it is just that, the row is armed: the prompt's last position becomes the
    row's newest, which the first step will run, so that all frames are made by the same program.  `start` may equal
    `stop`: nothing is run, the row is armed.
    """

    row: int
    prompt: Prompt
    start: int
    stop: int

    @property
    def arms(self) -> bool:
        """Whether it makes the row ready to step."""
        return self.stop == len(self.prompt) - 1


class FrameDevice(Protocol):
    """Rows and pages of one model.  One thread drives it, once it is made.

    Calls take effect in the order in which they are made, but need not be done when they return; only `collect` waits.
    A failure may surface in any later call, and leaves what all rows and pages hold unknown.
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
        """Gives rows to requests; whatever ran there is forgotten, even if its frame is still being made."""
        ...

    def prefill(self, chunks: Sequence[PromptChunk]) -> None:
        """Runs chunks of prompts, each of another row, through the backbone and arms the rows that are complete."""
        ...

    def launch(self, rows: NDArray[np.int64]) -> None:
        """Starts the next frame of `rows`, which are armed, ascending and at least one; the others stand still.

        At most one launch is uncollected.
        """
        ...

    def collect(self) -> NDArray[np.int64]:
        """Codes (len(rows), Q) of the launched frame; waits for that frame, not for what was asked after it."""
        ...

    @property
    def prefill_s(self) -> float | None:
        """What the prompts between the last two collected frames took of the device, in seconds; None: not measured."""
        ...

    def works(self) -> bool:
        """Whether it can be used again, asked after a failure; False where every further call would fail."""
        ...

    def close(self) -> None:
        """Gives the memory back.  Not called where the device does not work any more."""
        ...


@dataclass(frozen=True)
class DeviceOptions:
    """What a device is made of.

    Attributes:
        rows: requests that can run at once.
        pages: pages of keys and values.
        program: "auto" is the fast one where there is a GPU; "torch" the plain one anywhere.
        depth_weights: of the fast program's frames of a single row.
    """

    rows: int
    pages: int
    program: Literal["auto", "torch"] = "auto"
    depth_weights: DepthWeights = "auto"
