"""Sends the sentences of a reply: for each a ReplySentence just before its first sound, then its sound, paced."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from oviya.v1 import common_pb2, conversation_pb2
from services.gateway.voice.loudness import Loudness
from services.gateway.voice.pacer import Pacer
from services.gateway.voice.packetizer import Packetizer
from services.gateway.voice.segment import VOICE_RATE_HZ, Send, Voice
from services.gateway.voice.speech_handle import SpeechHandle
from services.gateway.voice.synthesized_segment import SynthesizedSegment, VoiceStart

RESTART_PAUSE_S = 0.25
"""Silence before a sentence that broke off is repeated, so that listeners recognize a new start."""


@dataclass
class SegmentSender:
    """Sends one sentence.

    Args:
        sent: the sentence.
        speech: records what is sent.
        audio_format: format of the sound.
        all_loudness: loudness control of each voice.
        pacer: the session's pacer.
        send: takes the events.
    """

    sent: SynthesizedSegment
    speech: SpeechHandle
    audio_format: common_pb2.AudioFormat
    all_loudness: Mapping[Voice, Loudness]
    pacer: Pacer
    send: Send
    _start: VoiceStart | None = field(default=None, init=False)
    _announced: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._packetizer = Packetizer(self.audio_format)

    async def run(self) -> None:
        """Sends the sentence to its end."""
        energy_scale = self.sent.segment.plan.energy_scale
        while (part := await self.sent.audio.get()) is not None:
            if isinstance(part, VoiceStart):
                await self._start_voice(part)
            else:
                await self._push(self._packetizer.push(self._loudness.process(part, energy_scale)))
        if self._start is not None:
            await self._flush()
        self.sent.complete = True

    @property
    def _loudness(self) -> Loudness:
        assert self._start is not None, "sound without a voice"
        return self.all_loudness[self._start.voice]

    async def _start_voice(self, start: VoiceStart) -> None:
        """Starts a voice; after the last sound of another one and a pause where that one has been sent."""
        if self._announced:
            await self._flush()
            self._announced = False
            self._start = start
            await self._push(self._packetizer.push(np.zeros(round(RESTART_PAUSE_S * VOICE_RATE_HZ), np.float32)))
            return
        if self._start is not None:
            self._loudness.flush()  # sound that was never sent
            self._packetizer = Packetizer(self.audio_format)
        self._start = start

    async def _flush(self) -> None:
        await self._push(self._packetizer.push(self._loudness.flush()))
        await self._push(self._packetizer.flush())

    async def _push(self, packets: Iterable[tuple[common_pb2.Audio, float]]) -> None:
        for audio, length_s in packets:
            if self.speech.first_audio_at is None:
                self.speech.first_audio_at = asyncio.get_running_loop().time()
            played_at = await self.pacer.pace(length_s)
            if not self._announced:
                await self._announce()
            await self.send(audio)
            self.speech.add_sent(self.sent, length_s, played_at)

    async def _announce(self) -> None:
        self._announced = True
        self.speech.begin_segment(self.sent)
        segment, start = self.sent.segment, self._start
        assert start is not None, "sound without a voice"
        await self.send(
            conversation_pb2.ReplySentence(
                index=segment.index,
                text=segment.text,
                plan=segment.plan,
                voice=start.voice,
                spoken=segment.spoken,
                language=start.language,
            )
        )
