"""Removes the sound of a reply that returns through the caller's microphone."""

from __future__ import annotations

import numpy as np

from oviya.audio.pcm import Pcm
from services.gateway import metrics
from services.gateway.echo.capture_clock import CaptureClock
from services.gateway.echo.echo_detector import FRAMES_PER_S, EchoDetector
from services.gateway.echo.played_sound import PlayedSound
from services.gateway.echo.webrtc_apm import apm_delay, load_apm

TAIL_S = 1.0
"""Seconds after the last played sound for which its echo is still removed: WebRTC finds delays of up to 0.5 s, and a
large room reverberates as long."""


class EchoCanceller:
    """Echo cancellation for one session: WebRTC's AEC3, fed by the loop times of what is played and heard.

    AEC3 finds the delay of the echo by itself, up to 0.5 s after the assumed time of playback.  It suppresses the
    user's words too, so sound passes through, with the same delay, where `EchoDetector` finds no echo, or the user
    louder than it; AEC3 goes on adapting.  From 1 s after a reply on, nothing is computed.

    Args:
        rate_hz: rate of the caller's sound, 8,000 to 48,000.

    Raises:
        Unavailable: WebRTC's audio processing is not installed.
    """

    def __init__(self, rate_hz: int) -> None:
        self._apm = load_apm()(sample_rate=rate_hz, echo_cancellation=True)
        self._rate_hz = rate_hz
        self._frame = rate_hz // FRAMES_PER_S
        self._played = PlayedSound(rate_hz)
        self._clock = CaptureClock(rate_hz)
        self._heard = 0  # samples that arrived
        self._pending = np.zeros(0, np.float32)  # less than a frame
        self._ready = np.zeros(self._frame, np.float32)  # cleaned, not returned yet
        self._delayed = np.zeros(apm_delay(rate_hz), np.float32)
        self._tail = 0  # frames for which cancellation goes on
        self._running = 0  # frames since it began, at most 2
        self._detector = EchoDetector(rate_hz)
        self._wet = 0.0  # share of the cleaned sound at the end of the last frame

    def add_played(self, samples: Pcm, rate_hz: int, at: float) -> None:
        """Adds reply sound that the caller plays from loop time `at` on.

        Args:
            samples: shape (samples,), at `rate_hz`.
            rate_hz: their rate.
            at: loop time in seconds, not before that of the call before.
        """
        self._played.add(samples, rate_hz, at)

    def cut_played(self, at: float) -> None:
        """Notes that the caller dropped what was to be played after loop time `at`, with a short fade-out."""
        self._played.cut(at)

    def clean(self, samples: Pcm, arrived: float) -> Pcm:
        """Returns the caller's sound without the echo, 18 to 21 ms late.

        Args:
            samples: the caller's next sound, shape (samples,), finite.
            arrived: loop time in seconds at which its last sample arrived.

        Returns:
            As many samples.
        """
        self._heard += len(samples)
        self._clock.note_arrival(self._heard, arrived, playing=self._tail > 0)
        pending = np.concatenate((self._pending, samples))
        whole = len(pending) // self._frame * self._frame
        self._pending = pending[whole:]
        if whole:
            self._ready = np.concatenate((self._ready, self._process(pending[:whole])))
        cleaned, self._ready = self._ready[: len(samples)], self._ready[len(samples) :]
        return cleaned

    def _process(self, sound: Pcm) -> Pcm:
        """Cleans whole frames, of which the last ends before the pending samples."""
        played = self._played.read(self._clock.index(self._heard - len(self._pending) - len(sound)), len(sound))
        frames = len(sound) // self._frame
        dry = np.concatenate((self._delayed, sound))
        self._delayed, dry = dry[len(sound) :], dry[: len(sound)]
        if played is not None:
            self._tail = round(TAIL_S * FRAMES_PER_S) + frames
        elif self._tail == 0:
            return dry
        reference = np.zeros(len(sound), np.float32) if played is None else played
        self._tail = max(0, self._tail - frames)
        metrics.ECHO_CANCELLATION_SECONDS.inc(frames / FRAMES_PER_S)
        clean = self._apm.process(np.ascontiguousarray(sound), reference)
        # The first frame contains what WebRTC had buffered when it ran last, so only the second is faded in.
        wet = np.clip(np.arange(len(sound), dtype=np.float32) / self._frame + self._running - 1, 0, 1)
        wet *= self._fade(self._detector.removal(sound, reference))
        self._running = min(2, self._running + frames)
        if self._tail == 0:
            wet = wet * np.clip(np.arange(len(sound), 0, -1, dtype=np.float32) / self._frame, 0, 1)
            self._running = 0
        return (dry + wet * (clean - dry)).astype(np.float32)

    def _fade(self, removal: Pcm) -> Pcm:
        """Returns the share of the cleaned sound by sample, which changes to that of each frame during the frame."""
        if np.all(removal == self._wet):
            return np.full(len(removal) * self._frame, self._wet, np.float32)
        shares = np.concatenate(((self._wet,), removal))
        self._wet = float(shares[-1])
        at = np.arange(len(removal) * self._frame, dtype=np.float32) / self._frame
        return np.interp(at, np.arange(len(shares)), shares).astype(np.float32)
