"""Judges voices with an audio classifier from the hub, in transformers' layout, whose labels are emotions.

`EMOTION_VOICE_BACKEND=hub` and `EMOTION_VOICE_MODEL` select it, e.g. a wav2vec 2.0 fine-tuned on IEMOCAP.  Each
utterance is judged by itself, and the baseline is returned unchanged.  Needs `pip install oviya[emotion-hub]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oviya.emotions.tables import read_tsv
from oviya.errors import CheckpointError
from oviya.model.checkpoint import resolve_checkpoint
from services.emotion.affect import Affect, centre
from services.emotion.voice.baseline import DATA, Baseline
from services.emotion.voice.voice_detector import VoiceJudgement, shares_of
from services.emotion.voice.voice_features import MAX_S, RATE_HZ, measure


class HubDetector:
    """Judges by an audio classifier on the CPU.

    Args:
        spec: a folder, or a hub id, which is downloaded or found in the hub's cache.
        affects: valence and arousal of the emotions.

    Raises:
        CheckpointError: it cannot be loaded, needs another sample rate, or has a label that `hub-labels.tsv` lacks.
    """

    def __init__(self, spec: str, affects: Mapping[str, Affect], folder: Path = DATA) -> None:
        try:
            import torch
            from transformers import AutoFeatureExtractor, AutoModelForAudioClassification
        except ImportError as error:
            raise CheckpointError(
                f"EMOTION_VOICE_BACKEND=hub needs {error.name}", hint="pip install oviya[emotion-hub]"
            ) from None
        path = resolve_checkpoint(spec)
        try:
            self._prepare: Any = AutoFeatureExtractor.from_pretrained(path)
            self._model: Any = AutoModelForAudioClassification.from_pretrained(path).eval()
        except (OSError, ValueError, KeyError) as error:
            raise CheckpointError(f"{path}: not an audio classifier: {str(error).splitlines()[0]}") from error
        self._torch = torch
        self._affects = affects
        if self._prepare.sampling_rate != RATE_HZ:
            raise CheckpointError(f"{path}: needs {self._prepare.sampling_rate} Hz; only {RATE_HZ} Hz is supported")
        table = {row["label"]: row["emotion"] for row in read_tsv(folder / "hub-labels.tsv")}
        self._labels = [
            str(self._model.config.id2label[index]).lower() for index in range(self._model.config.num_labels)
        ]
        if unknown := sorted(set(self._labels) - set(table)):
            raise CheckpointError(f"{path}: its labels {unknown} are not in hub-labels.tsv")
        self._emotions = [table[label] for label in self._labels]

    def judge(
        self, samples: NDArray[np.float32], baseline: Baseline, text: str = ""
    ) -> tuple[VoiceJudgement | None, Baseline]:
        """See `VoiceDetector`."""
        if measure(samples) is None:
            return None, baseline
        sound = np.nan_to_num(samples[-round(MAX_S * RATE_HZ) :])
        with self._torch.inference_mode():
            inputs = self._prepare(sound, sampling_rate=RATE_HZ, return_tensors="pt")
            probabilities = self._model(**inputs).logits[0].softmax(-1).tolist()
        shares = shares_of(zip(self._emotions, probabilities, strict=True))
        labels = sorted(zip(self._labels, probabilities, strict=True), key=lambda pair: -pair[1])
        return VoiceJudgement(centre(shares, self._affects), max(probabilities), shares, tuple(labels), ()), baseline
