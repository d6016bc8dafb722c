"""The reply's audio track to the browser: plays queued sound in order, in real time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from fractions import Fraction

import numpy as np
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame
from prometheus_client import Counter

from oviya.audio.pcm import Pcm

RATE_HZ = 48_000
"""Sample rate of Opus."""
FRAME_S = 0.020
"""Length of an RTP packet in seconds."""
FRAME_SAMPLES = round(FRAME_S * RATE_HZ)
PREBUFFER_S = 0.060
"""Seconds of sound that are buffered before a reply starts, or resumes after a gap: absorbs a late piece."""
CAPACITY_S = 10.0
"""Seconds of sound that may be queued; then `put` blocks."""
CUT_FADE_S = 0.005
"""Fade-out in seconds of a reply that is cut, to avoid a click."""
_RESYNC_S = 0.200  # when later than this (a suspended machine), the pace restarts instead of sending a burst

UNDERRUNS = Counter("oviya_gateway_playout_underruns_total", "Gaps inside a reply because its next sound was late")
UNDERRUN_SECONDS = Counter("oviya_gateway_playout_underrun_seconds_total", "Length of those gaps in seconds")

Marker = Callable[[], None]


class Playout(MediaStreamTrack):
    """An audio track for aiortc: 20 ms frames of 48 kHz, silence while nothing is queued.

    Frames are stereo with equal channels: aiortc's Opus encoder is stereo, and FFmpeg would attenuate mono by 3 dB.

    Args:
        clock: monotonic time in seconds.
        sleep: waits for some seconds.
    """

    kind = "audio"

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__()
        self._clock, self._sleep = clock, sleep
        self._queue: deque[Pcm | Marker] = deque()
        self._queued = 0  # samples
        self._room = asyncio.Event()
        self._room.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._playing = False
        self._in_reply = False
        self._complete = False  # the queued reply will get no more sound
        self._next_at: float | None = None
        self._timestamp = 0

    @property
    def queued_s(self) -> float:
        """Seconds of sound in the queue."""
        return self._queued / RATE_HZ

    async def put(self, samples: Pcm) -> None:
        """Queues sound, shape (samples,), 48 kHz; blocks while `CAPACITY_S` are queued."""
        await self._room.wait()
        if not len(samples) or self.readyState != "live":
            return
        self._queue.append(samples)
        self._add(len(samples))
        self._complete = False

    def mark(self, callback: Marker) -> None:
        """Calls `callback` when everything queued so far has been played; never, if that is cut."""
        if self.readyState == "live":
            self._queue.append(callback)
            self._idle.clear()

    def end_reply(self) -> None:
        """Marks the reply as complete, so that the following silence is not counted as a gap."""
        self._complete = True

    def clear(self) -> float:
        """Cuts the reply at once and drops its markers; returns the seconds of sound that are not played."""
        dropped = self._queued
        fade = round(CUT_FADE_S * RATE_HZ)
        tail = self._pop(fade) if self._playing else np.zeros(0, np.float32)
        self._queue.clear()
        self._add(-self._queued)
        self._complete, self._in_reply = True, False
        if len(tail):
            self._queue.append(tail * np.linspace(1, 0, len(tail), dtype=np.float32))
            self._add(len(tail))
        self._settle()
        return (dropped - len(tail)) / RATE_HZ

    async def drained(self) -> None:
        """Waits until everything queued has been played."""
        await self._idle.wait()

    def stop(self) -> None:
        """Ends the track and releases those who wait for it."""
        super().stop()
        self._queue.clear()
        self._add(-self._queued)
        self._settle()

    async def recv(self) -> AudioFrame:
        """Returns the next frame when it is due; aiortc calls this."""
        now = self._clock()
        if self._next_at is None or now - self._next_at > _RESYNC_S:
            self._next_at = now
        if (wait_s := self._next_at - now) > 0:
            await self._sleep(wait_s)
        if self.readyState != "live":
            raise MediaStreamError
        self._next_at += FRAME_S
        frame = self._frame(self.next_samples())
        self._timestamp += FRAME_SAMPLES
        return frame

    def next_samples(self) -> Pcm:
        """Removes the next 20 ms from the queue, shape (960,), and calls the markers in them."""
        if not self._playing:
            self._playing = self._complete or self.queued_s >= PREBUFFER_S
        samples = self._pop(FRAME_SAMPLES) if self._playing else np.zeros(0, np.float32)
        missing = FRAME_SAMPLES - len(samples)
        if len(samples):
            self._in_reply = True
        if missing:
            self._run_dry(missing)
        self._settle()
        return np.pad(samples, (0, missing))

    def _run_dry(self, missing: int) -> None:
        """Counts `missing` samples of silence as a gap if they are inside a reply."""
        if self._in_reply and not self._complete:
            if self._playing:
                UNDERRUNS.inc()
            UNDERRUN_SECONDS.inc(missing / RATE_HZ)
        elif self._complete:
            self._in_reply = False
        self._playing = False

    def _pop(self, count: int) -> Pcm:
        """Removes up to `count` samples from the queue and calls the markers before and between them."""
        taken: list[Pcm] = []
        while self._queue and (count or callable(self._queue[0])):
            item = self._queue.popleft()
            if callable(item):
                item()
                continue
            taken.append(item[:count])
            if len(item) > count:
                self._queue.appendleft(item[count:])
            count -= len(taken[-1])
            self._add(-len(taken[-1]))
        return np.concatenate(taken) if taken else np.zeros(0, np.float32)

    def _add(self, samples: int) -> None:
        self._queued += samples
        if self.queued_s < CAPACITY_S:
            self._room.set()
        else:
            self._room.clear()
        if self._queued:
            self._idle.clear()

    def _settle(self) -> None:
        if not self._queue:
            self._idle.set()

    def _frame(self, samples: Pcm) -> AudioFrame:
        values = np.clip(np.rint(samples * 32767), -32767, 32767).astype(np.int16)
        frame = AudioFrame.from_ndarray(np.repeat(values, 2)[np.newaxis], format="s16", layout="stereo")
        frame.sample_rate = RATE_HZ
        frame.pts = self._timestamp
        frame.time_base = Fraction(1, RATE_HZ)
        return frame
