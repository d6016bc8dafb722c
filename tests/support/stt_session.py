"""Sessions of the speech-to-text engine without the engine around them, and what their tests share."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np

from oviya.audio.pcm import Pcm
from oviya.errors import OviyaError
from services.stt.decode.words import plain
from services.stt.endpoint.endpointing import EndSilence
from services.stt.endpoint.smart_turn import SmartTurn
from services.stt.endpoint.vad import VadStream
from services.stt.engine.events import EndReason, Event
from services.stt.engine.limits import TurnLimits
from services.stt.engine.session import Session
from services.stt.recognizer import Recognizer, Request, Transcript

SILENCE = EndSilence(min_s=0.35, max_s=0.9, cap_s=1.5)
LIMITS = TurnLimits(0.3, SILENCE, max_turn_s=60.0, end_silence_s=0.6)
ADAPTIVE = TurnLimits(0.25, SILENCE, max_turn_s=60.0)
WINDOW_S = 0.032


class InlineDecodes:
    """Runs every decode when it is submitted, so that events do not depend on time."""

    def __init__(self, recognizer: Recognizer) -> None:
        self._recognizer = recognizer

    def submit(self, make_request: Callable[[], Request], *, final: bool) -> Future[Transcript]:
        result: Future[Transcript] = Future()
        try:
            result.set_result(self._recognizer.transcribe([make_request()])[0])
        except OviyaError as error:
            result.set_exception(error)
        return result


class HeldDecodes:
    """Keeps decodes until `run`."""

    def __init__(self) -> None:
        self.submitted: list[tuple[Callable[[], Request], Future[Transcript]]] = []

    def submit(self, make_request: Callable[[], Request], *, final: bool) -> Future[Transcript]:
        result: Future[Transcript] = Future()
        self.submitted.append((make_request, result))
        return result

    @property
    def waiting(self) -> list[Request]:
        """The requests that were neither run nor cancelled."""
        return [make_request() for make_request, result in self.submitted if not result.done()]

    def run(self, recognizer: Recognizer) -> None:
        """Runs what is waiting."""
        for make_request, result in self.submitted:
            if not result.done():
                result.set_result(recognizer.transcribe([make_request()])[0])


class InlineSession(Session):
    """A session whose decodes take no time."""

    def __init__(
        self, recognizer: Recognizer, vad: VadStream, smart_turn: SmartTurn, source_hz: int, limits: TurnLimits
    ) -> None:
        super().__init__(vad, smart_turn, source_hz, limits, InlineDecodes(recognizer), clock=lambda: 0.0)

    def finish(self) -> list[Event]:
        """Ends the stream and the running turn."""
        return super().flush() + self.end_turn(EndReason.STREAM_END)


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


def plain_words(text: str) -> list[str]:
    """Returns the words of an event's text in lower case without punctuation, which may change from event to event."""
    return [word for written in text.split() if (word := plain(written))]
