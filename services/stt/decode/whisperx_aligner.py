"""Word times from WhisperX's aligner: a wav2vec 2.0 model with a CTC head over letters."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from oviya.audio.pcm import Pcm
from oviya.errors import CheckpointError
from services.stt.decode.model_files import model_folder
from services.stt.recognizer import Word, to_seconds
from services.stt.settings import SttSettings

log = structlog.get_logger()

WEIGHTS, BESIDE = ("*.safetensors", "pytorch_model.bin"), ("*.json",)
DEFAULTS = {
    "en": "facebook/wav2vec2-base-960h",
    "de": "jonatasgrosman/wav2vec2-large-xlsr-53-german",
    "es": "jonatasgrosman/wav2vec2-large-xlsr-53-spanish",
    "fr": "jonatasgrosman/wav2vec2-large-xlsr-53-french",
    "it": "jonatasgrosman/wav2vec2-large-xlsr-53-italian",
}
"""Aligners for the languages for which WhisperX uses torchaudio's, which cannot be loaded from a folder."""


class WhisperXAligner:
    """An aligner for one language.

    Args:
        name: for `RecognizerInfo.aligner`.
        language: Whisper's code.
        model: with `metadata`, what WhisperX's `load_align_model` returned.
        device: where `model` is.
    """

    def __init__(self, name: str, language: str, model: Any, metadata: dict[str, Any], device: str) -> None:
        self.name = name
        self.language = language
        self._model = model
        self._metadata = metadata
        self._device = device

    def align(self, sound: Pcm, words: Sequence[Word], language: str) -> list[Word] | None:
        """Finds the times of words.

        Args:
            sound: shape (samples,), 16 kHz.
            words: what was said; their times are ignored.
            language: Whisper's code.

        Returns:
            The words with new times.  None: the aligner is for another language, or could not align all words.
        """
        if language != self.language:
            return None
        letters = [word.text.replace(" ", "") for word in words]
        duration_s = to_seconds(len(sound))
        segment = {"text": " ".join(letters), "start": 0.0, "end": duration_s}
        alignment = importlib.import_module("whisperx.alignment")
        found = alignment.align([segment], self._model, self._metadata, sound, self._device)["word_segments"]
        if [each["word"] for each in found] != letters or not all("start" in each and "end" in each for each in found):
            return None
        aligned: list[Word] = []
        for word, each in zip(words, found, strict=True):
            start_s = min(float(each["start"]), duration_s)
            end_s = min(max(start_s, float(each["end"])), duration_s)
            aligned.append(replace(word, start_s=start_s, end_s=end_s))
        return aligned


def load_aligner(language: str, device: str, settings: SttSettings) -> WhisperXAligner | None:
    """Loads STT_ALIGN_MODEL, or the default aligner of `language`.

    Returns:
        None, with a warning, if no aligner is named and the default one was not found.

    Raises:
        CheckpointError: the aligner that is named was not found, or the one that was found is broken.
    """
    alignment = importlib.import_module("whisperx.alignment")
    named = settings.align_model or DEFAULTS.get(language) or alignment.DEFAULT_ALIGN_MODELS_HF.get(language)
    try:
        if not named:
            raise CheckpointError(f"WhisperX has no aligner for the language {language}", hint="set STT_ALIGN_MODEL")
        folder = model_folder(named, WEIGHTS, BESIDE, "STT_ALIGN_MODEL", settings)
    except CheckpointError as error:
        if settings.align_model:
            raise
        log.warning("no aligner, word times come from Whisper's attention", language=language, reason=str(error))
        return None
    # NLTK is used only to group words into sentences, which is not needed here, and would download data.
    vars(alignment)["nltk_load"] = lambda path: _WholeText()
    try:
        with redirect_stdout(None):
            model, metadata = alignment.load_align_model(
                language, device, model_name=str(folder), model_cache_only=True
            )
    except ValueError as error:
        cause = error.__context__ or error  # WhisperX reports every failure as a model missing on the hub
        raise CheckpointError(f"cannot load the aligner in {folder}: {cause}") from error
    return WhisperXAligner(Path(named).name, language, model, metadata, device)


class _WholeText:
    """A sentence tokenizer that returns the whole text as one sentence."""

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        return [(0, len(text))]
