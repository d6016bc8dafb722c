"""Writes CSM checkpoints with random weights, for tests, benchmarks and a service without a trained one.

The default sizes are a small CSM-1B: 8 codebooks, RoPE scaling, a byte-level tokenizer.  The speech is noise, and the
card says that it is not trained.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from oviya.model.checkpoint import CONFIG_FILE, WEIGHTS_FILE, ModelCard, write_card
from services.csm.checkpoint import Checkpoint, weight_sources
from services.csm.model.config import CsmConfig
from services.csm.model.csm import CsmModel
from services.csm.model.rope import rotation_table
from services.csm.request.tokenizer import TOKENIZER_CONFIG_FILE, TOKENIZER_FILE, TextTokenizer, style_token

CODEBOOK_SIZE = 512
"""As many codes as the smallest codec that ships, so that every codec of 8 codebooks can decode them."""

BOS_TOKEN, EOS_TOKEN = "<|begin_of_text|>", "<|end_of_text|>"
AUDIO_TOKEN, AUDIO_END_TOKEN = "<|AUDIO|>", "<|audio_eos|>"


def small_config(**changes: Any) -> dict[str, Any]:
    """The fields of a small config.json; `changes` replace some of them.

    The RoPE scaling is that of CSM-1B's own config.json.
    """
    tokens = _tokenizer(()).get_vocab()
    fields: dict[str, Any] = {
        "model_type": "csm",
        "architectures": ["CsmForConditionalGeneration"],
        "num_codebooks": 8,
        "vocab_size": CODEBOOK_SIZE + 3,
        "text_vocab_size": 320,
        "hidden_size": 256,
        "intermediate_size": 640,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 64,
        "max_position_embeddings": 2048,
        "rope_parameters": _rope(low=0.125, high=0.5, original=1024),
        "bos_token_id": tokens[BOS_TOKEN],
        "eos_token_id": None,
        "pad_token_id": tokens[AUDIO_TOKEN],
        "audio_token_id": tokens[AUDIO_TOKEN],
        "audio_eos_token_id": tokens[AUDIO_END_TOKEN],
        "codebook_eos_token_id": 0,
        "codebook_pad_token_id": CODEBOOK_SIZE + 2,
        "tie_codebooks_embeddings": True,
        "depth_decoder_config": {
            "model_type": "csm_depth_decoder_model",
            "num_codebooks": 8,
            "vocab_size": CODEBOOK_SIZE + 3,
            "backbone_hidden_size": 256,
            "hidden_size": 128,
            "intermediate_size": 320,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 32,
            "max_position_embeddings": 33,
            "rope_parameters": _rope(low=0.001953125, high=0.0078125, original=16),
        },
        "codec_config": {"model_type": "mimi", "codebook_size": CODEBOOK_SIZE, "num_quantizers": 8},
    }
    return fields | changes


def write_random_checkpoint(
    folder: Path,
    *,
    fields: Mapping[str, Any] | None = None,
    styles: tuple[str, ...] = (),
    seed: int = 0,
    device: torch.device | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Writes config, weights, tokenizer and card into `folder`.

    Args:
        folder: an existing, empty folder.
        fields: of config.json; None: `small_config()`.
        styles: styles that the card lists and the tokenizer has tokens for.
        seed: the same seed writes the same weights.
        device: makes the weights; None: the CPU.
        dtype: their number format in the file.
    """
    fields = small_config() if fields is None else fields
    config = CsmConfig.from_fields(fields)
    device = device or torch.device("cpu")
    generator = torch.Generator(device).manual_seed(seed)
    weights = {}
    for sources in weight_sources(config).values():
        for source in sources:
            if len(source.shape) == 1:  # a norm
                weights[source.names[-1]] = torch.ones(source.shape, dtype=dtype)
            else:
                fan_in = source.shape[-2] if len(source.shape) == 3 else source.shape[-1]
                values = torch.randn(source.shape, generator=generator, device=device) * fan_in**-0.5
                weights[source.names[-1]] = values.to("cpu", dtype)
    save_file(weights, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    (folder / CONFIG_FILE).write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")
    _write_tokenizer(folder, styles)
    write_card(folder, _card(styles))


@torch.inference_mode()
def random_checkpoint(
    fields: Mapping[str, Any], *, device: torch.device, dtype: torch.dtype, seed: int = 0
) -> Checkpoint:
    """A random checkpoint made directly on its device, for benchmarks at the published sizes."""
    config = CsmConfig.from_fields(fields)
    model = CsmModel(config).to(torch.device("meta")).to_empty(device=device).to(dtype)
    generator = torch.Generator(device).manual_seed(seed)
    for name, weight in model.named_parameters():
        if name.endswith("norm"):
            weight.fill_(1.0)
        else:
            fan_in = weight.shape[-2] if weight.dim() == 3 else weight.shape[-1]
            weight.normal_(generator=generator).mul_(fan_in**-0.5)
    for name in ("backbone", "depth"):  # not weights: computed from the config
        stack, sizes = getattr(model, name), getattr(config, name)
        stack.cos, stack.sin = (
            table.to(device) for table in rotation_table(sizes.rope, sizes.head_dim, sizes.positions)
        )
    with TemporaryDirectory(prefix="oviya-csm-") as folder:
        _write_tokenizer(Path(folder), ())
        tokenizer = TextTokenizer(Path(folder), config)
    return Checkpoint(model, tokenizer, _card(()), device, dtype)


def published_config(**changes: Any) -> dict[str, Any]:
    """The fields of CSM-1B's config.json: the defaults, and its RoPE scaling."""
    fields = {
        "model_type": "csm",
        "rope_parameters": _rope(low=0.125, high=0.5, original=1024),
        "depth_decoder_config": {
            "model_type": "csm_depth_decoder_model",
            "rope_parameters": _rope(low=0.001953125, high=0.0078125, original=16),
        },
        "codec_config": {"model_type": "mimi"},
    }
    return fields | changes


def _card(styles: tuple[str, ...]) -> ModelCard:
    return ModelCard(
        name="random-csm",
        trained=False,
        license="Apache-2.0",
        styles=styles,
        description="Random weights; the speech is noise.",
    )


def _write_tokenizer(folder: Path, styles: tuple[str, ...]) -> None:
    _tokenizer(styles).save(str(folder / TOKENIZER_FILE))
    (folder / TOKENIZER_CONFIG_FILE).write_text(
        json.dumps({"bos_token": BOS_TOKEN, "eos_token": EOS_TOKEN}, indent=2) + "\n", encoding="utf-8"
    )


def _rope(*, low: float, high: float, original: int) -> dict[str, Any]:
    return {
        "rope_type": "llama3",
        "rope_theta": 500_000.0,
        "factor": 32.0,
        "low_freq_factor": low,
        "high_freq_factor": high,
        "original_max_position_embeddings": original,
    }


def _tokenizer(styles: tuple[str, ...]) -> Tokenizer:
    """A token for each byte, and the special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [BOS_TOKEN, EOS_TOKEN, AUDIO_TOKEN, AUDIO_END_TOKEN, *map(style_token, styles)]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer
