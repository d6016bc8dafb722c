"""The emotion service over gRPC: unpack, call the engine, pack."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from grpc import aio

from oviya.errors import InvalidInput, OviyaError
from oviya.mesh.service import Service
from oviya.v1 import emotion_pb2, emotion_pb2_grpc
from services.emotion.catalogue import Catalogue
from services.emotion.lexicon import load_lexicon
from services.emotion.metrics import DETECTED, MAPPED
from services.emotion.prosody import Planner, ProsodyPlan
from services.emotion.settings import EmotionSettings
from services.emotion.text_detector import Judgement, LexiconDetector, TextDetector

FULL_INTENSITY = 1.0


class EmotionServicer(emotion_pb2_grpc.EmotionServiceServicer):
    """Serves `oviya.v1.EmotionService`.  `worker` runs the detector, away from the event loop."""

    def __init__(
        self,
        catalogue: Catalogue,
        planner: Planner,
        detector: TextDetector,
        worker: ThreadPoolExecutor,
        max_text_chars: int,
    ) -> None:
        self._catalogue = catalogue
        self._planner = planner
        self._detector = detector
        self._worker = worker
        self._max_text_chars = max_text_chars

    async def Map(
        self, request: emotion_pb2.MapRequest, context: aio.ServicerContext[Any, Any]
    ) -> emotion_pb2.MapResponse:
        resolved = self._catalogue.resolve(request.emotion)
        intensity = request.intensity if request.HasField("intensity") else FULL_INTENSITY
        plan = self._planner.plan(resolved.emotion, intensity)
        MAPPED.labels(plan.emotion).inc()
        return emotion_pb2.MapResponse(plan=pack_plan(plan), alias_label=resolved.alias_label)

    async def Detect(
        self, request_iterator: AsyncIterable[emotion_pb2.DetectRequest], context: aio.ServicerContext[Any, Any]
    ) -> emotion_pb2.DetectResponse:
        text = await self._read_text(request_iterator)
        judgement = await asyncio.get_running_loop().run_in_executor(self._worker, self._detector.judge, text)
        DETECTED.labels(judgement.emotions[0][0]).inc()
        return pack_judgement(judgement)

    async def ListEmotions(
        self, request: emotion_pb2.ListEmotionsRequest, context: aio.ServicerContext[Any, Any]
    ) -> emotion_pb2.ListEmotionsResponse:
        return emotion_pb2.ListEmotionsResponse(
            emotions=[
                emotion_pb2.EmotionInfo(
                    plan=pack_plan(self._planner.plan(emotion)), tier=emotion.tier, aliases=emotion.aliases
                )
                for emotion in self._catalogue
            ]
        )

    async def _read_text(self, requests: AsyncIterable[emotion_pb2.DetectRequest]) -> str:
        pieces: list[str] = []
        chars = 0
        async for request in requests:
            if request.WhichOneof("request") != "text":
                raise InvalidInput("request", "", "each message carries text")
            chars += len(request.text)
            if chars > self._max_text_chars:
                raise InvalidInput("text", f"{chars} characters", f"at most {self._max_text_chars} characters together")
            pieces.append(request.text)
        if not pieces:
            raise InvalidInput("request", "", "at least one message before the stream ends")
        return "".join(pieces)


class EmotionService(Service[EmotionSettings]):
    """The emotion service as a process."""

    name = "emotion"
    grpc_services = ("oviya.v1.EmotionService",)

    def __init__(self, settings: EmotionSettings) -> None:
        super().__init__(settings)
        try:
            self._catalogue = Catalogue.load()
            self._planner = Planner.load(base_temperature=settings.base_temperature)
            self._detector = LexiconDetector(load_lexicon({emotion.name for emotion in self._catalogue}))
        except (ValueError, KeyError) as error:
            raise OviyaError(f"the emotion tables are faulty: {error}") from error
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="emotion")

    def register(self, server: aio.Server) -> None:
        servicer = EmotionServicer(
            self._catalogue, self._planner, self._detector, self._worker, self.settings.max_text_chars
        )
        emotion_pb2_grpc.add_EmotionServiceServicer_to_server(servicer, server)

    async def start(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._worker, self._detector.judge, "I feel ready.")

    async def close(self) -> None:
        self._worker.shutdown()


def pack_plan(plan: ProsodyPlan) -> emotion_pb2.ProsodyPlan:
    return emotion_pb2.ProsodyPlan(**dataclasses.asdict(plan))


def pack_judgement(judgement: Judgement) -> emotion_pb2.DetectResponse:
    return emotion_pb2.DetectResponse(
        emotions=[emotion_pb2.EmotionScore(emotion=name, score=score) for name, score in judgement.emotions],
        valence=judgement.valence,
        arousal=judgement.arousal,
        confidence=judgement.confidence,
    )
