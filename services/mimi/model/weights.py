"""Sources of a Mimi's tensors: a checkpoint in transformers' layout, or random numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch

from oviya.model.checkpoint import load_safetensors_state, load_tensor

CSM_PREFIX = "codec_model."
"""Prefix of the Mimi in a CSM checkpoint."""

# transformers 5.23 moved each half's parts under `encoder` and `decoder` in memory, while its files keep the flat
# names.  A file written from a state dict has the new ones, so both are read.
_MOVED = {
    "encoder.layers.": "encoder.encoder_seanet.layers.",
    "encoder_transformer.": "encoder.encoder_transformer.",
    "downsample.": "encoder.downsample.",
    "upsample.": "decoder.upsample.",
    "decoder_transformer.": "decoder.decoder_transformer.",
    "decoder.layers.": "decoder.decoder_seanet.layers.",
}


class Weights(Protocol):
    """Provides tensors by their name in transformers' flat layout."""

    def __call__(self, name: str, shape: Sequence[int]) -> torch.Tensor:
        """Returns a float32 tensor.

        Raises:
            CheckpointError: it is missing or has another shape.
        """
        ...


class CheckpointWeights:
    """The weights of a Mimi checkpoint, or of the Mimi inside a CSM checkpoint.

    The published convolutions have no weight normalization, which was folded in before conversion.

    Raises:
        CheckpointError: a file is missing or damaged.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        state = load_safetensors_state(folder, wanted=lambda name: name.startswith((CSM_PREFIX, *_PARTS)))
        self._state = {name.removeprefix(CSM_PREFIX): tensor for name, tensor in state.items()}
        self._device = device

    def __call__(self, name: str, shape: Sequence[int]) -> torch.Tensor:
        names = [name]
        for old, new in _MOVED.items():
            if name.startswith(old):
                names.append(new + name.removeprefix(old))
        return load_tensor(self._state, names, shape).to(self._device)


class RandomWeights:
    """Random weights that depend on the seed alone.

    Convolutions and linear layers follow PyTorch's default, uniform within 1 / sqrt(fan in), with which the signal does
    not vanish in the stack, as it does with transformers' initialization of a Mimi.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._random = torch.Generator().manual_seed(seed)
        self._device = device

    def __call__(self, name: str, shape: Sequence[int]) -> torch.Tensor:
        return self._make(name, tuple(shape)).to(self._device)

    def _make(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        if name.endswith(("layernorm.weight", "cluster_usage")):
            return torch.ones(shape)
        if name.endswith("layernorm.bias"):
            return torch.zeros(shape)
        if name.endswith("layer_scale.scale"):
            return torch.full(shape, 0.1)
        if name.endswith("embed_sum"):
            return torch.randn(shape, generator=self._random) / math.sqrt(shape[-1])
        fan_in = math.prod(shape[1:] or shape)
        return (torch.rand(shape, generator=self._random) * 2 - 1) / math.sqrt(fan_in)


_PARTS = ("quantizer.", *sorted({name.split(".")[0] + "." for name in _MOVED}))
