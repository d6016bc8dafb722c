"""Loads a Mimi: from a folder, from the hub, out of a CSM checkpoint, or a small random one."""

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
"""What runs until a checkpoint is set: Mimi in small, with 8 codebooks of 512 codes as the CSM service's random one."""

RANDOM_SEED = 0


@dataclass(frozen=True)
class Checkpoint:
    """A model that is ready to run, and what is known about it."""

    model: Mimi
    card: ModelCard
    parameters: int


def load_checkpoint(spec: str | Path, device: torch.device) -> Checkpoint:
    """Loads a Mimi checkpoint, or the Mimi of a CSM checkpoint.

    Args:
        spec: a folder in transformers' layout, or an id of the hub such as ``kyutai/mimi``.
        device: where it shall run.

    Raises:
        CheckpointError: it is missing, truncated, or of other sizes than its config says.
    """
    folder = resolve_checkpoint(str(spec))
    config = parse_config(read_config(folder))
    # The hub's cache names folders by commit, so a model from there is called by its id.
    card = read_card(folder, default_name="" if Path(spec).expanduser().is_dir() else str(spec))
    return _build(CheckpointWeights(folder, device), config, card, device)


def random_checkpoint(device: torch.device, config: MimiConfig = RANDOM_CONFIG, seed: int = RANDOM_SEED) -> Checkpoint:
    """Makes a Mimi with random weights, always the same ones for a seed.  It turns codes into noise."""
    card = ModelCard(name="random-mimi", trained=False, description="Random weights; speaks noise.")
    return _build(RandomWeights(seed, device), config, card, device)


def _build(weights: Weights, config: MimiConfig, card: ModelCard, device: torch.device) -> Checkpoint:
    taken: list[int] = []

    def counted(name: str, shape: Sequence[int]) -> torch.Tensor:
        taken.append(math.prod(shape))
        return weights(name, shape)

    model = Mimi(counted, config, device)
    return Checkpoint(model, card, sum(taken))
