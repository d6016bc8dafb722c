"""Segments and replies for tests of the gateway's voice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np

from oviya.v1 import common_pb2, conversation_pb2
from services.gateway.voice.playback import Playback
from services.gateway.voice.reply_sender import ReplySender
from services.gateway.voice.segment import (
    AUTO,
    CSM,
    ENGLISH,
    NEUTRAL_PLAN,
    VOICE_RATE_HZ,
    ReplyAudio,
    Segment,
    SpeechEvent,
    SpeechOptions,
)
from services.gateway.voice.speech_handle import SpeechHandle
from services.gateway.voice.synthesized_segment import SynthesizedSegment, VoiceStart

PIECE_S = 0.08


def make_segment(text: str, index: int = 0, *, filler: bool = False) -> Segment:
    """An English sentence with the neutral plan, for CSM."""
    return Segment(index, text, text, ENGLISH, NEUTRAL_PLAN, CSM, SpeechOptions(AUTO), context=[], filler=filler)


class Sent:
    """Keeps the events of a reply."""

    def __init__(self) -> None:
        self.events: list[SpeechEvent] = []

    async def __call__(self, event: SpeechEvent) -> None:
        self.events.append(event)

    @property
    def positions(self) -> list[float]:
        """Where each piece of sound begins."""
        return [round(event.position_s, 3) for event in self.events if isinstance(event, ReplyAudio)]

    @property
    def sentences(self) -> list[str]:
        """The sentences that were announced."""
        return [event.text for event in self.events if isinstance(event, conversation_pb2.ReplySentence)]


def new_speech(lead_s: float = 1.0, *, held: bool = False) -> tuple[SpeechHandle, Sent]:
    """A reply whose sound nobody makes yet, and what is sent of it."""
    sent = Sent()
    return SpeechHandle(ReplySender(Playback(lead_s), sent, held=held)), sent


def start(speech: SpeechHandle, speaking: Callable[[SpeechHandle], Awaitable[None]]) -> None:
    """Lets `speaking` synthesize and send a reply."""

    async def run() -> None:
        await speaking(speech)
        await speech.sender.finish()

    speech.start(run())


def synthesize(
    speech: SpeechHandle, text: str, length_s: float, *, whole: bool = True, filler: bool = False
) -> SynthesizedSegment:
    """Adds a sentence with `length_s` seconds of sound without silence; `whole`: no more will come."""
    speech.first_sentence_at = speech.first_sentence_at or asyncio.get_running_loop().time()
    segment = speech.add_segment(make_segment(text, len(speech.segments), filler=filler))
    segment.start_voice(VoiceStart(CSM, "en"))
    segment.add_sound(np.full(round(length_s * VOICE_RATE_HZ), 0.5, np.float32))
    segment.synthesized = whole
    return segment


async def say(speech: SpeechHandle, text: str, length_s: float, *, whole: bool = True, filler: bool = False) -> None:
    """Synthesizes a sentence and sends it, in pieces of `PIECE_S`."""
    segment = synthesize(speech, text, length_s, whole=whole, filler=filler)
    start_s = speech.sender.made_s

    def begin() -> None:
        segment.start_s = start_s

    announced = conversation_pb2.ReplySentence(index=segment.segment.index, text=text)
    await speech.sender.push(announced, on_sent=begin)
    left_s = length_s
    while left_s > 1e-9:
        await speech.sender.push(common_pb2.Audio(), min(PIECE_S, left_s))
        left_s -= PIECE_S
