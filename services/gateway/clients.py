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

    async def map_emotion(self, emotion: str) -> emotion_pb2.ProsodyPlan:
        """Asks how to speak `emotion`.

        Raises:
            InvalidInput: no emotion or alias has this name; the error names the nearest.
            Unavailable, Timeout: the emotion service does not answer.
        """
        with typed_errors("emotion"):
            answer = await self.emotion.Map(
                emotion_pb2.MapRequest(emotion=emotion), timeout=self._settings.emotion_map_s
            )
        return answer.plan

    async def detect_emotion(self, text: str) -> emotion_pb2.EmotionScore:
        """Asks what the user seems to feel.

        Raises:
            Unavailable, Timeout: the emotion service does not answer.
        """

        async def requests() -> AsyncIterator[emotion_pb2.DetectRequest]:
            yield emotion_pb2.DetectRequest(text=text[:MAX_DETECT_CHARS])

        with typed_errors("emotion"):
            answer = await self.emotion.Detect(requests(), timeout=self._settings.call_timeout_s)
        return answer.emotions[0]

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
