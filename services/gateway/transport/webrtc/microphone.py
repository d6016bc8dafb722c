"""The user's microphone: a remote audio track as one continuous stream of PCM."""

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
from oviya.v1 import common_pb2
from services.gateway.conversation.quiet_joiner import QuietJoiner

RATE_HZ = 16_000
"""Sample rate of speech-to-text."""
FORMAT = common_pb2.AudioFormat(encoding=S16LE, sample_rate_hz=RATE_HZ)
"""Format of the PCM that `Microphone.pieces` yields."""
SILENCE_AFTER_S = 0.200
"""Seconds without a packet after which silence is inserted: longer than jitter, shorter than a turn's last pause."""
MAX_GAP_S = 2.0
"""Longest gap in seconds that is filled with silence when packets come again."""
MAX_AHEAD_S = 2.0
"""Seconds by which filled gaps may put the sound ahead of the clock: packets may come late, many at once."""


class Microphone:
    """Reads a remote track.

    Lost packets and pauses in sending (a muted track, Opus DTX) become silence of the same length; without it, a turn
    would never end.  The length of a gap follows from the packets' timestamps.  The sender chooses these, so gaps are
    filled at most up to the time that has passed plus `MAX_AHEAD_S`.

    Args:
        track: a remote audio track of aiortc.
        clock: monotonic time in seconds.
    """

    def __init__(self, track: MediaStreamTrack, clock: Callable[[], float] = time.monotonic) -> None:
        self._track = track
        self._clock = clock
        self._since: float | None = None  # when the first frame came
        self._output_s = 0.0  # sound and silence since then
        self._resampler = Resampler(RATE_HZ, RATE_HZ)
        self._downmix: Downmix | None = None
        self._source_hz = 0
        self._next_pts: int | None = None
        self._filled_s = 0.0  # silence inserted since the last frame
        self._joiner = QuietJoiner(RATE_HZ)
        self._rest = np.zeros(0, np.float32)  # from before the rate changed, at `RATE_HZ`

    async def pieces(self) -> AsyncGenerator[bytes]:
        """Yields 16-bit PCM, 16 kHz mono, until the track ends: as it arrives, and a little later after long quiet."""
        while True:
            try:
                async with asyncio.timeout(SILENCE_AFTER_S):  # a frame stays in the track's queue when it is cancelled
                    frame = await self._track.recv()
            except TimeoutError:
                samples = self._fill()
            except MediaStreamError:
                break
            else:
                assert isinstance(frame, AudioFrame)
                samples = self._convert(frame)
            if (due := self._joiner.push(samples)) is not None and len(piece := self._resample(due)):
                yield encode_pcm(piece, S16LE)
        self._change_rate(RATE_HZ)
        if len(self._rest):
            yield encode_pcm(self._rest, S16LE)

    def _change_rate(self, rate_hz: int) -> None:
        """Ends the sound at the rate so far, because the track ends or the codec changed."""
        rest = self._resample(self._joiner.take())
        self._rest = np.concatenate((rest, self._resampler.flush()))
        self._source_hz, self._next_pts = rate_hz, None
        self._resampler, self._joiner = Resampler(rate_hz, RATE_HZ), QuietJoiner(rate_hz)

    def _resample(self, samples: Pcm) -> Pcm:
        """Returns sound at `RATE_HZ`, after what is left from before the last change of the rate."""
        rest, self._rest = self._rest, np.zeros(0, np.float32)
        return np.concatenate((rest, self._resampler.push(samples)))

    def _fill(self) -> Pcm:
        """Returns silence as long as one wait, once there has been any sound."""
        if not self._source_hz:
            return np.zeros(0, np.float32)
        self._filled_s += SILENCE_AFTER_S
        self._output_s += SILENCE_AFTER_S
        return np.zeros(round(SILENCE_AFTER_S * self._source_hz), np.float32)

    def _convert(self, frame: AudioFrame) -> Pcm:
        """Returns a frame's sound at its rate, preceded by silence for a gap before it."""
        rate = frame.sample_rate
        if rate != self._source_hz:
            self._change_rate(rate)
        missing_s = 0.0
        if frame.pts is not None:
            if self._next_pts is not None:
                missing_s = (frame.pts - self._next_pts) / rate - self._filled_s
            self._next_pts = frame.pts + frame.samples
        self._filled_s = 0.0
        sound = self._mono(frame)
        room_s = self._behind_s(len(sound) / rate) + MAX_AHEAD_S
        gap = round(max(0.0, min(missing_s, room_s, MAX_GAP_S)) * rate)
        self._output_s += (gap + len(sound)) / rate
        return np.concatenate((np.zeros(gap, np.float32), sound)) if gap else sound

    def _behind_s(self, coming_s: float) -> float:
        """Returns how far the output, with `coming_s` of sound added, is behind the clock; negative: ahead."""
        now = self._clock()
        if self._since is None:
            self._since = now - coming_s
        return now - self._since - self._output_s - coming_s

    def _mono(self, frame: AudioFrame) -> Pcm:
        if frame.format.name == "s16" and frame.layout.nb_channels == 2:  # what aiortc's decoder yields
            values = np.frombuffer(memoryview(frame.planes[0]), np.int16, 2 * frame.samples)  # pyright: ignore[reportArgumentType]
            if (values[::2] == values[1::2]).all():  # a mono microphone
                return values[::2].astype(np.float32) / np.float32(1 << 15)
        samples = planes(frame)
        if self._downmix is None or self._downmix.channels != len(samples):
            self._downmix = Downmix(len(samples))
        return self._downmix.push(samples)
