"""A CSM engine as the tests use it."""

from __future__ import annotations

from typing import Any

import numpy as np

from services.csm.checkpoint import Checkpoint
from services.csm.device.contract import Sampling
from services.csm.engine.engine import CsmEngine, EngineOptions
from services.csm.engine.stream import FrameStream
from services.csm.request.prompt import Segment
from services.csm.request.request import GenerateRequest, GenerationEnd
from tests.support.checkpoints.csm import frames_alone
from tests.support.csm_prompt import build_prompt

HELLO = GenerateRequest("Hello you.", seed=1, lead_s=0)


def make(checkpoint: Checkpoint, **options: Any) -> CsmEngine:
    return CsmEngine(checkpoint, EngineOptions(**options))


def close(engine: CsmEngine) -> None:
    """Closes an engine that has nothing to do, and that must hold nothing."""
    held = (engine.slots_used, engine.pages_used, engine.queued)
    engine.close()
    assert held == (0, 0, 0)


async def speak(engine: CsmEngine, request: GenerateRequest) -> tuple[np.ndarray, GenerationEnd]:
    """All frames (T, Q) of a request, and how it ended."""
    async with engine.generate(request) as stream:
        frames = [codes async for codes in stream]
    assert stream.end is not None
    return np.concatenate([np.empty((0, engine.config.codebooks), np.int64), *frames]), stream.end


async def take(stream: FrameStream, frames: int) -> np.ndarray:
    """The next `frames` frames of a stream, (T, Q)."""
    return np.concatenate([await anext(stream) for _ in range(frames)])


def clip(frames: int, seed: int = 0, *, reference: bool = False) -> Segment:
    """A segment of random frames."""
    codes = np.random.default_rng(seed).integers(1, 512, (frames, 8))
    return Segment(0, "Before.", codes, reference)


def alone(checkpoint: Checkpoint, request: GenerateRequest, frames: int) -> np.ndarray:
    """The frames that a request's seed gives without an engine."""
    config = checkpoint.config
    prompt = build_prompt(
        checkpoint.tokenizer, config.codebooks, text=request.text, speaker=request.speaker, context=request.context
    )
    assert request.seed is not None
    sampling = Sampling(
        0.9 if request.temperature is None else request.temperature,
        request.top_k or min(50, config.codebook_size),
        request.seed,
    )
    return frames_alone(checkpoint, prompt, sampling, frames)
