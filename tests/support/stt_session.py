"""Sessions of the speech-to-text engine without the engine around them, and what their tests share."""

from __future__ import annotations

from typing import Any

import numpy as np

from oviya.audio.pcm import Pcm
from services.stt.endpoint.endpointing import EndSilence
from services.stt.endpoint.vad import VadStream
from services.stt.engine.events import EndReason, Event
from services.stt.engine.limits import TurnLimits
from services.stt.engine.session import Session
from services.stt.frontend.frontend import FrontEnd
from services.stt.recognizer import Recognizer

SILENCE = EndSilence(min_s=0.35, max_s=0.9, cap_s=1.5)
LIMITS = TurnLimits(0.3, SILENCE, max_turn_s=60.0, end_silence_s=0.6)
ADAPTIVE = TurnLimits(0.25, SILENCE, max_turn_s=60.0)
WINDOW_S = 0.032


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


def join(*parts: Pcm) -> Pcm:
    """Returns one sound after the other."""
    return np.concatenate(parts)


def of(kind: Any, events: list[Any]) -> list[Any]:
    """Returns the events of a kind."""
    return [event for event in events if isinstance(event, kind)]


def push_all(session: Session, sound: Pcm, chunk: int = 320) -> list[Event]:
    """Pushes `sound` in chunks of so many samples; returns the events."""
    events: list[Event] = []
    for start in range(0, len(sound), chunk):
        events += session.push(sound[start : start + chunk])
    return events
