"""The other services as the gateway calls them: channels, stubs, deadlines, stall time-outs, typed errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from grpc import aio

from oviya.errors import Timeout
from oviya.mesh.channel import open_channel
from oviya.status import error_from_rpc
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
from services.gateway.settings import GatewaySettings

T = TypeVar("T")

GRPC_NAMES = {
    "stt": "oviya.v1.SttService",
    "brain": "oviya.v1.BrainService",
    "emotion": "oviya.v1.EmotionService",
    "csm": "oviya.v1.CsmService",
    "mimi": "oviya.v1.MimiService",
}
"""Full gRPC name of each service that the gateway calls."""

MAX_DETECT_CHARS = 8192
"""Longest text that Detect takes (protos/oviya/v1/emotion.proto)."""
MAX_DETECT_S = 20.0
"""Seconds of sound that Detect judges."""
DETECT_MESSAGE_BYTES = 1 << 18
"""Sound in one message: whole samples, below a message's limit."""


class Mesh:
    """One channel and one stub a service.

    Args:
        settings: addresses and time-outs.
    """

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
        """Ends every call and closes the channels."""
        for channel in self.channels.values():
            await channel.close()

    async def map_emotion(self, emotion: str, tone: emotion_pb2.Tone | None = None) -> emotion_pb2.ProsodyPlan:
        """Asks how to speak `emotion`, as strongly as `tone` says and mixed with what it mixes in.

        Raises:
            InvalidInput: no emotion or alias has this name; the error names the nearest.
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
        self, text: str, sound: common_pb2.Audio | None, speaker: emotion_pb2.SpeakerState
    ) -> emotion_pb2.DetectResponse:
        """Asks what the user seems to feel.

        Args:
            text: the words.
            sound: the speech; None: there is none.  Of a long one the end is sent.
            speaker: the state that the last answer held.

        Raises:
            Unavailable, Timeout: the emotion service does not answer.
        """

        async def requests() -> AsyncIterator[emotion_pb2.DetectRequest]:
            config = emotion_pb2.DetectConfig(state=speaker, format=sound.format if sound else None)
            yield emotion_pb2.DetectRequest(config=config)
            yield emotion_pb2.DetectRequest(text=text[:MAX_DETECT_CHARS])
            if sound is not None:
                sample_bytes = 4 if sound.format.encoding == common_pb2.AUDIO_ENCODING_PCM_F32LE else 2
                longest = round(MAX_DETECT_S * sound.format.sample_rate_hz) * sample_bytes
                for start in range(max(0, len(sound.pcm) - longest), len(sound.pcm), DETECT_MESSAGE_BYTES):
                    yield emotion_pb2.DetectRequest(audio=sound.pcm[start : start + DETECT_MESSAGE_BYTES])

        with typed_errors("emotion"):
            return await self.emotion.Detect(requests(), timeout=self._settings.call_timeout_s)

    def reply(self, request: brain_pb2.ReplyRequest) -> AsyncGenerator[brain_pb2.ReplyResponse, None]:
        """Streams the brain's reply.

        Raises:
            Unavailable, Timeout, Busy: the brain does not answer, or stopped in the middle.
        """
        settings = self._settings
        return read_stream(
            self.brain.Reply(request, timeout=settings.brain_total_s),
            "brain",
            first_s=settings.brain_first_s,
            stall_s=settings.brain_stall_s,
        )

    async def summarize(self, request: brain_pb2.SummarizeRequest) -> brain_pb2.SummarizeResponse:
        """Asks the brain to shorten earlier turns.

        Raises:
            OviyaError: it could not, or does not answer.
        """
        with typed_errors("brain"):
            return await self.brain.Summarize(request, timeout=self._settings.brain_summary_s)


async def read_stream(call: Any, service: str, *, first_s: float, stall_s: float) -> AsyncGenerator[Any, None]:
    """Yields the messages of a streaming call, and cancels it when the reader leaves.

    Args:
        call: the call of grpc.aio.
        service: name of the service, for errors.
        first_s: longest wait in seconds for the first message.
        stall_s: longest wait in seconds for each further one.

    Raises:
        Timeout: a message took longer.
        OviyaError: what the service refused or failed at.
    """
    patience_s = first_s
    try:
        while True:
            try:
                with typed_errors(service):
                    async with asyncio.timeout(patience_s):
                        message = await call.read()
            except TimeoutError as error:
                raise Timeout(f"{service}: nothing came for {patience_s:g} s") from error
            if message is aio.EOF:
                return
            yield message
            patience_s = stall_s
    finally:
        call.cancel()


async def read_fed(call: Any, feeding: asyncio.Task[None], service: str) -> Any:
    """Returns the next message of a call that a task feeds, or `aio.EOF`.

    The feeding task cancels the call when it fails; its failure is raised here, since it is the reason.

    Raises:
        OviyaError: what the service or the feeding task failed at.
    """
    try:
        with typed_errors(service):
            return await call.read()
    except asyncio.CancelledError:
        if feeding.done() and not feeding.cancelled() and (failure := feeding.exception()) is not None:
            raise failure from None
        raise


@contextmanager
def typed_errors(service: str) -> Iterator[None]:
    """Raises the typed error of a call to `service` that fails inside."""
    try:
        yield
    except aio.AioRpcError as error:
        raise error_from_rpc(error, service) from error
