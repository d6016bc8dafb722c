"""The emotion engine: judges what an utterance's words and sound show, and chooses the tone that answers it.

It keeps no state between calls.  What it has learned of a speaker is a value that the caller passes back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oviya.emotions.values import Tone
from oviya.text.language_tags import is_english
from services.emotion.affect import Affect, centre, load_affects
from services.emotion.fusion import NO_MOOD, Estimate, Feeling, Mood, fuse, smooth
from services.emotion.policy import Policy
from services.emotion.voice.baseline import NO_BASELINE, Baseline
from services.emotion.voice.voice_detector import VoiceDetector, VoiceJudgement
from services.emotion.words.text_detector import TextDetector, TextJudgement


@dataclass(frozen=True, slots=True)
class SpeakerState:
    """What is known of a speaker: how the voice usually sounds, and the mood after the last turn."""

    baseline: Baseline = NO_BASELINE
    mood: Mood = NO_MOOD


@dataclass(frozen=True, slots=True)
class Detection:
    """The judgement of one utterance.

    Attributes:
        feeling: from words, voice and the last turn's mood together.
        intensity: how strong it is, 0 (neutral) to 1.
        tone: how to answer it.
        text, text_affect: what the words show, and its valence and arousal; None if there were no English words.
        voice: what the sound shows; None if there was no sound, or no voice in it.
        speaker: the state for the next utterance.
    """

    feeling: Feeling
    intensity: float
    tone: Tone
    text: TextJudgement | None
    text_affect: Affect | None
    voice: VoiceJudgement | None
    speaker: SpeakerState


class EmotionEngine:
    """Judges utterances.  Safe to call from several threads.

    Raises:
        ValueError: a table is faulty.
    """

    def __init__(self, text: TextDetector, voice: VoiceDetector) -> None:
        self._affects = load_affects()
        self._policy = Policy(self._affects)
        self._text = text
        self._voice = voice

    def detect(
        self,
        text: str | None,
        samples: NDArray[np.float32] | None,
        speaker: SpeakerState | None = None,
        language: str = "",
    ) -> Detection:
        """Judges one utterance.

        Args:
            text: its words; None if they were not sent.
            samples: its sound at 16 kHz, shape (samples,), full scale 1.0; None if it was not sent.
            speaker: from the speaker's last detection; None for the first one.
            language: language of the words (BCP 47); those that are not English are not judged.  Empty: English.
        """
        before = speaker or SpeakerState()
        words = self._text.judge(text) if text is not None and is_english(language) else None
        voice, baseline = (None, before.baseline)
        if samples is not None:
            voice, baseline = self._voice.judge(samples, before.baseline, text or "")
        now = fuse(
            Estimate(words.shares, words.confidence) if words else None,
            Estimate(voice.shares, voice.confidence) if voice else None,
        )
        feeling = smooth(now, before.mood, self._affects)
        intensity = feeling.affect.intensity
        return Detection(
            feeling=feeling,
            intensity=intensity,
            tone=self._policy.answer(feeling.emotions, intensity),
            text=words,
            text_affect=centre(words.shares, self._affects) if words else None,
            voice=voice,
            speaker=SpeakerState(baseline, feeling.mood),
        )
