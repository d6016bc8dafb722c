"""Keys and values in plain torch: pages for the backbone, the positions of one frame for the depth decoder.

Letters in shapes: N rows of a call, T positions of a call, K key-value heads, D head width, P pages of a row, S
positions that attention looks at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from services.csm.model.config import PAGE, TransformerConfig


class PagedKv:
    """Keys and values of all rows, in pages of PAGE positions."""

    def __init__(self, config: TransformerConfig, pages: int, *, device: torch.device, dtype: torch.dtype) -> None:
        shape = (config.layers, pages, PAGE, config.kv_heads, config.head_dim)
        # Attention multiplies masked values by 0, and 0 * NaN is NaN, so the memory must not hold NaN.
        self.keys = _zeros(shape, device, dtype)
        self.values = _zeros(shape, device, dtype)

    def at(self, tables: Tensor, positions: Tensor) -> PagedView:
        """The view of rows with the pages `tables` (N, P), at `positions` (N, T)."""
        indices = tables.gather(1, positions // PAGE) * PAGE + positions % PAGE
        return PagedView(self, tables, indices)


def _zeros(shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Zeros; numpy's take no memory on a CPU until they are written, unlike torch's."""
    if device.type == "cpu" and dtype == torch.float32:
        return torch.from_numpy(np.zeros(shape, np.float32))
    return torch.zeros(shape, device=device, dtype=dtype)


@dataclass(frozen=True)
class PagedView:
    """The rows and positions of one call; S is P * PAGE."""

    kv: PagedKv
    tables: Tensor
    indices: Tensor

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """As `KvView.extend`."""
        views = []
        for pages, new in ((self.kv.keys[layer], keys), (self.kv.values[layer], values)):
            pages.flatten(0, 1)[self.indices] = new
            views.append(pages[self.tables].flatten(1, 2).transpose(1, 2))
        return views[0], views[1]


class FrameKv:
    """Keys and values of the positions of one frame, for every row.  Each frame overwrites them."""

    def __init__(self, config: TransformerConfig, rows: int, *, device: torch.device, dtype: torch.dtype) -> None:
        shape = (config.layers, rows, config.kv_heads, config.positions, config.head_dim)
        self.keys = torch.empty(shape, device=device, dtype=dtype)
        self.values = torch.empty(shape, device=device, dtype=dtype)

    def at(self, rows: int, start: int, stop: int) -> FrameView:
        """The view of the first `rows` rows, all at positions `start` to `stop` - 1."""
        return FrameView(self, rows, start, stop)


@dataclass(frozen=True)
class FrameView:
    """The rows and positions of one call; S is `stop`."""

    kv: FrameKv
    rows: int
    start: int
    stop: int

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """As `KvView.extend`."""
        views = []
        for cache, new in ((self.kv.keys, keys), (self.kv.values, values)):
            rows = cache[layer, : self.rows]
            rows[:, :, self.start : self.stop] = new.transpose(1, 2)
            views.append(rows[:, :, : self.stop])
        return views[0], views[1]
