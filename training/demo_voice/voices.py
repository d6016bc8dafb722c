"""Speakers, anonymous voices and styles of the training data.

A voice is one of flite's with other formants (by resampling) and another pitch.  A style changes pitch, pitch range,
pace and level, all of which can be measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MEAN_F0_HZ = {"slt": 166.0, "rms": 103.0, "awb": 126.0, "kal16": 90.0}
"""flite's voices and their mean pitch (Praat's autocorrelation, one sentence of 16 words)."""

STRETCH = {"slt": 1.0, "rms": 0.85, "awb": 1.0, "kal16": 1.0}
"""Factor on durations that gives all voices about the same pace; rms is slow."""


@dataclass(frozen=True)
class Voice:
    """A voice.

    Attributes:
        base: flite's voice.
        formants: factor on the formants.
        f0_hz: mean pitch.
    """

    base: str
    formants: float
    f0_hz: float


def _variant(base: str, formants: float = 1.0, pitch: float = 1.0) -> Voice:
    return Voice(base, formants, round(MEAN_F0_HZ[base] * pitch, 1))


SPEAKERS = {
    0: _variant("slt"),
    1: _variant("rms"),
    2: _variant("awb"),
    3: _variant("kal16"),
    4: _variant("slt", 1.07, 1.25),
    5: _variant("rms", 0.90, 0.80),
    6: _variant("awb", 1.12, 1.50),
    7: _variant("kal16", 1.10, 1.45),
}
"""Speaker ids that the model knows."""

SPEAKER_NAMES = {
    0: "slt", 1: "rms", 2: "awb", 3: "kal", 4: "slt-bright", 5: "rms-deep", 6: "awb-bright", 7: "kal-bright",
}  # fmt: skip

HELD_OUT = {
    "slt-low": _variant("slt", 0.92, 0.82),
    "rms-high": _variant("rms", 1.10, 1.50),
    "awb-low": _variant("awb", 0.92, 0.85),
    "kal16-high": _variant("kal16", 1.14, 1.90),
}
"""Voices that are not in the training data, for measuring whether the model follows a clip of a new voice."""

ANONYMOUS_IDS = range(10, 100)
"""Speaker ids of anonymous voices; the same id stands for different voices, so the model must use the context."""


@dataclass(frozen=True)
class Style:
    """Factors against the neutral style: mean pitch, its range (of the logarithm), pace, level."""

    f0_mean: float
    f0_range: float
    rate: float
    energy: float


STYLES = {
    "neutral": Style(1.00, 1.00, 1.00, 1.00),
    "calm": Style(0.92, 0.65, 0.88, 0.72),
    "sad": Style(0.85, 0.50, 0.80, 0.55),
    "joy": Style(1.18, 1.60, 1.08, 1.30),
    "playful": Style(1.08, 1.90, 1.15, 1.00),
    "confident": Style(1.00, 1.35, 0.94, 1.25),
    "anxious": Style(0.93, 1.30, 0.93, 0.85),
    "firm": Style(0.92, 0.60, 1.00, 1.35),
}
"""The style tokens of the 49 emotions; a factor of 1 changes nothing."""


def draw_anonymous(random: np.random.Generator) -> Voice:
    """Returns a random voice that is not close to a held-out one."""
    while True:
        base = str(random.choice(list(MEAN_F0_HZ)))
        formants = random.uniform(0.87, 1.16)
        # A longer vocal tract roughly corresponds to a lower voice.
        pitch = formants**2 * np.exp(random.normal(0.0, 0.25))
        voice = _variant(base, round(formants, 3), float(np.clip(pitch, 0.78, 2.0)))
        if not any(is_close(voice, other) for other in HELD_OUT.values()):
            return voice


def is_close(a: Voice, b: Voice) -> bool:
    """Whether two voices are similar: same source, formants within 3 %, pitch within 7 %."""
    return a.base == b.base and abs(a.formants / b.formants - 1) < 0.03 and abs(a.f0_hz / b.f0_hz - 1) < 0.07
