"""The sizes of both checkpoints: 36 MB of float16 at most together, somewhat less than half of it for the codec."""

from __future__ import annotations

from typing import Any

from services.csm.random_checkpoint import small_config
from services.mimi.model.config import MimiConfig, parse_config

CODEBOOKS = 8
CODEBOOK_SIZE = 512

MIMI_FIELDS: dict[str, Any] = {
    "model_type": "mimi",
    "architectures": ["MimiModel"],
    "sampling_rate": 24_000,
    "hidden_size": 256,
    "num_filters": 24,
    "codebook_size": CODEBOOK_SIZE,
    "codebook_dim": 64,
    "vector_quantization_hidden_dimension": 64,
    "num_quantizers": CODEBOOKS,
    "num_semantic_quantizers": 1,
    "upsample_groups": 256,
    "num_hidden_layers": 2,
    "intermediate_size": 768,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "sliding_window": 100,
}


def mimi_config() -> MimiConfig:
    """The configuration of the codec, for `services/mimi`."""
    return parse_config(MIMI_FIELDS)


def csm_fields(*, text_vocabulary: int, special: dict[str, int]) -> dict[str, Any]:
    """The fields of the CSM's config.json.

    Args:
        text_vocabulary: tokens of its tokenizer.
        special: token ids by the names of config.json (`bos_token_id` ...).
    """
    fields = small_config()
    depth = fields["depth_decoder_config"] | {
        "backbone_hidden_size": 256,
        "hidden_size": 256,
        "intermediate_size": 640,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 64,
    }
    return (
        fields
        | {
            "hidden_size": 256,
            "intermediate_size": 768,
            "num_hidden_layers": 8,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 64,
            "max_position_embeddings": 1024,
            "text_vocab_size": text_vocabulary,
            "depth_decoder_config": depth,
            "codec_config": MIMI_FIELDS,
        }
        | special
    )
