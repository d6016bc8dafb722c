"""Draws codes: temperature, top-k and noise that depends only on the request.

The noise of a code is a hash of (seed, frame, codebook, code).  A request thus gets the same codes in any batch and on
any device, and there is no generator state to keep.
"""

from __future__ import annotations

import torch
from torch import Tensor

UNIFORM_BITS = 23
"""Bits of a uniform draw: in float32 (2^23 - 0.5) / 2^23 still differs from 1."""

# Multipliers and shifts of SplitMix64's finalizer (Steele, Lea, Flood 2014), and its increment (2^64 over the golden
# ratio) to separate neighbouring counters; as signed 64-bit integers, which wrap in the same way.
_MULTIPLIER_1 = 0xBF58476D1CE4E5B9 - 2**64
_MULTIPLIER_2 = 0x94D049BB133111EB - 2**64
_INCREMENT = 0x9E3779B97F4A7C15 - 2**64


def _shift(x: Tensor, bits: int) -> Tensor:
    """Unsigned right shift of 64-bit integers; torch only has the signed one."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def scramble(x: Tensor) -> Tensor:
    """A bijection of 64-bit integers whose output bits each depend on all input bits."""
    x = (x ^ _shift(x, 30)) * _MULTIPLIER_1
    x = (x ^ _shift(x, 27)) * _MULTIPLIER_2
    return x ^ _shift(x, 31)


def frame_keys(seeds: Tensor, frames: Tensor, codebooks: int) -> Tensor:
    """A key for each codebook of each row's frame.

    Args:
        seeds: (N,) int64, a request's seed read as a signed integer.
        frames: (N,) int64, the number of the frame within its request.

    Returns:
        (N, Q) int64.
    """
    of_frame = scramble(scramble(seeds) + frames * _INCREMENT)
    return scramble(of_frame[:, None] + torch.arange(codebooks, device=seeds.device) * _INCREMENT)


def gumbel_noise(keys: Tensor, codes: Tensor) -> Tensor:
    """Standard Gumbel noise of `codes` (N, C) under `keys` (N,): (N, C) float32."""
    bits = _shift(scramble(keys[:, None] + codes * _INCREMENT), 64 - UNIFORM_BITS)
    uniform = (bits.float() + 0.5) * 2.0**-UNIFORM_BITS
    return -torch.log(-torch.log(uniform))


def draw(logits: Tensor, keys: Tensor, temperature: Tensor, top_k: Tensor, max_top_k: int) -> Tensor:
    """Draws a code for each row from softmax(logits / temperature) over its `top_k` most likely codes.

    The code with the largest logit / temperature + Gumbel noise has exactly that distribution (Gumbel 1954).

    Args:
        logits: (N, V) float32.
        keys: (N,) int64, see `frame_keys`.
        temperature: (N,) float32; 0 takes the most likely code.
        top_k: (N,) int64, 1 to `max_top_k`.
        max_top_k: largest top_k of all rows, known to the host.

    Returns:
        (N,) int64.
    """
    best, codes = logits.topk(max_top_k, dim=-1)
    greedy = temperature == 0
    scores = best / torch.where(greedy, 1.0, temperature)[:, None] + gumbel_noise(keys, codes)
    scores = scores.masked_fill(torch.arange(max_top_k, device=logits.device) >= top_k[:, None], float("-inf"))
    choice = torch.where(greedy, 0, scores.argmax(dim=-1))
    return codes.gather(1, choice[:, None])[:, 0]
