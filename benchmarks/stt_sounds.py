"""What the benchmark of speech-to-text plays: people, flite, and both in noise or over a telephone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from benchmarks.stt_sentences import SPEECH_LEVEL, TURNS
from oviya.audio.pcm import Pcm
from oviya.audio.resample import Resampler
from tests.support.human_speech import prompts, read_prompt
from tests.support.speech import silence, speak

RATE_HZ = 16_000
LEAD_S, TAIL_S = 0.5, 2.0
Item = TypeVar("Item")


@dataclass(frozen=True)
class Utterance:
    """What one person says.

    Attributes:
        text: the words.
        speech: samples of the recording alone, shape (samples,), full scale 1.0.
        sound: `speech` with silence around it, and what was added to both.
        rate_hz: sample rate of both.
        start_s: the first sound of speech above -40 dBFS in `sound`.
        end_s: the last one.
    """

    text: str
    speech: Pcm
    sound: Pcm
    rate_hz: int
    start_s: float
    end_s: float


def spoken(text: str, speech: Pcm) -> Utterance:
    """Returns an utterance with silence around `speech`, 16 kHz."""
    sound = np.concatenate((silence(LEAD_S), speech, silence(TAIL_S)))
    loud = np.flatnonzero(np.abs(sound) > SPEECH_LEVEL) / RATE_HZ
    return Utterance(text, speech, sound, RATE_HZ, float(loud[0]), float(loud[-1]))


def human(count: int | None = None) -> list[Utterance]:
    """Returns the prompts spoken by a person; `count` of them, evenly spaced, or all."""
    return [spoken(prompt.text, read_prompt(prompt.name)) for prompt in _sample(prompts(), count)]


def flite(voice: str, count: int | None = None) -> list[Utterance]:
    """Returns the sentences of `benchmarks/stt_sentences.txt` in one of flite's voices; `count` of them, or all."""
    return [spoken(text, speak(text, RATE_HZ, voice)) for text in _sample(TURNS, count)]


def _sample(items: Sequence[Item], count: int | None) -> list[Item]:
    every = max(1, len(items) // count) if count else 1
    return list(items[::every][:count])


def in_white_noise(utterance: Utterance, snr_db: float, seed: int) -> Utterance:
    """Adds white noise to all of the sound, `snr_db` below the mean power of the speech."""
    power = np.mean(np.square(utterance.speech, dtype=np.float64)) / 10 ** (snr_db / 10)
    noise = np.random.default_rng(seed).normal(0, power**0.5, len(utterance.sound))
    return replace(utterance, sound=np.clip(utterance.sound + noise, -1, 1).astype(np.float32))


def over_telephone(utterance: Utterance) -> Utterance:
    """Resamples the sound to 8 kHz."""
    resampler = Resampler(utterance.rate_hz, 8_000)
    sound = np.concatenate((resampler.push(utterance.sound), resampler.flush()))
    return replace(utterance, sound=sound, rate_hz=8_000)
