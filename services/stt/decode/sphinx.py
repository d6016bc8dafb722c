"""PocketSphinx as a recognizer, in a process of its own.

PocketSphinx keeps Python's lock while it decodes: up to 90 ms for a chunk, and 30 ms a second of speech at the end of a
phrase.  In a thread of the service that would stop the event loop and every other session, so each decoder is a child
process (`sphinx_worker`), reached over a pipe.  A decoder that dies takes one session with it, not the service.

Its first pass, the only one that runs while somebody speaks, mishears one word in six that the later passes hear, and
waiting does not help.  So what is committed of a running phrase comes from a copy of the decoder that runs the later
passes on what there is so far.
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
"""Longest wait for a decoder.  The slowest answer, the last passes over a turn of 60 s without a pause, takes some 2 s
on a free core; loading takes 0.6 s."""
EXIT_TIMEOUT_S = 2.0
"""Longest wait for a decoder to end by itself once its pipe is closed."""
FULL_SCALE = 32767
LOOK_INTERVAL_SHARE = 0.16
"""Sound between two looks at the later passes' words, relative to the phrase so far.  A look takes some 20 ms and 30 ms
a second of the phrase, so that looks together take about a quarter of a core, however long the phrase."""
OPEN_S = 0.1
"""A word that ends so close to the end of the sound may have more to come, however sure the decoder is."""


class SphinxRecognizer:
    """Decodes US English with the models of the pocketsphinx package and its default settings; some 115 MB."""

    info = RecognizerInfo(name="cmusphinx-en-us", backend="pocketsphinx", license="BSD-2-Clause", languages=("en-US",))

    partial_every_s = 0.128
    """Between looks, which become rarer as the phrase grows, asking costs nothing."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection[Any, Any] | None = None
        self._extender: BandwidthExtender | None = None
        self._fed = self._next_look = 0  # samples of the phrase

    @property
    def pid(self) -> int | None:
        """The decoder's process id, where one runs."""
        return self._process.pid if self._process else None

    @property
    def broken(self) -> bool:
        """Whether the decoder's process has ended by itself."""
        process = self._process  # another thread may close it meanwhile
        return process is not None and process.poll() is not None

    def begin_session(self, edge_hz: float, vocabulary: Sequence[str] = ()) -> None:
        self._extender = BandwidthExtender(edge_hz) if edge_hz < WIDEBAND_HZ else None
        if self.broken:
            self._lose()
        if self._process is None:
            self._start()
        self._send("session")
        self._reply()  # a decoder that cannot load fails here, not in the middle of a turn

    def begin_phrase(self) -> None:
        self._fed = self._next_look = 0
        self._send("begin")

    def feed(self, samples: Pcm) -> None:
        if self._extender is not None:
            samples = self._extender.push(samples)
        pcm = np.clip(np.rint(samples * FULL_SCALE), -FULL_SCALE, FULL_SCALE).astype(np.int16)
        self._send("feed", pcm.tobytes())
        self._fed += len(samples)

    def partial(self) -> list[HypothesisWord] | None:
        if self._fed < self._next_look:
            return None
        self._next_look = round(self._fed * (1 + LOOK_INTERVAL_SHARE))
        self._send("look")
        words = self._reply()
        if words is None:
            metrics.LOOKS_FAILED.inc()
            return None
        over_s = self._fed / SAMPLE_RATE_HZ - OPEN_S
        return [HypothesisWord(text, confidence if end_s <= over_s else 0.0) for text, _, end_s, confidence in words]

    def end_phrase(self, committed: Sequence[str]) -> list[Word]:
        self._send("end")
        return [Word(*fields) for fields in self._reply()]

    def close(self) -> None:
        if self._pipe is not None:
            self._pipe.close()  # the decoder ends when it reads the end of the pipe
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

    def _send(self, command: str, payload: bytes = b"") -> None:
        try:
            if self._pipe is None:
                raise BrokenPipeError
            self._pipe.send((command, payload))
        except OSError as error:
            raise self._broken("has ended") from error

    def _reply(self) -> Any:
        try:
            if self._pipe is None:
                raise BrokenPipeError
            if self._pipe.poll(REPLY_TIMEOUT_S):
                return self._pipe.recv()
        except (EOFError, OSError) as error:
            raise self._broken("has ended") from error
        raise self._broken(f"has not answered for {REPLY_TIMEOUT_S:g} s")

    def _broken(self, what: str) -> Unavailable:
        self._lose()
        return Unavailable("stt", f"the decoder {what}", hint="open a new stream: it gets a new decoder")

    def _lose(self) -> None:
        """Ends a decoder that has broken; the next session gets a new one."""
        if self._process is not None:
            self._process.kill()
            metrics.RECOGNIZERS_LOST.inc()
            log.warning("decoder lost", pid=self._process.pid, exit_code=self._process.wait())
        self.close()
