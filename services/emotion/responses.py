"""Packs the engine's results into messages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from oviya.emotions.values import ProsodyPlan
from oviya.v1 import emotion_pb2
from services.emotion.affect import Affect
from services.emotion.engine import Detection
from services.emotion.fusion import TOP


def pack_plan(plan: ProsodyPlan) -> emotion_pb2.ProsodyPlan:
    return emotion_pb2.ProsodyPlan(**asdict(plan))


def pack_detection(detection: Detection) -> emotion_pb2.DetectResponse:
    feeling, speaker = detection.feeling, detection.speaker
    response = emotion_pb2.DetectResponse(
        emotions=_scores(feeling.emotions),
        valence=feeling.affect.valence,
        arousal=feeling.affect.arousal,
        confidence=feeling.confidence,
        intensity=detection.intensity,
        tone=emotion_pb2.Tone(**asdict(detection.tone)),
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
        response.voice.CopyFrom(_evidence(voice.labels[:TOP], voice.affect, voice.confidence, voice.notes))
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
