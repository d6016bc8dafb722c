"""Attention over paged keys and values of the backbone, and over the few positions of the depth decoder.

Letters in shapes: T tokens, H heads, K key-value heads, G = H / K, D head width, S splits.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from services.csm.device.gpu.launch import EARLY, launch_early, wait_for_previous

DEPTH_WARPS = 8
"""Warps of the depth decoder's attention, tuned at 1 and 256 rows (NVIDIA Hopper)."""


@triton.jit
def _store_kv_kernel(
    qkv_ptr, q_ptr, k_pages_ptr, v_pages_ptr, tables_ptr, rows_ptr, positions_ptr, cos_ptr, sin_ptr, table_width,
    HEADS: tl.constexpr, KV_HEADS: tl.constexpr, HALF: tl.constexpr, PAGE: tl.constexpr,
):  # fmt: skip
    """Rotates the queries and keys of one token, and stores keys and values in their page.  Skips positions below 0."""
    token = tl.program_id(0).to(tl.int64)
    position = tl.load(positions_ptr + token)
    if position < 0:
        return
    row = tl.load(rows_ptr + token)
    page = tl.load(tables_ptr + row * table_width + position // PAGE).to(tl.int64)
    half = tl.arange(0, HALF)
    cos = tl.load(cos_ptr + position * HALF + half)[None, :]
    sin = tl.load(sin_ptr + position * HALF + half)[None, :]
    token_ptr = qkv_ptr + token * (HEADS + 2 * KV_HEADS) * 2 * HALF

    head = tl.arange(0, HEADS)[:, None] * 2 * HALF + half[None, :]
    first = tl.load(token_ptr + head).to(tl.float32)
    second = tl.load(token_ptr + head + HALF).to(tl.float32)
    out = q_ptr + token * HEADS * 2 * HALF + head
    tl.store(out, first * cos - second * sin)
    tl.store(out + HALF, second * cos + first * sin)

    kv = tl.arange(0, KV_HEADS)[:, None]
    source = token_ptr + HEADS * 2 * HALF + kv * 2 * HALF + half[None, :]
    target = ((page * KV_HEADS + kv) * PAGE + position % PAGE) * 2 * HALF + half[None, :]
    first = tl.load(source).to(tl.float32)
    second = tl.load(source + HALF).to(tl.float32)
    tl.store(k_pages_ptr + target, first * cos - second * sin)
    tl.store(k_pages_ptr + target + HALF, second * cos + first * sin)
    source += KV_HEADS * 2 * HALF
    tl.store(v_pages_ptr + target, tl.load(source))
    tl.store(v_pages_ptr + target + HALF, tl.load(source + HALF))


def store_kv(
    qkv: Tensor, q: Tensor, k_pages: Tensor, v_pages: Tensor, tables: Tensor, rows: Tensor, positions: Tensor,
    cos: Tensor, sin: Tensor,
) -> None:  # fmt: skip
    """Rotates the queries into `q` and stores keys and values at their positions.

    Args:
        qkv: (T, (H + 2 K) D).
        q: (T, H, D), written.
        k_pages, v_pages: (pages, K, PAGE, D), written.
        tables: (rows, pages of a row) int32, the pages of each row in order.
        rows: (T,) int32, the row of each token.
        positions: (T,) int32; a token below 0 is skipped.
        cos, sin: (positions, D / 2) float32.
    """
    _, heads, width = q.shape
    _store_kv_kernel[(len(positions),)](
        qkv, q, k_pages, v_pages, tables, rows, positions, cos, sin, tables.shape[1],
        HEADS=heads, KV_HEADS=k_pages.shape[1], HALF=width // 2, PAGE=k_pages.shape[2], num_warps=4,
    )  # fmt: skip


@triton.jit
def _attend_kernel(
    q_ptr, k_pages_ptr, v_pages_ptr, tables_ptr, rows_ptr, positions_ptr, out_ptr, partial_ptr,
    tokens, table_width, scale,
    GROUP: tl.constexpr, KV_HEADS: tl.constexpr, D: tl.constexpr, PAGE: tl.constexpr,
    BLOCK_T: tl.constexpr, BLOCK_M: tl.constexpr, SPLITS: tl.constexpr,
):  # fmt: skip
    """A block of tokens of one row, one key-value head, one split of the pages; GROUP lines for each token."""
    first = tl.program_id(0) * BLOCK_T
    head = tl.program_id(1)
    split = tl.program_id(2)
    line = tl.arange(0, BLOCK_M)
    token = first + line // GROUP
    used = (line < BLOCK_T * GROUP) & (token < tokens)
    position = tl.load(positions_ptr + token, mask=used, other=-1)
    row = tl.load(rows_ptr + first)
    last = tl.max(position, axis=0)

    d = tl.arange(0, D)
    at = (token.to(tl.int64) * KV_HEADS * GROUP + head * GROUP + line % GROUP) * D
    q = tl.load(q_ptr + at[:, None] + d[None, :], mask=used[:, None], other=0.0)
    top = tl.full((BLOCK_M,), -1e30, tl.float32)
    norm = tl.zeros((BLOCK_M,), tl.float32)
    mixed = tl.zeros((BLOCK_M, D), tl.float32)

    pages = last // PAGE + 1  # 0 if every token is skipped
    share = (pages + SPLITS - 1) // SPLITS
    for index in range(split * share, tl.minimum((split + 1) * share, pages)):
        page = tl.load(tables_ptr + row * table_width + index).to(tl.int64)
        key = tl.arange(0, PAGE)
        source = ((page * KV_HEADS + head) * PAGE + key)[:, None] * D + d[None, :]
        seen = (index * PAGE + key)[None, :] <= position[:, None]
        # Positions after the newest one were never written and may be NaN.
        written = (index * PAGE + key <= last)[:, None]
        k = tl.load(k_pages_ptr + source, mask=written, other=0.0)
        v = tl.load(v_pages_ptr + source, mask=written, other=0.0)
        scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        scores = tl.where(seen, scores, -1e30)
        higher = tl.maximum(top, tl.max(scores, axis=1))
        shrink = tl.exp(top - higher)
        weights = tl.where(seen, tl.exp(scores - higher[:, None]), 0.0)
        norm = norm * shrink + tl.sum(weights, axis=1)
        mixed = mixed * shrink[:, None] + tl.dot(weights.to(v.dtype), v, input_precision="ieee")
        top = higher

    if SPLITS == 1:
        tl.store(out_ptr + at[:, None] + d[None, :], mixed / tl.maximum(norm, 1e-30)[:, None], mask=used[:, None])
    else:
        part = (at // D * SPLITS + split) * (D + 2)
        tl.store(partial_ptr + part[:, None] + d[None, :], mixed, mask=used[:, None])
        tl.store(partial_ptr + part + D, top, mask=used)
        tl.store(partial_ptr + part + D + 1, norm, mask=used)


@triton.jit
def _combine_kernel(partial_ptr, out_ptr, SPLITS: tl.constexpr, D: tl.constexpr):
    """Combines the splits of one head of one token."""
    at = tl.program_id(0).to(tl.int64)
    part = (at * SPLITS + tl.arange(0, SPLITS)) * (D + 2)
    d = tl.arange(0, D)
    top = tl.load(partial_ptr + part + D)
    weight = tl.exp(top - tl.max(top, axis=0))
    norm = tl.sum(tl.load(partial_ptr + part + D + 1) * weight, axis=0)
    mixed = tl.sum(tl.load(partial_ptr + part[:, None] + d[None, :]) * weight[:, None], axis=0)
    tl.store(out_ptr + at * D + d, mixed / tl.maximum(norm, 1e-30))


def attend(
    q: Tensor, k_pages: Tensor, v_pages: Tensor, tables: Tensor, rows: Tensor, positions: Tensor, out: Tensor,
    *, tokens_a_block: int = 1, splits: int = 1,
) -> None:  # fmt: skip
    """Causal attention of each token over its row's positions up to its own.

    Args:
        q: (T, H, D), rotated.
        k_pages, v_pages, tables, rows, positions: as in `store_kv`, which must run first.
        out: (T, H, D), written; undefined where the position is below 0.
        tokens_a_block: tokens of one program, which must be of the same row: 1 for decoding, more for prefill.
        splits: programs that share the pages of a row, a power of two; more than 1 is faster for few rows.
    """
    tokens, heads, width = q.shape
    kv_heads = k_pages.shape[1]
    group = heads // kv_heads
    partial = q
    if splits > 1:
        partial = torch.empty(tokens * heads * splits * (width + 2), device=q.device, dtype=torch.float32)
    _attend_kernel[(triton.cdiv(tokens, tokens_a_block), kv_heads, splits)](
        q, k_pages, v_pages, tables, rows, positions, out, partial, tokens, tables.shape[1], width**-0.5,
        GROUP=group, KV_HEADS=kv_heads, D=width, PAGE=k_pages.shape[2], BLOCK_T=tokens_a_block,
        BLOCK_M=max(16, triton.next_power_of_2(tokens_a_block * group)), SPLITS=splits, num_warps=4,
    )  # fmt: skip
    if splits > 1:
        _combine_kernel[(tokens * heads,)](partial, out, SPLITS=splits, D=width, num_warps=1)


@triton.jit(do_not_specialize=["position"])
def _depth_kernel(
    qkv_ptr, k_ptr, v_ptr, cos_ptr, sin_ptr, out_ptr, position, scale,
    GROUP: tl.constexpr, KV_HEADS: tl.constexpr, D: tl.constexpr, POSITIONS: tl.constexpr, BLOCK_G: tl.constexpr,
    EARLY: tl.constexpr,
):  # fmt: skip
    """Rotation, store and attention for one row and one key-value head at the frame's `position`."""
    row = tl.program_id(0).to(tl.int64)
    kv = tl.program_id(1)
    d = tl.arange(0, D)
    partner = (d + D // 2) % D
    cos = tl.load(cos_ptr + position * (D // 2) + d % (D // 2))
    sin = tl.load(sin_ptr + position * (D // 2) + d % (D // 2)) * tl.where(d < D // 2, -1.0, 1.0)
    p = tl.arange(0, POSITIONS)
    cache = (row * KV_HEADS + kv) * POSITIONS * D
    past = cache + p[:, None] * D + d[None, :]
    wait_for_previous(EARLY)

    row_ptr = qkv_ptr + row * KV_HEADS * (GROUP + 2) * D
    g = tl.arange(0, BLOCK_G)
    head = (kv * GROUP + g)[:, None] * D
    used = (g < GROUP)[:, None]
    q = tl.load(row_ptr + head + d[None, :], mask=used, other=0.0).to(tl.float32) * cos[None, :]
    q += tl.load(row_ptr + head + partner[None, :], mask=used, other=0.0).to(tl.float32) * sin[None, :]
    key_ptr = row_ptr + (KV_HEADS * GROUP + kv) * D
    own_k = tl.load(key_ptr + d).to(tl.float32) * cos + tl.load(key_ptr + partner).to(tl.float32) * sin
    own_v = tl.load(key_ptr + KV_HEADS * D + d)

    # Positions after `position` hold values of the previous frame.
    old = (p < position)[:, None]
    own = (p == position)[:, None]
    k = tl.load(k_ptr + past, mask=old, other=0.0)
    v = tl.load(v_ptr + past, mask=old, other=0.0)
    k = tl.where(own, own_k[None, :].to(k.dtype), k)
    v = tl.where(own, own_v[None, :].to(v.dtype), v)
    tl.store(k_ptr + past, k, mask=own)
    tl.store(v_ptr + past, v, mask=own)

    scores = tl.dot(q.to(k.dtype), tl.trans(k), input_precision="ieee") * scale
    scores = tl.where((p <= position)[None, :], scores, float("-inf"))
    weights = tl.exp(scores - tl.max(scores, axis=1)[:, None])
    mixed = tl.dot(weights.to(v.dtype), v, input_precision="ieee") / tl.sum(weights, axis=1)[:, None]
    tl.store(out_ptr + row * KV_HEADS * GROUP * D + head + d[None, :], mixed, mask=used)


def attend_depth(
    qkv: Tensor, keys: Tensor, values: Tensor, cos: Tensor, sin: Tensor, out: Tensor, position: int
) -> None:
    """Attention of the depth decoder at `position` of the frame, the same for all rows.

    Args:
        qkv: (N, (H + 2 K) D).
        keys, values: (N, K, positions of a frame, D), written at `position`; a power of two, 16 or more, positions.
        cos, sin: (positions, D / 2) float32.
        out: (N, H D), written.
        position: 0 to the number of codebooks less one.
    """
    rows, kv_heads, positions, width = keys.shape
    group = qkv.shape[1] // width // kv_heads - 2
    _depth_kernel[(rows, kv_heads)](
        qkv, keys, values, cos, sin, out, position, width**-0.5,
        GROUP=group, KV_HEADS=kv_heads, D=width, POSITIONS=positions, BLOCK_G=max(16, triton.next_power_of_2(group)),
        EARLY=EARLY, num_warps=DEPTH_WARPS, **launch_early(),
    )  # fmt: skip
