"""The sound of a session's earlier sentences, for CSM."""

from __future__ import annotations

from collections import deque

from oviya.v1 import common_pb2, csm_pb2


class VoiceContext:
    """The sentences that CSM spoke last in a session, text and RVQ frames: they keep its voice steady.

    Args:
        limit: sentences that are kept; 0 keeps none.
    """

    def __init__(self, limit: int) -> None:
        self._segments: deque[csm_pb2.ContextSegment] = deque(maxlen=limit)

    def add(self, speaker: int, text: str, frames: common_pb2.RvqFrames) -> None:
        """Remembers one sentence that was generated to its end."""
        self._segments.append(csm_pb2.ContextSegment(speaker=speaker, text=text, audio=frames))

    def segments(self) -> list[csm_pb2.ContextSegment]:
        """The sentences, oldest first."""
        return list(self._segments)
