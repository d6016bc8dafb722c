"""A running conversation with the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

import grpc
import grpc.aio
import numpy as np

from oviya.audio.pcm import S16LE, Pcm, audio_message, encode_pcm
from oviya.client import wire
from oviya.client.channel import read_events
from oviya.client.events import ConverseEvent
from oviya.client.speaking import GATEWAY
from oviya.durations import duration
from oviya.errors import InvalidInput, NotReady
from oviya.status import error_from_rpc, failure_of
from oviya.v1 import common_pb2, conversation_pb2, stt_pb2
from oviya.writing import half_close, write

MAX_MESSAGE_SAMPLES = 1 << 19
"""16-bit samples in the 1 MiB that one message may hold (protos/oviya/v1/conversation.proto)."""


class Conversation:
    """A running conversation: send audio at the pace of speech, or text, and iterate over its events.

    Send and iterate concurrently; any number of tasks may send.  Iteration ends when the gateway has answered
    everything that was sent before `finish`.
    """

    def __init__(
        self,
        call: grpc.aio.StreamStreamCall[conversation_pb2.ConverseRequest, conversation_pb2.ConverseResponse],
        config: conversation_pb2.ConverseConfig,
    ) -> None:
        self._call = call
        self._config = config
        self._events = read_events(call, wire.from_converse, GATEWAY, None)
        self._writing = asyncio.Lock()  # gRPC refuses a second write while one is pending

    async def send_audio(self, samples: Pcm) -> None:
        """Sends mono samples, shape (samples,), full scale 1.0, at the configured rate."""
        for start in range(0, len(samples), MAX_MESSAGE_SAMPLES):
            chunk = np.asarray(samples[start : start + MAX_MESSAGE_SAMPLES], np.float32)
            await self._write(conversation_pb2.ConverseRequest(audio=encode_pcm(chunk, S16LE)))

    async def send_text(self, text: str) -> None:
        """Sends a typed turn; it is answered like a spoken one."""
        await self._write(conversation_pb2.ConverseRequest(text=text))

    async def end_turn(self) -> None:
        """Ends the user's turn without waiting for silence."""
        await self._write(conversation_pb2.ConverseRequest(end_turn=stt_pb2.EndTurn()))

    async def interrupt(self) -> None:
        """Stops the reply that is being generated or spoken.  Answered by Interrupted, or RequestFailed without one."""
        await self._write(conversation_pb2.ConverseRequest(interrupt=conversation_pb2.Interrupt()))

    async def played(self, turn: int, position_s: float) -> None:
        """Reports how far the reply of `turn` has been played; see `Loudspeaker.report`.

        Without reports the gateway assumes that audio is played as it arrives.

        Args:
            turn: the reply's turn.
            position_s: position in the reply's audio, as in AudioChunk.position_s.
        """
        report = conversation_pb2.Played(turn=turn, position=duration(position_s))
        await self._write(conversation_pb2.ConverseRequest(played=report))

    async def set_voice(
        self,
        *,
        speaker: int | None = None,
        clip: tuple[Pcm, int] | None = None,
        registered: str = "",
        text: str = "",
        keep_as: str = "",
        consent: bool = False,
        voice_token: str = "",
    ) -> None:
        """Changes the voice of the following replies.  Answered by VoiceSet or RequestFailed.

        Args:
            speaker: a speaker id of the checkpoint.
            clip: speech in the voice, 3 to 30 seconds of one person: samples, shape (samples,), and their rate in Hz,
                as `oviya.audio.wav.read_wav` returns them.
            registered: the name of a voice that was kept.
            text: what is said in the clip; empty: speech-to-text transcribes it.
            keep_as: name under which the clip is kept for later sessions; needs `consent`.
            consent: whether the person who speaks in the clip agrees that the voice is kept and spoken with.
            voice_token: the token of the registered voice, from VoiceSet.

        Raises:
            InvalidInput: not exactly one of `speaker`, `clip` and `registered` is given.
        """
        if (speaker is not None) + (clip is not None) + bool(registered) != 1:
            raise InvalidInput("set_voice", "", "needs exactly one of speaker, clip and registered")
        request = conversation_pb2.SetVoice(keep_as=keep_as, voice_token=voice_token)
        if clip is not None:
            samples, rate_hz = clip
            audio = audio_message(samples, common_pb2.AudioFormat(encoding=S16LE, sample_rate_hz=rate_hz))
            request.clip.CopyFrom(conversation_pb2.VoiceClip(audio=audio, text=text, consent=consent))
        elif speaker is not None:
            request.speaker = speaker
        else:
            request.registered = registered
        await self._write(conversation_pb2.ConverseRequest(set_voice=request))

    async def set_emotion(self, name: str) -> None:
        """Speaks the following replies with one emotion; with an empty `name`, the brain chooses again.

        An unknown name is answered by RequestFailed.
        """
        await self._write(conversation_pb2.ConverseRequest(set_emotion=conversation_pb2.SetEmotion(emotion=name)))

    async def finish(self) -> None:
        """Half-closes the stream; the running turn is still answered."""
        async with self._writing:
            await half_close(self._call)

    def __aiter__(self) -> AsyncIterator[ConverseEvent]:
        return self._events

    async def __aenter__(self) -> Self:
        await self._write(conversation_pb2.ConverseRequest(config=self._config))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call.cancel()
        await self._events.aclose()

    async def _write(self, request: conversation_pb2.ConverseRequest) -> None:
        """Sends a request.

        Raises:
            NotReady: the conversation is over.
            OviyaError: the gateway ended it with an error.
        """
        async with self._writing:
            if await write(self._call, request):
                return
        if await self._call.code() is not grpc.StatusCode.OK:
            raise error_from_rpc(await failure_of(self._call), GATEWAY)
        raise NotReady("the conversation is over", hint="open a new one to go on")
