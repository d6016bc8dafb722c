"""Streaming causal convolutions.

Both kinds are one matrix product over windows of the memory (the last inputs) and the new inputs:

* a convolution of kernel k, stride s and dilation d keeps its last (k - 1) d + 1 - s inputs;
* a transposed convolution of kernel 2 s and stride s computes s outputs from each window of two inputs, so it keeps one
  input.

Signals are (B, T, C), channels last, so that a window is contiguous and the output of a product is the next signal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from services.mimi.model.arithmetic import Projection
from services.mimi.model.slots import Slots
from services.mimi.model.weights import Weights

if TYPE_CHECKING:
    from services.mimi.model.gpu.convolution import ConvKernel


class CausalConv:
    """A streaming convolution, optionally with an ELU on its input.

    Args:
        weight: (N, K, C).
        bias: (N,) or None.
        stride, dilation: in inputs.
        elu: apply ELU to the input first.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None, *, stride: int = 1, dilation: int = 1, elu: bool = False
    ) -> None:
        self._outputs, self._kernel, self.channels = weight.shape
        self._weight, self._bias = weight, bias
        self._product = Projection(weight.reshape(self._outputs, -1), bias)
        self._fused: ConvKernel | None = None
        self._stride, self._dilation, self._elu = stride, dilation, elu
        self.memory_inputs = (self._kernel - 1) * dilation + 1 - stride

    def use_kernels(self) -> None:
        """Runs on a Triton kernel from now on; needs a GPU."""
        from services.mimi.model.gpu.convolution import ConvKernel

        self._fused = ConvKernel(
            self._weight, self._bias, stride=self._stride, dilation=self._dilation, history=self.memory_inputs,
            elu=self._elu,
        )  # fmt: skip

    def new_memory(self, slots: int, device: torch.device) -> Tensor:
        """Returns the memory of new streams, (slots, H, C)."""
        return torch.zeros(slots, self.memory_inputs, self.channels, device=device)

    def __call__(self, signal: Tensor, memory: Tensor, slots: Slots) -> Tensor:
        """Runs a signal (B, T, C), T a multiple of the stride, with the memory (slots, H, C).

        Returns:
            (B, T / stride, N).

        With ELU and a kernel of 1 the signal is overwritten.
        """
        return self._convolve(signal, memory, slots, None)

    def plus(self, signal: Tensor, memory: Tensor, slots: Slots, residual: Tensor) -> Tensor:
        """Like a call, plus a residual of the output's shape."""
        return self._convolve(signal, memory, slots, residual)

    def _convolve(self, signal: Tensor, memory: Tensor, slots: Slots, residual: Tensor | None) -> Tensor:
        if self._fused is not None:
            output = self._fused(signal, memory, slots.index, residual)
            self._update_memory(signal, memory, slots)
            return output
        batch, inputs, channels = signal.shape
        if self.memory_inputs:
            signal = torch.cat((slots.read(memory), signal), 1)
            slots.write(memory, signal[:, -self.memory_inputs :])
        if self._elu:
            F.elu_(signal)
        steps = inputs // self._stride
        batch_stride = signal.stride(0)
        rows = signal.as_strided(
            (batch, steps, self._kernel, channels),
            (batch_stride, self._stride * channels, self._dilation * channels, 1),
        ).reshape(batch * steps, self._kernel * channels)
        if residual is None:
            return self._product(rows).view(batch, steps, self._outputs)
        return self._product.plus(rows, residual.reshape(batch * steps, self._outputs)).view(residual.shape)

    def _update_memory(self, signal: Tensor, memory: Tensor, slots: Slots) -> None:
        """Stores the last inputs of the signal (B, T, C)."""
        if not self.memory_inputs:
            return
        if signal.shape[1] < self.memory_inputs:
            signal = torch.cat((slots.read(memory), signal), 1)
        slots.write(memory, signal[:, -self.memory_inputs :])


class CausalUpsampling:
    """A streaming transposed convolution of kernel 2 s and stride s, with an ELU on its input.

    The weight is (C, N, 2 s), PyTorch's layout; the bias is (N,).
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        _, self._outputs, kernel = weight.shape
        self._stride = kernel // 2
        now, before = weight[:, :, : self._stride], weight[:, :, self._stride :]
        windows = torch.stack((before, now)).permute(3, 2, 0, 1)  # (s, N, 2, C)
        self._conv = CausalConv(windows.flatten(0, 1), bias.repeat(self._stride), elu=True)
        self.new_memory = self._conv.new_memory
        self.use_kernels = self._conv.use_kernels

    def __call__(self, signal: Tensor, memory: Tensor, slots: Slots) -> Tensor:
        """Runs a signal (B, T, C) with the memory (slots, 1, C); returns (B, T s, N)."""
        outputs = self._conv(signal, memory, slots)
        return outputs.view(signal.shape[0], -1, self._outputs)


class ChannelUpsampling:
    """A streaming depthwise transposed convolution of kernel 2 s and stride s; weight (C, 1, 2 s), PyTorch's layout."""

    def __init__(self, weight: Tensor) -> None:
        self.channels, _, kernel = weight.shape
        taps = weight[:, 0].t().contiguous()  # (2 s, C)
        self._now, self._before = taps[: kernel // 2], taps[kernel // 2 :]

    def new_memory(self, slots: int, device: torch.device) -> Tensor:
        """Returns the memory of new streams, (slots, 1, C)."""
        return torch.zeros(slots, 1, self.channels, device=device)

    def __call__(self, signal: Tensor, memory: Tensor, slots: Slots) -> Tensor:
        """Runs a signal (B, T, C) with the memory (slots, 1, C); returns (B, T s, C)."""
        signal = torch.cat((slots.read(memory), signal), 1)
        slots.write(memory, signal[:, -1:])
        before, now = signal[:, :-1, None], signal[:, 1:, None]
        return torch.addcmul(before * self._before, now, self._now).flatten(1, 2)


def load_conv(
    weights: Weights,
    name: str,
    channels: int,
    outputs: int,
    kernel: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    elu: bool = False,
    bias: bool = True,
) -> CausalConv:
    """Loads a convolution by its name in a checkpoint."""
    weight = weights(f"{name}.conv.weight", (outputs, channels, kernel)).transpose(1, 2)
    offset = weights(f"{name}.conv.bias", (outputs,)) if bias else None
    return CausalConv(weight, offset, stride=stride, dilation=dilation, elu=elu)


def load_upsampling(weights: Weights, name: str, channels: int, outputs: int, stride: int) -> CausalUpsampling:
    """Loads a transposed convolution by its name in a checkpoint."""
    weight = weights(f"{name}.conv.weight", (channels, outputs, 2 * stride))
    return CausalUpsampling(weight, weights(f"{name}.conv.bias", (outputs,)))
