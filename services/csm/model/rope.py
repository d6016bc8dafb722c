"""Rotary position embedding with Llama 3's frequency scaling."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from services.csm.model.config import RopeConfig


def inverse_frequencies(config: RopeConfig, head_dim: int) -> Tensor:
    """Angular frequencies of the rotation, in radians a position: (D/2,) float32.

    Frequencies whose wavelength exceeds `original_positions / low_freq_factor` are divided by `factor`; those below
    `original_positions / high_freq_factor` are kept; between the two, the weight of each depends linearly on the number
    of turns within the original positions (Llama 3.1, "scaled RoPE").
    """
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float32, device="cpu") / head_dim
    frequencies = 1.0 / config.theta**exponents
    if config.factor == 1.0:
        return frequencies
    turns = config.original_positions * frequencies / (2 * math.pi)
    kept = (turns - config.low_freq_factor) / (config.high_freq_factor - config.low_freq_factor)
    kept = kept.clamp(0.0, 1.0)
    return kept * frequencies + (1.0 - kept) * frequencies / config.factor


def rotation_table(config: RopeConfig, head_dim: int, positions: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of every position's angles, each (P, D/2) float32."""
    angles = torch.arange(positions, dtype=torch.float32, device="cpu")[:, None] * inverse_frequencies(config, head_dim)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotates the pairs (i, i + D/2) of `x` (..., D) by the angles of `cos` and `sin` (..., D/2).

    transformers' checkpoints use this pairing; the original repository's weights pair neighbours.
    """
    first, second = x.float().chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).to(x.dtype)
