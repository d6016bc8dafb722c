"""Loads the engine that the settings ask for."""

from __future__ import annotations

from pathlib import Path

from oviya.emotions.tables import load_emotions
from oviya.model.checkpoint import shipped_checkpoint
from services.emotion.affect import load_affects
from services.emotion.engine import EmotionEngine
from services.emotion.settings import EmotionSettings
from services.emotion.voice.voice_detector import AcousticDetector, VoiceDetector
from services.emotion.words.lexicon import load_lexicon
from services.emotion.words.lexicon_detector import LexiconDetector
from services.emotion.words.text_detector import ClassifierDetector
from services.emotion.words.text_model import TextModel


def load_engine(settings: EmotionSettings) -> EmotionEngine:
    """Loads the models and the tables.

    Raises:
        CheckpointError: a model cannot be loaded.
        ValueError: a table is faulty.
    """
    emotions = set(load_emotions())
    model = TextModel.load(Path(settings.text_model) if settings.text_model else shipped_checkpoint("emotion"))
    text = ClassifierDetector(model, LexiconDetector(load_lexicon(emotions)), emotions)
    return EmotionEngine(text, _voice_detector(settings, emotions))


def _voice_detector(settings: EmotionSettings, emotions: set[str]) -> VoiceDetector:
    if settings.voice_backend == "hub":
        from services.emotion.voice.hub_voice import HubDetector  # needs torch

        return HubDetector(settings.voice_model, load_affects())
    return AcousticDetector(emotions)
