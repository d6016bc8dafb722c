"""The model against transformers' own, token for token in float32."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from services.csm.checkpoint import load_checkpoint
from services.csm.device.contract import Sampling
from services.csm.model.config import CsmConfig, RopeConfig
from services.csm.model.rope import inverse_frequencies
from services.csm.request.prompt import Segment
from tests.support.checkpoints.csm import (
    config_fields,
    favour_end,
    frames_alone,
    load_reference,
    write_checkpoint,
)
from tests.support.checkpoints.faults import edit_config
from tests.support.csm_prompt import build_prompt

FRAME_SAMPLES = 1920
GREEDY = Sampling(temperature=0, top_k=1, seed=0)

CLOSE_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
"""Scaling that bites within the few dozen positions of a test; CSM-1B's does so within thousands."""


def close_rope_fields(codebooks: int) -> dict:
    fields = config_fields(codebooks=codebooks, rope_parameters=CLOSE_ROPE)
    fields["depth_decoder_config"] = fields["depth_decoder_config"] | {"rope_parameters": CLOSE_ROPE}
    return fields


def greedy_frames(checkpoint, prompt, frames: int) -> np.ndarray:
    return frames_alone(checkpoint, prompt, GREEDY, frames, chunk=16)


@pytest.mark.parametrize(("codebooks", "frames"), [(8, 8), (32, 4)])
@pytest.mark.parametrize("rope", ["as CSM-1B", "close"])
def test_greedy_frames_equal_transformers(tmp_path, codebooks, frames, rope):
    changes = close_rope_fields(codebooks) if rope == "close" else {}
    folder = write_checkpoint(tmp_path / "csm", codebooks=codebooks, **changes)
    ours, reference = load_checkpoint(folder), load_reference(folder)
    rng = np.random.default_rng(1)
    sounds = [rng.standard_normal(FRAME_SAMPLES * n).astype(np.float32) * 0.1 for n in (5, 7)]
    codes = [reference.encode(sound) for sound in sounds]
    assert [len(frames) for frames in codes] == [5, 7]
    assert len(np.unique(codes[0])) > codebooks, "the codec must tell its frames apart"
    context = [Segment(0, "One, two.", codes[0]), Segment(1, "Three?", codes[1])]
    tokens = reference.model.config

    own = ours.tokenizer.encode_segment("Hello you.", 0)
    before = []
    for segment, frames_of in zip(context, codes, strict=True):
        before += ours.tokenizer.encode_segment(segment.text, segment.speaker)
        before += [tokens.audio_token_id] * len(frames_of) + [tokens.audio_eos_token_id]
    ends = [len(sounds[0]), len(sounds[0]) + len(sounds[1])]

    for segments, ids, audio in (([], own, None), (context, before + own, np.concatenate(sounds))):
        expected = reference.greedy(ids, audio, ends, frames)
        prompt = build_prompt(ours.tokenizer, codebooks, text="Hello you.", speaker=0, context=segments)
        assert len(prompt) == len(ids)
        np.testing.assert_array_equal(greedy_frames(ours, prompt, frames), expected)


def test_rope_scaling_decides_the_frames(tmp_path):
    """Without this, the comparison above could not see a scaling that is wrong."""
    folder = write_checkpoint(tmp_path / "csm", **close_rope_fields(8))
    scaled = load_checkpoint(folder)
    prompt = build_prompt(scaled.tokenizer, 8, text="Hello you.", speaker=0)
    frames = greedy_frames(scaled, prompt, 8)
    edit_config(folder, rope_parameters={"rope_type": "default", "rope_theta": 500_000.0})
    assert (greedy_frames(load_checkpoint(folder), prompt, 8) != frames).any()


@pytest.mark.parametrize(("low", "high", "original", "head_dim"), [(0.125, 0.5, 1024, 64), (2**-9, 2**-7, 16, 128)])
def test_rope_frequencies_of_csm_1b_equal_transformers(low, high, original, head_dim):
    ours = inverse_frequencies(RopeConfig(500_000.0, 32.0, low, high, original), head_dim)
    parameters = {
        "rope_type": "llama3",
        "rope_theta": 500_000.0,
        "factor": 32.0,
        "low_freq_factor": low,
        "high_freq_factor": high,
        "original_max_position_embeddings": original,
    }
    config = SimpleNamespace(
        rope_parameters=parameters, head_dim=head_dim, standardize_rope_params=lambda: None, hidden_size=1
    )
    theirs, scale = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    assert scale == 1.0
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)
    assert (ours[-1] * 32).item() == pytest.approx(500_000.0 ** -((head_dim - 2) / head_dim), rel=1e-5)


def test_end_frame_comes_where_transformers_stops(tmp_path):
    folder = write_checkpoint(tmp_path / "csm", codebooks=4)
    favour_end(folder, 8.0)
    ours, reference = load_checkpoint(folder), load_reference(folder)
    ids = ours.tokenizer.encode_segment("Hello you.", 0)
    expected = reference.greedy(ids, None, [], 30)
    assert len(expected) < 30, "the reference must end by itself"
    assert (expected[-1] == 0).all()
    frames = greedy_frames(ours, build_prompt(ours.tokenizer, 4, text="Hello you.", speaker=0), len(expected))
    np.testing.assert_array_equal(frames, expected)


def test_a_checkpoint_that_transformers_saved_loads(tmp_path):
    """transformers writes shards, its codec's weights, and only one name of the shared embedding."""
    folder = write_checkpoint(tmp_path / "csm")
    ours = load_checkpoint(folder)
    saved = tmp_path / "saved"
    load_reference(folder).model.save_pretrained(saved, max_shard_size="5MB")
    assert len(list(saved.glob("*.safetensors"))) > 1
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (saved / name).write_bytes((folder / name).read_bytes())
    again = load_checkpoint(saved)
    assert again.config == ours.config
    prompt = build_prompt(ours.tokenizer, 8, text="Hello you.", speaker=0)
    np.testing.assert_array_equal(greedy_frames(again, prompt, 4), greedy_frames(ours, prompt, 4))


def test_defaults_are_those_of_csm_1b():
    """A published config.json leaves out what equals transformers' defaults."""
    config = CsmConfig.from_fields({"model_type": "csm", "eos_token_id": 128_001})
    assert (config.codebooks, config.audio_vocabulary, config.codebook_size) == (32, 2051, 2048)
    assert (config.backbone.layers, config.backbone.width, config.backbone.heads) == (16, 2048, 32)
    assert (config.depth.layers, config.depth.width, config.depth.heads) == (4, 1024, 8)
    assert (config.backbone.head_dim, config.depth.head_dim, config.max_positions) == (64, 128, 2048)
    assert (config.backbone.kv_heads, config.depth.kv_heads, config.text_vocabulary) == (8, 2, 128_256)


def test_old_and_new_spelling_of_rope_read_alike():
    scaling = {key: value for key, value in CLOSE_ROPE.items() if key != "rope_theta"}
    new = CsmConfig.from_fields({"rope_parameters": CLOSE_ROPE})
    old = CsmConfig.from_fields({"rope_scaling": scaling, "rope_theta": 500_000.0})
    assert old.backbone.rope == new.backbone.rope == RopeConfig(500_000.0, 32.0, 1.0, 4.0, 32)
