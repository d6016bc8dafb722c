"""Steps of one frame as CUDA graphs: some hundred kernels in one launch, for any choice of streams.

A graph runs the first B slots, with a mask of those that step.  Graphs are recorded for a few values of B, and a step
uses the smallest that includes its slots.  Low slots are assigned first, so B is close to the number of streams.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from services.mimi.model.slots import MaskedSlots, Slots

SMALLEST, GROWTH = 4, 2
WARM_UP_RUNS = 2
"""Runs before a recording, in which kernels are compiled and libraries choose their algorithms."""


def batch_sizes(slots: int) -> list[int]:
    """Returns the numbers of slots to record: 4, 8, 16 ... and `slots`."""
    sizes: list[int] = []
    size = SMALLEST
    while size < slots:
        sizes.append(size)
        size *= GROWTH
    return [*sizes, slots]


class StepGraphs:
    """Records and runs the steps of one frame of one direction.

    Args:
        step: takes inputs (B, ...) and slots, returns outputs (B, ...), all on the device.
        inputs: (slots, ...); its values are the inputs of rows that do not step.
    """

    def __init__(self, step: Callable[[Tensor, Slots], Tensor], inputs: Tensor) -> None:
        self._inputs = inputs
        self._idle = inputs[0].cpu().numpy()
        self._sizes = batch_sizes(len(inputs))
        self._active = torch.zeros(len(inputs), dtype=torch.bool, device=inputs.device)
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        # Kept alive, because a graph reads its slots' index from the same memory at each replay.
        self._slots = {size: MaskedSlots(self._active[:size]) for size in self._sizes}
        self._outputs: dict[int, Tensor] = {}
        pool = torch.cuda.graph_pool_handle()  # graphs never run concurrently, so they share their memory
        stream = torch.cuda.Stream(inputs.device)
        stream.wait_stream(torch.cuda.current_stream(inputs.device))
        for size in reversed(self._sizes):
            slots, rows = self._slots[size], inputs[:size]
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP_RUNS):
                    step(rows, slots)
            stream.synchronize()
            self._graphs[size] = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graphs[size], pool=pool, stream=stream):
                self._outputs[size] = step(rows, slots)
        torch.cuda.current_stream(inputs.device).wait_stream(stream)
        # Pinned memory for asynchronous copies; each step synchronizes before the next one uses it.
        like = (self._active, self._inputs, self._outputs[len(inputs)])
        self._host = tuple(torch.empty_like(tensor, device="cpu", pin_memory=True) for tensor in like)
        # Filled through numpy, because torch would start threads for it, which is slow on a busy machine.
        self._views = tuple(tensor.numpy() for tensor in self._host)

    @property
    def sizes(self) -> Sequence[int]:
        """The numbers of slots that have a graph, in ascending order."""
        return self._sizes

    def replay(self, size: int) -> None:
        """Runs the graph of `size` slots on the inputs that are on the device."""
        self._graphs[size].replay()

    def __call__(self, numbers: Sequence[int], rows: NDArray[Any]) -> NDArray[Any]:
        """Steps the slots `numbers` with inputs (B, ...); returns outputs (B, ...)."""
        size = next(size for size in self._sizes if size > max(numbers))
        chosen = list(numbers)
        active, inputs, outputs = self._views
        active[:size] = False
        active[chosen] = True
        inputs[:size] = self._idle
        inputs[chosen] = rows
        active_host, inputs_host, outputs_host = self._host
        self._active[:size].copy_(active_host[:size], non_blocking=True)
        self._inputs[:size].copy_(inputs_host[:size], non_blocking=True)
        self.replay(size)
        outputs_host[:size].copy_(self._outputs[size], non_blocking=True)
        torch.cuda.current_stream(self._active.device).synchronize()
        return outputs[chosen]  # a copy: the next step writes there
