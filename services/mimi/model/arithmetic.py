"""Matrix products with weights that are packed at load.

On a CPU, a frame of Mimi is limited by reading some 160 MB of weights for one or two rows of input.  oneDNN is faster
with packed weights, but has a larger overhead per call, so small weights are not packed.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

PACK_FROM = 1 << 15
"""Weights of fewer elements are not packed."""


class Projection:
    """y = x W' + b for rows x, with a weight (N, K) and a bias (N,) or None."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self._bias = bias
        self._weight = weight.contiguous()
        self._packed = (
            weight.device.type == "cpu" and weight.numel() >= PACK_FROM and torch.backends.mkldnn.is_available()
        )
        if self._packed:  # None: any number of rows
            self._weight = torch.ops.mkldnn._reorder_linear_weight(self._weight, None)

    def __call__(self, rows: Tensor) -> Tensor:
        """Rows (M, K) -> (M, N)."""
        if self._packed:
            return torch.ops.mkldnn._linear_pointwise(rows, self._weight, self._bias, "none", [], "")
        return F.linear(rows, self._weight, self._bias)

    def gelu(self, rows: Tensor) -> Tensor:
        """Rows (M, K) -> gelu(y), (M, N)."""
        if self._packed:
            return torch.ops.mkldnn._linear_pointwise(rows, self._weight, self._bias, "gelu", [], "none")
        return F.gelu(F.linear(rows, self._weight, self._bias))

    def plus(self, rows: Tensor, residual: Tensor) -> Tensor:
        """Rows (M, K) and a residual (M, N) -> residual + y, (M, N)."""
        if self._packed:
            return torch.ops.mkldnn._linear_pointwise.binary(rows, residual, self._weight, self._bias, "add")
        return F.linear(rows, self._weight, self._bias).add_(residual)
