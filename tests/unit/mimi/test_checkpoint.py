"""Loading a Mimi, and the errors of checkpoints that cannot be loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import MimiModel

from oviya.errors import CheckpointError, OviyaError
from oviya.model.checkpoint import ModelCard, load_safetensors_state, read_card, resolve_checkpoint, write_card
from oviya.model.device import choose_device
from services.mimi.checkpoint import RANDOM_CONFIG, load_checkpoint, random_checkpoint
from services.mimi.model.config import MimiConfig, parse_config
from services.mimi.model.slots import Slots
from tests.support.checkpoints.faults import edit_config
from tests.support.checkpoints.mimi import TINY, reference_mimi, reference_sound, save_mimi

CPU = torch.device("cpu")
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def model() -> MimiModel:
    return reference_mimi(**TINY)


@pytest.fixture
def folder(model: MimiModel, tmp_path: Path) -> Path:
    return save_mimi(model, tmp_path / "tiny-mimi")


def sound_of(folder: Path, codes: Tensor) -> Tensor:
    mimi = load_checkpoint(folder, CPU).model
    return mimi.decoder.step(codes, mimi.decoder.new_state(1, codes.shape[1], CPU), Slots([0], CPU))


def nested(state: dict[str, Tensor], model: MimiModel, folder: Path) -> None:
    """The names that transformers 5.23 uses in memory."""
    save_file({name: tensor.clone() for name, tensor in model.state_dict().items()}, folder / WEIGHTS)


def inside_csm(state: dict[str, Tensor], model: MimiModel, folder: Path) -> None:
    """A CSM checkpoint, with the Mimi's tensors under a prefix and its config in the CSM's."""
    state = {f"codec_model.{name}": tensor for name, tensor in state.items()}
    save_file({**state, "lm_head.weight": torch.zeros(3, 3)}, folder / WEIGHTS)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({"model_type": "csm", "codec_config": config}))


def sharded(state: dict[str, Tensor], model: MimiModel, folder: Path) -> None:
    names = sorted(state)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, part in parts.items():
        save_file({name: state[name] for name in part}, folder / file)
    index = {"weight_map": {name: file for file, part in parts.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / WEIGHTS).unlink()


def half_precision(state: dict[str, Tensor], model: MimiModel, folder: Path) -> None:
    """Stored as bfloat16, run as float32: the reference is rounded the same way."""
    save_file({name: tensor.bfloat16() for name, tensor in state.items()}, folder / WEIGHTS)
    model.load_state_dict({name: tensor.bfloat16().float() for name, tensor in model.state_dict().items()})


@pytest.mark.parametrize("layout", [nested, inside_csm, sharded])
def test_every_layout_loads_the_same_weights(model: MimiModel, folder: Path, layout: Callable[..., None]):
    layout(load_file(folder / WEIGHTS), model, folder)
    codes = torch.randint(0, 64, (1, 5, 8), generator=torch.Generator().manual_seed(3))
    wanted = reference_sound(model, codes)
    assert float((sound_of(folder, codes) - wanted).abs().max()) <= 1e-4 * float(wanted.abs().max())


def test_half_precision_weights_run_in_full(tmp_path: Path):
    model = reference_mimi(**TINY)
    folder = save_mimi(model, tmp_path)
    half_precision(load_file(folder / WEIGHTS), model, folder)
    for layer in model.modules():
        if hasattr(layer, "_embed"):
            layer.__dict__["_embed"] = None  # transformers keeps the codebook that it derived from the old weights
    codes = torch.randint(0, 64, (1, 5, 8), generator=torch.Generator().manual_seed(3))
    wanted = reference_sound(model, codes)
    assert float((sound_of(folder, codes) - wanted).abs().max()) <= 1e-4 * float(wanted.abs().max())


def remove_weights(folder: Path) -> None:
    (folder / WEIGHTS).unlink()


def truncate_weights(folder: Path) -> None:
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:-1000])


def empty_weights(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"")


def drop_tensor(folder: Path) -> None:
    state = load_file(folder / WEIGHTS)
    del state["upsample.conv.weight"]
    save_file(state, folder / WEIGHTS)


def break_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def list_config(folder: Path) -> None:
    (folder / "config.json").write_text("[]")


def lose_shard(folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"upsample.conv.weight": "x"}}))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (remove_weights, "model.safetensors: no such file"),
        (truncate_weights, "model.safetensors: truncated or damaged"),
        (empty_weights, "model.safetensors: truncated or damaged"),
        (drop_tensor, "lacks the tensor upsample.conv.weight"),
        (break_config, "config.json: cannot be read"),
        (list_config, "config.json: must hold a JSON object"),
        (lose_shard, "x: no such file"),
    ],
)
def test_a_damaged_checkpoint_is_refused_in_one_line(folder: Path, damage: Callable[[Path], None], words: str):
    damage(folder)
    with pytest.raises(CheckpointError, match=words) as caught:
        load_checkpoint(folder, CPU)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"intermediate_size": 64}, "its config asks for"),
        ({"codebook_size": 32}, "its config asks for"),
        ({"num_quantizers": 9}, "lacks the tensor"),
        ({"num_quantizers": 33}, "at most 32"),
        ({"num_filters": 0}, "num_filters is 0"),
        ({"num_filters": "many"}, "num_filters is 'many'"),
        ({"upsampling_ratios": [4, 0]}, "upsampling_ratios"),
        ({"use_causal_conv": False}, "use_causal_conv is False"),
        ({"pad_mode": "replicate"}, "pad_mode is 'replicate'"),
        ({"audio_channels": 2}, "audio_channels is 2"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "rope_type is 'yarn'"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": -1}}, "rope_theta is -1"),
        ({"num_key_value_heads": 1}, "num_key_value_heads"),
        ({"num_attention_heads": 5, "num_key_value_heads": 5}, "hidden_size must be an even multiple"),
        ({"frame_rate": 7}, "frame_rate is 7"),
        ({"model_type": "encodec"}, "describes a 'encodec'"),
    ],
)
def test_another_config_is_refused_in_one_line(folder: Path, changes: dict[str, Any], words: str):
    edit_config(folder, **changes)
    with pytest.raises(CheckpointError, match=words) as caught:
        load_checkpoint(folder, CPU)
    assert "\n" not in str(caught.value)


def test_an_empty_config_is_the_published_size():
    config = parse_config({})
    assert config == MimiConfig()
    assert (config.frame_samples, config.samples_per_position, config.head_dim) == (1920, 960, 64)
    assert parse_config({"frame_rate": 12.5, "rope_theta": 10000.0}) == config


def test_a_missing_checkpoint_is_refused(tmp_path: Path):
    for spec in (tmp_path / "nowhere", Path("./nowhere"), Path("nowhere")):
        with pytest.raises(CheckpointError, match="nowhere"):
            load_checkpoint(spec, CPU)


def test_a_checkpoint_without_a_card_counts_as_trained(folder: Path):
    card = load_checkpoint(folder, CPU).card
    assert card == ModelCard(name="tiny-mimi", trained=True)


def test_a_card_is_read_as_it_was_written(folder: Path):
    card = ModelCard("demo-mimi", trained=True, license="Apache-2.0", styles=("warm",), description="A demo.")
    write_card(folder, card)
    assert read_card(folder) == card
    (folder / "model_card.json").write_text('{"trained": "yes"}')
    with pytest.raises(CheckpointError, match="'trained' must be of type bool"):
        read_card(folder)


def test_only_wanted_tensors_are_read(folder: Path):
    state = load_safetensors_state(folder, wanted=lambda name: name.startswith("upsample."))
    assert list(state) == ["upsample.conv.weight"]


def test_resolving_leaves_a_folder_alone(folder: Path):
    assert resolve_checkpoint(str(folder)) == folder


def test_the_parameter_count_is_that_of_the_file(folder: Path):
    state = load_file(folder / WEIGHTS)
    wanted = sum(tensor.numel() for name, tensor in state.items() if not name.endswith("initialized"))
    assert load_checkpoint(folder, CPU).parameters == wanted


def test_the_random_checkpoint_is_always_the_same_and_says_what_it_is():
    first, second = random_checkpoint(CPU), random_checkpoint(CPU)
    assert first.card.trained is False
    codes = torch.randint(0, RANDOM_CONFIG.codebook_size, (1, 3, 8))
    sounds = [
        checkpoint.model.decoder.step(codes, checkpoint.model.decoder.new_state(1, 3, CPU), Slots([0], CPU))
        for checkpoint in (first, second)
    ]
    assert torch.equal(*sounds)
    assert 1e-4 < float(sounds[0].std()) < 1.0


def test_the_random_checkpoint_hears_what_it_is_given():
    mimi = random_checkpoint(CPU).model
    noise = torch.randn(1, 20 * mimi.config.frame_samples, generator=torch.Generator().manual_seed(5)) * 0.3
    codes = mimi.encoder.step(noise, mimi.encoder.new_state(1, 20, CPU), Slots([0], CPU), 8)
    assert len(codes.unique()) > 20


def test_an_unknown_device_is_refused():
    for name in ("gpu", "cuda:99"):
        with pytest.raises(OviyaError, match=f"device '{name}' cannot be used"):
            choose_device(name)
    assert choose_device("cpu") == CPU
