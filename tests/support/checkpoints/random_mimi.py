"""Writes a Mimi checkpoint of the published sizes with random weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

from oviya.model.checkpoint import CONFIG_FILE, WEIGHTS_FILE, ModelCard, write_card
from services.mimi.checkpoint import RANDOM_SEED
from services.mimi.model.config import MimiConfig
from services.mimi.model.mimi import Mimi
from services.mimi.model.weights import RandomWeights

TINY_CONFIG = MimiConfig(
    width=32, filters=4, ratios=(4, 3, 2), layers=2, heads=2, ffn_width=48, window=9, codebook_size=64, codebook_dim=16,
    codebooks=8,
)  # fmt: skip
"""A Mimi of some thousand weights."""


def write_random_checkpoint(folder: Path, seed: int = RANDOM_SEED) -> Path:
    """Writes config, weights and card into `folder`, which must exist, in transformers' layout; returns `folder`.

    The sizes are those of kyutai/mimi, the defaults of config.json.
    """
    cpu = torch.device("cpu")
    random, written = RandomWeights(seed, cpu), dict[str, torch.Tensor]()

    def weights(name: str, shape: Sequence[int]) -> torch.Tensor:
        written[name] = random(name, shape).contiguous()
        return written[name]

    Mimi(weights, MimiConfig(), cpu)
    save_file(written, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    (folder / CONFIG_FILE).write_text(json.dumps({"model_type": "mimi"}) + "\n", encoding="utf-8")
    write_card(folder, ModelCard(name="random-mimi", trained=False, description="Random weights; speaks noise."))
    return folder
