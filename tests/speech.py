"""Real speech for tests, made by flite (or espeak) on the spot and kept for the run; none is ever committed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oviya.audio.resample import Resampler
from oviya.audio.wav import read_wav

SAD = "what should i do when i feel sad and lonely"
"""The sentence that the project is measured with."""


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


def word_errors(heard: str, said: str) -> int:
    """Counts the substituted, missing and inserted words: the Levenshtein distance between the word sequences."""
    ours, theirs = heard.split(), said.split()
    row = list(range(len(theirs) + 1))
    for i, word in enumerate(ours, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(theirs, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]
