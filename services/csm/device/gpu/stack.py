"""One forward pass of a transformer over a batch of rows, with kernels for one row or for many.

Letters in shapes: N rows, W width, F feed-forward width, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from services.csm.device.gpu import linear, rows
from services.csm.device.gpu.weights import LayerWeights, Matrix, StackWeights

Attention = Callable[[int, Tensor], Tensor]
"""Attention of a layer, by its number: (N, (H + 2 K) D) to (N, H D)."""


class Pass(Protocol):
    """A residual stream and the operations of a layer on it."""

    def normed_linear(self, weight: Matrix) -> Tensor:
        """The product of the normalised residual and `weight` (O, W): (N, O)."""
        ...

    def add_linear(self, x: Tensor, weight: Matrix) -> None:
        """Adds the product of `x` (N, K) and `weight` (W, K) to the residual."""
        ...

    def normed_swiglu(self, weight: Matrix) -> Tensor:
        """The SwiGLU of the normalised residual and `weight` (2 F, W): (N, F)."""
        ...


class NarrowPass:
    """A pass of one row: every product is fused with the operations around it.

    Args:
        residual: (1, W) float32, changed in place.
        eps: of the norms.
    """

    def __init__(self, residual: Tensor, eps: float) -> None:
        self._residual, self._eps = residual, eps

    def normed_linear(self, weight: Matrix) -> Tensor:
        out = linear.empty(self._residual.shape[0], weight.shape[0], self._residual)
        linear.linear(self._residual, weight, out, norm_eps=self._eps)
        return out

    def add_linear(self, x: Tensor, weight: Matrix) -> None:
        linear.linear(x, weight, self._residual, residual=True)

    def normed_swiglu(self, weight: Matrix) -> Tensor:
        out = linear.empty(self._residual.shape[0], weight.shape[0] // 2, self._residual)
        linear.gate_up(self._residual, weight, out, norm_eps=self._eps)
        return out


class WidePass:
    """A pass of many rows: products on tensor cores, with one kernel between two products.

    Its matrices are plain tensors: with many rows, reading the weights is not the bottleneck.

    Args:
        residual: (N, W) float32, changed in place.
        eps: of the norms.
    """

    def __init__(self, residual: Tensor, eps: float) -> None:
        self._residual, self._eps = residual, eps
        self._delta: Tensor | None = None  # not added yet: the next norm adds it

    def _normed(self, like: Tensor) -> Tensor:
        out = torch.empty_like(self._residual, dtype=like.dtype)
        rows.add_norm(self._residual, self._delta, out, self._eps)
        self._delta = None
        return out

    def normed_linear(self, weight: Matrix) -> Tensor:
        assert isinstance(weight, Tensor)
        return self._normed(weight) @ weight.T

    def add_linear(self, x: Tensor, weight: Matrix) -> None:
        assert isinstance(weight, Tensor)
        self._delta = x @ weight.T

    def normed_swiglu(self, weight: Matrix) -> Tensor:
        assert isinstance(weight, Tensor)
        both = self._normed(weight) @ weight.T
        out = torch.empty(both.shape[0], both.shape[1] // 2, device=both.device, dtype=both.dtype)
        rows.swiglu(both, out)
        return out


def make_pass(residual: Tensor, eps: float) -> Pass:
    """Chooses the kernels for the number of rows."""
    return NarrowPass(residual, eps) if residual.shape[0] <= linear.MAX_ROWS else WidePass(residual, eps)


def run_layers(stack: StackWeights, current: Pass, attention: Attention) -> None:
    """Runs all layers."""
    for number, layer in enumerate(stack.layers):
        _run_layer(layer, current, lambda qkv, number=number: attention(number, qkv))


def _run_layer(layer: LayerWeights, current: Pass, attention: Callable[[Tensor], Tensor]) -> None:
    current.add_linear(attention(current.normed_linear(layer.qkv)), layer.out)
    current.add_linear(current.normed_swiglu(layer.gate_up), layer.down)
