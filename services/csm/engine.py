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

import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog
import torch

from oviya.errors import Busy, InvalidInput, NotReady, OviyaError
from services.csm import metrics
from services.csm.checkpoint import Checkpoint
from services.csm.config import END_CODE, FRAME_S
from services.csm.limits import (
    Limits,
    check_context,
    check_sampling,
    check_speaker,
    check_style,
    check_text,
    expected_frames,
    most_frames,
)
from services.csm.prompt import Prompt, build_prompt
from services.csm.request import Finish, GenerateRequest, GenerationEnd
from services.csm.slots import Sampling, SlotBatch
from services.csm.stream import FrameStream

log = structlog.get_logger()

SHORTEST_RETRY_S, LONGEST_RETRY_S = 0.1, 5.0
"""Bounds of the advice when to try again."""

_WARM_UP_TEXT = "Ready when you are."


@dataclass(frozen=True)
class EngineOptions:
    """How an engine works.

    Attributes:
        slots: requests that run at once.
        lead_s: how far ahead of real time frames are made where a request does not say, in seconds.
        temperature, top_k: how codes are drawn where a request does not say.
        prefill_chunk: positions of a newcomer's prompt that are run between two frames of the others.
        limits: what a request may ask for.
    """

    slots: int = 4
    lead_s: float = 1.5
    temperature: float = 0.9
    top_k: int = 50
    prefill_chunk: int = 256
    limits: Limits = field(default_factory=Limits)


class CsmEngine:
    """Owns a checkpoint and the thread that runs it.  Its methods may be called from any thread with a running loop."""

    def __init__(self, checkpoint: Checkpoint, options: EngineOptions | None = None) -> None:
        self.checkpoint, self.options = checkpoint, options or EngineOptions()
        self.config = checkpoint.config
        self._batch = SlotBatch(checkpoint.model, self.options.slots)
        self._streams: list[FrameStream | None] = [None] * self.options.slots
        self._prefilling: dict[FrameStream, int] = {}  # positions left to run, oldest request first
        self._closed = False
        self._wake = threading.Condition()  # guards the four above it
        self._thread = threading.Thread(target=self._run, name="csm-engine", daemon=True)
        metrics.SLOTS.set(self.options.slots)
        metrics.SLOTS_USED.set(0)
        self._thread.start()

    @property
    def slots_used(self) -> int:
        """Slots that hold a request."""
        with self._wake:
            return sum(stream is not None for stream in self._streams)

    def generate(self, request: GenerateRequest) -> FrameStream:
        """Admits a request and starts it; the frames come through the stream.

        Raises:
            InvalidInput: the request cannot be spoken; names field, value and limit.
            Busy: every slot is taken.
            NotReady: the engine was closed.
        """
        stream = self._prepare(request)
        with self._wake:
            if self._closed:
                raise NotReady("the CSM engine is closed")
            if None not in self._streams:
                metrics.REJECTED.inc()
                raise Busy(f"all {self.options.slots} slots are taken", retry_after_s=self._retry_after_s())
            slot = self._streams.index(None)
            self._streams[slot] = stream
            self._prefilling[stream] = len(stream.prompt)
            metrics.SLOTS_USED.inc()
            self._wake.notify()
        return stream

    async def warm_up(self) -> None:
        """Makes two frames, so that the first caller does not wait for what happens only once."""
        async with self.generate(GenerateRequest(_WARM_UP_TEXT, max_frames=2, lead_s=0)) as frames:
            async for _ in frames:
                pass

    def close(self) -> None:
        """Ends all that runs with NotReady, and the thread."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _prepare(self, request: GenerateRequest) -> FrameStream:
        options, limits = self.options, self.options.limits
        check_text(request.text, limits)
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
        prompt = build_prompt(
            self.checkpoint.tokenizer,
            self.config.codebooks,
            text=request.text,
            speaker=request.speaker,
            style=request.style,
            context=request.context,
        )
        most = request.max_frames or min(most_frames(request.text), limits.frames)
        needed = min(expected_frames(request.text), most)
        room = self._room(prompt, request, needed)
        return FrameStream(
            prompt,
            sampling,
            expected_frames=needed,
            max_frames=min(most, room),
            lead_s=lead_s,
            release=self._release,
        )

    def _room(self, prompt: Prompt, request: GenerateRequest, needed: int) -> int:
        """Positions left for the answer; raises InvalidInput where they are fewer than the `needed` ones."""
        # The last frame is spoken, but never read again.
        room = self.config.max_positions - len(prompt) + 1
        if room >= needed:
            return room
        limit = f"prompt and answer must fit {self.config.max_positions} positions; the answer needs about {needed}"
        own = len(self.checkpoint.tokenizer.segment(request.text, request.speaker, request.style))
        if request.context and own + needed <= self.config.max_positions:
            raise InvalidInput("context", f"{len(prompt) - own} positions", limit, hint="leave out the oldest segments")
        raise InvalidInput("text", f"{own} positions", limit, hint="send it sentence by sentence")

    def _retry_after_s(self) -> float:
        """When the first slot should be free, if its text takes as long as texts do."""
        left = [stream.expected_frames - stream.frames for stream in self._streams if stream is not None]
        return min(max(min(left) * FRAME_S, SHORTEST_RETRY_S), LONGEST_RETRY_S)

    def _release(self, stream: FrameStream) -> None:
        with self._wake:
            if stream in self._streams:
                self._free(stream)
                metrics.FINISHED.labels("cancelled").inc()

    def _free(self, stream: FrameStream) -> None:
        self._streams[self._streams.index(stream)] = None
        self._prefilling.pop(stream, None)
        metrics.SLOTS_USED.dec()

    # What follows runs on the engine's thread.

    def _run(self) -> None:
        with torch.inference_mode():
            while self._wait_for_work():
                self._prefill_chunk()
                self._step()
        with self._wake:
            for stream in filter(None, self._streams):
                stream.deliver(NotReady("the CSM engine was closed"))
            self._streams = [None] * self.options.slots
            self._prefilling.clear()
            metrics.SLOTS_USED.set(0)

    def _wait_for_work(self) -> bool:
        """Returns once there is something to run; False when the engine was closed."""
        with self._wake:
            while not self._closed and not self._prefilling:
                due = [stream.next_due() for stream in self._streams if stream is not None]
                wait_s = min(due) - time.monotonic() if due else None
                if wait_s is not None and wait_s <= 0:
                    break
                self._wake.wait(wait_s)
            return not self._closed

    def _prefill_chunk(self) -> None:
        """Runs the next chunk of the oldest newcomer's prompt."""
        with self._wake:
            stream = next(iter(self._prefilling), None)
            if stream is None:
                return
            slot, is_new = self._streams.index(stream), self._prefilling[stream] == len(stream.prompt)
        try:
            if is_new:
                self._batch.begin(slot, stream.prompt, stream.sampling)
            left = self._batch.prefill(slot, self.options.prefill_chunk)
        except Exception:
            self._fail([stream])
            return
        with self._wake:
            if stream in self._prefilling:  # it may have been cancelled meanwhile
                self._prefilling[stream] = left
                if not left:
                    del self._prefilling[stream]

    def _step(self) -> None:
        """Makes the next frame of every slot that is due."""
        started = time.monotonic()
        with self._wake:
            due = {
                slot: stream
                for slot, stream in enumerate(self._streams)
                if stream is not None and stream not in self._prefilling and stream.next_due() <= started
            }
        if not due:
            return
        try:
            frames = self._batch.step(list(due))
        except Exception:
            self._fail(list(due.values()))
            return
        now = time.monotonic()
        metrics.STEP_SECONDS.observe(now - started)
        for stream, codes in zip(due.values(), frames, strict=True):
            with self._wake:
                if stream not in self._streams:  # cancelled while the frame was made
                    continue
                if (codes == END_CODE).all():
                    self._finish(stream, Finish.END_FRAME)
                    continue
                if not stream.frames:
                    metrics.FIRST_FRAME_SECONDS.observe(now - stream.admitted_at)
                stream.note_frame(now)
                metrics.FRAMES.inc()
                stream.deliver(codes[None])
                if stream.frames == stream.max_frames:
                    self._finish(stream, Finish.LENGTH)

    def _finish(self, stream: FrameStream, reason: Finish) -> None:
        self._free(stream)
        metrics.FINISHED.labels(reason.value).inc()
        stream.deliver(GenerationEnd(reason, stream.frames, len(stream.prompt), stream.sampling.seed))

    def _fail(self, streams: Sequence[FrameStream]) -> None:
        """Ends streams whose step broke; the others go on."""
        log.exception("a step of the CSM engine broke", streams=len(streams))
        with self._wake:
            for stream in streams:
                if stream in self._streams:
                    self._free(stream)
                    metrics.FINISHED.labels("failed").inc()
                    stream.deliver(OviyaError("the CSM engine could not make the next frame"))
