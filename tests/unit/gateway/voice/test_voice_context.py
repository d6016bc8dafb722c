"""The earlier sentences that CSM gets."""

from __future__ import annotations

from oviya.v1 import common_pb2
from services.gateway.voice.segment import VoiceContext


def test_voice_context_keeps_the_newest_sentences():
    context = VoiceContext(2)
    for text in ("a", "b", "c"):
        context.add(1, text, common_pb2.RvqFrames(codebooks=2, codes=[1, 2]))
    assert [segment.text for segment in context.segments()] == ["b", "c"]
