"""Which streams of a batch take part in a step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Slots:
    """The slots that one step runs, as an index into state tensors of shape (slots, ...).

    Every other slot keeps its state untouched.  Ascending neighbours are viewed in place, which matters on a CPU, where
    a stream's attention memory is megabytes; any other choice is gathered and written back.

    Args:
        numbers: the slots, no two alike, in the order of the batch rows.
        device: where the state is.
    """

    def __init__(self, numbers: Sequence[int], device: torch.device) -> None:
        first = numbers[0]
        adjacent = list(numbers) == list(range(first, first + len(numbers)))
        self.count = len(numbers)
        self.index = torch.tensor(numbers, device=device)
        self._span = slice(first, first + len(numbers)) if adjacent else None

    def read(self, state: Tensor) -> Tensor:
        """(slots, ...) -> (B, ...), a view where possible."""
        return state.index_select(0, self.index) if self._span is None else state[self._span]

    def write(self, state: Tensor, rows: Tensor) -> None:
        """Puts rows (B, ...) back into (slots, ...)."""
        if self._span is None:
            state.index_copy_(0, self.index, rows)
        else:
            state[self._span].copy_(rows)


class MaskedSlots(Slots):
    """The first slots of all, of which those that a mask on the device names take part: for a program that is recorded
    once and then runs for any choice of streams.

    The other rows are computed and dropped: their state stays as it was.  (Keys and values alone are written without
    asking: a stream that does not advance overwrites them at its next step, before anything looks at them.)

    Args:
        active: which slots take part, (B,) bool.
    """

    def __init__(self, active: Tensor) -> None:
        super().__init__(range(len(active)), active.device)
        self._active = active

    def write(self, state: Tensor, rows: Tensor) -> None:
        """Puts the rows that take part back into (slots, ...)."""
        active = self._active.view(-1, *[1] * (state.dim() - 1))
        state[: self.count].copy_(torch.where(active, rows, state[: self.count]))
