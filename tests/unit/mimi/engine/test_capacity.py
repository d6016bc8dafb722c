"""The number of streams by device."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from services.mimi.checkpoint import random_checkpoint
from services.mimi.engine.capacity import Capacity, choose_capacity, stream_bytes
from services.mimi.model.config import MimiConfig
from services.mimi.model.mimi import Mimi

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model() -> Mimi:
    return random_checkpoint(CPU).model


def on_a_gpu(model: Mimi) -> Any:
    """A stand-in for the model with a CUDA device."""
    decoder = SimpleNamespace(
        new_state=lambda slots, max_frames, _device: model.decoder.new_state(slots, max_frames, CPU)
    )
    return SimpleNamespace(device=torch.device("cuda"), decoder=decoder)


def test_a_cpu_takes_a_few_streams(model):
    assert choose_capacity(model, None, None) == Capacity(8, 4)
    assert choose_capacity(model, 3, None) == Capacity(3, 4)
    assert choose_capacity(model, None, 2) == Capacity(8, 2)


def test_a_gpu_takes_what_a_quarter_of_its_free_memory_holds(model, monkeypatch):
    row = 3 * stream_bytes(model)
    for free, expected in ((0, Capacity(1, 1)), (4 * 20 * row, Capacity(20, 5)), (10_000 * row, Capacity(512, 128))):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device, free=free: (free, 10 * free))
        assert choose_capacity(on_a_gpu(model), None, None) == expected
    assert choose_capacity(on_a_gpu(model), 16, 2) == Capacity(16, 2)


def test_a_stream_of_the_published_size_takes_some_nine_megabytes():
    model = Mimi(lambda name, shape: torch.zeros(shape), MimiConfig(), CPU)
    assert 8e6 < stream_bytes(model) < 10e6
