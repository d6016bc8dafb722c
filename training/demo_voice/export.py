"""Writes both checkpoints in transformers' layout, in float16."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from oviya.model.checkpoint import CONFIG_FILE, WEIGHTS_FILE, ModelCard, write_card
from services.csm.checkpoint import weight_sources
from services.csm.model.csm import CsmModel
from training.demo_voice.codec import LEVEL, Codec
from training.demo_voice.sizes import MIMI_FIELDS, csm_fields
from training.demo_voice.tokenizer import build_tokenizer, special_ids, write_tokenizer
from training.demo_voice.voices import STYLES

SHARPNESS = 3.0
"""Factor on all heads.  Improbable codes of a small model are mostly wrong; with this factor, the default temperature
of the services, 0.9, samples as 0.3 would from the model as trained."""

MIMI_CARD = ModelCard(
    name="demo-mimi",
    trained=True,
    license="Apache-2.0",
    description="A small Mimi for the voices of flite: 8 codebooks of 512 codes, 900 bit/s.",
)
CSM_CARD = ModelCard(
    name="demo-csm",
    trained=True,
    license="Apache-2.0",
    languages=("en",),
    scripts=("Latin",),
    styles=tuple(STYLES),
    description="A small CSM that speaks English with eight synthetic voices in eight styles.",
)


def export_mimi(codec: Codec, folder: Path) -> None:
    """Writes the codec."""
    codec.quantizer.semantic_residual_vector_quantizer.codebooks()[0].close_reserved()
    weights: dict[str, Tensor] = {}
    state = codec.state_dict()
    first, last = "encoder.layers.0.conv.weight", f"decoder.layers.{len(codec.decoder.layers) - 1}.conv."
    for name, tensor in state.items():
        value = tensor
        if name.endswith("embed_sum"):
            # Stored as vectors with a use count of 1: float16 can represent them, and no division can differ.
            usage = state[name.replace("embed_sum", "cluster_usage")]
            value = value / usage.clamp(min=1e-5)[:, None]
        elif name.endswith("cluster_usage"):
            value = torch.ones_like(value)
        elif name == first:
            value = value / LEVEL
        elif name.startswith(last):
            value = value * LEVEL
        weights[name] = _half(value)
    _write(folder, MIMI_FIELDS, weights, MIMI_CARD)


def export_csm(model: CsmModel, folder: Path) -> None:
    """Writes the CSM with its tokenizer."""
    config, state = model.config, model.state_dict()
    weights: dict[str, Tensor] = {}
    for ours, sources in weight_sources(config).items():
        value = state[ours]
        if ours in ("first_head", "depth_heads"):
            value = value * SHARPNESS
        sizes = [source.shape[0] for source in sources]
        for source, part in zip(sources, value.split(sizes), strict=True):
            weights[source.names[-1]] = _half(part)
    tokenizer = build_tokenizer(tuple(STYLES))
    _write(folder, model_fields(), weights, CSM_CARD)
    write_tokenizer(tokenizer, folder)


def model_fields() -> dict[str, Any]:
    """The fields of the CSM's config.json."""
    tokenizer = build_tokenizer(tuple(STYLES))
    return csm_fields(text_vocabulary=tokenizer.get_vocab_size(), special=special_ids(tokenizer))


def _half(value: Tensor) -> Tensor:
    return value.detach().to("cpu", torch.float16).contiguous()


def _write(folder: Path, fields: dict[str, Any], weights: dict[str, Tensor], card: ModelCard) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_FILE).write_text(json.dumps(fields | {"dtype": "float16"}, indent=2) + "\n", encoding="utf-8")
    save_file(weights, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    (folder / WEIGHTS_FILE).chmod(0o644)  # must be readable for the user of a container
    write_card(folder, card)
