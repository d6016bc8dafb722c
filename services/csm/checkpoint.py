"""Loads a CSM checkpoint: a folder in transformers' layout, or a model id of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from oviya.errors import CheckpointError
from oviya.model.checkpoint import ModelCard, load_safetensors_state, load_tensor, read_card, resolve_checkpoint
from oviya.model.device import choose_device
from services.csm.model.config import CsmConfig, TransformerConfig
from services.csm.model.csm import CsmModel
from services.csm.request.tokenizer import TextTokenizer
from services.csm.request.voices import Voices, load_voices

_CODEC_PREFIX = "codec_model."
"""Mimi's weights are in the same file; the Mimi service loads them."""


@dataclass(frozen=True)
class Source:
    """A tensor of a checkpoint: its possible names and its shape."""

    names: tuple[str, ...]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint."""

    model: CsmModel
    tokenizer: TextTokenizer
    card: ModelCard
    device: torch.device
    dtype: torch.dtype
    voices: Voices = field(default_factory=Voices)

    @property
    def config(self) -> CsmConfig:
        return self.model.config


def load_checkpoint(spec: str | Path, *, device: str = "auto", dtype: str = "auto") -> Checkpoint:
    """Loads model, tokenizer, card and voices.

    Args:
        spec: a folder, or a model id such as "sesame/csm-1b".
        device: "auto" (the first GPU, else the CPU) or a torch device such as "cuda:1".
        dtype: "auto" (float32 on the CPU, bfloat16 elsewhere), "float32", "bfloat16" or "float16".

    Raises:
        CheckpointError: it is missing or truncated, or its sizes do not match its config.
        OviyaError: the device does not exist.
    """
    folder = resolve_checkpoint(str(spec))
    # The hub's cache names folders by commit, so such a model is called by its id.
    name = folder.name if Path(spec).expanduser().is_dir() else str(spec)
    card = read_card(folder, default_name=name)
    config = CsmConfig.load(folder)
    tokenizer = TextTokenizer(folder, config, card.styles)
    where = choose_device(device)
    number_format = choose_dtype(dtype, where)
    model = load_model(folder, config, device=where, dtype=number_format)
    return Checkpoint(model, tokenizer, card, where, number_format, load_voices(folder, config))


def load_model(folder: Path, config: CsmConfig, *, device: torch.device, dtype: torch.dtype) -> CsmModel:
    """Loads the weights.  Matrices that multiply the same input are stored as one.

    Raises:
        CheckpointError: a tensor is missing, or its shape does not match the config.
    """
    state = load_safetensors_state(folder, wanted=lambda name: not name.startswith(_CODEC_PREFIX))
    model = CsmModel(config)
    weights: dict[str, Tensor] = {}
    for name, sources in weight_sources(config).items():
        parts = [load_tensor(state, source.names, source.shape).to(device, dtype) for source in sources]
        weights[name] = parts[0] if len(parts) == 1 else torch.cat(parts)
    model.load_state_dict(weights, assign=True)
    return model.to(device)


def weight_sources(config: CsmConfig) -> dict[str, Sequence[Source]]:
    """The tensors of a checkpoint that make up each weight of `CsmModel`, concatenated by rows."""
    vocabulary, width, depth_width = config.audio_vocabulary, config.backbone.width, config.depth.width
    return {
        "text_embedding": [_source("embed_text_tokens.weight", config.text_vocabulary, width)],
        # One table under two names; a file has either or both.
        "audio_embedding": [
            Source(
                ("backbone_model.embed_tokens.embed_audio_tokens.weight", "depth_decoder.model.embed_tokens.weight"),
                (config.codebooks * vocabulary, width),
            )
        ],
        "first_head": [_source("lm_head.weight", vocabulary, width)],
        "depth_input": [_source("depth_decoder.model.inputs_embeds_projector.weight", depth_width, width)],
        "depth_heads": [_source("depth_decoder.codebooks_head.weight", config.codebooks - 1, depth_width, vocabulary)],
        **dict(_stack_sources("backbone", "backbone_model", config.backbone)),
        **dict(_stack_sources("depth", "depth_decoder.model", config.depth)),
    }


def _stack_sources(ours: str, theirs: str, config: TransformerConfig) -> Iterator[tuple[str, Sequence[Source]]]:
    queries, pairs = config.heads * config.head_dim, config.kv_heads * config.head_dim
    width, ffn = config.width, config.ffn_width
    for i in range(config.layers):
        layer, source = f"{ours}.layers.{i}", f"{theirs}.layers.{i}"
        yield f"{layer}.attention_norm", [_source(f"{source}.input_layernorm.weight", width)]
        sizes = {"q": queries, "k": pairs, "v": pairs}
        qkv = [_source(f"{source}.self_attn.{name}_proj.weight", rows, width) for name, rows in sizes.items()]
        yield f"{layer}.qkv", qkv
        yield f"{layer}.attention_out", [_source(f"{source}.self_attn.o_proj.weight", width, queries)]
        yield f"{layer}.ffn_norm", [_source(f"{source}.post_attention_layernorm.weight", width)]
        gate_up = [_source(f"{source}.mlp.{name}_proj.weight", ffn, width) for name in ("gate", "up")]
        yield f"{layer}.gate_up", gate_up
        yield f"{layer}.down", [_source(f"{source}.mlp.down_proj.weight", width, ffn)]
    yield f"{ours}.norm", [_source(f"{theirs}.norm.weight", width)]


def _source(name: str, *shape: int) -> Source:
    return Source((name,), shape)


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Reads the dtype setting."""
    if name == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    formats = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if name not in formats:
        raise CheckpointError(f"number format {name!r} is unknown", hint=f"one of auto, {', '.join(formats)}")
    return formats[name]
