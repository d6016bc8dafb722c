"""Synthesizes speech: flite speaks, Praat's PSOLA sets the pitch, resampling moves the formants."""

from __future__ import annotations

import re
import subprocess
import tempfile
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from training.demo_voice.voices import MEAN_F0_HZ, STRETCH, Style, Voice

SAMPLE_RATE_HZ = 24_000
FRAME_SAMPLES = 1920
PHONE_SAMPLES = 960
"""Duration of a phone label: half of an RVQ frame."""

# fmt: off
PHONES = (
    "pau", "aa", "ae", "ah", "ao", "aw", "ax", "axr", "ay", "b", "ch", "d", "dh", "eh",
    "er", "ey", "f", "g", "hh", "ih", "iy", "jh", "k", "l", "m", "n", "ng", "ow",
    "oy", "p", "r", "s", "sh", "t", "th", "uh", "uw", "v", "w", "y", "z", "zh",
)
# fmt: on
"""flite's American phones; the first is silence."""

UNVOICED = -8.0
"""Pitch value of unvoiced sound."""

LEVEL = 10 ** (-26 / 20)
"""Root mean square of neutral speech without pauses: -26 dBov, the nominal level of telephony (ITU-T P.830)."""

LEAD_S, TAIL_S = 0.04, 0.12
"""Silence before the first and after the last phone: short, so that replies start soon, but without cutting words."""

_PHONE = re.compile(r"([a-z]+):([0-9.]+)")


@dataclass(frozen=True)
class Speech:
    """One utterance.

    Attributes:
        samples: (T * 1920,) int16 at 24 kHz, whole RVQ frames.
        phones: (2 T,) uint8, the index in PHONES of each 40 ms.
        pitch: (2 T,) float16, F0 of each 40 ms in octaves above 100 Hz; UNVOICED where it is unvoiced.
    """

    samples: NDArray[np.int16]
    phones: NDArray[np.uint8]
    pitch: NDArray[np.float16]


def speak(text: str, voice: Voice, style: Style, *, flite: str = "flite") -> Speech:
    """Speaks `text`.

    Raises:
        RuntimeError: flite failed, or made no sound.
    """
    stretch = STRETCH[voice.base] * voice.formants / style.rate  # resampling also changes the pace
    samples, rate_hz, ends = _flite(text, voice.base, stretch, flite)
    pitch = voice.f0_hz * style.f0_mean / voice.formants
    samples = _set_pitch(samples, rate_hz, MEAN_F0_HZ[voice.base], pitch, style.f0_range)
    samples = soxr.resample(samples, rate_hz * voice.formants, SAMPLE_RATE_HZ).astype(np.float32)
    ends = [(name, end / voice.formants) for name, end in ends]
    samples, phones = _trim(samples, ends)
    speaking = np.repeat(phones != 0, PHONE_SAMPLES)
    rms = float(np.sqrt(np.mean(samples[speaking] ** 2))) if speaking.any() else 0.0
    if rms < 1e-4:
        raise RuntimeError(f"flite made no sound for {text!r}")
    samples = np.clip(samples * (LEVEL * style.energy / rms), -1, 1)
    return Speech((samples * 32767).astype(np.int16), phones, _pitch(samples))


def _flite(
    text: str, base: str, stretch: float, flite: str
) -> tuple[NDArray[np.float32], int, list[tuple[str, float]]]:
    """Returns flite's sound, (samples,) within +-1, its sample rate, and the end of each phone in seconds."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        path = Path(folder) / "speech.wav"
        command = [flite, "-voice", base, "--setf", f"duration_stretch={stretch:.4f}", "-psdur", "-t", text]
        done = subprocess.run([*command, "-o", str(path)], capture_output=True, text=True, check=False)
        if done.returncode or not path.exists():
            raise RuntimeError(f"flite failed on {text!r}: {done.stderr.strip()}")
        with wave.open(str(path)) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / np.float32(32768)
            rate_hz = file.getframerate()
    return samples, rate_hz, [(name, float(end)) for name, end in _PHONE.findall(done.stdout)]


def _set_pitch(
    samples: NDArray[np.float32], rate_hz: int, mean_hz: float, wanted_hz: float, spread: float
) -> NDArray[np.float32]:
    """Changes the mean pitch and the pitch range, by overlap-add of pitch periods."""
    import parselmouth
    from parselmouth.praat import call

    sound = parselmouth.Sound(samples.astype(np.float64), sampling_frequency=rate_hz)
    manipulation: Any = call(sound, "To Manipulation", 0.01, 60, 400)
    tier: Any = call(manipulation, "Extract pitch tier")
    if call(tier, "Get number of points") == 0:
        return samples
    call(tier, "Formula", f"{wanted_hz:.3f} * (self / {mean_hz:.3f}) ^ {spread:.3f}")
    call([tier, manipulation], "Replace pitch tier")
    moved: Any = call(manipulation, "Get resynthesis (overlap-add)")
    return moved.values[0].astype(np.float32)


def _pitch(samples: NDArray[np.float32]) -> NDArray[np.float16]:
    """F0 in the middle of each 40 ms, by Praat's autocorrelation."""
    import parselmouth

    pitch = parselmouth.Sound(samples.astype(np.float64), SAMPLE_RATE_HZ).to_pitch_ac(
        time_step=0.02, pitch_floor=60, pitch_ceiling=450
    )
    middles = PHONE_SAMPLES * (np.arange(len(samples) // PHONE_SAMPLES) + 0.5) / SAMPLE_RATE_HZ
    f0 = np.array([pitch.get_value_at_time(at) for at in middles])  # NaN where unvoiced
    return np.where(np.isfinite(f0), np.log2(np.nan_to_num(f0, nan=100.0) / 100), UNVOICED).astype(np.float16)


def _trim(samples: NDArray[np.float32], ends: list[tuple[str, float]]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Cuts the silence at both ends to whole RVQ frames, and labels every 40 ms."""
    numbers = {name: number for number, name in enumerate(PHONES)}
    spoken = [i for i, (name, _) in enumerate(ends) if name != "pau"]
    if not spoken:
        return samples[:0], np.zeros(0, np.uint8)
    begin = ends[spoken[0] - 1][1] if spoken[0] else 0.0
    start = max(0, round((begin - LEAD_S) * SAMPLE_RATE_HZ))
    stop = min(len(samples), round((ends[spoken[-1]][1] + TAIL_S) * SAMPLE_RATE_HZ))
    cut = samples[start:stop]
    cut = np.pad(cut, (0, -len(cut) % FRAME_SAMPLES))
    middles = (start + PHONE_SAMPLES * (np.arange(len(cut) // PHONE_SAMPLES) + 0.5)) / SAMPLE_RATE_HZ
    places = np.searchsorted([end for _, end in ends], middles)
    of_place = np.array([numbers.get(name, 0) for name, _ in ends] + [0], np.uint8)
    return cut, of_place[places]
