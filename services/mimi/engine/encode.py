"""Encodes the sound of many streams."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from services.mimi.engine.batcher import Batcher, Job
from services.mimi.model.mimi import Mimi
from services.mimi.model.slots import Slots


class EncodeBatcher(Batcher):
    """Turns samples (T, 1920) into codes (T, Q)."""

    def __init__(self, model: Mimi, slots: int, max_frames: int) -> None:
        super().__init__("encode", model, model.encoder.new_state(slots, max_frames, model.device), slots)

    def record_graphs(self) -> None:
        from services.mimi.model.gpu.graphs import StepGraphs

        config, step = self._model.config, self._model.encoder.step
        silence = torch.zeros(self.slots, config.frame_samples, device=self._model.device)
        self._graphs = StepGraphs(lambda samples, slots: step(samples, self._state, slots, config.codebooks), silence)

    def _run(self, jobs: list[Job], frames: int) -> list[NDArray[Any]]:
        rows = [job.frames[job.done : job.done + frames].reshape(-1) for job in jobs if job.frames is not None]
        samples, slots = np.stack(rows), [job.slot for job in jobs]
        if self._graphs and frames == 1:
            codes = self._graphs(slots, samples)
        else:
            device, codebooks = self._model.device, max(job.codebooks for job in jobs)
            found = self._model.encoder.step(
                torch.from_numpy(samples).to(device), self._state, Slots(slots, device), codebooks
            )
            codes = found.cpu().numpy()
        return [row[:, : job.codebooks] for row, job in zip(codes, jobs, strict=True)]

    def _empty_output(self, job: Job) -> NDArray[Any]:
        return np.zeros((0, job.codebooks), np.int64)
