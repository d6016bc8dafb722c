"""The engine's two directions: decoding and encoding."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from services.mimi import metrics
from services.mimi.engine.batcher import Job, Lane
from services.mimi.model.mimi import Mimi
from services.mimi.model.quantizer import NO_CODE
from services.mimi.model.slots import Slots
from services.mimi.watermark import SlotMarks, Watermark, WatermarkError


class DecodeLane(Lane):
    """Codes (T, Q) in, sound (T * 1920,) out.

    Everything that leaves the service as sound leaves through `_run`, where the watermark, if any, is put into it.
    """

    def __init__(self, model: Mimi, slots: int, frames: int, watermark: Watermark | None) -> None:
        state = model.decoder.new_state(slots, frames, model.device)
        super().__init__("decode", model, state, slots)
        self._decoder_state = state
        self._watermark, self._marks = watermark, SlotMarks(watermark)

    def record(self) -> None:
        from services.mimi.model.gpu.graphs import StepGraphs

        idle = torch.full((self.slots, 1, self._model.config.codebooks), NO_CODE, device=self._model.device)
        self._graphs = StepGraphs(
            lambda codes, slots: self._model.decoder.step(codes, self._decoder_state, slots), idle
        )

    def _reset(self, slot: int) -> None:
        super()._reset(slot)
        self._marks.reset(slot)

    def _run(self, jobs: list[Job], frames: int) -> Sequence[NDArray[Any] | Exception]:
        codebooks = self._model.config.codebooks if self._graphs else max(job.codebooks for job in jobs)
        batch = np.full((len(jobs), frames, codebooks), NO_CODE, np.int64)
        for row, job in enumerate(jobs):
            assert job.frames is not None
            batch[row, :, : job.codebooks] = job.frames[job.done : job.done + frames]
        sound = self._step(jobs, batch)
        return list(sound) if self._watermark is None else self._mark(jobs, sound)

    def _step(self, jobs: list[Job], codes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Codes (B, T, Q) -> sound (B, T * 1920)."""
        numbers, device = [job.slot for job in jobs], self._model.device
        if self._graphs and codes.shape[1] == 1:
            return self._graphs(numbers, codes)
        step = self._model.decoder.step
        return step(torch.from_numpy(codes).to(device), self._decoder_state, Slots(numbers, device)).cpu().numpy()

    def _mark(self, jobs: list[Job], sound: NDArray[np.float32]) -> list[NDArray[Any] | Exception]:
        """Sound (B, samples) with the watermark in it, or why a stream's has none and is withheld."""
        started = time.perf_counter()
        outputs: list[NDArray[Any] | Exception] = []
        for job, samples in zip(jobs, sound, strict=True):
            try:
                outputs.append(self._marks.mark(job.slot, samples))
            except WatermarkError as error:
                metrics.WATERMARK_FAILURES.inc()
                outputs.append(error)
        metrics.WATERMARK_SECONDS.observe(time.perf_counter() - started)
        return outputs

    def _nothing(self, job: Job) -> NDArray[Any]:
        return np.zeros(0, np.float32)


class EncodeLane(Lane):
    """Sound (T, 1920) in, codes (T, Q) out."""

    def __init__(self, model: Mimi, slots: int, frames: int) -> None:
        state = model.encoder.new_state(slots, frames, model.device)
        super().__init__("encode", model, state, slots)
        self._encoder_state = state

    def record(self) -> None:
        from services.mimi.model.gpu.graphs import StepGraphs

        config, step = self._model.config, self._model.encoder.step
        silence = torch.zeros(self.slots, config.frame_samples, device=self._model.device)
        self._graphs = StepGraphs(
            lambda samples, slots: step(samples, self._encoder_state, slots, config.codebooks), silence
        )

    def _run(self, jobs: list[Job], frames: int) -> list[NDArray[Any]]:
        pieces = [job.frames[job.done : job.done + frames].reshape(-1) for job in jobs if job.frames is not None]
        samples, numbers = np.stack(pieces), [job.slot for job in jobs]
        if self._graphs and frames == 1:
            codes = self._graphs(numbers, samples)
        else:
            device, codebooks = self._model.device, max(job.codebooks for job in jobs)
            found = self._model.encoder.step(
                torch.from_numpy(samples).to(device), self._encoder_state, Slots(numbers, device), codebooks
            )
            codes = found.cpu().numpy()
        return [row[:, : job.codebooks] for row, job in zip(codes, jobs, strict=True)]

    def _nothing(self, job: Job) -> NDArray[Any]:
        return np.zeros((0, job.codebooks), np.int64)
