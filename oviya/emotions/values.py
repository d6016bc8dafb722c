"""Values that the emotion service sends and the client returns: the fields of the messages of `oviya.v1`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tone:
    """How the reply responds to a feeling.

    `mirror`, `support` and `ask` are the emotions for sentences that reflect, support and ask; `intensity` is 0 to 1;
    `blend` is a second emotion with its share (empty: none); `reason` explains the choice.
    """

    feeling: str
    mirror: str
    support: str
    ask: str
    intensity: float
    blend: str
    blend_share: float
    reason: str


@dataclass(frozen=True, slots=True)
class ProsodyPlan:
    """How the voice speaks an emotion.  The scales are factors on the neutral voice: 1 means unchanged."""

    emotion: str
    style: str
    reference_clip: str
    temperature: float
    pitch_scale: float
    rate_scale: float
    energy_scale: float
