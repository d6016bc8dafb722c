"""The interface between speech-to-text and a session."""

from __future__ import annotations

from typing import Protocol

from oviya.errors import OviyaError
from oviya.v1 import stt_pb2
from services.gateway.turn.utterance import Utterance

SttEvent = stt_pb2.SpeechStarted | stt_pb2.Transcript | stt_pb2.TurnEnded


class SttListener(Protocol):
    """Receives what speech-to-text recognizes."""

    def new_turn(self) -> int:
        """Returns the number of a turn that begins."""
        ...

    async def on_event(self, turn: int, kind: str, event: SttEvent) -> None:
        """Called for each event.

        Args:
            turn: number of the turn.
            kind: the event's name in ConverseResponse: speech_started, partial, final or turn_ended.
            event: in the session's time.
        """
        ...

    async def on_turn_final(self, utterance: Utterance) -> None:
        """Called after the events of a turn that is over."""
        ...

    async def on_eager_end_of_turn(self, text: str) -> None:
        """Called when the running turn is probably over, with its words so far.

        `on_turn_final` follows if it is, `on_turn_resumed` if it is not.
        """
        ...

    async def on_turn_resumed(self) -> None:
        """Called when the user goes on after an eager end of turn."""
        ...

    async def on_turn_failed(self, turn: int, error: OviyaError) -> None:
        """Called when the words of a turn cannot be recognized."""
        ...

    async def on_stt_unavailable(self, error: OviyaError) -> None:
        """Called when speech-to-text is unavailable for the time being."""
        ...
