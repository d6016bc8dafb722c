"""The emotion service over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from grpc import aio

from oviya.errors import Busy, OviyaError, Timeout
from oviya.mesh.deadline import Deadline
from oviya.mesh.service import Service
from oviya.v1 import emotion_pb2, emotion_pb2_grpc
from services.emotion.engine import EmotionEngine
from services.emotion.load import load_engine
from services.emotion.metrics import DETECTED, DETECTING, MAPPED, REFUSED, VOICES
from services.emotion.prosody.catalogue import Catalogue
from services.emotion.prosody.planner import Planner
from services.emotion.responses import pack_detection, pack_plan
from services.emotion.settings import EmotionSettings
from services.emotion.utterance import read_utterance
from services.emotion.voice.voice_features import RATE_HZ

FULL_INTENSITY = 1.0
RETRY_AFTER_S = 0.5
"""An utterance is judged in some milliseconds, so that a slot is free soon."""


class EmotionServicer(emotion_pb2_grpc.EmotionServiceServicer):
    """The RPCs of oviya.v1.EmotionService.  The worker runs the engine, outside the event loop."""

    def __init__(
        self,
        catalogue: Catalogue,
        planner: Planner,
        engine: EmotionEngine,
        worker: ThreadPoolExecutor,
        settings: EmotionSettings,
    ) -> None:
        self._catalogue = catalogue
        self._planner = planner
        self._engine = engine
        self._worker = worker
        self._settings = settings
        self._detecting = 0
        self._emotions = {emotion.name for emotion in catalogue}
        self._listed = emotion_pb2.ListEmotionsResponse(
            emotions=[
                emotion_pb2.EmotionInfo(
                    plan=pack_plan(planner.plan(emotion)), tier=emotion.tier, aliases=catalogue.other_names(emotion)
                )
                for emotion in catalogue
            ]
        )

    async def Map(
        self, request: emotion_pb2.MapRequest, context: aio.ServicerContext[Any, Any]
    ) -> emotion_pb2.MapResponse:
        resolved = self._catalogue.resolve(request.emotion)
        intensity = request.intensity if request.HasField("intensity") else FULL_INTENSITY
        blend = self._catalogue.resolve(request.blend, field="blend").emotion if request.blend else None
        plan = self._planner.plan(resolved.emotion, intensity, blend=blend, blend_share=request.blend_share)
        MAPPED.labels(plan.emotion).inc()
        return emotion_pb2.MapResponse(plan=pack_plan(plan), alias_label=resolved.alias_label)

    async def Detect(
        self, request_iterator: AsyncIterable[emotion_pb2.DetectRequest], context: aio.ServicerContext[Any, Any]
    ) -> emotion_pb2.DetectResponse:
        limit_s = self._settings.detect_s
        with self._slot():
            try:
                async with asyncio.timeout(limit_s):
                    utterance = await read_utterance(request_iterator, self._settings, self._emotions)
                    detection = await asyncio.get_running_loop().run_in_executor(
                        self._worker,
                        self._engine.detect,
                        utterance.text,
                        utterance.samples,
                        utterance.speaker,
                        utterance.language,
                    )
            except TimeoutError as error:
                raise Timeout(f"the utterance was not judged within {limit_s:g} s", hint="send it faster") from error
        DETECTED.labels(detection.feeling.emotions[0][0]).inc()
        if utterance.samples is not None:
            VOICES.labels("judged" if detection.voice else "no voice").inc()
        return pack_detection(detection)

    @contextmanager
    def _slot(self) -> Iterator[None]:
        """Holds a slot for Detect.

        Raises:
            Busy: every slot is taken.
        """
        slots = self._settings.detect_slots
        if self._detecting >= slots:
            REFUSED.inc()
            raise Busy(f"all {slots} slots for Detect are taken", retry_after_s=RETRY_AFTER_S)
        self._detecting += 1
        try:
            with DETECTING.track_inprogress():
                yield
        finally:
            self._detecting -= 1

    async def ListEmotions(
        self, request: emotion_pb2.ListEmotionsRequest, context: aio.ServicerContext[Any, Any]
    ) -> emotion_pb2.ListEmotionsResponse:
        return self._listed


class EmotionService(Service[EmotionSettings]):
    """The emotion service as a process."""

    name = "emotion"
    grpc_services = ("oviya.v1.EmotionService",)

    def __init__(self, settings: EmotionSettings) -> None:
        super().__init__(settings)
        try:
            self._catalogue = Catalogue.load()
            self._planner = Planner.load(base_temperature=settings.base_temperature)
            self._engine = load_engine(settings)
        except (ValueError, KeyError) as error:
            raise OviyaError(f"the emotion tables are faulty: {error}") from error
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="emotion")

    def register(self, server: aio.Server) -> None:
        servicer = EmotionServicer(self._catalogue, self._planner, self._engine, self._worker, self.settings)
        emotion_pb2_grpc.add_EmotionServiceServicer_to_server(servicer, server)

    async def start(self) -> None:
        """Judges one utterance, so that the first caller does not wait for the models' first run."""
        second = np.sin(2 * np.pi * 150 / RATE_HZ * np.arange(RATE_HZ)).astype(np.float32) / np.float32(4)
        await asyncio.get_running_loop().run_in_executor(self._worker, self._engine.detect, "I feel ready.", second)

    async def close(self, deadline: Deadline) -> None:
        self._worker.shutdown()
