"""Chooses the tone of a reply for what the user feels."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from oviya.emotions.tables import NEUTRAL, load_tone_policy
from oviya.emotions.values import Tone

QUIETEST, LOUDEST = 0.45, 1.0
"""Intensity of the tone for the faintest and for the strongest feeling."""

BLEND_FROM = 0.4
"""A second feeling is answered as well if its share is at least this part of the first one's."""
MAX_BLEND = 0.5


class Policy:
    """Answers by the shared policy table.

    Raises:
        ValueError: the table is faulty.
    """

    def __init__(self, emotions: Collection[str]) -> None:
        self.rows = load_tone_policy(emotions)

    def answer(self, feelings: Sequence[tuple[str, float]], intensity: float) -> Tone:
        """Returns the tone that answers what the user feels.

        Args:
            feelings: (emotion, share), best first; at least one.
            intensity: how strong the feeling is, 0 to 1.
        """
        feeling, share = feelings[0]
        row = self.rows[feeling]
        second = next(
            (
                (name, other)
                for name, other in feelings[1:]
                if name != NEUTRAL and other >= BLEND_FROM * share and self.rows[name].mirror != row.mirror
            ),
            None,
        )
        reason = row.reason
        blend, blend_share = "", 0.0
        if second is not None and feeling != NEUTRAL:
            blend = self.rows[second[0]].support
            blend_share = min(MAX_BLEND, second[1] / (share + second[1]))
            reason += f"; {second[0]} is felt too: {self.rows[second[0]].reason}"
        return Tone(
            feeling=feeling,
            mirror=row.mirror,
            support=row.support,
            ask=row.ask,
            intensity=row.strength * (QUIETEST + (LOUDEST - QUIETEST) * intensity),
            blend=blend,
            blend_share=blend_share,
            reason=reason,
        )
