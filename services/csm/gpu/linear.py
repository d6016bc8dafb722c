"""Matrix-vector products for the few rows of a small batch, fused with what stands around them.

With one to four rows a product does nothing but read its weights, so each kernel streams them once, at full width, and
does the norm before it and the activation or the residual behind it on the way.  The weight of an RMSNorm is folded into
the matrix behind it (see `program.fold_norms`), which leaves the norm a scalar for each row: it is found in the same
pass as the product and applied to its result.

Letters in shapes: N rows, K inputs, O outputs.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

MAX_ROWS = 4
"""Rows above which tensor cores win over these kernels."""

_TILE_ELEMENTS = 8192
"""Weights that a program holds at once: 16 KB of bfloat16, enough loads in flight to keep HBM busy."""


@triton.jit
def _linear_kernel(
    x_ptr, w_ptr, out_ptr, inputs, outputs, eps,
    ROWS: tl.constexpr, NORM: tl.constexpr, RESIDUAL: tl.constexpr, BLOCK_O: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """out = (norm)(x) @ w.T, or out += it: x (N, K), w (O, K), out (N, O)."""
    o = tl.program_id(0) * BLOCK_O + tl.arange(0, BLOCK_O)
    n = tl.arange(0, ROWS)
    total = tl.zeros((ROWS, BLOCK_O, BLOCK_K), tl.float32)
    squares = tl.zeros((ROWS, BLOCK_K), tl.float32)
    for start in range(0, inputs, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        w = tl.load(
            w_ptr + o[:, None] * inputs + k[None, :], mask=(o < outputs)[:, None] & (k < inputs)[None, :], other=0.0
        )
        x = tl.load(x_ptr + n[:, None] * inputs + k[None, :], mask=(k < inputs)[None, :], other=0.0).to(tl.float32)
        total += x[:, None, :] * w.to(tl.float32)[None, :, :]
        if NORM:
            squares += x * x
    y = tl.sum(total, axis=2)
    if NORM:
        y *= tl.rsqrt(tl.sum(squares, axis=1) / inputs + eps)[:, None]
    at = out_ptr + n[:, None] * outputs + o[None, :]
    inside = (o < outputs)[None, :] & (n >= 0)[:, None]
    if RESIDUAL:
        y += tl.load(at, mask=inside, other=0.0)
    tl.store(at, y, mask=inside)


@triton.jit
def _gate_up_kernel(
    x_ptr, w_ptr, out_ptr, inputs, outputs, eps,
    ROWS: tl.constexpr, BLOCK_O: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """out = silu(norm(x) @ gate.T) * (norm(x) @ up.T): x (N, K), w (2 O, K) with the gate's rows first, out (N, O)."""
    o = tl.program_id(0) * BLOCK_O + tl.arange(0, BLOCK_O)
    n = tl.arange(0, ROWS)
    gates = tl.zeros((ROWS, BLOCK_O, BLOCK_K), tl.float32)
    ups = tl.zeros((ROWS, BLOCK_O, BLOCK_K), tl.float32)
    squares = tl.zeros((ROWS, BLOCK_K), tl.float32)
    up_ptr = w_ptr + outputs * inputs
    for start in range(0, inputs, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        inside = (o < outputs)[:, None] & (k < inputs)[None, :]
        gate = tl.load(w_ptr + o[:, None] * inputs + k[None, :], mask=inside, other=0.0).to(tl.float32)
        up = tl.load(up_ptr + o[:, None] * inputs + k[None, :], mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + n[:, None] * inputs + k[None, :], mask=(k < inputs)[None, :], other=0.0).to(tl.float32)
        gates += x[:, None, :] * gate[None, :, :]
        ups += x[:, None, :] * up[None, :, :]
        squares += x * x
    scale = tl.rsqrt(tl.sum(squares, axis=1) / inputs + eps)[:, None]
    gate = tl.sum(gates, axis=2) * scale
    y = gate / (1.0 + tl.exp(-gate)) * (tl.sum(ups, axis=2) * scale)
    tl.store(out_ptr + n[:, None] * outputs + o[None, :], y, mask=(o < outputs)[None, :] & (n >= 0)[:, None])


def _blocks(outputs: int, inputs: int, rows: int, programs: int) -> tuple[int, int]:
    """Outputs and inputs of a tile: about `programs` programs, each with tiles of `_TILE_ELEMENTS` / rows."""
    block_o = max(1, min(32, triton.next_power_of_2(max(1, outputs // programs))))
    return block_o, min(triton.next_power_of_2(inputs), max(64, _TILE_ELEMENTS // (block_o * rows)))


def linear(x: Tensor, w: Tensor, out: Tensor, *, norm_eps: float | None = None, residual: bool = False) -> None:
    """Writes x @ w.T into `out`.

    Args:
        x: (N, K), N at most `MAX_ROWS` and a power of two.
        w: (O, K).
        out: (N, O) float32.
        norm_eps: normalises x by its root mean square first; None leaves it as it is.
        residual: adds to `out` instead of replacing it.
    """
    rows, inputs = x.shape
    block_o, block_k = _blocks(w.shape[0], inputs, rows, programs=132)
    _linear_kernel[(triton.cdiv(w.shape[0], block_o),)](
        x, w, out, inputs, w.shape[0], norm_eps or 0.0,
        ROWS=rows, NORM=norm_eps is not None, RESIDUAL=residual, BLOCK_O=block_o, BLOCK_K=block_k, num_warps=8,
    )  # fmt: skip


def gate_up(x: Tensor, w: Tensor, out: Tensor, *, norm_eps: float) -> None:
    """Writes the SwiGLU of the normalised `x` (N, K) into `out` (N, O); `w` (2 O, K) holds the gate, then the up matrix."""
    rows, inputs = x.shape
    outputs = w.shape[0] // 2
    block_o, block_k = _blocks(outputs, inputs, 2 * rows, programs=528)
    _gate_up_kernel[(triton.cdiv(outputs, block_o),)](
        x, w, out, inputs, outputs, norm_eps, ROWS=rows, BLOCK_O=block_o, BLOCK_K=block_k, num_warps=8
    )


def empty(rows: int, columns: int, like: Tensor) -> Tensor:
    """A float32 buffer on the device of `like`: (rows, columns)."""
    return torch.empty(rows, columns, device=like.device, dtype=torch.float32)
