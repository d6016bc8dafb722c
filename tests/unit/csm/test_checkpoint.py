"""A checkpoint loads, or says in one line what is wrong with it."""

from __future__ import annotations

import json

import huggingface_hub
import pytest
from safetensors.torch import load_file, save_file

from oviya.errors import CheckpointError, OviyaError
from oviya.model.device import choose_device
from services.csm.checkpoint import load_checkpoint
from tests.support.checkpoints.csm import write_checkpoint
from tests.support.checkpoints.faults import edit_config


@pytest.fixture
def folder(tmp_path):
    return write_checkpoint(tmp_path / "small")


def refuses(folder, *words: str) -> None:
    """Asserts that loading fails with one clear line that holds `words`."""
    with pytest.raises(CheckpointError) as failure:
        load_checkpoint(folder)
    message = str(failure.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def change_weights(folder, change) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path, metadata={"format": "pt"})


def test_the_card_says_what_it_is(folder):
    checkpoint = load_checkpoint(folder)
    assert (checkpoint.card.name, checkpoint.card.trained) == ("random-csm", False)
    assert checkpoint.model.parameter_count() > 1_000_000
    assert (str(checkpoint.device), str(checkpoint.dtype)) == ("cpu", "torch.float32")


def test_without_a_card_it_counts_as_trained_and_is_named_as_its_folder(folder):
    """Published checkpoints have no card of ours."""
    (folder / "model_card.json").unlink()
    card = load_checkpoint(folder).card
    assert (card.name, card.trained, card.styles) == ("small", True, ())


def test_missing_folder(tmp_path):
    refuses(tmp_path / "nothing", "nothing", "no such folder")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_missing_file(folder, name):
    (folder / name).unlink()
    refuses(folder, name, "no such file")


@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
def test_truncated_weights(folder, share):
    path = folder / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    refuses(folder, "model.safetensors", "truncated or damaged")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "model_card.json"])
def test_broken_json(folder, name):
    (folder / name).write_text("{")
    refuses(folder, name)


def test_missing_tensor(folder):
    change_weights(folder, lambda weights: weights.pop("backbone_model.layers.2.self_attn.k_proj.weight"))
    refuses(folder, "lacks the tensor backbone_model.layers.2.self_attn.k_proj.weight")


@pytest.mark.parametrize(
    ("field", "value", "tensor"),
    [
        ("intermediate_size", 512, "mlp.gate_proj.weight"),
        ("num_key_value_heads", 4, "self_attn.k_proj.weight"),
        ("text_vocab_size", 400, "embed_text_tokens.weight"),
        ("num_hidden_layers", 5, "backbone_model.layers.4"),
    ],
)
def test_weights_of_other_sizes_than_the_config_says(folder, field, value, tensor):
    edit_config(folder, **{field: value})
    refuses(folder, tensor)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "llama"}, ("'llama'", "'csm'")),
        ({"num_codebooks": 33}, ("num_codebooks is 33", "2 to 32")),
        ({"num_codebooks": 4}, ("depth decoder's num_codebooks is 8", "4")),
        ({"num_attention_heads": 3}, ("3 heads",)),
        ({"hidden_act": "gelu"}, ("'gelu'",)),
        ({"attention_bias": True}, ("attention_bias",)),
        ({"hidden_size": "wide"}, ("wide",)),
        ({"rope_parameters": {"rope_type": "yarn"}}, ("'yarn'",)),
        ({"rope_parameters": {"rope_type": "llama3", "factor": 2}}, ("high_freq_factor", "low_freq_factor")),
        ({"tie_codebooks_embeddings": False}, ("tie_codebooks_embeddings",)),
        ({"codec_config": {"codebook_size": 4096}}, ("4096",)),
    ],
)
def test_config_that_is_no_csm(folder, changes, words):
    edit_config(folder, **changes)
    refuses(folder, "config.json", *words)


def test_a_tokenizer_larger_than_the_text_embedding(folder):
    edit_config(folder, text_vocab_size=100)
    refuses(folder, "tokenizer.json", "100")


def test_a_style_without_its_token(folder):
    card = json.loads((folder / "model_card.json").read_text())
    (folder / "model_card.json").write_text(json.dumps(card | {"styles": ["calm"]}))
    refuses(folder, "<|calm|>")


def test_ends_of_text_that_nothing_names(folder):
    (folder / "tokenizer_config.json").unlink()
    refuses(folder, "eos_token")


def test_ends_of_text_from_the_config(folder):
    expected = load_checkpoint(folder).tokenizer
    (folder / "tokenizer_config.json").unlink()
    edit_config(folder, eos_token_id=[expected.eos_id, 3])
    assert load_checkpoint(folder).tokenizer.eos_id == expected.eos_id


def test_weights_in_the_file_that_the_config_names(folder):
    """As in sesame/csm-1b, whose model.safetensors has another layout."""
    (folder / "model.safetensors").rename(folder / "transformers.safetensors")
    save_file({"other": load_file(folder / "transformers.safetensors")["lm_head.weight"]}, folder / "model.safetensors")
    refuses(folder, "lacks the tensor")
    edit_config(folder, transformers_weights="transformers.safetensors")
    assert load_checkpoint(folder).model.parameter_count() > 1_000_000


def test_hub_id_is_fetched_and_named(folder, monkeypatch):
    asked = []

    def snapshot(repository, **_):
        asked.append(repository)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    (folder / "model_card.json").unlink()
    assert load_checkpoint("sesame/csm-1b").card.name == "sesame/csm-1b"
    assert asked == ["sesame/csm-1b"]


def test_hub_that_cannot_be_reached(monkeypatch):
    def offline(repository, **_):
        raise ConnectionError("no route to the hub\nand more")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    refuses("sesame/csm-1b", "sesame/csm-1b", "no route to the hub")


def test_device_that_is_not_there():
    for name in ("cuda:77", "abacus"):
        with pytest.raises(OviyaError, match=name):
            choose_device(name)
