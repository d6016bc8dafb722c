"""Steps of one frame as CUDA graphs: some hundred kernels in one launch, for any choice of streams.

A graph runs the first so many slots, whatever streams are in them; a mask says which ones step.  There is one graph for
each of a few numbers of slots, and a step takes the smallest that holds its streams: low slots are given out first, so
that is about how many there are.
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
"""Runs before a recording: kernels are compiled and libraries pick their algorithms in them."""


def batch_sizes(slots: int) -> list[int]:
    """The numbers of slots to record: 4, 8, 16 ... up to all of them; at most half of a step's rows are in vain."""
    sizes: list[int] = []
    size = SMALLEST
    while size < slots:
        sizes.append(size)
        size *= GROWTH
    return [*sizes, slots]


class StepGraphs:
    """One direction's steps of one frame.

    Args:
        step: input (B, ...) and slots -> output (B, ...), all of it on the device.
        inputs: as many rows as there are slots; what it holds is what the rows that do not step are given.
    """

    def __init__(self, step: Callable[[Tensor, Slots], Tensor], inputs: Tensor) -> None:
        self._inputs = inputs
        self._idle = inputs[0].cpu().numpy()
        self._sizes = batch_sizes(len(inputs))
        self._active = torch.zeros(len(inputs), dtype=torch.bool, device=inputs.device)
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        # A recording reads its slots' index where it lay: freed, it would be somebody else's memory.
        self._slots = {size: MaskedSlots(self._active[:size]) for size in self._sizes}
        self._outputs: dict[int, Tensor] = {}
        pool = torch.cuda.graph_pool_handle()  # they never run side by side, so they share what they allocate
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
        # Pinned memory, which the device reads and writes by itself; a step ends before the next one uses it.
        like = (self._active, self._inputs, self._outputs[len(inputs)])
        self._host = tuple(torch.empty_like(tensor, device="cpu", pin_memory=True) for tensor in like)
        # It is filled through numpy: torch starts its threads for that, which cost 14 ms a step on a busy machine.
        self._views = tuple(tensor.numpy() for tensor in self._host)

    @property
    def sizes(self) -> Sequence[int]:
        """The numbers of slots that have a graph, ascending."""
        return self._sizes

    def replay(self, size: int) -> None:
        """Runs one of the recorded steps on whatever lies on the device."""
        self._graphs[size].replay()

    def __call__(self, numbers: Sequence[int], rows: NDArray[Any]) -> NDArray[Any]:
        """Steps the streams in the slots `numbers` with their inputs (B, ...) -> their outputs (B, ...)."""
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
