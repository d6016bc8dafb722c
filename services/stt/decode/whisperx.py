"""WhisperX: faster-whisper's decoder, and a wav2vec 2.0 model that finds the times of words, if there is one.

The packages are installed in a separate environment (requirements/whisperx.txt) and imported when a model is loaded.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import structlog

from oviya.audio.pcm import Pcm
from oviya.errors import CheckpointError, Unavailable
from services.stt import metrics
from services.stt.decode.model_files import find_model
from services.stt.decode.model_options import model_language, model_license, model_options
from services.stt.decode.whisperx_aligner import WhisperXAligner, load_aligner
from services.stt.decode.words import split_tokens, timed_words
from services.stt.log_mel import HOP_SAMPLES
from services.stt.recognizer import SAMPLE_RATE_HZ, RecognizerInfo, Request, Transcript, Word, to_samples, to_seconds
from services.stt.settings import SttSettings

log = structlog.get_logger()

FINAL_BEAM, DRAFT_BEAM = 5, 1
"""Width of the beam; WhisperX's default is 5."""
ATTENTION = "attention"
"""`RecognizerInfo.aligner` without an aligner: word times come from the attention of Whisper's decoder."""


class WhisperXRecognizer:
    """The `Recognizer` of STT_BACKEND=whisperx.

    Args:
        settings: the models, the device and the language.

    Raises:
        CheckpointError: the packages are not installed.
    """

    max_batch = 1
    """WhisperX batches the parts of one recording, but not recordings with different options."""

    def __init__(self, settings: SttSettings) -> None:
        for package in ("whisperx", "faster_whisper", "torch"):
            if importlib.util.find_spec(package) is None:
                raise CheckpointError(
                    f"STT_BACKEND=whisperx needs the package {package}", hint="install requirements/whisperx.txt"
                )
        self._settings = settings
        self._language: str | None = None
        self._pipeline: Any = None
        self._aligner: WhisperXAligner | None = None
        self.info = RecognizerInfo(name=settings.model, backend="whisperx", license="", languages=("mul",))

    def load(self) -> None:
        if self._pipeline is not None:
            return
        settings = self._settings
        if not settings.allow_download:
            os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
        os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")  # pyannote, which WhisperX imports, sends usage reports
        folder = find_model(settings)  # before the slow imports, so that a missing model is reported at once
        # pyannote warns that it cannot read files with torchcodec; here sound is passed as arrays.
        warnings.filterwarnings("ignore", r"\s*torchcodec is not installed correctly", UserWarning)
        asr = importlib.import_module("whisperx.asr")
        logging.getLogger("whisperx").setLevel(logging.ERROR)  # it warns at every decode, in its own format
        options = model_options(settings)
        try:
            model = _keeping_encoder_output(asr.WhisperModel)(
                str(folder),
                options.device,
                compute_type=options.compute_type,
                cpu_threads=options.threads,
                local_files_only=True,
            )
            self._language = model_language(settings, multilingual=model.model.is_multilingual)
            with redirect_stdout(None):  # it prints which VAD it uses
                pipeline = asr.load_model(
                    str(folder), options.device, model=model, language=self._language, vad_model=_make_vad_hook()
                )
        except CheckpointError:
            raise
        except Exception as error:  # tokenizers raises nothing more specific
            raise CheckpointError(f"cannot load the Whisper model in {folder}: {error}") from error
        # CTranslate2 may find a GPU that the installed build of torch cannot use.
        torch_device = options.device if importlib.import_module("torch").cuda.is_available() else "cpu"
        self._aligner = load_aligner(self._language or "en", torch_device, settings)
        self._pipeline = pipeline
        self.info = replace(
            self.info,
            license=model_license(settings.model),
            languages=(self._language or "mul",),
            device=options.device,
            aligner=self._aligner.name if self._aligner else ATTENTION,
        )
        noise = np.random.default_rng(0).normal(0, 0.01, to_samples(1.0)).astype(np.float32)
        self._decode(Request(noise, speech_s=1.0, final=False))
        log.info("model loaded", model=self.info.name, aligner=self.info.aligner, **asdict(options))

    def transcribe(self, requests: Sequence[Request]) -> list[Transcript]:
        try:
            return [self._transcribe(request) for request in requests]
        except RuntimeError as error:  # from CTranslate2 or torch: out of memory, device lost
            raise Unavailable("stt", f"WhisperX failed: {error}") from error

    def _transcribe(self, request: Request) -> Transcript:
        text, language = self._decode(request)
        words = self._attended_words(text, request.sound, language)
        if request.final and words:
            aligned = self._aligner.align(request.sound, words, language) if self._aligner else None
            if aligned is None:
                metrics.UNALIGNED_PHRASES.inc()
            words = aligned or words
        return Transcript(tuple(words), language)

    def _decode(self, request: Request) -> tuple[str, str]:
        """Runs the pipeline; returns the text and its language."""
        pipeline = self._pipeline
        pipeline.options = replace(
            pipeline.options,
            beam_size=FINAL_BEAM if request.final else DRAFT_BEAM,
            hotwords=", ".join(request.vocabulary) or None,
        )
        if self._language is None:
            pipeline.tokenizer = None  # a decode that failed has left that of its language
        result = pipeline.transcribe(request.sound, batch_size=1, language=self._language or request.language)
        [segment] = result["segments"]
        return segment["text"], result["language"]

    def _attended_words(self, text: str, sound: Pcm, language: str) -> list[Word]:
        """Returns the words of the last decode with the confidences of Whisper and the times of its attention."""
        tokens = self._tokenizer.encode(text, add_special_tokens=False).ids
        if not tokens:
            return []
        model = self._pipeline.model
        start = importlib.import_module("faster_whisper.tokenizer").Tokenizer(
            self._tokenizer, model.model.is_multilingual, task="transcribe", language=language
        )
        frames = max(2, len(sound) // HOP_SAMPLES)
        [aligned] = model.model.align(model.encoder_output, list(start.sot_sequence), [tokens], frames)
        pieces = split_tokens(tokens, self._tokenizer.decode, language)
        return timed_words(pieces, aligned.alignments, aligned.text_token_probs, to_seconds(len(sound)))

    @property
    def _tokenizer(self) -> Any:
        return self._pipeline.model.hf_tokenizer


def _keeping_encoder_output(base: Any) -> Any:
    """Returns WhisperX's model class with an attribute `encoder_output`, which finding word times needs again."""

    class Model(base):
        encoder_output: Any = None

        def encode(self, features: Any) -> Any:
            self.encoder_output = super().encode(features)
            return self.encoder_output

    return Model


def _make_vad_hook() -> Any:
    """Returns a `vad_model` for WhisperX, which must be a subclass of its own class.

    It takes all of the sound for speech.  The service has found the speech before, and no soft sound at its edges is
    lost.
    """
    base = importlib.import_module("whisperx.vads").Vad

    class WholeSound(base):
        def __init__(self) -> None:
            super().__init__(vad_onset=0.5)

        @staticmethod
        def preprocess_audio(audio: Pcm) -> Pcm:
            return audio

        @staticmethod
        def merge_chunks(segments: list[dict[str, float]], *_: Any, **__: Any) -> list[dict[str, float]]:
            return segments

        def __call__(self, audio: dict[str, Any]) -> list[dict[str, float]]:
            return [{"start": 0.0, "end": len(audio["waveform"]) / SAMPLE_RATE_HZ}]

    return WholeSound()
