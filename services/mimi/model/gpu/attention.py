"""Attention of a step's few positions over each stream's ring of keys and values, read in place."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

MAX_STEP = 4
"""Longest step in positions; for longer ones torch's attention is efficient."""


@triton.jit(do_not_specialize=["window"])
def _attend_kernel(
    qkv_ptr, ring_ptr, slots_ptr, positions_ptr, out_ptr, window, scale,
    HEADS: tl.constexpr, D: tl.constexpr, T: tl.constexpr, P: tl.constexpr, BLOCK_P: tl.constexpr,
):  # fmt: skip
    """One head of one stream."""
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1)
    slot = tl.load(slots_ptr + row)
    start = tl.load(positions_ptr + row)
    t = tl.arange(0, T)
    d = tl.arange(0, D)
    q = tl.load(qkv_ptr + ((row * T + t) * 3 * HEADS + head)[:, None] * D + d[None, :]) * scale  # (T, D)
    position = start + t  # (T,)
    last = start + T - 1
    key_ptr = ring_ptr + ((slot * 2) * HEADS + head) * P * D
    value_ptr = key_ptr + HEADS * P * D
    top = tl.full((T,), -1e30, tl.float32)
    norm = tl.zeros((T,), tl.float32)
    mixed = tl.zeros((T, D), tl.float32)
    for begin in range(0, P, BLOCK_P):
        index = begin + tl.arange(0, BLOCK_P)
        held = last - ((last - index) % P + P) % P  # the position at an index of the ring; below 0: none
        valid = (index < P) & (held >= 0)
        at = index[:, None] * D + d[None, :]
        k = tl.load(key_ptr + at, mask=valid[:, None], other=0.0)
        v = tl.load(value_ptr + at, mask=valid[:, None], other=0.0)
        age = position[:, None] - held[None, :]
        seen = valid[None, :] & (age >= 0) & (age < window)
        scores = tl.where(seen, tl.sum(q[:, None, :] * k[None, :, :], axis=2), -1e30)
        higher = tl.maximum(top, tl.max(scores, axis=1))
        shrink = tl.exp(top - higher)
        weights = tl.where(seen, tl.exp(scores - higher[:, None]), 0.0)
        norm = norm * shrink + tl.sum(weights, axis=1)
        mixed = mixed * shrink[:, None] + tl.sum(weights[:, :, None] * v[None, :, :], axis=1)
        top = higher
    target = ((row * T + t) * HEADS + head)[:, None] * D + d[None, :]
    tl.store(out_ptr + target, mixed / norm[:, None])


def can_attend(steps: int, head_dim: int) -> bool:
    """Returns whether the kernel supports the number of positions and the width of a head, which are powers of two."""
    return steps <= MAX_STEP and steps & (steps - 1) == 0 and head_dim & (head_dim - 1) == 0


def attend(qkv: Tensor, ring: Tensor, slots: Tensor, positions: Tensor, steps: int, window: int) -> Tensor:
    """Computes the attention of the newest positions, whose keys and values must be in the ring.

    Args:
        qkv: (B T, 3 H D), rotated; only the queries are read.
        ring: (slots, 2, H, P, D).
        slots: (B,) int64.
        positions: of each row's first input, (B,) int64.
        steps: T.
        window: positions that each input attends to, including its own.

    Returns:
        (B T, H D).
    """
    _, _, heads, capacity, width = ring.shape
    out = torch.empty(qkv.shape[0], heads * width, device=qkv.device)
    _attend_kernel[(len(slots), heads)](
        qkv, ring, slots, positions, out, window, width**-0.5,
        HEADS=heads, D=width, T=steps, P=capacity, BLOCK_P=32, num_warps=4,
    )  # fmt: skip
    return out
