"""`oviya talk --explain`: the evidence for the user's emotion, and the tone of the reply."""

from __future__ import annotations

from collections.abc import Iterator

from oviya.client import Evidence, UserFeeling

SHOWN = 3


def explained(feeling: UserFeeling) -> Iterator[tuple[str, str]]:
    """Yields (heading, line): the evidence of voice and words, their fusion, and the tone of the reply."""
    yield "voice", _side(feeling.voice, "no voice was heard")
    yield "words", _side(feeling.text, "no English words")
    place = f"valence {feeling.valence:+.2f}, arousal {feeling.arousal:+.2f}, intensity {feeling.intensity:.2f}"
    yield "felt", f"{_scores(feeling.emotions)}: {place}"
    tone = feeling.tone
    mixed = f", {tone.blend_share:.0%} {tone.blend} mixed in" if tone.blend else ""
    answer = f"{tone.mirror} to give back, {tone.support} to support, {tone.ask} to ask"
    yield "tone", f"{tone.feeling} is answered with {answer}, at {tone.intensity:.2f}{mixed}: {tone.reason}"


def _side(evidence: Evidence | None, nothing: str) -> str:
    if evidence is None:
        return nothing
    place = f"valence {evidence.valence:+.2f}, arousal {evidence.arousal:+.2f}, confidence {evidence.confidence:.2f}"
    notes = f"; {', '.join(evidence.notes)}" if evidence.notes else ""
    return f"{_scores(evidence.labels) or 'nothing known'}: {place}{notes}"


def _scores(scores: tuple[tuple[str, float], ...]) -> str:
    return ", ".join(f"{name} {score:.2f}" for name, score in scores[:SHOWN])
