"""A gateway on real ports, scripted services around it, and what a caller hears of it.

The emotion service is always the real one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc import aio

from oviya.audio.pcm import S16LE, decode_pcm, encode_pcm
from oviya.errors import OviyaError
from oviya.mesh.service import RunningService, Service
from oviya.status import error_from_rpc
from oviya.v1 import (
    conversation_pb2,
    conversation_pb2_grpc,
    stt_pb2,
)
from oviya.writing import half_close, write
from services.emotion.server import EmotionService
from services.emotion.settings import EmotionSettings
from services.gateway.service import GatewayService
from services.gateway.settings import GatewaySettings
from tests.support.ports import free_port
from tests.support.scripted_services import RATE_HZ
from tests.support.serving import serve_for_test


@dataclass
class Heard:
    """What came of a call: its events, and the failure that it ended with."""

    events: list[Any] = field(default_factory=list)

    def of(self, kind: str) -> list[Any]:
        """The values of all events of one kind."""
        return [getattr(event, kind) for event in self.events if event.WhichOneof("event") == kind]

    def kinds(self) -> list[str]:
        """The kinds of the events in order, audio once in a row; without user_feeling, which follows user_emotion,
        and words_spoken, whose number depends on the clock."""
        kinds = [event.WhichOneof("event") for event in self.events]
        kinds = [kind for kind in kinds if kind not in ("user_feeling", "words_spoken")]
        return [kind for at, kind in enumerate(kinds) if kind != "audio" or at == 0 or kinds[at - 1] != "audio"]

    def sound(self) -> np.ndarray:
        """The audio, shape (samples,), full scale 1.0."""
        pieces = [decode_pcm(audio.pcm, audio.format.encoding) for audio in self.of("audio")]
        return np.concatenate([np.zeros(0, np.float32), *pieces])


@dataclass
class GatewayUnderTest:
    """A gateway that runs, a stub to it, and the scripted services."""

    service: GatewayService
    stub: Any
    address: str

    async def speak(self, text: str, **fields: Any) -> Heard:
        """Has a text spoken as fast as possible."""
        fields.setdefault("lead", Duration())
        heard = Heard()
        async for event in self.stub.Speak(conversation_pb2.SpeakRequest(text=text, **fields), timeout=60):
            heard.events.append(event)
        return heard

    async def converse(self, *requests: Any, until: Callable[[Any], Any] | None = None, **config: Any) -> Heard:
        """Sends the configuration and `requests`, half-closes, and reads to the end.

        A request is a text (a typed turn), bytes (sound), a message, or an awaitable that is waited for.
        """
        heard = Heard()
        config.setdefault("lead", Duration())
        # the scripts tell speech from silence by zeros, which a canceller does not leave as they are
        config.setdefault("echo_cancellation", conversation_pb2.ECHO_CANCELLATION_CALLER)

        call = self.stub.Converse(timeout=120)

        async def send() -> None:
            await write(call, conversation_pb2.ConverseRequest(config=conversation_pb2.ConverseConfig(**config)))
            for request in requests:
                match request:
                    case str():
                        await write(call, conversation_pb2.ConverseRequest(text=request))
                    case bytes():
                        await write(call, conversation_pb2.ConverseRequest(audio=request))
                    case conversation_pb2.ConverseRequest():
                        await write(call, request)
                    case _:
                        await request
            await half_close(call)

        sending = asyncio.create_task(send())
        try:
            while (event := await call.read()) is not aio.EOF:
                heard.events.append(event)
                if until is not None and until(event):
                    break
        finally:
            call.cancel()
            sending.cancel()
            await asyncio.wait({sending})
            for request in requests:
                if asyncio.iscoroutine(request):
                    request.close()
        return heard


END_TURN = conversation_pb2.ConverseRequest(end_turn=stt_pb2.EndTurn())


def speech(seconds: float = 0.5, silence: float = 0.3, rate_hz: int = RATE_HZ) -> list[bytes]:
    """Sound for `ScriptedStt`, in messages of 20 ms: `seconds` of speech, then `silence`."""
    tone = np.full(round(seconds * rate_hz), 0.1, np.float32)
    whole = np.concatenate((tone, np.zeros(round(silence * rate_hz), np.float32)))
    step = rate_hz // 50
    return [encode_pcm(whole[start : start + step], S16LE) for start in range(0, len(whole), step)]


async def wait_for_state(gateway: GatewayService, service: str, state: str) -> None:
    """Waits until the gateway reports `service` in `state` and, if it serves a model, has asked for it."""
    while True:
        reported = gateway.readiness.report()["services"][service]
        if reported["state"] == state and (state != "serving" or service == "emotion" or "model" in reported):
            return
        await asyncio.sleep(0.01)


@asynccontextmanager
async def gateway_with(
    *services: Service[Any], emotion: bool = True, **settings: Any
) -> AsyncIterator[GatewayUnderTest]:
    """Runs a gateway, the given services and the real emotion service; what is not given is not there."""
    async with AsyncExitStack() as stack:
        for name in ("stt", "brain", "emotion", "csm", "mimi"):
            settings.setdefault(f"{name}_address", f"127.0.0.1:{free_port()}")
        present = [*services, *([EmotionService(EmotionSettings())] if emotion else [])]
        for service in present:
            served = await stack.enter_async_context(serve_for_test(service))
            settings[f"{service.name}_address"] = served.address
        settings = {"http_port": 0, "health_poll_s": 0.02, "drain_grace_s": 5.0, **settings}
        gateway = GatewayService(GatewaySettings(**settings))
        served = await stack.enter_async_context(serve_for_test(gateway))
        for service in present:
            async with asyncio.timeout(20):
                await wait_for_state(gateway, service.name, "serving")
        # a plain channel, as other people's apps have: without the mesh's retries, every answer is seen
        channel = await stack.enter_async_context(aio.insecure_channel(served.address))
        yield GatewayUnderTest(gateway, conversation_pb2_grpc.ConversationServiceStub(channel), served.address)


@asynccontextmanager
async def served_at(port: int, service: Service[Any]) -> AsyncIterator[None]:
    """Runs a service on a given port, for one that comes late or comes back."""
    service.settings.host, service.settings.port, service.settings.drain_wait_s = "127.0.0.1", port, 0.0
    running = RunningService(service)
    await running.start()
    try:
        yield
    finally:
        await running.stop()


def turn_events(heard: Heard, turn: int) -> list[str]:
    """The kinds of a turn's events, audio once in a row, without degraded modes, user_feeling and words_spoken."""
    kinds = [event.WhichOneof("event") for event in heard.events if event.turn == turn]
    kinds = [kind for kind in kinds if kind not in ("session_started", "degraded", "user_feeling", "words_spoken")]
    return [kind for at, kind in enumerate(kinds) if kind not in ("audio", "partial") or kinds[at - 1] != kind]


async def failure_of(gateway: GatewayUnderTest, *requests: Any, **config: Any) -> OviyaError:
    """The typed error that a session ends with."""
    with pytest.raises(aio.AioRpcError) as caught:
        await gateway.converse(*requests, **config)
    return error_from_rpc(caught.value, "gateway")
