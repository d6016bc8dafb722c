"""SEANet (Tagliasacchi et al. 2020, arXiv 2009.02095): Mimi's convolutions from sound to 25 Hz features and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from services.mimi.model.config import MimiConfig
from services.mimi.model.convolution import CausalConv, CausalUpsampling, load_conv, load_upsampling
from services.mimi.model.slots import Slots
from services.mimi.model.weights import Weights

Memories = list[Tensor]
"""The memory of each convolution, (slots, H, C), in the order of the stack."""


@dataclass(frozen=True)
class _Residual:
    """x + conv1(elu(conv_k(elu(x))))."""

    wide: CausalConv
    narrow: CausalConv


class SeaNet:
    """A stack of streaming convolutions."""

    def __init__(self, stages: Sequence[CausalConv | CausalUpsampling | _Residual]) -> None:
        self._stages = stages

    def new_memories(self, slots: int, device: torch.device) -> Memories:
        """Returns the memory of `slots` new streams."""
        memories: Memories = []
        for stage in self._stages:
            parts = (stage.wide, stage.narrow) if isinstance(stage, _Residual) else (stage,)
            memories.extend(part.new_memory(slots, device) for part in parts)
        return memories

    def use_kernels(self) -> None:
        """Runs every convolution on a Triton kernel from now on; needs a GPU."""
        for stage in self._stages:
            for part in (stage.wide, stage.narrow) if isinstance(stage, _Residual) else (stage,):
                part.use_kernels()

    def __call__(self, signal: Tensor, memories: Memories, slots: Slots) -> Tensor:
        """Runs a signal (B, T, C); returns (B, T', C')."""
        memory = iter(memories)
        for stage in self._stages:
            if isinstance(stage, _Residual):
                inner = stage.wide(signal, next(memory), slots)
                signal = stage.narrow.plus(inner, next(memory), slots, signal)
            else:
                signal = stage(signal, next(memory), slots)
        return signal


def load_encoder(weights: Weights, config: MimiConfig) -> SeaNet:
    """Loads the stack from sound (B, T, 1) to features (B, T / 960, D)."""
    names = _Names("encoder.layers")
    stages: list[CausalConv | CausalUpsampling | _Residual] = []
    channels = config.filters
    stages.append(load_conv(weights, names.next(), 1, channels, config.kernel))
    for ratio in reversed(config.ratios):
        stages += _residuals(weights, names, config, channels)
        names.skip_activation()
        stages.append(load_conv(weights, names.next(), channels, channels * 2, 2 * ratio, stride=ratio, elu=True))
        channels *= 2
    names.skip_activation()
    stages.append(load_conv(weights, names.next(), channels, config.width, config.last_kernel, elu=True))
    return SeaNet(stages)


def load_decoder(weights: Weights, config: MimiConfig) -> SeaNet:
    """Loads the stack from features (B, T, D) to sound (B, T * 960, 1)."""
    names = _Names("decoder.layers")
    stages: list[CausalConv | CausalUpsampling | _Residual] = []
    channels = config.filters * 2 ** len(config.ratios)
    stages.append(load_conv(weights, names.next(), config.width, channels, config.kernel))
    for ratio in config.ratios:
        names.skip_activation()
        stages.append(load_upsampling(weights, names.next(), channels, channels // 2, ratio))
        channels //= 2
        stages += _residuals(weights, names, config, channels)
    names.skip_activation()
    stages.append(load_conv(weights, names.next(), channels, 1, config.last_kernel, elu=True))
    return SeaNet(stages)


def _residuals(weights: Weights, names: _Names, config: MimiConfig, channels: int) -> list[_Residual]:
    blocks: list[_Residual] = []
    for depth in range(config.residual_layers):
        name = names.next()
        inner, dilation = channels // config.compress, config.dilation_growth**depth
        blocks.append(
            _Residual(
                load_conv(
                    weights, f"{name}.block.1", channels, inner, config.residual_kernel, dilation=dilation, elu=True
                ),
                load_conv(weights, f"{name}.block.3", inner, channels, 1, elu=True),
            )
        )
    return blocks


class _Names:
    """Names of the entries of a SEANet's module list, in which activations have a number but no weights."""

    def __init__(self, prefix: str) -> None:
        self._prefix, self._number = prefix, 0

    def next(self) -> str:
        name = f"{self._prefix}.{self._number}"
        self._number += 1
        return name

    def skip_activation(self) -> None:
        self._number += 1
