"""Matrix-vector products of a single row, fused with what stands around them.

With one row a product does nothing but read its weights, so each kernel streams them once and does the norm before it
and the activation or the residual behind it on the way.  The weight of an RMSNorm is folded into the matrix behind it
(`weights.fold_norm`), which leaves the norm a scalar: it is found in the same pass as the product and applied to its
result.

A kernel fetches its weights, which nobody writes, before it waits for the output of the kernel before it (see
`launch`), so the memory is never idle between two kernels.

Letters in shapes: K inputs, O outputs.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from services.csm.gpu.launch import EARLY, launch_early, wait_for_previous

MAX_ROWS = 1
"""Rows above which tensor cores win over these kernels (measured on an H200, two rows)."""
# Outputs and inputs of a program's tile, and its warps, as measured on an H200 for CSM-1B's shapes: a program holds few
# outputs, so that every multiprocessor has some.
SHORT_INPUTS = 2048
SHORT_TILE = (2, 2048, 2)
LONG_TILE = (4, 2048, 8)
GATE_UP_TILE = (2, 2048, 4)


@triton.jit
def _linear_kernel(
    x_ptr, w_ptr, out_ptr, outputs, eps,
    K: tl.constexpr, NORM: tl.constexpr, RESIDUAL: tl.constexpr, BLOCK_O: tl.constexpr, BLOCK_K: tl.constexpr,
    EARLY: tl.constexpr,
):  # fmt: skip
    """out = (norm)(x) @ w.T, or out += it: x (K,), w (O, K), out (O,)."""
    o = tl.program_id(0) * BLOCK_O + tl.arange(0, BLOCK_O)
    k = tl.arange(0, BLOCK_K)
    rows = w_ptr + o[:, None] * K
    w = tl.load(rows + k[None, :], mask=(o < outputs)[:, None] & (k < K)[None, :], other=0.0)
    wait_for_previous(EARLY)
    x = tl.load(x_ptr + k, mask=k < K, other=0.0).to(tl.float32)
    total = w.to(tl.float32) * x[None, :]
    squares = x * x
    for start in range(BLOCK_K, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        w = tl.load(rows + k[None, :], mask=(o < outputs)[:, None] & (k < K)[None, :], other=0.0)
        x = tl.load(x_ptr + k, mask=k < K, other=0.0).to(tl.float32)
        total += w.to(tl.float32) * x[None, :]
        squares += x * x
    y = tl.sum(total, axis=1)
    if NORM:
        y *= tl.rsqrt(tl.sum(squares, axis=0) / K + eps)
    if RESIDUAL:
        y += tl.load(out_ptr + o, mask=o < outputs, other=0.0)
    tl.store(out_ptr + o, y, mask=o < outputs)


@triton.jit
def _gate_up_kernel(
    x_ptr, w_ptr, out_ptr, outputs, eps,
    K: tl.constexpr, BLOCK_O: tl.constexpr, BLOCK_K: tl.constexpr, EARLY: tl.constexpr,
):  # fmt: skip
    """out = silu(norm(x) @ gate.T) * (norm(x) @ up.T): x (K,), w (2 O, K) with the gate's rows first, out (O,)."""
    o = tl.program_id(0) * BLOCK_O + tl.arange(0, BLOCK_O)
    k = tl.arange(0, BLOCK_K)
    gate_rows = w_ptr + o[:, None] * K
    up_rows = gate_rows + outputs * K
    inside = (o < outputs)[:, None] & (k < K)[None, :]
    gate = tl.load(gate_rows + k[None, :], mask=inside, other=0.0)
    up = tl.load(up_rows + k[None, :], mask=inside, other=0.0)
    wait_for_previous(EARLY)
    x = tl.load(x_ptr + k, mask=k < K, other=0.0).to(tl.float32)
    gates = gate.to(tl.float32) * x[None, :]
    ups = up.to(tl.float32) * x[None, :]
    squares = x * x
    for start in range(BLOCK_K, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        inside = (o < outputs)[:, None] & (k < K)[None, :]
        gate = tl.load(gate_rows + k[None, :], mask=inside, other=0.0)
        up = tl.load(up_rows + k[None, :], mask=inside, other=0.0)
        x = tl.load(x_ptr + k, mask=k < K, other=0.0).to(tl.float32)
        gates += gate.to(tl.float32) * x[None, :]
        ups += up.to(tl.float32) * x[None, :]
        squares += x * x
    scale = tl.rsqrt(tl.sum(squares, axis=0) / K + eps)
    gate = tl.sum(gates, axis=1) * scale
    tl.store(out_ptr + o, gate / (1.0 + tl.exp(-gate)) * (tl.sum(ups, axis=1) * scale), mask=o < outputs)


def linear(x: Tensor, w: Tensor, out: Tensor, *, norm_eps: float | None = None, residual: bool = False) -> None:
    """Writes x @ w.T into `out`.

    Args:
        x: (1, K).
        w: (O, K).
        out: (1, O) float32.
        norm_eps: normalises x by its root mean square first; None leaves it as it is.
        residual: adds to `out` instead of replacing it.
    """
    outputs, inputs = w.shape
    block_o, block_k, warps = LONG_TILE if inputs > SHORT_INPUTS else SHORT_TILE
    block_k = min(block_k, triton.next_power_of_2(inputs))
    _linear_kernel[(triton.cdiv(outputs, block_o),)](
        x, w, out, outputs, norm_eps or 0.0, K=inputs, NORM=norm_eps is not None, RESIDUAL=residual,
        BLOCK_O=block_o, BLOCK_K=block_k, EARLY=EARLY, num_warps=warps, **launch_early(),
    )  # fmt: skip


def gate_up(x: Tensor, w: Tensor, out: Tensor, *, norm_eps: float) -> None:
    """Writes the SwiGLU of the normalised `x` (1, K) into `out` (1, O); `w` (2 O, K): gate, then up."""
    outputs, inputs = w.shape[0] // 2, w.shape[1]
    block_o, block_k, warps = GATE_UP_TILE
    _gate_up_kernel[(triton.cdiv(outputs, block_o),)](
        x, w, out, outputs, norm_eps, K=inputs, BLOCK_O=block_o, BLOCK_K=min(block_k, triton.next_power_of_2(inputs)),
        EARLY=EARLY, num_warps=warps, **launch_early(),
    )  # fmt: skip


def empty(rows: int, columns: int, like: Tensor) -> Tensor:
    """A float32 buffer on the device of `like`: (rows, columns)."""
    return torch.empty(rows, columns, device=like.device, dtype=torch.float32)
