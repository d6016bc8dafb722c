"""How the voice speaks an emotion: the plan that CSM and the gateway follow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from oviya.errors import InvalidInput
from services.emotion.catalogue import DATA, NEUTRAL, Emotion, read_tsv

CSM_TEMPERATURE = 0.9
"""Sampling temperature that CSM's published generator uses; a plan's temperature is around it."""

TEMPERATURE_PER_ENERGY = 0.2
"""Change of temperature per unit of energy scale.  A lively delivery varies more from syllable to syllable, so it
samples more freely, and a quiet one keeps closer to the likeliest code: 0.80 at the table's lowest energy (0.5), 0.95
at its highest (1.25).  The span is narrow, so that no emotion strays far from CSM's own temperature."""

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 2.0
"""Range of ProsodyPlan.temperature; only a base temperature far from CSM's own meets it."""

STYLE_FROM_INTENSITY = 0.25
"""A style token is there or not: an emotion fainter than this is spoken in the neutral style."""


@dataclass(frozen=True, slots=True)
class ProsodyPlan:
    """How to speak: the fields of `oviya.v1.ProsodyPlan`.  Scales are factors, 1 leaves the voice as it is."""

    emotion: str
    style: str
    reference_clip: str
    temperature: float
    pitch_scale: float
    rate_scale: float
    energy_scale: float


class Planner:
    """Makes plans.

    Args:
        reference_clips: name of the reference clip of each style token.
        base_temperature: CSM's sampling temperature for a neutral voice.
    """

    def __init__(self, reference_clips: dict[str, str], base_temperature: float = CSM_TEMPERATURE) -> None:
        self._reference_clips = reference_clips
        self._base_temperature = base_temperature

    @classmethod
    def load(cls, folder: Path = DATA, *, base_temperature: float = CSM_TEMPERATURE) -> Planner:
        """Reads `styles.tsv`."""
        clips = {row["style"]: row["reference_clip"] for row in read_tsv(folder / "styles.tsv")}
        return cls(clips, base_temperature)

    def plan(self, emotion: Emotion, intensity: float = 1.0) -> ProsodyPlan:
        """The plan for `emotion` at `intensity`, from 0 (as neutral) to 1 (as the table says).

        Scales run linearly from 1 to the table's value; the temperature follows the energy scale; style and
        reference clip switch over at `STYLE_FROM_INTENSITY`.

        Raises:
            InvalidInput: the intensity is not within 0 to 1.
        """
        if not 0.0 <= intensity <= 1.0:  # also refuses NaN
            raise InvalidInput("intensity", intensity, "0 to 1")
        style = emotion.style if intensity >= STYLE_FROM_INTENSITY else NEUTRAL
        energy_scale = from_neutral(emotion.energy_scale, intensity)
        temperature = self._base_temperature + TEMPERATURE_PER_ENERGY * (energy_scale - 1.0)
        return ProsodyPlan(
            emotion=emotion.name,
            style=style,
            reference_clip=self._reference_clips[style],
            temperature=min(max(temperature, MIN_TEMPERATURE), MAX_TEMPERATURE),
            pitch_scale=from_neutral(emotion.pitch_scale, intensity),
            rate_scale=from_neutral(emotion.rate_scale, intensity),
            energy_scale=energy_scale,
        )


def from_neutral(scale: float, intensity: float) -> float:
    """A factor between 1 and `scale`."""
    return 1.0 + (scale - 1.0) * intensity
