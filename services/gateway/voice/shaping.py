"""Applies the rate, pitch and energy of a prosody plan to a voice's signal as it streams.

For checkpoints without style tokens.  FFmpeg's atempo (WSOLA, through PyAV) changes the rate without the pitch.  For
the pitch the sound is resampled first; that also changes the rate, which atempo corrects.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from fractions import Fraction

import av
import numpy as np
from av.error import BlockingIOError, EOFError
from av.filter import Graph

from oviya.audio.pcm import Pcm
from oviya.audio.resample import Resampler
from oviya.v1 import emotion_pb2

LEAST_CHANGE = 0.005
"""Smaller changes of rate or pitch are inaudible and are not applied."""
MIN_TEMPO = 0.5
"""Slowest tempo of one atempo filter; a plan may ask for a tempo of 0.25."""


class Shaper:
    """Shapes one sentence.  The signal does not depend on the sizes of the chunks; it is delayed by about 80 ms.

    Args:
        sample_rate_hz: rate of input and output.
        plan: its three scales are applied; each must be greater than 0.
    """

    def __init__(self, sample_rate_hz: int, plan: emotion_pb2.ProsodyPlan) -> None:
        self._rate_hz = sample_rate_hz
        self._gain = np.float32(plan.energy_scale)
        pitch, tempo = plan.pitch_scale, plan.rate_scale / plan.pitch_scale
        self._resampler = None
        if abs(pitch - 1) >= LEAST_CHANGE:
            self._resampler = Resampler(round(sample_rate_hz * pitch), sample_rate_hz)
        self._graph = _atempo(sample_rate_hz, tempo) if abs(tempo - 1) >= LEAST_CHANGE else None
        self._pushed = 0

    def push(self, samples: Pcm) -> Pcm:
        """Takes samples, shape (samples,), and returns those that are complete, possibly none."""
        if self._resampler is not None:
            samples = self._resampler.push(samples)
        return self._stretch(samples) * self._gain

    def flush(self) -> Pcm:
        """Ends the sentence and returns the rest."""
        rest = np.zeros(0, np.float32) if self._resampler is None else self._resampler.flush()
        parts = [self._stretch(rest)]
        if self._graph is not None and self._pushed:
            self._graph.push(None)
            parts.append(_pulled(self._graph))
        return np.concatenate(parts) * self._gain

    def _stretch(self, samples: Pcm) -> Pcm:
        if self._graph is None or not len(samples):
            return samples
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), format="flt", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = self._rate_hz, Fraction(1, self._rate_hz), self._pushed
        self._pushed += len(samples)
        self._graph.push(frame)
        return _pulled(self._graph)


async def shaped(
    sound: AsyncGenerator[Pcm, None], sample_rate_hz: int, plan: emotion_pb2.ProsodyPlan
) -> AsyncGenerator[Pcm, None]:
    """Yields `sound` with the plan applied, and closes it at the end."""
    shaper = Shaper(sample_rate_hz, plan)
    async with aclosing(sound):
        async for samples in sound:
            if len(shaped_samples := shaper.push(samples)):
                yield shaped_samples
    if len(rest := shaper.flush()):
        yield rest


def _atempo(sample_rate_hz: int, tempo: float) -> Graph:
    graph = Graph()
    source = graph.add(
        "abuffer",
        f"time_base=1/{sample_rate_hz}:sample_rate={sample_rate_hz}:sample_fmt=flt:channel_layout=mono",
    )
    last = source
    for _ in range(stages := 1 if tempo >= MIN_TEMPO else 2):
        stretch = graph.add("atempo", f"{tempo ** (1 / stages):.6f}")
        last.link_to(stretch)
        last = stretch
    last.link_to(graph.add("abuffersink"))
    graph.configure()
    return graph


def _pulled(graph: Graph) -> Pcm:
    """Returns the samples that the graph has ready, shape (samples,)."""
    parts: list[Pcm] = []
    while True:
        try:
            frame = graph.pull()
        except (BlockingIOError, EOFError):  # from FFmpeg: more input is needed; the stream has ended
            return np.concatenate(parts) if parts else np.zeros(0, np.float32)
        if isinstance(frame, av.AudioFrame):
            parts.append(frame.to_ndarray()[0].astype(np.float32))
