"""PocketSphinx as a recognizer, in a process of its own.

PocketSphinx holds the GIL while it decodes, for up to 90 ms a chunk.  In a thread of the service it would block the
event loop and all other sessions, so each decoder is a child process (`sphinx_worker`) at the other end of a pipe.  A
decoder that crashes affects one session, not the service.

Only the first of its three passes runs while sound arrives, and it gets one word in six wrong that the later passes
correct.  Partials therefore come from a fork of the decoder that runs the later passes on the sound so far.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection, Pipe
from typing import Any

import numpy as np
import structlog

from oviya.audio.pcm import Pcm
from oviya.errors import Unavailable
from services.stt import metrics
from services.stt.decode.bandwidth_extension import WIDEBAND_HZ, BandwidthExtender
from services.stt.recognizer import SAMPLE_RATE_HZ, HypothesisWord, RecognizerInfo, Word

log = structlog.get_logger()

REPLY_TIMEOUT_S = 30.0
"""Longest wait for an answer of a decoder.  The slowest one, the last passes over a turn of 60 s without a pause, takes
some 2 s."""
EXIT_TIMEOUT_S = 2.0
"""Longest wait for a decoder to exit after its pipe was closed."""
FULL_SCALE = 32767
PARTIAL_INTERVAL_RATIO = 0.16
"""Sound between two hypotheses, relative to the length of the phrase.  A hypothesis takes some 20 ms plus 30 ms per
second of the phrase, so hypotheses take about a quarter of a core, however long the phrase is."""
OPEN_S = 0.1
"""A word that ends so close to the end of the sound may be incomplete; its confidence is set to 0."""


class SphinxRecognizer:
    """Decodes US English with the models of the pocketsphinx package and its default settings."""

    info = RecognizerInfo(name="cmusphinx-en-us", backend="pocketsphinx", license="BSD-2-Clause", languages=("en-US",))

    partial_every_s = 0.128
    """A call before the next hypothesis is due returns None at once."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection[Any, Any] | None = None
        self._extender: BandwidthExtender | None = None
        self._fed = self._next_partial = 0  # samples of the phrase

    @property
    def broken(self) -> bool:
        """Whether the decoder's process has exited unexpectedly."""
        process = self._process  # another thread may set it to None
        return process is not None and process.poll() is not None

    def begin_session(self, edge_hz: float, vocabulary: Sequence[str] = ()) -> None:
        self._extender = BandwidthExtender(edge_hz) if edge_hz < WIDEBAND_HZ else None
        if self.broken:
            self._discard()
        if self._process is None:
            self._start()
        self._ask("session")  # a decoder that cannot load its model fails here, not in the middle of a turn

    def begin_phrase(self) -> None:
        self._fed = self._next_partial = 0
        self._send("begin")

    def feed(self, samples: Pcm) -> None:
        if self._extender is not None:
            samples = self._extender.push(samples)
        pcm = np.clip(np.rint(samples * FULL_SCALE), -FULL_SCALE, FULL_SCALE).astype(np.int16)
        self._send("feed", pcm.tobytes())
        self._fed += len(samples)

    def partial(self) -> list[HypothesisWord] | None:
        if self._fed < self._next_partial:
            return None
        self._next_partial = round(self._fed * (1 + PARTIAL_INTERVAL_RATIO))
        words = self._ask("partial")
        if words is None:
            metrics.PARTIALS_FAILED.inc()
            return None
        complete_s = self._fed / SAMPLE_RATE_HZ - OPEN_S
        return [
            HypothesisWord(text, confidence if end_s <= complete_s else 0.0) for text, _, end_s, confidence in words
        ]

    def end_phrase(self, committed: Sequence[str]) -> list[Word]:
        return [Word(*fields) for fields in self._ask("end")]

    def close(self) -> None:
        if self._pipe is not None:
            self._pipe.close()  # the decoder exits at the end of the pipe
        if self._process is not None:
            try:
                self._process.wait(EXIT_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._pipe = self._process = None

    def _start(self) -> None:
        ours, theirs = Pipe()
        with theirs:
            descriptor = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "services.stt.decode.sphinx_worker", str(descriptor)],
                pass_fds=[descriptor],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
        self._pipe = ours
        metrics.RECOGNIZER_STARTS.inc()
        log.debug("decoder started", pid=self._process.pid)

    def _send(self, command: str, payload: bytes = b"") -> Connection[Any, Any]:
        try:
            if self._pipe is None:
                raise BrokenPipeError
            self._pipe.send((command, payload))
        except OSError as error:
            raise self._broken("has exited") from error
        return self._pipe

    def _ask(self, command: str) -> Any:
        pipe = self._send(command)
        try:
            if pipe.poll(REPLY_TIMEOUT_S):
                return pipe.recv()
        except (EOFError, OSError) as error:
            raise self._broken("has exited") from error
        raise self._broken(f"has not answered for {REPLY_TIMEOUT_S:g} s")

    def _broken(self, what: str) -> Unavailable:
        self._discard()
        return Unavailable("stt", f"the decoder {what}", hint="open a new stream, which gets a new decoder")

    def _discard(self) -> None:
        """Kills a broken decoder; `begin_session` starts a new one."""
        if self._process is not None:
            self._process.kill()
            metrics.RECOGNIZERS_LOST.inc()
            log.warning("decoder lost", pid=self._process.pid, exit_code=self._process.wait())
        self.close()
