"""Recognizers for tests: the real one, which a test process loads once, and some that do as they are told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cache

from services.stt.decode.whisper import WhisperRecognizer
from services.stt.decode.words import spread
from services.stt.recognizer import Recognizer, RecognizerInfo, Request, Transcript, to_seconds
from services.stt.settings import SttSettings
from tests.support.waiting import PATIENCE_S


@cache
def whisper() -> WhisperRecognizer:
    """Returns the default recognizer, loaded."""
    recognizer = WhisperRecognizer(SttSettings())
    recognizer.load()
    return recognizer


class WrappedRecognizer:
    """Passes requests on to another recognizer, which has been loaded, and keeps them.

    Args:
        recognizer: decodes the requests.
        check: called with each request before it is decoded; may block or raise.
    """

    def __init__(self, recognizer: Recognizer, check: Callable[[Request], None] = lambda request: None) -> None:
        self._recognizer = recognizer
        self._check = check
        self.info = recognizer.info
        self.max_batch = recognizer.max_batch
        self.requests: list[Request] = []

    @property
    def finals(self) -> list[Request]:
        """The requests that were not drafts."""
        return [request for request in self.requests if request.final]

    def load(self) -> None:
        """Does nothing."""

    def transcribe(self, requests: Sequence[Request]) -> Sequence[Transcript]:
        self.requests += requests
        for request in requests:
            self._check(request)
        return self._recognizer.transcribe(requests)


class ScriptedRecognizer:
    """Returns a text for each request: the next of a list, the last one again and again.

    Args:
        texts: what it hears, with case and punctuation.
    """

    info = RecognizerInfo("scripted", "test", "", ("en",))
    max_batch = 1

    def __init__(self, *texts: str) -> None:
        self._texts = list(texts)

    def load(self) -> None:
        """Does nothing."""

    def transcribe(self, requests: Sequence[Request]) -> list[Transcript]:
        return [self._transcript(request) for request in requests]

    def _transcript(self, request: Request) -> Transcript:
        text = self._texts.pop(0) if len(self._texts) > 1 else self._texts[0]
        written = [f" {word}" for word in text.split()]
        return Transcript(tuple(spread(written, 0.0, to_seconds(len(request.sound)), 0.9)), "en")


class GatedRecognizer:
    """Waits at a gate in every call; each request is named by its vocabulary, which is what it hears.

    Args:
        max_batch: requests per call.
        failures: the exceptions that the requests of these names raise.
    """

    info = RecognizerInfo("gated", "test", "", ("en",))

    def __init__(self, max_batch: int = 1, failures: dict[str, Exception] | None = None) -> None:
        self.max_batch = max_batch
        self._failures = failures or {}
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.entered = threading.Event()

    def load(self) -> None:
        """Does nothing."""

    def transcribe(self, requests: Sequence[Request]) -> list[Transcript]:
        names = [" ".join(request.vocabulary) for request in requests]
        self.batches.append(names)
        self.entered.set()
        assert self.gate.wait(PATIENCE_S)
        for name in names:
            if name in self._failures:
                raise self._failures[name]
        return [Transcript(tuple(spread([name], 0.0, 1.0, 1.0)), "en") for name in names]
