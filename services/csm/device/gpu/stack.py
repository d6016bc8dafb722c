"""One pass of a transformer over a batch of rows, by kernels for few rows or for many.

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
    """A residual stream and what can be done with it."""

    def normed_linear(self, weight: Matrix) -> Tensor:
        """The product of the normalised stream with `weight` (O, W): (N, O)."""
        ...

    def add_linear(self, x: Tensor, weight: Matrix) -> None:
        """Adds the product of `x` (N, K) with `weight` (W, K) to the stream."""
        ...

    def normed_swiglu(self, weight: Matrix) -> Tensor:
        """The SwiGLU of the normalised stream with `weight` (2 F, W): (N, F)."""
        ...


class NarrowPass:
    """A pass of one row: every product is one kernel with all that stands around it.

    Args:
        stream: (1, W) float32, changed in place.
        eps: of the norms.
    """

    def __init__(self, stream: Tensor, eps: float) -> None:
        self._stream, self._eps = stream, eps

    def normed_linear(self, weight: Matrix) -> Tensor:
        out = linear.empty(self._stream.shape[0], weight.shape[0], self._stream)
        linear.linear(self._stream, weight, out, norm_eps=self._eps)
        return out

    def add_linear(self, x: Tensor, weight: Matrix) -> None:
        linear.linear(x, weight, self._stream, residual=True)

    def normed_swiglu(self, weight: Matrix) -> Tensor:
        out = linear.empty(self._stream.shape[0], weight.shape[0] // 2, self._stream)
        linear.gate_up(self._stream, weight, out, norm_eps=self._eps)
        return out


class WidePass:
    """A pass of many rows: tensor cores multiply, and one kernel a row stands between two products.

    Its matrices are tensors: where many rows share a weight, reading it is not what takes time.

    Args:
        stream: (N, W) float32, changed in place.
        eps: of the norms.
    """

    def __init__(self, stream: Tensor, eps: float) -> None:
        self._stream, self._eps = stream, eps
        self._delta: Tensor | None = None  # not yet added: the next norm does it on its way

    def _normed(self, like: Tensor) -> Tensor:
        out = torch.empty_like(self._stream, dtype=like.dtype)
        rows.add_norm(self._stream, self._delta, out, self._eps)
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


def open_pass(stream: Tensor, eps: float) -> Pass:
    """Chooses the kernels for the stream's number of rows."""
    return NarrowPass(stream, eps) if stream.shape[0] <= linear.MAX_ROWS else WidePass(stream, eps)


def run_layers(stack: StackWeights, current: Pass, attention: Attention) -> None:
    """Runs all layers over the stream of `current`."""
    for number, layer in enumerate(stack.layers):
        _run_layer(layer, current, lambda qkv, number=number: attention(number, qkv))


def _run_layer(layer: LayerWeights, current: Pass, attention: Callable[[Tensor], Tensor]) -> None:
    current.add_linear(attention(current.normed_linear(layer.qkv)), layer.out)
    current.add_linear(current.normed_swiglu(layer.gate_up), layer.down)
