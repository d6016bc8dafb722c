"""The user's voice from the browser: a remote audio track as one unbroken stream of PCM."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable

import numpy as np
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame

from oviya.audio.channels import Downmix
from oviya.audio.frames import planes
from oviya.audio.pcm import S16LE, Pcm, encode_pcm
from oviya.audio.resample import Resampler
from oviya.tasks import cancel_and_wait
from oviya.v1 import common_pb2

RATE_HZ = 16_000
"""What speech-to-text works at."""
FORMAT = common_pb2.AudioFormat(encoding=S16LE, sample_rate_hz=RATE_HZ)
"""Format of what `Microphone.pieces` yields."""
SILENCE_AFTER_S = 0.200
"""Time without a packet after which silence is filled in: longer than jitter, shorter than a turn's last pause."""
MAX_GAP_S = 2.0
"""Longest stretch of lost packets that is filled with silence when packets come again."""
MAX_AHEAD_S = 2.0
"""How far filled gaps may bring the sound ahead of the clock: packets come late, and then many at once."""


class Microphone:
    """Reads a remote track.

    Lost packets and pauses in sending (a muted track, Opus DTX) become silence of the same length: what follows must
    know how much time went by, or a turn would never end.  How long a gap was is in the packets' timestamps, which the
    sender chooses; so gaps are filled up to the time that has passed, and not far beyond.

    Args:
        track: a remote audio track of aiortc.
        clock: monotonic time in seconds.
    """

    def __init__(self, track: MediaStreamTrack, clock: Callable[[], float] = time.monotonic) -> None:
        self._track = track
        self._clock = clock
        self._since: float | None = None  # when the first frame came
        self._made_s = 0.0  # sound and silence made since then
        self._resampler = Resampler(RATE_HZ, RATE_HZ)
        self._downmix: Downmix | None = None
        self._source_hz = 0
        self._next_pts: int | None = None
        self._filled_s = 0.0  # silence made since the last frame

    async def pieces(self) -> AsyncGenerator[bytes]:
        """Yields 16-bit PCM, 16 kHz mono, as it comes, until the track ends."""
        reading: asyncio.Task[object] | None = None
        try:
            while True:
                reading = reading or asyncio.ensure_future(self._track.recv())
                # asyncio.wait leaves the read running at a time-out: cancelling it could lose the frame
                done, _ = await asyncio.wait({reading}, timeout=SILENCE_AFTER_S)
                if done:
                    try:
                        frame = reading.result()
                    except MediaStreamError:
                        break
                    finally:
                        reading = None
                    assert isinstance(frame, AudioFrame)
                    samples = self._convert(frame)
                else:
                    samples = self._fill()
                if len(samples):
                    yield encode_pcm(samples, S16LE)
            if len(rest := self._resampler.flush()):
                yield encode_pcm(rest, S16LE)
        finally:
            await cancel_and_wait(reading)

    def _fill(self) -> Pcm:
        """Returns the silence of one wait, once there has been sound at all."""
        if not self._source_hz:
            return np.zeros(0, np.float32)
        self._filled_s += SILENCE_AFTER_S
        self._made_s += SILENCE_AFTER_S
        return self._resampler.push(np.zeros(round(SILENCE_AFTER_S * self._source_hz), np.float32))

    def _convert(self, frame: AudioFrame) -> Pcm:
        """Returns a frame's sound, after silence for what is missing before it."""
        rate = frame.sample_rate
        if rate != self._source_hz:  # another codec was chosen
            rest = self._resampler.flush()
            self._source_hz, self._resampler, self._next_pts = rate, Resampler(rate, RATE_HZ), None
        else:
            rest = np.zeros(0, np.float32)
        missing_s = 0.0
        if frame.pts is not None:
            if self._next_pts is not None:
                missing_s = (frame.pts - self._next_pts) / rate - self._filled_s
            self._next_pts = frame.pts + frame.samples
        self._filled_s = 0.0
        sound = self._mono(frame)
        room_s = self._behind_s(len(sound) / rate) + MAX_AHEAD_S
        gap = np.zeros(round(max(0.0, min(missing_s, room_s, MAX_GAP_S)) * rate), np.float32)
        self._made_s += (len(gap) + len(sound)) / rate
        return np.concatenate((rest, self._resampler.push(np.concatenate((gap, sound)))))

    def _behind_s(self, coming_s: float) -> float:
        """Returns how far what was made, with `coming_s` of sound, is behind the clock; negative: ahead of it."""
        now = self._clock()
        if self._since is None:
            self._since = now - coming_s
        return now - self._since - self._made_s - coming_s

    def _mono(self, frame: AudioFrame) -> Pcm:
        samples = planes(frame)
        if self._downmix is None or self._downmix.channels != len(samples):
            self._downmix = Downmix(len(samples))
        return self._downmix.push(samples)
