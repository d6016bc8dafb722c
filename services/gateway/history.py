"""What a session remembers: the turns for the brain, and the sound of earlier sentences for CSM."""

from __future__ import annotations

from collections import deque

from oviya.v1 import brain_pb2, common_pb2, csm_pb2

MAX_TURN_CHARS = 8192
"""Longest turn that the brain takes (protos/oviya/v1/brain.proto)."""


class History:
    """The turns of one session, the newest `limit` of them.

    Args:
        limit: turns that are kept, both sides counted; 0 keeps none.
    """

    def __init__(self, limit: int) -> None:
        self._turns: deque[brain_pb2.Turn] = deque(maxlen=limit)

    def add_user(self, text: str) -> None:
        """Remembers what the user said."""
        self._add(brain_pb2.ROLE_USER, text)

    def add_reply(self, sentences: list[str]) -> None:
        """Remembers the sentences of a reply that were sent to the user."""
        self._add(brain_pb2.ROLE_ASSISTANT, " ".join(sentences))

    def turns(self) -> list[brain_pb2.Turn]:
        """The turns, oldest first."""
        return list(self._turns)

    def _add(self, role: brain_pb2.Role.ValueType, text: str) -> None:
        if text.strip():
            self._turns.append(brain_pb2.Turn(role=role, text=text[:MAX_TURN_CHARS]))


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
