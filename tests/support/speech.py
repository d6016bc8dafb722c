"""Synthetic speech for tests, made by flite (or espeak) and cached for the run; no recordings are committed."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oviya.audio.resample import Resampler
from oviya.audio.wav import read_wav
from tests.support.transcripts import normalized

SAD = "what should i do when i feel sad and lonely"
"""The sentence of most measurements.  Whisper's tiny.en hears "satan lonely" if flite's slt says it."""
LONELY = "what should i do when i feel lonely"
"""A sentence that tiny.en hears without an error from all of flite's voices."""


@cache
def speak(text: str, rate_hz: int = 16_000, voice: str = "slt") -> NDArray[np.float32]:
    """Speaks `text` at `rate_hz`; returns samples, shape (samples,), full scale 1.0.  Do not write into them.

    Args:
        text: what to say.
        rate_hz: rate of the result.
        voice: one of flite's, e.g. slt, rms, awb or kal16; espeak-ng is used where there is no flite.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        if flite := shutil.which("flite"):
            command = [flite, "-voice", voice, "-t", text, "-o", str(path)]
        elif espeak := shutil.which("espeak-ng") or shutil.which("espeak"):
            command = [espeak, "-v", "en-us", "-s", "140", "-w", str(path), text]
        else:
            raise RuntimeError("the tests need flite or espeak-ng to speak: apt-get install flite")
        subprocess.run(command, check=True, capture_output=True)
        samples, source_hz = read_wav(path)
    resampler = Resampler(source_hz, rate_hz)
    sound = np.concatenate((resampler.push(samples), resampler.flush()))
    sound.setflags(write=False)
    return sound


def silence(seconds: float, rate_hz: int = 16_000) -> NDArray[np.float32]:
    """Digital silence, shape (samples,)."""
    return np.zeros(round(seconds * rate_hz), np.float32)


def plain_words(text: str) -> list[str]:
    """Returns the words of a transcript in lower case, without the punctuation around them."""
    return re.findall(r"\w+(?:[-'.]\w+)*", text.lower())


def word_errors(heard: str, said: str) -> int:
    """Counts the substituted, missing and inserted words, however they are written (`normalized`).

    This is the Levenshtein distance between the word sequences.
    """
    ours, theirs = normalized(heard).split(), normalized(said).split()
    row = list(range(len(theirs) + 1))
    for i, word in enumerate(ours, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(theirs, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]


def word_error_rate(heard: Iterable[str], said: Iterable[str]) -> float:
    """Returns the word errors of several utterances, relative to the number of words that were said."""
    pairs = list(zip(heard, said, strict=True))
    return sum(word_errors(*pair) for pair in pairs) / sum(len(normalized(text).split()) for _, text in pairs)


@cache
def speak_with_pause(text: str, pause_s: float, voice: str = "slt", after: int | None = None) -> NDArray[np.float32]:
    """Speaks `text` and stops for `pause_s` after so many words; returns 16 kHz samples.

    The sentence is made as one, so that its melody does not tell of the pause, and cut where flite says that the word
    ends; a pause that flite makes there itself, as at a comma, is part of `pause_s`.

    Args:
        text: what to say.
        pause_s: length of the pause in seconds.
        voice: one of flite's.
        after: words before the pause; None: up to the word nearest the middle.
    """
    sound = speak(text, 16_000, voice)
    end, start = pause_place(text, voice, (len(text.split()) + 1) // 2 if after is None else after)
    return np.concatenate((sound[:end], silence(pause_s), sound[start:]))


def pause_place(text: str, voice: str, after: int) -> tuple[int, int]:
    """Returns where flite's `after`-th word of `text` ends and where the next one starts, in samples at 16 kHz."""
    before = " ".join(text.split()[:after])
    spoken = sum(phone != "pau" for phone, _ in _flite_phones(before, voice))
    phones = _flite_phones(text, voice)
    last = [index for index, (phone, _) in enumerate(phones) if phone != "pau"][spoken - 1]
    resumes = last + (phones[last + 1][0] == "pau")
    return round(phones[last][1] * 16_000), round(phones[resumes][1] * 16_000)


def _flite_phones(text: str, voice: str) -> list[tuple[str, float]]:
    """Returns what flite says for `text`: phones and where they end, in seconds."""
    command = ["flite", "-voice", voice, "-t", text, "-o", "/dev/null", "-psdur"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    pairs = (entry.rsplit(":", 1) for entry in output.split())
    return [(phone, float(end_s)) for phone, end_s in pairs]
