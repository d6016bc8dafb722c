"""The events of one session: numbers and ids of turns, and each event in its field."""

from __future__ import annotations

import uuid
from typing import Any

from oviya.durations import duration
from oviya.v1 import common_pb2, conversation_pb2, emotion_pb2
from services.gateway import metrics
from services.gateway.conversation.event_queue import EventQueue
from services.gateway.turn.turn_handler import TurnEvent
from services.gateway.voice.segment import ReplyAudio

TURN_ID_CHARS = 12
"""Hexadecimal digits of a turn's id: unique among some millions of turns."""
KEPT_TURN_IDS = 64
"""Turns whose id is known: more than can be open at once."""

_FIELD_OF = {
    conversation_pb2.ReplySentence: "reply_sentence",
    conversation_pb2.WordsSpoken: "words_spoken",
    conversation_pb2.Interrupted: "interrupted",
    emotion_pb2.EmotionScore: "user_emotion",
    emotion_pb2.DetectResponse: "user_feeling",
    conversation_pb2.ReplyEnded: "reply_ended",
    common_pb2.ErrorDetail: "turn_failed",
}
"""The field of ConverseResponse that carries an event of a turn."""


class SessionEvents:
    """Sends the events of one session.

    Args:
        queue: takes them.

    Attributes:
        turns: how many turns have begun.
    """

    def __init__(self, queue: EventQueue[conversation_pb2.ConverseResponse]) -> None:
        self._queue = queue
        self.turns = 0
        self._turn_ids: dict[int, str] = {}  # of the last turns
        self._reported: set[str] = set()  # services

    def new_turn(self) -> int:
        """Returns the number of a new turn; typed and spoken turns are numbered in the order in which they begin."""
        turn, self.turns = self.turns, self.turns + 1
        self._turn_ids[turn] = uuid.uuid4().hex[:TURN_ID_CHARS]
        self._turn_ids.pop(turn - KEPT_TURN_IDS, None)
        return turn

    def turn_id(self, turn: int) -> str:
        """Returns the id of one of the last turns; empty: there is no such turn."""
        return self._turn_ids.get(turn, "")

    async def put(self, turn: int, field: str, event: Any, *, position_s: float | None = None) -> None:
        """Sends an event.

        Args:
            turn: number of its turn.
            field: name of its field in ConverseResponse.
            event: the field's value.
            position_s: where sound begins in its reply, in seconds; None: it is no sound.
        """
        carried: dict[str, Any] = {field: event, "turn_id": self.turn_id(turn)}
        if position_s is not None:
            carried["position"] = duration(position_s)
        await self._queue.put(conversation_pb2.ConverseResponse(turn=turn, **carried))

    async def put_of_turn(self, turn: int, event: TurnEvent) -> None:
        """Sends an event of a turn that is answered."""
        match event:
            case conversation_pb2.Degraded():
                await self.put_degraded(turn, event)
            case ReplyAudio():
                await self.put(turn, "audio", event.audio, position_s=event.position_s)
            case _:
                await self.put(turn, _FIELD_OF[type(event)], event)

    async def put_answer(self, answer: conversation_pb2.VoiceSet | common_pb2.ErrorDetail) -> None:
        """Sends the answer to a request that steers the session."""
        failed = isinstance(answer, common_pb2.ErrorDetail)
        await self.put(max(0, self.turns - 1), "request_failed" if failed else "voice_set", answer)

    async def put_degraded(self, turn: int, degraded: conversation_pb2.Degraded) -> None:
        """Sends a degraded event, unless it was sent for this service and the problem persists."""
        if degraded.service in self._reported:
            return
        self._reported.add(degraded.service)
        metrics.DEGRADED_TOLD.labels(degraded.service).inc()
        await self.put(turn, "degraded", degraded)

    def still_degraded(self, services: set[str]) -> None:
        """Reports services again that have worked since; `services` do not."""
        self._reported &= services
