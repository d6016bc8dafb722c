"""What the asynchronous and the blocking client share: the options of speech and its result."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np

from oviya.audio.pcm import S16LE, Pcm
from oviya.client.events import AudioChunk, Sentence, SpeakEvent
from oviya.client.wire import voice_number
from oviya.durations import duration
from oviya.v1 import common_pb2, conversation_pb2

GATEWAY = "gateway"
GATEWAY_ADDRESS = "localhost:50050"
OUTPUT_RATE_HZ = 24_000
"""Native rate of the voice; other rates are resampled."""


class SayOptions(TypedDict, total=False):
    """How a text is spoken."""

    emotion: str
    """One of the 49 emotions or an alias; empty, the default: neutral."""
    speaker: int
    """Speaker id of the voice, by default 0."""
    voice: str
    """``auto`` (the default), ``csm`` or ``fallback``."""
    seed: int | None
    """Makes CSM's sampling repeatable."""
    sample_rate_hz: int
    """Rate of the audio, 8000 to 48000, by default `OUTPUT_RATE_HZ`."""


class SpeakOptions(SayOptions, total=False):
    """How a text is spoken, and how far ahead of real time."""

    lead_s: float | None
    """How far ahead of real time audio may arrive; 0, the default: as fast as possible, None: the gateway's setting."""


@dataclass(frozen=True, slots=True)
class Speech:
    """A whole spoken text: samples, shape (samples,), and its sentences."""

    samples: Pcm = field(repr=False)
    sample_rate_hz: int
    sentences: tuple[Sentence, ...]


def speak_request(
    text: str,
    *,
    emotion: str = "",
    speaker: int = 0,
    voice: str = "auto",
    seed: int | None = None,
    sample_rate_hz: int = OUTPUT_RATE_HZ,
    lead_s: float | None = 0.0,
) -> conversation_pb2.SpeakRequest:
    """Packs a text with its `SpeakOptions`.

    Raises:
        InvalidInput: unknown voice.
    """
    return conversation_pb2.SpeakRequest(
        text=text,
        emotion=emotion,
        speaker=speaker,
        voice=voice_number(voice),
        output=common_pb2.AudioFormat(encoding=S16LE, sample_rate_hz=sample_rate_hz),
        lead=None if lead_s is None else duration(lead_s),
        seed=seed,
    )


def collect_speech(events: Iterable[SpeakEvent], options: SayOptions) -> Speech:
    """Joins the audio of `events`."""
    sentences: list[Sentence] = []
    chunks = [np.zeros(0, np.float32)]
    for event in events:
        match event:
            case Sentence():
                sentences.append(event)
            case AudioChunk():
                chunks.append(event.samples)
            case _:
                pass
    return Speech(np.concatenate(chunks), options.get("sample_rate_hz", OUTPUT_RATE_HZ), tuple(sentences))
