"""Matrix-vector products of a single row, fused with the norm before and the activation or residual after them.

With one row a product is bound by reading its weights, so each kernel reads them once and does the rest meanwhile.  The
weight of an RMSNorm is folded into the matrix after it (`weights.fold_norm`); what is left of the norm is a scalar that
is computed along with the product and applied to its result.

Weights may have 8 bits and a scale for each output (`weights.Scaled`), which halves the memory to read.

A kernel loads its weights, which no kernel writes, before it waits for the output of the previous kernel (see
`launch`), so memory is busy between kernels.

Letters in shapes: K inputs, O outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from services.csm.device.gpu.launch import EARLY, launch_early, wait_for_previous
from services.csm.device.gpu.weights import OFFSET, Matrix, Scaled

MAX_ROWS = 1
"""With more rows, tensor cores are faster than these kernels."""
SHORT_INPUTS = 2048


@dataclass(frozen=True)
class Tiles:
    """Outputs and inputs of a program's tile, and its warps: of a product with at most SHORT_INPUTS, of one with more,
    and of a SwiGLU."""

    short: tuple[int, int, int]
    long: tuple[int, int, int]
    gate_up: tuple[int, int, int]


TILES = Tiles((2, 2048, 2), (4, 2048, 8), (2, 2048, 4))
"""Tuned for CSM-1B's shapes on NVIDIA Hopper: a program has few outputs, so that every multiprocessor has work."""
TILES_OF_8_BITS = Tiles((4, 2048, 2), (4, 4096, 8), (4, 2048, 4))
"""The same number of bytes."""

_EXPONENT = tl.constexpr(0x4B000000)  # of 2^23 as a float32, whose last bits are then integers
_OFFSET = tl.constexpr(float(2**23 + OFFSET))


@triton.jit
def _float(w):
    """A tile of weights as float32.  8-bit integers are not converted, because that runs at a quarter of the rate."""
    if w.dtype == tl.uint8:
        value = (w.to(tl.int32) | _EXPONENT).to(tl.float32, bitcast=True) - _OFFSET
    else:
        value = w.to(tl.float32)
    return value


@triton.jit
def _linear_kernel(
    x_ptr, w_ptr, scale_ptr, out_ptr, outputs, eps,
    K: tl.constexpr, NORM: tl.constexpr, RESIDUAL: tl.constexpr, SCALED: tl.constexpr, BLOCK_O: tl.constexpr,
    BLOCK_K: tl.constexpr, EARLY: tl.constexpr,
):  # fmt: skip
    """out = (norm)(x) @ (scale * w).T, or out += it: x (K,), w (O, K), scale (O,), out (O,)."""
    o = tl.program_id(0) * BLOCK_O + tl.arange(0, BLOCK_O)
    k = tl.arange(0, BLOCK_K)
    rows = w_ptr + o[:, None] * K
    w = tl.load(rows + k[None, :], mask=(o < outputs)[:, None] & (k < K)[None, :], other=0.0)
    if SCALED:
        scale = tl.load(scale_ptr + o, mask=o < outputs, other=0.0)
    wait_for_previous(EARLY)
    x = tl.load(x_ptr + k, mask=k < K, other=0.0).to(tl.float32)
    total = _float(w) * x[None, :]
    squares = x * x
    for start in range(BLOCK_K, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        w = tl.load(rows + k[None, :], mask=(o < outputs)[:, None] & (k < K)[None, :], other=0.0)
        x = tl.load(x_ptr + k, mask=k < K, other=0.0).to(tl.float32)
        total += _float(w) * x[None, :]
        squares += x * x
    y = tl.sum(total, axis=1)
    if SCALED:
        y *= scale
    if NORM:
        y *= tl.rsqrt(tl.sum(squares, axis=0) / K + eps)
    if RESIDUAL:
        y += tl.load(out_ptr + o, mask=o < outputs, other=0.0)
    tl.store(out_ptr + o, y, mask=o < outputs)


@triton.jit
def _gate_up_kernel(
    x_ptr, w_ptr, scale_ptr, out_ptr, outputs, eps,
    K: tl.constexpr, SCALED: tl.constexpr, BLOCK_O: tl.constexpr, BLOCK_K: tl.constexpr, EARLY: tl.constexpr,
):  # fmt: skip
    """out = silu(norm(x) @ gate.T) * (norm(x) @ up.T): x (K,), w and scale (2 O, K) and (2 O,) with the gate's rows
    first, out (O,)."""
    o = tl.program_id(0) * BLOCK_O + tl.arange(0, BLOCK_O)
    k = tl.arange(0, BLOCK_K)
    gate_rows = w_ptr + o[:, None] * K
    up_rows = gate_rows + outputs * K
    inside = (o < outputs)[:, None] & (k < K)[None, :]
    gate = tl.load(gate_rows + k[None, :], mask=inside, other=0.0)
    up = tl.load(up_rows + k[None, :], mask=inside, other=0.0)
    if SCALED:
        gate_scale = tl.load(scale_ptr + o, mask=o < outputs, other=0.0)
        up_scale = tl.load(scale_ptr + outputs + o, mask=o < outputs, other=0.0)
    wait_for_previous(EARLY)
    x = tl.load(x_ptr + k, mask=k < K, other=0.0).to(tl.float32)
    gates = _float(gate) * x[None, :]
    ups = _float(up) * x[None, :]
    squares = x * x
    for start in range(BLOCK_K, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        inside = (o < outputs)[:, None] & (k < K)[None, :]
        gate = tl.load(gate_rows + k[None, :], mask=inside, other=0.0)
        up = tl.load(up_rows + k[None, :], mask=inside, other=0.0)
        x = tl.load(x_ptr + k, mask=k < K, other=0.0).to(tl.float32)
        gates += _float(gate) * x[None, :]
        ups += _float(up) * x[None, :]
        squares += x * x
    norm = tl.rsqrt(tl.sum(squares, axis=0) / K + eps)
    gate = tl.sum(gates, axis=1) * norm
    up = tl.sum(ups, axis=1) * norm
    if SCALED:
        gate *= gate_scale
        up *= up_scale
    tl.store(out_ptr + o, gate / (1.0 + tl.exp(-gate)) * up, mask=o < outputs)


def linear(x: Tensor, w: Matrix, out: Tensor, *, norm_eps: float | None = None, residual: bool = False) -> None:
    """Writes x @ w.T into `out`.

    Args:
        x: (1, K).
        w: (O, K).
        out: (1, O) float32.
        norm_eps: normalises x by its root mean square first; None: not.
        residual: adds to `out` instead of replacing it.
    """
    outputs, inputs = w.shape
    values, scales, tiles = _parts(w)
    block_o, block_k, warps = tiles.long if inputs > SHORT_INPUTS else tiles.short
    block_k = min(block_k, triton.next_power_of_2(inputs))
    _linear_kernel[(triton.cdiv(outputs, block_o),)](
        x, values, scales, out, outputs, norm_eps or 0.0, K=inputs, NORM=norm_eps is not None, RESIDUAL=residual,
        SCALED=isinstance(w, Scaled), BLOCK_O=block_o, BLOCK_K=block_k, EARLY=EARLY, num_warps=warps, **launch_early(),
    )  # fmt: skip


def gate_up(x: Tensor, w: Matrix, out: Tensor, *, norm_eps: float) -> None:
    """Writes the SwiGLU of the normalised `x` (1, K) into `out` (1, O); `w` (2 O, K): gate, then up."""
    outputs, inputs = w.shape[0] // 2, w.shape[1]
    values, scales, tiles = _parts(w)
    block_o, block_k, warps = tiles.gate_up
    _gate_up_kernel[(triton.cdiv(outputs, block_o),)](
        x, values, scales, out, outputs, norm_eps, K=inputs, SCALED=isinstance(w, Scaled), BLOCK_O=block_o,
        BLOCK_K=min(block_k, triton.next_power_of_2(inputs)), EARLY=EARLY, num_warps=warps, **launch_early(),
    )  # fmt: skip


def _parts(w: Matrix) -> tuple[Tensor, Tensor, Tiles]:
    """Values, scales (any tensor if there are none) and tiles of a matrix."""
    return (w.values, w.scales, TILES_OF_8_BITS) if isinstance(w, Scaled) else (w, w, TILES)


def empty(rows: int, columns: int, like: Tensor) -> Tensor:
    """A float32 buffer on the device of `like`: (rows, columns)."""
    return torch.empty(rows, columns, device=like.device, dtype=torch.float32)
