"""Maps the rows of a step to the slots of the state."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Slots:
    """The slots of a step's rows, as an index into state tensors of shape (slots, ...).

    Adjacent slots in ascending order are used in place, which matters on a CPU, where the keys and values of a stream
    are megabytes; other choices are gathered and written back.

    Args:
        numbers: the slots, without repetition, in the order of the rows.
        device: of the state.
    """

    def __init__(self, numbers: Sequence[int], device: torch.device) -> None:
        first = numbers[0]
        adjacent = list(numbers) == list(range(first, first + len(numbers)))
        self.count = len(numbers)
        self.index = torch.tensor(numbers, device=device)
        self._span = slice(first, first + len(numbers)) if adjacent else None

    def read(self, state: Tensor) -> Tensor:
        """Returns the rows (B, ...) of a state (slots, ...), as a view if possible."""
        return state.index_select(0, self.index) if self._span is None else state[self._span]

    def write(self, state: Tensor, rows: Tensor) -> None:
        """Writes rows (B, ...) into a state (slots, ...)."""
        if self._span is None:
            state.index_copy_(0, self.index, rows)
        else:
            state[self._span].copy_(rows)


class MaskedSlots(Slots):
    """The first B slots, with a mask on the device of those that take part, for CUDA graphs.

    The rows of the other slots are computed but not written, except for keys and values: a stream that did not advance
    overwrites them at its next step, before they are read.

    Args:
        active: which slots take part, (B,) bool; its values may change between steps.
    """

    def __init__(self, active: Tensor) -> None:
        super().__init__(range(len(active)), active.device)
        self._active = active

    def write(self, state: Tensor, rows: Tensor) -> None:
        """Writes the rows that take part into a state (slots, ...)."""
        active = self._active.view(-1, *[1] * (state.dim() - 1))
        state[: self.count].copy_(torch.where(active, rows, state[: self.count]))
