"""Frames of a device without an engine: their time, and how exact they are."""

from __future__ import annotations

import copy
import dataclasses
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from services.csm.checkpoint import Checkpoint
from services.csm.device.contract import DepthWeights, DeviceOptions, FrameDevice, PromptChunk, RowStart, Sampling
from services.csm.device.make import make_device
from services.csm.model.config import pages_for
from services.csm.request.prompt import NO_TEXT, Prompt

TIMED_FRAMES = 40
CONTEXT = 96
"""Positions of each row's prompt, as in transformers' run."""


def random_prompt(checkpoint: Checkpoint, positions: int, seed: int) -> Prompt:
    """A prompt of random frames."""
    config = checkpoint.config
    codes = np.random.default_rng(seed).integers(1, config.codebook_size, (positions, config.codebooks))
    return Prompt(np.full(positions, NO_TEXT), codes)


def fill(device: FrameDevice, checkpoint: Checkpoint, batch: int, pages: int, temperature: float = 0.9) -> None:
    """Makes `batch` rows ready to decode, with prompts of CONTEXT positions."""
    for row in range(batch):
        device.begin([RowStart(row, Sampling(temperature, 50, row), range(row * pages, (row + 1) * pages))])
    prompts = [random_prompt(checkpoint, CONTEXT, row) for row in range(batch)]
    for start in range(0, batch, 8):
        rows = range(start, min(start + 8, batch))
        device.prefill([PromptChunk(row, prompts[row], 0, CONTEXT - 1) for row in rows])


def time_frames(device: FrameDevice, batch: int) -> list[float]:
    """Seconds of each frame of `batch` rows, from launch to codes on the host, after a warm-up."""
    rows, times = np.arange(batch), []
    for _ in range(TIMED_FRAMES + 5):
        started = time.perf_counter()
        device.launch(rows)
        device.collect()
        times.append(time.perf_counter() - started)
    return times[5:]


def greedy_codes(checkpoint: Checkpoint, program: Any, batch: int, frames: int) -> np.ndarray:
    """Codes (frames, batch, Q) of the same prompts by one program."""
    pages = pages_for(CONTEXT + frames)
    device = make_device(checkpoint, DeviceOptions(batch, batch * pages, program))
    fill(device, checkpoint, batch, pages, temperature=0)
    codes = []
    for _ in range(frames):
        device.launch(np.arange(batch))
        codes.append(device.collect().copy())
    device.close()
    return np.stack(codes)


def logits_error(checkpoint: Checkpoint, batch: int, depth_weights: DepthWeights) -> float:
    """Largest relative error (in the 2-norm) of a codebook's logits against float32, given the same codes before it."""
    from services.csm.device.gpu.gpu_device import GpuDevice
    from services.csm.device.gpu.program import FrameProgram
    from services.csm.device.torch_device import TorchDevice
    from tests.support.checkpoints.csm import logits_of

    exact = dataclasses.replace(checkpoint, model=copy.deepcopy(checkpoint.model).float(), dtype=torch.float32)
    pages = pages_for(CONTEXT + 1)
    options = DeviceOptions(batch, batch * pages, depth_weights=depth_weights)
    fast, plain = GpuDevice(checkpoint.model, options), TorchDevice(exact.model, options)
    for device in (fast, plain):
        fill(device, checkpoint, batch, pages)
    seen: list[Tensor] = []
    usable, program = checkpoint.config.codebook_size, FrameProgram(fast._config, fast._weights, fast._state, batch)
    with torch.cuda.stream(fast._stream):
        fast._state.active.fill_(1)
        program.run(lambda codebook, logits: seen.append(logits[:, :usable].float().clone()))
    fast._stream.synchronize()
    logits, codes = torch.stack(seen), fast._state.codes[:batch].long().cpu().numpy()
    expected = logits_of(plain, codes)
    fast.close()
    return float(((logits - expected).norm(dim=(1, 2)) / expected.norm(dim=(1, 2))).max())
