"""The sizes of a Mimi that tests compute in milliseconds."""

from __future__ import annotations

from services.mimi.model.config import MimiConfig

TINY_CONFIG = MimiConfig(
    width=32, filters=4, ratios=(4, 3, 2), layers=2, heads=2, ffn_width=48, window=9, codebook_size=64, codebook_dim=16,
    codebooks=8,
)  # fmt: skip
