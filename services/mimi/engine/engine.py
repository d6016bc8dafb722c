"""Many streams through one Mimi: a worker thread steps, in one batch, whatever streams have something ready.

with MimiEngine(random_checkpoint(torch.device("cpu"))) as engine, engine.open_decoder(codebooks=8) as stream:
    sound = stream.decode(codes).result()
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import structlog
import torch
from numpy.typing import NDArray

from oviya.audio.pcm import Pcm
from oviya.audio.resample import Resampler
from oviya.errors import InvalidInput, NotReady
from oviya.mesh.background import guarded_thread
from oviya.mesh.tracebacks import describe_type
from oviya.model.device import still_works
from services.mimi import metrics
from services.mimi.engine.batcher import Job, Lane
from services.mimi.engine.capacity import STEP_FRAMES, Capacity
from services.mimi.engine.directions import DecodeLane, EncodeLane

if TYPE_CHECKING:
    from services.mimi.checkpoint import Checkpoint
    from services.mimi.watermark import Watermark

log = structlog.get_logger()

Codes = NDArray[np.int64]


class MimiEngine:
    """Runs a checkpoint for many streams.

    Args:
        checkpoint: what to run.
        decode_streams, encode_streams: how many of each at once; a further one is refused.
        threads: CPU threads of a step.
        watermark: what marks the decoded sound; None leaves it as it is.
        program: "auto" records CUDA graphs on a GPU, which takes some seconds; "torch" is plain anywhere.
        on_lost: called, on the engine's thread, where the device is lost for good or the engine has failed: the engine
            is closed then, and only a new process can make another.
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
        self._decode = DecodeLane(checkpoint.model, decode_streams, STEP_FRAMES, watermark)
        self._encode = EncodeLane(checkpoint.model, encode_streams, STEP_FRAMES)
        self._lanes: tuple[Lane, ...] = (self._decode, self._encode)
        if program == "auto" and checkpoint.model.device.type == "cuda":
            checkpoint.model.use_kernels()
            for lane in self._lanes:
                lane.record()
        self._on_lost = on_lost
        self._closed: NotReady | None = None  # why, once it is
        self._wake = threading.Condition()  # guards what is above it
        self._over: list[Job] = []  # jobs that left their queues and are not delivered yet; the worker's
        work = guarded_thread("mimi engine", partial(self._work, threads), self._give_up)
        self._worker = threading.Thread(target=work, name="mimi-worker", daemon=True)
        self._worker.start()

    def __enter__(self) -> MimiEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def streams_used(self) -> tuple[int, int]:
        """Open streams: decoding, encoding."""
        with self._wake:
            return self._decode.used, self._encode.used

    def open_decoder(self, codebooks: int | None = None) -> DecodeStream:
        """Starts an utterance.

        Args:
            codebooks: Q of its frames; None takes that of the first ones.

        Raises:
            Busy: every slot is taken.
            InvalidInput: the checkpoint has fewer codebooks.
        """
        if codebooks is not None:
            self._check_codebooks(codebooks)
        return DecodeStream(self, self._decode, self._admit(self._decode), codebooks)

    def open_encoder(self, sample_rate_hz: int, codebooks: int | None = None) -> EncodeStream:
        """Starts an utterance.

        Args:
            sample_rate_hz: of its sound; resampled where it is not the checkpoint's.
            codebooks: how many to write; None: all.

        Raises:
            Busy: every slot is taken.
            InvalidInput: the checkpoint has fewer codebooks.
        """
        count = self.config.codebooks if codebooks is None else codebooks
        self._check_codebooks(count)
        return EncodeStream(self, self._encode, self._admit(self._encode), sample_rate_hz, count)

    def warm_up(self) -> None:
        """Runs both directions once, at both lengths of a step, so that the first caller does not wait for that."""
        with self.open_decoder() as decoder, self.open_encoder(self.config.sample_rate_hz) as encoder:
            for frames in (1, STEP_FRAMES):
                decoder.decode(np.zeros((frames, self.config.codebooks), np.int64)).result()
                encoder.encode(np.zeros(frames * self.config.frame_samples, np.float32)).result()

    def close(self) -> None:
        """Ends the worker; what still waits fails."""
        with self._wake:
            self._closed = self._closed or NotReady("the Mimi engine is closed")
            self._wake.notify()
        self._worker.join()

    def _check_codebooks(self, count: int) -> None:
        if not 1 <= count <= self.config.codebooks:
            raise InvalidInput("codebooks", count, f"must be 1 to {self.config.codebooks} with this checkpoint")

    def _admit(self, lane: Lane) -> int:
        with self._wake:
            return lane.admit()

    def _submit(self, lane: Lane, job: Job) -> Future[NDArray[Any]]:
        with self._wake:
            if self._closed is not None:
                raise self._closed
            lane.submit(job)
            self._wake.notify()
        return job.future

    def _leave(self, lane: Lane, slot: int) -> None:
        with self._wake:
            lane.leave(slot)

    def _work(self, threads: int) -> None:
        torch.set_num_threads(threads)  # OpenMP keeps this for each calling thread
        if (device := self.checkpoint.model.device).index is not None and device.type == "cuda":
            torch.cuda.set_device(device)  # Triton launches on a thread's current device, which is the first one
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._closed is not None or any(lane.ready for lane in self._lanes))
                if self._closed is not None:
                    for lane in self._lanes:
                        lane.abandon()
                    return
                jobs = [lane.take() for lane in self._lanes]
            # A long step of one direction would make the other wait, so it is short while both have work.
            most = 1 if all(jobs) else STEP_FRAMES
            for lane, batch in zip(self._lanes, jobs, strict=True):
                if batch:
                    lane.step(batch, most)
            with self._wake:
                for lane in self._lanes:
                    self._over += lane.put_back()
            while self._over:
                self._over[0].deliver()
                self._over.pop(0)
            if not all(self._survives(lane) for lane in self._lanes):
                self._on_lost()
                return

    def _give_up(self, error: BaseException) -> None:
        """Ends all that waits with NotReady after a failure that nobody foresaw."""
        with self._wake:
            self._closed = self._closed or NotReady("the Mimi engine has failed and is started again")
            for job in self._over:
                job.fail(self._closed)
            for lane in self._lanes:
                lane.abandon(self._closed)
        self._on_lost()

    def _survives(self, lane: Lane) -> bool:
        """Counts what failed in a step; False, and the engine is closed, where the device is lost."""
        failure = lane.take_failure()
        if failure is None:
            return True
        if still_works(self.checkpoint.model.device):
            metrics.DEVICE_FAILURES.labels("passing").inc()
            log.error("a step of the Mimi engine failed", direction=lane.direction, exc_info=failure)
            return True
        metrics.DEVICE_FAILURES.labels("lost").inc()
        log.error(
            "the device of the Mimi engine is lost, only a new process gets it back", reason=describe_type(failure)
        )
        with self._wake:
            self._closed = NotReady("the Mimi engine has lost its device")
            for each in self._lanes:
                each.abandon(self._closed)
        return False


class _Stream:
    """One utterance; it owns a slot until it is closed.  Close it after a failure: it has lost its place."""

    def __init__(self, engine: MimiEngine, lane: Lane, slot: int) -> None:
        self._engine, self._lane, self._slot = engine, lane, slot
        self._open = True

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the slot back; what still waits is cancelled."""
        if self._open:
            self._open = False
            self._engine._leave(self._lane, self._slot)

    def _submit(self, job: Job) -> Future[NDArray[Any]]:
        if not self._open:
            raise NotReady("the stream is closed")
        return self._engine._submit(self._lane, job)


class DecodeStream(_Stream):
    """RVQ frames to sound."""

    def __init__(self, engine: MimiEngine, lane: Lane, slot: int, codebooks: int | None) -> None:
        super().__init__(engine, lane, slot)
        self.codebooks = codebooks

    def decode(self, codes: Codes) -> Future[Pcm]:
        """The next frames, codes (T, Q), T at least 1 -> their sound, (T * 1920,) at the checkpoint's rate.

        Raises:
            InvalidInput: no frames, another codebook count than before, or a code out of range.
        """
        if codes.ndim != 2 or len(codes) == 0:
            raise InvalidInput("codes", codes.shape, "must be of shape (T, Q) with at least one frame")
        if self.codebooks is None:
            self._engine._check_codebooks(codes.shape[1])
            self.codebooks = codes.shape[1]
        if codes.shape[1] != self.codebooks:
            raise InvalidInput("codebooks", codes.shape[1], f"must be {self.codebooks}, as in the first frames")
        size = self._engine.config.codebook_size
        if codes.min() < 0 or codes.max() >= size:  # on a GPU a wild index would end the process
            wild = codes[(codes < 0) | (codes >= size)][0]
            raise InvalidInput("codes", wild, f"must be 0 to {size - 1}")
        return self._submit(Job(self._slot, lambda: codes, self.codebooks))


class EncodeStream(_Stream):
    """Sound to RVQ frames."""

    def __init__(self, engine: MimiEngine, lane: Lane, slot: int, sample_rate_hz: int, codebooks: int) -> None:
        super().__init__(engine, lane, slot)
        self.codebooks = codebooks
        self._resampler = Resampler(sample_rate_hz, engine.config.sample_rate_hz)
        self._rest = np.zeros(0, np.float32)  # samples short of a frame; the worker's

    def encode(self, samples: Pcm) -> Future[Codes]:
        """The next samples, (samples,) at the stream's rate -> the frames that they complete, (T, Q), T 0 or more.

        Raises:
            InvalidInput: a sample is NaN or infinite.
        """
        if not np.isfinite(samples).all():
            raise InvalidInput("samples", samples[~np.isfinite(samples)][0], "samples must be finite numbers")
        return self._submit(Job(self._slot, lambda: self._frames(self._resampler.push(samples), False), self.codebooks))

    def finish(self) -> Future[Codes]:
        """Ends the sound, padded with silence to a whole frame -> the last frames, (T, Q), T 0 or more."""
        return self._submit(Job(self._slot, lambda: self._frames(self._resampler.flush(), True), self.codebooks))

    def _frames(self, samples: Pcm, last: bool) -> NDArray[np.float32]:
        """Whole frames (T, 1920) of what has come; on the worker, because resampling takes time."""
        size = self._engine.config.frame_samples
        samples = np.concatenate((self._rest, samples))
        if last:
            samples = np.pad(samples, (0, -len(samples) % size))
        whole = len(samples) - len(samples) % size
        self._rest = samples[whole:]
        return samples[:whole].reshape(-1, size)
