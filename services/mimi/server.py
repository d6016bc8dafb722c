"""The Mimi service over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from grpc import aio

from oviya.audio.pcm import F32LE, audio_message, check_format, decode_pcm
from oviya.errors import InvalidInput, NotReady
from oviya.mesh.deadline import Deadline
from oviya.mesh.service import Service
from oviya.rvq import FRAME_S, Codes, pack_frames, unpack_frames
from oviya.streams import with_stall_timeout
from oviya.v1 import common_pb2, mimi_pb2, mimi_pb2_grpc
from services.mimi.settings import MimiSettings

if TYPE_CHECKING:  # torch takes seconds to import; the port must answer health checks before
    from services.mimi.engine.engine import MimiEngine

BACKEND = "oviya-mimi"


class MimiServicer(mimi_pb2_grpc.MimiServiceServicer):
    """The RPCs of oviya.v1.MimiService."""

    def __init__(self, service: MimiService) -> None:
        self._service = service

    async def Decode(
        self, request_iterator: AsyncIterator[mimi_pb2.DecodeRequest], context: aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[mimi_pb2.DecodeResponse]:
        """Decodes each message's frames."""
        engine, settings = self._service.engine, self._service.settings
        audio_format = common_pb2.AudioFormat(encoding=F32LE, sample_rate_hz=engine.config.sample_rate_hz)
        frames = 0
        with engine.open_decoder() as stream:
            async for request in with_stall_timeout(request_iterator, settings.stall_s, "the next RVQ frames"):
                codes = self._unpack_codes(request, stream.codebooks)
                frames += len(codes)
                _check_length("frames", frames * FRAME_S, settings)
                sound = await asyncio.wrap_future(stream.decode(codes))
                yield mimi_pb2.DecodeResponse(audio=audio_message(sound, audio_format))
        if not frames:
            raise InvalidInput("frames", "", "must not be empty", hint="the stream ended before the first frame")

    async def Encode(
        self, request_iterator: AsyncIterator[mimi_pb2.EncodeRequest], context: aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[mimi_pb2.EncodeResponse]:
        """Encodes sound; frames are sent as soon as they are complete."""
        engine, settings = self._service.engine, self._service.settings
        messages = with_stall_timeout(request_iterator, settings.stall_s, "the next sound")
        audio_format, codebooks = self._unpack_config(await anext(messages, None))
        received = 0
        with engine.open_encoder(audio_format.sample_rate_hz, codebooks) as stream:
            async for request in messages:
                if request.WhichOneof("request") != "audio":
                    raise InvalidInput("request", request.WhichOneof("request") or "", "must be audio after the config")
                samples = decode_pcm(request.audio, audio_format.encoding)
                received += len(samples)
                _check_length("audio", received / audio_format.sample_rate_hz, settings)
                codes = await asyncio.wrap_future(stream.encode(samples))
                if len(codes):
                    yield mimi_pb2.EncodeResponse(frames=pack_frames(codes))
            if not received:
                raise InvalidInput("audio", "0 samples", "must hold at least one sample before the stream ends")
            codes = await asyncio.wrap_future(stream.finish())
            if len(codes):
                yield mimi_pb2.EncodeResponse(frames=pack_frames(codes))

    async def GetModel(
        self, request: mimi_pb2.MimiServiceGetModelRequest, context: aio.ServicerContext[Any, Any]
    ) -> mimi_pb2.MimiServiceGetModelResponse:
        """Describes the model."""
        checkpoint, watermark = self._service.engine.checkpoint, self._service.engine.watermark
        config = checkpoint.model.config
        return mimi_pb2.MimiServiceGetModelResponse(
            model=common_pb2.ModelInfo(
                name=checkpoint.card.name,
                backend=BACKEND,
                trained=checkpoint.card.trained,
                device=str(checkpoint.model.device),
                dtype="float32",
                parameters=checkpoint.parameters,
                license=checkpoint.card.license,
            ),
            codebooks=config.codebooks,
            codebook_size=config.codebook_size,
            sample_rate_hz=config.sample_rate_hz,
            frame_samples=config.frame_samples,
            watermark=watermark.name if watermark else "",
            decode_streams=self._service.engine.capacity.decode_streams,
            encode_streams=self._service.engine.capacity.encode_streams,
        )

    def _unpack_codes(self, request: mimi_pb2.DecodeRequest, codebooks: int | None) -> Codes:
        """Unpacks a Decode message into codes (T, Q), T at least 1."""
        if not request.HasField("frames"):
            raise InvalidInput("frames", "", "must be set")
        config = self._service.engine.config
        if codebooks is None and request.frames.codebooks > config.codebooks:
            raise InvalidInput("frames.codebooks", request.frames.codebooks, f"must be 1 to {config.codebooks}")
        codes = unpack_frames(
            request.frames,
            "frames",
            codebooks=codebooks,
            codebook_size=config.codebook_size,
            max_frames=self._service.settings.max_frames_per_message,
        )
        if not len(codes):
            raise InvalidInput("frames.codes", "0 codes", "must hold at least one frame")
        return codes

    def _unpack_config(self, request: mimi_pb2.EncodeRequest | None) -> tuple[common_pb2.AudioFormat, int | None]:
        """Unpacks the first Encode message: the format of the sound and the number of codebooks, None for all."""
        if request is None or request.WhichOneof("request") != "config":
            sent = "" if request is None else request.WhichOneof("request") or ""
            raise InvalidInput("config", sent, "must be the first message")
        codebooks, most = request.config.codebooks, self._service.engine.config.codebooks
        if codebooks > most:
            raise InvalidInput("config.codebooks", codebooks, f"must be 1 to {most}, or 0 for all")
        return check_format(request.config.format, "config.format"), codebooks or None


class MimiService(Service[MimiSettings]):
    """The Mimi service as a process."""

    name: ClassVar[str] = "mimi"
    grpc_services: ClassVar[tuple[str, ...]] = ("oviya.v1.MimiService",)

    def __init__(self, settings: MimiSettings) -> None:
        super().__init__(settings)
        self._engine: MimiEngine | None = None

    @property
    def engine(self) -> MimiEngine:
        """The engine.

        Raises:
            NotReady: `start` has not completed.
        """
        if self._engine is None:
            raise NotReady("the Mimi engine is not loaded")
        return self._engine

    def register(self, server: aio.Server) -> None:
        mimi_pb2_grpc.add_MimiServiceServicer_to_server(MimiServicer(self), server)

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        on_lost = partial(loop.call_soon_threadsafe, self.break_down)
        self._engine = await asyncio.to_thread(self._load, on_lost)

    def _load(self, on_lost: Callable[[], object]) -> MimiEngine:
        from services.mimi.load import load_engine  # torch takes seconds to import

        return load_engine(self.settings, on_lost)

    async def close(self, deadline: Deadline) -> None:
        if self._engine is not None:
            await asyncio.to_thread(self._engine.close)


def _check_length(field: str, seconds: float, settings: MimiSettings) -> None:
    if seconds > settings.max_stream_s:
        raise InvalidInput(field, f"{seconds:.2f} s", f"at most {settings.max_stream_s:g} s of sound in an utterance")
