"""What the benchmark of conversation plays over a reply: words, signs of listening, and noises."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from benchmarks.stt_pauses import is_whole
from benchmarks.stt_sentences import SPEECH_LEVEL, TURNS
from oviya.audio.pcm import Pcm
from tests.support.human_speech import prompts, read_prompt
from tests.support.sounds import RATE_HZ, keyboard, knocks, music, noise
from tests.support.speech import speak

Item = TypeVar("Item")
VOICES = ("slt", "rms", "awb")
STOP_PHRASES = ("stop", "wait", "no no", "stop please", "wait a minute")
SHORT = ("no", "what time is it", "why is that", "tell me something else", "i have a question", "not that one")
BACKCHANNELS = ("yeah", "okay", "uh huh", "right", "yes", "i see", "oh okay", "ha ha ha")
STORIES = Path(__file__).with_name("talk_stories.txt").read_text(encoding="utf-8").splitlines()
"""Replies of about forty seconds."""
LONGEST_PROMPT_S = 8.0
HUMAN_INTERRUPTIONS, FLITE_INTERRUPTIONS = 40, 27
BABBLE_LEVEL = 0.01
"""RMS of other people's talk: -40 dBFS, some 20 dB below the user's own."""
NOISE = 2e-4
"""RMS of the microphone's own noise: -74 dBFS, as in the pauses of the recorded prompts."""
BURST_LEVEL = 0.05
BURST_EDGE_S = 0.01


@dataclass(frozen=True)
class Sound:
    """A sound at the user's microphone.

    Attributes:
        kind: what it is, e.g. "human", "flite", "backchannel", "cough".
        name: which one.
        samples: shape (samples,), 16 kHz, full scale 1.0.
    """

    kind: str
    name: str
    samples: Pcm

    @property
    def onset_s(self) -> float:
        """Its first sample above -40 dBFS, in seconds."""
        return float(np.argmax(np.abs(self.samples) > SPEECH_LEVEL)) / RATE_HZ

    @property
    def end_s(self) -> float:
        """Its last sample above -40 dBFS, in seconds."""
        return float(np.flatnonzero(np.abs(self.samples) > SPEECH_LEVEL)[-1]) / RATE_HZ


def interruptions() -> list[Sound]:
    """Returns a hundred things to say over a reply, in a fixed, mixed order."""
    said = _said("stop phrase", STOP_PHRASES) + _said("short", SHORT) + _flite(TURNS, FLITE_INTERRUPTIONS)
    human = [Sound("human", prompt.text, read_prompt(prompt.name)) for prompt in prompts()]
    brief = [sound for sound in human if len(sound.samples) < LONGEST_PROMPT_S * RATE_HZ]
    return _mixed([*said, *spread(brief, HUMAN_INTERRUPTIONS)])


def questions(count: int) -> list[Sound]:
    """Returns `count` whole sentences, half of them spoken by a person, in a fixed, mixed order."""
    human = [Sound("human", one.text, read_prompt(one.name)) for one in prompts() if is_whole(one.text)]
    brief = [sound for sound in human if len(sound.samples) < LONGEST_PROMPT_S * RATE_HZ]
    return _mixed([*_flite(TURNS, count - count // 2), *spread(brief, count // 2)])


def no_interruptions() -> list[Sound]:
    """Returns seventy sounds that should not stop a reply, in a fixed, mixed order."""
    sounds = _said("backchannel", BACKCHANNELS)
    sounds += [Sound("backchannel", f"mm-hm {seed}", mm_hm(seed)) for seed in range(3)]
    sounds += [Sound("laughter", str(seed), laughter(seed)) for seed in range(3)]
    noises = {
        "cough": cough,
        "keyboard": lambda seed: keyboard(2.0, seed),
        "knock": _knock,
        "door": door,
        "music": lambda seed: music(3.2, seed),
        "white noise": partial(_burst, slope=0.0),
        "pink noise": partial(_burst, slope=1.0),
        "babble": babble,
    }
    sounds += [Sound(kind, str(seed), make(seed)) for kind, make in noises.items() for seed in range(5)]
    return _mixed(sounds)


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """Returns `count` of the items, evenly spaced; all of them if there are fewer."""
    count = min(count, len(items))
    return [items[index * len(items) // count] for index in range(count)]


def sentences_of(story: str, first: int, count: int) -> str:
    """Returns `count` sentences of a story in a row; `first` counts from its start, and again from there."""
    sentences = story.removesuffix(".").split(". ")
    start = first % (len(sentences) - count + 1)
    return ". ".join(sentences[start : start + count]) + "."


def mm_hm(seed: int) -> Pcm:
    """A hummed "mm-hm": two nasal syllables, the second one higher."""
    random = np.random.default_rng(seed)
    low_hz = random.uniform(100, 220)
    syllables = [_hum(low_hz * interval, 0.22) for interval in (1.0, 1.25)]
    pause = np.zeros(round(random.uniform(0.03, 0.08) * RATE_HZ))
    return _float(0.15 * np.concatenate((syllables[0], pause, syllables[1])))


def laughter(seed: int) -> Pcm:
    """Four to seven breathy vowels, five a second, that fall in pitch and level."""
    random = np.random.default_rng(seed)
    top_hz, count = random.uniform(180, 320), int(random.integers(4, 8))
    pieces: list[np.ndarray] = []
    for index in range(count):
        voiced = _vowel(top_hz * 0.94**index, 0.11)
        breath = random.normal(0, 0.12, round(0.09 * RATE_HZ)) * np.hanning(round(0.09 * RATE_HZ))
        pieces += [0.9**index * voiced, 0.9**index * breath]
    return _float(0.2 * np.concatenate(pieces))


def cough(seed: int) -> Pcm:
    """One to three coughs: a burst of air, then noise around the formants of an open mouth that dies away."""
    random = np.random.default_rng(seed)
    pieces: list[np.ndarray] = []
    for _ in range(int(random.integers(1, 4))):
        count = round(random.uniform(0.25, 0.4) * RATE_HZ)
        hz = np.fft.rfftfreq(count, 1 / RATE_HZ)
        shape = sum(1 / (1 + ((hz - at) / 250) ** 2) for at in (random.uniform(500, 800), 1400.0, 2600.0))
        air = np.fft.irfft(np.fft.rfft(random.normal(0, 1, count)) * shape, count)
        at = np.arange(count) / RATE_HZ
        pieces += [air / np.max(np.abs(air)) * np.exp(-at / 0.09) * np.minimum(at / 0.004, 1), np.zeros(RATE_HZ // 8)]
    return _float(0.4 * np.concatenate(pieces))


def door(seed: int) -> Pcm:
    """A door that slams: a low thud with a rattle after it."""
    random = np.random.default_rng(seed)
    at = np.arange(round(0.7 * RATE_HZ)) / RATE_HZ
    thud = sum(np.sin(2 * np.pi * hz * at) for hz in random.uniform(50, 180, 4)) * np.exp(-at / 0.12) / 4
    rattle = random.normal(0, 0.5, len(at)) * np.exp(-at / 0.03)
    return _float(0.6 * (thud + rattle))


def babble(seed: int) -> Pcm:
    """Six people who talk at once at the other end of a room."""
    random = np.random.default_rng(seed)
    count = round(2.5 * RATE_HZ)
    sound = np.zeros(count)
    for text, voice in zip(random.choice(TURNS, 6, replace=False), itertools.cycle(VOICES), strict=False):
        speech = speak(str(text), voice=voice)
        sound += np.roll(np.resize(speech, count), int(random.integers(count)))
    return _float(sound * BABBLE_LEVEL / np.sqrt(np.mean(np.square(sound))))


def room_response(seed: int) -> Pcm:
    """Impulse response of a room, 16 kHz, of unit energy: direct sound, then noise that falls by 60 dB in 0.3 s."""
    random = np.random.default_rng(seed)
    at = np.arange(round(0.2 * RATE_HZ)) / RATE_HZ
    response = random.normal(0, 0.05, len(at)) * 10 ** (-3 * at / 0.3)
    response[0] = 1.0
    return _float(response / np.sqrt(np.sum(np.square(response))))


def _knock(seed: int) -> Pcm:
    sound = knocks(8.0, seed)
    start = int(np.argmax(np.abs(sound) > SPEECH_LEVEL))
    return sound[start : start + 2 * RATE_HZ]


def _burst(seed: int, slope: float) -> Pcm:
    length_s = float(np.random.default_rng(seed).uniform(0.2, 1.5))
    at = np.arange(round(length_s * RATE_HZ)) / RATE_HZ
    edges = np.clip(np.minimum(at, at[-1] - at) / BURST_EDGE_S, 0, 1)
    return _float(noise(length_s, seed, slope=slope, level=BURST_LEVEL) * edges)


def _hum(hz: float, seconds: float) -> np.ndarray:
    at = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    harmonics = sum(np.sin(2 * np.pi * n * hz * at) / (1 + (n * hz / 300) ** 2) for n in range(1, 12))
    return harmonics * np.hanning(len(at)) ** 0.5


def _vowel(hz: float, seconds: float) -> np.ndarray:
    at = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    harmonics = hz * np.arange(1, 20)
    gains = sum(1 / (1 + ((harmonics - formant) / 120) ** 2) for formant in (750.0, 1250.0, 2600.0))
    wave = gains @ np.sin(2 * np.pi * np.outer(harmonics, at))
    return wave * np.hanning(len(at))


def _said(kind: str, texts: Sequence[str]) -> list[Sound]:
    """Returns each text in each of flite's voices."""
    pairs = itertools.product(texts, VOICES)
    return [Sound(kind, f"{text} ({voice})", speak(text, voice=voice)) for text, voice in pairs]


def _flite(texts: Sequence[str], count: int) -> list[Sound]:
    said = zip(spread(texts, count), itertools.cycle(VOICES), strict=False)
    return [Sound("flite", f"{text} ({voice})", speak(text, voice=voice)) for text, voice in said]


def _mixed(sounds: Sequence[Sound]) -> list[Sound]:
    return [sounds[index] for index in np.random.default_rng(0).permutation(len(sounds))]


def _float(sound: np.ndarray) -> Pcm:
    return np.clip(sound, -1, 1).astype(np.float32)
