"""Draws codes and looks up their embeddings on the device; `model/sampling.py` explains the arithmetic.

Letters in shapes: N rows, Q codebooks, V codes, W width.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from services.csm.device.gpu.launch import EARLY, launch_early, wait_for_previous
from services.csm.model.sampling import UNIFORM_BITS

DRAW_WARPS = 8
"""A row is one program, and the logits of a codebook keep 256 threads busy."""


@triton.jit
def _scramble(x):
    """SplitMix64's finalizer (Steele, Lea, Flood 2014)."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB
    return x ^ (x >> 31)


@triton.jit(do_not_specialize=["codebook"])
def _draw_kernel(
    logits_ptr, seeds_ptr, frames_ptr, temperatures_ptr, top_ks_ptr, codes_ptr, table_ptr, next_ptr,
    codebook, codebooks, vocabulary, usable, stride, width,
    EMBED: tl.constexpr, BLOCK_V: tl.constexpr, BLOCK_W: tl.constexpr, BITS: tl.constexpr,
    EARLY: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    code = tl.arange(0, BLOCK_V)
    inside = code < usable
    # Only the logits depend on the previous kernel, so the noise is computed before the wait.
    top_k = tl.load(top_ks_ptr + row)
    temperature = tl.load(temperatures_ptr + row)
    step = tl.full((), 0x9E3779B97F4A7C15, tl.uint64)
    key = _scramble(tl.load(seeds_ptr + row).to(tl.uint64)) + tl.load(frames_ptr + row).to(tl.uint64) * step
    key = _scramble(_scramble(key) + codebook.to(tl.uint64) * step)
    bits = _scramble(key + code.to(tl.uint64) * step) >> (64 - BITS)
    noise = -tl.log(-tl.log((bits.to(tl.float32) + 0.5) * (1.0 / (1 << BITS))))
    wait_for_previous(EARLY)
    logits = tl.load(logits_ptr + row * stride + code, mask=inside, other=float("-inf")).to(tl.float32)

    # Finds the threshold that top_k logits reach, two bits at a time, with their three counts in one sum.  Floats sort
    # as unsigned integers once the sign bit is flipped.  Equal logits are kept together.
    raw = logits.to(tl.uint32, bitcast=True)
    ordered = tl.where(raw >> 31 != 0, raw ^ 0xFFFFFFFF, raw | 0x80000000)
    threshold = tl.zeros((), tl.uint32)
    reached = tl.full((), BLOCK_V, tl.int32)
    shift = tl.full((), 30, tl.uint32)
    bit = tl.full((), 1, tl.uint32)
    rounds = 0
    while (rounds < 16) & (reached != top_k):
        low = threshold | (bit << shift)
        middle = threshold | ((bit * 2) << shift)
        high = threshold | ((bit * 3) << shift)
        counts = (ordered >= low).to(tl.int64)
        counts += (ordered >= middle).to(tl.int64) << 20
        counts += (ordered >= high).to(tl.int64) << 40
        total = tl.sum(counts, axis=0)
        at_low = (total & 0xFFFFF).to(tl.int32)
        at_middle = ((total >> 20) & 0xFFFFF).to(tl.int32)
        at_high = (total >> 40).to(tl.int32)
        threshold = tl.where(
            at_high >= top_k, high, tl.where(at_middle >= top_k, middle, tl.where(at_low >= top_k, low, threshold))
        )
        reached = tl.where(
            at_high >= top_k,
            at_high,
            tl.where(at_middle >= top_k, at_middle, tl.where(at_low >= top_k, at_low, reached)),
        )
        shift -= 2
        rounds += 1

    greedy = temperature == 0
    scores = tl.where(greedy, logits, logits / tl.where(greedy, 1.0, temperature) + noise)
    scores = tl.where(inside & (ordered >= threshold), scores, float("-inf"))
    choice = tl.argmax(scores, axis=0)
    tl.store(codes_ptr + row * codebooks + codebook, choice)

    if EMBED:
        w = tl.arange(0, BLOCK_W)
        entry = (codebook * vocabulary + choice).to(tl.int64)
        embedding = tl.load(table_ptr + entry * width + w, mask=w < width, other=0.0)
        tl.store(next_ptr + row * width + w, embedding, mask=w < width)


def draw(
    logits: Tensor, codebook: int, codes: Tensor, *,
    usable: int, seeds: Tensor, frames: Tensor, temperatures: Tensor, top_ks: Tensor,
    table: Tensor | None, vocabulary: int, following: Tensor | None,
) -> None:  # fmt: skip
    """Draws each row's code of one codebook and writes the depth decoder's next input.

    All codes whose logits equal the top_k-th largest take part; `sampling.draw` keeps exactly top_k.

    Args:
        logits: (N, at least V).
        codebook: which one.
        codes: (N, Q) int32, column `codebook` is written.
        usable: V, codes that the codec can decode.
        seeds, frames: (N,) int64, as in `sampling.frame_keys`.
        temperatures: (N,) float32.
        top_ks: (N,) int32, 1 to V.
        table: (Q * vocabulary, W), the next input after each code; None for the last codebook.
        vocabulary: rows of the table for each codebook.
        following: (N, W) float32, written.
    """
    rows = logits.shape[0]
    width = table.shape[1] if table is not None else 1
    _draw_kernel[(rows,)](
        logits, seeds, frames, temperatures, top_ks, codes, logits if table is None else table,
        logits if following is None else following, codebook, codes.shape[1], vocabulary, usable, logits.stride(0),
        width,
        EMBED=table is not None, BLOCK_V=triton.next_power_of_2(usable), BLOCK_W=triton.next_power_of_2(width),
        BITS=UNIFORM_BITS, EARLY=EARLY, num_warps=DRAW_WARPS, **launch_early(),
    )  # fmt: skip


@triton.jit
def _finish_kernel(
    codes_ptr, table_ptr, newest_ptr, active_ptr, positions_ptr, frames_ptr, vocabulary, width,
    CODEBOOKS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    if tl.load(active_ptr + row) == 0:
        return
    w = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for codebook in range(CODEBOOKS):
        entry = (codebook * vocabulary + tl.load(codes_ptr + row * CODEBOOKS + codebook)).to(tl.int64)
        total += tl.load(table_ptr + entry * width + w, mask=w < width, other=0.0).to(tl.float32)
    tl.store(newest_ptr + row * width + w, total, mask=w < width)
    if tl.program_id(1) == 0:
        tl.store(positions_ptr + row, tl.load(positions_ptr + row) + 1)
        tl.store(frames_ptr + row, tl.load(frames_ptr + row) + 1)


def finish_frame(
    codes: Tensor, table: Tensor, newest: Tensor, active: Tensor, positions: Tensor, frames: Tensor, vocabulary: int
) -> None:
    """Embeds the finished frame as the newest position of every active row, and counts it.

    Args:
        codes: (N, Q) int32.
        table: (Q * vocabulary, W), the backbone's embedding of each code.
        newest: (N, W) float32, written.
        active: (N,) int32; rows with 0 do not change.
        positions, frames: (N,) int32 and int64, incremented.
        vocabulary: rows of the table for each codebook.
    """
    width = table.shape[1]
    block = min(512, triton.next_power_of_2(width))
    _finish_kernel[(codes.shape[0], triton.cdiv(width, block))](
        codes, table, newest, active, positions, frames, vocabulary, width,
        CODEBOOKS=codes.shape[1], BLOCK=block, num_warps=4,
    )  # fmt: skip
