"""Speech in a vocal style, made by flite: pitch, pace and level as `emotions.tsv` has them for the style's emotion."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oviya.audio.wav import read_wav
from services.emotion.prosody.catalogue import Catalogue

OWN_F0 = {"slt": (167.0, 28.0), "awb": (129.0, 23.0), "kal16": (89.0, 11.0)}
"""Measured mean and standard deviation in Hz of the flite voices whose pitch can be set."""
LEVEL = 0.6
"""Factor on the amplitude, so that joyful speech, which is louder, does not clip."""


@dataclass(frozen=True)
class Style:
    """An emotion of the table, and a factor on the range of the pitch, which the table does not have.

    Sadness and held anger are spoken flatter and joy with a wider melody (Juslin and Laukka 2003; Banse and Scherer
    1996); `valence` and `arousal` are the expected signs.
    """

    emotion: str
    span: float
    valence: int
    arousal: int


STYLES = {
    "sad": Style("empathetic_sad", 0.50, -1, -1),
    "calm": Style("calm_supportive", 0.65, 1, -1),
    "joyful": Style("joyful_excited", 1.60, 1, 1),
    "firm": Style("angry_firm", 0.60, -1, 1),
    "neutral": Style("neutral", 1.0, 0, 0),
}


@cache
def speak_in(style: str, text: str, voice: str = "slt") -> NDArray[np.float32]:
    """Speaks `text` at 16 kHz in one of `STYLES`; returns samples, shape (samples,).  They are read-only."""
    chosen = STYLES[style]
    emotion = Catalogue.load().resolve(chosen.emotion).emotion
    mean_hz, spread_hz = OWN_F0[voice]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        settings = {
            "duration_stretch": 1 / emotion.rate_scale,
            "int_f0_target_mean": mean_hz * emotion.pitch_scale,
            "int_f0_target_stddev": spread_hz * emotion.pitch_scale * chosen.span,
        }
        options = [word for name, value in settings.items() for word in ("--setf", f"{name}={value:.4f}")]
        command = ["flite", "-voice", voice, *options, "-t", text, "-o", str(path)]
        subprocess.run(command, check=True, capture_output=True)
        samples, _ = read_wav(path)
    sound = samples * np.float32(LEVEL * emotion.energy_scale)
    sound.setflags(write=False)
    return sound
