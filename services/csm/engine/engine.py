"""The CSM engine: admits requests to slots and makes their frames on a thread of its own.

    checkpoint = load_checkpoint("sesame/csm-1b")
    engine = CsmEngine(checkpoint)
    async with engine.generate(GenerateRequest("Hello there.")) as frames:
        async for codes in frames:      # (1, Q)
            ...
    engine.close()

A request joins at the next frame and leaves at its end frame; a newcomer's prompt is run in chunks between the frames
of the others.
"""

from __future__ import annotations

import asyncio
import gc
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Literal

import structlog

from oviya.errors import InvalidInput, NotReady, OviyaError
from oviya.model.engine_thread import EngineThread
from services.csm import metrics
from services.csm.checkpoint import Checkpoint
from services.csm.device.contract import DepthWeights, DeviceOptions, FrameDevice, Sampling
from services.csm.device.make import choose_pages, make_device
from services.csm.engine.pages import page_names
from services.csm.engine.prefill_budget import PrefillBudget
from services.csm.engine.scheduler import Flight, Scheduler
from services.csm.engine.stream import FrameStream, Item, LoopSink, Sink
from services.csm.model.config import FRAME_S
from services.csm.request.limits import Limits, check_context, check_sampling, check_speaker, check_style, check_text
from services.csm.request.request import GenerateRequest, GenerationEnd
from services.csm.request.speech import Speech

log = structlog.get_logger()

CPU_PREFILL_CHUNK, GPU_PREFILL_CHUNK = 256, 4096
"""Most positions of prompts between two frames: a small checkpoint takes some 30 ms for them on a CPU core, and
CSM-1B's arithmetic for them is 8 TFLOP, 20 ms of an H200 at half its peak: a quarter of a frame.  Where frames take
long, a GPU gets fewer (see `PrefillBudget`)."""

SWITCH_INTERVAL_S = 0.0005
"""Python's default lets the engine's thread, back from the
device, wait 5 ms for each thread that computes, and the device with it."""


GC_THRESHOLDS = 20_000, 20, 100
"""For `gc.set_threshold`: with 2,000 streams Python's defaults looked at all objects every few seconds, which stopped
every stream for up to 200 ms (2 CPU cores).  What streams leave behind holds no cycles, so little waits for it."""


def settle_process() -> None:
    """Makes Python interrupt an engine's thread less.  For a process that serves, once it is warm."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()  # what is alive by now stays alive, and need not be looked at
    gc.set_threshold(*GC_THRESHOLDS)


MAX_CHARS_IN_PLACE = 1024
"""Characters of a request and its context that are prepared on the event loop, in a few milliseconds.  A thread for
each request costs more than that where hundreds arrive: it competes with the engine's thread for the interpreter."""

_WARM_UP_TEXT = "Ready when you are."


@dataclass(frozen=True)
class EngineOptions:
    """How an engine works.

    Attributes:
        slots: requests that run at once.
        lead_s: how far ahead of real time frames are made where a request does not say, in seconds.
        temperature, top_k: how codes are drawn where a request does not say.
        prefill_chunk: most positions of newcomers' prompts that are run between two frames of the others; 0 is a
            default that suits the device.
        kv_mib: memory for keys and values, in MiB; 0 is a default that suits the device.
        queue_s: how long a request waits for a slot before it is refused; 0 refuses at once.
        queue_length: requests that may wait.
        silence_s: silence after which an answer is stopped; 0 never stops it.
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
    """Owns a checkpoint and the thread that runs it.  Its methods may be called from any thread.

    Args:
        checkpoint: what to run.
        options: how.
        device: what makes the frames, of as many rows as `options` has slots; None makes one for the checkpoint.
        on_lost: called, on the engine's thread, where the device is lost for good or the engine has failed: the engine
            is closed then, and only a new process can make another.
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
        self._fed_positions = 0  # since the last frame
        self._busy_since = 0.0  # when the last frame came, or work after a pause
        self._scheduler = Scheduler(
            options.slots,
            device.pages,
            self.config.codebooks,
            self.config.max_positions,
            silence_frames=round(options.silence_s / FRAME_S),
            queue_s=options.queue_s,
            queue_length=options.queue_length,
        )
        self._unfinished: set[FrameStream] = set()  # streams that have not been given their end
        self._thread = EngineThread(
            "CSM",
            work=self._run,
            fail_pending=self._fail_unfinished,
            device_works=self._device.works,
            device_failures=metrics.DEVICE_FAILURES,
            on_lost=on_lost,
        )
        self._wake = self._thread.wake  # guards the scheduler
        self._thread.start()

    @property
    def slots_used(self) -> int:
        """Slots that hold a request."""
        with self._wake:
            return self._scheduler.used

    @property
    def queued(self) -> int:
        """Requests that wait for a slot."""
        with self._wake:
            return self._scheduler.queued

    @property
    def pages(self) -> int:
        """Pages of keys and values, 64 positions each."""
        return self._scheduler.pool.pages

    @property
    def pages_used(self) -> int:
        """Pages that running requests hold."""
        with self._wake:
            return self._scheduler.pool.used

    def generate(self, request: GenerateRequest, sink: Sink | None = None) -> FrameStream:
        """Admits a request and starts it; the frames come through the stream.

        Args:
            request: what to say.
            sink: takes the frames instead of the stream's own queue, which needs a running loop.

        Raises:
            InvalidInput: the request cannot be spoken; names field, value and limit.
            Busy: every slot is taken, and there is no queue or it is full.
            NotReady: the engine was closed.
        """
        return self._offer(self._prepare(request, sink or LoopSink(asyncio.get_running_loop())))

    async def start(self, request: GenerateRequest) -> FrameStream:
        """As `generate`, with a long text prepared on another thread: it takes longer than other calls should wait.

        Raises:
            InvalidInput, Busy, NotReady: as `generate` does.
        """
        if len(request.text) + sum(len(segment.text) for segment in request.context) <= MAX_CHARS_IN_PLACE:
            return self.generate(request)
        sink = LoopSink(asyncio.get_running_loop())
        return self._offer(await asyncio.to_thread(self._prepare, request, sink))

    def _offer(self, stream: FrameStream) -> FrameStream:
        with self._wake:
            self._thread.check_open()
            self._scheduler.offer(stream)
            self._unfinished.add(stream)
            self._wake.notify()
        return stream

    async def warm_up(self) -> None:
        """Makes two frames, so that the first caller does not wait for what happens only once."""
        async with self.generate(GenerateRequest(_WARM_UP_TEXT, max_frames=2, lead_s=0)) as frames:
            async for _ in frames:
                pass

    def close(self) -> None:
        """Ends all that runs with NotReady, and the thread."""
        self._thread.close()

    def _prepare(self, request: GenerateRequest, sink: Sink) -> FrameStream:
        options, limits = self.options, self.options.limits
        check_text(request.text, limits, self.checkpoint.card.scripts)
        check_speaker(request.speaker, "speaker")
        check_style(request.style, self.checkpoint.card.styles)
        check_context(request.context, self.config, limits)
        sampling = Sampling(
            temperature=options.temperature if request.temperature is None else request.temperature,
            top_k=min(options.top_k, self.config.codebook_size) if request.top_k is None else request.top_k,
            seed=secrets.randbits(64) if request.seed is None else request.seed,
        )
        check_sampling(sampling.temperature, sampling.top_k, sampling.seed, self.config.codebook_size)
        lead_s = options.lead_s if request.lead_s is None else request.lead_s
        if not lead_s >= 0:
            raise InvalidInput("lead", lead_s, "must be 0 (as fast as possible) or more seconds")
        if not 0 <= request.max_frames <= limits.frames:
            raise InvalidInput("max_frames", request.max_frames, f"must be 0 (from the text) to {limits.frames}")
        if request.reference_clip:
            clip = self.checkpoint.voices.clip(request.reference_clip, request.speaker)
            request = replace(request, context=(clip, *request.context))
        speech = Speech(request, self.checkpoint.tokenizer, self.config, limits)
        piece = speech.next_piece()
        assert piece is not None, "a text that passed its checks has a piece"
        names = page_names(piece.prompt)
        return FrameStream(speech, piece, names, sampling, lead_s=lead_s, sink=sink, release=self._release)

    def _release(self, stream: FrameStream) -> None:
        with self._wake:
            self._unfinished.discard(stream)
            self._scheduler.withdraw(stream)
            self._wake.notify()

    # What follows runs on the engine's thread.

    def _run(self) -> None:
        flight: Flight | None = None
        while flight is not None or self._wait_for_work():
            items: Iterable[tuple[FrameStream, Item]] = ()
            try:
                if flight is not None:
                    items = self._land(flight)
                flight = None
                if self._thread.closed is not None:
                    break
                self._feed()
                flight = self._launch()
            except Exception as error:
                flight = None
                self._thread.device_failed(error)
                with self._wake:
                    failed = self._scheduler.fail(OviyaError("the CSM engine could not make the next frame"))
                items = [*items, *failed]
            self._deliver(items)  # while the device works
        with self._wake:
            assert self._thread.closed is not None, "the engine's thread ends because the engine was closed"
            ended = self._scheduler.drain(self._thread.closed)
        self._deliver(ended)
        if not self._thread.lost:
            self._device.close()

    def _fail_unfinished(self, failure: NotReady) -> None:
        """Fails all requests without the scheduler, whose state is unknown after an unexpected failure."""
        with self._wake:
            unfinished = list(self._unfinished)
        self._deliver((stream, failure) for stream in unfinished)

    def _wait_for_work(self) -> bool:
        """Returns once there is something to run; False when the engine was closed."""
        with self._wake:
            while self._thread.closed is None:
                now = time.monotonic()
                expired = self._scheduler.expire(now)
                self._deliver(expired)
                wait_s = self._scheduler.wake_at() - now
                if not self._scheduler.is_fed or wait_s <= 0:
                    self._busy_since = now
                    return True
                self._wake.wait(min(wait_s, threading.TIMEOUT_MAX))
            return False

    def _land(self, flight: Flight) -> Iterable[tuple[FrameStream, Item]]:
        """Waits for a frame and books it; returns what it brought, to be delivered later."""
        codes = self._device.collect()
        now = time.monotonic()
        if (prefill_s := self._device.prefill_s) is not None:
            self._prefill_budget.note(now - self._busy_since, self._fed_positions, prefill_s)
        self._fed_positions, self._busy_since = 0, now
        with self._wake:
            booked = self._scheduler.book(flight, codes, now)
            # Frames that follow each other without a pause must not keep those who wait from their refusal.
            expired = self._scheduler.expire(now)
        return chain(booked.items(), expired)

    def _feed(self) -> None:
        """Runs the next positions of newcomers' prompts."""
        with self._wake:
            self.prefill_budget = self._prefill_budget.positions(awaited=self._scheduler.speaks)
            starts, chunks, jobs = self._scheduler.feed(self.prefill_budget)
        metrics.PREFILL_BUDGET.set(self.prefill_budget)
        if starts:
            self._device.begin(starts)
        if chunks:
            self._device.prefill(chunks)
            self._fed_positions += sum(chunk.stop - chunk.start for chunk in chunks)
            with self._wake:
                self._scheduler.fed(jobs, time.monotonic())

    def _launch(self) -> Flight | None:
        """Starts the next frame of every row that is due."""
        with self._wake:
            flight = self._scheduler.fly(time.monotonic())
        if flight is not None:
            self._device.launch(flight.rows)
        return flight

    def _deliver(self, items: Iterable[tuple[FrameStream, Item]]) -> None:
        """Gives each sink what is for its streams, in one call.  A sink that fails disturbs no other."""
        by_sink: dict[Sink, list[tuple[FrameStream, Item]]] = {}
        for stream, item in items:
            by_sink.setdefault(stream.sink, []).append((stream, item))
            if isinstance(item, GenerationEnd | Exception):
                self._unfinished.discard(stream)
        for sink, of_sink in by_sink.items():
            try:
                sink.put(of_sink)
            except Exception:
                metrics.SINK_FAILURES.inc()
                log.exception("a sink of the CSM engine failed")
