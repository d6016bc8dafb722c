"""Load for the CSM engine: conversations whose context grows, and a sink that records when each frame arrived.

The sink is called once a frame for all streams.  2,000 streams make 25,000 messages a second, more than one Python
event loop can handle, so only the engine is measured.  Frames are kept, as a caller keeps them for the next context.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.csm.engine.engine import CsmEngine
from services.csm.engine.stream import FrameStream, Item
from services.csm.request.prompt import Segment
from services.csm.request.request import GenerateRequest, GenerationEnd

SENTENCE = "The next sentence of a conversation is about as long as people's sentences are."
"""79 letters: 71 frames at an ordinary pace, so an answer may have up to 202."""


@dataclass(eq=False)
class Track:
    """The frames of one request as its caller received them; times in seconds on one clock."""

    asked_at: float = 0.0
    times: list[float] = field(default_factory=list)
    codes: list[NDArray[np.int64]] = field(default_factory=list)
    end: GenerationEnd | None = None
    failure: Exception | None = None
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def first_frame_s(self) -> float:
        """From request to first frame."""
        return self.times[0] - self.asked_at


class Recorder:
    """A sink that keeps a track of each stream, and puts the ended ones into `ended`."""

    def __init__(self) -> None:
        self.ended: queue.SimpleQueue[Track] = queue.SimpleQueue()
        self._tracks: dict[FrameStream, Track] = {}

    def ask(self, engine: CsmEngine, request: GenerateRequest) -> Track:
        """Sends a request."""
        asked_at = time.perf_counter()
        # The first frame may arrive before `generate` returns, so `put` may have made the track.
        track = self._tracks.setdefault(engine.generate(request, self), Track())
        track.asked_at = asked_at
        return track

    def put(self, items: Sequence[tuple[FrameStream, Item]]) -> None:
        now = time.perf_counter()
        for stream, item in items:
            track = self._tracks.get(stream) or self._tracks.setdefault(stream, Track())
            if isinstance(item, np.ndarray):
                track.times.append(now)
                track.codes.append(item)
                continue
            if isinstance(item, GenerationEnd):
                track.end = item
            else:
                track.failure = item
            if track.asked_at:
                del self._tracks[stream]
            track.done.set()
            self.ended.put(track)


class Conversation:
    """Turns of one caller: each context is the last one plus its answer, until it is full; then it starts again with
    the clip of the voice.

    Args:
        engine: the engine.
        rng: makes the frames of the context.
        positions: shortest and longest prompt.
        at: positions of the first prompt; more than the shortest is an earlier turn.
    """

    def __init__(
        self, engine: CsmEngine, rng: np.random.Generator, positions: tuple[int, int], at: int | None = None
    ) -> None:
        self._config, self._rng, self._longest = engine.config, rng, positions[1]
        self._own = len(engine.checkpoint.tokenizer.encode_segment(SENTENCE, 0))
        clip = self._segment("A reference clip.", positions[0] - self._own, reference=True)
        self._clip_positions = positions[0] - self._own
        self.context: tuple[Segment, ...] = (clip,)
        self._filled = self._clip_positions
        if at is not None and (before := at - positions[0]) > self._own:
            self.context += (self._segment(SENTENCE, before),)
            self._filled += before

    def request(self, frames: int, lead_s: float = 0.0) -> GenerateRequest:
        """The next turn, an answer of at most `frames`."""
        if self._filled + self._own > self._longest:
            self.context, self._filled = self.context[:1], self._clip_positions
        return GenerateRequest(
            SENTENCE, context=self.context, max_frames=frames, lead_s=lead_s, seed=int(self._rng.integers(1 << 62))
        )

    def add_answer(self, track: Track) -> None:
        """Adds the answer of the turn to the context."""
        if track.codes:
            audio = np.concatenate(track.codes)
            self.context += (Segment(0, SENTENCE, audio),)
            self._filled += self._own + len(audio) + 1

    def _segment(self, text: str, positions: int, *, reference: bool = False) -> Segment:
        """A segment that takes `positions`, with the benchmark's tokenizer of one token a letter."""
        frames = positions - len(text) - 6  # [0], both ends of the text, the end frame
        codes = self._rng.integers(1, self._config.codebook_size, (frames, self._config.codebooks))
        return Segment(0, text, codes, reference)


def percentiles(seconds: Sequence[float] | NDArray[np.float64]) -> dict[str, float]:
    """Median, p95 and p99, in ms."""
    values = np.asarray(seconds) * 1e3
    return {f"p{q}_ms": round(float(np.percentile(values, q)), 2) for q in (50, 95, 99)}


def first_frame_idle(engine: CsmEngine, positions: int, repeats: int) -> dict[str, float]:
    """Time from request to first frame on an idle engine, with new and with cached prompts."""
    rng, recorder = np.random.default_rng(1), Recorder()
    cold, cached, hits = [], [], []
    for _ in range(repeats + 2):  # two to warm up
        request = Conversation(engine, rng, (positions, positions)).request(2)
        for found in (cold, cached):
            track = recorder.ask(engine, request)
            track.done.wait()
            _check(track)
            found.append(track.first_frame_s)
        assert track.end is not None
        hits.append(track.end.cached_positions)
    return {
        **{f"cold_{key}": value for key, value in percentiles(cold[2:]).items()},
        **{f"cached_{key}": value for key, value in percentiles(cached[2:]).items()},
        "prompt_positions": positions,
        "cached_positions": float(np.median(hits)),
    }


def first_frame_arrivals(engine: CsmEngine, streams: int, positions: int, window_s: float) -> dict[str, float]:
    """Time to first frame of `streams` paced requests with new prompts that arrive at random within `window_s`."""
    rng, recorder = np.random.default_rng(2), Recorder()
    requests = [Conversation(engine, rng, (positions, positions)).request(150, lead_s=1.5) for _ in range(streams)]
    started, tracks, most = time.perf_counter(), [], 0
    for at, request in zip(np.sort(rng.uniform(0, window_s, streams)), requests, strict=True):
        time.sleep(max(0.0, started + at - time.perf_counter()))
        tracks.append(recorder.ask(engine, request))
        most = max(most, engine.slots_used)
    for track in tracks:
        track.done.wait()
        _check(track)
    # How far behind its playout a stream ever was: its frames are due every 80 ms from the first one on.
    late = [max(t - track.times[0] - 0.08 * i for i, t in enumerate(track.times)) for track in tracks]
    return {
        **percentiles([track.first_frame_s for track in tracks]),
        "most_at_once": most,
        "latest_frame_ms": round(max(late) * 1e3, 2),
    }


def streams_at_once(
    engine: CsmEngine, levels: Sequence[int], seconds: float, positions: tuple[int, int], answers: tuple[int, int]
) -> list[dict[str, float]]:
    """Keeps as many unpaced streams running as each level says; a stream that ends is followed by its next turn.

    Unpaced, because a paced stream's gaps are 80 ms by definition: a gap below that is a stream that keeps real time.
    """
    rng, recorder, results = np.random.default_rng(3), Recorder(), []
    running: dict[Track, Conversation] = {}

    def start(conversation: Conversation) -> None:
        request = conversation.request(int(rng.integers(answers[0], answers[1] + 1)))
        running[recorder.ask(engine, request)] = conversation

    def serve(until: float, level: int, awaited: Sequence[Track] = ()) -> list[Track]:
        """Starts the next turn of ended streams, until a time and until all `awaited` have a frame."""
        ended = []
        while (left := until - time.perf_counter()) > 0 or not all(track.times for track in awaited):
            try:
                track = recorder.ended.get(timeout=max(0.001, min(left, 0.1)))
            except queue.Empty:
                continue
            _check(track)
            ended.append(track)
            conversation = running.pop(track)
            conversation.add_answer(track)
            if len(running) < level:
                start(conversation)
        return ended

    for level in levels:
        while len(running) < level:
            start(Conversation(engine, rng, positions, at=int(rng.integers(positions[0], positions[1] + 1))))
        serve(time.perf_counter() + 1.0, level, list(running))
        began = time.perf_counter()
        ended = serve(began + seconds, level)
        stopped = time.perf_counter()
        gaps, frames = [], 0
        for track in (*ended, *running):
            times = np.asarray(track.times)
            inside = (times >= began) & (times < stopped)
            frames += int(inside.sum())
            gaps.append(np.diff(times)[inside[1:]])
        results.append(
            {
                "streams": level,
                **{f"gap_{key}": value for key, value in percentiles(np.concatenate(gaps)).items()},
                # Streams past their prefill.
                "speaking": round(frames / (stopped - began) * float(np.concatenate(gaps).mean()), 1),
                "frames_a_s": round(frames / (stopped - began), 1),
                "x_real_time": round(frames / (stopped - began) / 12.5, 1),
                "turns_ended": len(ended),
                "pages_used": engine.pages_used,
                "prefill_budget": engine.prefill_budget,
            }
        )
        print(results[-1], flush=True)
    return results


def _check(track: Track) -> None:
    if track.failure is not None:
        raise track.failure
