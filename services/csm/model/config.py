"""The sizes of a CSM checkpoint, read from its config.json in transformers' layout.

A config.json omits fields that equal transformers' defaults, so the defaults here are CSM-1B's published sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oviya.errors import CheckpointError
from oviya.model.checkpoint import read_config

FRAME_S = 0.080
"""Length of one RVQ frame: Mimi has 12.5 frames a second."""

MAX_CODEBOOKS = 32
"""Codebooks of Mimi: one semantic and 31 acoustic."""

END_CODE = 0
"""A frame with only this code ends the speech and is not part of it."""

PAGE = 64
"""Positions of a page of keys and values."""


def pages_for(positions: int) -> int:
    """Pages that hold this many positions."""
    return -(-positions // PAGE)


@dataclass(frozen=True)
class RopeConfig:
    """Rotary position embedding: plain if `factor` is 1, else with Llama 3's frequency scaling."""

    theta: float = 500_000.0
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_positions: int = 8192


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes of one Llama-shaped stack."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn_width: int
    positions: int
    norm_eps: float
    rope: RopeConfig


@dataclass(frozen=True)
class CsmConfig:
    """Sizes of a CSM: a backbone over positions, a depth decoder over the codebooks of one frame.

    Attributes:
        codebooks: Q, codes in a frame.
        audio_vocabulary: entries of one codebook's embedding and head, 2051 for CSM-1B.
        codebook_size: codes that the codec can decode, 2048 for Mimi; the entries above them are never generated.
        text_vocabulary: entries of the text embedding.
        bos_id, eos_id: text tokens around a segment's text; None if only the tokenizer's files have them.
    """

    backbone: TransformerConfig
    depth: TransformerConfig
    codebooks: int
    audio_vocabulary: int
    codebook_size: int
    text_vocabulary: int
    bos_id: int | None
    eos_id: int | None

    @property
    def max_positions(self) -> int:
        """Positions of a prompt and its answer together."""
        return self.backbone.positions

    @property
    def max_pages(self) -> int:
        """Pages of a request that fills all positions."""
        return pages_for(self.max_positions)

    @classmethod
    def load(cls, folder: Path) -> CsmConfig:
        """Reads the config.json of a checkpoint's folder.

        Raises:
            CheckpointError: the file is missing, is not a JSON object, or does not describe a CSM.
        """
        fields = read_config(folder)
        if fields.get("model_type") != "csm":
            raise CheckpointError(f"{folder}: config.json describes {fields.get('model_type')!r}, not the type 'csm'")
        try:
            return cls.from_fields(fields)
        except (TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"{folder}: config.json: {error}") from error

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> CsmConfig:
        """Reads the fields of a config.json.

        Raises:
            ValueError: a size is impossible, or the checkpoint uses a feature that CSM does not have.
        """
        depth = fields.get("depth_decoder_config") or {}
        codec = fields.get("codec_config") or {}
        if not fields.get("tie_codebooks_embeddings", True):
            raise ValueError("tie_codebooks_embeddings is false; CSM shares one audio embedding")
        config = cls(
            backbone=_transformer(fields, layers=16, width=2048, heads=32, kv_heads=8, positions=2048),
            depth=_transformer(depth, layers=4, width=1024, heads=8, kv_heads=2, positions=33),
            codebooks=int(fields.get("num_codebooks", 32)),
            audio_vocabulary=int(fields.get("vocab_size", 2051)),
            codebook_size=int(codec.get("codebook_size", 2048)),
            text_vocabulary=int(fields.get("text_vocab_size", 128_256)),
            bos_id=_token_id(fields.get("bos_token_id", 128_000)),
            eos_id=_token_id(fields.get("eos_token_id")),
        )
        _check(config, depth)
        return config


def _transformer(
    fields: Mapping[str, Any], *, layers: int, width: int, heads: int, kv_heads: int, positions: int
) -> TransformerConfig:
    """Reads one stack; the keyword arguments are its defaults."""
    if fields.get("hidden_act", "silu") != "silu":
        raise ValueError(f"hidden_act is {fields['hidden_act']!r}, CSM has 'silu'")
    for bias in ("attention_bias", "mlp_bias"):
        if fields.get(bias, False):
            raise ValueError(f"{bias} is true, CSM has no biases")
    width = int(fields.get("hidden_size", width))
    heads = int(fields.get("num_attention_heads", heads))
    config = TransformerConfig(
        layers=int(fields.get("num_hidden_layers", layers)),
        width=width,
        heads=heads,
        kv_heads=int(fields.get("num_key_value_heads") or kv_heads),
        head_dim=int(fields.get("head_dim") or width // heads),
        ffn_width=int(fields.get("intermediate_size", 8192)),
        positions=int(fields.get("max_position_embeddings", positions)),
        norm_eps=float(fields.get("rms_norm_eps", 1e-5)),
        rope=_rope(fields),
    )
    if min(config.layers, config.width, config.kv_heads, config.ffn_width, config.positions) < 1:
        raise ValueError("every size must be at least 1")
    if config.heads % config.kv_heads or config.head_dim % 2:
        raise ValueError(
            f"{config.heads} heads do not share {config.kv_heads} key-value heads evenly, "
            f"or the head width {config.head_dim} is odd"
        )
    return config


def _rope(fields: Mapping[str, Any]) -> RopeConfig:
    """Reads `rope_parameters` (transformers 5) or `rope_theta` with `rope_scaling` (transformers 4)."""
    parameters = fields.get("rope_parameters") or fields.get("rope_scaling") or {}
    theta = float(parameters.get("rope_theta") or fields.get("rope_theta") or RopeConfig.theta)
    kind = parameters.get("rope_type") or parameters.get("type") or "default"
    if kind == "default":
        return RopeConfig(theta=theta)
    if kind != "llama3":
        raise ValueError(f"RoPE scaling {kind!r} is unknown; CSM has 'llama3'")
    missing = sorted({"factor", "low_freq_factor", "high_freq_factor"} - set(parameters))
    if missing:
        raise ValueError(f"RoPE scaling lacks {', '.join(missing)}")
    return RopeConfig(
        theta=theta,
        factor=float(parameters["factor"]),
        low_freq_factor=float(parameters["low_freq_factor"]),
        high_freq_factor=float(parameters["high_freq_factor"]),
        original_positions=int(
            parameters.get("original_max_position_embeddings") or fields.get("max_position_embeddings", 2048)
        ),
    )


def _token_id(value: object) -> int | None:
    """A token id of a config; the first one of a list."""
    if isinstance(value, list):
        value = value[0] if value else None
    return None if value is None else int(value)  # type: ignore[arg-type]


def _check(config: CsmConfig, depth: Mapping[str, Any]) -> None:
    if not 2 <= config.codebooks <= MAX_CODEBOOKS:
        raise ValueError(f"num_codebooks is {config.codebooks}; 2 to {MAX_CODEBOOKS} can be served")
    for name, of_depth, of_backbone in (
        ("num_codebooks", depth.get("num_codebooks", 32), config.codebooks),
        ("vocab_size", depth.get("vocab_size", 2051), config.audio_vocabulary),
        ("backbone_hidden_size", depth.get("backbone_hidden_size", 2048), config.backbone.width),
    ):
        if of_depth != of_backbone:
            raise ValueError(f"the depth decoder's {name} is {of_depth}, the backbone's {of_backbone}")
    if config.depth.positions < config.codebooks:
        raise ValueError(f"{config.codebooks} codebooks do not fit {config.depth.positions} depth positions")
    if not 1 < config.codebook_size <= config.audio_vocabulary:
        raise ValueError(
            f"the codec's codebook_size is {config.codebook_size}, the audio vocabulary only {config.audio_vocabulary}"
        )
