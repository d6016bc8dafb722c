"""The session's earlier sentences as context for CSM."""

from __future__ import annotations

from collections import deque

from oviya.v1 import common_pb2, csm_pb2


class VoiceContext:
    """Text and RVQ frames of the sentences that CSM spoke last in a session, which keep its voice steady.

    Args:
        limit: number of sentences to keep; 0: none.
    """

    def __init__(self, limit: int) -> None:
        self._segments: deque[csm_pb2.ContextSegment] = deque(maxlen=limit)

    def add(self, speaker: int, text: str, frames: common_pb2.RvqFrames) -> None:
        """Adds a sentence that was generated to its end."""
        self._segments.append(csm_pb2.ContextSegment(speaker=speaker, text=text, audio=frames))

    def segments(self) -> list[csm_pb2.ContextSegment]:
        """Returns the sentences, oldest first."""
        return list(self._segments)
