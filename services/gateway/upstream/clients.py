"""Clients of the other services: channels, stubs, deadlines, stall time-outs, typed errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from grpc import aio

from oviya.mesh.channel import open_channel
from oviya.status import error_from_rpc
from oviya.streams import with_stall_timeout
from oviya.tasks import raising_failure_of
from oviya.v1 import (
    brain_pb2,
    brain_pb2_grpc,
    common_pb2,
    csm_pb2_grpc,
    emotion_pb2,
    emotion_pb2_grpc,
    mimi_pb2_grpc,
    stt_pb2_grpc,
)
from oviya.writing import sending
from services.gateway.settings import GatewaySettings

GRPC_NAMES = {
    "stt": "oviya.v1.SttService",
    "brain": "oviya.v1.BrainService",
    "emotion": "oviya.v1.EmotionService",
    "csm": "oviya.v1.CsmService",
    "mimi": "oviya.v1.MimiService",
}
"""Full gRPC name of each service that the gateway calls."""

MAX_DETECT_CHARS = 8192
"""Longest text that Detect accepts (protos/oviya/v1/emotion.proto)."""
MAX_DETECT_S = 20.0
"""Longest sound that Detect evaluates, in seconds."""
DETECT_MESSAGE_BYTES = 1 << 18
"""Bytes of sound per message: whole samples, below the message limit."""


class Mesh:
    """One channel and one stub per service."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self.addresses: dict[str, str] = {name: getattr(settings, f"{name}_address") for name in GRPC_NAMES}
        self.channels = {name: open_channel(self.addresses[name], grpc_name) for name, grpc_name in GRPC_NAMES.items()}
        self.stt = stt_pb2_grpc.SttServiceStub(self.channels["stt"])
        self.brain = brain_pb2_grpc.BrainServiceStub(self.channels["brain"])
        self.emotion = emotion_pb2_grpc.EmotionServiceStub(self.channels["emotion"])
        self.csm = csm_pb2_grpc.CsmServiceStub(self.channels["csm"])
        self.mimi = mimi_pb2_grpc.MimiServiceStub(self.channels["mimi"])

    async def close(self) -> None:
        """Cancels every call and closes the channels."""
        for channel in self.channels.values():
            await channel.close()

    async def map_emotion(self, emotion: str, tone: emotion_pb2.Tone | None = None) -> emotion_pb2.ProsodyPlan:
        """Returns the prosody plan of `emotion`, with the intensity and the blend of `tone`.

        Raises:
            InvalidInput: no emotion or alias has this name; the error suggests the nearest ones.
            Unavailable, Timeout: the emotion service does not answer.
        """
        request = emotion_pb2.MapRequest(emotion=emotion)
        if tone is not None:
            request.intensity = tone.intensity
            request.blend, request.blend_share = tone.blend, tone.blend_share
        with typed_errors("emotion"):
            answer = await self.emotion.Map(request, timeout=self._settings.emotion_map_s)
        return answer.plan

    async def detect_emotion(
        self, text: str, sound: common_pb2.Audio | None, speaker: emotion_pb2.SpeakerState, *, language: str = ""
    ) -> emotion_pb2.DetectResponse:
        """Returns what the user seems to feel.

        Args:
            text: the words.
            sound: the speech, of which at most the last `MAX_DETECT_S` seconds are sent; None: there is none.
            speaker: the state from the previous answer.
            language: language of the words (BCP 47); empty: unknown.

        Raises:
            Unavailable, Timeout: the emotion service does not answer.
        """

        async def requests() -> AsyncIterator[emotion_pb2.DetectRequest]:
            format = sound.format if sound else None
            config = emotion_pb2.DetectConfig(state=speaker, format=format, language=language)
            yield emotion_pb2.DetectRequest(config=config)
            yield emotion_pb2.DetectRequest(text=text[:MAX_DETECT_CHARS])
            if sound is not None:
                sample_bytes = 4 if sound.format.encoding == common_pb2.AUDIO_ENCODING_PCM_F32LE else 2
                longest = round(MAX_DETECT_S * sound.format.sample_rate_hz) * sample_bytes
                for start in range(max(0, len(sound.pcm) - longest), len(sound.pcm), DETECT_MESSAGE_BYTES):
                    yield emotion_pb2.DetectRequest(audio=sound.pcm[start : start + DETECT_MESSAGE_BYTES])

        call = self.emotion.Detect(timeout=self._settings.call_timeout_s)
        with typed_errors("emotion"):
            async with sending(call, requests()):
                return await call

    async def reply(self, request: brain_pb2.ReplyRequest) -> AsyncGenerator[brain_pb2.ReplyResponse, None]:
        """Streams the brain's reply; the call is cancelled when the reader leaves.

        Raises:
            Timeout: a sentence took too long.
            Unavailable, Busy: the brain does not answer, or failed in the middle.
        """
        settings = self._settings
        call = self.brain.Reply(request, timeout=settings.brain_total_s)
        responses = with_stall_timeout(
            call, settings.brain_stall_s, "the brain's next sentence", first_s=settings.brain_first_s
        )
        try:
            with typed_errors("brain"):
                async for response in responses:
                    yield response
        finally:
            call.cancel()

    async def summarize(self, request: brain_pb2.SummarizeRequest) -> brain_pb2.SummarizeResponse:
        """Returns the brain's summary of earlier turns.

        Raises:
            OviyaError: the brain could not make one, or does not answer.
        """
        with typed_errors("brain"):
            return await self.brain.Summarize(request, timeout=self._settings.brain_summary_s)


async def read_fed(call: Any, feeding: asyncio.Task[None], service: str) -> Any:
    """Returns the next message of a call whose requests a task writes, or `aio.EOF`.

    The task cancels the call when it fails; its error is then raised here, because it is the cause.

    Raises:
        OviyaError: what the service or the feeding task failed at.
    """
    with raising_failure_of(feeding), typed_errors(service):
        return await call.read()


@contextmanager
def typed_errors(service: str) -> Iterator[None]:
    """Converts the failure of a call to `service` inside the context to its typed error."""
    try:
        yield
    except aio.AioRpcError as error:
        raise error_from_rpc(error, service) from error
