"""A caller whose microphone hears the reply: messages into an `EchoCanceller`, on a clock of the test's own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import repeat

import numpy as np

from services.gateway.echo.echo_canceller import EchoCanceller
from tests.support.echo_scenes import Sound

PLAYED_HZ = 24_000
PIECE_S = 0.08
LEAD_S = 1.5
NETWORK_S = 0.03


@dataclass
class EchoSession:
    """Runs one session; time 0 of the sounds is `starts_at` on the loop's clock.

    Attributes:
        rate_hz: rate of the microphone.
        played: the reply at 24 kHz, played from time 0; it is sent 1.5 s ahead.
        jitter_s: mean of the exponential jitter of the messages' arrival.
        stalls: from and to which time the network delivers nothing.
        cut_s: when the caller is told to drop the rest of the reply; None: never.
    """

    rate_hz: int
    played: Sound
    jitter_s: float = 0.0
    stalls: tuple[float, float] = (0.0, 0.0)
    cut_s: float | None = None
    starts_at: float = 1000.0
    seed: int = 0
    canceller: EchoCanceller = field(init=False)

    def __post_init__(self) -> None:
        self.canceller = EchoCanceller(self.rate_hz)
        self._rng = np.random.default_rng(self.seed)
        self._sent = 0
        self._is_cut = False

    def clean(self, microphone: Sound, sizes: Iterable[int] | None = None, begin_s: float = 0.0) -> Sound:
        """Returns what the gateway makes of the microphone's sound from time `begin_s` on, shape (samples,).

        Args:
            microphone: shape (samples,).
            sizes: samples of each message; None: 20 ms.
            begin_s: time of its first sample.
        """
        cleaned, begin, arrived = [], 0, 0.0
        for size in sizes or repeat(self.rate_hz // 50):
            message = microphone[begin : begin + size]
            if not len(message):
                break
            begin += len(message)
            arrived = max(arrived, begin_s + begin / self.rate_hz + NETWORK_S + self._lateness())
            if self.stalls[0] <= arrived < self.stalls[1]:
                arrived = self.stalls[1]
            self._play_until(arrived + LEAD_S)
            if self.cut_s is not None and arrived >= self.cut_s and not self._is_cut:
                self._is_cut = True
                self.canceller.cut_played(self.starts_at + self.cut_s)
            cleaned.append(self.canceller.clean(message, self.starts_at + arrived))
        return np.concatenate(cleaned)

    def _lateness(self) -> float:
        return self._rng.exponential(self.jitter_s) if self.jitter_s else 0.0

    def _play_until(self, until_s: float) -> None:
        piece = round(PIECE_S * PLAYED_HZ)
        while not self._is_cut and self._sent < len(self.played) and self._sent / PLAYED_HZ < until_s:
            at = self.starts_at + self._sent / PLAYED_HZ
            self.canceller.add_played(self.played[self._sent : self._sent + piece], PLAYED_HZ, at)
            self._sent += piece
