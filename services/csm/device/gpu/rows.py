"""Kernels between the matrix products of a large batch, one program a row.

Letters in shapes: N rows, W width, F feed-forward width.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from services.csm.device.gpu.launch import EARLY, launch_early, wait_for_previous


@triton.jit
def _add_norm_kernel(
    x_ptr, delta_ptr, out_ptr, width, eps, ADD: tl.constexpr, BLOCK: tl.constexpr, EARLY: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    i = tl.arange(0, BLOCK)
    inside = i < width
    wait_for_previous(EARLY)
    x = tl.load(x_ptr + row * width + i, mask=inside, other=0.0)
    if ADD:
        x += tl.load(delta_ptr + row * width + i, mask=inside, other=0.0).to(tl.float32)
        tl.store(x_ptr + row * width + i, x, mask=inside)
    y = x * tl.rsqrt(tl.sum(x * x, axis=0) / width + eps)
    tl.store(out_ptr + row * width + i, y, mask=inside)


def add_norm(x: Tensor, delta: Tensor | None, out: Tensor, eps: float) -> None:
    """Adds `delta` (N, W) to the float32 residual `x` (N, W) in place, and writes its RMS-normalised value to `out`."""
    rows, width = x.shape
    _add_norm_kernel[(rows,)](
        x, x if delta is None else delta, out, width, eps,
        ADD=delta is not None, BLOCK=triton.next_power_of_2(width), EARLY=EARLY, num_warps=4, **launch_early(),
    )  # fmt: skip


@triton.jit
def _swiglu_kernel(x_ptr, out_ptr, width, BLOCK: tl.constexpr, EARLY: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    i = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = i < width
    wait_for_previous(EARLY)
    gate = tl.load(x_ptr + row * 2 * width + i, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(x_ptr + row * 2 * width + width + i, mask=inside, other=0.0).to(tl.float32)
    tl.store(out_ptr + row * width + i, gate / (1.0 + tl.exp(-gate)) * up, mask=inside)


def swiglu(x: Tensor, out: Tensor) -> None:
    """Writes silu(gate) * up to `out` (N, F) from `x` (N, 2 F), the gate first."""
    rows, width = out.shape
    block = min(2048, triton.next_power_of_2(width))
    _swiglu_kernel[(rows, triton.cdiv(width, block))](
        x, out, width, BLOCK=block, EARLY=EARLY, num_warps=4, **launch_early()
    )
