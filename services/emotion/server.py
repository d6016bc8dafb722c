"""The emotion service over gRPC: unpack, call the engine, pack."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from grpc import aio

from oviya.audio.pcm import Pcm, check_format, decode_pcm
from oviya.audio.resample import Resampler
from oviya.errors import InvalidInput, OviyaError, Timeout
from oviya.mesh.deadline import Deadline
from oviya.mesh.service import Service
from oviya.model.checkpoint import shipped_checkpoint
from oviya.streams import with_stall_timeout
from oviya.v1 import common_pb2, emotion_pb2, emotion_pb2_grpc
from services.emotion.admission import Admission
from services.emotion.affect import Affect, load_affects
from services.emotion.catalogue import Catalogue
from services.emotion.engine import Detection, Ear, Speaker
from services.emotion.fusion import TOP, Mood
from services.emotion.metrics import DETECTED, MAPPED, VOICES
from services.emotion.prosody import Planner, ProsodyPlan
from services.emotion.settings import EmotionSettings
from services.emotion.voice.baseline import Baseline
from services.emotion.voice.voice_detector import AcousticDetector, VoiceDetector
from services.emotion.voice.voice_features import RATE_HZ
from services.emotion.words.lexicon import load_lexicon
from services.emotion.words.lexicon_detector import LexiconDetector
from services.emotion.words.text_detector import ClassifierDetector
from services.emotion.words.text_model import TextModel

FULL_INTENSITY = 1.0


@dataclasses.dataclass(slots=True)
class Utterance:
    """What one Detect call has sent: its text and 16 kHz sound, shape (samples,); None: not sent."""

    text: str | None
    samples: Pcm | None
    speaker: Speaker


class EmotionServicer(emotion_pb2_grpc.EmotionServiceServicer):
    """Serves `oviya.v1.EmotionService`.  `worker` runs the ear, away from the event loop."""

    def __init__(
        self,
        catalogue: Catalogue,
        planner: Planner,
        ear: Ear,
        worker: ThreadPoolExecutor,
        settings: EmotionSettings,
    ) -> None:
        self._catalogue = catalogue
        self._planner = planner
        self._ear = ear
        self._worker = worker
        self._settings = settings
        self._admission = Admission(settings.detect_slots)
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
        with self._admission.admitted():
            try:
                async with asyncio.timeout(limit_s):
                    heard = await _Reader(self._settings, self._emotions).read(request_iterator)
                    detection = await asyncio.get_running_loop().run_in_executor(
                        self._worker, self._ear.detect, heard.text, heard.samples, heard.speaker
                    )
            except TimeoutError as error:
                raise Timeout(f"the utterance was not judged within {limit_s:g} s", hint="send it faster") from error
        DETECTED.labels(detection.feeling.emotions[0][0]).inc()
        if heard.samples is not None:
            VOICES.labels("judged" if detection.voice else "no voice").inc()
        return pack_detection(detection)

    async def ListEmotions(
        self, request: emotion_pb2.ListEmotionsRequest, context: aio.ServicerContext[Any, Any]
    ) -> emotion_pb2.ListEmotionsResponse:
        return self._listed


class _Reader:
    """Reads the stream of one Detect call."""

    def __init__(self, settings: EmotionSettings, emotions: set[str]) -> None:
        self._settings = settings
        self._emotions = emotions

    async def read(self, requests: AsyncIterable[emotion_pb2.DetectRequest]) -> Utterance:
        """The utterance.

        Raises:
            InvalidInput: a message is out of place, or too much or unusable.
            Timeout: the next message takes too long.
        """
        pieces: list[str] = []
        chars, first, sound, has_text = 0, True, None, False
        config = emotion_pb2.DetectConfig()
        async for request in with_stall_timeout(requests, self._settings.stall_s, "the caller's next message"):
            match request.WhichOneof("request"):
                case "text":
                    has_text = True
                    if request.text:
                        pieces.append(request.text)
                    chars += len(request.text)
                    limit = self._settings.max_text_chars
                    if chars > limit:
                        raise InvalidInput("text", f"{chars} characters", f"at most {limit} characters together")
                case "config" if first:
                    config = request.config
                    if config.HasField("format"):
                        sound = _Sound(check_format(config.format, "config.format"), self._settings.max_audio_s)
                case "audio":
                    if sound is None:
                        raise InvalidInput("audio", f"{len(request.audio)} bytes", "only after a config with a format")
                    sound.add(request.audio)
                case "config":
                    raise InvalidInput("config", "not the first message", "only the first message is the configuration")
                case _:
                    raise InvalidInput("request", "", "each message carries text, audio or the configuration")
            first = False
        samples = sound.whole() if sound is not None else None
        if not has_text and samples is None:
            raise InvalidInput("request", "", "at least one message with text or audio before the stream ends")
        return Utterance(
            text="".join(pieces) if has_text else None, samples=samples, speaker=self._speaker(config.state)
        )

    def _speaker(self, state: emotion_pb2.SpeakerState) -> Speaker:
        try:
            baseline = Baseline.restored(tuple(state.voice_means), state.voice_weight)
        except ValueError as error:
            hint = "send back what the last answer held"
            raise InvalidInput("config.state", "voice_means and voice_weight", str(error), hint=hint) from error
        for number, score in enumerate(state.mood):
            field = f"config.state.mood[{number}]"
            if score.emotion not in self._emotions:
                raise InvalidInput(f"{field}.emotion", score.emotion, f"one of the {len(self._emotions)} emotions")
            if not 0 <= score.score <= 1:
                raise InvalidInput(f"{field}.score", score.score, "0 to 1")
        if len(state.mood) > TOP:
            raise InvalidInput("config.state.mood", f"{len(state.mood)} emotions", f"at most {TOP}")
        for field, value in (("valence", state.valence), ("arousal", state.arousal)):
            if not -1 <= value <= 1:
                raise InvalidInput(f"config.state.{field}", value, "-1 to 1")
        shares = {score.emotion: score.score for score in state.mood}
        return Speaker(baseline, Mood(shares, Affect(state.valence, state.arousal)))


class _Sound:
    """The sound of one Detect call at 16 kHz, whatever the sizes of its messages."""

    def __init__(self, audio_format: common_pb2.AudioFormat, max_s: float) -> None:
        self._encoding = audio_format.encoding
        self._resampler = Resampler(audio_format.sample_rate_hz, RATE_HZ)
        self._max_s = max_s
        self._pieces: list[Pcm] = []
        self._small: list[Pcm] = []  # messages that are put together before they are resampled
        self._small_samples = 0
        self._grain = audio_format.sample_rate_hz // 10
        self._seconds = 0.0
        self._rate_hz = audio_format.sample_rate_hz
        self._any = False

    def add(self, pcm: bytes) -> None:
        """Takes a message.

        Raises:
            InvalidInput: it cannot be used, or all together is too long.
        """
        samples = decode_pcm(pcm, self._encoding)
        self._any = True
        self._seconds += len(samples) / self._rate_hz
        if self._seconds > self._max_s:
            raise InvalidInput("audio", f"{self._seconds:.1f} s", f"at most {self._max_s:g} s together")
        if len(samples):
            self._small.append(samples)
            self._small_samples += len(samples)
        if self._small_samples >= self._grain:
            self._resample()

    def whole(self) -> Pcm | None:
        """Returns all of it, shape (samples,); None: no message held sound."""
        if not self._any:
            return None
        self._resample()
        return np.concatenate([*self._pieces, self._resampler.flush()])

    def _resample(self) -> None:
        if self._small:
            self._pieces.append(self._resampler.push(np.concatenate(self._small)))
            self._small, self._small_samples = [], 0


class EmotionService(Service[EmotionSettings]):
    """The emotion service as a process."""

    name = "emotion"
    grpc_services = ("oviya.v1.EmotionService",)

    def __init__(self, settings: EmotionSettings) -> None:
        super().__init__(settings)
        model = TextModel.load(Path(settings.text_model) if settings.text_model else shipped_checkpoint("emotion"))
        try:
            self._catalogue = Catalogue.load()
            names = {emotion.name for emotion in self._catalogue}
            self._planner = Planner.load(base_temperature=settings.base_temperature)
            text = ClassifierDetector(model, LexiconDetector(load_lexicon(names)), names)
            self._ear = Ear(names, text, voice_detector(settings, names))
        except (ValueError, KeyError) as error:
            raise OviyaError(f"the emotion tables are faulty: {error}") from error
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="emotion")

    def register(self, server: aio.Server) -> None:
        self.servicer = EmotionServicer(self._catalogue, self._planner, self._ear, self._worker, self.settings)
        emotion_pb2_grpc.add_EmotionServiceServicer_to_server(self.servicer, server)

    async def start(self) -> None:
        second = np.sin(2 * np.pi * 150 / RATE_HZ * np.arange(RATE_HZ)).astype(np.float32) / np.float32(4)
        await asyncio.get_running_loop().run_in_executor(self._worker, self._ear.detect, "I feel ready.", second)

    async def close(self, deadline: Deadline) -> None:
        self._worker.shutdown()


def voice_detector(settings: EmotionSettings, emotions: set[str]) -> VoiceDetector:
    """The judge of voices that the settings ask for.

    Raises:
        CheckpointError: the hub's model cannot be loaded.
    """
    if settings.voice_backend == "hub":
        from services.emotion.voice.hub_voice import HubDetector

        return HubDetector(settings.voice_model, load_affects())
    return AcousticDetector(emotions)


def pack_plan(plan: ProsodyPlan) -> emotion_pb2.ProsodyPlan:
    return emotion_pb2.ProsodyPlan(**dataclasses.asdict(plan))


def pack_detection(detection: Detection) -> emotion_pb2.DetectResponse:
    feeling, speaker = detection.feeling, detection.speaker
    response = emotion_pb2.DetectResponse(
        emotions=_scores(feeling.emotions),
        valence=feeling.affect.valence,
        arousal=feeling.affect.arousal,
        confidence=feeling.confidence,
        intensity=detection.intensity,
        tone=emotion_pb2.Tone(**dataclasses.asdict(detection.tone)),
        state=emotion_pb2.SpeakerState(
            voice_means=speaker.baseline.means,
            voice_weight=speaker.baseline.weight,
            mood=_scores(speaker.mood.shares.items()),
            valence=speaker.mood.affect.valence,
            arousal=speaker.mood.affect.arousal,
        ),
    )
    if detection.text is not None and detection.text_affect is not None:
        text = detection.text
        response.text.CopyFrom(_evidence(text.labels, detection.text_affect, text.confidence, text.notes))
    if detection.voice is not None:
        voice = detection.voice
        response.voice.CopyFrom(_evidence(voice.tones[:TOP], voice.affect, voice.confidence, voice.evidence))
    return response


def _scores(pairs: Iterable[tuple[str, float]]) -> list[emotion_pb2.EmotionScore]:
    return [emotion_pb2.EmotionScore(emotion=name, score=min(score, 1.0)) for name, score in pairs]


def _evidence(
    labels: Iterable[tuple[str, float]], affect: Affect, confidence: float, notes: Iterable[str]
) -> emotion_pb2.Evidence:
    return emotion_pb2.Evidence(
        labels=[emotion_pb2.LabelScore(label=name, score=min(score, 1.0)) for name, score in labels],
        valence=affect.valence,
        arousal=affect.arousal,
        confidence=min(confidence, 1.0),
        notes=notes,
    )
