"""A microphone and a loudspeaker in memory, whose clock is the test."""

from __future__ import annotations

import numpy as np

from oviya.audio.device import Fill, SoundDevice
from oviya.audio.device.contract import BLOCK_S
from oviya.audio.pcm import Pcm


class MemoryDevice(SoundDevice):
    """Both directions at once: the test speaks into it, and pulls what it would play."""

    def __init__(self, rate_hz: int = 8_000) -> None:
        super().__init__(rate_hz, rate_hz)
        self.ended = False
        self.is_open = False
        self._fill: Fill | None = None

    @property
    def recording_over(self) -> bool:
        return self.ended

    def speak(self, samples: Pcm) -> None:
        """What the microphone hears next."""
        self._heard(samples)

    def play(self, seconds: float) -> Pcm:
        """Plays for some time; returns what was to be heard."""
        assert self._fill is not None
        return np.concatenate(
            [self._fill(round(self.output_rate_hz * BLOCK_S)) for _ in range(round(seconds / BLOCK_S))]
        )

    def _start(self, fill: Fill) -> None:
        self._fill, self.is_open = fill, True

    def _stop(self) -> None:
        self.is_open = False
