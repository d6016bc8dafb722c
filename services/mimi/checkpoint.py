"""Loads a Mimi from a folder, the hub or a CSM checkpoint, or makes a small random one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from oviya.model.checkpoint import ModelCard, read_card, read_config, resolve_checkpoint
from services.mimi.model.config import MimiConfig, parse_config
from services.mimi.model.mimi import Mimi
from services.mimi.model.weights import CheckpointWeights, RandomWeights, Weights

RANDOM_CONFIG = MimiConfig(
    width=64, filters=8, layers=2, heads=4, ffn_width=128, codebook_size=512, codebook_dim=32, codebooks=8
)
"""A small Mimi, with 8 codebooks of 512 codes like the CSM service's random checkpoint."""

RANDOM_SEED = 0


@dataclass(frozen=True)
class Checkpoint:
    """A loaded model, its card and its number of parameters."""

    model: Mimi
    card: ModelCard
    parameters: int


def load_checkpoint(spec: str | Path, device: torch.device) -> Checkpoint:
    """Loads a Mimi checkpoint, or the Mimi of a CSM checkpoint.

    Args:
        spec: a folder in transformers' layout, or a hub id such as ``kyutai/mimi``.
        device: where to run it.

    Raises:
        CheckpointError: it is missing or truncated, or its sizes differ from its config.
    """
    folder = resolve_checkpoint(str(spec))
    config = parse_config(read_config(folder))
    # The hub's cache names folders by commit, so the id is a better name.
    card = read_card(folder, default_name="" if Path(spec).expanduser().is_dir() else str(spec))
    return _build(CheckpointWeights(folder, device), config, card, device)


def random_checkpoint(device: torch.device, config: MimiConfig = RANDOM_CONFIG, seed: int = RANDOM_SEED) -> Checkpoint:
    """Makes a Mimi with random weights that depend on `seed` alone.  Its output is noise."""
    card = ModelCard(name="random-mimi", trained=False, description="Random weights; speaks noise.")
    return _build(RandomWeights(seed, device), config, card, device)


def _build(weights: Weights, config: MimiConfig, card: ModelCard, device: torch.device) -> Checkpoint:
    sizes: list[int] = []

    def counted(name: str, shape: Sequence[int]) -> torch.Tensor:
        sizes.append(math.prod(shape))
        return weights(name, shape)

    model = Mimi(counted, config, device)
    return Checkpoint(model, card, sum(sizes))
