"""The Mimi engine: a thread that steps all streams with pending input in one batch.

with MimiEngine(random_checkpoint(torch.device("cpu"))) as engine, engine.open_decoder(codebooks=8) as stream:
    samples = stream.decode(codes).result()
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray

from oviya.errors import NotReady
from oviya.model.device import still_works
from oviya.model.engine_thread import EngineThread
from services.mimi import metrics
from services.mimi.engine.batcher import Batcher, Job
from services.mimi.engine.capacity import STEP_FRAMES, Capacity
from services.mimi.engine.decode import DecodeBatcher
from services.mimi.engine.encode import EncodeBatcher
from services.mimi.engine.stream import DecodeStream, EncodeStream, check_codebooks

if TYPE_CHECKING:
    from services.mimi.checkpoint import Checkpoint
    from services.mimi.watermark import Watermark


class MimiEngine:
    """Runs a checkpoint for many streams.  Its methods may be called from any thread.

    Args:
        checkpoint: what to run.
        decode_streams, encode_streams: most streams at once in each direction.
        threads: CPU threads of a step.
        watermark: what marks the decoded sound; None leaves it unmarked.
        program: "auto" records CUDA graphs on a GPU, which takes some seconds; "torch" uses torch's operations.
        on_lost: called on the engine's thread when the device is lost or the engine has failed.  The engine is closed
            by then, and only a new process can make another.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        decode_streams: int = 8,
        encode_streams: int = 4,
        threads: int = 1,
        watermark: Watermark | None = None,
        program: Literal["auto", "torch"] = "auto",
        on_lost: Callable[[], object] = lambda: None,
    ) -> None:
        self.checkpoint = checkpoint
        self.watermark = watermark
        if watermark is not None:
            metrics.WATERMARK.labels(watermark.name).set(1)
        self.config = checkpoint.model.config
        self.capacity = Capacity(decode_streams, encode_streams)
        self._decode = DecodeBatcher(checkpoint.model, decode_streams, STEP_FRAMES, watermark)
        self._encode = EncodeBatcher(checkpoint.model, encode_streams, STEP_FRAMES)
        self._batchers: tuple[Batcher, ...] = (self._decode, self._encode)
        if program == "auto" and checkpoint.model.device.type == "cuda":
            checkpoint.model.use_kernels()
            for batcher in self._batchers:
                batcher.record_graphs()
        self._finished: list[Job] = []  # jobs that are not delivered yet; used on the engine's thread
        self._thread = EngineThread(
            "Mimi",
            work=partial(self._work, threads),
            fail_pending=self._fail_pending,
            device_works=lambda: still_works(checkpoint.model.device),
            device_failures=metrics.DEVICE_FAILURES,
            on_lost=on_lost,
        )
        self._wake = self._thread.wake  # guards the batchers' bookkeeping
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open_decoder(self, codebooks: int | None = None) -> DecodeStream:
        """Opens a stream for one utterance.

        Args:
            codebooks: Q of its frames; None takes that of the first ones.

        Raises:
            Busy: every slot is taken.
            InvalidInput: the checkpoint has fewer codebooks.
        """
        if codebooks is not None:
            check_codebooks(codebooks, self.config)
        batcher = self._decode
        slot, submit, release = self._admit(batcher), partial(self._submit, batcher), partial(self._release, batcher)
        return DecodeStream(slot, self.config, submit, release, codebooks)

    def open_encoder(self, sample_rate_hz: int, codebooks: int | None = None) -> EncodeStream:
        """Opens a stream for one utterance.

        Args:
            sample_rate_hz: of its sound, which is resampled to the checkpoint's rate.
            codebooks: how many to encode; None: all.

        Raises:
            Busy: every slot is taken.
            InvalidInput: the checkpoint has fewer codebooks.
        """
        count = self.config.codebooks if codebooks is None else codebooks
        check_codebooks(count, self.config)
        batcher = self._encode
        slot, submit, release = self._admit(batcher), partial(self._submit, batcher), partial(self._release, batcher)
        return EncodeStream(slot, self.config, submit, release, sample_rate_hz, count)

    def warm_up(self) -> None:
        """Runs both directions at both lengths of a step, so that the first caller does not wait for compilation."""
        with self.open_decoder() as decoder, self.open_encoder(self.config.sample_rate_hz) as encoder:
            for frames in (1, STEP_FRAMES):
                decoder.decode(np.zeros((frames, self.config.codebooks), np.int64)).result()
                encoder.encode(np.zeros(frames * self.config.frame_samples, np.float32)).result()

    def close(self) -> None:
        """Ends the engine's thread; pending jobs are cancelled."""
        self._thread.close()

    def _admit(self, batcher: Batcher) -> int:
        with self._wake:
            return batcher.admit()

    def _submit(self, batcher: Batcher, job: Job) -> Future[NDArray[Any]]:
        with self._wake:
            self._thread.check_open()
            batcher.submit(job)
            self._wake.notify()
        return job.future

    def _release(self, batcher: Batcher, slot: int) -> None:
        with self._wake:
            batcher.release(slot)

    def _work(self, threads: int) -> None:
        torch.set_num_threads(threads)  # OpenMP keeps this for each calling thread
        if (device := self.checkpoint.model.device).index is not None and device.type == "cuda":
            torch.cuda.set_device(device)  # Triton launches on a thread's current device, by default the first one
        thread = self._thread
        while True:
            with self._wake:
                self._wake.wait_for(lambda: thread.closed is not None or any(each.ready for each in self._batchers))
                if thread.closed is not None:
                    for batcher in self._batchers:
                        batcher.end_all(thread.closed if thread.lost else None)
                    return
                jobs = [batcher.start_step() for batcher in self._batchers]
            # A long step of one direction would delay the other, so steps are short while both have jobs.
            max_frames = 1 if all(jobs) else STEP_FRAMES
            for batcher, batch in zip(self._batchers, jobs, strict=True):
                if batch:
                    batcher.step(batch, max_frames)
            with self._wake:
                for batcher in self._batchers:
                    self._finished += batcher.finish_step()
            while self._finished:
                self._finished[0].deliver()
                self._finished.pop(0)
            for batcher in self._batchers:
                if not thread.lost and (failure := batcher.pop_failure()) is not None:
                    thread.device_failed(failure, direction=batcher.direction)

    def _fail_pending(self, error: NotReady) -> None:
        """Fails every job, after an exception on the engine's thread."""
        with self._wake:
            for job in self._finished:
                job.fail(error)
            for batcher in self._batchers:
                batcher.end_all(error)
