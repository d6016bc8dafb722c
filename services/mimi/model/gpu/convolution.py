"""A causal convolution in one kernel: memory, ELU, product, bias and residual.

torch copies the signal to join memory and input, for the ELU and for the windows, and with many streams these copies
take most of the time.  The kernel gathers the windows while it multiplies.

Products run on tensor cores with the precision of float32: each number is split into its leading 11 bits and the rest,
both exact in tf32, and the three significant products of the four are summed (Ootomo and Yokota 2022, arXiv
2203.03341).
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

LEADING = tl.constexpr(-8192)
"""The bits of a float32 that tf32 keeps."""


@triton.jit
def _leading(x):
    return (x.to(tl.int32, bitcast=True) & LEADING).to(tl.float32, bitcast=True)


@triton.jit(do_not_specialize=["rows", "steps", "inputs"])
def _conv_kernel(
    x_ptr, memory_ptr, slots_ptr, lead_ptr, rest_ptr, bias_ptr, residual_ptr, out_ptr,
    rows, steps, inputs, outputs, stride, dilation, history,
    C: tl.constexpr, TAPS: tl.constexpr, ELU: tl.constexpr, MEMORY: tl.constexpr,
    BIAS: tl.constexpr, RESIDUAL: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """BLOCK_M output positions, of any streams, by BLOCK_N outputs."""
    n = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    m = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)
    used = m < rows
    row = m // steps
    first = (m % steps) * stride - history  # the input of tap 0; below 0 it is in the memory
    x_row = x_ptr + row.to(tl.int64) * inputs * C
    if MEMORY:
        slot = tl.load(slots_ptr + row, mask=used, other=0)
        memory_row = memory_ptr + (slot + 1) * history * C
    c = tl.arange(0, BLOCK_C)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    blocks: tl.constexpr = (C + BLOCK_C - 1) // BLOCK_C
    for i in range(TAPS * blocks):
        tap = i // blocks
        channel = (i % blocks) * BLOCK_C + c
        inside = channel < C
        at = first + tap * dilation
        source = x_row + at * C
        if MEMORY:
            source = tl.where(at < 0, memory_row + at * C, source)
        a = tl.load(source[:, None] + channel[None, :], mask=used[:, None] & inside[None, :], other=0.0)
        weight = n[None, :] * (TAPS * C) + tap * C + channel[:, None]
        there = inside[:, None] & (n < outputs)[None, :]
        lead = tl.load(lead_ptr + weight, mask=there, other=0.0)
        rest = tl.load(rest_ptr + weight, mask=there, other=0.0)
        if ELU:
            a = tl.where(a > 0, a, tl.exp(a) - 1.0)
        a_lead = _leading(a)
        total = tl.dot(a - a_lead, lead, total, input_precision="tf32")
        total = tl.dot(a_lead, rest, total, input_precision="tf32")
        total = tl.dot(a_lead, lead, total, input_precision="tf32")
    inside_n = n < outputs
    if BIAS:
        total += tl.load(bias_ptr + n, mask=inside_n, other=0.0)[None, :]
    target = m.to(tl.int64)[:, None] * outputs + n[None, :]
    there = used[:, None] & inside_n[None, :]
    if RESIDUAL:
        total += tl.load(residual_ptr + target, mask=there, other=0.0)
    tl.store(out_ptr + target, total, mask=there)


class ConvKernel:
    """The convolution with one set of weights.

    Args:
        weight: (N, K, C).
        bias: (N,) or None.
        stride, dilation: in inputs.
        history: inputs that the memory holds.
        elu: apply ELU to the input first.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        *,
        stride: int,
        dilation: int,
        history: int,
        elu: bool,
    ) -> None:
        self._outputs, self._taps, self._channels = weight.shape
        flat = weight.reshape(self._outputs, -1).contiguous()
        self._lead = (flat.view(torch.int32) & LEADING.value).view(torch.float32)
        self._rest = flat - self._lead
        self._bias = bias
        self._stride, self._dilation, self._history, self._elu = stride, dilation, history, elu

    def __call__(self, signal: Tensor, memory: Tensor, slots: Tensor, residual: Tensor | None) -> Tensor:
        """Runs the convolution; the memory is only read.

        Args:
            signal: (B, T, C).
            memory: (slots, H, C).
            slots: (B,) int64.
            residual: (B, T / stride, N) or None.

        Returns:
            (B, T / stride, N).
        """
        signal = signal.contiguous()
        batch, inputs, _ = signal.shape
        steps = inputs // self._stride
        out = torch.empty(batch, steps, self._outputs, device=signal.device)
        rows = batch * steps
        block_m, block_n, warps, stages = choose_blocks(rows, self._outputs)
        _conv_kernel[(triton.cdiv(self._outputs, block_n), triton.cdiv(rows, block_m))](
            signal, memory, slots, self._lead, self._rest, self._bias if self._bias is not None else signal,
            residual if residual is not None else signal, out,
            rows, steps, inputs, self._outputs, self._stride, self._dilation, self._history,
            C=self._channels, TAPS=self._taps, ELU=self._elu, MEMORY=self._history > 0,
            BIAS=self._bias is not None, RESIDUAL=residual is not None, BLOCK_M=block_m, BLOCK_N=block_n,
            BLOCK_C=min(32, max(16, triton.next_power_of_2(self._channels))), num_warps=warps, num_stages=stages,
        )  # fmt: skip
        return out


def choose_blocks(rows: int, outputs: int) -> tuple[int, int, int, int]:
    """Returns BLOCK_M, BLOCK_N, warps and stages for a number of output positions and outputs."""
    block_n = min(64, max(16, triton.next_power_of_2(outputs)))
    return (128 if rows >= 1 << 14 else 64), block_n, 4, 3
