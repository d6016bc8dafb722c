"""Segments for tests of the gateway's voice."""

from __future__ import annotations

from services.gateway.voice.segment import AUTO, CSM, ENGLISH, NEUTRAL_PLAN, Segment, SpeechOptions


def make_segment(text: str, index: int = 0) -> Segment:
    """An English sentence with the neutral plan, for CSM."""
    return Segment(index, text, text, ENGLISH, NEUTRAL_PLAN, CSM, SpeechOptions(AUTO), context=[])
