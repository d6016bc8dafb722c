"""Random Mimis of transformers, the reference that ours is measured against."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import MimiConfig, MimiModel
from transformers.utils import logging

logging.disable_progress_bar()

TINY: dict[str, Any] = {
    "num_filters": 4,
    "hidden_size": 32,
    "upsample_groups": 32,
    "upsampling_ratios": [4, 3, 2],
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "sliding_window": 9,
    "codebook_size": 64,
    "codebook_dim": 16,
    "vector_quantization_hidden_dimension": 16,
    "num_quantizers": 8,
}
"""A Mimi of some thousand weights; its window is shorter than the tests' streams, so its rings wrap."""


def reference_mimi(seed: int = 0, **sizes: Any) -> MimiModel:
    """A transformers Mimi whose every weight matters.

    The library leaves codebooks at zero, norms at one and layer scales near zero; any mistake with those would not
    show.
    """
    torch.manual_seed(seed)
    model = MimiModel(MimiConfig(**sizes)).eval()
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            if name.endswith("embed_sum"):
                buffer.normal_(0, 0.3)
            elif name.endswith("cluster_usage"):
                buffer.uniform_(0.5, 2.0)
        for name, parameter in model.named_parameters():
            if name.endswith(("layernorm.weight", "layer_scale.scale")):
                parameter.uniform_(0.2, 1.0)
            elif name.endswith("layernorm.bias"):
                parameter.uniform_(-0.2, 0.2)
    return model


def save_mimi(model: MimiModel, folder: Path) -> Path:
    """Writes the checkpoint as transformers does."""
    model.save_pretrained(folder)
    return folder


@torch.inference_mode()
def reference_codes(model: Any, samples: Tensor, codebooks: int) -> Tensor:
    """One-shot encoding of samples (B, samples) -> (B, T, Q)."""
    return model.encode(samples[:, None], num_quantizers=codebooks).audio_codes.transpose(1, 2)


@torch.inference_mode()
def reference_sound(model: Any, codes: Tensor) -> Tensor:
    """One-shot decoding of codes (B, T, Q) -> (B, samples)."""
    return model.decode(codes.transpose(1, 2)).audio_values[:, 0]


@torch.inference_mode()
def assert_same_codes(found: Tensor, model: Any, samples: Tensor) -> None:
    """Codes (B, T, Q) are the reference's for samples (B, samples), except where two entries are equally near.

    Two sums in another order may pick either of two entries whose distances agree to float rounding, and the rest of
    that frame follows from the choice.  Such a frame is looked at closely and counted; one in a hundred is allowed.
    """
    codebooks = found.shape[2]
    wanted = reference_codes(model, samples, codebooks)
    assert found.shape == wanted.shape
    differing = (found != wanted).any(2).nonzero().tolist()
    assert len(differing) <= max(1, found.shape[0] * found.shape[1] // 100), f"{len(differing)} frames differ"
    latents = model.encoder(samples[:, None]).latents if differing else torch.empty(0)
    for row, frame in differing:
        first = int((found[row, frame] != wanted[row, frame]).nonzero()[0])
        chosen = _distances(model, latents[row, :, frame], wanted[row, frame], first)
        a, b = (float(chosen[int(codes[row, frame, first])]) for codes in (found, wanted))
        assert abs(a - b) <= 1e-4 * max(a, b), f"row {row}, frame {frame}, codebook {first}: distance {a}, not {b}"


def _distances(model: Any, latent: Tensor, codes: Tensor, codebook: int) -> Tensor:
    """Distances from the residual before `codebook` to each of its entries, in float64."""
    quantizer = model.quantizer
    semantic = quantizer.num_semantic_quantizers
    part = quantizer.semantic_residual_vector_quantizer
    if codebook >= semantic:
        part, codes, codebook = quantizer.acoustic_residual_vector_quantizer, codes[semantic:], codebook - semantic
    rest = part.input_proj(latent[None, :, None])[0, :, 0].double() if part.input_proj else latent.double()
    for layer, code in zip(part.layers[:codebook], codes, strict=False):
        rest = rest - layer.codebook.embed[code].double()
    return (part.layers[codebook].codebook.embed.double() - rest).norm(dim=1)
