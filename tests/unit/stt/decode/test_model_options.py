"""The device of a Whisper model where there is no GPU, and where its library is missing."""

from __future__ import annotations

import ctranslate2
import pytest
from structlog.testing import capture_logs

from oviya.errors import CheckpointError
from services.stt.decode import cuda, model_options
from services.stt.settings import SttSettings


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: 1)


@pytest.fixture
def no_cublas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "LIBRARY", "libcublas-that-is-not-there.so")


def device(wanted: str) -> str:
    return model_options.model_options(SttSettings(device=wanted)).device  # type: ignore[arg-type]


def test_without_a_gpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: 0)
    assert device("auto") == device("cpu") == "cpu"
    with pytest.raises(CheckpointError, match="there is no GPU"):
        device("cuda")


def test_a_gpu_is_used_if_its_library_loads(gpu: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cuda, "LIBRARY", "libc.so.6")
    assert device("auto") == device("cuda") == "cuda"
    assert device("cpu") == "cpu"


def test_a_gpu_without_its_library_is_not_used_and_the_log_says_why(gpu: None, no_cublas: None):
    with capture_logs() as logs:
        assert device("auto") == "cpu"
    assert [(line["log_level"], line["hint"]) for line in logs] == [("warning", cuda.HINT)]
    with pytest.raises(CheckpointError, match=r"libcublas\.so\.12 was not found.*requirements/cuda\.lock"):
        device("cuda")
