"""Plans how an emotion is spoken; CSM and the gateway follow the plan."""

from __future__ import annotations

from pathlib import Path

from oviya.emotions.tables import NEUTRAL, Emotion, read_tsv
from oviya.emotions.values import ProsodyPlan
from oviya.errors import InvalidInput
from services.emotion.prosody.catalogue import DATA

CSM_TEMPERATURE = 0.9
"""Sampling temperature of CSM's published generator, used for a neutral voice."""

TEMPERATURE_PER_ENERGY = 0.2
"""Change of temperature per unit of energy scale.  A lively delivery varies more from syllable to syllable and is
sampled at a higher temperature than a quiet one: 0.80 at the table's lowest energy (0.5), 0.95 at its highest (1.25).
The range is narrow so that every emotion stays near CSM's own temperature."""

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 2.0
"""Range of ProsodyPlan.temperature, reached only with a base temperature far from CSM's own."""

STYLE_FROM_INTENSITY = 0.25
"""A style token cannot be scaled: below this intensity, the neutral style is used."""

MAX_BLEND_SHARE = 0.5
"""Largest share of a second emotion."""


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

    def plan(
        self, emotion: Emotion, intensity: float = 1.0, *, blend: Emotion | None = None, blend_share: float = 0.0
    ) -> ProsodyPlan:
        """Returns the plan for `emotion` at `intensity`, from 0 (neutral) to 1 (the table's values).

        Scales are interpolated linearly from 1 to the table's value, and the temperature follows the energy scale.
        Style and reference clip are those of the emotion from `STYLE_FROM_INTENSITY` on.  The scales of `blend` are
        mixed in geometrically with `blend_share`; style and reference clip remain the emotion's.

        Raises:
            InvalidInput: the intensity is outside 0 to 1, or the share outside 0 to 0.5.
        """
        if not 0.0 <= intensity <= 1.0:  # also refuses NaN
            raise InvalidInput("intensity", intensity, "0 to 1")
        if not 0.0 <= blend_share <= MAX_BLEND_SHARE:
            raise InvalidInput(
                "blend_share", blend_share, f"0 to {MAX_BLEND_SHARE}", hint="put the stronger emotion first"
            )
        other = blend or emotion
        style = emotion.style if intensity >= STYLE_FROM_INTENSITY else NEUTRAL
        pitch_scale, rate_scale, energy_scale = (
            1.0 + (first ** (1 - blend_share) * second**blend_share - 1.0) * intensity
            for first, second in (
                (emotion.pitch_scale, other.pitch_scale),
                (emotion.rate_scale, other.rate_scale),
                (emotion.energy_scale, other.energy_scale),
            )
        )
        temperature = self._base_temperature + TEMPERATURE_PER_ENERGY * (energy_scale - 1.0)
        return ProsodyPlan(
            emotion=emotion.name,
            style=style,
            reference_clip=self._reference_clips[style],
            temperature=min(max(temperature, MIN_TEMPERATURE), MAX_TEMPERATURE),
            pitch_scale=pitch_scale,
            rate_scale=rate_scale,
            energy_scale=energy_scale,
        )
