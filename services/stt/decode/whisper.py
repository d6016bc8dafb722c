"""Whisper as the recognizer, run by CTranslate2.

Three things differ from the usual way to run Whisper:

*   The encoder gets a window that fits the sound, not always 30 s, which makes it several times faster.
*   The decoder writes timestamps, although word times do not come from them: without them it repeats itself in windows
    shorter than 30 s.
*   Words that were probably invented are left out (`invention`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any

import ctranslate2  # pyright: ignore[reportMissingTypeStubs]
import numpy as np
import structlog
import tokenizers

from oviya.errors import CheckpointError, Unavailable
from services.stt import metrics
from services.stt.decode.invention import Evidence, credible_words
from services.stt.decode.model_files import find_model
from services.stt.decode.model_options import model_language, model_license, model_options
from services.stt.decode.words import UNSPACED, split_tokens, timed_words
from services.stt.log_mel import HOP_SAMPLES, log_mel
from services.stt.recognizer import RecognizerInfo, Request, Transcript, Word, to_samples, to_seconds
from services.stt.settings import SttSettings

log = structlog.get_logger()

FINAL_WINDOW_S, DRAFT_WINDOW_S, WINDOW_STEP_S, MAX_WINDOW_S = 14, 8, 2, 30
"""Shortest windows of the encoder, the step in which they grow, and the window that Whisper was trained on.  With
timestamps and a beam of 2, tiny.en takes 171 ms on average for 155 human prompts in a window of 8 s, 192 ms in 10 s,
229 ms in 14 s and 270 ms in 16 s, with 3.3, 3.2, 3.1 and 3.0 % of the words wrong; but of short phrases it gets 7.6 %
wrong in 8 s, 2.6 % in 10 s and 1.2 % from 14 s on, because it repeats them."""
FINAL_BEAM, DRAFT_BEAM = 2, 1
MAX_TOKENS = 448
"""Length of the decoder's context, at most half of which is what it writes."""
TOKENS_PER_S, MIN_TOKENS = 10, 12
"""Limit of a decode, which ends those that repeat themselves: fast English has some six tokens a second."""
MAX_WORDS_PER_S, MAX_UNSPACED_PER_S, MIN_FAST_WORDS = 6.0, 15.0, 3
"""More words per second of speech, and a few more, are suspicious: fast speakers reach some five a second.  Languages
without spaces count in tokens."""
MAX_VOCABULARY_TOKENS = 200
"""Less than half of the decoder's context, which is the most that Whisper was trained to read before the speech."""


@dataclass(frozen=True)
class _Tokens:
    """Whisper's special tokens."""

    start: int
    previous: int
    transcribe: int
    end: int
    by_language: dict[str, int]


class WhisperRecognizer:
    """The `Recognizer` of STT_BACKEND=whisper.

    Args:
        settings: the model, its device and its language.
    """

    def __init__(self, settings: SttSettings) -> None:
        self._settings = settings
        self._language = None if settings.language == "auto" else settings.language
        self._model: Any = None
        self.max_batch = 1
        self.info = RecognizerInfo(
            name=settings.model, backend="ctranslate2", license="", languages=(self._language or "mul",)
        )

    def load(self) -> None:
        if self._model is not None:
            return
        settings = self._settings
        folder = find_model(settings)
        options = model_options(settings)
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
            model: Any = ctranslate2.models.Whisper(
                str(folder), options.device, compute_type=options.compute_type, intra_threads=options.threads
            )
        except Exception as error:  # tokenizers raises nothing more specific
            raise CheckpointError(f"cannot load the Whisper model in {folder}: {error}") from error
        self._tokens = self._special_tokens(str(folder))
        self._language = model_language(settings, multilingual=model.is_multilingual)
        if model.is_multilingual and self._language not in (None, *self._tokens.by_language):
            raise CheckpointError(f"{settings.model} does not know the language {self._language} (STT_LANGUAGE)")
        self._model = model
        self.max_batch = settings.batch_size if options.device == "cuda" else 1
        self.info = replace(
            self.info,
            name=settings.model,
            license=model_license(settings.model),
            languages=(self._language or "mul",),
            device=options.device,
        )
        noise = np.random.default_rng(0).normal(0, 0.01, to_samples(1.0)).astype(np.float32)
        for final in (False, True):
            self.transcribe([Request(noise, speech_s=1.0, final=final)])
        log.info("model loaded", model=self.info.name, **asdict(options))

    def transcribe(self, requests: Sequence[Request]) -> list[Transcript]:
        prompts = [self._vocabulary_tokens(request.vocabulary) for request in requests]
        found: dict[int, Transcript] = {}
        # CTranslate2 decodes only prompts of the same length together.
        order = sorted(range(len(requests)), key=lambda index: len(prompts[index]))
        try:
            for _, group in groupby(order, key=lambda index: len(prompts[index])):
                indices = list(group)
                decoded = self._decode_carefully([requests[i] for i in indices], [prompts[i] for i in indices])
                found |= dict(zip(indices, decoded, strict=True))
        except RuntimeError as error:  # out of memory, device lost
            raise Unavailable("stt", f"Whisper failed: {error}") from error
        return [found[index] for index in range(len(requests))]

    def _decode_carefully(self, requests: Sequence[Request], prefixes: Sequence[list[int]]) -> list[Transcript]:
        """Decodes requests with prefixes of the same length; suspicious ones again, in the full window."""
        decoded = self._decode(requests, prefixes, max(_window_s(request) for request in requests))
        for index, (request, transcript) in enumerate(zip(requests, decoded, strict=True)):
            if request.final and _is_suspicious(transcript, request.speech_s):
                metrics.REPEATED_DECODES.inc()
                [decoded[index]] = self._decode([request], [prefixes[index]], MAX_WINDOW_S)
        return decoded

    def _decode(self, requests: Sequence[Request], prefixes: Sequence[list[int]], window_s: int) -> list[Transcript]:
        final = requests[0].final
        mels = np.stack([log_mel(it.sound, to_samples(window_s), self._model.n_mels) for it in requests])
        encoded = self._model.encode(ctranslate2.StorageView.from_array(mels), to_cpu=False)
        languages = self._languages(requests, encoded)
        prompts = [
            [*prefix, *self._start_sequence(language)] for prefix, language in zip(prefixes, languages, strict=True)
        ]
        limit = MIN_TOKENS + round(TOKENS_PER_S * max(to_seconds(len(request.sound)) for request in requests))
        results = self._model.generate(
            encoded,
            prompts,
            beam_size=FINAL_BEAM if final else DRAFT_BEAM,
            # CTranslate2 writes at most half as many tokens, and no more than fit after the prompt.
            max_length=min(MAX_TOKENS, max(2 * limit, len(prompts[0]) - 1 + limit)),
            return_scores=True,
            return_no_speech_prob=True,
        )
        texts = [[token for token in result.sequences_ids[0] if token < self._tokens.end] for result in results]
        pieces = [split_tokens(text, self._text, language) for text, language in zip(texts, languages, strict=True)]
        words = self._align(encoded, requests, texts, pieces, languages)
        return [
            Transcript(tuple(credible_words(found, self._evidence(result))), language)
            for found, result, language in zip(words, results, languages, strict=True)
        ]

    def _evidence(self, result: Any) -> Evidence:
        return Evidence(result.scores[0], result.no_speech_prob, english_only=not self._model.is_multilingual)

    def _align(
        self,
        encoded: Any,
        requests: Sequence[Request],
        texts: Sequence[list[int]],
        pieces: Sequence[Sequence[tuple[str, int]]],
        languages: Sequence[str],
    ) -> list[list[Word]]:
        """Finds the times of words with the attention of the decoder."""
        if not any(texts):
            return [[] for _ in requests]
        # One call has one language; where a batch has several, the others' alignments hardly differ.
        language = Counter(languages).most_common(1)[0][0]
        frames = [max(2, len(request.sound) // HOP_SAMPLES) for request in requests]
        aligned = self._model.align(encoded, self._start_sequence(language), list(texts), frames)
        return [
            timed_words(split, result.alignments, result.text_token_probs, to_seconds(len(request.sound)))
            for split, result, request in zip(pieces, aligned, requests, strict=True)
        ]

    def _languages(self, requests: Sequence[Request], encoded: Any) -> list[str]:
        given = [self._language or request.language for request in requests]
        if all(given):
            return [language or "" for language in given]
        detected = self._model.detect_language(encoded)
        if not all(detected):
            raise CheckpointError(
                f"{self._settings.model} cannot detect languages: its config.json has no lang_ids",
                hint="set STT_LANGUAGE",
            )
        return [language or found[0][0].strip("<|>") for language, found in zip(given, detected, strict=True)]

    def _start_sequence(self, language: str) -> list[int]:
        tokens = self._tokens
        if not self._model.is_multilingual:
            return [tokens.start]
        return [tokens.start, tokens.by_language[language], tokens.transcribe]

    def _vocabulary_tokens(self, vocabulary: Iterable[str]) -> list[int]:
        """Returns the tokens that tell the decoder which words to expect: as text that precedes the speech."""
        listed = ", ".join(vocabulary)
        if not listed:
            return []
        text = self._tokenizer.encode(f" {listed}.", add_special_tokens=False).ids
        return [self._tokens.previous, *text[:MAX_VOCABULARY_TOKENS]]

    def _text(self, tokens: Sequence[int]) -> str:
        return self._tokenizer.decode(list(tokens), skip_special_tokens=False)

    def _special_tokens(self, folder: str) -> _Tokens:
        vocabulary = self._tokenizer.get_vocab(with_added_tokens=True)
        try:
            return _Tokens(
                start=vocabulary["<|startoftranscript|>"],
                previous=vocabulary["<|startofprev|>"],
                transcribe=vocabulary["<|transcribe|>"],
                end=vocabulary["<|endoftext|>"],
                by_language={
                    token[2:-2]: number
                    for token, number in vocabulary.items()
                    if token.startswith("<|") and token.endswith("|>") and 2 <= len(token) - 4 <= 3
                },
            )
        except KeyError as error:
            raise CheckpointError(f"{folder}/tokenizer.json is not Whisper's: it has no token {error}") from error


def _window_s(request: Request) -> int:
    """Returns the window of the encoder in seconds."""
    shortest_s = FINAL_WINDOW_S if request.final else DRAFT_WINDOW_S
    steps = -(-len(request.sound) // to_samples(WINDOW_STEP_S))
    return min(max(shortest_s, steps * WINDOW_STEP_S), MAX_WINDOW_S)


def _is_suspicious(transcript: Transcript, speech_s: float) -> bool:
    """Whether a decode has probably repeated itself: it has too many words, or ends with some of them twice."""
    words = [word.text for word in transcript.words]
    words_per_s = MAX_UNSPACED_PER_S if transcript.language in UNSPACED else MAX_WORDS_PER_S
    if len(words) > MIN_FAST_WORDS + words_per_s * speech_s:
        return True
    return any(words[-size:] == words[-2 * size : -size] for size in range(3, len(words) // 2 + 1))
