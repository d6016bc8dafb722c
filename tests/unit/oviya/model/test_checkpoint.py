"""What a checkpoint's index may name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from oviya.errors import CheckpointError
from oviya.model.checkpoint import CONFIG_FILE, INDEX_FILE, load_safetensors_state

SHARD = "model-00001-of-00001.safetensors"


def write_index(folder: Path, file: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / CONFIG_FILE).write_text("{}")
    (folder / INDEX_FILE).write_text(json.dumps({"weight_map": {"weight": file}}))
    return folder


@pytest.mark.parametrize(
    "file",
    ["../other/model.safetensors", "../../secrets", "/etc/passwd", "..", ".", "", "sub/model.safetensors",
     "..\\other\\model.safetensors", "a\0b", None, 7, ["x"]],
)  # fmt: skip
def test_an_index_names_files_of_its_own_folder_only(tmp_path: Path, file: object):
    (tmp_path / "other").mkdir()
    save_file({"weight": torch.zeros(1)}, tmp_path / "other" / "model.safetensors")
    folder = write_index(tmp_path / "checkpoint", file)
    with pytest.raises(CheckpointError, match="not a file of this folder"):
        load_safetensors_state(folder)


def test_a_shard_may_be_a_link_as_in_the_hubs_cache(tmp_path: Path):
    (tmp_path / "blobs").mkdir()
    save_file({"weight": torch.ones(1)}, tmp_path / "blobs" / "0123")
    folder = write_index(tmp_path / "snapshot", SHARD)
    (folder / SHARD).symlink_to("../blobs/0123")
    assert load_safetensors_state(folder)["weight"].item() == 1.0


def test_transformers_weights_of_a_config_stay_in_the_folder(tmp_path: Path):
    folder = write_index(tmp_path / "checkpoint", SHARD)
    save_file({"weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    (folder / CONFIG_FILE).write_text(json.dumps({"transformers_weights": "../model.safetensors"}))
    with pytest.raises(CheckpointError, match="no such file"):
        load_safetensors_state(folder)
