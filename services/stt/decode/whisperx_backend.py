"""WhisperX: faster-whisper's decoder and a wav2vec 2.0 aligner, with the service's Silero VAD in place of its own.

The packages are installed in a separate environment (requirements/whisperx.txt) and imported when a model is loaded.
Models are downloaded only with `STT_ALLOW_DOWNLOAD`, and only at start.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import logging
import os
import threading
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from oviya.audio.pcm import Pcm
from oviya.errors import CheckpointError, Unavailable
from services.stt import metrics
from services.stt.decode.agreement import spread
from services.stt.decode.model_folder import model_folder
from services.stt.decode.whisper import Transcript, WhisperRecognizer
from services.stt.endpoint.turn_state import SPEECH_PROBABILITY
from services.stt.endpoint.vad import WINDOW_SAMPLES, SileroVad
from services.stt.recognizer import SAMPLE_RATE_HZ, RecognizerInfo, Word
from services.stt.settings import SttSettings

log = structlog.get_logger()

FINAL_BEAM, DRAFT_BEAM = 5, 1
CHUNK_S = 30
"""Whisper's window in seconds; longer speech is decoded in chunks."""
MODEL_FILES = ["config.json", "preprocessor_config.json", "model.bin", "tokenizer.json", "vocabulary.*"]
ALIGN_FILES = ["*.json", "*.safetensors", "pytorch_model.bin"]
ALIGN_MODELS = {
    "en": "facebook/wav2vec2-base-960h",
    "de": "jonatasgrosman/wav2vec2-large-xlsr-53-german",
    "es": "jonatasgrosman/wav2vec2-large-xlsr-53-spanish",
    "fr": "jonatasgrosman/wav2vec2-large-xlsr-53-french",
    "it": "jonatasgrosman/wav2vec2-large-xlsr-53-italian",
}
"""Aligners for the languages for which WhisperX uses torchaudio's, which cannot be loaded from a folder."""
UNKNOWN_CONFIDENCE = 0.5
"""Confidence of a word for which the aligner has no score."""


class WhisperXBackend:
    """The `Transcriber` that all sessions share.

    Raises:
        CheckpointError: the packages are not installed.
    """

    def __init__(self, settings: SttSettings) -> None:
        for package in ("whisperx", "faster_whisper", "ctranslate2", "torch"):
            if importlib.util.find_spec(package) is None:
                raise CheckpointError(
                    f"STT_BACKEND=whisperx needs the package {package}", hint="install requirements/whisperx.txt"
                )
        self._settings = settings
        self._lock = threading.Lock()
        self._pipeline: Any = None
        self._vad: Any = None
        self._aligner: tuple[Any, dict[str, Any]] | None = None
        self._language = None if settings.whisperx_language == "auto" else settings.whisperx_language
        self.info = RecognizerInfo(
            name=settings.whisperx_model,
            backend="whisperx",
            license="",
            languages=(self._language or "mul",),
            vocabulary=True,
        )

    def recognizer(self) -> WhisperRecognizer:
        """Makes the recognizer of one session."""
        return WhisperRecognizer(self, self._settings.whisperx_partial_s)

    def load(self) -> None:
        with self._lock:
            if self._pipeline is None:
                self._load()

    def transcribe(self, sound: Pcm, vocabulary: Sequence[str], language: str | None, *, draft: bool) -> Transcript:
        with self._lock:
            try:
                return self._transcribe(sound, vocabulary, self._language or language, draft=draft)
            except RuntimeError as error:  # from CTranslate2: out of memory, device lost
                raise Unavailable("stt", f"WhisperX failed: {error}") from error

    def align(self, sound: Pcm, words: Sequence[str], language: str) -> list[Word]:
        duration_s = len(sound) / SAMPLE_RATE_HZ
        if self._aligner is None or self._aligner[1]["language"] != language:
            metrics.UNALIGNED_PHRASES.inc()
            return spread(words, 0.0, duration_s, UNKNOWN_CONFIDENCE)
        model, metadata = self._aligner
        segment = {"text": " ".join(words), "start": 0.0, "end": duration_s}
        alignment = importlib.import_module("whisperx.alignment")
        with self._lock:
            result = alignment.align([segment], model, metadata, sound, self.info.device)
        found = result["word_segments"]
        if [word["word"] for word in found] != list(words) or not all("start" in word for word in found):
            metrics.UNALIGNED_PHRASES.inc()
            return spread(words, 0.0, duration_s, UNKNOWN_CONFIDENCE)
        return [
            Word(
                word["word"],
                float(word["start"]),
                max(float(word["start"]), float(word["end"])),
                min(max(float(word.get("score", UNKNOWN_CONFIDENCE)), 0.0), 1.0),
            )
            for word in found
        ]

    def _transcribe(self, sound: Pcm, vocabulary: Sequence[str], language: str | None, *, draft: bool) -> Transcript:
        pipeline = self._pipeline
        pipeline.options = replace(
            pipeline.options, beam_size=DRAFT_BEAM if draft else FINAL_BEAM, hotwords=", ".join(vocabulary) or None
        )
        result = pipeline.transcribe(
            sound, batch_size=self._settings.whisperx_batch_size, language=language, chunk_size=CHUNK_S
        )
        words = " ".join(segment["text"] for segment in result["segments"]).split()
        return Transcript(tuple(words), result["language"])

    def _load(self) -> None:
        settings = self._settings
        if not settings.allow_download:
            os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
        os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")  # pyannote, which WhisperX imports, sends usage reports
        folder = self._whisper_folder()  # before the slow imports, so that a missing model is reported at once
        # pyannote warns that it cannot read files with torchcodec; here sound is passed as arrays.
        warnings.filterwarnings("ignore", r"\s*torchcodec is not installed correctly", UserWarning)
        torch = importlib.import_module("torch")
        asr = importlib.import_module("whisperx.asr")
        logging.getLogger("whisperx").setLevel(logging.ERROR)  # it warns at every phrase, in its own format
        device = settings.whisperx_device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self._vad = _make_vad_hook()
        try:
            with redirect_stdout(None):  # it prints which VAD it uses
                pipeline = asr.load_model(
                    str(folder),
                    device,
                    compute_type=settings.whisperx_compute_type,
                    language=self._language,
                    vad_model=self._vad,
                    vad_options={"chunk_size": CHUNK_S},
                    local_files_only=True,
                    threads=settings.whisperx_threads,
                )
        except (ValueError, RuntimeError) as error:
            raise CheckpointError(f"cannot load the Whisper model in {folder}: {error}") from error
        self.info = replace(self.info, name=Path(settings.whisperx_model).name, device=device)
        self._load_aligner(self._language or "en", device)
        self._pipeline = pipeline
        self._warm_up()
        log.info("models loaded", model=self.info.name, device=device, aligner=self._aligner is not None)

    def _warm_up(self) -> None:
        noise = np.random.default_rng(0).normal(0, 0.01, SAMPLE_RATE_HZ).astype(np.float32)
        self._vad.accepts_all = True
        try:
            self._transcribe(noise, (), self._language, draft=True)
        finally:
            self._vad.accepts_all = False

    def _whisper_folder(self) -> Path:
        """Finds the Whisper model, or downloads it if allowed.

        Raises:
            CheckpointError: it was not found, or lacks a file.
        """
        named = self._settings.whisperx_model
        if not Path(named).is_dir():
            named = importlib.import_module("faster_whisper.utils")._MODELS.get(named, named)
        folder = model_folder(named, MODEL_FILES, "STT_WHISPERX_MODEL", self._settings)
        for needed in ("model.bin", "config.json", "tokenizer.json"):  # the last would otherwise be downloaded
            if not (folder / needed).is_file():
                raise CheckpointError(
                    f"{folder} has no {needed}", hint="convert the model with ct2-transformers-converter"
                )
        return folder

    def _load_aligner(self, language: str, device: str) -> None:
        alignment = importlib.import_module("whisperx.alignment")
        # NLTK is used only to group words into sentences, which is not needed here, and would download data.
        vars(alignment)["nltk_load"] = lambda path: _WholeText()
        named = self._settings.whisperx_align_model or ALIGN_MODELS.get(language)
        named = named or alignment.DEFAULT_ALIGN_MODELS_HF.get(language)
        if not named:
            log.warning("no aligner for this language, word times are estimated", language=language)
            return
        folder = model_folder(named, ALIGN_FILES, "STT_WHISPERX_ALIGN_MODEL", self._settings)
        try:
            with redirect_stdout(None):
                self._aligner = alignment.load_align_model(
                    language, device, model_name=str(folder), model_cache_only=True
                )
        except ValueError as error:
            cause = error.__context__ or error  # WhisperX reports every failure as a model missing on the hub
            raise CheckpointError(f"cannot load the aligner in {folder}: {cause}") from error


class _WholeText:
    """A sentence tokenizer that returns the whole text as one sentence."""

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        return [(0, len(text))]


def _make_vad_hook() -> Any:
    """Returns Silero VAD as a `vad_model` for WhisperX, which requires a subclass of its own class."""
    base = importlib.import_module("whisperx.vads").Vad
    segment_type = importlib.import_module("whisperx.diarize").Segment

    class SileroHook(base):
        """Voice activity detection as in the rest of the service."""

        def __init__(self) -> None:
            super().__init__(SPEECH_PROBABILITY)
            self._silero = SileroVad()
            self.accepts_all = False

        @staticmethod
        def preprocess_audio(audio: Pcm) -> Pcm:
            return audio

        @staticmethod
        def merge_chunks(segments: list[Any], chunk_size: float, onset: float, offset: float | None) -> list[Any]:
            return base.merge_chunks(segments, chunk_size, onset, offset) if segments else []

        def __call__(self, audio: dict[str, Any], **_: Any) -> list[Any]:
            sound = audio["waveform"]
            spans = [(0, len(sound))] if self.accepts_all else speech_spans(self._silero, np.asarray(sound))
            return [segment_type(start / SAMPLE_RATE_HZ, end / SAMPLE_RATE_HZ, "UNKNOWN") for start, end in spans]

    return SileroHook()


def speech_spans(silero: SileroVad, sound: Pcm, longest_s: float = CHUNK_S) -> list[tuple[int, int]]:
    """Returns the spans of `sound` to decode as (start, end) in samples, none longer than `longest_s`.

    `sound` is a phrase that the endpointer has found, so the spans cover all of it and no soft sound at an edge is
    lost.  They are empty if there is no speech at all, for which Whisper would invent words.
    """
    stream = silero.stream()
    padded = np.pad(sound, (0, -len(sound) % WINDOW_SAMPLES)).astype(np.float32)
    speech = np.array([stream.probability(window) for window in padded.reshape(-1, WINDOW_SAMPLES)])
    if not len(speech) or speech.max() < SPEECH_PROBABILITY:
        return []
    longest = int(longest_s * SAMPLE_RATE_HZ) // WINDOW_SAMPLES
    cuts = [0]
    while len(speech) - cuts[-1] > longest:  # cut at the lowest probability in the later half of what fits
        first = cuts[-1] + longest // 2
        cuts.append(first + int(speech[first : cuts[-1] + longest].argmin()) + 1)
    edges = [*(cut * WINDOW_SAMPLES for cut in cuts), len(sound)]
    return list(itertools.pairwise(edges))
