"""Scenes with echo: the sound of a reply that returns through a room into the caller's microphone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oviya.audio.resample import Resampler
from tests.support.speech import speak

RATE_HZ = 16_000
LEVEL = 0.05
"""RMS of speech: -26 dB relative to full scale."""
REPLY = (
    "I hear how much this week has taken out of you, and it makes sense that you are tired.",
    "Perhaps we could look at one small thing that would make tomorrow a little easier.",
    "When you think about the people around you, who would you like to call first?",
    "Take your time, there is no hurry at all, and I will be here when you are ready to go on.",
)

Sound = NDArray[np.float32]


@dataclass(frozen=True)
class EchoPath:
    """The way from the gateway to the caller's loudspeaker, through the room and back.

    Attributes:
        delay_s: time from the assumed start of playback to the arrival of its echo.
        gain_db: power of the echo relative to that of the reply.
        reverberation_s: time in which the room's response falls by 60 dB (RT60).
        overdrive: how far a small loudspeaker distorts: tanh(overdrive * x) / overdrive; 0: not at all.
        drift_ppm: by how much the caller's clock is faster than the gateway's.
    """

    delay_s: float = 0.15
    gain_db: float = -10.0
    reverberation_s: float = 0.3
    reverberation: float = 0.03
    overdrive: float = 1.5
    drift_ppm: float = 0.0

    def echo(self, played: Sound, rate_hz: int = RATE_HZ, seed: int = 0) -> Sound:
        """Returns the echo of what is played, shape (samples,)."""
        rng = np.random.default_rng(seed)
        sound = np.tanh(self.overdrive * played) / self.overdrive if self.overdrive else played
        length = round(self.reverberation_s * rate_hz)
        decay = 10 ** (-3 * np.arange(length) / length)
        response = rng.normal(0, 1, length) * decay * self.reverberation
        response[0] = 1.0
        response = np.concatenate((np.zeros(round(self.delay_s * rate_hz)), response))
        size = 1 << (len(sound) + len(response)).bit_length()
        echo = np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(response, size))[: len(sound)].astype(np.float32)
        echo *= 10 ** (self.gain_db / 20) * rms(played) / max(rms(echo), 1e-9)
        if self.drift_ppm:
            echo = np.interp(np.arange(len(echo)) * (1 - self.drift_ppm * 1e-6), np.arange(len(echo)), echo)
        return echo.astype(np.float32)


def rms(sound: Sound) -> float:
    """Returns the root mean square."""
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64)))) if len(sound) else 0.0


def leveled(sound: Sound, level: float = LEVEL) -> Sound:
    """Returns the sound at an RMS of `level`, without regard to its pauses."""
    return (sound * (level / max(rms(sound), 1e-9))).astype(np.float32)


def reply(seconds: float, rate_hz: int = RATE_HZ, voice: str = "slt") -> Sound:
    """Returns a spoken reply of the given length, shape (samples,)."""
    sentences = [speak(text, RATE_HZ, voice) for text in REPLY]
    sound = leveled(np.concatenate(sentences))
    sound = np.tile(sound, -(-round(seconds * RATE_HZ) // len(sound)))[: round(seconds * RATE_HZ)]
    resampler = Resampler(RATE_HZ, rate_hz)
    return np.concatenate((resampler.push(sound), resampler.flush()))


def noise(samples: int, level_db: float = -65.0, seed: int = 1) -> Sound:
    """Returns a microphone's noise, shape (samples,); `level_db` is relative to full scale."""
    return np.random.default_rng(seed).normal(0, 10 ** (level_db / 20), samples).astype(np.float32)
