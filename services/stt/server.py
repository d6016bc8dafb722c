"""The gRPC servicer: unpacks requests, calls the engine, packs events."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import grpc
import structlog

from oviya.audio.pcm import Encoding, check_format, decode_pcm
from oviya.durations import duration, seconds
from oviya.errors import InvalidInput, Timeout
from oviya.mesh.deadline import Deadline
from oviya.mesh.service import Service
from oviya.streams import wait_for
from oviya.v1 import common_pb2, stt_pb2, stt_pb2_grpc
from services.stt.backends import make_engine
from services.stt.engine import events
from services.stt.engine.async_session import AsyncSession
from services.stt.engine.engine import SttEngine
from services.stt.settings import SttSettings

log = structlog.get_logger()

MIN_END_SILENCE_S, MAX_END_SILENCE_S = 0.2, 5.0
MAX_SESSION_ID_CHARS = 128
MAX_VOCABULARY, MAX_VOCABULARY_CHARS = 100, 64


class SttService(Service[SttSettings]):
    """The life cycle of the service."""

    name = "stt"
    grpc_services = ("oviya.v1.SttService",)

    def __init__(self, settings: SttSettings) -> None:
        super().__init__(settings)
        self.engine = make_engine(settings)

    def register(self, server: grpc.aio.Server) -> None:
        stt_pb2_grpc.add_SttServiceServicer_to_server(SttServicer(self.engine, self.settings), server)

    async def start(self) -> None:
        await self.engine.start()

    async def close(self, deadline: Deadline) -> None:
        await self.engine.close()


class SttServicer(stt_pb2_grpc.SttServiceServicer):
    """The RPCs of stt.proto."""

    def __init__(self, engine: SttEngine, settings: SttSettings) -> None:
        self._engine = engine
        self._settings = settings

    async def Transcribe(
        self, request_iterator: AsyncIterator[stt_pb2.TranscribeRequest], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[stt_pb2.TranscribeResponse]:
        requests = aiter(request_iterator)
        config = await _first_config(requests, self._settings.stall_s)
        encoding = check_format(config.format, "config.format").encoding
        silence_s, vocabulary = _end_silence_s(config), _vocabulary(config)
        with self._engine.session(config.format.sample_rate_hz, silence_s, vocabulary) as session:
            await session.open()
            log.info("session opened", session=config.session_id, rate_hz=config.format.sample_rate_hz)
            async with aclosing(self._events(requests, session, encoding)) as responses:
                async for event in responses:
                    yield pack(event)

    async def _events(
        self, requests: AsyncIterator[stt_pb2.TranscribeRequest], session: AsyncSession, encoding: Encoding
    ) -> AsyncGenerator[events.Event, None]:
        """Yields the events of a session until its requests end.

        Raises:
            InvalidInput: a request is not valid.
            Timeout: the caller sent nothing for too long, or the session reached a limit.
        """
        loop = asyncio.get_running_loop()
        reading = asyncio.ensure_future(anext(requests, None))
        try:
            while True:
                in_turn, began = session.in_turn, loop.time()
                # asyncio.wait does not cancel the read at a time-out; a cancelled read could lose the message
                timeout_s = session.stall_budget_s if in_turn else self._settings.stall_s
                done, _ = await asyncio.wait({reading}, timeout=timeout_s)
                async for event in session.add_wait(loop.time() - began):
                    yield event
                if not done:
                    if in_turn:
                        continue
                    raise Timeout(f"no message was received from the caller for {timeout_s:g} s")
                request = reading.result()
                if request is None:
                    break
                async for event in self._handle(request, session, encoding):
                    yield event
                reading = asyncio.ensure_future(anext(requests, None))
            for event in await session.finish():
                yield event
        finally:
            reading.cancel()
            await asyncio.wait({reading})

    async def _handle(
        self, request: stt_pb2.TranscribeRequest, session: AsyncSession, encoding: Encoding
    ) -> AsyncGenerator[events.Event, None]:
        match request.WhichOneof("request"):
            case "audio":
                samples = decode_pcm(request.audio, encoding, max_bytes=self._settings.max_audio_bytes)
                async for event in session.push(samples):
                    yield event
            case "end_turn":
                async for event in session.end_turn():
                    yield event
            case "config":
                raise InvalidInput("config", "a second one", "only the first message is the configuration")
            case _:
                raise InvalidInput("request", "", "must be audio or end_turn")

    async def GetModel(
        self, request: stt_pb2.SttServiceGetModelRequest, context: grpc.aio.ServicerContext
    ) -> stt_pb2.SttServiceGetModelResponse:
        info = self._engine.info
        model = common_pb2.ModelInfo(
            name=info.name, backend=info.backend, trained=True, device=info.device, license=info.license
        )
        return stt_pb2.SttServiceGetModelResponse(
            model=model, languages=info.languages, vocabulary=info.vocabulary, aligner=info.aligner
        )


async def _first_config(requests: AsyncIterator[stt_pb2.TranscribeRequest], stall_s: float) -> stt_pb2.TranscribeConfig:
    """Reads the configuration, the first message of a stream; adds a session id if it has none."""
    first = await wait_for(anext(requests, None), stall_s, f"no configuration was received within {stall_s:g} s")
    kind = first.WhichOneof("request") if first is not None else "an empty stream"
    if first is None or kind != "config":
        raise InvalidInput("config", kind or "", "the first message must be the configuration")
    config = first.config
    if len(config.session_id) > MAX_SESSION_ID_CHARS:
        raise InvalidInput("config.session_id", config.session_id, f"at most {MAX_SESSION_ID_CHARS} characters")
    if not config.HasField("format"):
        raise InvalidInput("config.format", "", "must be set", hint="set the encoding and the sample rate")
    config.session_id = config.session_id or uuid.uuid4().hex
    return config


def _end_silence_s(config: stt_pb2.TranscribeConfig) -> float | None:
    if not config.HasField("end_silence"):
        return None
    end_silence_s = seconds(config.end_silence)
    if not MIN_END_SILENCE_S <= end_silence_s <= MAX_END_SILENCE_S:
        raise InvalidInput(
            "config.end_silence", f"{end_silence_s:g} s", f"must be {MIN_END_SILENCE_S:g} to {MAX_END_SILENCE_S:g} s"
        )
    return end_silence_s


def _vocabulary(config: stt_pb2.TranscribeConfig) -> list[str]:
    if len(config.vocabulary) > MAX_VOCABULARY:
        raise InvalidInput("config.vocabulary", f"{len(config.vocabulary)} entries", f"at most {MAX_VOCABULARY}")
    for index, entry in enumerate(config.vocabulary):
        if not entry.strip() or len(entry) > MAX_VOCABULARY_CHARS:
            raise InvalidInput(f"config.vocabulary[{index}]", entry, f"1 to {MAX_VOCABULARY_CHARS} characters")
        if "<|" in entry:  # Whisper would read it as one of its special tokens
            raise InvalidInput(f"config.vocabulary[{index}]", entry, "must not contain <|")
    return [entry.strip() for entry in config.vocabulary]


def pack(event: events.Event) -> stt_pb2.TranscribeResponse:
    """Converts an event of the engine to a response."""
    response = stt_pb2.TranscribeResponse(at=duration(event.at_s), turn=event.turn)
    match event:
        case events.SpeechStarted():
            response.speech_started.start.CopyFrom(duration(event.start_s))
        case events.Partial():
            response.partial.text = event.text
        case events.SpeechStopped():
            response.speech_stopped.end.CopyFrom(duration(event.end_s))
        case events.LikelyEnd():
            _pack_words(response.likely_end, event)
        case events.Resumed():
            response.resumed.SetInParent()
        case events.Final():
            _pack_words(response.final, event)
        case events.TurnEnded():
            response.turn_ended.reason = stt_pb2.TurnEndReason.Value(f"TURN_END_REASON_{event.reason.name}")
            response.turn_ended.speech_end.CopyFrom(duration(event.speech_end_s))
    return response


def _pack_words(transcript: stt_pb2.Transcript, event: events.LikelyEnd | events.Final) -> None:
    transcript.text, transcript.language = event.text, event.language
    transcript.words.extend(
        stt_pb2.Word(text=it.text, start=duration(it.start_s), end=duration(it.end_s), confidence=it.confidence)
        for it in event.words
    )
