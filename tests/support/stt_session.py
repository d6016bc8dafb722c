"""A session of the speech-to-text engine without the engine around it."""

from __future__ import annotations

from oviya.audio.pcm import Pcm
from services.stt.endpoint.vad import VadStream
from services.stt.engine.events import EndReason, Event
from services.stt.engine.limits import TurnLimits
from services.stt.engine.session import Session
from services.stt.frontend.frontend import FrontEnd
from services.stt.recognizer import Recognizer


class DecodingSession(Session):
    """A session that gets its recognizer as soon as a turn starts."""

    def __init__(
        self, recognizer: Recognizer, vad: VadStream, front: FrontEnd, source_hz: int, limits: TurnLimits
    ) -> None:
        super().__init__(vad, front, source_hz, limits)
        self._decodes_with = recognizer
        self._fresh = True

    def push(self, samples: Pcm) -> list[Event]:
        return self._decode(super().push(samples))

    def finish(self) -> list[Event]:
        """Ends the stream and the running turn."""
        return self._decode(super().flush()) + self.end_turn(EndReason.STREAM_END)

    def _decode(self, events: list[Event]) -> list[Event]:
        while self.needs_recognizer:
            events += self.attach(self._decodes_with, fresh=self._fresh)
            self._fresh = False
        return events
