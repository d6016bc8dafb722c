"""A speech-to-text engine for a test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from oviya.audio.pcm import Pcm
from services.stt.endpoint.endpointing import EndSilence
from services.stt.engine.async_session import AsyncSession
from services.stt.engine.engine import SttEngine
from services.stt.engine.events import Event, Final
from services.stt.engine.limits import EngineLimits, TurnLimits
from services.stt.recognizer import Recognizer
from tests.support.speech import silence, speak
from tests.support.stt_recognizers import whisper

TURNS = TurnLimits(0.25, EndSilence(0.35, 0.9, 1.5), max_turn_s=60.0)
THANKS = "thank you very much"
SENTENCE = np.concatenate((silence(0.3), speak(THANKS), silence(1.2)))
SPOKEN = len(SENTENCE) - round(1.2 * 16_000)
"""Samples up to the end of the speech, more or less."""


@asynccontextmanager
async def running(
    recognizer: Recognizer | None = None, turns: TurnLimits = TURNS, **limits: Any
) -> AsyncIterator[SttEngine]:
    """Runs an engine, with Whisper unless another recognizer is given.

    Decodes may wait for a minute, unless `limits` say otherwise: the machine may run other tests at the same time.
    """
    limits = {"max_session_s": 600.0, "decode_wait_s": 60.0, **limits}
    engine = SttEngine(turns, EngineLimits(**limits), recognizer or whisper())
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


def count_only_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stops the clock of all sessions, so that their limits count sound alone.

    A busy machine may take seconds before the first word of a stream is decoded.
    """
    monkeypatch.setattr(AsyncSession, "_now", lambda session: 0.0)


async def push(session: AsyncSession, sound: Pcm) -> list[Event]:
    """Pushes `sound`; returns the events."""
    return [event async for event in session.push(sound)]


async def push_and_finish(session: AsyncSession, sound: Pcm) -> list[Event]:
    """Pushes `sound` and ends the stream; returns the events."""
    return await push(session, sound) + await session.finish()


async def transcribe(session: AsyncSession, sound: Pcm) -> list[Event]:
    """Opens the session, pushes `sound` and ends the stream; returns the events."""
    await session.open()
    return await push_and_finish(session, sound)


def text_of(events: Iterable[Event]) -> str:
    """Returns the words of all finals."""
    return " ".join(event.text for event in events if isinstance(event, Final))
