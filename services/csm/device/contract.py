"""What the engine asks of the device: rows that run requests, pages of keys and values, one frame a call.

The engine decides who runs, where each row's pages are and what of a prompt is already in them; the device knows
nothing of requests, texts or limits.  `torch_device.py` is the plain implementation, for the CPU and as the reference
of any other; `gpu/` is the fast one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from oviya.errors import OviyaError
from services.csm.request.prompt import Prompt

if TYPE_CHECKING:
    from services.csm.checkpoint import Checkpoint

PAGE = 64
"""Positions of a page of keys and values."""

DepthWeights = Literal["auto", "bfloat16", "int8", "fp8"]
"""Number formats of the depth decoder's weights where a single row makes a frame; "auto" is that of the checkpoint."""

_MIB = 1 << 20
_MOST_CPU_MIB = 1024
"""What the pages may take of a CPU's memory where no setting says."""
_SHARE_OF_GPU = 0.6
"""And of what is free on a GPU once the weights are there: a program has buffers and copies of its own."""
_ROWS_KEPT = 2
"""Full rows for each slot: one that it runs, and one of earlier prompts to find prefixes in."""
_CPU_SLOTS = 4
"""A small checkpoint speaks about three requests in real time on two cores; more share what there is."""
_MOST_GPU_SLOTS = 512
"""One process sends some 680 paced streams over gRPC before its Python front is the limit (benchmarks/README.md)."""


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


def make_device(checkpoint: Checkpoint, options: DeviceOptions) -> FrameDevice:
    """Makes the device for a checkpoint, ready to run: what it compiles or captures is done when this returns.

    Raises:
        OviyaError: the device cannot run the depth weights that are asked for.
    """
    if checkpoint.device.type == "cuda" and options.program == "auto":
        from services.csm.device.gpu.gpu_device import GpuDevice  # needs triton

        return GpuDevice(checkpoint.model, options)
    if options.depth_weights != "auto":
        raise OviyaError(
            f"depth weights in {options.depth_weights} need a GPU and the program 'auto'", hint="'auto' runs anywhere"
        )
    from services.csm.device.torch_device import TorchDevice

    return TorchDevice(checkpoint.model, options)


def page_bytes(checkpoint: Checkpoint) -> int:
    """Memory of one page: keys and values of PAGE positions in every layer of the backbone."""
    sizes = checkpoint.config.backbone
    return 2 * sizes.layers * PAGE * sizes.kv_heads * sizes.head_dim * checkpoint.dtype.itemsize


def pages_a_row(checkpoint: Checkpoint) -> int:
    """Pages that a row takes at most."""
    return -(-checkpoint.config.max_positions // PAGE)


def choose_slots(checkpoint: Checkpoint, kv_mib: int) -> int:
    """Chooses how many requests may run at once on the checkpoint's device.

    A CPU gets a few.  A GPU gets as many as have room for two full contexts each in `kv_mib` MiB, or, where that is 0,
    in the share of its free memory that `choose_pages` takes.
    """
    if checkpoint.device.type != "cuda":
        return _CPU_SLOTS
    row = _ROWS_KEPT * pages_a_row(checkpoint) * page_bytes(checkpoint)
    return max(1, min(_MOST_GPU_SLOTS, (kv_mib * _MIB or _bearable_bytes(checkpoint)) // row))


def choose_pages(checkpoint: Checkpoint, rows: int, kv_mib: int) -> int:
    """How many pages fit `kv_mib` MiB; where that is 0, as many as are of use and the memory bears.

    Raises:
        OviyaError: not even one row fits.
    """
    each, whole = page_bytes(checkpoint), pages_a_row(checkpoint)
    if kv_mib:
        if kv_mib * _MIB < whole * each:
            raise OviyaError(
                f"{kv_mib} MiB hold no full context", hint=f"it takes {math.ceil(whole * each / _MIB)} MiB"
            )
        return kv_mib * _MIB // each
    return max(whole, min(rows * whole * _ROWS_KEPT, _bearable_bytes(checkpoint) // each))


def _bearable_bytes(checkpoint: Checkpoint) -> int:
    """Memory that keys and values may take where no setting says."""
    if checkpoint.device.type != "cuda":
        return _MOST_CPU_MIB * _MIB
    import torch

    free, _ = torch.cuda.mem_get_info(checkpoint.device)
    return int(free * _SHARE_OF_GPU)
