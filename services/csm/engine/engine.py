"""The CSM engine: admits requests to slots and makes their frames on its own thread.

    checkpoint = load_checkpoint("sesame/csm-1b")
    engine = CsmEngine(checkpoint)
    async with engine.generate(GenerateRequest("Hello there.")) as frames:
        async for codes in frames:      # (1, Q)
            ...
    engine.close()

A request joins at the next frame and leaves at its end frame.  Prompts of new requests are run in chunks between the
frames of the others.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Literal

import structlog

from oviya.errors import NotReady, OviyaError
from oviya.model.engine_thread import EngineThread
from services.csm import metrics
from services.csm.checkpoint import Checkpoint
from services.csm.device.contract import DepthWeights, DeviceOptions, FrameDevice, Sampling
from services.csm.device.make import choose_pages, make_device
from services.csm.engine.batch import Batch, Item, Output
from services.csm.engine.prefill_budget import PrefillBudget
from services.csm.engine.scheduler import Scheduler
from services.csm.engine.sequence import Sequence
from services.csm.engine.stream import FrameStream, LoopSink, Sink
from services.csm.model.config import FRAME_S
from services.csm.request.limits import Limits, check_request, check_sampling
from services.csm.request.pieces import PiecePlanner
from services.csm.request.request import GenerateRequest, GenerationEnd

log = structlog.get_logger()

CPU_PREFILL_CHUNK, GPU_PREFILL_CHUNK = 256, 4096
"""Most positions of prompts between two frames: about 30 ms of a CPU core for a small checkpoint; 8 TFLOP for CSM-1B, a
quarter of a frame on a GPU.  If frames take long, a GPU gets fewer (see `PrefillBudget`)."""

MAX_INLINE_CHARS = 1024
"""Characters of a request and its context that are prepared on the event loop, in a few milliseconds.  With hundreds of
requests a thread for each costs more: it competes with the engine's thread for the interpreter."""

_WARM_UP_TEXT = "Ready when you are."


@dataclass(frozen=True)
class EngineOptions:
    """How an engine works.

    Attributes:
        slots: requests that run at once.
        lead_s: how far ahead of real time frames are made if a request does not say, in seconds.
        temperature, top_k: how codes are drawn if a request does not say.
        prefill_chunk: most positions of prompts that are run between two frames; 0: a default for the device.
        kv_mib: memory for keys and values, in MiB; 0: a default for the device.
        queue_s: how long a request waits for a slot before it is refused; 0 refuses at once.
        queue_length: requests that may wait.
        silence_s: silence after which an answer is stopped; 0: never.
        program, depth_weights: see `DeviceOptions`.
        limits: what a request may ask for.
    """

    slots: int = 4
    lead_s: float = 1.5
    temperature: float = 0.9
    top_k: int = 50
    prefill_chunk: int = 0
    kv_mib: int = 0
    queue_s: float = 0.0
    queue_length: int = 64
    silence_s: float = 4.0
    program: Literal["auto", "torch"] = "auto"
    depth_weights: DepthWeights = "auto"
    limits: Limits = field(default_factory=Limits)


class CsmEngine:
    """Owns a checkpoint and the thread that runs it.  Thread-safe.

    Args:
        device: makes the frames, with as many rows as `options` has slots; None makes one for the checkpoint.
        on_lost: called on the engine's thread if the device is lost or the engine fails.  The engine is closed then,
            and only a new process can make another.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        options: EngineOptions | None = None,
        *,
        device: FrameDevice | None = None,
        on_lost: Callable[[], object] = lambda: None,
    ) -> None:
        self.checkpoint, self.options = checkpoint, options or EngineOptions()
        self.config = checkpoint.config
        options = self.options
        if device is None:
            pages = choose_pages(checkpoint, options.slots, options.kv_mib)
            device = make_device(
                checkpoint, DeviceOptions(options.slots, pages, options.program, options.depth_weights)
            )
        self._device = device
        on_cpu = checkpoint.device.type == "cpu"
        self._prefill_budget = PrefillBudget(
            options.prefill_chunk or (CPU_PREFILL_CHUNK if on_cpu else GPU_PREFILL_CHUNK)
        )
        self.prefill_budget = 0
        """Positions of prompts that might be run before the latest frame."""
        self._prefilled_positions = 0  # since the last frame
        self._busy_since = 0.0  # when the last frame came, or when work came after a pause
        self._scheduler = Scheduler(
            options.slots,
            device.pages,
            self.config.codebooks,
            self.config.max_positions,
            silence_frames=round(options.silence_s / FRAME_S),
            queue_s=options.queue_s,
            queue_length=options.queue_length,
        )
        self._streams: dict[Sequence, FrameStream] = {}  # whose end is still to be delivered
        self._thread = EngineThread(
            "CSM",
            work=self._run,
            fail_pending=self._fail_streams,
            device_works=device.works,
            device_failures=metrics.DEVICE_FAILURES,
            on_lost=on_lost,
        )
        self._wake = self._thread.wake  # guards the scheduler
        self._thread.start()

    @property
    def slots_used(self) -> int:
        """Slots in use."""
        with self._wake:
            return self._scheduler.used

    @property
    def queued(self) -> int:
        """Requests that wait for a slot."""
        with self._wake:
            return self._scheduler.queued

    @property
    def pages(self) -> int:
        """Pages of keys and values."""
        return self._scheduler.pool.pages

    @property
    def pages_used(self) -> int:
        """Pages that running requests hold."""
        with self._wake:
            return self._scheduler.pool.used

    def generate(self, request: GenerateRequest, sink: Sink | None = None) -> FrameStream:
        """Starts a request; its frames come through the stream.

        Args:
            sink: receives the frames instead of the stream's own queue, which needs a running event loop.

        Raises:
            InvalidInput: the request cannot be spoken; names field, value and limit.
            Busy: every slot is taken, and there is no queue or it is full.
            NotReady: the engine is closed.
        """
        return self._add(self._prepare(request, sink or LoopSink(asyncio.get_running_loop())))

    async def submit(self, request: GenerateRequest) -> FrameStream:
        """Like `generate`, but prepares a long text on another thread so that it does not block the event loop.

        Raises:
            InvalidInput, Busy, NotReady: as `generate` does.
        """
        if len(request.text) + sum(len(segment.text) for segment in request.context) <= MAX_INLINE_CHARS:
            return self.generate(request)
        sink = LoopSink(asyncio.get_running_loop())
        return self._add(await asyncio.to_thread(self._prepare, request, sink))

    async def warm_up(self) -> None:
        """Makes two frames, so that the first caller does not wait for one-time work."""
        async with self.generate(GenerateRequest(_WARM_UP_TEXT, max_frames=2, lead_s=0)) as frames:
            async for _ in frames:
                pass

    def close(self) -> None:
        """Ends every request with NotReady, and the thread."""
        self._thread.close()

    def _prepare(self, request: GenerateRequest, sink: Sink) -> FrameStream:
        """Checks a request and builds its first prompt."""
        options, limits, card = self.options, self.options.limits, self.checkpoint.card
        check_request(request, self.config, limits, scripts=card.scripts, styles=card.styles)
        sampling = Sampling(
            temperature=options.temperature if request.temperature is None else request.temperature,
            top_k=min(options.top_k, self.config.codebook_size) if request.top_k is None else request.top_k,
            seed=secrets.randbits(64) if request.seed is None else request.seed,
        )
        check_sampling(sampling.temperature, sampling.top_k, sampling.seed, self.config.codebook_size)
        if request.reference_clip:
            clip = self.checkpoint.voices.clip(request.reference_clip, request.speaker)
            request = replace(request, context=(clip, *request.context))
        planner = PiecePlanner(request, self.checkpoint.tokenizer, self.config, limits)
        piece = planner.next_piece()
        assert piece is not None, "a text that passed its checks has a piece"
        lead_s = options.lead_s if request.lead_s is None else request.lead_s
        return FrameStream(Sequence(planner, piece, sampling, lead_s), sink, self._abort)

    def _add(self, stream: FrameStream) -> FrameStream:
        with self._wake:
            self._thread.check_open()
            self._scheduler.add(stream.sequence)
            self._streams[stream.sequence] = stream
            self._wake.notify()
        return stream

    def _abort(self, sequence: Sequence) -> None:
        with self._wake:
            self._streams.pop(sequence, None)
            self._scheduler.abort(sequence)
            self._wake.notify()

    # The methods below run on the engine's thread.

    def _run(self) -> None:
        batch: Batch | None = None
        while batch is not None or self._wait_for_work():
            outputs: Iterable[Output] = ()
            try:
                if batch is not None:
                    outputs = self._update(batch)
                batch = None
                if self._thread.closed is not None:
                    break
                self._prefill()
                batch = self._execute()
            except Exception as error:
                batch = None
                self._thread.device_failed(error)
                with self._wake:
                    failed = self._scheduler.fail_running(OviyaError("the CSM engine could not make the next frame"))
                outputs = [*outputs, *failed]
            self._deliver(outputs)  # while the device works
        with self._wake:
            assert self._thread.closed is not None, "the loop ends once the engine is closed"
            failed = self._scheduler.fail_all(self._thread.closed)
        self._deliver(failed)
        if not self._thread.lost:
            self._device.close()

    def _fail_streams(self, failure: NotReady) -> None:
        """Fails every request without the scheduler, whose state is unknown after an unexpected failure."""
        with self._wake:
            sequences = list(self._streams)
        self._deliver((sequence, failure) for sequence in sequences)

    def _wait_for_work(self) -> bool:
        """Returns once there is something to run; False if the engine is closed."""
        with self._wake:
            while self._thread.closed is None:
                now = time.monotonic()
                expired = self._scheduler.expire(now)
                self._deliver(expired)
                wait_s = self._scheduler.wake_at() - now
                if self._scheduler.has_prefills or wait_s <= 0:
                    self._busy_since = now
                    return True
                self._wake.wait(min(wait_s, threading.TIMEOUT_MAX))
            return False

    def _prefill(self) -> None:
        """Runs the next positions of prompts."""
        with self._wake:
            self.prefill_budget = self._prefill_budget.positions(decoding=self._scheduler.is_decoding)
            starts, chunks, scheduled = self._scheduler.schedule_prefill(self.prefill_budget)
        metrics.PREFILL_BUDGET.set(self.prefill_budget)
        if starts:
            self._device.begin(starts)
        if chunks:
            self._device.prefill(chunks)
            self._prefilled_positions += sum(chunk.stop - chunk.start for chunk in chunks)
            with self._wake:
                self._scheduler.update_prefill(scheduled, time.monotonic())

    def _execute(self) -> Batch | None:
        """Launches the next frame of every row that is due."""
        with self._wake:
            batch = self._scheduler.schedule(time.monotonic())
        if batch is not None:
            self._device.launch(batch.rows)
        return batch

    def _update(self, batch: Batch) -> Iterable[Output]:
        """Waits for a batch and updates the scheduler; the output is delivered later."""
        codes = self._device.collect()
        now = time.monotonic()
        if (prefill_s := self._device.prefill_s) is not None:
            self._prefill_budget.update(now - self._busy_since, self._prefilled_positions, prefill_s)
        self._prefilled_positions, self._busy_since = 0, now
        with self._wake:
            output = self._scheduler.update(batch, codes, now)
            # Batches may follow each other without a pause; queued requests must expire all the same.
            expired = self._scheduler.expire(now)
        return chain(output.items(), expired)

    def _deliver(self, outputs: Iterable[Output]) -> None:
        """Passes each sink the items of its streams in one call.  A sink that raises does not affect the others."""
        by_sink: dict[Sink, list[tuple[FrameStream, Item]]] = {}
        for sequence, item in outputs:
            stream = self._streams.get(sequence)
            if stream is None:  # closed by its caller
                continue
            by_sink.setdefault(stream.sink, []).append((stream, item))
            if isinstance(item, GenerationEnd | Exception):
                self._streams.pop(sequence, None)
        for sink, items in by_sink.items():
            try:
                sink.put(items)
            except Exception:
                metrics.SINK_FAILURES.inc()
                log.exception("a sink of the CSM engine failed")
