"""The CSM service: converts between the wire format and the engine's requests."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import structlog
from grpc import aio

from oviya.durations import seconds
from oviya.errors import InvalidInput, NotReady
from oviya.mesh.deadline import Deadline
from oviya.mesh.service import Service
from oviya.model.checkpoint import RANDOM, shipped_checkpoint
from oviya.rvq import pack_frames, unpack_frames
from oviya.v1 import common_pb2, csm_pb2, csm_pb2_grpc
from services.csm.settings import CsmSettings

if TYPE_CHECKING:  # importing torch takes seconds, and health checks are answered meanwhile
    from services.csm.engine.engine import CsmEngine
    from services.csm.request.request import GenerateRequest

log = structlog.get_logger()

BACKEND = "oviya-csm"
MAX_REQUEST_ID_CHARS = 128


class CsmServicer(csm_pb2_grpc.CsmServiceServicer):
    """The RPCs of oviya.v1.CsmService."""

    def __init__(self, service: CsmService) -> None:
        self._service = service

    async def Generate(
        self, request: csm_pb2.GenerateRequest, context: aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[csm_pb2.GenerateResponse]:
        """Streams the frames of a text, then the end."""
        engine = self._service.engine
        generate_request = unpack_request(request, engine)
        request_id = request.request_id or secrets.token_hex(8)
        async with await engine.submit(generate_request) as frames:
            async for codes in frames:
                yield csm_pb2.GenerateResponse(frames=pack_frames(codes))
        end = frames.end
        assert end is not None, "a stream that ended has its end set"
        log.info("generated", request_id=request_id, frames=end.frames, reason=end.reason.value)
        yield csm_pb2.GenerateResponse(
            end=csm_pb2.GenerateEnd(
                reason=csm_pb2.FinishReason.Value(f"FINISH_REASON_{end.reason.name}"),
                frames=end.frames,
                prompt_positions=end.prompt_positions,
                seed=end.seed,
                dropped_segments=end.dropped_segments,
                cached_positions=end.cached_positions,
                pieces=end.pieces,
            )
        )

    async def GetModel(
        self, request: csm_pb2.CsmServiceGetModelRequest, context: aio.ServicerContext[Any, Any]
    ) -> csm_pb2.CsmServiceGetModelResponse:
        checkpoint = self._service.engine.checkpoint
        return csm_pb2.CsmServiceGetModelResponse(
            model=common_pb2.ModelInfo(
                name=checkpoint.card.name,
                backend=BACKEND,
                trained=checkpoint.card.trained,
                device=str(checkpoint.device),
                dtype=str(checkpoint.dtype).removeprefix("torch."),
                parameters=checkpoint.model.parameter_count(),
                license=checkpoint.card.license,
            ),
            codebooks=checkpoint.config.codebooks,
            codebook_size=checkpoint.config.codebook_size,
            max_positions=checkpoint.config.max_positions,
            styles=checkpoint.card.styles,
            speakers=[csm_pb2.Speaker(id=id, name=name) for id, name in checkpoint.voices.speakers.items()],
            reference_clips=checkpoint.voices.clips,
            slots=self._service.engine.options.slots,
            languages=checkpoint.card.languages,
            scripts=checkpoint.card.scripts,
        )


class CsmService(Service[CsmSettings]):
    """The CSM service."""

    name: ClassVar[str] = "csm"
    grpc_services: ClassVar[tuple[str, ...]] = ("oviya.v1.CsmService",)

    def __init__(self, settings: CsmSettings) -> None:
        super().__init__(settings)
        self._engine: CsmEngine | None = None

    @property
    def engine(self) -> CsmEngine:
        """The engine; raises NotReady before `start`."""
        if self._engine is None:
            raise NotReady("the CSM engine is not loaded")
        return self._engine

    def register(self, server: aio.Server) -> None:
        csm_pb2_grpc.add_CsmServiceServicer_to_server(CsmServicer(self), server)

    async def start(self) -> None:
        from services.csm.interpreter import tune_interpreter

        loop = asyncio.get_running_loop()
        on_lost = partial(loop.call_soon_threadsafe, self.break_down)
        self._engine = await asyncio.to_thread(load_engine, self.settings, on_lost)
        await self._engine.warm_up()
        tune_interpreter()

    async def close(self, deadline: Deadline) -> None:
        if self._engine is not None:
            await asyncio.to_thread(self._engine.close)


def load_engine(settings: CsmSettings, on_lost: Callable[[], object] = lambda: None) -> CsmEngine:
    """Loads the checkpoint that `settings` names, the demo voice or random weights, and starts an engine on it.

    Raises:
        CheckpointError: it cannot be loaded.
    """
    import torch

    from services.csm.checkpoint import load_checkpoint
    from services.csm.device.make import choose_slots
    from services.csm.engine.engine import CsmEngine, EngineOptions
    from services.csm.random_checkpoint import write_random_checkpoint
    from services.csm.request.limits import Limits

    torch.set_num_threads(settings.threads)
    if settings.checkpoint == RANDOM:
        log.warning("random weights make noise", setting="CSM_CHECKPOINT")
        with tempfile.TemporaryDirectory(prefix="oviya-csm-") as folder:
            write_random_checkpoint(Path(folder))
            checkpoint = load_checkpoint(folder, device=settings.device, dtype=settings.dtype)
    else:
        source = settings.checkpoint or str(shipped_checkpoint("demo-csm"))
        checkpoint = load_checkpoint(source, device=settings.device, dtype=settings.dtype)
    log.info(
        "checkpoint",
        name=checkpoint.card.name,
        trained=checkpoint.card.trained,
        device=str(checkpoint.device),
        dtype=str(checkpoint.dtype),
    )
    limits = Limits(
        text_chars=settings.max_text_chars,
        context_segments=settings.max_context_segments,
        context_turns=settings.context_turns,
        frames=settings.max_frames,
    )
    shared = settings.model_dump(include={option.name for option in fields(EngineOptions)} - {"slots", "limits"})
    slots = settings.slots or choose_slots(checkpoint, settings.kv_mib)
    options = EngineOptions(slots=slots, limits=limits, **shared)
    engine = CsmEngine(checkpoint, options, on_lost=on_lost)
    log.info("capacity", slots=options.slots, chosen="auto" if settings.slots is None else "set", kv_pages=engine.pages)
    return engine


def unpack_request(request: csm_pb2.GenerateRequest, engine: CsmEngine) -> GenerateRequest:
    """Converts a request; the engine checks its values.

    Raises:
        InvalidInput: RVQ frames of the context or the request's id are malformed.
    """
    from services.csm.request.prompt import Segment
    from services.csm.request.request import GenerateRequest

    if len(request.request_id) > MAX_REQUEST_ID_CHARS:
        raise InvalidInput("request_id", request.request_id, f"at most {MAX_REQUEST_ID_CHARS} characters")
    config, sampling = engine.config, request.sampling

    def segment(index: int, message: csm_pb2.ContextSegment) -> Segment:
        audio = None
        if message.HasField("audio"):
            audio = unpack_frames(
                message.audio,
                f"context[{index}].audio",
                codebooks=config.codebooks,
                codebook_size=config.codebook_size,
                max_frames=config.max_positions,
            )
        return Segment(message.speaker, message.text, audio, message.reference)

    return GenerateRequest(
        text=request.text,
        speaker=request.speaker,
        context=tuple(segment(index, message) for index, message in enumerate(request.context)),
        style=request.style,
        temperature=sampling.temperature if sampling.HasField("temperature") else None,
        top_k=sampling.top_k if sampling.HasField("top_k") else None,
        seed=sampling.seed if sampling.HasField("seed") else None,
        max_frames=request.max_frames,
        lead_s=seconds(request.lead) if request.HasField("lead") else None,
        reference_clip=request.reference_clip,
    )
