"""A gateway on real ports, with scripted services around it that are slow or fail in a controlled way.

The scripted services speak real gRPC from real servers of the mesh; the emotion service is always the real one.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from google.protobuf.duration_pb2 import Duration
from grpc import aio

from oviya.audio.pcm import F32LE, S16LE, audio_message, decode_pcm, encode_pcm
from oviya.errors import OviyaError, Unsupported
from oviya.mesh.service import RunningService, Service
from oviya.mesh.settings import ServiceSettings
from oviya.mesh.testing import serve_for_test
from oviya.v1 import (
    brain_pb2,
    brain_pb2_grpc,
    common_pb2,
    conversation_pb2,
    conversation_pb2_grpc,
    csm_pb2,
    csm_pb2_grpc,
    mimi_pb2,
    mimi_pb2_grpc,
    stt_pb2,
    stt_pb2_grpc,
)
from services.emotion.server import EmotionService
from services.emotion.settings import EmotionSettings
from services.gateway.service import GatewayService
from services.gateway.settings import GatewaySettings

RATE_HZ = 16_000
FRAME_SAMPLES = 1920
VOICE_RATE_HZ = 24_000
TONE_HZ = 440.0
"""What the scripted decoder makes of every frame: easily told from the fallback voice."""


class _Scripted(Service[ServiceSettings]):
    def __init__(self) -> None:
        super().__init__(ServiceSettings())

    async def start(self) -> None:
        pass


class ScriptedStt(_Scripted, stt_pb2_grpc.SttServiceServicer):
    """Takes samples that are not zero for speech, and 0.2 s of zeros for the end of a turn.

    Args:
        texts: what each turn is said to have been; the last one goes on for ever.
    """

    name = "stt"
    grpc_services = ("oviya.v1.SttService",)
    END_SILENCE_S = 0.2

    def __init__(self, *texts: str) -> None:
        super().__init__()
        self.texts = texts or ("hello there",)
        self.turns = 0
        self.opened = 0
        self.break_after: int | None = None  # audio messages after which a stream breaks off
        self.deaf = False  # hears speech start and then nothing

    def register(self, server: Any) -> None:
        stt_pb2_grpc.add_SttServiceServicer_to_server(self, server)

    async def GetModel(self, request: Any, context: Any) -> stt_pb2.SttServiceGetModelResponse:
        return stt_pb2.SttServiceGetModelResponse(model=common_pb2.ModelInfo(backend="scripted", trained=True))

    async def Transcribe(self, request_iterator: Any, context: Any) -> AsyncIterator[stt_pb2.TranscribeResponse]:
        self.opened += 1
        turn, position, speech_end, messages = 0, 0, None, 0
        encoding, rate = S16LE, RATE_HZ

        def at(samples: int) -> Duration:
            duration = Duration()
            duration.FromNanoseconds(round(samples / rate * 1e9))
            return duration

        def end(reason: Any) -> list[stt_pb2.TranscribeResponse]:
            text = self.texts[min(self.turns, len(self.texts) - 1)]
            self.turns += 1
            ended = stt_pb2.TurnEnded(reason=reason, speech_end=at(speech_end or 0))
            word = stt_pb2.Word(text=text, start=at(0), end=at(speech_end or 0))
            return [
                stt_pb2.TranscribeResponse(
                    at=at(position), turn=turn, final=stt_pb2.Transcript(text=text, words=[word])
                ),
                stt_pb2.TranscribeResponse(at=at(position), turn=turn, turn_ended=ended),
            ]

        async for request in request_iterator:
            events: list[stt_pb2.TranscribeResponse] = []
            match request.WhichOneof("request"):
                case "config":
                    encoding, rate = request.config.format.encoding, request.config.format.sample_rate_hz
                case "audio":
                    messages += 1
                    samples = decode_pcm(request.audio, encoding)
                    loud = np.flatnonzero(samples)
                    if len(loud):
                        if speech_end is None:
                            start = stt_pb2.SpeechStarted(start=at(position + int(loud[0])))
                            yield stt_pb2.TranscribeResponse(at=at(position), turn=turn, speech_started=start)
                        partial = stt_pb2.Transcript(text="hello")
                        yield stt_pb2.TranscribeResponse(at=at(position), turn=turn, partial=partial)
                        speech_end = position + int(loud[-1]) + 1
                    position += len(samples)
                    if self.break_after is not None and messages >= self.break_after:
                        self.break_after = None
                        raise OviyaError("the script breaks the stream")
                    if speech_end is not None and position - speech_end >= self.END_SILENCE_S * rate and not self.deaf:
                        events = end(stt_pb2.TURN_END_REASON_SILENCE)
                case "end_turn" if speech_end is not None and not self.deaf:
                    events = end(stt_pb2.TURN_END_REASON_REQUESTED)
            for event in events:
                yield event
            if events:
                turn, speech_end = turn + 1, None
        if speech_end is not None and not self.deaf:
            for event in end(stt_pb2.TURN_END_REASON_STREAM_END):
                yield event


class ScriptedBrain(_Scripted, brain_pb2_grpc.BrainServiceServicer):
    """Answers with given sentences.

    Args:
        sentences: each with its emotion.
    """

    name = "brain"
    grpc_services = ("oviya.v1.BrainService",)

    def __init__(self, *sentences: tuple[str, str]) -> None:
        super().__init__()
        self.sentences = sentences or (("I hear you.", "calm_supportive"),)
        self.requests: list[brain_pb2.ReplyRequest] = []
        self.fail: OviyaError | None = None
        self.before: Callable[[int], Any] = lambda index: None  # awaited before each sentence, and after the last
        self.cancelled = asyncio.Event()

    def register(self, server: Any) -> None:
        brain_pb2_grpc.add_BrainServiceServicer_to_server(self, server)

    async def Reply(self, request: brain_pb2.ReplyRequest, context: Any) -> AsyncIterator[brain_pb2.ReplyResponse]:
        self.requests.append(request)
        try:
            for index, (text, emotion) in enumerate(self.sentences):
                await _maybe(self.before(index))
                yield brain_pb2.ReplyResponse(index=index, text=text, emotion=emotion, backend="scripted")
            await _maybe(self.before(len(self.sentences)))
            if self.fail is not None:
                raise self.fail
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


class ScriptedCsm(_Scripted, csm_pb2_grpc.CsmServiceServicer):
    """Generates `frames` frames for every text."""

    name = "csm"
    grpc_services = ("oviya.v1.CsmService",)

    def __init__(self, *, trained: bool = True, frames: int = 10) -> None:
        super().__init__()
        self.trained = trained
        self.frames = frames
        self.requests: list[csm_pb2.GenerateRequest] = []
        self.fail: OviyaError | None = None
        self.fail_after = 0  # frames that come before `fail`
        self.before: Callable[[int], Any] = lambda frame: None  # awaited before each frame

    def register(self, server: Any) -> None:
        csm_pb2_grpc.add_CsmServiceServicer_to_server(self, server)

    async def GetModel(self, request: Any, context: Any) -> csm_pb2.CsmServiceGetModelResponse:
        model = common_pb2.ModelInfo(name="scripted-csm", backend="scripted", trained=self.trained)
        return csm_pb2.CsmServiceGetModelResponse(model=model, codebooks=8, codebook_size=2048, styles=["calm"])

    async def Generate(self, request: csm_pb2.GenerateRequest, context: Any) -> AsyncIterator[csm_pb2.GenerateResponse]:
        self.requests.append(request)
        for frame in range(self.frames):
            await _maybe(self.before(frame))
            if self.fail is not None and frame >= self.fail_after:
                raise self.fail
            codes = common_pb2.RvqFrames(codebooks=8, codes=[frame] * 8)
            yield csm_pb2.GenerateResponse(frames=codes)
        yield csm_pb2.GenerateResponse(end=csm_pb2.GenerateEnd(frames=self.frames))


class ScriptedMimi(_Scripted, mimi_pb2_grpc.MimiServiceServicer):
    """Decodes every frame to 80 ms of a tone."""

    name = "mimi"
    grpc_services = ("oviya.v1.MimiService",)

    def __init__(self, *, trained: bool = True) -> None:
        super().__init__()
        self.trained = trained
        self.fail: OviyaError | None = None

    def register(self, server: Any) -> None:
        mimi_pb2_grpc.add_MimiServiceServicer_to_server(self, server)

    async def GetModel(self, request: Any, context: Any) -> mimi_pb2.MimiServiceGetModelResponse:
        model = common_pb2.ModelInfo(name="scripted-mimi", backend="scripted", trained=self.trained)
        return mimi_pb2.MimiServiceGetModelResponse(model=model, codebooks=8, codebook_size=2048)

    async def Encode(self, request_iterator: Any, context: Any) -> AsyncIterator[mimi_pb2.EncodeResponse]:
        raise Unsupported("the script does not encode")
        yield

    async def Decode(self, request_iterator: Any, context: Any) -> AsyncIterator[mimi_pb2.DecodeResponse]:
        done = 0
        async for request in request_iterator:
            if self.fail is not None:
                raise self.fail
            count = len(request.frames.codes) // request.frames.codebooks * FRAME_SAMPLES
            times = np.arange(done, done + count) / VOICE_RATE_HZ
            tone = (0.1 * np.sin(2 * np.pi * TONE_HZ * times)).astype(np.float32)
            done += count
            audio_format = common_pb2.AudioFormat(encoding=F32LE, sample_rate_hz=VOICE_RATE_HZ)
            yield mimi_pb2.DecodeResponse(audio=audio_message(tone, audio_format))


async def _maybe(step: Any) -> None:
    if step is not None:
        await step


@dataclass
class Heard:
    """What came of a call: its events, and the failure that it ended with."""

    events: list[Any] = field(default_factory=list)

    def of(self, kind: str) -> list[Any]:
        """The values of all events of one kind."""
        return [getattr(event, kind) for event in self.events if event.WhichOneof("event") == kind]

    def kinds(self) -> list[str]:
        """The kinds of the events in order, audio once in a row."""
        kinds = [event.WhichOneof("event") for event in self.events]
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
        async for event in self.stub.Speak(conversation_pb2.SpeakRequest(text=text, **fields), timeout=30):
            heard.events.append(event)
        return heard

    async def converse(self, *requests: Any, until: Callable[[Any], Any] | None = None, **config: Any) -> Heard:
        """Sends the configuration and `requests`, half-closes, and reads to the end.

        A request is a text (a typed turn), bytes (sound), a message, or an awaitable that is waited for.
        """
        heard = Heard()
        config.setdefault("lead", Duration())

        call = self.stub.Converse(timeout=60)

        async def send() -> None:
            with suppress(aio.AioRpcError, asyncio.InvalidStateError):  # the reader meets the reason
                await call.write(conversation_pb2.ConverseRequest(config=conversation_pb2.ConverseConfig(**config)))
                for request in requests:
                    match request:
                        case str():
                            await call.write(conversation_pb2.ConverseRequest(text=request))
                        case bytes():
                            await call.write(conversation_pb2.ConverseRequest(audio=request))
                        case conversation_pb2.ConverseRequest():
                            await call.write(request)
                        case _:
                            await request
                await call.done_writing()

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


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


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
            async with asyncio.timeout(10):
                await gateway.readiness.wait_until(service.name, "serving")
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
