"""The sizes of a Mimi, read from a checkpoint's config.json in transformers' layout."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from oviya.errors import CheckpointError

MAX_CODEBOOKS = 32
"""Most codebooks that are supported, as in oviya.rvq."""

# Values of the paper (Defossez et al. 2024, arXiv 2410.00037) and of the published checkpoint.  transformers' config
# class allows others, which no checkpoint has.
_FIXED: dict[str, Any] = {
    "audio_channels": 1,
    "use_causal_conv": True,
    "pad_mode": "constant",
    "trim_right_ratio": 1.0,
    "use_conv_shortcut": False,
    "hidden_act": "gelu",
    "attention_bias": False,
}
_SIZES = {
    "sample_rate_hz": "sampling_rate", "width": "hidden_size", "filters": "num_filters",
    "residual_layers": "num_residual_layers", "kernel": "kernel_size", "last_kernel": "last_kernel_size",
    "residual_kernel": "residual_kernel_size", "dilation_growth": "dilation_growth_rate", "compress": "compress",
    "codebook_size": "codebook_size", "codebook_dim": "codebook_dim", "codebooks": "num_quantizers",
    "semantic_codebooks": "num_semantic_quantizers", "layers": "num_hidden_layers", "heads": "num_attention_heads",
    "ffn_width": "intermediate_size", "window": "sliding_window",
}  # fmt: skip
"""Attribute of `MimiConfig` -> its key in config.json."""


@dataclass(frozen=True)
class MimiConfig:
    """Sizes of a Mimi; the defaults are those of `kyutai/mimi`, whose config leaves out what equals them.

    Attributes:
        sample_rate_hz: of the sound.
        width: D, of the transformers and the latent frames.
        filters: channels at the sample rate; they double with every SEANet stage.
        residual_layers: residual blocks in a SEANet stage.
        ratios: SEANet strides in the decoder's order.
        kernel, last_kernel, residual_kernel: of the first, the last and the residual convolutions.
        dilation_growth: factor of the dilation from one residual block of a stage to the next.
        compress: factor by which a residual block is narrower inside.
        codebook_size: codes in a codebook.
        codebook_dim: width of a codebook's vectors.
        codebooks: Q.
        semantic_codebooks: how many of them, the first ones, are semantic.
        layers, heads, ffn_width, window, norm_eps, rope_theta: of each transformer; `window` counts positions.
        positions_per_frame: transformer positions in an RVQ frame (25 Hz over 12.5 Hz).
    """

    sample_rate_hz: int = 24_000
    width: int = 512
    filters: int = 64
    residual_layers: int = 1
    ratios: tuple[int, ...] = (8, 6, 5, 4)
    kernel: int = 7
    last_kernel: int = 3
    residual_kernel: int = 3
    dilation_growth: int = 2
    compress: int = 2
    codebook_size: int = 2048
    codebook_dim: int = 256
    codebooks: int = 32
    semantic_codebooks: int = 1
    layers: int = 8
    heads: int = 8
    ffn_width: int = 2048
    window: int = 250
    norm_eps: float = 1e-5
    rope_theta: float = 10_000.0
    positions_per_frame: int = 2

    @property
    def head_dim(self) -> int:
        """Width of an attention head."""
        return self.width // self.heads

    @property
    def samples_per_position(self) -> int:
        """Samples in a transformer position (960)."""
        return math.prod(self.ratios)

    @property
    def frame_samples(self) -> int:
        """Samples in an RVQ frame (1920)."""
        return self.samples_per_position * self.positions_per_frame


def parse_config(fields: Mapping[str, Any]) -> MimiConfig:
    """Reads the fields of a Mimi's config.json, or of a CSM's, which holds a Mimi's as `codec_config`.

    Raises:
        CheckpointError: it is another kind of model, a Mimi that is not supported, or a size is not valid.
    """
    if fields.get("model_type") == "csm":
        fields = fields.get("codec_config") or {}
    if fields.get("model_type", "mimi") != "mimi":
        raise CheckpointError(f"config.json describes a {fields.get('model_type')!r}, not a Mimi or a CSM")
    for key, wanted in _FIXED.items():
        if fields.get(key, wanted) != wanted:
            raise CheckpointError(f"config.json: {key} is {fields[key]!r}; a Mimi has {wanted!r}")
    rope = fields.get("rope_parameters") or {}
    if rope.get("rope_type", "default") != "default":
        raise CheckpointError(f"config.json: rope_type is {rope['rope_type']!r}; a Mimi has 'default'")
    default = MimiConfig()

    def size(key: str, fallback: int) -> int:
        value = fields.get(key)
        value = fallback if value is None else value
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise CheckpointError(f"config.json: {key} is {value!r}; it must be a whole number of at least 1")
        return value

    def number(key: str, value: Any) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
            raise CheckpointError(f"config.json: {key} is {value!r}; it must be a number above 0")
        return float(value)

    ratios = fields.get("upsampling_ratios") or default.ratios
    if not all(isinstance(ratio, int) and ratio > 0 for ratio in ratios):
        raise CheckpointError(f"config.json: upsampling_ratios is {ratios!r}; it must hold whole numbers above 0")
    config = MimiConfig(
        **{name: size(key, getattr(default, name)) for name, key in _SIZES.items()},
        ratios=tuple(ratios),
        norm_eps=number("norm_eps", fields.get("norm_eps", default.norm_eps)),
        rope_theta=number("rope_theta", rope.get("rope_theta", fields.get("rope_theta", default.rope_theta))),
        positions_per_frame=_positions_per_frame(fields, ratios),
    )
    _check(config, fields)
    return config


def _positions_per_frame(fields: Mapping[str, Any], ratios: tuple[int, ...]) -> int:
    """Derives it from `frame_rate`, as transformers does; newer config files leave that out."""
    default = MimiConfig()
    rate = fields.get("frame_rate")
    if rate is None:
        return default.positions_per_frame
    positions_a_second = math.ceil(fields.get("sampling_rate", default.sample_rate_hz) / math.prod(ratios))
    if not isinstance(rate, int | float) or rate <= 0 or positions_a_second % rate:
        raise CheckpointError(f"config.json: frame_rate is {rate!r}; it must divide {positions_a_second} Hz")
    return int(positions_a_second / rate)


def _check(config: MimiConfig, fields: Mapping[str, Any]) -> None:
    """Checks the rules between fields."""
    rules = {
        f"num_quantizers is {config.codebooks}; at most {MAX_CODEBOOKS} are supported": config.codebooks
        <= MAX_CODEBOOKS,
        "num_semantic_quantizers must be below num_quantizers": config.semantic_codebooks < config.codebooks,
        "hidden_size must be an even multiple of num_attention_heads": config.width % (2 * config.heads) == 0,
        "head_dim must be hidden_size / num_attention_heads": (fields.get("head_dim") or config.head_dim)
        == config.head_dim,
        "num_key_value_heads must equal num_attention_heads": fields.get("num_key_value_heads", config.heads)
        == config.heads,
        "upsample_groups must equal hidden_size": fields.get("upsample_groups", config.width) == config.width,
        "vector_quantization_hidden_dimension must equal codebook_dim": fields.get(
            "vector_quantization_hidden_dimension", config.codebook_dim
        )
        == config.codebook_dim,
        "positions per frame must be at least 2": config.positions_per_frame >= 2,
    }
    for rule, kept in rules.items():
        if not kept:
            raise CheckpointError(f"config.json: {rule}")
