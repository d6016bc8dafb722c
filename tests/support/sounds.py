"""Sounds without speech, made with numpy: noise, music, clicks, tones, breath and knocks.

Each function returns 16 kHz samples, shape (samples,), full scale 1.0, the same ones for the same arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oviya.audio.pcm import Pcm

RATE_HZ = 16_000
Sound = Callable[[float, int], Pcm]
"""Makes a sound of so many seconds from a seed."""
Samples = NDArray[np.floating[Any]]

KEYS_A_SECOND, KNOCKS_A_SECOND, CARS_A_SECOND, TONES_A_SECOND = 6.0, 0.5, 0.4, 0.4
BREATH_PERIOD_S = 4.0
BEAT_S = 0.4
CHORDS = ((0, 4, 7), (9, 12, 16), (5, 9, 12), (7, 11, 14))
"""Semitones above C: C, A minor, F, G."""
SCALE = (12, 14, 16, 19, 21, 24)
C_HZ = 130.8
DIAL_TONE_HZ, BUSY_HZ, BEEP_HZ = (350.0, 440.0), (480.0, 620.0), (1000.0,)
"""Of North American telephones; the beep is an answering machine's."""


def silence(seconds: float, seed: int = 0) -> Pcm:
    """Digital silence; `seed` has no effect."""
    return np.zeros(round(seconds * RATE_HZ), np.float32)


def noise(seconds: float, seed: int = 0, *, slope: float = 0.0, level: float = 0.05) -> Pcm:
    """Noise whose power falls with frequency to the power of `slope`: 0 white, 1 pink, 2 brown.

    Args:
        seconds: length.
        seed: of the random numbers.
        slope: of the power spectrum.
        level: root mean square.
    """
    random = np.random.default_rng(seed)
    return _scaled(_shaped(random, round(seconds * RATE_HZ), lambda hz: np.maximum(hz, 20.0) ** (-slope / 2)), level)


def street(seconds: float, seed: int = 0) -> Pcm:
    """A street: rumble, and cars that pass, each a burst of noise that swells and fades, some with a horn."""
    random = np.random.default_rng(seed)
    sound = noise(seconds, seed, slope=1.5, level=0.02).astype(np.float64)
    for start in _events(random, seconds, CARS_A_SECOND):
        length = round(random.uniform(1.5, 6.0) * RATE_HZ)
        center_hz = random.uniform(200, 1500)
        car = _shaped(random, length, lambda hz, at=center_hz: 1 / (1 + ((hz - at) / at) ** 2))
        _add(sound, start, _scaled(car * np.hanning(length) ** 2, random.uniform(0.01, 0.1)))
        if random.random() < 0.2:
            horn_s = random.uniform(0.2, 0.8)
            _add(sound, start + length // 2, 0.08 * _tone((415.0, 523.0), horn_s, harmonics=6))
    return _clipped(sound)


def music(seconds: float, seed: int = 0) -> Pcm:
    """Chords, a melody, a drum pattern and a lead with vibrato, four beats a bar."""
    random = np.random.default_rng(seed)
    sound = np.zeros(round(seconds * RATE_HZ))
    for beat in range(int(seconds / BEAT_S)):
        start = round(beat * BEAT_S * RATE_HZ)
        chord = CHORDS[beat // 4 % len(CHORDS)]
        if beat % 4 == 0:
            for semitone in chord:
                _add(sound, start, 0.05 * _note(semitone, 4 * BEAT_S, decay_s=1.5, harmonics=5))
        if random.random() < 0.7:
            _add(sound, start, 0.08 * _note(int(random.choice(SCALE)), BEAT_S, decay_s=0.4, harmonics=8))
        if beat // 8 % 2 and beat % 2 == 0:
            _add(sound, start, 0.08 * _lead(int(random.choice(SCALE)), 2 * BEAT_S))
        _add(sound, start, 0.25 * _drum(random, beat % 2 == 0))
        _add(sound, start + round(BEAT_S / 2 * RATE_HZ), 0.04 * _burst(random, 0.05, 6000, 4000))
    return _clipped(sound)


def keyboard(seconds: float, seed: int = 0) -> Pcm:
    """Typing on a keyboard: irregular clicks, each of a key going down and up."""
    random = np.random.default_rng(seed)
    sound = noise(seconds, seed, level=0.0005).astype(np.float64)
    for start in _events(random, seconds, KEYS_A_SECOND):
        for delay_s, loudness in ((0.0, 1.0), (random.uniform(0.05, 0.12), 0.4)):
            click = _burst(random, 0.012, random.uniform(1500, 4500), 2500)
            _add(sound, start + round(delay_s * RATE_HZ), loudness * random.uniform(0.05, 0.4) * click)
    return _clipped(sound)


def tones(seconds: float, seed: int = 0) -> Pcm:
    """Dial tones, busy tones, keypad tones and beeps, with pauses."""
    random = np.random.default_rng(seed)
    sound = noise(seconds, seed, level=0.0005).astype(np.float64)
    kinds = (DIAL_TONE_HZ, BUSY_HZ, BEEP_HZ)
    for start in _events(random, seconds, TONES_A_SECOND):
        if random.random() < 0.4:
            for index in range(int(random.integers(3, 8))):
                keypad = float(random.choice((697, 770, 852, 941))), float(random.choice((1209, 1336, 1477)))
                _add(sound, start + round(index * 0.2 * RATE_HZ), 0.1 * _tone(keypad, 0.1))
        else:
            kind = kinds[int(random.integers(len(kinds)))]
            _add(sound, start, 0.1 * _tone(kind, float(random.uniform(0.2, 2.0))))
    return _clipped(sound)


def breath(seconds: float, seed: int = 0) -> Pcm:
    """Breathing close to a microphone: noise around 600 Hz that swells, in and out."""
    random = np.random.default_rng(seed)
    sound = noise(seconds, seed, slope=1, level=0.0005).astype(np.float64)
    start_s = 0.5
    while start_s < seconds:
        for offset_s, length_s, center_hz, loudness in ((0.0, 1.2, 900.0, 0.03), (1.6, 1.6, 500.0, 0.05)):
            length = round(length_s * random.uniform(0.8, 1.2) * RATE_HZ)
            air = _shaped(random, length, lambda hz, at=center_hz: 1 / (1 + ((hz - at) / at) ** 2))
            _add(sound, round((start_s + offset_s) * RATE_HZ), _scaled(air * np.hanning(length), loudness))
        start_s += BREATH_PERIOD_S * random.uniform(0.8, 1.2)
    return _clipped(sound)


def knocks(seconds: float, seed: int = 0) -> Pcm:
    """Knocks on a door, two to four at a time, and doors that slam."""
    random = np.random.default_rng(seed)
    sound = noise(seconds, seed, slope=1, level=0.001).astype(np.float64)
    for start in _events(random, seconds, KNOCKS_A_SECOND):
        if random.random() < 0.2:
            _add(sound, start, 0.8 * _burst(random, 0.4, 120, 150))
            continue
        for index in range(int(random.integers(2, 5))):
            _add(
                sound, start + round(index * 0.18 * RATE_HZ), 0.5 * _burst(random, 0.08, random.uniform(150, 500), 300)
            )
    return _clipped(sound)


SOUNDS: dict[str, Sound] = {
    "silence": silence,
    "white noise": noise,
    "pink noise": partial(noise, slope=1.0),
    "brown noise": partial(noise, slope=2.0),
    "street": street,
    "music": music,
    "keyboard": keyboard,
    "tones": tones,
    "breath": breath,
    "knocks": knocks,
}


def _events(random: np.random.Generator, seconds: float, a_second: float) -> list[int]:
    """Returns positions, in samples, of a Poisson process."""
    count = int(random.poisson(seconds * a_second))
    return sorted(int(at * RATE_HZ) for at in random.uniform(0, seconds, count))


def _shaped(random: np.random.Generator, samples: int, amplitude: Callable[[Samples], Samples]) -> Samples:
    """Returns noise with this amplitude over frequency in Hz."""
    hz = np.fft.rfftfreq(samples, 1 / RATE_HZ)
    spectrum = np.fft.rfft(random.normal(0, 1, samples)) * amplitude(hz)
    return np.fft.irfft(spectrum, samples)


def _burst(random: np.random.Generator, seconds: float, center_hz: float, width_hz: float) -> Samples:
    """Returns a burst of noise around a frequency, with a fast attack and an exponential decay; peak 1."""
    samples = round(seconds * RATE_HZ)
    air = _shaped(random, samples, lambda hz: np.exp(-(((hz - center_hz) / width_hz) ** 2)))
    burst = air * np.exp(-5 * np.arange(samples) / samples)
    return burst / np.max(np.abs(burst))


def _tone(frequencies_hz: tuple[float, ...], seconds: float, harmonics: int = 1) -> Samples:
    """Returns the sum of tones with their harmonics, which fall as 1 / n; at most 1."""
    at = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    waves = [np.sin(2 * np.pi * hz * n * at) / n for hz in frequencies_hz for n in range(1, harmonics + 1)]
    return np.sum(waves, axis=0) / len(waves)


def _note(semitone: int, seconds: float, decay_s: float, harmonics: int) -> Samples:
    wave = _tone((C_HZ * 2 ** (semitone / 12),), seconds, harmonics) * harmonics / 2
    at = np.arange(len(wave)) / RATE_HZ
    return wave * np.exp(-at / decay_s) * np.minimum(at / 0.01, 1)


def _lead(semitone: int, seconds: float) -> Samples:
    """Returns a sawtooth with vibrato: 5.5 Hz, a third of a semitone, as a singer's."""
    at = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    hz = 2 * C_HZ * 2 ** ((semitone + 0.33 * np.sin(2 * np.pi * 5.5 * at)) / 12)
    phase = 2 * np.pi * np.cumsum(hz) / RATE_HZ
    wave = np.sum([np.sin(n * phase) / n for n in range(1, 9)], axis=0) / 2
    return wave * np.minimum(np.minimum(at, at[::-1]) / 0.03, 1)


def _drum(random: np.random.Generator, bass: bool) -> Samples:
    if not bass:
        return _burst(random, 0.15, 2000, 3000)
    at = np.arange(round(0.2 * RATE_HZ)) / RATE_HZ
    return np.sin(2 * np.pi * (60 * at + 4 * (1 - np.exp(-at / 0.05)))) * np.exp(-at / 0.08)


def _scaled(sound: Samples, level: float) -> Pcm:
    return _clipped(sound * (level / np.sqrt(np.mean(np.square(sound)))))


def _clipped(sound: Samples) -> Pcm:
    return np.clip(sound, -1, 1).astype(np.float32)


def _add(sound: Samples, start: int, piece: Samples | Pcm) -> None:
    """Adds `piece` to `sound` from `start` on; what would be past the end is left out."""
    length = max(0, min(len(piece), len(sound) - start))
    sound[start : start + length] += piece[:length]
