"""Decodes the RVQ frames of many streams."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from services.mimi import metrics
from services.mimi.engine.batcher import Batcher, Job
from services.mimi.model.mimi import Mimi
from services.mimi.model.quantizer import NO_CODE
from services.mimi.model.slots import Slots
from services.mimi.watermark import SlotMarks, Watermark, WatermarkError


class DecodeBatcher(Batcher):
    """Turns codes (T, Q) into samples (T * 1920,).

    All sound that the service sends passes through `_run`, which adds the watermark if one is set.
    """

    def __init__(self, model: Mimi, slots: int, max_frames: int, watermark: Watermark | None) -> None:
        super().__init__("decode", model, model.decoder.new_state(slots, max_frames, model.device), slots)
        self._watermark, self._marks = watermark, SlotMarks(watermark)

    def record_graphs(self) -> None:
        from services.mimi.model.gpu.graphs import StepGraphs

        idle = torch.full((self.slots, 1, self._model.config.codebooks), NO_CODE, device=self._model.device)
        self._graphs = StepGraphs(lambda codes, slots: self._model.decoder.step(codes, self._state, slots), idle)

    def _reset(self, slot: int) -> None:
        super()._reset(slot)
        self._marks.reset(slot)

    def _run(self, jobs: list[Job], frames: int) -> Sequence[NDArray[Any] | Exception]:
        codebooks = self._model.config.codebooks if self._graphs else max(job.codebooks for job in jobs)
        batch = np.full((len(jobs), frames, codebooks), NO_CODE, np.int64)
        for row, job in enumerate(jobs):
            assert job.frames is not None
            batch[row, :, : job.codebooks] = job.frames[job.done : job.done + frames]
        samples = self._decode(jobs, batch)
        return list(samples) if self._watermark is None else self._mark(jobs, samples)

    def _decode(self, jobs: list[Job], codes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Codes (B, T, Q) -> samples (B, T * 1920)."""
        slots, device = [job.slot for job in jobs], self._model.device
        if self._graphs and codes.shape[1] == 1:
            return self._graphs(slots, codes)
        step = self._model.decoder.step
        return step(torch.from_numpy(codes).to(device), self._state, Slots(slots, device)).cpu().numpy()

    def _mark(self, jobs: list[Job], samples: NDArray[np.float32]) -> list[NDArray[Any] | Exception]:
        """Adds the watermark to samples (B, T * 1920); a row whose mark fails is replaced by the error."""
        started = time.perf_counter()
        outputs: list[NDArray[Any] | Exception] = []
        for job, row in zip(jobs, samples, strict=True):
            try:
                outputs.append(self._marks.mark(job.slot, row))
            except WatermarkError as error:
                metrics.WATERMARK_FAILURES.inc()
                outputs.append(error)
        metrics.WATERMARK_SECONDS.observe(time.perf_counter() - started)
        return outputs

    def _empty_output(self, job: Job) -> NDArray[Any]:
        return np.zeros(0, np.float32)
