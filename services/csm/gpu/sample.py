"""Drawing a code and looking up what follows from it, on the device: see `services.csm.sampling` for the arithmetic.

Letters in shapes: N rows, Q codebooks, V codes, W width.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from services.csm.sampling import UNIFORM_BITS


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
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    code = tl.arange(0, BLOCK_V)
    inside = code < usable
    logits = tl.load(logits_ptr + row * stride + code, mask=inside, other=float("-inf")).to(tl.float32)

    # The top_k-th largest logit, bit by bit: as unsigned integers floats sort like themselves once the sign is turned.
    raw = logits.to(tl.uint32, bitcast=True)
    ordered = tl.where(raw >> 31 != 0, ~raw, raw | 0x80000000)
    top_k = tl.load(top_ks_ptr + row)
    threshold = tl.zeros((), tl.uint32)
    for step in tl.static_range(16):  # two bits at a time, their three counts in one sum
        shift = 30 - 2 * step
        low = threshold | (tl.full((), 1, tl.uint32) << shift)
        middle = threshold | (tl.full((), 2, tl.uint32) << shift)
        high = threshold | (tl.full((), 3, tl.uint32) << shift)
        counts = (ordered >= low).to(tl.int64)
        counts += (ordered >= middle).to(tl.int64) << 20
        counts += (ordered >= high).to(tl.int64) << 40
        total = tl.sum(counts, axis=0)
        threshold = tl.where((total & 0xFFFFF) >= top_k, low, threshold)
        threshold = tl.where(((total >> 20) & 0xFFFFF) >= top_k, middle, threshold)
        threshold = tl.where((total >> 40) >= top_k, high, threshold)

    temperature = tl.load(temperatures_ptr + row)
    step = tl.full((), 0x9E3779B97F4A7C15, tl.uint64)
    key = _scramble(tl.load(seeds_ptr + row).to(tl.uint64)) + tl.load(frames_ptr + row).to(tl.uint64) * step
    key = _scramble(_scramble(key) + codebook.to(tl.uint64) * step)
    bits = _scramble(key + code.to(tl.uint64) * step) >> (64 - BITS)
    uniform = (bits.to(tl.float32) + 0.5) * (1.0 / (1 << BITS))
    noise = -tl.log(-tl.log(uniform))
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

    Codes whose logits equal the top_k-th largest all take part, where `sampling.draw` keeps just top_k of them.

    Args:
        logits: (N, at least V).
        codebook: which one.
        codes: (N, Q) int32, written at `codebook`.
        usable: V, codes that the codec can decode.
        seeds, frames: (N,) int64, as in `sampling.frame_keys`.
        temperatures: (N,) float32.
        top_ks: (N,) int32, 1 to V.
        table: (Q * vocabulary, W), what follows each code; None where nothing does.
        vocabulary: rows of the table for each codebook.
        following: (N, W) float32, written.
    """
    rows = logits.shape[0]
    width = table.shape[1] if table is not None else 1
    _draw_kernel[(rows,)](
        logits, seeds, frames, temperatures, top_ks, codes, logits if table is None else table,
        logits if following is None else following, codebook, codes.shape[1], vocabulary, usable, logits.stride(0), width,
        EMBED=table is not None, BLOCK_V=triton.next_power_of_2(usable), BLOCK_W=triton.next_power_of_2(width),
        BITS=UNIFORM_BITS, num_warps=8,
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
    """Makes the finished frame the newest position of every active row, and counts it.

    Args:
        codes: (N, Q) int32.
        table: (Q * vocabulary, W), the backbone's embedding of each code.
        newest: (N, W) float32, written.
        active: (N,) int32; rows with 0 stay as they are.
        positions, frames: (N,) int32 and int64, counted up.
        vocabulary: rows of the table for each codebook.
    """
    width = table.shape[1]
    block = min(512, triton.next_power_of_2(width))
    _finish_kernel[(codes.shape[0], triton.cdiv(width, block))](
        codes, table, newest, active, positions, frames, vocabulary, width,
        CODEBOOKS=codes.shape[1], BLOCK=block, num_warps=4,
    )  # fmt: skip
