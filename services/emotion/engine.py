"""The ear for feelings: words and voice of an utterance become a feeling, and the tone that answers it.

It remembers nothing between calls: what it learned of a speaker is a value that the caller keeps.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.emotion.affect import Affect, centre, load_affects
from services.emotion.fusion import NO_MOOD, Feeling, Mood, Side, follow, fuse
from services.emotion.policy import Policy, Tone
from services.emotion.voice.baseline import NO_BASELINE, Baseline
from services.emotion.voice.voice_detector import VoiceDetector, VoiceJudgement
from services.emotion.words.text_detector import TextDetector, TextJudgement


@dataclass(frozen=True, slots=True)
class Speaker:
    """What was learned of a speaker: how the voice usually sounds, and the mood that the last turn left."""

    baseline: Baseline = NO_BASELINE
    mood: Mood = NO_MOOD


@dataclass(frozen=True, slots=True)
class Detection:
    """The judgement of one utterance.

    Attributes:
        feeling: words, voice and the last turn's mood together.
        intensity: how strongly it is felt, 0 (neutral) to 1.
        tone: what answers it.
        text, text_affect: what the words say, and where that lies; None: there were none.
        voice: what the voice says; None: no sound, or no voice in it.
        speaker: for the next utterance.
    """

    feeling: Feeling
    intensity: float
    tone: Tone
    text: TextJudgement | None
    text_affect: Affect | None
    voice: VoiceJudgement | None
    speaker: Speaker


class Ear:
    """Judges utterances.  Safe to call from several threads.

    Args:
        emotions: the 49 names.
        text: judges words.
        voice: judges sound.

    Raises:
        ValueError: a table is faulty.
    """

    def __init__(self, emotions: Collection[str], text: TextDetector, voice: VoiceDetector) -> None:
        self.affects = load_affects()
        self._policy = Policy(emotions)
        self._text = text
        self._voice = voice

    def detect(
        self, text: str | None, samples: NDArray[np.float32] | None, speaker: Speaker | None = None
    ) -> Detection:
        """Judges one utterance.

        Args:
            text: its words; None: they were not sent.
            samples: its sound at 16 kHz, shape (samples,), full scale 1.0; None: it was not sent.
            speaker: what the last utterance's detection held; None: the first one.
        """
        before = speaker or Speaker()
        words = self._text.judge(text) if text is not None else None
        voice, baseline = (None, before.baseline)
        if samples is not None:
            voice, baseline = self._voice.judge(samples, before.baseline, text or "")
        now = fuse(
            Side(words.shares, words.confidence) if words else None,
            Side(voice.shares, voice.confidence) if voice else None,
        )
        feeling = follow(now, before.mood, self.affects)
        intensity = feeling.affect.intensity
        return Detection(
            feeling=feeling,
            intensity=intensity,
            tone=self._policy.answer(feeling.emotions, intensity),
            text=words,
            text_affect=centre(words.shares, self.affects) if words else None,
            voice=voice,
            speaker=Speaker(baseline, feeling.mood),
        )
